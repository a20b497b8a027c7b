//! Measures planning offline: the desired state of a definition with the lint of the whole set, and editing and signing
//! one account.
//!
//! `cargo bench --bench planning`; the figures are in `docs/performance.md`.

#![allow(missing_docs)]

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use serde_json::json;
use vstream_jwt::definition::{Definition, ResolverConfig};
use vstream_jwt::desired::desired;
use vstream_jwt::lint::{Entry, LintInput, lint};
use vstream_jwt::model::claims::{AccountClaims, TrustAnchor};
use vstream_jwt::model::mapping::MappingSet;
use vstream_jwt::model::names::{ClusterName, RegionName, StreamName};
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::model::subject::SubjectFilter;
use vstream_jwt::model::topology::{Region, Topology};
use vstream_jwt::model::virtual_stream::{Access, Account, Layout, VirtualStream};
use vstream_jwt::observed::jetstream::ObservedJetStream;
use vstream_jwt::observed::listeners::Listeners;
use vstream_jwt::observed::survey::{ConcurrentUpdates, Observed, ObservedAccount};
use vstream_jwt::observed::{AccountOnServer, Deployment, Live, Server, Stored};
use vstream_jwt::plan::{Options, plan};
use vstream_jwt::sign::{Seed, SignedToken, Signer as _, issue};

/// Reports peak memory of each case beside its time.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Returns a definition of `accounts` accounts with `streams` virtual streams each, in three regions.
fn definition(accounts: usize, streams: usize) -> Definition {
    let region = |name: &str| {
        let servers = vec!["nats://127.0.0.1:4222".to_owned()];
        Region::new(RegionName::parse(name).unwrap(), ClusterName::parse(name).unwrap(), servers)
    };
    let stream = |number: usize| {
        VirtualStream::new(
            StreamName::parse(&format!("stream{number}")).unwrap(),
            vec![SubjectFilter::parse(&format!("stream{number}.>")).unwrap()],
        )
    };
    let account = |number: usize| {
        let id = Seed::generate(KeyKind::Account).unwrap().public_key();
        let virtual_streams = (0..streams).map(stream).collect();
        let access = Access::Context("app".to_owned());
        Account { layout: Layout::Shared, virtual_streams, ..Account::new(&format!("APP{number}"), id, access) }
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
        accounts: (0..accounts).map(account).collect(),
    }
}

/// Returns the account's token before the first `apply`.
fn bare_token(account: &Account, operator: &Seed) -> SignedToken {
    let claims = json!({
        "sub": account.id,
        "name": account.name,
        "nats": { "limits": { "subs": -1, "conn": -1 }, "type": "account", "version": 2 },
    });
    issue(&claims, operator, 1_700_000_000).unwrap()
}

/// Derives the desired state of a definition, and lints it.
#[divan::bench(args = [100, 10_000], sample_count = 10)]
fn desired_and_lint(bencher: Bencher, streams: usize) {
    let definition = definition(1, streams);
    bencher.bench_local(|| {
        let accounts = desired(&definition).unwrap();
        let account = &accounts[0];
        let entries: Vec<Entry<'_>> = (account.mappings.iter())
            .map(|m| Entry {
                source: m.source.as_str(),
                destinations: &m.destinations,
                ours: true,
                in_force: false,
                known: false,
            })
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

/// Plans 100 accounts of 100 virtual streams each, against servers that have none of them. That includes the
/// configurations, the edited claims and the lint of each account. (One token, of at most 1 MiB, holds about 250.)
#[divan::bench(sample_count = 10)]
fn plan_100_accounts_of_100(bencher: Bencher) {
    let definition = definition(100, 100);
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let system_account = Seed::generate(KeyKind::Account).unwrap().public_key();
    let server = |region: &Region| Server {
        trusted_keys: vec![operator.public_key().to_string()],
        system_account: system_account.to_string(),
        ..Server::new(region.name.as_str(), region.cluster.as_str(), "2.15.1")
    };
    let servers: Vec<Server> = definition.topology.regions.iter().map(server).collect();
    let account = |account: &Account| {
        let stored = Stored::Token(bare_token(account, &operator).as_str().to_owned());
        let on_server = |server: &Server| AccountOnServer {
            server: server.name.clone(),
            cluster: server.cluster.clone(),
            stored: stored.clone(),
            live: Live::NotLoaded,
        };
        ObservedAccount {
            servers: servers.iter().map(on_server).collect(),
            jetstream: ObservedJetStream::default(),
            listeners: Listeners::default(),
            concurrent_updates: ConcurrentUpdates::Nothing,
            out_of_reach: false,
        }
    };
    let accounts = definition.accounts.iter().map(account).collect();
    let deployment = Deployment { expected: servers.len(), servers: servers.clone() };
    let anchor = TrustAnchor::of_key(&operator.public_key());
    let observed = Observed { deployment, system_account, anchor, pushed: Vec::new(), accounts };
    bencher.bench_local(|| {
        let desired = desired(&definition).unwrap();
        let plan = plan(&definition.topology, &desired, &observed, &Options::default(), 1_700_000_001);
        assert!(plan.accounts.iter().all(|account| !account.pushes.is_empty() && account.streams.changes.len() == 600));
        plan
    });
}

/// Edits the mappings of 100 virtual streams into the claims of an account that has none, signs and verifies them.
#[divan::bench]
fn edit_and_sign_100(bencher: Bencher) {
    let definition = definition(1, 100);
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let accounts = desired(&definition).unwrap();
    let claims = AccountClaims::decode(bare_token(&definition.accounts[0], &operator).as_str()).unwrap();
    bencher.with_inputs(|| claims.clone()).bench_local_values(|mut claims| {
        edit(&mut claims, &accounts[0].mappings);
        issue(claims.value(), &operator, 1_700_000_001).unwrap()
    });
}

/// Only edits the claims.
#[divan::bench]
fn edit_100(bencher: Bencher) {
    let definition = definition(1, 100);
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let accounts = desired(&definition).unwrap();
    let claims = AccountClaims::decode(bare_token(&definition.accounts[0], &operator).as_str()).unwrap();
    bencher.with_inputs(|| claims.clone()).bench_local_values(|mut claims| {
        edit(&mut claims, &accounts[0].mappings);
        claims
    });
}

/// Only signs the token, which hashes it twice.
#[divan::bench]
fn signature_of_100(bencher: Bencher) {
    let (operator, token) = edited_token();
    let message = token.as_str().rsplit_once('.').unwrap().0.as_bytes();
    bencher.counter(BytesCount::of_slice(message)).bench_local(|| operator.sign(message).unwrap());
}

/// Decodes the token again: signature, strict JSON, and all fields that the program uses.
#[divan::bench]
fn decode_100(bencher: Bencher) {
    let (_, token) = edited_token();
    let size = BytesCount::of_str(token.as_str());
    bencher.counter(size).bench_local(|| AccountClaims::decode(token.as_str()).unwrap());
}

fn edit(claims: &mut AccountClaims, mappings: &MappingSet) {
    for mapping in mappings {
        claims.set_mapping(mapping);
    }
}

fn edited_token() -> (Seed, SignedToken) {
    let definition = definition(1, 100);
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let accounts = desired(&definition).unwrap();
    let mut claims = AccountClaims::decode(bare_token(&definition.accounts[0], &operator).as_str()).unwrap();
    edit(&mut claims, &accounts[0].mappings);
    let token = issue(claims.value(), &operator, 1_700_000_001).unwrap();
    (operator, token)
}
