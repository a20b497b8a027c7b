//! How a plan reads: like a diff, one line per virtual stream and kind of thing, all of it with `-v`.

use super::shell::{Paint, some};
use crate::definition::Definition;
use crate::desired::Role;
use crate::model::mapping::Destination;
use crate::model::units::format_duration;
use crate::observed::Deployment;
use crate::plan::consumers::ConsumerChange;
use crate::plan::mappings::MappingChange;
use crate::plan::streams::StreamChange;
use crate::plan::{AccountPlan, Action, FieldChange, Plan, Reason, Report};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The plan for a script.
pub(super) fn document(plan: &Plan, deployment: &Deployment) -> Value {
    let Plan { accounts, findings } = plan;
    let accounts = accounts.iter().map(|account| {
        let AccountPlan { name, id, mappings, streams, consumers, push, skipped } = account;
        json!({
            "account": name,
            "id": id,
            "mappings": mappings.changes,
            "streams": streams.changes,
            "consumers": consumers.changes,
            "left_alone": mappings.reports.iter().chain(&streams.reports).collect::<Vec<_>>(),
            "skipped": skipped,
            "push": push.as_ref().map(|push| json!({
                "reason": push.reason,
                "size": push.claims.token_size(),
            })),
        })
    });
    json!({
        "changes": !plan.is_empty(),
        "refused": plan.is_refused(),
        "servers": deployment.servers.len(),
        "expected_servers": deployment.total(),
        "accounts": accounts.collect::<Vec<_>>(),
        "findings": findings,
    })
}

/// The plan for a person. `all`: nothing is summed up.
pub(super) fn text(definition: &Definition, plan: &Plan, deployment: &Deployment, all: bool) -> String {
    let view = View { definition, all };
    let mut out = String::new();
    let versions = versions(deployment);
    let _ = writeln!(
        out,
        "{} servers in {} clusters, nats-server {versions}",
        deployment.servers.len(),
        deployment.clusters().len()
    );
    for account in &plan.accounts {
        view.account(&mut out, account);
    }
    out
}

fn versions(deployment: &Deployment) -> String {
    let mut versions: Vec<&str> = deployment.servers.iter().map(|server| server.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    versions.join(", ")
}

/// `3 mappings to add, 6 streams to create`
pub(super) fn summary(plan: &Plan) -> String {
    let mut counts: BTreeMap<(u8, Action), usize> = BTreeMap::new();
    for account in &plan.accounts {
        account.mappings.changes.iter().for_each(|change| *counts.entry((0, change.action)).or_default() += 1);
        account.streams.changes.iter().for_each(|change| *counts.entry((1, change.action)).or_default() += 1);
        account.consumers.changes.iter().for_each(|change| *counts.entry((2, change.action)).or_default() += 1);
    }
    let mut parts: Vec<String> = counts
        .into_iter()
        .map(|((kind, action), count)| {
            let kind = ["mapping", "stream", "consumer"][usize::from(kind)];
            let verb = match (kind, action) {
                ("mapping", Action::Create) => "add",
                (_, Action::Create) => "create",
                (_, Action::Update) => "change",
                ("mapping", Action::Delete) => "take away",
                (_, Action::Delete) => "delete",
            };
            format!("{count} {kind}{} to {verb}", if count == 1 { "" } else { "s" })
        })
        .collect();
    let repairs = plan.accounts.iter().filter_map(|account| match &account.push.as_ref()?.reason {
        Reason::Repair(servers) => Some(servers.len()),
        Reason::Mappings => None,
    });
    let repairs: usize = repairs.sum();
    if repairs > 0 {
        parts.push(format!("{repairs} server{} to bring up to date", if repairs == 1 { "" } else { "s" }));
    }
    parts.join(", ")
}

struct View<'a> {
    definition: &'a Definition,
    all: bool,
}

