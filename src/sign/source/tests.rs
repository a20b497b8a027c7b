use super::*;
use crate::sign::Signer as _;
use crate::sign::file::write_seed_file;

fn patience() -> Patience {
    Patience::new(Duration::from_secs(1))
}

fn named(flag: &Path) -> OperatorInputs {
    OperatorInputs { flag: Some(flag.to_owned()), ..OperatorInputs::default() }
}

#[test]
fn the_key_comes_from_where_it_is_named_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    let seed = Seed::generate(KeyKind::Operator).unwrap();
    write_seed_file(&keys.join("op.nk"), &seed).unwrap();
    let read =
        |inputs: &OperatorInputs| operator_seed(inputs, &keys, &patience()).unwrap().map(|seed| seed.public_key());

    assert_eq!(read(&OperatorInputs::default()), None);
    assert_eq!(read(&named(Path::new("op.nk"))), Some(seed.public_key()));
    assert_eq!(read(&named(&keys.join("op.nk"))), Some(seed.public_key()));
    let by_file = OperatorInputs { env_file: Some("op.nk".into()), ..OperatorInputs::default() };
    assert_eq!(read(&by_file), Some(seed.public_key()));
    let other = Seed::generate(KeyKind::Operator).unwrap();
    let by_seed = OperatorInputs { env_seed: Some(other.reveal()), ..OperatorInputs::default() };
    assert_eq!(read(&by_seed), Some(other.public_key()));
    let all = OperatorInputs {
        flag: Some("op.nk".into()),
        env_file: Some("x".into()),
        env_seed: Some(other.reveal()),
        ..OperatorInputs::default()
    };
    assert_eq!(read(&all), Some(seed.public_key()), "the flag wins");
    let both = OperatorInputs { flag: None, ..all };
    assert!(matches!(operator_seed(&both, &keys, &patience()), Err(SourceError::Ambiguous)));
    assert!(!format!("{both:?}").contains(other.reveal().as_str()));
}

#[cfg(not(feature = "age"))]
#[test]
fn without_age_its_files_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("op.nk.age"), "age-encryption.org/v1\n").unwrap();
    let refused = operator_seed(&named(Path::new("op.nk.age")), folder.path(), &patience()).unwrap_err();
    assert!(
        refused.to_string().contains("is encrypted with age, and this vstream-jwt was built without it"),
        "{refused}"
    );
}

#[test]
fn every_refusal_says_what_is_wrong_and_shows_no_seed() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path();
    let account = Seed::generate(KeyKind::Account).unwrap();
    write_seed_file(&keys.join("account.nk"), &account).unwrap();
    std::fs::write(keys.join("damaged.nk"), "SOAAAAAAAA").unwrap();
    std::fs::write(keys.join("empty.nk"), "").unwrap();
    std::fs::create_dir(keys.join("folder")).unwrap();
    let seed = Seed::generate(KeyKind::Operator).unwrap().reveal();
    let refused = |inputs: &OperatorInputs| {
        let message = operator_seed(inputs, keys, &patience()).unwrap_err().to_string();
        assert!(!message.contains(&seed[..20]) && !message.contains("SOAAAA"), "{message}");
        message
    };
    for (file, reason) in [
        ("account.nk", "is the seed of an account, where that of an operator is needed"),
        ("damaged.nk", "damaged"),
        ("empty.nk", "damaged"),
        ("folder", "is not a file"),
        ("none.nk", "there is no file none.nk, and none of that name in the keys folder"),
        (&seed, "a seed was given instead"),
    ] {
        let message = refused(&named(Path::new(file)));
        assert!(message.contains(reason), "{message}");
    }
    let inputs = OperatorInputs { env_seed: Some(account.reveal()), ..OperatorInputs::default() };
    assert!(refused(&inputs).contains("in VSTREAM_OPERATOR_SEED is the seed of an account"));
    let inputs = OperatorInputs { env_seed: Some(zeroize::Zeroizing::new(seed[1..].to_owned())), ..inputs };
    assert!(refused(&inputs).contains("damaged"));
}

#[cfg(unix)]
#[test]
fn a_pipe_whose_end_does_not_come_is_left() {
    use std::io::Write as _;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let input = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
    writer.write_all(b"SO").unwrap();
    let error = drain_in_time(input.try_clone().unwrap(), 10, &patience()).unwrap_err();
    let said = "its end did not come within 1 s, the time of the whole run (--timeout)";
    assert_eq!((error.kind(), error.to_string().as_str()), (std::io::ErrorKind::TimedOut, said));
    writer.write_all(b"SO").unwrap();
    drop(writer);
    assert_eq!(drain_in_time(input, 10, &patience()).unwrap().unwrap().as_slice(), b"SO");
}

/// Each byte came in time, but all of them would take hours.
#[cfg(unix)]
#[test]
fn what_trickles_in_is_left_too() {
    use std::io::Write as _;
    let (reader, mut writer) = std::io::pipe().unwrap();
    let input = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
    let trickle = std::thread::spawn(move || {
        // Until the reader stops.
        for _ in 0..100 {
            if writer.write_all(b"S").is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let patience = patience();
    let begun = Instant::now();
    let error = drain_in_time(input, 1000, &patience).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(patience.left(), Duration::ZERO);
    trickle.join().unwrap();
}
