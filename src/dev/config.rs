//! The text files for the servers: their configuration, the example definition, contexts of the `nats` CLI.

use super::identity::ACCOUNT;
use super::layout::{DevLayout, DevServer, STRETCH};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Quotes a string for nats-server's configuration, which understands JSON's quoting.
fn quoted(text: impl AsRef<Path>) -> String {
    json!(text.as_ref()).to_string()
}

pub(super) fn server_folder(folder: &Path, server: &DevServer) -> PathBuf {
    folder.join("servers").join(&server.name)
}

pub(super) fn server_config_path(folder: &Path, server: &DevServer) -> PathBuf {
    server_folder(folder, server).join("nats-server.conf")
}

/// Returns the folder where a server's account resolver keeps the account tokens, as `<account id>.jwt`.
pub(super) fn resolver_folder(folder: &Path, server: &DevServer) -> PathBuf {
    server_folder(folder, server).join("jwt")
}

/// Returns the configuration of one server. Gateways advertise their forwarders, and know other gateways only by their
/// forwarders, so that every connection between regions can be cut. The same is true for routes of the stretch cluster.
pub(super) fn server(layout: &DevLayout, folder: &Path, server: &DevServer) -> String {
    let own = server_folder(folder, server);
    let DevServer { name, region, cluster, client_port, monitor_port, route_port, gateway_port, .. } = server;
    let stretched = cluster == STRETCH;
    // JetStream needs a route even if the cluster has one server. The server recognizes a route to itself and drops it
    // (nats-server 2.15.1, `server/jetstream_cluster.go` and `server/route.go`).
    let alone = layout.in_cluster(cluster).count() == 1;
    let routes: Vec<String> = layout
        .in_cluster(cluster)
        .filter(|peer| alone || peer.name != *name)
        .map(|peer| if stretched { peer.route_forwarder } else { peer.route_port })
        .map(|port| format!("\"nats://127.0.0.1:{port}\""))
        .collect();
    let routes = routes.join(", ");
    let advertise = match stretched {
        true => format!("advertise: \"127.0.0.1:{}\", ", server.route_forwarder),
        false => String::new(),
    };
    let mut gateways = String::new();
    for cluster in layout.clusters() {
        let urls: Vec<String> = layout
            .in_cluster(cluster)
            .map(|peer| {
                let own = peer.name == *name || peer.cluster == server.cluster;
                let port = if own { peer.gateway_port } else { peer.gateway_forwarder };
                format!("\"nats://127.0.0.1:{port}\"")
            })
            .collect();
        let _ = writeln!(gateways, "    {{ name: \"{cluster}\", urls: [{}] }}", urls.join(", "));
    }
    let tls = match layout.tls {
        true => format!(
            "tls {{ cert_file: {}, key_file: {}, ca_file: {}, verify: true }}\n",
            quoted(folder.join("tls/server.pem")),
            quoted(folder.join("tls/server-key.pem")),
            quoted(folder.join("tls/ca.pem")),
        ),
        false => String::new(),
    };
    format!(
        r#"server_name: "{name}"
server_tags: ["region:{region}"]
listen: "127.0.0.1:{client_port}"
http: "127.0.0.1:{monitor_port}"
log_file: {log}
{tls}
operator: {operator}
system_account: "{system}"
resolver {{ type: full, dir: {resolver}, allow_delete: true, interval: "2m" }}

jetstream {{ store_dir: {store}, max_memory_store: 4GB, max_file_store: 100GB }}

cluster {{ name: "{cluster}", listen: "127.0.0.1:{route_port}", {advertise}routes: [{routes}] }}

gateway {{
  name: "{cluster}", listen: "127.0.0.1:{gateway_port}", advertise: "127.0.0.1:{forwarder}"
  gateways: [
{gateways}  ]
}}
"#,
        log = quoted(own.join("server.log")),
        operator = quoted(folder.join("operator.jwt")),
        system = layout.system_account_id,
        resolver = quoted(resolver_folder(folder, server)),
        store = quoted(own.join("jetstream")),
        forwarder = server.gateway_forwarder,
    )
}

/// Returns a definition for the super-cluster, with one example stream.
pub(super) fn definition(layout: &DevLayout) -> String {
    let mut text = String::from(
        "# A definition for the local super-cluster in this folder, made by `vstream-jwt dev up`; yours to change.\n\
         version: 1\n\nsystem:\n  credentials: keys/sys.creds\n\n",
    );
    let _ = writeln!(
        text,
        "# Only tokens of this operator are edited and signed again; its own token is operator.jwt.\noperator: {}\n",
        layout.operator_id
    );
    if layout.tls {
        text.push_str("tls:\n  ca: tls/ca.pem\n  cert: tls/client.pem\n  key: tls/client-key.pem\n\n");
    }
    text.push_str("regions:\n");
    for region in &layout.regions {
        let servers: Vec<String> = layout.in_cluster(region).map(|server| layout.url(server)).collect();
        // A cluster's name may have dots, but a region's name may not.
        let (name, cluster) = match region.contains('.') {
            true => (region.replace('.', "_"), format!("    cluster: {region}\n")),
            false => (region.clone(), String::new()),
        };
        let _ = writeln!(text, "  {name}:\n{cluster}    servers: [{}]", servers.join(", "));
    }
    if layout.stretch {
        let _ = writeln!(text, "\nstretch:\n  cluster: {STRETCH}");
    }
    let _ = write!(
        text,
        "\naccounts:\n  {ACCOUNT}:\n    id: {}\n    credentials: keys/app.creds\n    signing_key: {}\n    \
         layout: regional\n    virtual_streams:\n      foo:\n        subjects: [foo.>]\n",
        layout.account_id, layout.account_signing_key
    );
    if layout.servers_per_region < 3 {
        let replicas = format!(
            "{{ num_replicas: {} }}",
            if layout.servers_per_region == 2 { 1 } else { layout.servers_per_region }
        );
        let _ = writeln!(text, "        write: {replicas}\n        read: {replicas}");
    }
    text
}

/// Returns contexts of the `nats` CLI by file name: `vs-<region>` for applications, `vs-sys` for the system account.
pub(super) fn contexts(layout: &DevLayout, folder: &Path) -> Vec<(String, String)> {
    let context = |description: String, credentials: &str, servers: Vec<&DevServer>| {
        let urls: Vec<String> = servers.into_iter().map(|server| layout.url(server)).collect();
        let mut context = json!({
            "description": description,
            "url": urls.join(","),
            "creds": folder.join("keys").join(credentials),
        });
        if layout.tls {
            context["ca"] = json!(folder.join("tls/ca.pem"));
            context["cert"] = json!(folder.join("tls/client.pem"));
            context["key"] = json!(folder.join("tls/client-key.pem"));
        }
        format!("{context:#}\n")
    };
    let clusters = layout.clusters().into_iter().map(|cluster| {
        let text = context(format!("{ACCOUNT} in {cluster}"), "app.creds", layout.in_cluster(cluster).collect());
        (format!("vs-{cluster}.json"), text)
    });
    let system = context("system account".to_owned(), "sys.creds", layout.servers.iter().collect());
    clusters.chain([("vs-sys.json".to_owned(), system)]).collect()
}
