use super::seeds::is_seed;
use super::*;
use crate::model::nkey::{KeyKind, crc16};
use crate::sign::{Seed, Signer as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::borrow::Cow;

fn seed(kind: KeyKind) -> String {
    Seed::generate(kind).unwrap().reveal().to_string()
}

/// The seed of a curve key, which this program does not use but other tools do.
fn curve_seed() -> String {
    let mut raw = [7u8; 36];
    (raw[0], raw[1]) = (18 << 3 | (23 << 3) >> 5, ((23u8 << 3) & 31) << 3);
    let crc = crc16(&raw[..34]).to_le_bytes();
    raw[34..].copy_from_slice(&crc);
    data_encoding::BASE32_NOPAD.encode(&raw)
}

fn token(claims: &serde_json::Value) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let header = part(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    format!("{header}.{}.{}", part(&claims.to_string()), "x".repeat(86))
}

/// Asserts that each text is completely hidden, alone and within other text, and that the rest stays visible.
#[track_caller]
fn hidden(kind: Kind, secret: &str) {
    let note = format!("({}, not shown)", kind.with_article());
    for (before, after) in [("", ""), ("key: ", " # é"), ("ü\"", "\","), ("a\n", "\nb")] {
        let text = format!("{before}{secret}{after}");
        assert_eq!(hide(&text), format!("{before}{note}{after}"), "{text}");
    }
    assert!(find(secret).iter().all(|found| found.kind == kind && found.certain), "{secret}");
}

#[track_caller]
fn untouched(text: &str) {
    assert!(matches!(hide(text), Cow::Borrowed(_)), "{text}: {:?}", find(text));
}

#[test]
fn seeds_are_found_by_their_checksum() {
    for kind in [KeyKind::Operator, KeyKind::Account, KeyKind::User] {
        let (seed, public) = (Seed::generate(kind).unwrap(), Seed::generate(kind).unwrap().public_key().to_string());
        let seed = seed.reveal();
        hidden(Kind::Seed, &seed);
        untouched(&public);
        // In the middle of a longer word, as after a paste without blanks.
        let text = format!("AAAA{}{public}:{}22", *seed, *seed);
        assert_eq!(hide(&text), format!("AAAA(a seed, not shown){public}:(a seed, not shown)22"));
    }
    assert!(curve_seed().starts_with("SX"));
    hidden(Kind::Seed, &curve_seed());
}

#[test]
fn what_is_about_a_seed_is_hidden_and_not_certain() {
    let whole = seed(KeyKind::User);
    let mut wrong = whole.clone().into_bytes();
    wrong[20] = if wrong[20] == b'A' { b'B' } else { b'A' };
    for text in [&whole[..57], &whole[..56], std::str::from_utf8(&wrong).unwrap()] {
        let found = find(text);
        assert_eq!(found, [Secret { kind: Kind::Seed, range: 0..text.len(), certain: false }], "{text}");
    }
    for text in ["", "S", "SU", "STREAMSTREAMSTREAM", &whole[..40], &whole.to_lowercase(), &"A".repeat(4000)] {
        untouched(text);
    }
    untouched("SATP3LNGFPUGLE6ETXSFKZFLAUODEYQ4VTXVVZHZ7OCF6PAM2JNA");
}

#[test]
fn identities_keys_and_pins() {
    let body = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE";
    let age = format!("AGE-SECRET-KEY-1{body}");
    hidden(Kind::AgeIdentity, &age);
    hidden(Kind::AgeIdentity, &age.to_lowercase());
    hidden(Kind::AgeIdentity, &format!("AGE-SECRET-KEY-PQ-1{body}"));
    untouched("there is no age identity (AGE-SECRET-KEY-1…) in it");
    for line_end in ["\n", "\r\n", "\\n", "\n    "] {
        let text = format!("-----BEGIN PRIVATE KEY-----{line_end}{body}{line_end}-----END PRIVATE KEY-----");
        let shown = hide(&text).into_owned();
        assert!(!shown.contains(&body[..20]) && shown.ends_with("-----END PRIVATE KEY-----"), "{shown}");
    }
    assert!(!hide(&format!("-----BEGIN EC PRIVATE KEY-----\n{body}")).contains(body));
    untouched("it is not PEM with a `-----BEGIN PRIVATE KEY-----` in it");
    assert_eq!(
        hide("'pkcs11:object=op?pin-value=12%2034&module-path=x.so'"),
        "'pkcs11:object=op?pin-value=(a PIN, not shown)&module-path=x.so'"
    );
    untouched("`pin-value` puts the PIN where others see it: pin-value=");
}

#[test]
fn tokens_of_users_and_of_nobody_else() {
    let user = Seed::generate(KeyKind::User).unwrap().public_key();
    let of_user = token(&json!({ "sub": user, "nats": { "type": "user", "version": 2 } }));
    hidden(Kind::UserToken, &of_user);
    hidden(Kind::UserToken, &token(&json!({ "sub": user, "type": "user" })));
    hidden(Kind::UserToken, &token(&json!({ "nats": { "type": "user" } })));
    untouched(&token(&json!({ "sub": "AB", "nats": { "type": "account" } })));
    untouched(&token(&json!({ "sub": "AB", "nats": { "type": "activation" } })));
    // Without a signature, the token cannot be used to log in.
    untouched(&of_user[..of_user.len() - 87]);
    let text = format!("a {of_user} b {} c", token(&json!({ "sub": "AB", "nats": { "type": "account" } })));
    assert_eq!(find(&text).len(), 1);
}

/// Asserts that nothing of the signature of a token is shown.
#[track_caller]
fn hides_token(text: &str) {
    let shown = hide(text);
    let end = text.find(r"\n------END").map_or("", |end| &text[end..]);
    assert!(shown.ends_with(&format!("(a user's token, not shown){end}")), "{text}: {shown}");
    assert!(find(text).iter().all(|found| found.certain), "{text}");
}

#[test]
fn tokens_of_users_behind_anything_and_with_any_header() {
    let of_user = token(&json!({ "sub": "UB", "nats": { "type": "user", "version": 2 } }));
    for before in ["x", "x-", "x_", "x.", "x.y.", r"\n", r"-----BEGIN NATS USER JWT-----\n", "e", "eyJ"] {
        hides_token(&format!("{before}{of_user}"));
        hides_token(&format!(r"{before}{of_user}\n------END NATS USER JWT------"));
    }
    let (_, rest) = of_user.split_once('.').unwrap();
    for header in ["{ \"typ\":\"JWT\"}", "{\n\"typ\":\"JWT\"}", " {\"alg\":\"ed25519-nkey\"}"] {
        hides_token(&format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header)));
    }
    let of_account = token(&json!({ "sub": "AB", "nats": { "type": "account" } }));
    hides_token(&format!("{of_account}.{of_user}"));
    untouched(&format!("x.{of_account}"));
}

