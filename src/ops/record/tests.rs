use super::*;
use crate::engine::confirm::Confirmation;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::plan::record::tests::content;
use crate::plan::{Reason, record};
use crate::sign::{Seed, Signer as _, issue};
use crate::verify::account::TokenState;
use std::os::unix::fs::PermissionsExt as _;

fn opened(folder: &Path) -> Recorder {
    let recorder = Recorder::new(folder, record::RecordContent { attempts: Vec::new(), ..content() });
    recorder.prepare().unwrap();
    recorder
}

fn begin(recorder: &Recorder) {
    begin_with(recorder, "after").unwrap();
}

fn begin_with(recorder: &Recorder, token: &str) -> Result<(), PushLogError> {
    let id = content().system_account;
    let intent = Intent {
        account: "APP",
        id: &id,
        application: &id,
        region: None,
        stage: Stage::Mappings,
        reason: &Reason::Changed,
        base: Some("before"),
        token,
    };
    recorder.begin(&[intent], &[])
}

fn only(folder: &Path) -> Record {
    let mut all = list(folder).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0).1.unwrap()
}

#[test]
fn a_record_is_there_before_the_push_and_follows_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("history");
    let recorder = opened(&folder);
    assert!(list(&folder).unwrap().is_empty());
    assert_eq!(recorder.finish(Outcome::Failed, None).unwrap(), None);

    begin(&recorder);
    let record = only(&folder).content;
    assert_eq!((record.outcome, record.sent().count()), (Outcome::Begun, 0));
    assert_eq!(record.attempts[0].tokens[0].base.as_deref(), Some("before"));
    recorder.pushing(Stage::Mappings);
    assert_eq!(only(&folder).content.sent().next().unwrap().progress, PushProgress::Sending);
    let path = recorder.finish(Outcome::Confirmed, None).unwrap().unwrap();
    assert!(only(&folder).content.ended.is_some());

    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left there");
}

/// A plan without pushes may gain some when it is made again.
#[test]
fn a_run_that_did_not_mean_to_push_leaves_a_record_when_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let recorder = Recorder::new(&history, record::RecordContent { attempts: Vec::new(), ..content() });
    assert_eq!(recorder.finish(Outcome::Confirmed, None).unwrap(), None);
    assert!(!history.exists());
    begin(&recorder);
    assert_eq!(only(&history).content.outcome, Outcome::Begun);

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let recorder = Recorder::new(&file, record::RecordContent { attempts: Vec::new(), ..content() });
    assert_eq!(begin_with(&recorder, "after").unwrap_err().path, file, "nothing is pushed that is not recorded");
}

#[test]
fn a_record_has_no_secret_whoever_brought_it() {
    let folder = tempfile::tempdir().unwrap();
    let seed = Seed::generate(KeyKind::Account).unwrap().reveal();
    let said = || format!("it said {}", seed.as_str());
    let before = content();
    let before = record::RecordContent {
        who: record::Who { user: said(), host: said(), ci: [("JOB".to_owned(), said())].into() },
        definition: vec![File { name: said(), text: said() }],
        text: vec![said()],
        changes: serde_json::json!({ "a": [said()] }),
        attempts: Vec::new(),
        ..before
    };
    let recorder = Recorder::new(folder.path(), before);
    begin(&recorder);
    let named = said();
    let id = content().system_account;
    let intent = Intent {
        account: &named,
        id: &id,
        application: &id,
        region: Some(&named),
        stage: Stage::Mappings,
        reason: &Reason::Changed,
        base: None,
        token: "after",
    };
    recorder.begin(&[intent], &[]).unwrap();
    let pushed = Pushed {
        account: "APP".to_owned(),
        id: content().system_account,
        stage: Stage::Mappings,
        reason: Reason::Changed,
        issued_at: 1,
        issuer: content().system_account,
        servers: vec![Confirmation {
            account: content().system_account,
            server: said(),
            cluster: said(),
            verdict: TokenState::ImportsIncomplete { imports: vec![said()] },
        }],
        refused: vec![said()],
        strangers: Vec::new(),
    };
    recorder.pushed(Stage::Mappings, &[pushed]);
    let path = recorder.finish(Outcome::Failed, Some(said())).unwrap().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        (text.matches("it said (a seed, not shown)").count(), text.contains(seed.as_str())),
        (14, false),
        "{text}"
    );
}

