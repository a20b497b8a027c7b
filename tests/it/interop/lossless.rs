//! Decode, edit, encode: only the named mappings differ.

use crate::interop::fixtures::{accounts, claims_text, folder, mapping, operator, token};
use similar::{ChangeTag, TextDiff};
use vstream_jwt::model::claims::{AccountClaims, ClaimsError, OperatorClaims, Token};
use vstream_jwt::sign::{self, next_iat};

/// Returns one JSON token per line, with escapes resolved, and numbers and order unchanged. serde_json writes `1E400`
/// as `1e+400`, which has the same digits, so the fixture's number is written that way too.
fn lines(json: &str) -> Vec<String> {
    let json = json.replace("1E+400", "1e+400");
    let mut lines = vec![String::new()];
    let mut rest = json.as_str();
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let closes = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                closes
            });
            let literal = &rest[..end.unwrap() + 2];
            let text: String = serde_json::from_str(literal).unwrap();
            lines.last_mut().unwrap().push_str(&format!("{text:?}"));
            rest = &rest[literal.len()..];
        } else {
            lines.last_mut().unwrap().push(c);
            rest = &rest[c.len_utf8()..];
            if matches!(c, '{' | '[' | ',' | '}' | ']') {
                lines.push(String::new());
            }
        }
    }
    lines
}

fn changed(before: &str, after: &str) -> Vec<String> {
    let (before, after) = (lines(before), lines(after));
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.iter().map(String::as_str).collect(), after.iter().map(String::as_str).collect());
    let diff = TextDiff::from_slices(&before, &after);
    let signs = diff.iter_all_changes().filter_map(|change| match change.tag() {
        ChangeTag::Equal => None,
        ChangeTag::Delete => Some(format!("-{}", change.value())),
        ChangeTag::Insert => Some(format!("+{}", change.value())),
    });
    signs.collect()
}

