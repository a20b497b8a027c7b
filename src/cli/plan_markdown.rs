//! A plan as a comment on a merge request: Markdown as GitHub and GitLab read it, with what is long folded away.

use super::plan_view;
use crate::model::finding::{Finding, Severity};
use crate::plan::{Action, Plan};
use std::fmt::Write as _;

/// GitHub takes comments of 65,536 characters, GitLab more.
const MOST: usize = 60_000;
/// What a single account may take, so that one does not hide the others.
const MOST_OF_ONE: usize = 20_000;
/// Lines that are shown without unfolding.
const SHORT: usize = 12;

/// The plan, whose view for people is `text` (without colors). `outlook` are the last lines of that view.
pub(super) fn markdown(plan: &Plan, text: &str, outlook: &str) -> String {
    let mut out = String::from("<!-- vstream-jwt plan -->\n");
    let title = match (plan.is_refused(), plan.is_empty()) {
        (true, _) => "`apply` would refuse".to_owned(),
        (false, true) => "in sync, nothing to do".to_owned(),
        (false, false) => plan_view::summary(plan),
    };
    let _ = writeln!(out, "### vstream-jwt plan: {title}\n");
    out.push_str(&deletions(plan));
    out.push_str(&findings(&plan.findings));
    let (head, accounts) = sections(text);
    let _ = writeln!(out, "{}\n", escaped(head.trim()));
    let end = format!("\n{}\n", outlook.lines().map(escaped).collect::<Vec<_>>().join("  \n"));
    let mut left_out = 0;
    for account in accounts {
        let section = section(account);
        match out.len() + section.len() + end.len() + 200 < MOST {
            true => out.push_str(&section),
            false => left_out += 1,
        }
    }
    if left_out > 0 {
        let _ =
            writeln!(out, "**{left_out} more accounts do not fit here; the plan file and the job's log have them.**");
    }
    out.push_str(&end);
    out
}

/// What is lost for good comes first.
fn deletions(plan: &Plan) -> String {
    let changes = plan.accounts.iter().flat_map(|account| &account.streams.changes);
    let deleted: Vec<_> = changes.filter(|change| change.action == Action::Delete).collect();
    if deleted.is_empty() {
        return String::new();
    }
    let messages: u64 = deleted.iter().filter_map(|change| change.messages).sum();
    let names: Vec<String> = deleted.iter().take(20).map(|change| escaped(&change.name)).collect();
    let more = if deleted.len() > names.len() { ", …" } else { "" };
    format!("**Deletes {} streams with {messages} messages, for good:** {}{more}\n\n", deleted.len(), names.join(", "))
}

/// Errors and warnings as a table; what is only information is in the log.
fn findings(findings: &[Finding]) -> String {
    let mut shown: Vec<&Finding> = findings.iter().filter(|finding| finding.severity > Severity::Info).collect();
    if shown.is_empty() {
        return String::new();
    }
    shown.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut out = String::from("| | where | what is the case | what to do |\n|---|---|---|---|\n");
    for (number, finding) in shown.iter().enumerate() {
        let severity = if finding.severity == Severity::Error { "**error**" } else { "warning" };
        let Finding { code, severity: _, place, message, next } = finding;
        let [place, message, next] = [place, message, next].map(|text| cut(&escaped(text), 1_000));
        let row = format!("| {severity} | {place} | {message} (`{code}`) | {next} |\n");
        if out.len() + row.len() > MOST / 3 {
            let _ = writeln!(out, "| | | {} more | |", shown.len() - number);
            break;
        }
        out.push_str(&row);
    }
    out.push('\n');
    out
}

/// The first lines, and the accounts'.
fn sections(text: &str) -> (&str, Vec<&str>) {
    let mut starts: Vec<usize> = text
        .match_indices("\naccount")
        .filter(|(at, found)| matches!(text[at + found.len()..].chars().next(), Some(' ' | 's')))
        .map(|(at, _)| at + 1)
        .collect();
    let head = &text[..starts.first().copied().unwrap_or(text.len())];
    starts.push(text.len());
    (head, starts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect())
}

