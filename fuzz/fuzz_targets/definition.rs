//! Definitions, of one file or of several (separated by a line `%%%`). Each error names a location in them and shows no
//! seed. An accepted definition can be rendered, and reads back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use support::{assert_harmless, assert_no_seed, assert_one_line, text};
use vstream_jwt::definition::{Problems, SourceFile, parse};
use vstream_jwt::ops::render::{What, render};

fuzz_target!(|data: &[u8]| {
    let Some(text) = text(data) else { return };
    let parts = text.split("\n%%%\n").enumerate();
    let files: Vec<SourceFile> =
        parts.map(|(index, part)| SourceFile { name: format!("{index}.yaml"), text: part.to_owned() }).collect();
    match parse(&files, Path::new("/base")) {
        Err(problems) => judge(&files, &problems),
        Ok(definition) => {
            assert_no_seed(&text);
            assert_eq!(parse(&files, Path::new("/base")).ok().as_ref(), Some(&definition));
            for what in [What::Mappings, What::Streams, What::Claims, What::Permissions] {
                if let Err(error) = render(what, &definition) {
                    assert_harmless(&vstream_jwt::model::shown::shown(&error.to_string()));
                }
            }
        }
    }
});

fn judge(files: &[SourceFile], problems: &Problems) {
    assert!(!problems.is_empty());
    let reports = problems.reports();
    assert_eq!(reports.is_empty(), problems.len() == problems.left_out());
    for report in &reports {
        let file = files.iter().find(|file| file.name == report.position.file).expect("the place is in a file");
        // YAML also ends a line at a lone carriage return.
        let lines = file.text.split(['\n', '\r']).count() as u64;
        assert!((1..=lines + 1).contains(&report.position.line), "{report:?}: {lines} lines");
        assert!(report.position.column >= 1, "{report:?}");
        assert!(!report.message.is_empty());
        for words in [&report.message, &report.help] {
            assert_one_line(words);
            assert_no_seed(words);
        }
    }
    let shown = problems.render(false);
    assert_harmless(&shown);
    assert_no_seed(&shown);
    assert_no_seed(&problems.render(true));
}
