//! Planning offline: what a definition wants, and the lint of the whole set; editing and signing one account.
//!
//! `cargo bench --bench planning`; the figures are in `docs/performance.md`.

#![allow(missing_docs)]

use divan::{AllocProfiler, Bencher};
use serde_json::{Map, json};
use vstream_jwt::definition::{Definition, Resolver};
use vstream_jwt::desired::desired;
use vstream_jwt::lint::{Entry, LintInput, lint};
use vstream_jwt::model::claims::AccountClaims;
use vstream_jwt::model::names::{ClusterName, RegionName, StreamName};
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::model::subject::SubjectFilter;
use vstream_jwt::model::topology::{Region, Topology};
use vstream_jwt::model::virtual_stream::{
    Access, Account, Consistency, Kind, Layout, NameTemplates, RegionalAccounts, VirtualStream,
};
use vstream_jwt::sign::{Seed, Signer as _, issue};

/// Reports peak memory of each case beside its time.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn definition(streams: usize) -> Definition {
    let region = |name: &str| Region {
        name: RegionName::parse(name).unwrap(),
        cluster: ClusterName::parse(name).unwrap(),
        servers: vec!["nats://127.0.0.1:4222".to_owned()],
        tags: Vec::new(),
        serves: Vec::new(),
        tls: None,
    };
    let stream = |number: usize| VirtualStream {
        name: StreamName::parse(&format!("stream{number}")).unwrap(),
        subjects: vec![SubjectFilter::parse(&format!("stream{number}.>")).unwrap()],
        kind: Kind::Stream,
        consistency: Consistency::Eventual,
        region_token: 1,
        write: Map::new(),
        read: Map::new(),
        names: NameTemplates::default(),
        consumers: Vec::new(),
        map_requests: Vec::new(),
        bucket: Map::new(),
    };
    let account = Account {
        name: "APP".to_owned(),
        id: Seed::generate(KeyKind::Account).unwrap().public_key(),
        access: Access::Context("app".to_owned()),
        signing_key: None,
        layout: Layout::Shared,
        exclusive: true,
        subject_roots: Vec::new(),
        regional_accounts: RegionalAccounts::default(),
        restrict_users: false,
        inbox_prefixes: Vec::new(),
        regional_limits: Map::new(),
        virtual_streams: (0..streams).map(stream).collect(),
    };
    Definition {
        resolver: Resolver::Nats,
        system: Access::Context("sys".to_owned()),
        tls: None,
        topology: Topology { regions: ["west", "central", "east"].map(region).to_vec(), stretch: None },
        accounts: vec![account],
    }
}

/// Everything that a definition wants, and what lint says of it.
#[divan::bench(args = [100, 10_000], sample_count = 10)]
fn desired_and_lint(bencher: Bencher, streams: usize) {
    let definition = definition(streams);
    bencher.bench_local(|| {
        let accounts = desired(&definition).unwrap();
        let account = &accounts[0];
        let entries: Vec<Entry<'_>> = (account.mappings.iter())
            .map(|m| Entry { source: m.source.as_str(), destinations: &m.destinations, ours: true, in_force: false })
            .collect();
        let names: Vec<&str> = account.account.virtual_streams.iter().map(|s| s.name.as_str()).collect();
        let findings = lint(&LintInput {
            account: "APP",
            entries: &entries,
            clusters: &["west", "central", "east"],
            virtual_streams: &names,
            listeners: &[],
        });
        assert_eq!(findings.len(), 1);
        (findings, accounts.len())
    });
}

/// The mappings of 100 virtual streams into an account's token: decode, edit, encode, sign, verify.
#[divan::bench]
fn edit_and_sign_100(bencher: Bencher) {
    let definition = definition(100);
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let accounts = desired(&definition).unwrap();
    let claims = json!({
        "sub": definition.accounts[0].id,
        "name": "APP",
        "nats": { "limits": { "subs": -1, "conn": -1 }, "type": "account", "version": 2 },
    });
    let token = issue(&claims, &operator, 1_700_000_000).unwrap();
    bencher.bench_local(|| {
        let mut claims = AccountClaims::decode(token.as_str()).unwrap();
        for mapping in &accounts[0].mappings {
            claims.set_mapping(mapping);
        }
        issue(claims.value(), &operator, 1_700_000_001).unwrap()
    });
}
