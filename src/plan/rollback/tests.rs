use super::super::record::tests::content;
use super::super::record::{Outcome, PushProgress};
use super::plan::activations;
use super::*;
use crate::desired::tests::{app, application, stream, topology};
use crate::desired::{DesiredAccount, DesiredOptions};
use crate::model::claims::TrustedClaims;
use crate::model::finding::{Finding, Severity};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::plan::record::RecordContent;
use crate::sign::{Seed, Signer as _, issue};
use serde_json::{Value, json};

/// Returns a record of a push to an account.
fn record(verb: &str, account: u8, outcome: Outcome, progress: PushProgress) -> RecordContent {
    let mut content = RecordContent { verb: verb.to_owned(), outcome, ..content() };
    let token = &mut content.attempts[0].tokens[0];
    let key = PublicKey::from_bytes(KeyKind::Account, [account; 32]);
    (token.id, token.application, token.progress) = (key.clone(), key, progress);
    content
}

/// Returns the records that `--last` undoes, and the record to which it returns.
fn last(records: &[RecordContent]) -> (Vec<String>, Option<String>) {
    let names: Vec<String> = (0..records.len()).map(|number| number.to_string()).collect();
    let named: Vec<Named<'_>> = names.iter().zip(records).map(|(name, content)| Named { name, content }).collect();
    let undo = Undo::last(&named);
    (undo.pushes.iter().map(|push| push.name.to_owned()).collect(), undo.target.map(|target| target.name.to_owned()))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_last_push_is_undone() {
    let good = || record("apply", 2, Outcome::Confirmed, PushProgress::Pushed);
    assert_eq!(last(&[]), (vec![], None));
    assert_eq!(last(&[good()]), (names(&["0"]), None));
    let other = record("apply", 3, Outcome::Confirmed, PushProgress::Pushed);
    assert_eq!(last(&[good(), other.clone(), good()]), (names(&["2"]), Some("0".to_owned())));
    // A finished rollback counts like any other push.
    for outcome in [Outcome::Confirmed, Outcome::Unconfirmed] {
        let back = record("rollback", 2, outcome, PushProgress::Pushed);
        assert_eq!(last(&[good(), good(), back]), (names(&["2"]), Some("1".to_owned())));
    }
    // So does a rollback to a record.
    let mut back = record("rollback", 2, Outcome::Begun, PushProgress::Pushed);
    back.back_to = Some("0".to_owned());
    assert_eq!(last(&[good(), good(), back]), (names(&["2"]), Some("1".to_owned())));
}

#[test]
fn going_back_that_was_stopped_is_gone_on_with() {
    let good = || record("apply", 2, Outcome::Confirmed, PushProgress::Pushed);
    for outcome in [Outcome::Begun, Outcome::Failed] {
        let stopped = |progress| record("rollback", 2, outcome, progress);
        for progress in [PushProgress::Sending, PushProgress::Pushed] {
            let records = [good(), good(), stopped(progress)];
            assert_eq!(last(&records), (names(&["2", "1"]), Some("0".to_owned())), "{progress:?}");
        }
        // A run that sent nothing has nothing to undo, and does not hide another run.
        let records = [good(), good(), stopped(PushProgress::Signed)];
        assert_eq!(last(&records), (names(&["1"]), Some("0".to_owned())));
        let records = [
            good(),
            good(),
            stopped(PushProgress::Sending),
            stopped(PushProgress::Signed),
            stopped(PushProgress::Pushed),
        ];
        assert_eq!(last(&records), (names(&["4", "2", "1"]), Some("0".to_owned())));
    }
}

/// Restored imports need valid activation tokens. This tool issues ours anew; other accounts must issue theirs.
#[test]
fn an_import_whose_activation_has_ended_does_not_come_back() {
    let (ours, theirs) = (Seed::generate(KeyKind::Account).unwrap(), Seed::generate(KeyKind::Account).unwrap());
    let account = app(vec![stream("foo", &["foo.>"])]);
    let wanted = application(topology(), &account, &DesiredOptions::default()).unwrap();
    let exporting = DesiredAccount { id: ours.public_key(), name: "OURS".to_owned(), ..wanted.clone() };
    let import = |exporter: &Seed, ends: u64| {
        let activation = json!({ "sub": wanted.id, "exp": ends,
            "nats": { "type": "activation", "version": 2, "subject": "desk", "kind": "service" } });
        json!({ "name": "desk", "subject": "desk", "local_subject": "their.desk", "type": "service",
            "account": exporter.public_key(), "token": issue(&activation, exporter, 1000).unwrap().as_str() })
    };
    let claims = |id: &PublicKey, imports: Value| {
        let nats = json!({ "type": "account", "version": 2, "limits": {}, "imports": imports,
            "exports": [{ "name": "desk", "subject": "desk", "type": "service", "token_req": true }] });
        TrustedClaims::reviewed(json!({ "sub": id, "name": "A", "nats": nats })).unwrap()
    };
    let desired = [wanted.clone(), exporting];
    // The present time is 5000.
    let back = |exporter: &Seed, ends: u64| {
        let (current, goal) = (claims(&wanted.id, json!([])), claims(&wanted.id, json!([import(exporter, ends)])));
        let goals = [Some(goal.clone()), Some(claims(&ours.public_key(), json!([])))];
        let mut findings = Vec::new();
        let asked = activations(&wanted, &current, &goal, &desired, &goals, 5000, &mut findings);
        (asked.len(), findings)
    };
    assert_eq!(back(&ours, 9000), (0, vec![]));
    assert_eq!(back(&ours, 4000), (1, vec![]), "it is issued anew");
    assert_eq!(back(&theirs, 9000), (0, vec![]));
    let (0, findings) = back(&theirs, 4000) else { panic!("nobody here can issue it") };
    let [Finding { code, severity, place, message, lines: _, next }] = &findings[..] else { panic!("{findings:#?}") };
    assert_eq!((*code, *severity), ("activation-expired", Severity::Error));
    assert_eq!(place, "account APP, import their.desk");
    let words = format!("its restored activation token by {} has expired", theirs.public_key());
    assert_eq!(*message, words);
    assert!(next.starts_with("Have the exporting account issue another"), "{next}");
}
