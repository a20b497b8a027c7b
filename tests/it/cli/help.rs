//! Tests the help texts: every verb and flag has one, in one style, and uses only terms that the glossary has.

use crate::support::secrets::output;
use clap::{Arg, Command};

/// Collects every command with its path, except hidden ones.
fn commands<'c>(command: &'c Command, path: &str, found: &mut Vec<(String, &'c Command)>) {
    found.push((path.to_owned(), command));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        commands(below, &format!("{path} {}", below.get_name()), found);
    }
}

fn each_text(mut look: impl FnMut(&str, &str)) {
    let command = vstream_jwt::cli::command();
    let mut all = Vec::new();
    commands(&command, "vstream-jwt", &mut all);
    for (path, command) in all {
        look(&path, &command.get_about().map(ToString::to_string).unwrap_or_default());
        let shown = |arg: &&Arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version");
        for arg in command.get_arguments().filter(shown) {
            let text = arg.get_help().map(ToString::to_string).unwrap_or_default();
            look(&format!("{path}, {}", arg.get_id()), &text);
        }
    }
}

#[test]
fn every_verb_and_flag_says_what_it_is_in_one_style() {
    let mut wrong = Vec::new();
    each_text(|place, text| {
        let capital = text.starts_with(|c: char| c.is_uppercase() || c == '`');
        if !capital || text.ends_with('.') || text.len() > 170 {
            wrong.push(format!("{place}: {text:?}"));
        }
    });
    assert!(wrong.is_empty(), "a capital first, no full stop, at most 170 letters:\n  {}", wrong.join("\n  "));
}

#[test]
fn words_of_the_trade_are_in_the_glossary() {
    let glossary = include_str!("../../../docs/glossary.md").to_lowercase();
    let trade = [
        "claims",
        "cluster",
        "consumer",
        "credentials",
        "definition",
        "drift",
        "finding",
        "gap",
        "identity",
        "lag",
        "mapping",
        "operator mode",
        "placement",
        "read stream",
        "region",
        "replica",
        "resolver",
        "seed",
        "signing key",
        "source",
        "split brain",
        "super-cluster",
        "token",
        "virtual stream",
        "write stream",
        "durable",
    ];
    let mut used = 0;
    each_text(|place, text| {
        for word in trade.iter().filter(|word| text.to_lowercase().contains(**word)) {
            used += 1;
            assert!(glossary.contains(word), "{place} says {word:?}, which the glossary lacks");
        }
    });
    assert!(used > 30, "the words are looked for");
}

#[test]
fn help_is_a_result_and_a_mistake_is_not() {
    let run = |args: &[&str]| output(std::process::Command::new(env!("CARGO_BIN_EXE_vstream-jwt")).args(args));
    let help = run(&["plan", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(!help.stdout.is_empty() && help.stderr.is_empty());
    let mistake = run(&["plan", "--no-such-flag"]);
    assert_eq!(mistake.status.code(), Some(2));
    assert!(mistake.stdout.is_empty() && !mistake.stderr.is_empty());
}

#[test]
fn completions_and_pages_know_all_verbs() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let out =
            output(std::process::Command::new(env!("CARGO_BIN_EXE_vstream-jwt")).current_dir(folder.path()).args(args));
        assert_eq!(out.status.code(), Some(0), "{args:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    run(&["man", "--out", "pages"]);
    let command = vstream_jwt::cli::command();
    let mut all = Vec::new();
    commands(&command, "vstream-jwt", &mut all);
    for (path, _) in &all {
        let page = folder.path().join("pages").join(format!("{}.1", path.replace(' ', "-")));
        assert!(page.exists(), "{}", page.display());
    }
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completions", shell]);
        for verb in ["apply", "destroy", "inspect"] {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
}