#[test]
fn runs_at_once_do_not_overwrite_each_other() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..4 {
                    begin(&opened(folder.path()));
                }
            });
        }
    });
    let all = list(folder.path()).unwrap();
    assert_eq!(all.len(), 32);
    assert!(all.iter().all(|(_, record)| record.is_ok()));
}

#[test]
fn what_cannot_be_written_is_named_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Recorder::new(&file.join("history"), content()).prepare().unwrap_err();
    assert!(error.to_string().contains("file/history"), "{error}");
    assert!(Recorder::new(&file, content()).prepare().is_err());
}

#[test]
fn records_are_found_by_place_name_and_id() {
    let names = ["2026-01-01T00-00-00.000Z-apply-aa0000", "2026-01-02T00-00-00.000Z-apply-ab0000"];
    for (wanted, place) in [("last", 1), ("last~0", 1), ("last~1", 0), ("ab", 1), ("2026-01-01", 0), (names[0], 0)] {
        assert_eq!(find(&names, wanted), Ok(place), "{wanted}");
    }
    assert_eq!(find(&names, &format!("{}.json", names[1])), Ok(1));
    for wanted in ["", "last~2", "last~x", "lastly", "z", "last~99999999999999999999"] {
        assert_eq!(find(&names, wanted), Err(FindError::None(wanted.to_owned())), "{wanted}");
    }
    assert!(matches!(find(&names, "a"), Err(FindError::Several { names, .. }) if names.len() == 2));
}

/// A secret that no mask covers is found in the whole text, both before it is written and when it is read.
#[test]
fn a_record_with_a_secret_is_neither_written_nor_read() {
    let folder = tempfile::tempdir().unwrap();
    let seed = Seed::generate(KeyKind::Account).unwrap().reveal();
    let token = format!("after {}", seed.as_str());
    let error = begin_with(&opened(folder.path()), &token).unwrap_err();
    assert!(error.to_string().contains("would have a seed in it"), "{error}");
    assert!(list(folder.path()).unwrap().is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let written = record::RecordContent { error: Some(token), ..content() };
    std::fs::write(folder.path().join("2026-01-01-apply-aa0000.json"), Record::new(written).render()).unwrap();
    let error = list(folder.path()).unwrap().remove(0).1.unwrap_err();
    assert!(error.to_string().ends_with("has a seed in it"), "{error}");
}

fn sent(account: &PublicKey, operator: &Seed, issued_at: u64) -> Recorded {
    let claims =
        serde_json::json!({ "sub": account, "name": "APP", "nats": { "type": "account", "version": 2, "limits": {} } });
    let token = issue(&claims, operator, issued_at).unwrap().as_str().to_owned();
    let on = OnServer {
        server: "a".to_owned(),
        cluster: "c".to_owned(),
        confirmed: true,
        by_reload: false,
        found: String::new(),
    };
    let one = content().attempts.remove(0).tokens.remove(0);
    Recorded { token, progress: PushProgress::Pushed, servers: vec![on], ..one }
}

/// Each record has a size limit, and so have all of them together. The caller decides which keys' signatures count.
#[test]
fn the_last_pushes_are_known_by_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let key = |kind| Seed::generate(kind).unwrap();
    let (account, operator, stranger) =
        (key(KeyKind::Account).public_key(), key(KeyKind::Operator), key(KeyKind::Operator));
    let write = |name: &str, text: String| std::fs::write(folder.path().join(format!("{name}.json")), text).unwrap();
    let record = |tokens: Vec<Recorded>| {
        let attempts = vec![Attempt { at: "2026-01-01T00:00:00.000Z".to_owned(), tokens }];
        Record::new(record::RecordContent { attempts, ..content() }).render()
    };
    write("1", record(vec![sent(&account, &operator, 1000), sent(&account, &operator, 999)]));
    write("2", record(vec![sent(&account, &stranger, 5000)]));
    let pushed = || {
        let pushed = last_pushes(folder.path()).into_iter();
        let mut pushed: Vec<_> = pushed.map(|push| (push.issued_at, push.issuer, push.record)).collect();
        pushed.sort();
        pushed
    };
    let ours = (1000, operator.public_key(), "1".to_owned());
    assert_eq!(pushed(), [ours.clone(), (5000, stranger.public_key(), "2".to_owned())]);
    // A file with more values than a record may have is not a record, whatever else it contains.
    let text = record(vec![sent(&account, &stranger, 5000)]);
    write("2", text.replacen('{', &format!("{{\"x\":[{}0],", "0,".repeat(2_000_000)), 1));
    assert_eq!(pushed(), [ours]);
}
