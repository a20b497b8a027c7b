use super::*;
use proptest::prelude::*;
use proptest::sample::select;

/// Parts of a hostile name.
pub(crate) const HOSTILE: [&str; 42] = [
    "\u{1b}[2J",
    "\u{1b}[1m\u{1b}[31m",
    "\u{1b}[0m",
    "\u{1b}]52;c;cm0gLXJmIC8=\u{7}",
    "\u{1b}]0;title\u{1b}\\",
    "\u{1b}]8;;http://x\u{1b}\\",
    "\u{1b}P1$r\u{1b}\\",
    "\u{9b}2J",
    "\u{9d}52;c;eA==\u{9c}",
    "\u{90}q\u{9c}",
    "\u{7}",
    "\u{8}\u{8}\u{8}",
    "\u{b}",
    "\u{c}",
    "\r",
    "\r\n",
    "\n",
    "\t",
    "\0",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\u{202e}",
    "\u{2066}",
    "\u{200f}",
    "\u{61c}",
    "\u{200b}",
    "\u{200d}",
    "\u{2060}",
    "\u{feff}",
    "\u{ad}",
    "\u{fe0f}",
    "\u{e0041}",
    "\u{fff9}",
    "\n::error title=pwn::y",
    "::stop-commands::x",
    "##[error]x",
    "##vso[task.setvariable variable=x]y",
    "##teamcity[x",
    "\nsection_start:1:x\r\u{1b}[0K",
    "travis_fold:start:x",
];

/// Text with hostile parts, parts of commands, and characters of any kind.
pub(crate) fn hostile() -> impl Strategy<Value = String> {
    const PARTS: [&str; 12] = [":", "#", "##", "[", " ", "  ", "vso", "é", "東京", "\\", "section_end", "\u{a0}"];
    let part = prop_oneof![
        3 => select(HOSTILE.as_slice()).prop_map(str::to_owned),
        2 => select(PARTS.as_slice()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[ -~]{0,8}",
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// Fails if the lines contain anything but readable text.
pub(crate) fn assert_harmless(lines: &str) {
    for line in lines.split('\n') {
        assert!(!line.contains(is_hidden), "{line:?}");
        let command = |after: &str| after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).starts_with('[');
        assert!(!line.match_indices("##").any(|(at, _)| command(&line[at + 2..])), "{line:?}");
        for command in ["::", "section_start:", "section_end:", "travis_fold:"] {
            assert!(!line.trim_start().starts_with(command), "{line:?}");
        }
    }
}

#[test]
fn what_is_hidden_reads_as_its_name() {
    for (text, reads) in [
        ("", ""),
        ("orders.new", "orders.new"),
        ("Zürich 東京 🚀 e\u{301}", "Zürich 東京 🚀 e\u{301}"),
        (r"C:\n{a: [1]}", r"C:\n{a: [1]}"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\u{1b}[2Jx\u{7}", r"\u{1b}[2Jx\u{7}"),
        ("\u{9b}2J\u{85}\u{7f}", r"\u{9b}2J\u{85}\u{7f}"),
        ("a\u{2028}b\u{202e}c\u{200b}d\u{feff}", r"a\u{2028}b\u{202e}c\u{200b}d\u{feff}"),
        ("::error::x", r":\u{3a}error::x"),
        (" \u{a0} ::error::x", " \u{a0} :\\u{3a}error::x"),
        ("a::b", "a::b"),
        ("section_start:1:x", r"section_start\u{3a}1:x"),
        ("x ##[error]y", r"x ##\u{5b}error]y"),
        ("##vso[task.x]", r"##vso\u{5b}task.x]"),
        ("##TeamCity[x", r"##TeamCity\u{5b}x"),
        ("#[a] ## [b]", "#[a] ## [b]"),
        ("\n::error::x", r"\n::error::x"),
    ] {
        assert_eq!(shown(text), reads);
    }
}

#[test]
fn a_line_is_judged_as_a_whole() {
    let joined = |parts: &[&str]| {
        let mut out = String::new();
        parts.iter().for_each(|part| push(&mut out, part));
        out
    };
    assert_eq!(joined(&["  ", ":", ":error::"]), r"  :\u{3a}error::");
    assert_eq!(joined(&["##", "vso", "[x"]), r"##vso\u{5b}x");
    assert_eq!(joined(&["next: ", "::error::"]), "next: ::error::");
    let mut out = "a line\n".to_owned();
    push(&mut out, "::error::");
    assert_eq!(out, "a line\n:\\u{3a}error::");
}

/// A line of any length is read only once. Reading it again for each colon would take many minutes here.
#[test]
fn a_long_line_of_colons_is_shown_at_once() {
    assert_eq!(shown(&":".repeat(1_000_000)).len(), 999_999 + r"\u{3a}".len());
}

proptest! {
    /// Unicode's own lists, except for visible formats: signs before numbers, and replacement characters.
    #[test]
    fn no_invisible_character_was_forgotten(
        text in r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\p{Noncharacter_Code_Point}]{200}"
    ) {
        for c in text.chars() {
            let seen = matches!(u32::from(c), 0x600..=0x605 | 0x6dd | 0x70f | 0x890 | 0x891 | 0x8e2 | 0x110bd | 0x110cd);
            prop_assert!(is_hidden(c) != seen, "{c:?}");
        }
    }

    #[test]
    fn nothing_shown_does_more_than_be_read(text in hostile()) {
        let once = shown(&text).into_owned();
        prop_assert!(!once.contains('\n'));
        assert_harmless(&once);
        prop_assert_eq!(shown(&once).into_owned(), once.clone(), "twice is as once");
    }

    #[test]
    fn parts_of_a_line_do_no_more_than_the_line(parts in proptest::collection::vec(hostile(), 0..4)) {
        let mut out = String::new();
        parts.iter().for_each(|part| push(&mut out, part));
        assert_harmless(&out);
        prop_assert_eq!(out, shown(&parts.concat()).into_owned());
    }

    #[test]
    fn a_json_document_says_the_same_and_does_nothing(name in hostile(), value in hostile()) {
        let before = serde_json::json!({ name: [value], "list": [[], ["x"]] });
        let after = json(&format!("{before:#}")).into_owned();
        assert_harmless(&after);
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&after).unwrap(), before);
    }
}
