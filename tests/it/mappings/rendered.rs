//! Servers accept the output of `render`.

use crate::mappings::server::check;
use vstream_jwt::definition::{Definition, ResolverConfig};
use vstream_jwt::model::names::{ClusterName, RegionName, StreamName};
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::model::subject::SubjectFilter;
use vstream_jwt::model::topology::{Region, Topology};
use vstream_jwt::model::virtual_stream::{Access, Account, Layout, MapRequest, VirtualStream};
use vstream_jwt::ops::render::{What, render};

fn definition() -> Definition {
    let region = |name: &str| {
        let servers = vec!["nats://127.0.0.1:4222".to_owned()];
        Region::new(RegionName::parse(name).unwrap(), ClusterName::parse(name).unwrap(), servers)
    };
    let stream = |name: &str, subjects: &[&str]| VirtualStream {
        map_requests: vec![MapRequest::Purge],
        ..VirtualStream::new(
            StreamName::parse(name).unwrap(),
            subjects.iter().map(|s| SubjectFilter::parse(s).unwrap()).collect(),
        )
    };
    let account = Account {
        layout: Layout::Shared,
        subject_roots: vec![SubjectFilter::parse("app").unwrap()],
        virtual_streams: vec![
            stream("foo", &["foo.>", "bar.*.x.*"]),
            stream("quote\"d", &["q\"u.$1x.*", "ünï.*"]),
            stream("under", &["app.under.>"]),
        ],
        ..Account::new("APP \"1\"", PublicKey::from_bytes(KeyKind::Account, [1; 32]), Access::Context("app".to_owned()))
    };
    Definition {
        resolver: ResolverConfig::Nats,
        system: Access::Context("sys".to_owned()),
        nsc_store: None,
        operator: None,
        tls: None,
        topology: Topology {
            regions: ["west", "central", "east"].map(region).to_vec(),
            stretch: None,
            without_clients: Vec::new(),
        },
        accounts: vec![account],
    }
}

fn text(what: What) -> String {
    render(what, &definition()).unwrap().into_iter().map(|document| document.text).collect()
}

#[test]
fn mappings_are_taken_in_a_configuration() {
    let configuration = format!("accounts {{ APP {{\n{}}} }}\n", text(What::Mappings));
    assert_eq!(check(&configuration), "", "{configuration}");
}

#[test]
fn permissions_are_taken_in_a_configuration() {
    let users = format!("users: [ {{ user: app, password: app\n{} }} ]", text(What::Permissions));
    let configuration = format!("accounts {{ APP {{\n{users}\n}} }}\n");
    assert_eq!(check(&configuration), "", "{configuration}");
}
