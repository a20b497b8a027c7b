//! Every run of the command in every suite goes through here: what it says, on whichever stream, has no secret in it, and
//! nothing that a terminal would obey, that hides, or that ends a line.

#![allow(dead_code, missing_docs)]

use std::process::{Command, Output};
use vstream_jwt::model::shown::is_hidden;

/// Runs the command to its end.
pub fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let args: Vec<_> = command.get_args().map(|arg| hidden(&arg.to_string_lossy())).collect();
    assert_shows_none(&args.join(" "), &[&output.stdout, &output.stderr]);
    output
}

/// Fails when a text of a run has a secret in it, which it does not repeat, or does more than be read.
pub fn assert_shows_none(args: &str, texts: &[&[u8]]) {
    for text in texts {
        let text = String::from_utf8_lossy(text);
        if let Some(what) = secret_in(&text) {
            panic!("{what} in the output of `{args}`");
        }
        // Scripts for shells have tabs.
        if !args.contains("completions") {
            assert_harmless(args, &text);
        }
    }
}

/// Fails when a terminal would obey something in the text, something in it is not seen, or a line of it is a command of a
/// CI system.
pub fn assert_harmless(args: &str, text: &str) {
    for line in text.split('\n') {
        assert!(!line.contains(is_hidden), "{args:?} printed {line:?}");
        let found = line.to_ascii_lowercase();
        for command in ["##[", "##vso[", "##teamcity["] {
            assert!(!found.contains(command), "{args:?} printed {line:?}");
        }
        for command in ["::", "section_start:", "section_end:", "travis_fold:"] {
            assert!(!found.trim_start().starts_with(command), "{args:?} printed {line:?}");
        }
    }
}

fn hidden(arg: &str) -> String {
    if secret_in(arg).is_some() { "(a secret)".to_owned() } else { arg.to_owned() }
}

/// The kind of secret that a text shows: a seed, a signed token (whoever has that of a user can log in), or
/// an age identity.
pub fn secret_in(text: &str) -> Option<&'static str> {
    if shows_a_seed(text) {
        return Some("a seed");
    }
    if text.contains("AGE-SECRET-KEY-1") {
        return Some("an age identity");
    }
    let of_token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let signed = |word: &str| {
        let parts: Vec<&str> = word.trim_matches('.').split('.').collect();
        // A header, claims, and a signature of 64 bytes.
        matches!(parts[..], [header, claims, signature]
            if header.starts_with("eyJ") && claims.starts_with("eyJ") && signature.len() == 86)
    };
    text.split(|c| !of_token(c)).any(signed).then_some("a signed token")
}

/// S, what the key is of, and 56 characters of base32; in a longer word too.
pub fn shows_a_seed(text: &str) -> bool {
    let base32 = |c: char| c.is_ascii_uppercase() || ('2'..='7').contains(&c);
    let of_seed = |word: &str| word.as_bytes().windows(58).any(|part| part[0] == b'S' && b"OAUNCX".contains(&part[1]));
    text.split(|c| !base32(c)).any(of_seed)
}

/// File and line of each secret in files, and its kind; never the secret.
pub fn in_files(paths: &[std::path::PathBuf]) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for path in paths {
        let text =
            std::fs::read(path).map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().enumerate().filter_map(|(number, line)| Some((number + 1, secret_in(line)?)));
        found.extend(lines.map(|(number, what)| format!("{}:{number}: {what}", path.display())));
    }
    Ok(found)
}
