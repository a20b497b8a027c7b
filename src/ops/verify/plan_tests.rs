//! Compares `verify` with `plan` on generated deployments that differ from the definition at random.

use super::*;
use crate::desired::tests::{app, application, definition, stream};
use crate::model::claims::TrustAnchor;
use crate::model::names::ConsumerName;
use crate::model::nkey::KeyKind;
use crate::model::virtual_stream::ConsumerDefinition;
use crate::observed::listeners::Listeners;
use crate::observed::survey::ConcurrentUpdates;
use crate::observed::{AccountOnServer, Live, Server, Stored};
use crate::plan::{Plan, plan};
use crate::sign::{Seed, Signer as _, issue};
use crate::verify::streams::tests::as_defined;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

const NOW: u64 = 2000;

/// A deployment, and its desired state.
struct Case {
    definition: Definition,
    operator: Seed,
    observed: Observed,
}

impl Case {
    /// Returns the deployment after an `apply`.
    fn as_applied() -> Self {
        let operator = Seed::generate(KeyKind::Operator).unwrap();
        let worker = ConsumerDefinition {
            name: ConsumerName::parse("worker").unwrap(),
            regions: Vec::new(),
            config: Map::new(),
        };
        let mut foo = stream("foo", &["foo.>"]);
        foo.consumers = vec![worker];
        let account = app(vec![foo, stream("bar", &["bar.*", "baz"])]);
        let id = account.id.clone();
        let definition = definition(vec![account]);
        let system_account = Seed::generate(KeyKind::Account).unwrap().public_key();
        let server = |cluster: &str| Server {
            trusted_keys: vec![operator.public_key().to_string()],
            system_account: system_account.to_string(),
            ..Server::new(&format!("{cluster}-1"), cluster, "2.15.1")
        };
        let servers: Vec<Server> =
            definition.topology.clusters().map(|(_, cluster)| server(cluster.as_str())).collect();
        let observed = Observed {
            deployment: Deployment { expected: servers.len(), servers },
            system_account,
            anchor: TrustAnchor::of_key(&operator.public_key()),
            pushed: Vec::new(),
            accounts: vec![ObservedAccount {
                servers: Vec::new(),
                jetstream: as_defined(
                    &application(&definition.topology, &definition.accounts[0], &<_>::default()).unwrap(),
                ),
                listeners: Listeners::NotAsked,
                concurrent_updates: ConcurrentUpdates::Nothing,
                out_of_reach: false,
            }],
        };
        let mut case = Self { definition, operator, observed };
        let limits =
            json!({ "subs": -1, "conn": -1, "disk_storage": -1, "mem_storage": -1, "streams": -1, "consumer": -1 });
        let bare = json!({ "sub": id, "name": "APP", "nats": { "limits": limits, "type": "account", "version": 2 } });
        case.store(&bare, 1000);
        let planned = case.plan();
        case.store(planned.accounts[0].pushes.last().unwrap().claims.value(), 1100);
        case
    }

    /// Makes every server store these claims.
    fn store(&mut self, claims: &Value, iat: u64) {
        let token = issue(claims, &self.operator, iat).unwrap().as_str().to_owned();
        let on = |server: &Server| AccountOnServer {
            server: server.name.clone(),
            cluster: server.cluster.clone(),
            stored: Stored::Token(token.clone()),
            live: Live::NotLoaded,
        };
        self.observed.accounts[0].servers = self.observed.deployment.servers.iter().map(on).collect();
    }

    fn desired(&self) -> Vec<DesiredAccount<'_>> {
        vec![application(&self.definition.topology, &self.definition.accounts[0], &<_>::default()).unwrap()]
    }

    fn plan(&self) -> Plan {
        plan(&self.definition.topology, &self.desired(), &self.observed, &Options::default(), NOW)
    }

    fn verify(&self) -> Verified {
        judge_all(&self.definition, &self.desired(), &self.observed, NOW)
    }
}

/// One difference.
#[derive(Debug, Clone)]
enum Drift {
    StreamGone(Index),
    StreamDiffers(Index, Index),
    ConsumerGone(Index),
    ConsumerDiffers(Index, Index),
    MappingGone(Index),
    MappingDiffers(Index),
    TokenGone(Index),
}

