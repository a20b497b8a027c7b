//! Mappings: what leads where, with what destinations have in common said once.

use super::View;
use super::lines::{generalised, mark};
use crate::model::mapping::Destination;
use crate::plan::Action;
use crate::plan::mappings::MappingChange;
use std::fmt::Write as _;

impl View<'_> {
    pub(super) fn mappings(&self, out: &mut String, changes: &[MappingChange]) {
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
            moved.map(|text| anstream::adapter::strip_str(&text).to_string())
        };
        let (two, three) = ([to("a"), to("b")], [to("a"), to("b"), to("c")]);
        assert_eq!(plain(&two, &three).as_deref(), Some("+ c: foo.c.>"));
        assert_eq!(plain(&three, &two).as_deref(), Some("- c: foo.c.>"));
        assert_eq!(plain(&two, &[to("c")]), None);
    }
}
