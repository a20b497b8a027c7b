//! Formats findings as text.

use super::text::{DIM, Paint as _, Painted, RED, Text, YELLOW, put, text};
use crate::model::finding::{Finding, Severity};

/// Returns a severity's label, colored.
pub(super) fn label(severity: Severity) -> Painted<&'static str> {
    match severity {
        Severity::Error => "error".in_style(RED),
        Severity::Warning => "warning".in_style(YELLOW),
        Severity::Info => "note".in_style(DIM),
    }
}

/// Returns a finding as text.
pub(super) fn finding_text(finding: &Finding) -> Text {
    let Finding { code, severity, place, message, lines, next } = finding;
    let mut out = text!("{}: {place}: {message} {}", label(*severity), format_args!("[{code}]").dim());
    lines.iter().for_each(|detail| put!(out, "    {detail}"));
    if !next.is_empty() {
        put!(out, "  {} {next}", "next:".bold());
    }
    out
}

/// Returns findings as text. If consecutive findings share a next step, it appears once after them.
pub(super) fn findings_text(findings: &[&Finding]) -> Vec<Text> {
    let rows = findings.chunk_by(|a, b| (a.code, a.severity, &a.next) == (b.code, b.severity, &b.next));
    let texts = rows.flat_map(|row| {
        let last = row.len() - 1;
        row.iter().enumerate().map(move |(number, finding)| match number == last {
            true => finding_text(finding),
            false => finding_text(&Finding { next: String::new(), ..(*finding).clone() }),
        })
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_step_that_several_have_comes_once() {
        let finding = |place: &str, next: &str| Finding::warning("code", place, "is so", next);
        let all = [finding("a", "Do it."), finding("b", "Do it."), finding("c", "")];
        let texts = findings_text(&all.iter().collect::<Vec<_>>());
        let texts: Vec<&str> = texts.iter().map(Text::plain).collect();
        let wanted = ["a: is so [code]", "b: is so [code]\n  next: Do it.", "c: is so [code]"];
        assert_eq!(texts, wanted.map(|text| format!("warning: {text}\n")));
    }
}
