use super::*;
use proptest::prelude::*;

const KINDS: [KeyKind; 3] = [KeyKind::Operator, KeyKind::Account, KeyKind::User];

fn encode(prefix: u8, secret: &[u8; 32]) -> String {
    let mut raw = vec![18 << 3 | prefix >> 5, (prefix & 31) << 3];
    raw.extend_from_slice(secret);
    raw.extend_from_slice(&crc16(&raw).to_le_bytes());
    data_encoding::BASE32_NOPAD.encode(&raw)
}

#[test]
fn files_of_nsc_and_credentials_are_read() {
    let seed = Seed::generate(KeyKind::User).unwrap();
    let text = seed.reveal();
    let key = seed.public_key();
    let forms = [
        format!("{}\n", *text),
        format!("  {}\r\n\r\n", *text),
        format!("-----BEGIN USER PRIVATE KEY-----\n{}\n------END USER PRIVATE KEY------\n", *text),
        format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.x.y\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            *text
        ),
    ];
    for form in forms {
        assert_eq!(Seed::parse(&form).unwrap().public_key(), key);
    }
}

#[test]
fn other_kinds_of_seed_are_refused() {
    for prefix in [23 << 3, 13 << 3, 2 << 3, 21 << 3] {
        assert_eq!(Seed::parse(&encode(prefix, &[7; 32])).unwrap_err(), SeedError::UnknownKind, "{prefix}");
    }
    assert!(Seed::parse(&encode(KeyKind::Operator.prefix(), &[7; 32])).is_ok());
}

#[test]
fn damage_is_named_and_nothing_is_repeated() {
    let text = Seed::generate(KeyKind::Account).unwrap().reveal();
    let public = Seed::parse(&text).unwrap().public_key().to_string();
    let refused = |text: &str| Seed::parse(text).unwrap_err().to_string();
    for (damaged, reason) in [
        (text[..57].to_owned(), "wrong length"),
        (format!("{}A", *text), "wrong length"),
        (text.replacen(&text[20..21], if &text[20..21] == "A" { "B" } else { "A" }, 1), "wrong checksum"),
        (text.to_lowercase(), "not base32"),
        (String::new(), "wrong length"),
        (public, "a public key"),
    ] {
        let message = refused(&damaged);
        assert!(message.contains(reason), "{message}");
        assert!(damaged.len() < 8 || !message.contains(&damaged[..8]));
    }
    assert_eq!(Seed::parse_bytes(&[0xff; 58]).unwrap_err(), SeedError::Damaged("not text"));
}

#[test]
fn debug_shows_the_public_key_only() {
    let seed = Seed::generate(KeyKind::Operator).unwrap();
    let shown = format!("{seed:?} {seed:#?}");
    assert!(shown.contains(&seed.public_key().to_string()));
    assert!(!shown.contains(&seed.reveal()[2..40]));
}

proptest! {
    #[test]
    fn any_secret_survives_and_agrees_with_nkeys(secret: [u8; 32], kind in 0usize..3) {
        let text = encode(KINDS[kind].prefix(), &secret);
        let seed = Seed::parse(&text).unwrap();
        prop_assert_eq!(seed.kind(), KINDS[kind]);
        prop_assert_eq!(&*seed.reveal(), &text);
        prop_assert_eq!(nkeys::KeyPair::from_seed(&text).unwrap().public_key(), seed.public_key().to_string());
    }

    #[test]
    fn any_text_is_judged_without_panic(text in ".{0,80}", letters in "[A-Z2-7]{58}") {
        let _ = Seed::parse(&text);
        let _ = Seed::parse(&letters);
        let _ = PublicKey::parse(&text);
        let _ = PublicKey::parse(&letters[..56]);
    }

    #[test]
    fn one_changed_letter_is_noticed(secret: [u8; 32], at in 0usize..57, letter in "[A-Z2-7]") {
        let text = encode(KeyKind::Operator.prefix(), &secret);
        let mut changed = text.clone();
        changed.replace_range(at..=at, &letter);
        prop_assert!(changed == text || Seed::parse(&changed).is_err());
    }
}
