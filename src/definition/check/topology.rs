//! Checks of regions, clusters, servers and TLS.

use super::checker::Checker;
use crate::definition::place::Place;
use crate::definition::problem::Problem;
use crate::definition::raw;
use crate::definition::read::{At, Named};
use crate::model::names::{ClusterName, RegionName};
use crate::model::topology::{Region, Tls, Topology};
use std::collections::HashMap;

/// Names that may be used only once.
#[derive(Default)]
struct Seen {
    clusters: HashMap<String, Place>,
    /// Clusters by their tokens.
    tokens: HashMap<String, (String, Place)>,
}

impl Checker<'_> {
    pub(super) fn topology(
        &mut self,
        regions: At<Named<raw::Region>>,
        stretch: Option<raw::Stretch>,
        without_clients: Option<At<Vec<At<String>>>>,
    ) -> Option<Topology> {
        let At { place, value: Named(regions) } = regions;
        if regions.is_empty() {
            self.report("missing-key", place, "there are no regions", "add a region with its `servers`");
            return None;
        }
        let mut seen = Seen::default();
        let regions: Vec<_> = regions.into_iter().map(|(name, region)| self.region(name, region, &mut seen)).collect();
        let stretch = stretch.map(|stretch| self.cluster(&stretch.cluster, &mut seen));
        let without = without_clients.iter().flat_map(|clusters| &clusters.value);
        let without: Vec<_> = without.map(|cluster| self.cluster(cluster, &mut seen)).collect();
        Some(Topology {
            regions: regions.into_iter().collect::<Option<_>>()?,
            stretch: match stretch {
                Some(stretch) => Some(stretch?),
                None => None,
            },
            without_clients: without.into_iter().collect::<Option<_>>()?,
        })
    }

    fn region(&mut self, name: At<String>, region: raw::Region, seen: &mut Seen) -> Option<Region> {
        let raw::Region { place: _, cluster, servers, tags, serves, tls } = region;
        let region = match RegionName::parse(&name.value) {
            Ok(region) => Some(region),
            Err(error) => {
                let help = "give it a name like `west`, which becomes part of stream names; the cluster's own goes under `cluster:`";
                self.report("bad-name", name.place, error.to_string(), help);
                None
            }
        };
        // A bad region name is reported once, not again as the name of its cluster.
        let cluster = match cluster {
            None if region.is_none() => None,
            None => self.cluster(&name, seen),
            Some(cluster) => self.cluster(&cluster, seen),
        };
        if servers.value.is_empty() {
            let message = format!("region `{}` has no servers", name.value);
            self.report("no-servers", servers.place, message, "add at least one URL: [nats://host:4222]");
        }
        let mut own = HashMap::new();
        let servers: Vec<_> = servers.value.into_iter().map(|url| self.server(url, &mut own)).collect();
        let tags: Vec<_> = tags.unwrap_or_default().into_iter().map(|tag| self.tag(tag)).collect();
        let serves: Vec<_> = serves.iter().flat_map(|serves| &serves.value).map(|c| self.cluster(c, seen)).collect();
        let tls = tls.map(|tls| self.tls(tls));
        Some(Region {
            name: region?,
            cluster: cluster?,
            servers: servers.into_iter().collect::<Option<_>>()?,
            tags: tags.into_iter().collect::<Option<_>>()?,
            serves: serves.into_iter().collect::<Option<_>>()?,
            tls,
        })
    }

    fn cluster(&mut self, cluster: &At<String>, seen: &mut Seen) -> Option<ClusterName> {
        if let Some(first) = seen.clusters.get(&cluster.value) {
            self.problems.push(
                Problem::new("cluster-twice", cluster.place, format!("cluster `{}` is used twice", cluster.value))
                    .also(*first, "first used here")
                    .help("name each cluster once: as a region's `cluster:` (the gateway name, by default the region's name), under `serves` of one region, or under `clusters_without_clients`"),
            );
        }
        let twice = seen.clusters.contains_key(&cluster.value);
        seen.clusters.entry(cluster.value.clone()).or_insert(cluster.place);
        match ClusterName::parse(&cluster.value) {
            Ok(name) => {
                let token = name.token();
                let alike = seen.tokens.get(&token).filter(|_| !twice);
                if let Some((other, first)) = alike {
                    let message = format!(
                        "clusters `{other}` and `{name}` have one token in subjects, `{token}`: a token can have no dots and \
                         no wildcards"
                    );
                    self.problems.push(
                        Problem::new("clusters-alike", cluster.place, message)
                            .also(*first, "the other cluster")
                            .help("rename one of the two (`gateway { name }` of its servers)"),
                    );
                }
                seen.tokens.entry(token).or_insert((cluster.value.clone(), cluster.place));
                Some(name)
            }
            Err(error) => {
                let help = "write the name as in the servers' `gateway { name }`";
                self.report("bad-name", cluster.place, error.to_string(), help);
                None
            }
        }
    }

    /// Checks the URL of a server. `own` has the region's earlier servers. Other regions may have the same URL, such as
    /// that of a load balancer.
    fn server(&mut self, url: At<String>, own: &mut HashMap<String, Place>) -> Option<String> {
        let normal = match server_url(&url.value) {
            Ok(normal) => normal,
            Err(reason) => {
                self.problems.push(bad_url(&url, &reason));
                return None;
            }
        };
        if let Some(first) = own.get(&normal) {
            self.problems.push(
                Problem::new("server-twice", url.place, format!("server `{normal}` is listed twice"))
                    .also(*first, "first listed here")
                    .help("remove one of them"),
            );
        }
        own.entry(normal.clone()).or_insert(url.place);
        Some(normal)
    }

    fn tag(&mut self, tag: At<String>) -> Option<String> {
        if tag.value.trim().is_empty() || tag.value.chars().any(char::is_control) {
            let help = "write it as in the servers' `server_tags`";
            self.report("wrong-value", tag.place, "the placement tag is empty or has control characters", help);
            return None;
        }
        Some(tag.value)
    }

    pub(super) fn tls(&mut self, tls: raw::Tls) -> Tls {
        let raw::Tls { place, ca, cert, key, first } = tls;
        if cert.is_some() != key.is_some() {
            let (given, missing) = if cert.is_some() { ("cert", "key") } else { ("key", "cert") };
            let message = format!("`tls` has a `{given}` but no `{missing}`");
            self.report("missing-key", place, message, format!("add `{missing}: FILE`, or remove `{given}`"));
        }
        let mut path = |file: Option<At<String>>| file.and_then(|file| self.path(file));
        Tls { ca: path(ca), cert: path(cert), key: path(key), first: first.is_some_and(|first| first.value) }
    }
}

