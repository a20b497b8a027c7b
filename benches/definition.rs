//! Measures how long it takes to read definitions that are as expensive as possible: 8 MB, in one file and in many.
//!
//! `cargo bench --bench definition`; the figures are in `docs/performance.md`.

#![allow(missing_docs)]

use divan::{AllocProfiler, Bencher};
use std::path::Path;
use vstream_jwt::definition::{MAX_SIZE, SourceFile, parse};

/// Reports peak memory of each case beside its time.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const CASES: [&str; 16] = [
    "comments",
    "duplicate keys",
    "unknown keys",
    "many unknown keys",
    "long lists",
    "flow",
    "aliases",
    "repeated lists",
    "secrets",
    "addresses in one line",
    "addresses behind each other",
    "URLs behind each other",
    "URLs in one line",
    "accounts in many files",
    "keys in many files",
    "repeated lists in many files",
];

/// Repeats the piece until the text has this size.
fn filled(size: usize, piece: impl Fn(usize) -> String) -> String {
    let mut text = String::with_capacity(size);
    for piece in (0..).map(piece) {
        if text.len() + piece.len() > size {
            break;
        }
        text += &piece;
    }
    text
}

/// Returns a list, with enough aliases of it to make this number of nodes.
fn repeated(number: usize, nodes: usize) -> String {
    let (list, again) = (vec!["1"; nodes / 100].join(","), vec!["*l"; 98].join(","));
    format!("accounts: {{ A{number}: {{ x: &l [{list}], y: [{again}] }} }}\n")
}

fn texts(case: &str) -> Vec<String> {
    let one = |piece: &dyn Fn(usize) -> String| vec![filled(MAX_SIZE, piece)];
    // Almost as many keys and values as a definition may have.
    let many = |piece: &dyn Fn(usize, usize) -> String, head: &str| {
        let file = |number| head.to_owned() + &(0..1200).map(|line| piece(number, line)).collect::<String>();
        (0..100).map(file).collect()
    };
    // The seed of a key whose 32 bytes are all 7: a fixture, not a secret.
    let seed = "SUADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYTI";
    match case {
        "comments" => one(&|_| "# nothing: but @ it\n".to_owned()),
        "duplicate keys" => one(&|_| "k: 1\n".to_owned()),
        "unknown keys" => vec![(0..20_000).map(|number| format!("u{number}: 1\n")).collect()],
        "many unknown keys" => one(&|number| format!("u{number:06}: 1\n")),
        "long lists" => one(&|number| if number == 0 { "accounts:\n".to_owned() } else { "- a\n".to_owned() }),
        "flow" => one(&|number| format!("s{number}: {{ a: [b, c, d, e], f: {{ g: 1 }} }}\n")),
        "aliases" => vec![format!("a: &a \"{}\"\nb:\n{}", "x".repeat(100_000), "- *a\n".repeat(40_000))],
        "repeated lists" => vec![repeated(0, 240_000)],
        "secrets" => one(&|_| format!("# {seed} nats://me:secret@h:1\n")),
        "addresses in one line" => one(&|number| ["# x://x://x://", "a:b@"][number.min(1)].to_owned()),
        "addresses behind each other" => one(&|number| ["# ", "a:b@a:b@"][number.min(1)].to_owned()),
        "URLs behind each other" => one(&|number| ["# ", "nats://a:b@"][number.min(1)].to_owned()),
        "URLs in one line" => one(&|number| ["# ", "nats://me:c@h "][number.min(1)].to_owned()),
        "accounts in many files" => many(&|file, line| format!("  A{file}-{line}: {{}}\n"), "accounts:\n"),
        "keys in many files" => many(&|file, line| format!("u{file}-{line}: 1\n"), ""),
        "repeated lists in many files" => (0..100).map(|number| repeated(number, 200_000)).collect(),
        _ => unreachable!("a case of the list"),
    }
}

/// Measures how long it takes to refuse each case.
#[divan::bench(args = CASES, sample_count = 5, sample_size = 1)]
fn hostile(bencher: Bencher, case: &str) {
    let file = |(number, text)| SourceFile { name: format!("{number}.yaml"), text };
    let files: Vec<SourceFile> = texts(case).into_iter().enumerate().map(file).collect();
    assert!(files.iter().map(|file| file.text.len()).sum::<usize>() <= MAX_SIZE);
    bencher.bench_local(|| parse(&files, Path::new("")).expect_err("refused").to_string());
}
