//! Records of pushes. A record that is read renders as it was. A record that a run writes, of any content, is found
//! again without a seed in it, or refused because of the secret.
#![no_main]

use libfuzzer_sys::fuzz_target;
use support::{assert_no_seed, assert_one_line, folder, text};
use vstream_jwt::model::shown::shown;
use vstream_jwt::engine::push_log::Journal as _;
use vstream_jwt::ops::record::{FindError, Recorder, find, list};
use vstream_jwt::plan::record::{RecordContent, Record};
use vstream_jwt::secrets;

fuzz_target!(|data: &[u8]| {
    let Some(text) = text(data) else { return };
    match Record::parse(&text) {
        Ok(record) => assert_eq!(record.render(), text),
        Err(error) => {
            let printed = secrets::hide(&error.to_string()).into_owned();
            assert_no_seed(&printed);
            assert_one_line(&shown(&printed));
        }
    }
    name(&text);
    let Ok(content) = serde_json::from_str::<RecordContent>(&text) else { return };
    let record = Record::new(content.clone());
    assert_eq!(Record::parse(&record.render()).expect("what is rendered is read"), record);
    let (confirmed, asked) = content.confirmations();
    assert!(confirmed <= asked);
    assert!(content.sent().count() <= content.attempts.iter().map(|attempt| attempt.tokens.len()).sum());
    assert_one_line(&content.who.to_string());
    write(content);
});

/// Writes the record as a run does. The verb is part of the file's name, and comes from the program itself.
fn write(mut content: RecordContent) {
    let folder = folder().join("records");
    content.verb = "apply".to_owned();
    let outcome = content.outcome;
    let attempts = content.attempts.len();
    let secret = secrets::find_in_json(&Record::new(content.clone()).render()).is_some();
    let recorder = Recorder::new(&folder, content);
    if let Err(error) = recorder.begin(&[], &[]) {
        // The secret is in a field that nothing masks, so nothing is written.
        assert!(secret && error.to_string().ends_with(" in it"), "{error}");
        assert!(list(&folder).expect("the folder can be read").is_empty());
        return;
    }
    let path =
        recorder.finish(outcome, Some("it failed".to_owned())).expect("it can be replaced").expect("it is there");
    let found = list(&folder).expect("the folder can be read");
    let [(_, record)] = &found[..] else { panic!("{} records", found.len()) };
    let record = record.as_ref().expect("what is written is read");
    assert_eq!((record.content.outcome, record.content.attempts.len()), (outcome, attempts + 1));
    std::fs::remove_file(path).expect("it can be removed");
    // Names of accounts and streams come from the definition, which has no seed in it; tokens are those of accounts.
    let free = [&record.content.text, &vec![record.content.changes.to_string()]].map(|lines| lines.join("\n"));
    free.iter().for_each(|text| assert_no_seed(text));
    record.content.definition.iter().for_each(|file| assert_no_seed(&file.text));
}

/// Looks up a record by its name, which finds one record or fails with the possible ones.
fn name(wanted: &str) {
    let names = [
        "2026-01-01T00-00-00.000Z-apply-000a01",
        "2026-01-02T00-00-00.000Z-destroy-000b02",
        "2026-01-03T00-00-00.000Z-rollback-0a0c03",
    ];
    match find(&names, wanted.trim_end()) {
        Ok(index) => assert!(index < names.len()),
        Err(FindError::Several { names, .. }) => assert!(names.len() > 1),
        Err(FindError::None(_)) => {}
    }
}
