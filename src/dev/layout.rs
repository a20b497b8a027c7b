//! The layout of a super-cluster: regions, servers, ports and folders. It is stored in `super-cluster.json`.

use super::{DevError, DevOptions, files, ports};
use crate::model::nkey::{KeyKind, PublicKey};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Name of the cluster that stretches over the regions.
pub const STRETCH: &str = "stretch";

/// One server of the super-cluster. Everything listens on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevServer {
    /// `server_name`, such as `west-1` or `stretch-west`.
    pub name: String,
    /// The region that the server belongs to, also as a server tag (`region:west`).
    pub region: String,
    /// The cluster, which is the gateway name: the region's, or [`STRETCH`].
    pub cluster: String,
    /// Port for clients.
    pub client_port: u16,
    /// Port for monitoring over HTTP.
    pub monitor_port: u16,
    /// Port for routes.
    pub(super) route_port: u16,
    /// Port for gateways.
    pub(super) gateway_port: u16,
    /// Port of the forwarder in front of the gateway port.
    pub(super) gateway_forwarder: u16,
    /// Port of the forwarder in front of the route port; used only for servers of the stretch cluster.
    pub(super) route_forwarder: u16,
}

const PORTS_PER_SERVER: u16 = 6;

/// The layout of the whole super-cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DevLayout {
    pub(super) regions: Vec<String>,
    pub(super) servers_per_region: u16,
    pub(super) stretch: bool,
    pub(super) tls: bool,
    pub(super) strict_signing_keys: bool,
    pub(super) servers: Vec<DevServer>,
    pub(super) control_port: u16,
    pub(super) control_token: String,
    pub(super) binary: PathBuf,
    pub(super) server_version: String,
    pub(super) operator_id: String,
    pub(super) system_account_id: String,
    pub(super) account_id: String,
    pub(super) account_signing_key: String,
}

impl DevLayout {
    pub(super) fn ports_needed(options: &DevOptions) -> u16 {
        let per_region = options.servers.saturating_add(usize::from(options.stretch));
        let servers = options.regions.len().saturating_mul(per_region);
        u16::try_from(servers).unwrap_or(u16::MAX).saturating_mul(PORTS_PER_SERVER).saturating_add(1)
    }

    pub(super) fn ports(&self) -> (u16, u16) {
        (self.control_port, self.servers.len() as u16 * PORTS_PER_SERVER + 1)
    }

    /// Returns the servers. `first_port` is the first of [`Self::ports_needed`] ports, and stays free for the control
    /// port.
    pub(super) fn servers(options: &DevOptions, first_port: u16) -> Vec<DevServer> {
        let regional = options.regions.iter().flat_map(|region| {
            (1..=options.servers).map(move |n| (format!("{region}-{n}"), region.clone(), region.clone()))
        });
        let stretch = options.regions.iter().filter(|_| options.stretch);
        let stretch = stretch.map(|region| (format!("{STRETCH}-{region}"), region.clone(), STRETCH.to_owned()));
        let ports = (first_port + 1..).step_by(usize::from(PORTS_PER_SERVER));
        let named = regional.chain(stretch).zip(ports);
        named
            .map(|((name, region, cluster), port)| DevServer {
                name,
                region,
                cluster,
                client_port: port,
                monitor_port: port + 1,
                route_port: port + 2,
                gateway_port: port + 3,
                gateway_forwarder: port + 4,
                route_forwarder: port + 5,
            })
            .collect()
    }

    pub(super) fn read(folder: &Path) -> Result<Option<Self>, DevError> {
        let path = Self::path(folder);
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read(&path)?;
        let layout: Self = serde_json::from_str(&text).map_err(|error| DevError::file("understand", &path, error))?;
        match layout.is_ours() {
            true => Ok(Some(layout)),
            false => Err(DevError::file("understand", &path, "`dev up` did not write it so")),
        }
    }

    /// Checks that `dev up` could have written this layout. The folder may have come from elsewhere, and the layout
    /// controls what the servers do.
    fn is_ours(&self) -> bool {
        let options = self.options();
        let key = |text: &str, kind| PublicKey::parse(text).is_ok_and(|key| key.kind() == kind);
        check(&options).is_ok()
            && self.control_port >= 1024
            && u32::from(self.control_port) + u32::from(Self::ports_needed(&options)) <= u32::from(u16::MAX)
            && self.servers == Self::servers(&options, self.control_port)
            && self.control_token.len() == 32
            && self.control_token.bytes().all(|byte| byte.is_ascii_hexdigit())
            && key(&self.operator_id, KeyKind::Operator)
            && [&self.system_account_id, &self.account_id, &self.account_signing_key]
                .iter()
                .all(|text| key(text, KeyKind::Account))
    }