/// Returns the URL of a server with scheme and port, or the reason why it is not valid.
pub(crate) fn server_url(url: &str) -> Result<String, String> {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("nats" | "tls" | "ws" | "wss"), rest)) => (scheme, rest),
        Some((scheme, _)) => return Err(format!("scheme `{scheme}` is not one of `nats`, `tls`, `ws` and `wss`")),
        None => ("nats", url),
    };
    if rest.contains('@') {
        return Err("it holds a user or a token; these belong into a credentials file".to_owned());
    }
    let default = match scheme {
        "ws" => 80,
        "wss" => 443,
        _ => 4222,
    };
    // A proxy may accept WebSockets at its own path.
    let (rest, path) = match rest.split_once('/') {
        Some((rest, path)) if scheme.starts_with("ws") && !path.is_empty() => (rest, format!("/{path}")),
        _ => (rest.strip_suffix('/').unwrap_or(rest), String::new()),
    };
    if let Some(c) = path.chars().find(|c| c.is_whitespace() || c.is_control() || "?#,".contains(*c)) {
        return Err(format!("it contains {c:?}"));
    }
    if let Some(c) = rest.chars().find(|c| c.is_whitespace() || c.is_control() || "/?#,".contains(*c)) {
        return Err(format!("it contains {c:?}"));
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("there is no `]` after the IPv6 address")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "it has no valid IPv6 address")?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err("after `]` comes something other than a port".to_owned()),
            };
            (format!("[{host}]"), port)
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (rest.to_owned(), None),
        },
    };
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    let port = match port {
        Some(port) if is_number(port) => {
            port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(format!("`{port}` is not a port"))?
        }
        Some(_) => return Err("after the host comes something other than a port".to_owned()),
        None => default,
    };
    Ok(format!("{scheme}://{host}:{port}{path}"))
}

fn bad_url(url: &At<String>, reason: &str) -> Problem {
    let problem = |message: String| {
        Problem::new("bad-url", url.place, message)
            .help("write it like nats://host:4222, tls://host:4222 or wss://host:443")
    };
    match url.value.rsplit_once('@') {
        Some((_, host)) => problem(format!("server URL `…@{host}`: {reason}")),
        None if has_port(&url.value) => problem(format!("server URL `{}`: {reason}", url.value)),
        // The text may be a password whose host is missing or misspelled.
        None => problem(format!("server URL: {reason}")).unseen(),
    }
}

/// Returns `true` if the port of the URL is a number, or missing.
fn has_port(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(rest, |(_, port)| port);
    rest.split_once(':').is_none_or(|(_, port)| port.split(['/', '?', '#', ',']).next().is_none_or(is_number))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::server_url;

    #[test]
    fn server_urls() {
        for (url, normal) in [
            ("nats://127.0.0.1:14222", "nats://127.0.0.1:14222"),
            ("tls://a.example/", "tls://a.example:4222"),
            ("a.example:7", "nats://a.example:7"),
            ("nats://[::1]:4222", "nats://[::1]:4222"),
            ("ws://a.example", "ws://a.example:80"),
            ("wss://a.example/", "wss://a.example:443"),
            ("wss://a.example/nats/ws", "wss://a.example:443/nats/ws"),
        ] {
            assert_eq!(server_url(url), Ok(normal.to_owned()), "{url}");
        }
        for url in [
            "",
            "nats://",
            "nats://:4222",
            "nats://a:0",
            "nats://a:99999",
            "nats://a:b",
            "http://a:1",
            "wss://a/x?token=y",
            "wss://a/x,b",
            "wss://",
            "nats://me:pass@a:1",
            "nats://a:1/x",
            "nats://a b:1",
            "nats://[::1",
            "nats://[x]:1",
            "nats://[::1]x",
            "nats://a,b",
        ] {
            assert!(server_url(url).is_err(), "{url}");
        }
    }
}