#[test]
fn signing_anew_changes_issuer_time_and_id_only() {
    for name in accounts() {
        let text = token(&name);
        let claims = AccountClaims::decode(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let operator = operator();
        let again = sign::issue(claims.value(), &operator, next_iat(1, [claims.issued_at()])).unwrap();
        let changed = changed(&claims_text(&text), &claims_text(again.as_str()));
        let expected =
            |line: &String| ["\"iss\":", "\"iat\":", "\"jti\":"].iter().any(|field| line[1..].starts_with(field));
        assert!(changed.len() == 6 && changed.iter().all(expected), "{name}: {changed:#?}");
        assert_eq!(claims.token_size(), again.as_str().len(), "{name}");
    }
}

#[test]
fn an_added_and_removed_mapping_leaves_no_trace() {
    for name in accounts() {
        let claims = AccountClaims::decode(&token(&name)).unwrap();
        let mut edited = claims.clone();
        let ours = mapping("vs.test.>", &[("vs.west.test.>", 100, Some("west")), ("vs.rest.test.>", 100, None)]);
        assert!(edited.set_mapping(&ours), "{name}");
        assert!(!edited.set_mapping(&ours), "{name}: the second time changes nothing");
        assert_eq!(edited.mappings().len(), claims.mappings().len() + 1);
        assert!(edited.remove_mapping("vs.test.>"));
        assert!(!edited.remove_mapping("vs.test.>"));
        assert_eq!(
            serde_json::to_string(edited.value()).unwrap(),
            serde_json::to_string(claims.value()).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn an_edit_shows_as_that_edit_and_nothing_else() {
    let out = std::env::var_os("VSTREAM_INTEROP_OUT").map(std::path::PathBuf::from);
    for name in accounts() {
        let text = token(&name);
        let mut claims = AccountClaims::decode(&text).unwrap();
        let had_mappings = !claims.mappings().is_empty();
        let untouched = claims.mappings();
        claims.set_mapping(&mapping("ours.>", &[("ours.west.>", 100, Some("west")), ("ours.rest.>", 50, None)]));
        let token = sign::issue(claims.value(), &operator(), next_iat(1, [claims.issued_at()])).unwrap();
        let inserted: Vec<String> = changed(&claims_text(&text), &claims_text(token.as_str()))
            .into_iter()
            .filter(|line| !["\"iss\":", "\"iat\":", "\"jti\":"].iter().any(|field| line[1..].starts_with(field)))
            .collect();
        let text = inserted.concat();
        for part in ["\"ours.>\":[", "\"subject\":\"ours.west.>\",", "\"cluster\":\"west\"}", "\"weight\":50}"] {
            assert!(text.replace('+', "").contains(part), "{name}: {part} in {inserted:#?}");
        }
        assert!(!text.contains("\"weight\":100"), "{name}: {inserted:#?}");
        let removed = inserted.iter().filter(|line| line.starts_with('-')).count();
        assert!(removed <= 2, "{name}: only a closing bracket moves: {inserted:#?}");
        assert_eq!(text.contains("\"mappings\":{"), !had_mappings, "{name}");
        let again = AccountClaims::decode(token.as_str()).unwrap();
        assert_eq!(again.mappings()[..untouched.len()], untouched);
        if let Some(out) = &out {
            std::fs::create_dir_all(out).unwrap();
            std::fs::write(out.join(format!("{name}.jwt")), token.as_str()).unwrap();
            let mappings = serde_json::to_string(&again.value()["nats"]["mappings"]).unwrap();
            std::fs::write(out.join(format!("{name}.mappings.json")), mappings).unwrap();
        }
    }
}

#[test]
fn a_replaced_mapping_keeps_its_place() {
    let mut claims = AccountClaims::decode(&token("account-unknown")).unwrap();
    let sources = |claims: &AccountClaims| claims.mappings().iter().map(|m| m.source.clone()).collect::<Vec<_>>();
    assert_eq!(sources(&claims), ["z.>", "a"]);
    assert!(!claims.set_mapping(&mapping("z.>", &[("y.>", 100, None)])), "it says the same in other words");
    assert_eq!(claims.value()["nats"]["mappings"]["z.>"][0]["colour"], "mauve");
    assert!(claims.set_mapping(&mapping("z.>", &[("x.>", 100, None)])));
    assert_eq!(sources(&claims), ["z.>", "a"]);
    assert_eq!(claims.value()["nats"]["mappings"]["a"][0]["latency"].to_string(), "1.000");
    assert!(claims.remove_mapping("z.>") && claims.remove_mapping("a"));
    assert!(claims.value()["nats"].get("mappings").is_none());
    assert_eq!(claims.value()["zeta"]["b"].to_string(), "[1,2.50,-0,1e+400,123456789012345678901234567890.000]");
    let order: Vec<&String> = claims.value()["nats"].as_object().unwrap().keys().collect();
    assert_eq!(order, ["quantum", "version", "type", "limits", "signing_keys", "exports", "future_list"]);
}

#[test]
fn views_say_what_the_token_says() {
    let rich = AccountClaims::decode(&token("account-rich")).unwrap();
    assert_eq!(rich.name(), "RICH <&> Ünïcode");
    assert_eq!(rich.tags(), ["env:prod", "team:a"]);
    assert_eq!((rich.expires(), rich.not_before()), (Some(4_102_444_800), Some(1)));
    assert_eq!((rich.limits().payload, rich.limits().subs, rich.limits().imports), (1 << 20, 1000, -1));
    assert!(rich.limits().disallow_bearer && rich.limits().wildcards);
    let js = rich.jetstream_limits();
    assert_eq!((js.global.disk_storage, js.global.mem_storage, js.global.streams), (i64::MAX, -1, 200));
    assert!(js.global.max_bytes_required && js.enabled() && js.for_replicas(3) == Some(&js.global));
    let scopes: Vec<_> = rich.signing_keys().iter().map(|k| k.scope.as_ref().map(|s| s.role.as_str())).collect();
    assert!(scopes.contains(&None) && scopes.contains(&Some("provision")) && scopes.len() == 2);
    assert_eq!(rich.exports().iter().map(|e| e.subject.as_str()).collect::<Vec<_>>(), ["events.*.>", "svc.*"]);
    assert!(rich.exports()[1].token_req && rich.exports()[1].revocations.len() == 1);
    assert_eq!(rich.imports()[1].local_subject, "in.ticks.>");
    assert!(rich.imports()[1].has_token && !rich.imports()[0].has_token);
    assert_eq!(rich.default_permissions().publish.deny, ["secret.>"]);
    assert!(rich.revocations().iter().any(|r| r.key == "*" && r.before == 1_600_000_000));
    let canary = rich.mappings().into_iter().find(|m| m.source == "canary").unwrap();
    assert_eq!(canary.destinations.iter().map(|d| d.weight).collect::<Vec<_>>(), [90, 10]);

    let tiers = AccountClaims::decode(&token("account-tiers")).unwrap();
    let js = tiers.jetstream_limits();
    assert_eq!(js.for_replicas(3).unwrap().disk_storage, 9_007_199_254_740_993);
    assert_eq!((js.for_replicas(1).unwrap().streams, js.for_replicas(5)), (100, None));

    let plain = AccountClaims::decode(&token("account-plain")).unwrap();
    assert!(!plain.jetstream_limits().enabled() && plain.mappings().is_empty());
    let own = AccountClaims::decode(&token("account-self-signed")).unwrap();
    assert_eq!(own.issuer(), own.id());
}

#[test]
fn operators_say_whom_they_trust() {
    let open = OperatorClaims::decode(&token("operator")).unwrap();
    let strict = OperatorClaims::decode(&token("operator-strict")).unwrap();
    assert_eq!(open.trusted_keys(), [open.identity.clone(), open.signing_keys[0].clone()]);
    assert_eq!(strict.trusted_keys(), open.signing_keys);
    assert!(strict.strict && strict.system_account.is_some() && strict.name == "OP");
    let by_nsc = OperatorClaims::decode(&token("nsc-operator")).unwrap();
    assert!(by_nsc.strict && by_nsc.system_account.is_some());
    let app = AccountClaims::decode(&token("nsc-account-app")).unwrap();
    assert!(by_nsc.trusted_keys().contains(app.issuer()) && *app.issuer() != by_nsc.identity);
    let claims = Token::decode(&token("operator-strict")).unwrap().into_claims();
    assert_eq!(OperatorClaims::from_claims(&claims).unwrap(), strict);
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    let refused = |name: &str| AccountClaims::decode(&token(name)).unwrap_err();
    assert_eq!(
        refused("account-duplicate-key"),
        ClaimsError::DuplicateKey { part: "claims", path: "nats.mappings.a".into() }
    );
    assert_eq!(refused("account-version-1"), ClaimsError::Version1);
    assert_eq!(refused("account-version-3"), ClaimsError::UnknownVersion { found: "3".into() });
    assert!(matches!(refused("account-case-variant"), ClaimsError::Field { path, .. } if path == "nats.Mappings"));
    assert_eq!(refused("user"), ClaimsError::WrongType { expected: "account", found: "user".into() });
    assert!(matches!(OperatorClaims::decode(&token("account-plain")), Err(ClaimsError::WrongType { .. })));
}

#[test]
fn fixtures_hold_no_seed() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        assert!(!words.into_iter().any(|word| word.len() == 58 && word.starts_with('S')));
        for token in text.split_whitespace().filter(|word| word.split('.').count() == 3 && word.starts_with("eyJ")) {
            let claims = claims_text(token);
            assert!(!claims.split('"').any(|word| word.len() == 58 && word.starts_with('S')));
        }
    }
}