    /// Returns the options with which the super-cluster was made, as far as they are stored.
    pub(super) fn options(&self) -> DevOptions {
        DevOptions {
            regions: self.regions.clone(),
            servers: usize::from(self.servers_per_region),
            stretch: self.stretch,
            tls: self.tls,
            strict_signing_keys: self.strict_signing_keys,
            ..DevOptions::default()
        }
    }

    /// Writes the layout. `dev up` writes it last, so that a folder with a layout is complete. The file is private,
    /// because it contains the token of the control port.
    pub(super) fn write(&self, folder: &Path) -> Result<(), DevError> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| DevError::file("write", folder, e))?;
        files::write_private(&Self::path(folder), text)
    }

    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join("super-cluster.json")
    }

    /// Describes the options that differ from this layout. Returns `None` if none does.
    pub(super) fn difference(&self, options: &DevOptions) -> Option<String> {
        let mut different = Vec::new();
        let mut compare = |name: &str, there: String, asked: String| {
            if there != asked {
                different.push(format!("{name} {there}, asked for {asked}"));
            }
        };
        compare("regions", self.regions.join(","), options.regions.join(","));
        compare("servers per region", self.servers_per_region.to_string(), options.servers.to_string());
        compare("stretch", self.stretch.to_string(), options.stretch.to_string());
        compare("tls", self.tls.to_string(), options.tls.to_string());
        compare("strict signing keys", self.strict_signing_keys.to_string(), options.strict_signing_keys.to_string());
        (!different.is_empty()).then(|| different.join("; "))
    }

    /// Returns the clusters: the regions, and the stretch cluster if there is one.
    pub(super) fn clusters(&self) -> Vec<&str> {
        let stretch = self.stretch.then_some(STRETCH);
        self.regions.iter().map(String::as_str).chain(stretch).collect()
    }

    pub(super) fn in_cluster<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = &'a DevServer> {
        self.servers.iter().filter(move |server| server.cluster == cluster)
    }

    pub(super) fn url(&self, server: &DevServer) -> String {
        format!("{}://127.0.0.1:{}", if self.tls { "tls" } else { "nats" }, server.client_port)
    }
}

/// Checks the options.
pub(super) fn check(options: &DevOptions) -> Result<(), DevError> {
    let refuse = |text: String| Err(DevError::Options(text));
    if options.regions.is_empty() || options.servers == 0 {
        return refuse("a super-cluster needs at least one region with one server".to_owned());
    }
    if options.regions.len() == 1 && options.servers == 1 && !options.stretch {
        // A single server waits for a second one forever (nats-server 2.15.1: `cluster_size` 2, `quorum_needed` 2).
        return refuse("one server alone gets no JetStream in a cluster; two are the least".to_owned());
    }
    for (n, region) in options.regions.iter().enumerate() {
        // The names are also names of folders, so `..` must not be one.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
        if !region.starts_with(|c: char| c.is_ascii_alphanumeric()) || !region.chars().all(plain) {
            return refuse(format!(
                "region name `{region}`: use letters, digits, `-`, `_` and `.`, a letter or digit first"
            ));
        }
        if options.regions[..n].contains(region) {
            return refuse(format!("region `{region}` is named twice"));
        }
        if region == STRETCH && options.stretch {
            return refuse(format!("a region cannot be called `{STRETCH}` beside the stretch cluster"));
        }
    }
    let needed = DevLayout::ports_needed(options);
    if needed > ports::BLOCK_SIZE {
        let most = (ports::BLOCK_SIZE - 1) / PORTS_PER_SERVER;
        return refuse(format!("more than {most} servers; use fewer regions or fewer servers per region"));
    }
    if let Some(server) = DevLayout::servers(options, 0).iter().find(|server| options.regions.contains(&server.name)) {
        return refuse(format!("`{}` would be the name of a region and of a server", server.name));
    }
    Ok(())
}
