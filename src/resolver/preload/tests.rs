use super::*;
use crate::sign::{Seed, Signer as _, issue};
use proptest::prelude::*;
use serde_json::json;

fn account() -> PublicKey {
    Seed::generate(KeyKind::Account).unwrap().public_key()
}

fn token(id: &PublicKey) -> SignedToken {
    let claims = json!({ "sub": id, "name": "A", "nats": { "type": "account", "version": 2 } });
    issue(&claims, &Seed::generate(KeyKind::Operator).unwrap(), 1000).unwrap()
}

fn edit(text: &str, tokens: &[(&PublicKey, &SignedToken)]) -> String {
    let tokens: Vec<(PublicKey, &SignedToken)> = tokens.iter().map(|(id, token)| ((*id).clone(), *token)).collect();
    edited(text, &parse(text).unwrap(), &tokens)
}

/// The file as `nsc generate config --mem-resolver` writes it, and as users write it.
#[test]
fn tokens_change_and_nothing_else() {
    let [first, second, third] = std::array::from_fn(|_| account());
    let (new, more) = (token(&second), token(&third));
    for text in [
        format!("resolver_preload: {{\n  // Account \"SYS\"\n  {first}: a.b.c\n\n  # mine\n  {second}: OLD\n}}\n"),
        format!("resolver_preload {{ {first} = \"a.b.c\", \"{second}\": 'OLD' }} # end"),
        format!("Resolver_Preload={{{first} a.b.c;{second} OLD}}"),
        format!("// head\r\nresolver_preload: {{\r\n\t{second}: OLD\r\n\t{first}: a.b.c\r\n}}\r\n"),
    ] {
        let parsed = parse(&text).unwrap();
        let found = |id: &PublicKey| {
            let entry = parsed.entries.iter().find(|entry| entry.id == *id);
            entry.map(|entry| &text[entry.at.clone()])
        };
        assert_eq!([found(&first), found(&second), found(&third)], [Some("a.b.c"), Some("OLD"), None], "{text}");
        assert_eq!(edit(&text, &[(&second, &new)]), text.replace("OLD", new.as_str()));
        let both = edit(&text, &[(&third, &more), (&second, &new)]);
        let read = parse(&both).unwrap();
        let ids: Vec<&PublicKey> = read.entries.iter().map(|entry| &entry.id).collect();
        assert!(ids.len() == 3 && ids[2] == &third, "{both}");
        assert_eq!(&both[read.entries[2].at.clone()], more.as_str());
        let line = format!("\n  {third}: {}\n", more.as_str());
        assert!(both.contains(&line), "{both}");
        let taken_out = both.replacen(&line[1..], "", 1).replace(new.as_str(), "OLD");
        assert!(taken_out == text || taken_out.replacen("\n}", "}", 1) == text, "{taken_out:?} of {text:?}");
    }
    for text in [
        "resolver_preload: {# ours\n}".to_owned(),
        format!("resolver_preload: {{ {first}: \"eyJ\" # note\n}}"),
        format!("resolver_preload: {{ {first}: eyJ # note\r}}"),
        format!("resolver_preload: {{ {first}: eyJ}}"),
    ] {
        let edited = edit(&text, &[(&third, &more)]);
        assert!(edited.contains(&format!("\n  {third}: {}\n}}", more.as_str())), "{edited}");
    }
    let empty = edit("resolver_preload {}", &[(&third, &more)]);
    assert_eq!(empty, format!("resolver_preload {{\n  {third}: {}\n}}", more.as_str()));
}

/// This tool does not keep or understand settings other than the preload.
#[test]
fn whatever_else_is_in_the_file_is_refused_by_its_line() {
    let id = account();
    for (text, line, why) in [
        ("", 1, "the end is not expected".to_owned()),
        ("operator: a.b.c\nresolver_preload: {}", 1, "`operator` is not expected".to_owned()),
        ("resolver_preload: {}\n\nresolver: MEMORY\n", 3, "`resolver` is not expected".to_owned()),
        ("resolver_preload: [ ]", 1, "a `{` is missing".to_owned()),
        ("resolver_preload: {\n  include x.conf\n}", 2, "`include` is not the public key".to_owned()),
        ("resolver_preload: {\n", 2, "the `}` of `resolver_preload` is missing".to_owned()),
        (&format!("resolver_preload: {{\n {id}: a\n {id}: b\n}}"), 3, format!("account {id} is there twice")),
        (&format!("resolver_preload: {{\n {id}: \"a\n }}"), 2, "a quote is not closed".to_owned()),
        (&format!("resolver_preload: {{\n {id}: a#b\n }}"), 2, "'#' is not expected right behind".to_owned()),
        (&format!("resolver_preload: {{ {id}: a {id}: b }}"), 1, "between two entries".to_owned()),
        (&format!("resolver_preload: {{\n {id}: $TOKEN\n }}"), 2, "'$' is not expected".to_owned()),
        (&format!("resolver_preload: {{\n {id}: (\n a\n) }}"), 2, "'(' is not expected".to_owned()),
    ] {
        let bad = parse(text).unwrap_err();
        assert!(bad.line == line && bad.message.contains(&why), "{text:?}: {bad:?}");
    }
}

proptest! {
    /// No text makes the parser panic. A text that it parses can still be parsed after an edit.
    #[test]
    fn any_text_is_refused_or_edited(text in "(resolver_preload)?[ :={}\"'#/\\\\\n,;A-Za-z$é\u{0}]{0,80}") {
        let id = account();
        let signed = token(&id);
        if let Ok(parsed) = parse(&text) {
            let edited = edited(&text, &parsed, &[(id.clone(), &signed)]);
            let again = parse(&edited).unwrap();
            prop_assert_eq!(again.entries.len(), parsed.entries.len() + 1);
        }
    }
}