fn drift() -> impl Strategy<Value = Drift> {
    let index = any::<Index>;
    prop_oneof![
        index().prop_map(Drift::StreamGone),
        (index(), index()).prop_map(|(stream, field)| Drift::StreamDiffers(stream, field)),
        index().prop_map(Drift::ConsumerGone),
        (index(), index()).prop_map(|(consumer, field)| Drift::ConsumerDiffers(consumer, field)),
        index().prop_map(Drift::MappingGone),
        index().prop_map(Drift::MappingDiffers),
        index().prop_map(Drift::TokenGone),
    ]
}

/// Returns another value of the same kind.
fn another(value: &Value) -> Value {
    match value {
        Value::Null => json!(1),
        Value::Bool(value) => json!(!value),
        Value::Number(number) => json!(number.as_i64().unwrap_or_default() + 1),
        Value::String(text) => json!(format!("{text}x")),
        Value::Array(list) => Value::Array(list.iter().skip(1).cloned().collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().skip(1).map(|(key, value)| (key.clone(), value.clone())).collect())
        }
    }
}

fn change(config: &mut Map<String, Value>, field: Index) {
    let keys: Vec<String> = config.keys().cloned().collect();
    let key = field.get(&keys);
    config[key] = another(&config[key]);
}

impl Drift {
    fn happens(&self, case: &mut Case) {
        let claims = |case: &Case| {
            let Stored::Token(token) = &case.observed.accounts[0].servers[0].stored else { return None };
            Some(crate::model::claims::AccountClaims::decode(token).unwrap().value().clone())
        };
        let jetstream = &mut case.observed.accounts[0].jetstream;
        match self {
            Self::StreamGone(at) if !jetstream.streams.is_empty() => {
                let gone = jetstream.streams.remove(at.index(jetstream.streams.len()));
                jetstream.consumers.retain(|consumer| consumer.stream != gone.name);
            }
            Self::StreamDiffers(at, field) if !jetstream.streams.is_empty() => {
                let place = at.index(jetstream.streams.len());
                let found = &mut jetstream.streams[place];
                let mut config = found.config.clone();
                // The metadata names the stream's owner, and stays.
                let metadata = config.shift_remove("metadata");
                change(&mut config, *field);
                config.extend(metadata.map(|metadata| ("metadata".to_owned(), metadata)));
                found.config = config;
            }
            Self::ConsumerGone(at) if !jetstream.consumers.is_empty() => {
                jetstream.consumers.remove(at.index(jetstream.consumers.len()));
            }
            Self::ConsumerDiffers(at, field) if !jetstream.consumers.is_empty() => {
                let place = at.index(jetstream.consumers.len());
                change(&mut jetstream.consumers[place].config, *field);
            }
            Self::MappingGone(at) => {
                let Some(mut claims) = claims(case) else { return };
                let mappings = claims["nats"]["mappings"].as_object_mut().unwrap();
                let sources: Vec<String> = mappings.keys().cloned().collect();
                if !sources.is_empty() {
                    mappings.shift_remove(at.get(&sources));
                }
                case.store(&claims, 1200);
            }
            Self::MappingDiffers(at) => {
                let Some(mut claims) = claims(case) else { return };
                let mappings = claims["nats"]["mappings"].as_object_mut().unwrap();
                let sources: Vec<String> = mappings.keys().cloned().collect();
                if !sources.is_empty() {
                    mappings[at.get(&sources)].as_array_mut().unwrap().pop();
                }
                case.store(&claims, 1200);
            }
            Self::TokenGone(at) => {
                let servers = &mut case.observed.accounts[0].servers;
                let place = at.index(servers.len());
                servers[place].stored = Stored::Nothing;
            }
            Self::StreamGone(_) | Self::StreamDiffers(..) | Self::ConsumerGone(_) | Self::ConsumerDiffers(..) => {}
        }
    }
}

#[test]
fn what_was_applied_is_in_sync() {
    let case = Case::as_applied();
    let (planned, verified) = (case.plan(), case.verify());
    assert!(planned.is_empty() && !planned.is_refused(), "{planned:#?}");
    assert_eq!(verified.verdict, Verdict::Ok, "{verified:#?}");
}

proptest! {
    /// If `plan` would change or refuse something, `verify` reports that the deployment is not as defined.
    #[test]
    fn verify_sees_what_plan_sees(drifts in prop::collection::vec(drift(), 1..4)) {
        let mut case = Case::as_applied();
        drifts.iter().for_each(|drift| drift.happens(&mut case));
        let planned = case.plan();
        if !planned.is_empty() || planned.is_refused() {
            let verified = case.verify();
            prop_assert!(verified.verdict != Verdict::Ok, "{planned:#?}\n{verified:#?}");
        }
    }
}
