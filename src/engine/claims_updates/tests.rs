use super::*;
use crate::model::nkey::KeyKind;
use crate::observed::Server;
use crate::observed::connection::{Delivery, MessageSender, message_channel};
use crate::sign::tests::respelled;
use crate::sign::{Seed, Signer as _, issue};
use serde_json::{Value, json};

const STARTED: u64 = 2_000_000_000;
const ALL: &str = ALL_SUBJECTS[0];

/// A run that is subscribed to pushes, a trusted operator, and pushes of other tools.
struct Run {
    operator: Seed,
    stranger: Seed,
    account: PublicKey,
    sender: MessageSender,
    pushes: UpdateLog,
}

impl Run {
    /// Returns a run that began with a token issued at `began_with`, and that token.
    fn began_with(began_with: u64) -> (Self, String) {
        let key = |kind| Seed::generate(kind).unwrap();
        let (operator, stranger) = (key(KeyKind::Operator), key(KeyKind::Operator));
        let (sender, messages) = message_channel();
        let mut pushes = UpdateLog::new(messages, STARTED);
        pushes.trust_basis = trust_basis(&operator, &[&operator]);
        let account = key(KeyKind::Account).public_key();
        let mut run = Self { operator, stranger, account, sender, pushes };
        let first = run.token(&json!({ "revocations": { "U": 7 } }), began_with);
        assert_eq!(run.merge_concurrent(&first), Ok(None));
        (run, first)
    }

    fn claims(&self, nats: &Value) -> Value {
        let mut claims = json!({ "sub": self.account, "name": "APP", "nats": {
            "type": "account", "version": 2, "limits": { "subs": -1 } } });
        for (name, value) in nats.as_object().unwrap() {
            claims["nats"][name] = value.clone();
        }
        claims
    }

    fn token(&self, nats: &Value, iat: u64) -> String {
        issue(&self.claims(nats), &self.operator, iat).unwrap().as_str().to_owned()
    }

    fn read(&self, token: &str) -> TrustedClaims {
        TrustedClaims::verify(token, &TrustAnchor::of_key(&self.operator.public_key())).unwrap()
    }

    fn hear(&mut self, subject: &str, payload: &str) {
        let heard = ReceivedMessage { subject: subject.to_owned(), payload: payload.as_bytes().to_vec() };
        assert_eq!(self.sender.send(heard), Delivery::Queued);
        self.pushes.take_in();
    }

    /// Merges the claims while servers have this token. Returns `None` if the merge changes nothing.
    fn merge_concurrent(&mut self, stored: &str) -> Result<Option<Value>, Vec<Unmerged>> {
        let claims = self.read(stored);
        self.pushes
            .merge_concurrent(stored, &claims, &[])
            .map(|claims| claims.map(|claims| claims.value()["nats"].clone()))
    }

    fn push(&mut self, token: &str, origin: &str) {
        let (claims, origin) = (self.read(token), self.read(origin));
        self.pushes.push(claims, token, Some(&origin));
        self.pushes.sends(token);
    }

    fn found(&self) -> Vec<(&'static str, String)> {
        let found = self.pushes.findings(&self.account, "APP");
        assert!(found.iter().all(|finding| finding.place == "account APP" && !finding.next.is_empty()));
        found.into_iter().map(|finding| (finding.code, finding.message)).collect()
    }
}

/// Trusts one key, while the one server trusts those of `on_server`.
fn trust_basis(counts: &Seed, on_server: &[&Seed]) -> Option<Arc<TrustBasis>> {
    let trusted_keys = on_server.iter().map(|key| key.public_key().to_string()).collect();
    let servers = vec![Server { trusted_keys, ..Server::new("west-0", "west", "2.15.1") }];
    let anchor = TrustAnchor::of_key(&counts.public_key());
    Some(Arc::new(TrustBasis { anchor, deployment: Deployment { servers, expected: 1 } }))
}

