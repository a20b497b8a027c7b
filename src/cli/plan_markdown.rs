//! A plan as a comment on a merge request: Markdown for GitHub and GitLab, with long parts folded.

use super::plan_view::{self, PlanText};
use super::text::{Text, put, text};
use crate::model::finding::{Finding, Severity};
use crate::model::shown::shown;
use crate::plan::{Action, Plan};

/// Most characters of a comment: GitHub accepts 65,536, GitLab more.
const MOST: usize = 60_000;
/// Most characters of a single account, so that one account does not crowd out the others.
const MOST_OF_ONE: usize = 20_000;
/// Most lines that are shown without folding.
const SHORT: usize = 12;

/// Returns the plan as Markdown. `view` is its view in human format, and `outlook` the last lines of that view.
pub(super) fn markdown(plan: &Plan, view: &PlanText, outlook: &Text) -> Text {
    let mut out = Text::from("<!-- vstream-jwt plan -->");
    let title = match (plan.is_refused(), plan.is_empty()) {
        (true, _) => "`apply` would refuse".to_owned(),
        (false, true) => "in sync, nothing to do".to_owned(),
        (false, false) => plan_view::summary(plan),
    };
    put!(out, "### vstream-jwt plan: {title}");
    out.end();
    deletions(&mut out, plan);
    findings(&mut out, &plan.findings);
    for line in view.head.plain().lines() {
        put!(out, "{}", escaped(line));
    }
    out.end();
    let mut end = Text::new();
    end.end();
    let mut lines = outlook.plain().lines().map(escaped).peekable();
    while let Some(line) = lines.next() {
        // Two trailing spaces make a line break.
        put!(end, "{line}{}", if lines.peek().is_some() { "  " } else { "" });
    }
    let mut left_out = 0;
    for account in &view.accounts {
        let section = section(account);
        match out.plain().len() + section.plain().len() + end.plain().len() + 200 < MOST {
            true => out.append(&section),
            false => left_out += 1,
        }
    }
    if left_out > 0 {
        put!(out, "**{left_out} more accounts do not fit here; the plan file and the job's log have them.**");
    }
    out.append(&end);
    out
}

/// Lists permanent deletions first.
fn deletions(out: &mut Text, plan: &Plan) {
    let changes = plan.accounts.iter().flat_map(|account| &account.streams.changes);
    let deleted: Vec<_> = changes.filter(|change| change.action == Action::Delete).collect();
    if deleted.is_empty() {
        return;
    }
    let messages: u64 = deleted.iter().filter_map(|change| change.messages).sum();
    let names: Vec<String> = deleted.iter().take(20).map(|change| escaped(&change.name)).collect();
    let more = if deleted.len() > names.len() { ", …" } else { "" };
    let (count, names) = (deleted.len(), names.join(", "));
    put!(out, "**Deletes {count} streams with {messages} messages, for good:** {names}{more}");
    out.end();
}

/// Adds errors and warnings as a table. Infos are only in the log.
fn findings(out: &mut Text, findings: &[Finding]) {
    let mut shown: Vec<&Finding> = findings.iter().filter(|finding| finding.severity > Severity::Info).collect();
    if shown.is_empty() {
        return;
    }
    shown.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    put!(out, "| | where | what is the case | what to do |");
    put!(out, "|---|---|---|---|");
    let mut size = 0;
    for (number, finding) in shown.iter().enumerate() {
        let severity = if finding.severity == Severity::Error { "**error**" } else { "warning" };
        let Finding { code, severity: _, place, message, lines, next } = finding;
        let [place, message, next] = [place, message, next].map(|text| cut(&escaped(text), 1_000));
        let lines: String = lines.iter().map(|line| format!("<br>{}", cut(&escaped(line), 200))).take(10).collect();
        let row = format!("| {severity} | {place} | {message} (`{code}`){lines} | {next} |");
        size += row.len() + 1;
        if size > MOST / 3 {
            put!(out, "| | | {} more | |", shown.len() - number);
            break;
        }
        put!(out, "{row}");
    }
    out.end();
}