impl View<'_> {
    fn account(&self, out: &mut String, account: &AccountPlan) {
        let AccountPlan { name, id, mappings, streams, consumers, push, skipped } = account;
        let _ = writeln!(out, "\naccount {} {}", Paint::bold(name), Paint::dim(&id.to_string()));
        if account.is_empty() {
            let _ = writeln!(out, "  in sync");
        }
        self.mappings(out, &mappings.changes);
        if let Some(Reason::Repair(servers)) = push.as_ref().map(|push| &push.reason) {
            let line = format!("the newest token, again, for {}", servers.join(", "));
            let _ = writeln!(out, "  token\n    {} {line}", mark(Action::Update));
        }
        self.streams(out, &streams.changes);
        self.consumers(out, &consumers.changes);
        for place in skipped {
            let _ = writeln!(out, "    ? {place}: its region does not answer");
        }
        self.left_alone(out, mappings.reports.iter().chain(&streams.reports));
    }

    fn left_alone<'r>(&self, out: &mut String, reports: impl Iterator<Item = &'r Report>) {
        let mut reports: Vec<&Report> = reports.collect();
        reports.sort_by(|a, b| a.virtual_stream.cmp(&b.virtual_stream));
        if reports.is_empty() {
            return;
        }
        let _ = writeln!(out, "  left alone");
        if self.all {
            for Report { virtual_stream: _, place, message, next } in reports {
                let _ = writeln!(out, "    = {place}: {message}");
                if !next.is_empty() {
                    let _ = writeln!(out, "      next: {next}");
                }
            }
            return;
        }
        let mut names: Vec<&str> = reports.iter().map(|report| report.virtual_stream.as_str()).collect();
        names.dedup();
        let _ = writeln!(
            out,
            "    = what was made for {} and is not in this definition (-v lists it; --prune NAME takes it away)",
            some(&names)
        );
    }

    fn streams(&self, out: &mut String, changes: &[StreamChange]) {
        if changes.is_empty() {
            return;
        }
        let _ = writeln!(out, "  streams");
        let regions: Vec<&str> = self.definition.topology.regions.iter().map(|region| region.name.as_str()).collect();
        let (updates, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.action == Action::Update);
        let others = others.into_iter().map(|change| Line {
            action: change.action,
            region: change.region.clone(),
            text: format!("{}  {}", change.name, describe(change, &regions)),
        });
        lines(out, others, self.all);
        for change in updates {
            let _ = writeln!(out, "    {} {}", mark(change.action), change.name);
            fields(out, &change.fields);
        }
    }

    fn consumers(&self, out: &mut String, changes: &[ConsumerChange]) {
        if changes.is_empty() {
            return;
        }
        let _ = writeln!(out, "  consumers");
        let (updates, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.action == Action::Update);
        let others = others.into_iter().map(|change| Line {
            action: change.action,
            region: change.region.clone(),
            text: format!("{} on {}", change.name, change.stream),
        });
        lines(out, others, self.all);
        for change in updates {
            let _ = writeln!(out, "    {} {} on {}", mark(change.action), change.name, change.stream);
            fields(out, &change.fields);
        }
    }

    fn mappings(&self, out: &mut String, changes: &[MappingChange]) {
        if changes.is_empty() {
            return;
        }
        let _ = writeln!(out, "  mappings");
        let mut api: Vec<((Action, String, String), usize)> = Vec::new();
        for change in changes {
            let stream = change.source.starts_with("$JS.").then(|| self.virtual_stream(&change.source)).flatten();
            if let (Some(stream), false) = (stream, self.all || change.action == Action::Update) {
                let to = change.after.as_ref().or(change.before.as_ref());
                let to = to
                    .and_then(|to| self.template(to))
                    .and_then(|to| to.split('.').find(|t| t.contains("<region>")).map(str::to_owned));
                let key = (change.action, stream, to.unwrap_or_default());
                match api.iter_mut().find(|(existing, _)| *existing == key) {
                    Some((_, count)) => *count += 1,
                    None => api.push((key, 1)),
                }
                continue;
            }
            self.mapping(out, change);
        }
        for ((action, stream, to), count) in api {
            let requests = if count == 1 { "request" } else { "requests" };
            let _ = writeln!(out, "    {} {count} JetStream API {requests} for {stream}  →  {to}", mark(action));
        }
    }

    fn mapping(&self, out: &mut String, change: &MappingChange) {
        let MappingChange { action, source, before, after } = change;
        let _ = match (before, after) {
            (Some(before), Some(after)) => writeln!(
                out,
                "    {} {source}\n        {} {}\n        {} {}",
                mark(*action),
                mark(Action::Delete),
                self.destinations(before),
                mark(Action::Create),
                self.destinations(after)
            ),
            (one, other) => {
                let to = one.as_ref().or(other.as_ref()).map(|to| self.destinations(to)).unwrap_or_default();
                writeln!(out, "    {} {source}  →  {to}", mark(*action))
            }
        };
    }

    fn virtual_stream(&self, source: &str) -> Option<String> {
        let names = self.definition.accounts.iter().flat_map(|account| &account.virtual_streams);
        names
            .map(|stream| stream.name.as_str())
            .find(|name| source.split('.').any(|token| token == *name))
            .map(str::to_owned)
    }

    /// `foo.<region>.>  (west, central, east)`, or each destination.
    fn destinations(&self, destinations: &[Destination]) -> String {
        let regions: Vec<&str> = self.definition.topology.regions.iter().map(|region| region.name.as_str()).collect();
        match self.template(destinations) {
            Some(template) => format!("{template}  ({})", regions.join(", ")),
            None => {
                let one = |to: &Destination| {
                    let cluster = to.cluster.as_deref().map(|cluster| format!("{cluster}: ")).unwrap_or_default();
                    let weight = if to.weight == 100 { String::new() } else { format!(" {} %", to.weight) };
                    format!("{cluster}{}{weight}", to.subject)
                };
                destinations.iter().map(one).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// What the destinations have in common, when there is one per region that differs in the region's name only.
    fn template(&self, destinations: &[Destination]) -> Option<String> {
        let regions = &self.definition.topology.regions;
        if destinations.len() != regions.len() {
            return None;
        }
        let mut template: Option<String> = None;
        for region in regions {
            let to = destinations.iter().find(|to| to.cluster.as_deref() == Some(region.cluster.as_str()))?;
            let this = generalised(&to.subject, region.name.as_str());
            if to.weight != 100 || template.as_ref().is_some_and(|template| *template != this) {
                return None;
            }
            template = Some(this);
        }
        template
    }
}

/// What a stream that is made or taken away is like.
fn describe(change: &StreamChange, regions: &[&str]) -> String {
    let config = change.after.as_ref().or(change.before.as_ref());
    let list = |key: &str, of: &str| -> Vec<&str> {
        let items = config.and_then(|config| config.get(key)?.as_array()).into_iter().flatten();
        items.filter_map(|item| item.as_str().or(item[of].as_str())).collect()
    };
    let number = |key: &str| config.and_then(|config| config.get(key)?.as_i64());
    let keeps = match number("max_age") {
        Some(age) if age > 0 => format!("keeps {}", format_duration(age)),
        _ => "keeps everything".to_owned(),
    };
    let replicas = number("num_replicas").unwrap_or(1);
    match (change.action, change.role) {
        (Action::Delete, _) => format!("with {} messages", change.messages.unwrap_or(0)),
        (_, Role::Write) => format!("R{replicas}, captures {}, {keeps}", list("subjects", "").join(", ")),
        (_, Role::Read) => {
            let mut sources: Vec<String> = list("sources", "name")
                .into_iter()
                .map(|name| regions.iter().fold(name.to_owned(), |name, region| generalised(&name, region)))
                .collect();
            sources.dedup();
            format!("R{replicas}, sources {}, {keeps}", sources.join(", "))
        }
    }
}

/// `text` with the region's name, where it stands alone, as `<region>`.
fn generalised(text: &str, region: &str) -> String {
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

/// A line of the plan, for one region.
struct Line {
    action: Action,
    region: String,
    text: String,
}

/// Lines that differ in the region's name only become one, unless `all` is wanted.
fn lines(out: &mut String, lines: impl IntoIterator<Item = Line>, all: bool) {
    let mut groups: Vec<(Action, String, Vec<Line>)> = Vec::new();
    for line in lines {
        let text = generalised(&line.text, &line.region);
        match groups.iter_mut().find(|(action, template, _)| !all && *action == line.action && *template == text) {
            Some((_, _, group)) => group.push(line),
            None => groups.push((line.action, text, vec![line])),
        }
    }
    for (action, template, group) in groups {
        let _ = match group.as_slice() {
            [one] => writeln!(out, "    {} {}  ({})", mark(action), one.text, one.region),
            many => {
                let regions: Vec<&str> = many.iter().map(|line| line.region.as_str()).collect();
                writeln!(out, "    {} {template}  ({})", mark(action), regions.join(", "))
            }
        };
    }
}

fn fields(out: &mut String, fields: &[FieldChange]) {
    for FieldChange { path, before, after } in fields {
        let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "(not set)".to_owned(), Value::to_string);
        let _ = writeln!(out, "        {path}: {} → {}", value(before), value(after));
    }
}

fn mark(action: Action) -> String {
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
        let line = |region: &str, text: &str| Line { action: Action::Create, region: region.into(), text: text.into() };
        let of = |all| {
            let mut out = String::new();
            lines(&mut out, [line("west", "a-west"), line("east", "a-east"), line("east", "b-east R1")], all);
            anstream::adapter::strip_str(&out).to_string()
        };
        assert_eq!(of(false), "    + a-<region>  (west, east)\n    + b-east R1  (east)\n");
        assert_eq!(of(true), "    + a-west  (west)\n    + a-east  (east)\n    + b-east R1  (east)\n");
    }
}
