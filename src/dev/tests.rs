//! Tests without servers. Those with servers are in `tests/it/supercluster`.

use super::binary::{Binary, recent_enough};
use super::layout::{self, DevLayout};
use super::pins::{DEFAULT_VERSION, PINS};
use super::{DevOptions, config, ports};
use crate::definition::{self, SourceFile};
use crate::model::nkey::{KeyKind, PublicKey};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

fn laid_out(options: &DevOptions) -> DevLayout {
    layout::check(options).unwrap();
    DevLayout {
        regions: options.regions.clone(),
        servers_per_region: options.servers as u16,
        stretch: options.stretch,
        tls: options.tls,
        strict_signing_keys: options.strict_signing_keys,
        servers: DevLayout::servers(options, 20_000),
        control_port: 20_000,
        control_token: "0123456789abcdef".repeat(2),
        binary: "nats-server".into(),
        server_version: DEFAULT_VERSION.to_owned(),
        operator_id: PublicKey::from_bytes(KeyKind::Operator, [8; 32]).to_string(),
        system_account_id: PublicKey::from_bytes(KeyKind::Account, [5; 32]).to_string(),
        account_id: PublicKey::from_bytes(KeyKind::Account, [6; 32]).to_string(),
        account_signing_key: PublicKey::from_bytes(KeyKind::Account, [7; 32]).to_string(),
    }
}

/// A folder may come from elsewhere, and its layout controls where servers listen and how they are configured.
#[test]
fn a_layout_that_was_not_written_here_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ours = laid_out(&DevOptions { stretch: true, ..DevOptions::default() });
    ours.write(folder.path()).unwrap();
    assert_eq!(DevLayout::read(folder.path()).unwrap(), Some(ours.clone()));
    let text = serde_json::to_value(&ours).unwrap();
    for (place, value) in [
        ("/servers/0/name", json!("../../x")),
        ("/servers/0/name", json!("west-1\"\ninclude \"/etc/x")),
        ("/servers/0/client_port", json!(4222)),
        ("/servers/0/region", json!("east")),
        ("/servers/3/cluster", json!("west")),
        ("/servers/0/gateway_forwarder", json!(1)),
        ("/regions/0", json!("west\" }")),
        ("/regions", json!([])),
        ("/servers_per_region", json!(2)),
        ("/stretch", json!(false)),
        ("/control_port", json!(20_001)),
        ("/control_port", json!(80)),
        ("/control_port", json!(65_500)),
        ("/control_token", json!("")),
        ("/control_token", json!("0123456789abcdef\n0123456789abcde")),
        ("/operator_id", json!("../operator")),
        ("/operator_id", text["account_id"].clone()),
        ("/system_account_id", json!("A\"\nsystem_account: \"B")),
        ("/account_id", text["operator_id"].clone()),
        ("/account_signing_key", json!("")),
    ] {
        let mut changed = text.clone();
        *changed.pointer_mut(place).unwrap() = value;
        std::fs::write(DevLayout::path(folder.path()), changed.to_string()).unwrap();
        let error = DevLayout::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("did not write it so"), "{place}: {error}");
    }
}

#[test]
fn options_that_cannot_be_are_refused() {
    let base = DevOptions::default;
    for (options, why) in [
        (DevOptions { regions: vec![], ..base() }, "at least one region"),
        (DevOptions { servers: 0, ..base() }, "at least one region with one server"),
        (DevOptions { regions: vec!["a".into()], servers: 1, ..base() }, "one server alone"),
        (DevOptions { regions: vec!["a/b".into()], ..base() }, "use letters"),
        (DevOptions { regions: vec!["..".into()], ..base() }, "a letter or digit first"),
        (DevOptions { regions: vec!["a".into(), "a".into()], ..base() }, "twice"),
        (DevOptions { regions: vec!["stretch".into()], stretch: true, ..base() }, "beside the stretch cluster"),
        (DevOptions { regions: vec!["a".into(), "a-1".into()], ..base() }, "the name of a region and of a server"),
        (DevOptions { servers: 50, ..base() }, "more than 42 servers"),
        (DevOptions { servers: usize::MAX / 2, ..base() }, "more than 42 servers"),
    ] {
        let error = layout::check(&options).unwrap_err().to_string();
        assert!(error.contains(why), "{error} lacks {why}");
    }
}