/// Pushes on each subject, with any date, and with any claims.
#[test]
fn a_token_by_a_key_that_is_not_trusted_is_named_and_nothing_of_it_is_used() {
    let (mut run, first) = Run::began_with(STARTED - 100);
    let keys = json!({ "signing_keys": [Seed::generate(KeyKind::Account).unwrap().public_key()] });
    let last = i64::MAX as u64 / 1_000_000_000;
    let subjects = ALL_SUBJECTS.map(|subject| subject.replace('*', &run.account.to_string()));
    for (subject, iat) in subjects.into_iter().zip([STARTED + 1, last, STARTED - 1000]) {
        let evil = issue(&run.claims(&keys), &run.stranger, iat).unwrap();
        run.hear(&subject, evil.as_str());
        let (code, message) = run.found().pop().unwrap();
        assert_eq!(code, "token-untrusted");
        for words in [&subject, &run.stranger.public_key().to_string(), &run.account.to_string()] {
            assert!(message.contains(words), "{message}");
        }
    }
    assert!(!run.pushes.has_unmerged(&run.account), "no reason to plan again");
    assert_eq!(run.merge_concurrent(&first), Ok(None));
    assert_eq!(run.pushes.take_unreported(&run.account), [""; 0]);
}

/// The operator's local token may be old, and still list the key. No server applies a token by it.
#[test]
fn a_token_by_a_key_that_no_server_trusts_any_more_is_named_and_nothing_of_it_is_used() {
    let (mut run, first) = Run::began_with(STARTED - 100);
    let revoked = Seed::generate(KeyKind::Operator).unwrap();
    run.pushes.trust_basis = trust_basis(&revoked, &[&run.operator]);
    let edit = run.claims(&json!({ "revocations": { "U": 7 }, "tags": ["t"] }));
    let edit = issue(&edit, &revoked, STARTED + 1).unwrap();
    run.hear(ALL, edit.as_str());
    assert!(!run.pushes.has_unmerged(&run.account));
    let [(code, message)] = &run.found()[..] else { panic!("{:?}", run.found()) };
    let said = format!("signed by {}, which no server trusts: nothing of it was used", revoked.public_key());
    assert!(*code == "token-untrusted" && message.contains(&said), "{message}");
    assert_eq!(run.merge_concurrent(&first), Ok(None));
    // While some server trusts the key, it counts like any other.
    run.pushes.trust_basis = trust_basis(&revoked, &[&run.operator, &revoked]);
    run.hear(ALL, edit.as_str());
    assert!(run.pushes.has_unmerged(&run.account));
}

/// A token that is malformed, was changed, or is ambiguous to servers is not used. It is reported if its account is
/// known.
#[test]
fn what_cannot_be_read_is_named() {
    let (mut run, first) = Run::began_with(STARTED - 100);
    for payload in ["", "x", "a.b.c"] {
        run.hear(ALL, payload);
    }
    assert_eq!(run.found(), [], "of no account");
    let by_name = ALL_SUBJECTS.map(|subject| subject.replace('*', &run.account.to_string()));
    let version = run.token(&json!({}), STARTED).replacen("eyJ0eXAi", "eyJUeXAi", 1);
    let changed = format!("{first}x");
    for (subject, payload) in [(ALL, &*changed), (&*by_name[1], ""), (&*by_name[2], "x"), (ALL, &*version)] {
        let before = run.found().len();
        run.hear(subject, payload);
        let (code, message) = run.found().pop().unwrap();
        assert_eq!((code, run.found().len()), ("token-unreadable", before + 1));
        assert!(message.contains(subject) && message.contains(&run.account.to_string()), "{message}");
    }
    assert!(!run.pushes.has_unmerged(&run.account), "no reason to plan again");
    assert_eq!(run.merge_concurrent(&first), Ok(None));
}

/// Servers store a token byte for byte, so it stays the token from which the next edit is made.
#[test]
fn a_token_in_another_spelling_is_the_same_token() {
    let (mut run, first) = Run::began_with(STARTED - 100);
    for spelling in respelled(&first) {
        run.hear(ALL, &spelling);
        assert!(!run.pushes.has_unmerged(&run.account), "no news");
    }
    let ours = run.token(&json!({ "revocations": { "U": 7 }, "description": "ours" }), STARTED + 1);
    run.push(&ours, &first);
    run.hear(ALL, &ours);
    run.hear(ALL, &respelled(&ours)[0]);
    assert!(!run.pushes.has_unmerged(&run.account));
    // An older token undoes nothing, and is reported once.
    let old = run.token(&json!({}), STARTED - 1000);
    for spelling in respelled(&old) {
        run.hear(ALL, &spelling);
    }
    assert!(run.pushes.has_unmerged(&run.account));
    assert_eq!(run.merge_concurrent(&old).unwrap().unwrap()["description"], "ours");
    let [(code, _)] = &run.found()[..] else { panic!("{:?}", run.found()) };
    assert_eq!(*code, "token-pushed-again");
}