/// Returns an account as a block that shows additions and removals in color. Folds a long block.
fn section(account: &Text) -> Text {
    let (title, lines) = account.plain().split_once('\n').unwrap_or((account.plain(), ""));
    let lines: Vec<String> = lines.trim_end().lines().map(diff_line).collect();
    let mut body = Text::new();
    for (number, line) in lines.iter().enumerate() {
        if body.plain().len() + line.len() > MOST_OF_ONE {
            put!(body, "  … {} more lines", lines.len() - number);
            break;
        }
        put!(body, "{line}");
    }
    let fence = fence(body.plain());
    let title = escaped(title.trim());
    let folded = lines.len() > SHORT;
    let mut out = match folded {
        true => text!("<details><summary>{title}: {} lines</summary>", lines.len()),
        false => text!("{title}"),
    };
    out.end();
    put!(out, "{fence}diff");
    out.append(&body);
    put!(out, "{fence}");
    out.end();
    if folded {
        put!(out, "</details>");
        out.end();
    }
    out
}

/// Moves the mark of a line to its beginning, where `diff` expects it.
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

/// Returns a fence longer than any in the text, so that the text cannot close it.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// Escapes text to one line that Markdown, HTML, mentions, references and links leave unchanged.
fn escaped(text: &str) -> String {
    // GitHub and GitLab search the rendered text for these, where an entity is a plain character again. A zero-width
    // character prevents the match.
    const APART: &str = "&#8203;";
    let text = shown(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // GitLab treats a line that starts with `/` as a command.
            '/' if out.is_empty() => out.push_str("&#47;"),
            '/' if out.ends_with(":/") => out.push_str(&format!("{APART}/")),
            '.' if out.as_bytes().last_chunk().is_some_and(|end: &[u8; 3]| end.eq_ignore_ascii_case(b"www")) => {
                out.push_str(&format!("{APART}."));
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str(&format!("&#64;{APART}")),
            '#' => out.push_str(&format!("&#35;{APART}")),
            '!' => out.push_str(&format!("&#33;{APART}")),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Cuts a text to at most `most` characters, never in the middle of an escape.
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

    fn view(head: &str, accounts: impl IntoIterator<Item = String>) -> PlanText {
        let accounts = accounts.into_iter().map(|account| Text::of_lines(&account)).collect();
        PlanText { head: head.into(), accounts }
    }

    #[test]
    fn a_plan_reads_as_a_diff_and_what_is_long_is_folded() {
        let long: String = (0..20).map(|n| format!("    + stream-{n}\n")).collect();
        let short = "account APP ABC\n  mappings\n    + foo.>  →  x\n    ~ y\n    - z\n";
        let view = view("9 servers", [short.to_owned(), format!("accounts B (west)\n{long}")]);
        let shown = markdown(&plan(Vec::new()), &view, &"In sync: nothing to do.".into());
        let shown = shown.plain();
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
        let finding = finding.lines([evil.to_owned()]);
        let mut account = text!("account {evil}");
        ["```", "````", "/merge", "\n```", evil].iter().for_each(|evil| put!(account, "    + {evil}"));
        let view = PlanText { head: text!("head {evil}"), accounts: vec![account] };
        let shown = markdown(&plan(vec![finding]), &view, &evil.into());
        let shown = shown.plain();
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
        for markup in ["<script", "</details>", "@", "![", "](", " `code`", "\n/merge", "://"] {
            assert!(!outside.replace("\\]", "").contains(markup), "{markup:?} in {outside}");
        }
        // The text as a rendered page has it, which is searched for mentions, references and links.
        let page =
            outside.replace("&#64;", "@").replace("&#35;", "#").replace("&#33;", "!").replace("&#8203;", "\u{200b}");
        for found in ["@e", "#1", "!["] {
            assert!(!page.contains(found), "{found:?} in {page}");
        }
        let row = outside.lines().find(|line| line.starts_with("| **error**")).unwrap();
        assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
    }

    #[test]
    fn however_long_a_plan_is_the_comment_is_not() {
        let findings = (0..2_000).map(|n| Finding::warning("code", format!("place {n}"), "x ".repeat(2_000), "Do it."));
        let line = format!("    + {}\n", "ü".repeat(300));
        let accounts = (0..50).map(|n| format!("account A{n}\n{}", line.repeat(200)));
        let shown = markdown(&plan(findings.collect()), &view("head", accounts), &"the end".into());
        let shown = shown.plain();
        assert!(shown.chars().count() < 60_000 && shown.len() < 64_000, "{}", shown.len());
        assert!(shown.contains("more lines") && shown.contains("more accounts") && shown.contains(" more | |"));
        assert!(shown.trim_end().ends_with("the end"));
        assert_eq!(shown.matches("<details>").count(), shown.matches("</details>").count());
    }
}
