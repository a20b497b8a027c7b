use super::*;
use crate::sign::{Seed, issue};

fn start(script: &str) -> Result<CommandSigner, CommandError> {
    start_within(script, Duration::from_millis(500))
}

fn start_within(script: &str, time: Duration) -> Result<CommandSigner, CommandError> {
    CommandSigner::start(script, Patience::new(time), Box::new(|_, _| {}))
}

fn refused(script: &str) -> String {
    start(script).unwrap_err().to_string()
}

/// Returns a signer that reports a public key, and then does `rest`.
fn with_key(rest: &str) -> (Seed, CommandSigner) {
    let seed = Seed::generate(KeyKind::Operator).unwrap();
    let key = seed.public_key();
    let script = format!("read a; echo '{{\"public_key\":\"{key}\"}}'; {rest}");
    (seed, start_within(&script, Duration::from_secs(2)).unwrap())
}

fn failing(rest: &str) -> String {
    with_key(rest).1.sign(b"x").unwrap_err().to_string()
}

#[test]
fn a_command_that_does_not_answer_is_named() {
    assert!(refused("exit 3").contains("ended without an answer"));
    assert!(refused("sleep 5").contains("did not answer within"));
    assert!(refused("read a; echo no; cat").contains("not JSON"));
    assert!(refused("read a; echo '[]'; cat").contains("not a JSON object"));
    assert!(refused("read a; echo '{\"error\":\"locked\"}'; cat").contains("refused: locked"));
    assert!(refused("read a; echo '{\"public_key\":\"x\"}'; cat").contains("did not give a public key"));
    assert!(refused("read a; printf '{\"public_key\":'").contains("in the middle of an answer"));
    assert!(refused("read a; printf '{}'").contains("in the middle of an answer"), "half a line may be half an answer");
    assert!(refused("read a; head -c 100000 /dev/zero; sleep 5").contains("more than 64 KiB"));
    let account = Seed::generate(KeyKind::Account).unwrap().public_key();
    assert!(refused(&format!("read a; echo '{{\"public_key\":\"{account}\"}}'; cat")).contains("key of an account"));
}

#[test]
fn what_it_says_of_its_reasons_cannot_play_with_the_terminal() {
    let said = refused("read a; printf '{\"error\":\"\\\\u001b[2Jgone\\\\nerror: all is well\"}\\n'; cat");
    assert!(said.contains("gone") && !said.contains(['\u{1b}', '\n']), "{said:?}");
    let long = refused("read a; printf '{\"error\":\"%01000d\"}\\n' 1; cat");
    assert!(long.len() < 500 && long.ends_with('…'), "{long}");
}

#[test]
fn a_signature_that_is_none_is_refused_and_so_is_all_that_follows() {
    let (_, signer) = with_key("read b; echo '{\"signature\":\"AAAA\"}'; cat");
    assert!(signer.sign(b"x").unwrap_err().to_string().contains("64 bytes"));
    assert!(failing("read b; exit 1").contains("ended without an answer"));
    assert!(failing("read b; kill -9 $$").contains("ended without an answer"));
    assert!(failing("read b; printf '{\"signature\":\"AA'").contains("in the middle of an answer"));
    assert!(failing("read b; echo garbage; cat").contains("not JSON"));
}

#[test]
fn an_answer_that_comes_too_late_is_never_taken_for_another() {
    let seed = Seed::generate(KeyKind::Operator).unwrap();
    let script = format!(
        "read a; echo '{{\"public_key\":\"{}\"}}'; read b; sleep 1; echo '{{\"signature\":\"AAAA\"}}'; cat",
        seed.public_key()
    );
    let signer = start(&script).unwrap();
    assert!(signer.sign(b"x").unwrap_err().to_string().contains("did not answer within"));
    std::thread::sleep(Duration::from_millis(800));
    assert!(signer.sign(b"x").unwrap_err().to_string().contains("failed before"));
}

/// Endless output is neither kept nor read forever.
#[test]
fn a_command_that_talks_without_end_is_named() {
    let said = failing("while :; do echo '{}'; done");
    // Or one of its lines came just when this run was waiting for an answer.
    assert!(said.contains("talks without being asked") || said.contains("a signature of 64 bytes"), "{said}");
}

#[test]
fn a_command_that_does_not_read_blocks_nobody() {
    let (_, signer) = with_key("sleep 20");
    let started = Instant::now();
    assert!(signer.sign(&[0; 1_000_000]).unwrap_err().to_string().contains("did not answer within"));
    drop(signer);
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[test]
fn a_signature_by_another_key_makes_no_token() {
    let other = Seed::generate(KeyKind::Operator).unwrap();
    let claims = json!({
        "sub": Seed::generate(KeyKind::Account).unwrap().public_key(),
        "nats": { "type": "account", "version": 2 },
    });
    let signature = B64.encode(other.sign(b"something else").unwrap());
    let (seed, signer) = with_key(&format!("read b; echo '{{\"signature\":\"{signature}\"}}'; cat"));
    let error = issue(&claims, &signer, 1).unwrap_err();
    assert!(matches!(&error, SignError::BadSignature(key) if *key == seed.public_key()), "{error}");
}

#[test]
fn it_inherits_no_secret() {
    let seen = crate::sign::memory::command("env");
    let removed: Vec<_> =
        seen.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name.to_owned()).collect();
    assert!(removed.iter().any(|name| name == "VSTREAM_OPERATOR_SEED"));
    assert!(removed.iter().any(|name| name == "VSTREAM_PKCS11_PIN"));
}

/// Each answer came in time, but a run with many answers would never end.
#[test]
fn all_answers_together_have_the_time_of_one_run() {
    let seed = Seed::generate(KeyKind::Operator).unwrap();
    let signature = B64.encode(seed.sign(b"x").unwrap());
    let script = format!(
        "read a; echo '{{\"public_key\":\"{}\"}}'; while read b; do sleep 0.4; echo '{{\"signature\":\"{signature}\"}}'; done",
        seed.public_key()
    );
    let signer = start_within(&script, Duration::from_secs(2)).unwrap();
    let begun = Instant::now();
    let ended = (0..20).find_map(|_| signer.sign(b"x").err());
    let said = ended.expect("20 answers of 0.4 s").to_string();
    assert!(said.contains("did not answer within 2 s, the time of the whole run (--timeout)"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

/// A question without a line break is relayed while the command waits for the reply.
#[test]
fn what_it_says_on_its_standard_error_is_heard_as_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let touched = folder.path().join("touched");
    let seed = Seed::generate(KeyKind::Operator).unwrap();
    let script = format!(
        "read a; printf 'one\\r\\ntwo\\nTouch: ' >&2; while [ ! -e '{}' ]; do sleep 0.05; done; echo done >&2; \
         echo '{{\"public_key\":\"{}\"}}'; read b; printf 'last words' >&2",
        touched.display(),
        seed.public_key()
    );
    let (send, heard) = channel();
    let hear: StderrHandler = Box::new(move |line, ended| {
        if line == "Touch: " && !ended {
            std::fs::write(&touched, "").unwrap();
        }
        send.send((line.to_owned(), ended)).unwrap();
    });
    let signer = CommandSigner::start(&script, Patience::new(Duration::from_secs(20)), hear).unwrap();
    drop(signer);
    let heard: Vec<(String, bool)> = heard.try_iter().collect();
    let expected = [("one", true), ("two", true), ("Touch: ", false), ("Touch: done", true), ("last words", true)];
    assert_eq!(heard, expected.map(|(line, ended)| (line.to_owned(), ended)));
}