#[test]
fn no_two_listeners_share_a_port() {
    let layout = laid_out(&DevOptions { stretch: true, ..DevOptions::default() });
    let ports = layout.servers.iter().flat_map(|s| {
        [s.client_port, s.monitor_port, s.route_port, s.gateway_port, s.gateway_forwarder, s.route_forwarder]
    });
    let mut ports: Vec<u16> = ports.chain([layout.control_port]).collect();
    let count = ports.len();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!((ports.len(), layout.ports()), (count, (20_000, count as u16)));
}

#[test]
fn ports_of_a_killed_server_are_waited_for() {
    let block = ports::reserve(3).unwrap();
    let first = block.first;
    let again = |patience| ports::reserve_again(first, 3, Duration::from_millis(patience));
    let refused = |patience| again(patience).map(|block| block.first).unwrap_err().to_string();
    assert!(refused(0).contains("another super-cluster uses the ports"));
    drop(block);
    let server = std::net::TcpListener::bind(("127.0.0.1", first + 1)).unwrap();
    assert!(refused(0).contains(&format!("127.0.0.1:{} is taken", first + 1)));
    let dying = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        drop(server);
    });
    assert_eq!(again(5_000).unwrap().first, first);
    dying.join().unwrap();
}

#[test]
fn links_between_regions_go_through_forwarders_only() {
    let layout = laid_out(&DevOptions { stretch: true, ..DevOptions::default() });
    for server in &layout.servers {
        let text = config::server(&layout, Path::new("/folder"), server);
        for other in layout.servers.iter().filter(|other| other.region != server.region) {
            let direct = [other.gateway_port, other.route_port];
            // A server never connects to gateways of its own cluster; the stretch cluster lists its own.
            let called = text.lines().filter(|line| !line.contains(&format!("name: \"{}\", urls", server.cluster)));
            for line in called {
                assert!(!direct.iter().any(|port| line.contains(&format!(":{port}\""))), "{}: {line}", server.name);
            }
        }
        assert!(!text.contains("0.0.0.0") && text.matches("listen: \"127.0.0.1:").count() == 3);
    }
}

#[test]
fn paths_are_quoted_for_the_configuration() {
    let layout = laid_out(&DevOptions::default());
    let text = config::server(&layout, Path::new("/my \"own\" folder"), &layout.servers[0]);
    assert!(text.contains(r#"operator: "/my \"own\" folder/operator.jwt""#), "{text}");
}

#[test]
fn servers_before_2_10_are_refused() {
    let version = |version: &str| recent_enough(Binary { path: "nats-server".into(), version: version.to_owned() });
    for old in ["2.9.25", "1.4.0", "0", ""] {
        assert!(version(old).unwrap_err().to_string().contains("2.10 or newer"), "{old}");
    }
    for good in ["2.10.0", "2.15.1", "2.12.0-RC.1", "3.0.0"] {
        version(good).unwrap();
    }
}

#[test]
fn the_default_version_is_pinned() {
    assert!(PINS.iter().any(|pin| pin.version == DEFAULT_VERSION));
    let sums: Vec<&str> = PINS.iter().flat_map(|pin| pin.wheels.iter().chain(&pin.binaries).copied()).collect();
    assert!(sums.iter().all(|sum| sum.len() == 64));
    assert_eq!(sums.iter().collect::<std::collections::HashSet<_>>().len(), sums.len());
}

#[test]
fn the_example_definition_is_valid() {
    for (servers, stretch, tls) in [(3, false, false), (1, true, true), (2, true, false), (5, false, true)] {
        let layout = laid_out(&DevOptions { servers, stretch, tls, ..DevOptions::default() });
        let operator = PublicKey::parse(&layout.operator_id).unwrap();
        let text = config::definition(&layout);
        let file = SourceFile { name: "vstream.yaml".to_owned(), text: text.clone() };
        let definition = definition::parse(&[file], Path::new("/folder"));
        let definition = definition.unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        assert_eq!((definition.topology.regions.len(), definition.operator), (3, Some(operator)));
        assert_eq!((definition.topology.stretch.is_some(), definition.tls.is_some()), (stretch, tls));
    }
}
