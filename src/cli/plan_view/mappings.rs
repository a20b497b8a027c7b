//! Shows mappings with their destinations. The common part of the destinations appears once.

use super::View;
use super::lines::{generalised, mark};
use crate::cli::text::{Text, part, put, text};
use crate::model::mapping::Destination;
use crate::model::prefixes::{CAPTURE_PREFIX, REGION_PREFIX};
use crate::plan::Action;
use crate::plan::mappings::MappingChange;

/// Placeholder for the cluster token.
const CLUSTER: &str = "<cluster>";

impl View<'_> {
    pub(super) fn mappings(&self, out: &mut Text, changes: &[MappingChange]) {
        if changes.is_empty() {
            return;
        }
        put!(out, "  mappings");
        let mut api: Vec<((Action, &str, Text), usize)> = Vec::new();
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
            put!(out, "    {} {count} JetStream API {requests} for {stream}  {to}", mark(action));
        }
    }

    /// Returns the destination of an API request's mapping, or the change to it. It is the same for all requests of a
    /// stream.
    fn api(&self, change: &MappingChange) -> Option<Text> {
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
                Some(text!("→  {}", to.and_then(|to| stream(&to)).unwrap_or_default()))
            }
        }
    }

    fn mapping(&self, out: &mut Text, change: &MappingChange) {
        let MappingChange { action, source, before, after } = change;
        match (before, after) {
            (Some(before), Some(after)) => match moved(before, after, |to| Some(to.subject.clone())) {
                Some(moved) if !self.all => put!(out, "    {} {source}  {moved}", mark(*action)),
                _ => {
                    put!(out, "    {} {source}", mark(*action));
                    put!(out, "        {} {}", mark(Action::Delete), self.destinations(before));
                    put!(out, "        {} {}", mark(Action::Create), self.destinations(after));
                }
            },
            (one, other) => {
                let to = one.as_ref().or(other.as_ref()).map(|to| self.destinations(to)).unwrap_or_default();
                put!(out, "    {} {source}  →  {to}", mark(*action));
            }
        }
    }

    fn virtual_stream(&self, source: &str) -> Option<&str> {
        source.split('.').find_map(|token| self.names.get(token).copied())
    }

    /// Returns `$VW.<cluster>.foo.>  (west, central, east)`, or each destination.
    fn destinations(&self, destinations: &[Destination]) -> String {
        let topology = &self.definition.topology;
        match self.template(destinations) {
            Some(template) if template.contains(CLUSTER) => {
                let clusters = topology.clusters().map(|(_, cluster)| match cluster.token() {
                    token if token == cluster.as_str() => token,
                    token => format!("{cluster}: {token}"),
                });
                format!("{template}  ({})", clusters.collect::<Vec<_>>().join(", "))
            }
            Some(template) => {
                let regions: Vec<&str> = topology.regions.iter().map(|region| region.name.as_str()).collect();
                format!("{template}  ({})", regions.join(", "))
            }
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

    /// Returns the common part of the destinations. There must be one per cluster, and they may differ only in the
    /// cluster token or the region's name.
    fn template(&self, destinations: &[Destination]) -> Option<String> {
        let clusters = || self.definition.topology.clusters();
        if destinations.len() != clusters().count() {
            return None;
        }
        let mut template: Option<String> = None;
        for (region, cluster) in clusters() {
            let to = destinations.iter().find(|to| to.cluster.as_deref() == Some(cluster.as_str()))?;
            let rest = |prefix: &str| {
                let rest = to.subject.strip_prefix(&format!("{prefix}.{}.", cluster.token()))?;
                Some(format!("{prefix}.{CLUSTER}.{rest}"))
            };
            let this = [CAPTURE_PREFIX, REGION_PREFIX].into_iter().find_map(rest);
            let this = this.unwrap_or_else(|| generalised(&to.subject, region.name.as_str()));
            if to.weight != 100 || template.as_ref().is_some_and(|template| *template != this) {
                return None;
            }
            template = Some(this);
        }
        template
    }
}

/// Returns `+ north: $VW.north.foo.>  - east: $VW.east.foo.>` for destinations that are added and removed while others
/// stay.
fn moved(before: &[Destination], after: &[Destination], name: impl Fn(&Destination) -> Option<String>) -> Option<Text> {
    let gone = before.iter().filter(|to| !after.contains(to));
    if gone.clone().count() == before.len() {
        return None;
    }
    let added = after.iter().filter(|to| !before.contains(to)).map(|to| (Action::Create, to));
    let mut out = Text::new();
    for (number, (action, to)) in added.chain(gone.map(|to| (Action::Delete, to))).enumerate() {
        let between = if number == 0 { "" } else { "  " };
        let weight = if to.weight == 100 { String::new() } else { format!(" {} %", to.weight) };
        part!(out, "{between}{} {}: {}{weight}", mark(action), to.cluster.as_deref()?, name(to)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_that_gets_a_cluster_more_shows_that_alone() {
        let to = |cluster: &str| Destination {
            subject: format!("foo.{cluster}.>"),
            weight: 100,
            cluster: Some(cluster.to_owned()),
        };
        let plain = |before: &[Destination], after: &[Destination]| {
            let moved = moved(before, after, |to| Some(to.subject.clone()));
            moved.map(|text| text.plain().to_owned())
        };
        let (two, three) = ([to("a"), to("b")], [to("a"), to("b"), to("c")]);
        assert_eq!(plain(&two, &three).as_deref(), Some("+ c: foo.c.>"));
        assert_eq!(plain(&three, &two).as_deref(), Some("- c: foo.c.>"));
        assert_eq!(plain(&two, &[to("c")]), None);
    }
}
