//! Groups the lines of a plan: lines that differ only in the region's name become one.

use crate::cli::text::{GREEN, Paint as _, Painted, RED, Text, YELLOW, put};
use crate::plan::Action;

/// A line of the plan, for one region, with the lines below it.
pub(super) struct Line {
    pub(super) action: Action,
    pub(super) region: String,
    pub(super) text: String,
    pub(super) below: Vec<Below>,
}

/// A line below another one: a change to an existing object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Below {
    pub(super) mark: Option<Action>,
    pub(super) text: String,
}

/// Adds lines. Lines that differ only in the region's name become one, unless `all` is `true`. `label` replaces the
/// region's name at the end of a line.
pub(super) fn lines(out: &mut Text, lines: impl IntoIterator<Item = Line>, all: bool, label: impl Fn(&str) -> String) {
    /// The texts with the region's name replaced, and the lines with these texts.
    struct Group {
        action: Action,
        text: String,
        below: Vec<Below>,
        lines: Vec<Line>,
    }
    let mut groups: Vec<Group> = Vec::new();
    for line in lines {
        let text = generalised(&line.text, &line.region);
        let below =
            line.below.iter().map(|Below { mark, text }| Below { mark: *mark, text: generalised(text, &line.region) });
        let below: Vec<Below> = below.collect();
        let alike =
            |group: &&mut Group| !all && (group.action, &group.text, &group.below) == (line.action, &text, &below);
        match groups.iter_mut().find(alike) {
            Some(group) => group.lines.push(line),
            None => groups.push(Group { action: line.action, text, below, lines: vec![line] }),
        }
    }
    for Group { action, text, below, lines } in groups {
        let (text, below) = match lines.as_slice() {
            [one] => (&one.text, &one.below),
            _ => (&text, &below),
        };
        let regions: Vec<String> = lines.iter().map(|line| label(&line.region)).collect();
        put!(out, "    {} {text}  ({})", mark(action), regions.join(", "));
        for Below { mark: change, text } in below {
            match change {
                Some(change) => put!(out, "        {} {text}", mark(*change)),
                None => put!(out, "        {text}"),
            }
        }
    }
}

/// Returns `text` with `<region>` in place of the region's name, where the name is a word of its own.
pub(super) fn generalised(text: &str, region: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(region) {
        let (before, after) = (&rest[..at], &rest[at + region.len()..]);
        let alone =
            !before.ends_with(|c: char| c.is_alphanumeric()) && !after.starts_with(|c: char| c.is_alphanumeric());
        out.push_str(before);
        out.push_str(if alone { "<region>" } else { region });
        rest = after;
    }
    out + rest
}

pub(super) fn mark(action: Action) -> Painted<&'static str> {
    match action {
        Action::Create => "+".in_style(GREEN),
        Action::Update => "~".in_style(YELLOW),
        Action::Delete => "-".in_style(RED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_generalised_only_where_it_stands_alone() {
        assert_eq!(generalised("foo-read-west", "west"), "foo-read-<region>");
        assert_eq!(generalised("foo.west.> northwest", "west"), "foo.<region>.> northwest");
        assert_eq!(generalised("west", "west"), "<region>");
    }

    #[test]
    fn lines_that_differ_in_the_region_only_become_one() {
        let line = |region: &str, text: &str| Line {
            action: Action::Create,
            region: region.into(),
            text: text.into(),
            below: vec![Below { mark: None, text: format!("a {region}") }],
        };
        let of = |all| {
            let mut out = Text::new();
            let some = [line("west", "a-west"), line("east", "a-east"), line("east", "b-east R1")];
            lines(&mut out, some, all, str::to_owned);
            out.plain().to_owned()
        };
        let [west, east, both] = ["west", "east", "<region>"].map(|region| format!("        a {region}\n"));
        let b = format!("    + b-east R1  (east)\n{east}");
        assert_eq!(of(false), format!("    + a-<region>  (west, east)\n{both}{b}"));
        assert_eq!(of(true), format!("    + a-west  (west)\n{west}    + a-east  (east)\n{east}{b}"));
    }
}