/// The run keeps edits that other tools push by a trusted key, and shows them once.
#[test]
fn an_edit_by_a_trusted_key_is_kept_and_told() {
    let (mut run, first) = Run::began_with(STARTED - 100);
    let ours = run.token(&json!({ "revocations": { "U": 7 }, "description": "ours" }), STARTED + 1);
    run.push(&ours, &first);
    run.hear(ALL, &ours);
    assert!(!run.pushes.has_unmerged(&run.account), "our own push comes back");
    // The other tool made its token from the first one, and pushed it over ours.
    let theirs = run.token(&json!({ "revocations": { "U": 7, "V": 8 } }), STARTED + 2);
    run.hear(ALL, &theirs);
    assert!(run.pushes.has_unmerged(&run.account));
    let settled = run.merge_concurrent(&theirs).unwrap().expect("it lacks what we changed");
    assert_eq!((&settled["description"], &settled["revocations"]), (&json!("ours"), &json!({ "U": 7, "V": 8 })));
    assert_eq!(run.pushes.take_unreported(&run.account), ["+ nats.revocations.V: 8"]);
    assert_eq!(run.pushes.take_unreported(&run.account), [""; 0]);
    assert_eq!(run.found(), []);
    // A token that the run missed and reads later is shown, too.
    let missed =
        run.token(&json!({ "revocations": { "U": 7, "V": 8 }, "description": "ours", "tags": ["t"] }), STARTED + 3);
    assert_eq!(run.merge_concurrent(&missed), Ok(None));
    assert_eq!(run.pushes.take_unreported(&run.account), [r#"+ nats.tags: "t""#]);
}

/// The first plan merges tokens that were pushed after the servers were read, and before the plan was made.
#[test]
fn what_the_first_plan_merges_is_told() {
    let (mut run, first) = Run::began_with(STARTED - 100);
    run.pushes.accounts = HashMap::new();
    let edit = run.token(&json!({ "revocations": { "U": 7 }, "tags": ["t"] }), STARTED + 1);
    run.hear(ALL, &edit);
    assert_eq!(run.merge_concurrent(&first).unwrap().expect("the edit")["tags"], json!(["t"]));
    assert_eq!(run.pushes.take_unreported(&run.account), [r#"+ nats.tags: "t""#]);
}

/// Otherwise the revocation that the old token lacks would be lost, with a new signature of the operator.
#[test]
fn an_old_token_that_is_pushed_again_takes_nothing_back() {
    let old = |run: &Run| run.token(&json!({ "description": "of last year" }), STARTED - 10_000);
    let (mut run, _) = Run::began_with(STARTED - 100);
    let again = old(&run);
    run.hear(ALL, &again);
    assert!(run.pushes.has_unmerged(&run.account), "it has to be restored");
    let settled = run.merge_concurrent(&again).unwrap().expect("what it took back is kept");
    assert_eq!((&settled["revocations"], &settled["description"]), (&json!({ "U": 7 }), &Value::Null));
    assert_eq!(run.pushes.take_unreported(&run.account), [""; 0]);
    let [(code, message)] = &run.found()[..] else { panic!("{:?}", run.found()) };
    assert_eq!(*code, "token-pushed-again");
    assert!(message.contains("issued 2033-05-18T00:46:40Z") && message.contains("2033-05-18T03:31:40Z"), "{message}");

    // The run read the token, but missed its push.
    let (mut run, _) = Run::began_with(STARTED - 100);
    let again = old(&run);
    assert_eq!(run.merge_concurrent(&again).unwrap().unwrap()["revocations"], json!({ "U": 7 }));
    assert_eq!(run.found().len(), 1);

    // The push came before the run knew which token it begins with.
    let (mut run, _) = Run::began_with(STARTED - 100);
    let again = old(&run);
    (run.pushes.accounts, run.pushes.findings) = (HashMap::new(), HashMap::new());
    run.hear(ALL, &again);
    let first = run.token(&json!({ "revocations": { "U": 7 } }), STARTED - 100);
    assert_eq!(run.merge_concurrent(&first), Ok(None));
    assert_eq!(run.found().len(), 1);

    // The push came as the run began, and servers had already stored it: the earlier token is unknown.
    let (mut other, _) = Run::began_with(STARTED - 100);
    (other.pushes.accounts, other.pushes.findings) = (HashMap::new(), HashMap::new());
    let again = old(&other);
    other.hear(ALL, &again);
    assert_eq!(other.merge_concurrent(&again), Ok(None));
    let [(code, message)] = &other.found()[..] else { panic!("{:?}", other.found()) };
    let said = "issued 2033-05-18T00:46:40Z was pushed, and servers have it now";
    assert!(*code == "token-pushed-again" && message.contains(said), "{message}");
    // The token is an edit if it was signed just now.
    let (mut other, _) = Run::began_with(STARTED - 100);
    (other.pushes.accounts, other.pushes.findings) = (HashMap::new(), HashMap::new());
    let edit = other.token(&json!({ "tags": ["t"] }), STARTED - 5);
    other.hear(ALL, &edit);
    assert_eq!((other.merge_concurrent(&edit), other.found()), (Ok(None), vec![]));

    // Another tool edits such a token while it is stored. The result is an edit of it.
    let edit = run.token(&json!({ "description": "of last year", "tags": ["t"] }), STARTED + 5);
    run.hear(ALL, &edit);
    let settled = run.merge_concurrent(&edit).unwrap().unwrap();
    assert_eq!((&settled["revocations"], &settled["tags"]), (&json!({ "U": 7 }), &json!(["t"])));
}

/// An edit may be signed before the run began, and pushed later. It is still an edit if it is newer than the token that
/// the run began with. Clocks may differ a little.
#[test]
fn an_edit_that_waited_is_no_old_token() {
    for (began_with, iat) in [(STARTED - 10_000, STARTED - 5_000), (STARTED + 3, STARTED - 4), (STARTED, STARTED)] {
        let (mut run, _) = Run::began_with(began_with);
        let edit = run.token(&json!({ "revocations": { "U": 7 }, "tags": ["t"] }), iat);
        run.hear(ALL, &edit);
        assert_eq!(run.merge_concurrent(&edit), Ok(None), "{began_with} {iat}");
        assert_eq!(run.pushes.take_unreported(&run.account), [r#"+ nats.tags: "t""#]);
        assert_eq!(run.found(), []);
    }
}

/// A token counts as ours if this run pushed the same bytes, and as often.
#[test]
fn our_token_in_anothers_hands_is_anothers_push() {
    let (mut run, first) = Run::began_with(STARTED - 100);
    let one = run.token(&json!({ "revocations": { "U": 7 }, "description": "one" }), STARTED + 1);
    let two = run.token(&json!({ "revocations": { "U": 7 }, "description": "two" }), STARTED + 2);
    run.push(&one, &first);
    run.hear(ALL, &one);
    run.push(&two, &one);
    run.hear(ALL, &two);
    assert!(!run.pushes.has_unmerged(&run.account));
    // A repetition of the newest token changes nothing, even with whitespace around it.
    run.hear(ALL, &two);
    run.hear(ALL, &format!(" {two}\n"));
    assert!(!run.pushes.has_unmerged(&run.account));
    // A repetition of the token before the newest does.
    run.hear(ALL, &one);
    assert!(run.pushes.has_unmerged(&run.account));
    assert_eq!(run.merge_concurrent(&one).unwrap().unwrap()["description"], "two");
    // A token that the run pushes again comes back again.
    run.pushes.sends(&two);
    run.hear(ALL, &two);
    assert!(!run.pushes.has_unmerged(&run.account));
}

/// The run reads no token before it knows which keys to trust, and a flood of other tools' tokens hides no edit.
#[test]
fn what_comes_early_waits_and_what_comes_in_masses_is_counted_once() {
    let (mut run, _) = Run::began_with(STARTED - 100);
    let trust_basis = run.pushes.trust_basis.take();
    let theirs = run.token(&json!({ "revocations": { "U": 7 }, "tags": ["t"] }), STARTED + 1);
    run.hear(ALL, &theirs);
    assert!(!run.pushes.has_unmerged(&run.account));
    run.pushes.trust_basis = trust_basis;
    run.pushes.take_in();
    assert!(run.pushes.has_unmerged(&run.account));

    let mut other = run.claims(&json!({}));
    for _ in 0..50 {
        other["sub"] = json!(Seed::generate(KeyKind::Account).unwrap().public_key());
        let strange = issue(&other, &run.stranger, STARTED).unwrap();
        run.hear(ALL, strange.as_str());
        run.hear(ALL, strange.as_str());
    }
    let evil = issue(&run.claims(&json!({})), &run.stranger, STARTED).unwrap();
    (0..50).for_each(|_| run.hear(ALL, evil.as_str()));
    assert_eq!(run.found().len(), 1);
}

/// A tool with two old trusted tokens pushes them alternately during the whole run.
#[test]
fn tokens_that_are_pushed_by_turns_take_no_room() {
    let (mut run, first) = Run::began_with(STARTED - 100);
    let tag = |name: &str| json!({ "revocations": { "U": 7 }, "tags": [name] });
    let old = [run.token(&tag("a"), STARTED - 300), run.token(&tag("b"), STARTED - 200)];
    let edits = [run.token(&tag("c"), STARTED + 1), run.token(&tag("d"), STARTED + 2)];
    for round in 0..2000 {
        run.hear(ALL, &old[round % 2]);
        run.hear(ALL, &edits[round % 2]);
    }
    let (seen, bytes) = (run.pushes.accounts[&run.account].seen.len(), run.pushes.bytes);
    assert!(seen < 20 && bytes < 20 * 1000, "{seen} tokens, {bytes} bytes");
    let settled = run.merge_concurrent(&first).unwrap().expect("both edits");
    assert_eq!(settled["tags"], json!(["c", "d"]));
    assert_eq!(run.found().len(), 2, "each old one is named once");
    // An edit of the token that came last counts as such.
    run.hear(ALL, &edits[0]);
    let theirs = run.token(&json!({ "revocations": { "U": 7 }, "tags": ["c", "e"] }), STARTED + 3);
    run.hear(ALL, &theirs);
    assert_eq!(run.merge_concurrent(&theirs).unwrap().expect("the other edit")["tags"], json!(["c", "d", "e"]));
}

/// The run does not forget that it dropped a token, and signs nothing on top of it.
#[test]
fn more_pushes_than_are_kept_stop_the_run() {
    let (mut run, first) = Run::began_with(STARTED - 100);
    let tag = |name: String| json!({ "revocations": { "U": 7 }, "tags": [name] });
    for number in 2..=MOST_SEEN {
        let token = run.token(&tag(format!("t{number}")), STARTED + 1);
        run.hear(ALL, &token);
    }
    assert!(run.merge_concurrent(&first).is_ok_and(|settled| settled.is_some()));
    assert_eq!(run.found(), []);
    let one_more = run.token(&tag("more".to_owned()), STARTED + 2);
    run.hear(ALL, &one_more);
    assert!(run.pushes.has_unmerged(&run.account), "it is planned again");
    for _ in 0..2 {
        assert_eq!(run.merge_concurrent(&one_more), Err(vec![Unmerged::TooMuch]));
    }
    let (code, message) = run.found().pop().unwrap();
    assert_eq!(code, "pushes-without-end");
    assert!(message.contains("128 of one account, or 64 MiB of all accounts"), "{message}");
    assert!(Unmerged::TooMuch.to_string().contains("the first 128 tokens of it, or 64 MiB"));
    assert_eq!(run.pushes.accounts[&run.account].seen.len(), MOST_SEEN);
}

/// Large tokens of other accounts use up the space. The run stops only for an account that lost a token.
#[test]
fn the_tokens_of_all_accounts_have_a_bound_in_bytes() {
    let (mut run, first) = Run::began_with(STARTED - 100);
    let own = std::mem::replace(&mut run.account, Seed::generate(KeyKind::Account).unwrap().public_key());
    let large = "x".repeat(700_000);
    for number in 0..80 {
        if number % 20 == 0 {
            run.account = Seed::generate(KeyKind::Account).unwrap().public_key();
        }
        let token = run.token(&json!({ "description": format!("{number}{large}") }), STARTED + 1);
        run.hear(ALL, &token);
    }
    let kept: usize = run.pushes.accounts.values().flat_map(|pushed| &pushed.seen).map(|seen| seen.token.len()).sum();
    assert!(kept == run.pushes.bytes && kept <= MOST_BYTES, "{kept}");
    let last = run.token(&json!({}), STARTED + 2);
    assert_eq!(run.merge_concurrent(&last), Err(vec![Unmerged::TooMuch]));
    run.account = own;
    assert_eq!(run.merge_concurrent(&first), Ok(None));
    assert_eq!(run.found(), []);
}
