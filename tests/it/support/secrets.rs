//! Runs the command in every suite. The output on both streams must have no secrets, no control characters for
//! terminals, and no hidden characters.

#![allow(dead_code, missing_docs)]

use std::process::{Command, Output};
use vstream_jwt::model::shown::is_hidden;

/// Runs the command to the end.
pub fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let args: Vec<_> = command.get_args().map(|arg| hidden(&arg.to_string_lossy())).collect();
    assert_shows_none(&args.join(" "), &[&output.stdout, &output.stderr]);
    output
}

/// Fails if the output of a run contains a secret, which the message does not repeat, or has an effect when it is
/// shown.
pub fn assert_shows_none(args: &str, texts: &[&[u8]]) {
    for text in texts {
        let text = String::from_utf8_lossy(text);
        if let Some(what) = secret_in(&text) {
            panic!("{what} in the output of `{args}`");
        }
        // Scripts for shells contain tabs.
        if !args.contains("completions") {
            assert_harmless(args, &text);
        }
    }
}

/// Fails if the text has control characters for a terminal or hidden characters, or if a line is a command of a CI
/// system.
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

/// Returns the kind of secret that a text shows: a seed, a signed token, or an age identity. The holder of a user's
/// token can log in with it.
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

/// Checks for `S`, the kind of key, and 56 characters of base32, even within a longer word.
pub fn shows_a_seed(text: &str) -> bool {
    let base32 = |c: char| c.is_ascii_uppercase() || ('2'..='7').contains(&c);
    let of_seed = |word: &str| word.as_bytes().windows(58).any(|part| part[0] == b'S' && b"OAUNCX".contains(&part[1]));
    text.split(|c| !base32(c)).any(of_seed)
}

/// Returns file, line and kind of each secret in files, but not the secret.
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
