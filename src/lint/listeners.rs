//! Listeners on subjects that the run will map, and imports that bypass the mappings. Servers map published messages,
//! but not subscriptions or messages of a stream import.

use super::report::AccountFindings;
use super::{Entry, LintInput, Listener, ListenerKind};
use crate::model::finding::Severity;
use crate::model::subject::SubjectFilter;
use crate::model::subject_trie::SubjectTrie;
use crate::model::transform::Transform;
use std::ops::ControlFlow;

/// Servers do not map messages of a stream import (server.go `processImport`; measured).
const UNMAPPED: &str = "stream-import-unmapped";

pub(super) fn check(input: &LintInput<'_>, report: &mut AccountFindings<'_>) {
    if input.listeners.is_empty() {
        return;
    }
    let mut sources = SubjectTrie::default();
    for (index, entry) in input.entries.iter().enumerate().filter(|(_, entry)| entry.ours) {
        if SubjectFilter::parse(entry.source).is_ok() {
            sources.insert(entry.source, index);
        }
    }
    for listener in input.listeners {
        let Ok(subject) = SubjectFilter::parse(listener.subject) else { continue };
        // The worst effect is that the listener stops receiving.
        let (mut stops, mut changes) = (None, None);
        sources.overlapping(listener.subject, &mut |index| {
            let entry = &input.entries[*index];
            match effect(listener.kind, &subject, entry) {
                Effect::None => {}
                Effect::Changes => changes = changes.or(Some(*index)),
                // A new mapping takes precedence over an existing one in the report.
                Effect::Stops if entry.known => stops = stops.or(Some(*index)),
                Effect::Stops => {
                    stops = Some(*index);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        if let Some(index) = stops {
            stopped(listener, &input.entries[index], report);
        } else if let Some(index) = changes {
            changed(listener, input.entries[index].source, report);
        }
    }
}

enum Effect {
    None,
    /// The listener receives under the mapped subject.
    Changes,
    Stops,
}

fn effect(kind: ListenerKind, listener: &SubjectFilter, entry: &Entry<'_>) -> Effect {
    let of_jetstream = entry.source.starts_with("$JS.");
    // Servers never map messages of a stream import.
    if kind == ListenerKind::StreamImport {
        return if of_jetstream { Effect::None } else { Effect::Stops };
    }
    // Listeners on the source already receive nothing.
    if entry.in_force {
        return Effect::None;
    }
    // The API itself subscribes to all of its subjects. An import there is another account's.
    if of_jetstream && (kind != ListenerKind::ServiceImport || entry.known) {
        return Effect::None;
    }
    let results: Vec<SubjectFilter> = (entry.destinations.iter())
        .filter_map(|to| Transform::parse_mapping(entry.source, &to.subject).ok().map(|t| t.result_filter()))
        .filter_map(|result| SubjectFilter::parse(&result).ok())
        .collect();
    if results.iter().any(|result| result.covers(listener)) {
        // The listener receives the mapped subjects, as write streams do.
        Effect::None
    } else if results.iter().all(|result| listener.covers(result)) {
        Effect::Changes
    } else {
        Effect::Stops
    }
}

fn stopped(listener: &Listener<'_>, entry: &Entry<'_>, report: &mut AccountFindings<'_>) {
    let (subject, source) = (listener.subject, entry.source);
    let (code, what, next) = match listener.kind {
        ListenerKind::StreamImport => {
            return report.at(
                // If this is already so, the run does not cause it.
                if entry.known { Severity::Warning } else { Severity::Error },
                UNMAPPED,
                place(listener),
                format!("what comes by the import as `{subject}` is not mapped by `{source}`, so no region stores it"),
                &format!(
                    "Import it as `$VW.<cluster>.{subject}`, for the cluster of the region that is to store it: the others copy \
                     it from there. Or go on with `--allow {UNMAPPED}`."
                ),
            );
        }
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

fn changed(listener: &Listener<'_>, source: &str, report: &mut AccountFindings<'_>) {
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
        ListenerKind::StreamImport => "stream import",
    };
    if listener.who.is_empty() {
        format!("{kind} {}", listener.subject)
    } else {
        format!("{kind} {} of {}", listener.subject, listener.who)
    }
}