#[test]
fn a_token_is_a_users_unless_it_says_without_doubt_that_it_is_not() {
    let of = |claims: &str| format!("eyJ9.{}.{}", URL_SAFE_NO_PAD.encode(claims), "x".repeat(86));
    for claims in [
        r#"{"sub":"UB","sub":"UB","nats":{"type":"user"}}"#,
        r#"{"sub":"AB","sub":"UB","nats":{"type":"account"}}"#,
        r#"{"Sub":"UB","nats":{"Type":"user"}}"#,
        r#"{"sub":"AB","ſub":"UB","nats":{"type":"account"}}"#,
        r#"{"sub":"AB","nats":{"type":"account","TYPE":"user"}}"#,
        r#"{"sub":"AB","nats":{"type":"account","type":"user"}}"#,
        r#"{"sub":"AB","type":"user","nats":{"type":"account"}}"#,
        r#"{"sub":"AB","type":"account","nats":{"type":"user"}}"#,
        r#"{"sub":"UB","nats":{"type":"account"}}"#,
        r#"{"sub":"someone","aud":"elsewhere"}"#,
        r#" {"sub":"UB","nats":7}"#,
    ] {
        hides_token(&of(claims));
    }
    for claims in [
        r#"{"sub":"AB","nats":{"type":"account","limits":{"conn":5},"mappings":{"a.b":[]}}}"#,
        r#"{"sub":"OB","nats":{"type":"operator"}}"#,
        r#"{"sub":"AB","type":"activation","nats":{"subject":"a.>","type":"service"}}"#,
        "{}",
    ] {
        untouched(&of(claims));
    }
    for text in ["a.b.c", "orders.e30.v1", "127.0.0.1:4222", "see docs.rs. Or not...", "$JS.API.STREAM.INFO.x"] {
        untouched(text);
    }
}

