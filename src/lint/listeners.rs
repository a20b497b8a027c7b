//! Who listens on subjects that are about to be mapped: subscriptions are not mapped, publishes are.

use super::{LintInput, Listener, ListenerKind, Report};
use crate::model::finding::Severity;
use crate::model::subject::SubjectFilter;
use crate::model::subject_trie::SubjectTrie;
use crate::model::transform::Transform;
use std::ops::ControlFlow;

pub(super) fn check(input: &LintInput<'_>, report: &mut Report<'_>) {
    if input.listeners.is_empty() {
        return;
    }
    let mut sources = SubjectTrie::default();
    for (index, entry) in input.entries.iter().enumerate().filter(|(_, entry)| entry.ours && !entry.in_force) {
        if SubjectFilter::parse(entry.source).is_ok() {
            sources.insert(entry.source, index);
        }
    }
    for listener in input.listeners {
        let Ok(subject) = SubjectFilter::parse(listener.subject) else { continue };
        // The most that there is to say about a listener is that it stops receiving.
        let (mut stops, mut changes) = (None, None);
        sources.overlapping(listener.subject, &mut |index| {
            let entry = &input.entries[*index];
            match effect(&subject, entry.source, entry.destinations.iter().map(|d| &*d.subject)) {
                Effect::None => {}
                Effect::Changes => changes = changes.or(Some(*index)),
                Effect::Stops => stops = Some(*index),
            }
            if stops.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Some(index) = stops {
            stopped(listener, input.entries[index].source, report);
        } else if let Some(index) = changes {
            changed(listener, input.entries[index].source, report);
        }
    }
}

enum Effect {
    None,
    /// Receives under the mapped subject.
    Changes,
    Stops,
}

fn effect<'a>(listener: &SubjectFilter, source: &str, destinations: impl Iterator<Item = &'a str>) -> Effect {
    let results: Vec<SubjectFilter> = destinations
        .filter_map(|destination| Transform::parse_mapping(source, destination).ok().map(|t| t.result_filter()))
        .filter_map(|result| SubjectFilter::parse(&result).ok())
        .collect();
    if results.iter().any(|result| result.covers(listener)) || source.starts_with("$JS.") {
        // It asks for what was mapped, as write streams do; and the API itself listens on all of its subjects.
        Effect::None
    } else if results.iter().all(|result| listener.covers(result)) {
        Effect::Changes
    } else {
        Effect::Stops
    }
}

fn stopped(listener: &Listener<'_>, source: &str, report: &mut Report<'_>) {
    let subject = listener.subject;
    let (code, what, next) = match listener.kind {
        ListenerKind::Subscription => (
            "subscription-stops",
            "the subscription would no longer receive what is published there",
            "Let the subscriber read the virtual stream, move it to other subjects, or stop it.",
        ),
        ListenerKind::ServiceImport => (
            "service-import-stops",
            "requests would no longer reach the imported service",
            "Import the service under another subject, or narrow the virtual stream's subjects.",
        ),
        ListenerKind::ServiceExport => (
            "service-export-stops",
            "requests of the importing accounts are mapped too and would no longer reach the service",
            "Export the service under another subject, or narrow the virtual stream's subjects.",
        ),
        ListenerKind::StreamExport => (
            "stream-export-stops",
            "the importing accounts would no longer receive what is published there",
            "Export the subjects as they are captured (`$VW.*.…`), or narrow the virtual stream's subjects.",
        ),
    };
    report.at(
        Severity::Error,
        code,
        place(listener),
        format!("`{subject}` would be mapped by `{source}`: {what}"),
        &format!("{next} Or go on with `--allow {code}`."),
    );
}

fn changed(listener: &Listener<'_>, source: &str, report: &mut Report<'_>) {
    report.at(
        Severity::Info,
        "listener-sees-mapped-subjects",
        place(listener),
        format!("`{}` would go on receiving what `{source}` maps, but as `$VW.<cluster>.…`", listener.subject),
        "",
    );
}

fn place(listener: &Listener<'_>) -> String {
    let kind = match listener.kind {
        ListenerKind::Subscription => "subscription",
        ListenerKind::ServiceImport => "service import",
        ListenerKind::ServiceExport => "service export",
        ListenerKind::StreamExport => "stream export",
    };
    if listener.who.is_empty() {
        format!("{kind} {}", listener.subject)
    } else {
        format!("{kind} {} of {}", listener.subject, listener.who)
    }
}
