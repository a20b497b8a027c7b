//! How a plan reads: like a diff, one line per virtual stream and kind of thing, all of it with `-v`.

use super::shell::{Paint, some};
use crate::definition::Definition;
use crate::desired::Role;
use crate::model::mapping::Destination;
use crate::model::units::{format_duration, format_size};
use crate::observed::Deployment;
use crate::plan::along::History;
use crate::plan::consumers::ConsumerChange;
use crate::plan::mappings::MappingChange;
use crate::plan::streams::StreamChange;
use crate::plan::{AccountPlan, Action, ClaimChange, ClaimPart, FieldChange, Plan, Reason, Report};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The plan for a script.
pub(super) fn document(plan: &Plan, deployment: &Deployment) -> Value {
    let Plan { accounts, findings } = plan;
    let accounts = accounts.iter().map(|account| {
        let AccountPlan { name, id, region, new, current: _, mappings, claims, streams, consumers, pushes, skipped } =
            account;
        json!({
            "account": name,
            "id": id,
            "region": region,
            "new": new,
            "claims": claims,
            "mappings": mappings.changes,
            "streams": streams.changes,
            "consumers": consumers.changes,
            "left_alone": mappings.reports.iter().chain(&streams.reports).collect::<Vec<_>>(),
            "skipped": skipped,
            "pushes": pushes.iter().map(|push| json!({
                "stage": push.stage,
                "reason": push.reason,
                "size": push.claims.token_size(),
            })).collect::<Vec<_>>(),
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
    let view = View { definition, names: names(definition, plan), all };
    let mut out = String::new();
    let versions = versions(deployment);
    let _ = writeln!(
        out,
        "{} servers in {} clusters, nats-server {versions}",
        deployment.servers.len(),
        deployment.clusters().len()
    );
    let mut rest = plan.accounts.as_slice();
    while let Some((first, more)) = rest.split_first() {
        let (mut text, alike) = view.alike(first, more);
        if alike == 0 {
            text.clear();
            view.account(&mut text, first);
        }
        out.push_str(&text);
        rest = &more[alike..];
    }
    out
}

/// The virtual streams of the definition, and those that the plan speaks of besides.
fn names<'a>(definition: &'a Definition, plan: &'a Plan) -> BTreeSet<&'a str> {
    let defined = definition.accounts.iter().flat_map(|account| &account.virtual_streams);
    let left = plan.reports().map(|report| report.virtual_stream.as_str());
    let changed = plan.accounts.iter().flat_map(|account| &account.streams.changes);
    let changed = changed.map(|change| change.virtual_stream.as_str());
    defined.map(|stream| stream.name.as_str()).chain(left).chain(changed).collect()
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
    let new = plan.accounts.iter().filter(|account| account.new).count();
    let claims = plan.accounts.iter().map(|account| account.claims.len()).sum::<usize>();
    let mut parts: Vec<String> = Vec::new();
    if new > 0 {
        parts.push(format!("{new} regional account{} to make", if new == 1 { "" } else { "s" }));
    } else if claims > 0 {
        parts.push(format!("{claims} other claim{} to change", if claims == 1 { "" } else { "s" }));
    }
    let changes = counts
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
        .collect::<Vec<String>>();
    parts.extend(changes);
    let pushes = plan.accounts.iter().flat_map(|account| &account.pushes);
    let repairs = pushes.filter_map(|push| match &push.reason {
        Reason::Repair(servers) => Some(servers.len()),
        Reason::Changed => None,
    });
    let repairs: usize = repairs.sum();
    if repairs > 0 {
        parts.push(format!("{repairs} server{} to bring up to date", if repairs == 1 { "" } else { "s" }));
    }
    parts.join(", ")
}

pub(super) fn part(what: ClaimPart, count: usize) -> String {
    let name = match what {
        ClaimPart::Account => "account",
        ClaimPart::Export => "export",
        ClaimPart::Import => "import",
        ClaimPart::Activation => "activation token",
        ClaimPart::Limit => "limit",
        ClaimPart::Tag => "tag",
        ClaimPart::SigningKey => "signing key",
        ClaimPart::DefaultPermissions => "default permissions,",
    };
    if count == 1 { name.to_owned() } else { format!("{name}s") }
}

/// Stands for the regions that several accounts are of.
const ANY: &str = "\u{0}";

struct View<'a> {
    definition: &'a Definition,
    names: BTreeSet<&'a str>,
    all: bool,
}

impl View<'_> {
    /// Regional accounts that differ by their regions only, as one; and how many after the first these are.
    fn alike(&self, first: &AccountPlan, more: &[AccountPlan]) -> (String, usize) {
        let (Some(region), false) = (&first.region, self.all) else { return (String::new(), 0) };
        let mut regions = vec![region.as_str()];
        let text = self.of_any_region(first, region.as_str());
        for account in more {
            match &account.region {
                Some(region) if self.of_any_region(account, region.as_str()) == text => regions.push(region.as_str()),
                _ => break,
            }
        }
        let text = text.replacen("account ", "accounts ", 1).replace(ANY, &regions.join(", "));
        (text, regions.len() - 1)
    }

    /// An account as it reads for any region: without its key, and with a stand-in for the region.
    fn of_any_region(&self, account: &AccountPlan, region: &str) -> String {
        let mut text = String::new();
        self.account(&mut text, account);
        if !account.new {
            text = text.replacen(&Paint::dim(&account.id.to_string()).to_string(), "", 1).replacen(" \n", "\n", 1);
        }
        let name = account.name.replace(region, "<region>");
        text.replacen(&account.name, &name, 1).replace(&format!("({region})"), &format!("({ANY})"))
    }

    fn account(&self, out: &mut String, account: &AccountPlan) {
        let AccountPlan { name, id, region: _, new, current: _, mappings, claims, streams, consumers, pushes, skipped } =
            account;
        let id = if *new { "to be made".to_owned() } else { id.to_string() };
        let _ = writeln!(out, "\naccount {} {}", Paint::bold(name), Paint::dim(&id));
        if account.is_empty() {
            let _ = writeln!(out, "  in sync");
        }
        self.claims(out, claims);
        self.mappings(out, &mappings.changes);
        if let Some(Reason::Repair(servers)) = pushes.first().map(|push| &push.reason) {
            let line = format!("the newest token, again, for {}", servers.join(", "));
            let _ = writeln!(out, "  token\n    {} {line}", mark(Action::Update));
        }
        self.streams(out, &streams.changes);
        self.consumers(out, &consumers.changes);
        if self.all {
            for place in skipped {
                let _ = writeln!(out, "    ? {place}: its region does not answer");
            }
        } else if !skipped.is_empty() {
            let skipped: Vec<&str> = skipped.iter().map(String::as_str).collect();
            let _ = writeln!(out, "    ? {}: the region does not answer", some(&skipped));
        }
        self.left_alone(out, &mappings.reports, &streams.reports);
    }

    /// Exports, imports and the like: how many of each, since they are the same for every account.
    fn claims(&self, out: &mut String, changes: &[ClaimChange]) {
        if changes.is_empty() {
            return;
        }
        let _ = writeln!(out, "  claims");
        if self.all {
            for ClaimChange { action, what, name, account, why } in changes {
                let from = account.as_ref().map(|account| format!(" of {account}")).unwrap_or_default();
                let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                let _ = writeln!(out, "    {} {} {name}{from}{why}", mark(*action), part(*what, 1));
            }
            return;
        }
        let mut counts: BTreeMap<(Action, ClaimPart, Option<&str>), Vec<&ClaimChange>> = BTreeMap::new();
        for change in changes.iter().filter(|change| !matches!(change.what, ClaimPart::Account | ClaimPart::Tag)) {
            counts.entry((change.action, change.what, change.why.as_deref())).or_default().push(change);
        }
        for ((action, what, why), changes) in counts {
            let line = match changes.as_slice() {
                [one] => format!("{} {}", part(what, 1), one.name),
                many => format!("{} {}", many.len(), part(what, many.len())),
            };
            let why = why.map(|why| format!(" ({why})"));
            let _ = writeln!(out, "    {} {line}{}", mark(action), why.unwrap_or_default());
        }
    }

    fn left_alone(&self, out: &mut String, mappings: &[Report], streams: &[Report]) {
        let mut reports: Vec<&Report> = mappings.iter().chain(streams).collect();
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
        let mapped: BTreeSet<&str> = mappings.iter().map(|report| report.virtual_stream.as_str()).collect();
        let stored: BTreeSet<&str> = streams.iter().map(|report| report.virtual_stream.as_str()).collect();
        let stored: Vec<&str> = stored.difference(&mapped).copied().collect();
        let mapped: Vec<&str> = mapped.into_iter().collect();
        if !mapped.is_empty() {
            let _ = writeln!(
                out,
                "    = what was made for {} and is not in this definition (-v lists it; --prune NAME takes its mappings \
                 away)",
                some(&mapped)
            );
        }
        if !stored.is_empty() {
            let _ = writeln!(
                out,
                "    = streams of {} that are not in this definition, with their messages (-v lists them; --prune NAME \
                 --delete-streams deletes them)",
                some(&stored)
            );
        }
    }

    fn streams(&self, out: &mut String, changes: &[StreamChange]) {
        if changes.is_empty() {
            return;
        }
        let _ = writeln!(out, "  streams");
        let regions: Vec<&str> = self.definition.topology.regions.iter().map(|region| region.name.as_str()).collect();
        let (updates, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.action == Action::Update);
        let lines_of = others.into_iter().chain(updates).map(|change| Line {
            action: change.action,
            region: change.region.clone(),
            text: match change.action {
                Action::Update => format!("{}{}", change.name, along(change, &regions)),
                Action::Create | Action::Delete => format!("{}  {}", change.name, describe(change, &regions)),
            },
            below: self.fields(&change.fields),
        });
        lines(out, lines_of, self.all);
    }

    fn consumers(&self, out: &mut String, changes: &[ConsumerChange]) {
        if changes.is_empty() {
            return;
        }
        let _ = writeln!(out, "  consumers");
        let (updates, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.action == Action::Update);
        let lines_of = others.into_iter().chain(updates).map(|change| Line {
            action: change.action,
            region: change.region.clone(),
            text: format!("{} on {}", change.name, change.stream),
            below: self.fields(&change.fields),
        });
        lines(out, lines_of, self.all);
    }

    fn mappings(&self, out: &mut String, changes: &[MappingChange]) {
        if changes.is_empty() {
            return;
        }
        let _ = writeln!(out, "  mappings");
        let mut api: Vec<((Action, &str, String), usize)> = Vec::new();
        for change in changes {
            let stream = change.source.starts_with("$JS.").then(|| self.virtual_stream(&change.source)).flatten();
            let Some((stream, to)) = stream.filter(|_| !self.all).and_then(|stream| Some((stream, self.api(change)?)))
            else {
                self.mapping(out, change);
                continue;
            };
            let key = (change.action, stream, to);
            match api.iter_mut().find(|(existing, _)| *existing == key) {
                Some((_, count)) => *count += 1,
                None => api.push((key, 1)),
            }
        }
        for ((action, stream, to), count) in api {
            let requests = if count == 1 { "request" } else { "requests" };
            let _ = writeln!(out, "    {} {count} JetStream API {requests} for {stream}  {to}", mark(action));
        }
    }

    /// Where a mapping of an API request leads, or what changes about that; the same for all requests of a stream.
    fn api(&self, change: &MappingChange) -> Option<String> {
        let stream = |subject: &str| subject.split('.').find(|token| token.contains("<region>")).map(str::to_owned);
        match (&change.before, &change.after) {
            (Some(before), Some(after)) => moved(before, after, |to| {
                let cluster = to.cluster.as_deref()?;
                let regions = &self.definition.topology.regions;
                let region = regions.iter().find(|region| region.cluster.as_str() == cluster);
                let region = region.map_or(cluster, |region| region.name.as_str());
                Some(stream(&generalised(&to.subject, region))?.replace("<region>", region))
            }),
            (one, other) => {
                let to = self.template(one.as_ref().or(other.as_ref())?);
                Some(format!("→  {}", to.and_then(|to| stream(&to)).unwrap_or_default()))
            }
        }
    }

    fn mapping(&self, out: &mut String, change: &MappingChange) {
        let MappingChange { action, source, before, after } = change;
        let _ = match (before, after) {
            (Some(before), Some(after)) => match moved(before, after, |to| Some(to.subject.clone())) {
                Some(moved) if !self.all => writeln!(out, "    {} {source}  {moved}", mark(*action)),
                _ => writeln!(
                    out,
                    "    {} {source}\n        {} {}\n        {} {}",
                    mark(*action),
                    mark(Action::Delete),
                    self.destinations(before),
                    mark(Action::Create),
                    self.destinations(after)
                ),
            },
            (one, other) => {
                let to = one.as_ref().or(other.as_ref()).map(|to| self.destinations(to)).unwrap_or_default();
                writeln!(out, "    {} {source}  →  {to}", mark(*action))
            }
        };
    }

    fn virtual_stream(&self, source: &str) -> Option<&str> {
        source.split('.').find_map(|token| self.names.get(token).copied())
    }

    /// What an update changes, a line per field.
    fn fields(&self, fields: &[FieldChange]) -> String {
        let mut out = String::new();
        for FieldChange { path, before, after } in fields {
            let _ = match (path.strip_prefix("sources."), before, after) {
                (Some(source), None, Some(_)) if !self.all => {
                    writeln!(out, "        {} source {source}", mark(Action::Create))
                }
                (Some(source), Some(_), None) if !self.all => {
                    writeln!(out, "        {} source {source}", mark(Action::Delete))
                }
                _ => {
                    let (before, after) = (value(path, before.as_ref()), value(path, after.as_ref()));
                    writeln!(out, "        {path}: {before} → {after}")
                }
            };
        }
        out
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
            format!("R{replicas}, sources {}, {keeps}{}", sources.join(", "), along(change, regions))
        }
    }
}

/// What history a read stream takes along.
fn along(change: &StreamChange, regions: &[&str]) -> String {
    let from = |history: &History| regions.iter().fold(history.from.clone(), |name, region| generalised(&name, region));
    change.history.as_ref().map_or_else(String::new, |history| format!("; takes along what {} has", from(history)))
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

/// `+ north: foo.north.>  - east: foo.east.>` for destinations that come and go while others stay.
fn moved(
    before: &[Destination],
    after: &[Destination],
    name: impl Fn(&Destination) -> Option<String>,
) -> Option<String> {
    let without = |some: &[Destination], others: &[Destination], action| -> Option<Vec<String>> {
        let gone = some.iter().filter(|to| !others.contains(to));
        gone.map(|to| {
            let weight = if to.weight == 100 { String::new() } else { format!(" {} %", to.weight) };
            Some(format!("{} {}: {}{weight}", mark(action), to.cluster.as_deref()?, name(to)?))
        })
        .collect()
    };
    let added = without(after, before, Action::Create)?;
    let gone = without(before, after, Action::Delete)?;
    let some_stay = gone.len() < before.len();
    some_stay.then(|| added.into_iter().chain(gone).collect::<Vec<_>>().join("  "))
}

/// A line of the plan, for one region, and lines below it.
struct Line {
    action: Action,
    region: String,
    text: String,
    below: String,
}

/// Lines that differ in the region's name only become one, unless `all` is wanted.
fn lines(out: &mut String, lines: impl IntoIterator<Item = Line>, all: bool) {
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

/// A field's value as it stands in a definition: nanoseconds and bytes with units.
fn value(path: &str, value: Option<&Value>) -> String {
    match (path.rsplit('.').next().unwrap_or_default(), value) {
        (_, None) => "(not set)".to_owned(),
        ("max_age", Some(Value::Number(age))) if age.as_i64() == Some(0) => "unlimited".to_owned(),
        (
            "max_age"
            | "duplicate_window"
            | "subject_delete_marker_ttl"
            | "ack_wait"
            | "inactive_threshold"
            | "max_expires"
            | "priority_timeout"
            | "idle_heartbeat",
            Some(Value::Number(time)),
        ) => time.as_i64().map_or_else(|| time.to_string(), format_duration),
        ("backoff", Some(Value::Array(times))) => {
            let times = times.iter().map(|time| time.as_i64().map_or_else(|| time.to_string(), format_duration));
            format!("[{}]", times.collect::<Vec<_>>().join(", "))
        }
        ("max_bytes" | "max_msg_size", Some(Value::Number(size))) => {
            size.as_i64().map_or_else(|| size.to_string(), format_size)
        }
        (_, Some(value)) => value.to_string(),
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

    #[test]
    fn values_read_as_in_a_definition() {
        assert_eq!(value("max_age", Some(&json!(129_600_000_000_000_i64))), "1d12h");
        assert_eq!(value("max_age", Some(&json!(0))), "unlimited");
        assert_eq!(value("consumer_limits.inactive_threshold", Some(&json!(1_000_000_000))), "1s");
        assert_eq!(value("backoff", Some(&json!([1_000_000, 0]))), "[1ms, 0s]");
        assert_eq!(value("max_bytes", Some(&json!(-1))), "unlimited");
        assert_eq!(value("num_replicas", Some(&json!(3))), "3");
        assert_eq!(value("placement", None), "(not set)");
    }

    #[test]
    fn a_mapping_that_gets_a_cluster_more_shows_that_alone() {
        let to = |cluster: &str| Destination {
            subject: format!("foo.{cluster}.>"),
            weight: 100,
            cluster: Some(cluster.to_owned()),
        };
        let plain = |before: &[Destination], after: &[Destination]| {
            let moved = moved(before, after, |to| Some(to.subject.clone()));
            moved.map(|text| anstream::adapter::strip_str(&text).to_string())
        };
        let (two, three) = ([to("a"), to("b")], [to("a"), to("b"), to("c")]);
        assert_eq!(plain(&two, &three).as_deref(), Some("+ c: foo.c.>"));
        assert_eq!(plain(&three, &two).as_deref(), Some("- c: foo.c.>"));
        assert_eq!(plain(&two, &[to("c")]), None);
    }
}
