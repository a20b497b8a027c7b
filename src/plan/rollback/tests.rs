use super::super::record::tests::content;
use super::super::record::{Outcome, Progress};
use super::*;
use crate::model::nkey::KeyKind;

/// A record of a push of an account.
fn record(verb: &str, account: u8, outcome: Outcome, progress: Progress) -> Content {
    let mut content = Content { verb: verb.to_owned(), outcome, ..content() };
    let token = &mut content.attempts[0].tokens[0];
    let key = PublicKey::from_bytes(KeyKind::Account, [account; 32]);
    (token.id, token.application, token.progress) = (key.clone(), key, progress);
    content
}

/// What `--last` undoes, and where it goes back to.
fn last(records: &[Content]) -> (Vec<String>, Option<String>) {
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
    let good = || record("apply", 2, Outcome::Confirmed, Progress::Pushed);
    assert_eq!(last(&[]), (vec![], None));
    assert_eq!(last(&[good()]), (names(&["0"]), None));
    let other = record("apply", 3, Outcome::Confirmed, Progress::Pushed);
    assert_eq!(last(&[good(), other.clone(), good()]), (names(&["2"]), Some("0".to_owned())));
    // A rollback that came to its end is a push as any.
    for outcome in [Outcome::Confirmed, Outcome::Unconfirmed] {
        let back = record("rollback", 2, outcome, Progress::Pushed);
        assert_eq!(last(&[good(), good(), back]), (names(&["2"]), Some("1".to_owned())));
    }
    // So is one that was to go back to a record.
    let mut back = record("rollback", 2, Outcome::Begun, Progress::Pushed);
    back.back_to = Some("0".to_owned());
    assert_eq!(last(&[good(), good(), back]), (names(&["2"]), Some("1".to_owned())));
}

#[test]
fn going_back_that_was_stopped_is_gone_on_with() {
    let good = || record("apply", 2, Outcome::Confirmed, Progress::Pushed);
    for outcome in [Outcome::Begun, Outcome::Failed] {
        let stopped = |progress| record("rollback", 2, outcome, progress);
        for progress in [Progress::Sending, Progress::Pushed] {
            let records = [good(), good(), stopped(progress)];
            assert_eq!(last(&records), (names(&["2", "1"]), Some("0".to_owned())), "{progress:?}");
        }
        // What sent nothing has nothing to undo, and does not hide what has.
        let records = [good(), good(), stopped(Progress::Signed)];
        assert_eq!(last(&records), (names(&["1"]), Some("0".to_owned())));
        let records =
            [good(), good(), stopped(Progress::Sending), stopped(Progress::Signed), stopped(Progress::Pushed)];
        assert_eq!(last(&records), (names(&["4", "2", "1"]), Some("0".to_owned())));
    }
}
