//! The text of a plan. Like a diff, it has one line per virtual stream and kind of item, or with `-v` every line.

mod lines;
mod mappings;
mod streams;

use super::shell::some;
use super::text::{Paint as _, Text, put, text};
use crate::definition::Definition;
use crate::model::finding::bounded;
use crate::observed::Deployment;
use crate::plan::{AccountPlan, Action, ClaimChange, ClaimPart, Plan, Reason, Report};
use lines::mark;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the plan as JSON.
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
        "findings": bounded(findings),
    })
}

/// The plan in human format: the facts that it was made from, and its accounts.
pub(super) struct PlanText {
    pub(super) head: Text,
    pub(super) accounts: Vec<Text>,
}

impl PlanText {
    /// Returns all parts as one text.
    pub(super) fn whole(&self) -> Text {
        let mut out = self.head.clone();
        for account in &self.accounts {
            out.end();
            out.append(account);
        }
        out
    }
}

/// Returns the plan in human format. With `all`, nothing is summarized.
pub(super) fn text(definition: &Definition, plan: &Plan, deployment: &Deployment, all: bool) -> PlanText {
    let view = View { definition, names: names(definition, plan), all };
    let (servers, clusters) = (deployment.servers.len(), deployment.clusters().len());
    let head = text!("{servers} servers in {clusters} clusters, nats-server {}", versions(deployment));
    let mut accounts = Vec::new();
    let mut rest = plan.accounts.as_slice();
    while let Some((first, more)) = rest.split_first() {
        let alike = view.alike(first, more);
        accounts.push(match alike {
            0 => view.account(first),
            _ => view.accounts(first, &more[..alike]),
        });
        rest = &more[alike..];
    }
    PlanText { head, accounts }
}

/// Returns the virtual streams of the definition, and others in the plan.
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

/// Returns a summary: `3 mappings to add, 6 streams to create`.
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

/// Returns the name of a regional account with a placeholder for the region.
fn general(account: &AccountPlan) -> Option<String> {
    Some(account.name.replace(account.region.as_ref()?.as_str(), "<region>"))
}

struct View<'a> {
    definition: &'a Definition,
    names: BTreeSet<&'a str>,
    all: bool,
}

impl View<'_> {
    /// Returns how many of `more` differ from `first` only in the region.
    fn alike(&self, first: &AccountPlan, more: &[AccountPlan]) -> usize {
        if first.region.is_none() || self.all {
            return 0;
        }
        let of_any_region = |account: &AccountPlan| Some((general(account)?, account.new, self.body(account, "")));
        let wanted = of_any_region(first);
        more.iter().take_while(|account| of_any_region(account) == wanted).count()
    }

    /// Returns similar regional accounts as one text.
    fn accounts(&self, first: &AccountPlan, more: &[AccountPlan]) -> Text {
        let regions = std::iter::once(first).chain(more).filter_map(|account| account.region.as_ref());
        let regions: Vec<&str> = regions.map(|region| region.as_str()).collect();
        let name = general(first).unwrap_or_default();
        let made = if first.new { " to be made" } else { "" };
        let mut out = text!("accounts {}{}", name.bold(), made.dim());
        out.append(&self.body(first, &regions.join(", ")));
        out
    }

    fn account(&self, account: &AccountPlan) -> Text {
        let id = if account.new { "to be made".to_owned() } else { account.id.to_string() };
        let mut out = text!("account {} {}", account.name.bold(), id.dim());
        let region = account.region.as_ref().map(|region| region.as_str());
        out.append(&self.body(account, region.unwrap_or_default()));
        out
    }

    /// Returns the changes to an account. `regions` is printed instead of a regional account's region.
    fn body(&self, account: &AccountPlan, regions: &str) -> Text {
        let AccountPlan {
            name: _,
            id: _,
            region,
            new: _,
            current: _,
            mappings,
            claims,
            streams,
            consumers,
            pushes,
            skipped,
        } = account;
        let mut out = Text::new();
        if account.is_empty() {
            put!(out, "  in sync");
        }
        self.claims(&mut out, claims);
        self.mappings(&mut out, &mappings.changes);
        if let Some(Reason::Repair(servers)) = pushes.first().map(|push| &push.reason) {
            put!(out, "  token");
            put!(out, "    {} the newest token, again, for {}", mark(Action::Update), servers.join(", "));
        }
        let label = |of: &str| match region {
            Some(region) if region.as_str() == of => regions.to_owned(),
            _ => of.to_owned(),
        };
        self.streams(&mut out, &streams.changes, label);
        self.consumers(&mut out, &consumers.changes, label);
        if self.all {
            for place in skipped {
                put!(out, "    ? {place}: cannot be reached");
            }
        } else if !skipped.is_empty() {
            let skipped: Vec<&str> = skipped.iter().map(String::as_str).collect();
            put!(out, "    ? {}: cannot be reached", some(&skipped));
        }
        self.left_alone(&mut out, &mappings.reports, &streams.reports);
        out
    }

    /// Adds the number of exports, imports and other claims, which are the same for every account.
    fn claims(&self, out: &mut Text, changes: &[ClaimChange]) {
        if changes.is_empty() {
            return;
        }
        put!(out, "  claims");
        if self.all {
            for ClaimChange { action, what, name, account, why } in changes {
                let from = account.as_ref().map(|account| format!(" of {account}")).unwrap_or_default();
                let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                put!(out, "    {} {} {name}{from}{why}", mark(*action), part(*what, 1));
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
            put!(out, "    {} {line}{}", mark(action), why.unwrap_or_default());
        }
    }

    fn left_alone(&self, out: &mut Text, mappings: &[Report], streams: &[Report]) {
        let mut reports: Vec<&Report> = mappings.iter().chain(streams).collect();
        reports.sort_by(|a, b| a.virtual_stream.cmp(&b.virtual_stream));
        if reports.is_empty() {
            return;
        }
        put!(out, "  left alone");
        if self.all {
            for Report { virtual_stream: _, place, message, next } in reports {
                put!(out, "    = {place}: {message}");
                if !next.is_empty() {
                    put!(out, "      next: {next}");
                }
            }
            return;
        }
        let mapped: BTreeSet<&str> = mappings.iter().map(|report| report.virtual_stream.as_str()).collect();
        let stored: BTreeSet<&str> = streams.iter().map(|report| report.virtual_stream.as_str()).collect();
        let stored: Vec<&str> = stored.difference(&mapped).copied().collect();
        let mapped: Vec<&str> = mapped.into_iter().collect();
        if !mapped.is_empty() {
            put!(
                out,
                "    = what was made for {} and is not in this definition (-v lists it; --prune NAME takes its mappings \
                 away)",
                some(&mapped)
            );
        }
        if !stored.is_empty() {
            put!(
                out,
                "    = streams of {} that are not in this definition, with their messages (-v lists them; --prune NAME \
                 --delete-streams deletes them)",
                some(&stored)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shown::tests::{HOSTILE, assert_harmless};
    use crate::observed::Server;

    #[test]
    fn servers_are_one_line_whatever_they_call_themselves() {
        for hostile in HOSTILE {
            let servers = vec![Server::new(hostile, hostile, hostile), Server::new("a", "b", "2.15.1")];
            let shown = versions(&Deployment { servers, expected: 2 });
            let text = text!("nats-server {shown}");
            assert_eq!(text.plain().lines().count(), 1, "{hostile:?}");
            assert_harmless(text.plain());
        }
    }
}