#[test]
fn passwords_in_urls_with_whatever_is_in_them() {
    for (text, shown) in [
        ("nats://me:secret@h:4222", "nats://*@h:4222"),
        ("tls://tok3n@h", "tls://*@h"),
        ("NATS://me:s@h", "NATS://*@h"),
        ("nats://me:se/cret1234@h:4222", "nats://*@h:4222"),
        ("nats://me:1234/5678@h:4222", "nats://*@h:4222"),
        ("nats://me:se,cret@h", "nats://*@h"),
        ("nats://me:se'cret@h", "nats://*@h"),
        ("nats://me:se\"cret@h", "nats://*@h"),
        ("nats://me:se]cret@h", "nats://*@h"),
        ("nats://me:se cret 12@h:1", "nats://*@h:1"),
        ("nats://me:p@ss@h:1", "nats://*@h:1"),
        ("nats://me:se#cr?et@h:1", "nats://*@h:1"),
        ("nats://mé:sécret@h:1", "nats://*@h:1"),
        ("nats://user:pass@[::1]:4222", "nats://*@[::1]:4222"),
        ("https://a:b@example.com/x", "https://*@example.com/x"),
        ("https://a:b/c@example.com/x", "https://*@example.com/x"),
        ("me:secret1234@h", "*@h"),
        ("[\"me:secret1234@h\", nats://b:1]", "[\"*@h\", nats://b:1]"),
        ("servers: [nats://a:1, me:secret1234@h]", "servers: [nats://a:1, *@h]"),
        ("nats://a:b@c:1,nats://d:e@f:2", "nats://*@c:1,nats://*@f:2"),
        // After a text that could be a complete address.
        ("nats://h:1,me:secret@h2:4222", "nats://*@h2:4222"),
        ("nats://h:1;me:secret@h2:4222", "nats://*@h2:4222"),
        ("nats://[::1]:4222,me:cret@h", "nats://*@h"),
        ("nats://me:1234 cret@h:4222", "nats://*@h:4222"),
        ("nats://me:12'cret@h", "nats://*@h"),
        ("nats://me:12\"cret@h", "nats://*@h"),
        ("nats://me:12,cret@h", "nats://*@h"),
        ("nats://me:12)cret@h", "nats://*@h"),
        ("nats://me:12]cret@h", "nats://*@h"),
        ("nats://me:cret%40h:4222", "nats://*%40h:4222"),
        ("http://me:1234/cret@h:80/", "http://*@h:80/"),
        ("http://h/,me:cret@h2:4222", "http://h/,*@h2:4222"),
        ("a:b@h1:1,c:d@h2:2", "*@h2:2"),
        ("me:p@ss@h:1", "*@h:1"),
    ] {
        let found = find(text);
        let mut seen = text.to_owned();
        for secret in found.iter().rev() {
            assert_eq!(secret.kind, Kind::Password);
            seen.replace_range(secret.range.clone(), "*");
        }
        assert_eq!(seen, shown, "{text}");
        assert_eq!(masked(text, found.into_iter().map(|secret| secret.range)).len(), text.len());
    }
}

#[test]
fn addresses_without_passwords_stay() {
    for text in [
        "nats://127.0.0.1:14222",
        "[nats://a:1, nats://b:2]",
        "account APP is being changed by bob@host with `apply` since 2026-01-01T00:00:00Z",
        "connected to nats://h:4222, and bob@host waits",
        "[\"nats://h:1\",\"bob@host\"]",
        r#"{"url":"nats://h:4222","who":"bob@host"}"#,
        "see https://example.com/@bob and https://example.com/a?b=c@d",
        "mailto:team@example.com",
        "git@github.com:a/b.git",
        "a: b @ c",
        "foo:bar@",
        "@",
        "nats://@h",
        "nats://[::1]:4222 bob@host",
        "nats://*********@h:4222",
        "nats://h:4222, bob@host:4222",
        "nats://h:4222 since 12:30 by bob@host",
        "at 12:30 bob@host:4222 said",
        "http://h:8080/@bob",
        "{\"url\":[\"nats://h:4222\"],\"who\":\"bob@host\"}",
    ] {
        untouched(text);
    }
    // Hidden, but the text stays valid.
    for text in [
        "image: registry/x:1.2@sha256:0123",
        "https://git@example.com/x",
        "key:value@host",
        "http://me:1234/cret@h/",
        "see me:se cret@h:4222",
    ] {
        assert!(!find(text).is_empty(), "{text}");
        assert!(find(text).iter().all(|secret| !secret.certain), "{text}");
    }
}

#[test]
fn what_is_hidden_stays_as_it_is() {
    let seed = seed(KeyKind::User);
    let body = "A".repeat(30);
    for text in [
        format!("{seed} nats://me:secret@h:1, me:secret@h:1 http://me:1234/cret@h:80/ me:se cret@h:4222"),
        format!("-----BEGIN PRIVATE KEY-----{body}-----END PRIVATE KEY-----"),
        "pkcs11:object=op?pin-value=1234&module-path=x.so pin-value=1".to_owned(),
        token(&json!({ "sub": "UB" })),
    ] {
        let once = hide(&text).into_owned();
        assert_ne!(once, text);
        untouched(&once);
    }
}

