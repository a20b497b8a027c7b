//! Lines of a plan: what differs in the region's name only is one.

use crate::cli::shell::Paint;
use crate::plan::Action;
use std::fmt::Write as _;

/// A line of the plan, for one region, and lines below it.
pub(super) struct Line {
    pub(super) action: Action,
    pub(super) region: String,
    pub(super) text: String,
    pub(super) below: String,
}

/// Lines that differ in the region's name only become one, unless `all` is wanted.
pub(super) fn lines(out: &mut String, lines: impl IntoIterator<Item = Line>, all: bool) {
    let mut groups: Vec<(Action, [String; 2], Vec<Line>)> = Vec::new();
    for line in lines {
        let texts = [&line.text, &line.below].map(|text| generalised(text, &line.region));
        match groups.iter_mut().find(|(action, template, _)| !all && *action == line.action && *template == texts) {
            Some((_, _, group)) => group.push(line),
            None => groups.push((line.action, texts, vec![line])),
        }
    }
    for (action, [text, below], group) in groups {
        let _ = match group.as_slice() {
            [one] => write!(out, "    {} {}  ({})\n{}", mark(action), one.text, one.region, one.below),
            many => {
                let regions: Vec<&str> = many.iter().map(|line| line.region.as_str()).collect();
                write!(out, "    {} {text}  ({})\n{below}", mark(action), regions.join(", "))
            }
        };
    }
}

/// `text` with the region's name, where it stands alone, as `<region>`.
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

pub(super) fn mark(action: Action) -> String {
    match action {
        Action::Create => Paint::green("+"),
        Action::Update => Paint::yellow("~"),
        Action::Delete => Paint::red("-"),
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
            below: format!("        a {region}\n"),
        };
        let of = |all| {
            let mut out = String::new();
            lines(&mut out, [line("west", "a-west"), line("east", "a-east"), line("east", "b-east R1")], all);
            anstream::adapter::strip_str(&out).to_string()
        };
        let [west, east, both] = ["west", "east", "<region>"].map(|region| format!("        a {region}\n"));
        let b = format!("    + b-east R1  (east)\n{east}");
        assert_eq!(of(false), format!("    + a-<region>  (west, east)\n{both}{b}"));
        assert_eq!(of(true), format!("    + a-west  (west)\n{west}    + a-east  (east)\n{east}{b}"));
    }
}