/// An account as a block that shows what is added and taken away in colors; folded when it is long.
fn section(account: &str) -> String {
    let (title, lines) = account.split_once('\n').unwrap_or((account, ""));
    let lines: Vec<String> = lines.trim_end().lines().map(diff_line).collect();
    let mut body = String::new();
    for (number, line) in lines.iter().enumerate() {
        if body.len() + line.len() > MOST_OF_ONE {
            let _ = writeln!(body, "  … {} more lines", lines.len() - number);
            break;
        }
        let _ = writeln!(body, "{line}");
    }
    let fence = fence(&body);
    let title = escaped(title.trim());
    match lines.len() > SHORT {
        true => format!(
            "<details><summary>{title}: {} lines</summary>\n\n{fence}diff\n{body}{fence}\n\n</details>\n\n",
            lines.len()
        ),
        false => format!("{title}\n\n{fence}diff\n{body}{fence}\n\n"),
    }
}

/// The mark of a line moves to its beginning, where `diff` has it.
fn diff_line(line: &str) -> String {
    let bare = line.trim_start();
    let indent = line.len() - bare.len();
    let mark = match bare.as_bytes() {
        [mark @ (b'+' | b'-'), b' ', ..] => char::from(*mark),
        [b'~', b' ', ..] => '!',
        _ => return format!("  {line}"),
    };
    format!("{mark} {}{}", " ".repeat(indent), &bare[2..])
}

/// A fence that nothing in the text can close.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// Text that Markdown, HTML, mentions and references leave as it is, in one line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // GitLab takes a line that begins so for a command.
            '/' if out.is_empty() => out.push_str("&#47;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '!' => out.push_str("&#33;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// At most so many characters; never in the middle of an escape.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => {
            let kept = &text[..at];
            let whole = kept.rfind(' ').map_or("", |space| &kept[..space]);
            format!("{whole} …")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(findings: Vec<Finding>) -> Plan {
        Plan { accounts: Vec::new(), findings }
    }

    #[test]
    fn a_plan_reads_as_a_diff_and_what_is_long_is_folded() {
        let long: String = (0..20).map(|n| format!("    + stream-{n}\n")).collect();
        let text = format!(
            "9 servers\n\naccount APP ABC\n  mappings\n    + foo.>  →  x\n    ~ y\n    - z\n\naccounts B (west)\n{long}"
        );
        let shown = markdown(&plan(Vec::new()), &text, "In sync: nothing to do.");
        assert!(shown.starts_with("<!-- vstream-jwt plan -->\n### vstream-jwt plan: in sync"), "{shown}");
        assert!(
            shown.contains("account APP ABC\n\n```diff\n    mappings\n+     foo.>  →  x\n!     y\n-     z\n```\n"),
            "{shown}"
        );
        assert!(shown.contains("<details><summary>accounts B (west): 20 lines</summary>\n\n```diff\n+     stream-0\n"));
        assert!(shown.trim_end().ends_with("In sync: nothing to do."));
    }

    #[test]
    fn nothing_in_a_plan_can_become_markup() {
        let evil = "</details><script> @everyone ![x](http://y) | `code` #1\n/merge";
        let finding = Finding::error("code", evil, evil, evil);
        let text = format!("head {evil}\n\naccount {evil}\n    + ```\n    + ````\n    + /merge\n");
        let shown = markdown(&plan(vec![finding]), &text, evil);
        let mut outside = String::new();
        let mut fence: Option<&str> = None;
        for line in shown.lines() {
            match fence {
                Some(end) if line == end => fence = None,
                Some(_) => {}
                None if line.starts_with("```") => fence = Some(line.trim_end_matches("diff")),
                None => outside.push_str(&format!("{line}\n")),
            }
        }
        assert!(fence.is_none(), "every block is closed: {shown}");
        for markup in ["<script", "</details>", "@", "![", "](", " `code`", "\n/merge"] {
            assert!(!outside.replace("\\]", "").contains(markup), "{markup:?} in {outside}");
        }
        let row = outside.lines().find(|line| line.starts_with("| **error**")).unwrap();
        assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
    }

    #[test]
    fn however_long_a_plan_is_the_comment_is_not() {
        let findings = (0..2_000).map(|n| Finding::warning("code", format!("place {n}"), "x ".repeat(2_000), "Do it."));
        let line = format!("    + {}\n", "ü".repeat(300));
        let accounts: String = (0..50).map(|n| format!("\naccount A{n}\n{}", line.repeat(200))).collect();
        let shown = markdown(&plan(findings.collect()), &format!("head\n{accounts}"), "the end");
        assert!(shown.chars().count() < 60_000 && shown.len() < 64_000, "{}", shown.len());
        assert!(shown.contains("more lines") && shown.contains("more accounts") && shown.contains(" more | |"));
        assert!(shown.trim_end().ends_with("the end"));
        assert_eq!(shown.matches("<details>").count(), shown.matches("</details>").count());
    }
}