#[test]
fn json_is_hidden_value_by_value() {
    let body = "A".repeat(30);
    let apart = json!({ "role": "nats://a:b", "key": "K", "tags": ["x@h", "PRIVATE KEY-----", body] });
    assert_eq!(hide_json(apart.clone()), apart);
    let hidden = hide_json(json!({ "a:b@h:1": 1, "c:d@h:1": 2, "x": ["a:b@h:1\nmore", "nats://me:se\ncret@h"] }));
    let note = "(a password, not shown)";
    assert_eq!(
        hidden,
        json!({ format!("{note}@h:1"): 1, format!("{note}@h:1 (2)"): 2,
                "x": [format!("{note}@h:1\nmore"), format!("nats://{note}@h")] })
    );
}

#[test]
fn many_secrets_do_not_overlap() {
    let seed = seed(KeyKind::Account);
    let text = format!("nats://me:{seed}@h:1 {seed} pin-value={seed} me:{seed}@h:1");
    let found = find(&text);
    assert!(found.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start), "{found:?}");
    assert!(!hide(&text).contains(&seed) && !masked(&text, found.into_iter().map(|s| s.range)).contains(&seed));
}

/// Searching a text that was crafted to be slow takes time and memory in proportion to its length.
#[test]
fn no_text_is_slow_to_search() {
    let begun = std::time::Instant::now();
    for part in [
        "SU",
        "SUA",
        "SUAA",
        "SUAAB",
        "eyJ",
        "eyJ.",
        "eyJ-",
        "eyJa.eyJa.a ",
        "@",
        "a:b@",
        "a:@",
        ":@",
        "a://",
        "a://a:b@",
        "nats://",
        "nats://a:b ",
        "://@",
        "PRIVATE KEY-----",
        "PRIVATE KEY-----n",
        "AGE-SECRET-KEY-",
        "age-secret-key-",
        "pin-value=",
        "pin-value=a",
        "é@",
        "-----",
    ] {
        let text = part.repeat(60_000 / part.len());
        assert!(hide(&text).len() < 40 * text.len(), "{part}");
        assert!(find_some(&text, 3).len() <= 6 * 4, "{part}");
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", begun.elapsed());
}

/// Each `@` of a line must not cost a search of the 512 bytes before it.
#[test]
fn a_long_line_of_addresses_is_searched_once() {
    for part in
        ["a:b@", "a:b@a:b@", "nats://a:b@", "nats://me:c@h ", "a:@", "a:b c@d:1 ", "nats://a:1 b@c:1 ", "a.b.c."]
    {
        let text = "x://".repeat(10) + &part.repeat(1_000_000 / part.len());
        let begun = std::time::Instant::now();
        assert!(hide(&text).len() < 40 * text.len() && find_some(&text, 3).len() <= 6 * 4, "{part}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{part}: {:?}", begun.elapsed());
    }
}

proptest::proptest! {
    /// A seed is hidden in any surroundings, and offsets stay valid.
    #[test]
    fn no_surrounding_hides_a_seed(before in "\\PC*", after in "\\PC*") {
        // A fixture whose 32 key bytes are all 7; it is not a real secret.
        let seed = "SUADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYTI";
        let seed = if is_seed(seed.as_bytes()) { seed.to_owned() } else { curve_seed() };
        let text = format!("{before}{seed}{after}");
        proptest::prop_assert!(!hide(&text).contains(&seed));
        let shown = masked(&text, find(&text).into_iter().map(|secret| secret.range)).into_owned();
        proptest::prop_assert_eq!(shown.len(), text.len());
    }
}

#[test]
fn a_secret_is_found_in_json_however_it_is_written() {
    let seed = curve_seed();
    let escaped: String = seed.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let in_part = format!("{}\\u{:04X}{}", &seed[..20], u32::from(seed.as_bytes()[20]), &seed[21..]);
    for written in [&seed, &escaped, &in_part] {
        for text in [
            format!("{{\"a\":\"{written}\"}}"),
            format!("{{\"a\":[1.5e3,null,true,-7,{{\"b\":\"x {written} y\"}}]}}"),
            format!("{{\"a {written}\":{{}}}}"),
            format!("[\"{written}\""),
        ] {
            assert_eq!(find_in_json(&text), Some(Kind::Seed), "{text}");
        }
    }
    for text in [r#"{"a":"\u0041B","b":[1,2.5]}"#, "", "x", &format!("{{\"a\":\"{}\"}}", &escaped[..escaped.len() / 2])]
    {
        assert_eq!(find_in_json(text), None, "{text}");
    }
}
