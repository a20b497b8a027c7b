//! What `render` gives is what servers take.

use crate::server::check;
use vstream_jwt::definition::{Definition, Resolver};
use vstream_jwt::model::names::{ClusterName, RegionName, StreamName};
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::model::subject::SubjectFilter;
use vstream_jwt::model::topology::{Region, Topology};
use vstream_jwt::model::virtual_stream::{
    Access, Account, Consistency, Kind, Layout, MapRequest, NameTemplates, RegionalAccounts, VirtualStream,
};
use vstream_jwt::ops::render::{What, render};

fn definition() -> Definition {
    let region = |name: &str| Region {
        name: RegionName::parse(name).unwrap(),
        cluster: ClusterName::parse(name).unwrap(),
        servers: vec!["nats://127.0.0.1:4222".to_owned()],
        tags: Vec::new(),
        serves: Vec::new(),
        tls: None,
    };
    let stream = |name: &str, subjects: &[&str], region_token| VirtualStream {
        name: StreamName::parse(name).unwrap(),
        subjects: subjects.iter().map(|s| SubjectFilter::parse(s).unwrap()).collect(),
        kind: Kind::Stream,
        consistency: Consistency::Eventual,
        region_token,
        write: serde_json::Map::new(),
        read: serde_json::Map::new(),
        names: NameTemplates::default(),
        consumers: Vec::new(),
        map_requests: vec![MapRequest::Purge],
        bucket: serde_json::Map::new(),
    };
    let account = Account {
        name: "APP \"1\"".to_owned(),
        id: PublicKey::from_bytes(KeyKind::Account, [1; 32]),
        access: Access::Context("app".to_owned()),
        signing_key: None,
        layout: Layout::Shared,
        exclusive: true,
        subject_roots: vec![SubjectFilter::parse("app").unwrap()],
        regional_accounts: RegionalAccounts::default(),
        restrict_users: false,
        inbox_prefixes: Vec::new(),
        regional_limits: serde_json::Map::new(),
        map_requests: None,
        activation_lifetime: None,
        virtual_streams: vec![
            stream("foo", &["foo.>", "bar.*.x.*"], 1),
            stream("quote\"d", &["q\"u.$1x.*", "ünï.*"], 0),
            stream("under", &["app.under.>"], 1),
        ],
    };
    Definition {
        resolver: Resolver::Nats,
        system: Access::Context("sys".to_owned()),
        nsc_store: None,
        tls: None,
        topology: Topology { regions: ["west", "central", "east"].map(region).to_vec(), stretch: None },
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
