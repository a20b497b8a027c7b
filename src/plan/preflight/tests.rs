use super::*;
use crate::model::claims::{AccountClaims, LATEST, LastPush, Trust, TrustAnchor, TrustedClaims};
use crate::model::finding::{Finding, Severity};
use crate::model::names::{ClusterName, RegionName};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::topology::{Region, Topology};
use crate::observed::survey::Observed;
use crate::observed::{AccountOnServer, ClockOffset, Deployment, Live, RequestError, Server, Stored, User};
use crate::plan::consumers::ConsumerPlan;
use crate::plan::mappings::MappingPlan;
use crate::plan::streams::StreamPlan;
use crate::plan::{AccountPlan, Push, Reason, Stage};
use crate::sign::tests::{respelled, unchecked};
use crate::sign::{Seed, Signer as _, issue};
use serde_json::{Value, json};

fn key(kind: KeyKind) -> PublicKey {
    Seed::generate(kind).unwrap().public_key()
}

fn region(cluster: &str) -> Region {
    let servers = vec!["nats://127.0.0.1:4222".to_owned()];
    Region::new(RegionName::parse(cluster).unwrap(), ClusterName::parse(cluster).unwrap(), servers)
}

fn topology(clusters: &[&str]) -> Topology {
    Topology {
        regions: clusters.iter().map(|cluster| region(cluster)).collect(),
        stretch: None,
        without_clients: Vec::new(),
    }
}

struct World {
    operator: Seed,
    system: PublicKey,
    deployment: Deployment,
}

fn world(clusters: &[&str]) -> World {
    let operator = Seed::generate(KeyKind::Operator).unwrap();
    let system = key(KeyKind::Account);
    let server = |cluster: &&str| Server {
        id: format!("N{cluster}"),
        trusted_keys: vec![operator.public_key().to_string()],
        system_account: system.to_string(),
        varz: json!({ "trusted_operators_claim": [{ "sub": operator.public_key(), "name": "OP", "nats": {} }] }),
        ..Server::new(&format!("{cluster}-0"), cluster, "2.15.1")
    };
    let servers: Vec<Server> = clusters.iter().map(server).collect();
    World { deployment: Deployment { expected: servers.len(), servers }, operator, system }
}

impl World {
    fn anchor(&self) -> TrustAnchor {
        TrustAnchor::of_key(&self.operator.public_key())
    }
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_deployment_as_defined_raises_nothing() {
    let world = world(&["west", "east"]);
    assert_eq!(deployment(&topology(&["west", "east"]), &world.deployment, &world.system), []);
    assert_eq!(signer(&world.anchor(), &world.deployment, &world.operator.public_key()), None);
    assert_eq!(size("APP", 1_048_576, &world.deployment), None);
}

#[test]
fn clusters_that_are_served_or_need_no_region() {
    let world = world(&["west", "edge", "arbiter"]);
    let clusters = |names: &[&str]| names.iter().map(|name| ClusterName::parse(name).unwrap()).collect::<Vec<_>>();
    let mut of = topology(&["west"]);
    of.regions[0].serves = clusters(&["edge"]);
    of.without_clients = clusters(&["arbiter"]);
    assert_eq!(deployment(&of, &world.deployment, &world.system), []);
    of.without_clients.clear();
    let findings = deployment(&of, &world.deployment, &world.system);
    assert_eq!(codes(&findings), ["cluster-uncovered"]);
    assert!(findings[0].next.contains("`clusters_without_clients`"), "{findings:#?}");
    of.regions[0].serves = clusters(&["egde", "far"]);
    of.without_clients = clusters(&["arbiter", "nowhere"]);
    let findings = deployment(&of, &world.deployment, &world.system);
    let expected = ["served-cluster-missing", "served-cluster-missing", "unknown-cluster", "cluster-uncovered"];
    assert_eq!(codes(&findings), expected);
    assert_eq!((&*findings[0].place, &*findings[0].next), ("region west", "Did you mean `serves: [edge]`?"));
    assert!(findings[1].next.contains("--allow served-cluster-missing"), "{findings:#?}");
}

#[test]
fn clusters_and_regions_have_to_match() {
    let world = world(&["west", "east"]);
    let findings = deployment(&topology(&["west", "eats"]), &world.deployment, &world.system);
    assert_eq!(codes(&findings), ["region-missing", "cluster-uncovered"]);
    assert_eq!(findings[0].next, "Did you mean `cluster: east`?");
    let findings = deployment(&topology(&["west", "east", "central"]), &world.deployment, &world.system);
    assert_eq!(codes(&findings), ["region-missing"]);
    assert!(findings[0].next.contains("--allow region-missing"));
}

#[test]
fn other_credentials_old_servers_and_dead_ones_are_named() {
    let mut world = world(&["west", "east"]);
    world.deployment.servers[0].version = "2.9.25".to_owned();
    for server in &mut world.deployment.servers {
        server.varz["jetstream"]["config"] = json!({ "domain": "hub" });
        server.domain = Some("hub".to_owned());
    }
    world.deployment.servers[1].varz["jetstream"]["meta"]["replicas"] =
        json!([{ "name": "west-0" }, { "name": "east-1" }]);
    world.deployment.expected = 3;
    let findings = deployment(&topology(&["west", "east"]), &world.deployment, &key(KeyKind::Account));
    assert_eq!(codes(&findings), ["system-account", "server-too-old", "servers-missing", "jetstream-domain"]);
    assert_eq!(findings[1].place, "server west-0");
    assert!(findings[2].message.contains("1 of 3 servers does not answer (east-1)"), "{}", findings[2].message);
}

#[test]
fn servers_of_different_domains_are_named() {
    let mut world = world(&["west", "east"]);
    for server in &mut world.deployment.servers {
        server.varz["jetstream"]["config"] = json!({});
    }
    world.deployment.servers[1].domain = Some("hub".to_owned());
    let findings = deployment(&topology(&["west", "east"]), &world.deployment, &world.system);
    assert_eq!(codes(&findings), ["jetstream-domains-differ", "jetstream-domain"]);
    assert!(findings[0].message.contains("none on server west-0; hub on server east-0"), "{}", findings[0].message);
    // A cluster without clients of a region needs no servers.
    let findings = deployment(&topology(&["west"]), &world.deployment, &world.system);
    assert!(!codes(&findings).contains(&"jetstream-domains-differ"), "{findings:?}");
}

#[test]
fn why_the_system_account_says_nothing_is_told_apart() {
    let account = key(KeyKind::Account);
    let subject = || "$SYS.REQ.SERVER.PING.STATSZ".to_owned();
    for (error, code, message, next) in [
        (
            RequestError::NoResponders(subject()),
            "system-account",
            account.to_string(),
            "Name credentials of the system",
        ),
        (RequestError::Permission(subject()), "system-permissions", subject(), "Allow the system user to publish on"),
        (
            RequestError::Timeout(subject()),
            "system-silent",
            "no server answered: ".to_owned(),
            "Check that servers are up",
        ),
        (RequestError::Connection("cut".to_owned()), "system-silent", "cut".to_owned(), "Check that servers are up"),
    ] {
        let found = system_account_silent(&account, &error);
        assert_eq!((found.code, found.severity, &*found.place), (code, Severity::Error, "system account"));
        assert!(found.message.contains(&message) && found.next.contains(next), "{found:?}");
    }
}

#[test]
fn the_system_account_is_no_place_for_virtual_streams() {
    let world = world(&["west"]);
    let found = not_the_system_account("APP", &world.system, &world.system);
    assert_eq!(found.unwrap().code, "is-system-account");
    assert_eq!(not_the_system_account("APP", &key(KeyKind::Account), &world.system), None);
}

#[test]
fn the_signer_has_to_be_trusted_everywhere() {
    let mut world = world(&["west", "east"]);
    let stranger = signer(&world.anchor(), &world.deployment, &key(KeyKind::Operator)).unwrap();
    assert_eq!((stranger.code, stranger.place.as_str()), ("signer-untrusted", "servers west-0, east-0"));
    assert!(stranger.next.contains(&world.operator.public_key().to_string()));

    let signing = key(KeyKind::Operator);
    let strict = json!([{ "sub": world.operator.public_key(), "name": "OP",
        "nats": { "signing_keys": [signing], "strict_signing_key_usage": true } }]);
    world.deployment.servers[1].varz = json!({ "trusted_operators_claim": strict });
    world.deployment.servers[1].trusted_keys = vec![signing.to_string()];
    let identity = signer(&world.anchor(), &world.deployment, &world.operator.public_key()).unwrap();
    assert_eq!(identity.place, "server east-0");
    assert!(identity.message.contains("strict signing key usage"), "{}", identity.message);
    assert!(identity.next.contains(&signing.to_string()));
}

#[test]
fn tokens_have_to_fit_every_server() {
    let mut world = world(&["west", "east"]);
    world.deployment.servers[1].max_payload = 65_536;
    let finding = size("APP", 70_000, &world.deployment).unwrap();
    assert_eq!(finding.message, "its token would have 70000 bytes; max_payload of server east-0 is 65536 bytes");
    assert!(size("APP", 2_000_000, &world.deployment).unwrap().message.contains("over 1048576 bytes"));
}

#[test]
fn of_tokens_of_one_second_the_one_that_more_servers_have_is_the_base() {
    let world = world(&["west", "central", "east"]);
    let account = key(KeyKind::Account);
    let token = |name: &str| {
        let claims = json!({ "sub": account, "name": name, "nats": { "type": "account", "version": 2, "limits": {} } });
        issue(&claims, &world.operator, 1000).unwrap().as_str().to_owned()
    };
    let (one, other) = (token("one"), token("other"));
    for (few, many) in [(&one, &other), (&other, &one)] {
        let on_servers = ["west-0", "central-0", "east-0"].map(|server| AccountOnServer {
            server: server.to_owned(),
            cluster: server.trim_end_matches("-0").to_owned(),
            stored: Stored::Token(if server == "west-0" { few } else { many }.clone()),
            live: Live::NotLoaded,
        });
        let found =
            base(AccountRef { name: "APP", id: &account }, &world.anchor(), &world.deployment, &on_servers, 2000);
        assert_eq!(found.0.unwrap().token, *many);
    }
}

struct Tokens<'a> {
    world: &'a World,
    claims: Value,
}

impl Tokens<'_> {
    fn by(&self, signer: &Seed, iat: u64) -> String {
        issue(&self.claims, signer, iat).unwrap().as_str().to_owned()
    }

    fn base(&self, stored: [Stored; 2], now: u64) -> (Option<Base>, Vec<Finding>) {
        let on_servers: Vec<AccountOnServer> = self
            .world
            .deployment
            .servers
            .iter()
            .zip(stored)
            .map(|(server, stored)| AccountOnServer {
                server: server.name.clone(),
                cluster: server.cluster.clone(),
                stored,
                live: Live::NotLoaded,
            })
            .collect();
        let id = PublicKey::parse(self.claims["sub"].as_str().unwrap()).unwrap();
        base(AccountRef { name: "APP", id: &id }, &self.world.anchor(), &self.world.deployment, &on_servers, now)
    }
}

#[test]
fn a_token_that_cannot_be_read_is_named_and_passed_over() {
    let world = world(&["west", "east"]);
    let claims = json!({ "sub": key(KeyKind::Account), "nats": { "type": "account", "version": 2, "limits": {} } });
    let tokens = Tokens { world: &world, claims };
    let good = tokens.by(&world.operator, 1000);
    let cut = good[..good.len() - 40].to_owned();
    let (base, findings) = tokens.base([Stored::Token(cut), Stored::Token(good.clone())], 2000);
    assert_eq!(base.unwrap().token, good);
    assert_eq!(codes(&findings), ["token-unreadable", "stored-differently"]);
    assert!(findings[0].message.starts_with("the token on west-0 is ignored: "), "{}", findings[0].message);
}

/// A user of the system account without a signing key can push the newest token in another spelling.
#[test]
fn a_token_in_another_spelling_is_the_same_base() {
    let world = world(&["west", "east"]);
    let claims = json!({ "sub": key(KeyKind::Account), "nats": { "type": "account", "version": 2, "limits": {} } });
    let tokens = Tokens { world: &world, claims };
    let token = tokens.by(&world.operator, 1000);
    for spelling in respelled(&token) {
        for stored in [[&spelling, &spelling], [&token, &spelling]] {
            let (base, findings) = tokens.base(stored.map(|token| Stored::Token(token.clone())), 2000);
            assert_eq!(base.unwrap().token, token, "as it was signed");
            assert_eq!(codes(&findings), ["stored-differently"]);
            let said = "east-0 (its signature in another spelling)";
            assert!(findings[0].message.ends_with(said), "{}", findings[0].message);
        }
    }
}

#[test]
fn imports_of_others_whose_activation_ends_soon_are_named() {
    let world = world(&["west"]);
    let (exporter, app) = (Seed::generate(KeyKind::Account).unwrap(), key(KeyKind::Account));
    let import = |name: &str, end: u64| {
        let claims = json!({ "sub": app, "exp": end,
            "nats": { "type": "activation", "version": 2, "subject": name, "kind": "service" } });
        json!({ "name": name, "account": exporter.public_key(), "subject": name, "local_subject": format!("their.{name}"),
            "type": "service", "token": issue(&claims, &exporter, 1_000).unwrap().as_str() })
    };
    let day = 86_400;
    let imports = [import("soon", 61 * day), import("later", 400 * day), import("vstream ours", 61 * day)];
    let claims = json!({ "sub": app, "nats": { "type": "account", "version": 2, "limits": {}, "imports": imports } });
    let tokens = Tokens { world: &world, claims };
    let token = Stored::Token(tokens.by(&world.operator, 1_000));
    let on_server = AccountOnServer {
        server: "west-0".to_owned(),
        cluster: "west".to_owned(),
        stored: token,
        live: Live::NotLoaded,
    };
    let account = AccountRef { name: "APP", id: &app };
    let (_, findings) = base(account, &world.anchor(), &world.deployment, &[on_server], 55 * day);
    assert_eq!(codes(&findings), ["activation-expires"], "this tool renews its own");
    assert_eq!(findings[0].place, "account APP, import their.soon");
    assert!(findings[0].message.contains("expires in 6d"), "{}", findings[0].message);
}

#[test]
fn the_newest_trusted_token_is_the_base() {
    let world = world(&["west", "east"]);
    let claims = json!({ "sub": key(KeyKind::Account), "name": "APP", "exp": 9000,
        "nats": { "type": "account", "version": 2, "limits": {} } });
    let tokens = Tokens { world: &world, claims };
    let [old, new] = [1000, 2000].map(|iat| tokens.by(&world.operator, iat));
    let foreign = tokens.by(&Seed::generate(KeyKind::Operator).unwrap(), 3000);
    let stored = |token: &String| Stored::Token(token.clone());

    let (base, findings) = tokens.base([stored(&new), stored(&new)], 2000);
    assert_eq!((base.unwrap().token, codes(&findings)), (new.clone(), vec![]));

    let (base, findings) = tokens.base([stored(&old), stored(&new)], 2000);
    assert_eq!((base.unwrap().token, codes(&findings)), (new.clone(), vec!["stored-differently"]));
    let older = "west-0 (an older token, issued 1970-01-01T00:16:40Z)";
    assert!(findings[0].message.ends_with(older), "{}", findings[0].message);

    let (base, findings) = tokens.base([stored(&foreign), stored(&new)], 2000);
    let base = base.unwrap();
    assert_eq!((base.token, base.newest_iat), (new.clone(), 2000), "what is not trusted sets no date");
    assert_eq!(codes(&findings), ["token-untrusted", "stored-differently"]);
    let (_, findings) = tokens.base([stored(&new), stored(&new)], 1_000);
    assert_eq!(
        (codes(&findings), findings[0].severity),
        (vec!["issued-in-future"], Severity::Error),
        "over five minutes"
    );
    let (_, findings) = tokens.base([stored(&new), stored(&new)], 1_700);
    assert_eq!((codes(&findings), findings[0].severity), (vec!["issued-in-future"], Severity::Warning));
    assert_eq!(tokens.base([stored(&new), stored(&new)], 1_995).1, [], "a second per push is usual");

    let (_, findings) = tokens.base([stored(&new), stored(&new)], 9000);
    assert_eq!(codes(&findings), ["account-expired"]);

    let (_, findings) = tokens.base([stored(&new), stored(&new)], 8_000);
    assert_eq!(codes(&findings), ["account-expires"], "a seventh of its life is left");

    let (base, findings) = tokens.base([Stored::Nothing, Stored::Nothing], 2000);
    assert_eq!((base, codes(&findings)), (None, vec!["account-unknown"]));

    let (base, findings) = tokens.base([Stored::NoAnswer, Stored::NoAnswer], 2000);
    assert_eq!((base, codes(&findings)), (None, vec!["account-unreadable"]));
}

/// Tokens of one account on two servers: stored, and in force.
struct Attacked {
    world: World,
    evil: Seed,
    claims: Value,
    id: PublicKey,
}

impl Attacked {
    fn new() -> Self {
        let id = key(KeyKind::Account);
        let claims = json!({ "sub": id, "name": "APP", "nats": { "type": "account", "version": 2, "limits": {} } });
        Self { world: world(&["west", "east"]), evil: Seed::generate(KeyKind::Operator).unwrap(), claims, id }
    }

    fn by(&self, signer: &Seed, iat: u64) -> String {
        issue(&self.claims, signer, iat).unwrap().as_str().to_owned()
    }

    fn base(&self, on_servers: [(Stored, &str); 2], anchor: &TrustAnchor) -> (Option<Base>, Vec<Finding>) {
        let servers = self.world.deployment.servers.iter().zip(on_servers);
        let on_servers = servers.map(|(server, (stored, live))| AccountOnServer {
            server: server.name.clone(),
            cluster: server.cluster.clone(),
            stored,
            live: match live {
                "" => Live::NotLoaded,
                live => Live::Loaded(serde_json::from_value(json!({ "jwt": live })).unwrap()),
            },
        });
        let on_servers: Vec<AccountOnServer> = on_servers.collect();
        base(AccountRef { name: "APP", id: &self.id }, anchor, &self.world.deployment, &on_servers, 2000)
    }

    fn both(&self, stored: &str, live: &str, anchor: &TrustAnchor) -> (Option<Base>, Vec<Finding>) {
        self.base([(Stored::Token(stored.to_owned()), live), (Stored::Token(stored.to_owned()), live)], anchor)
    }
}

/// The token that servers with a `memory` resolver use depends on when they reload. This is no drift of the preload.
#[test]
fn the_preload_is_what_is_kept() {
    let case = Attacked::new();
    let (anchor, operator) = (case.world.anchor(), &case.world.operator);
    let [old, new] = [1000, 1500].map(|iat| case.by(operator, iat));
    let preload = |token: &str| Stored::Outside { token: Some(token.to_owned()), by_reload: true };
    let (base, findings) = case.base([(preload(&new), &old), (preload(&new), &new)], &anchor);
    assert_eq!((base.unwrap().token, codes(&findings)), (new.clone(), vec!["preload-not-reloaded"]));
    assert!(findings[0].message.ends_with("an older token: west-0"), "{findings:?}");
    let (_, findings) = case.base([(preload(&new), &new), (preload(&new), "")], &anchor);
    assert_eq!(codes(&findings), ["preload-unread"]);
    let (base, findings) = case.base([(preload(&old), &new), (preload(&old), &new)], &anchor);
    assert_eq!((base.unwrap().token, codes(&findings)), (new.clone(), Vec::new()), "pushed until the next reload");
    // An edit that only one of the two tokens has would be lost.
    let mut revoked = case.claims.clone();
    revoked["nats"]["revocations"] = json!({ "*": 900 });
    let edit = issue(&revoked, operator, 1200).unwrap().as_str().to_owned();
    let served = |token: Option<&str>| Stored::Outside { token: token.map(str::to_owned), by_reload: false };
    for kept in [preload(&edit), served(Some(&edit))] {
        let (base, findings) = case.base([(kept.clone(), &new), (kept, &new)], &anchor);
        assert_eq!((base.unwrap().token, codes(&findings)), (new.clone(), vec!["kept-differs"]));
        assert!(findings[0].severity == Severity::Error && findings[0].lines.len() == 1, "{findings:?}");
        assert!(findings[0].lines[0].contains("revocations"), "{findings:?}");
    }
    let (_, findings) = case.base([(served(None), &new), (served(None), &new)], &anchor);
    assert_eq!(codes(&findings), ["kept-differs"]);
    // If it is unknown which token servers would load next, the token in force may not last.
    let (base, findings) = case.base([(Stored::NoAnswer, &new), (Stored::NoAnswer, &new)], &anchor);
    assert_eq!((base.unwrap().token, codes(&findings)), (new, vec!["account-unreadable"]));
    assert_eq!(findings[0].severity, Severity::Warning);
}

/// A system user without a signing key pushed this token: servers store it everywhere, and none has it in force.
#[test]
fn where_the_stored_token_is_not_trusted_the_one_in_force_is_the_base() {
    let case = Attacked::new();
    let good = case.by(&case.world.operator, 1000);
    for iat in [1, 1999, 2000 + 10 * 365 * 86_400, i64::MAX as u64 / 1_000_000_000] {
        let (base, findings) = case.both(&case.by(&case.evil, iat), &good, &case.world.anchor());
        let base = base.unwrap();
        assert_eq!((base.token.as_str(), base.newest_iat), (good.as_str(), 1000), "it sets no date");
        let [Finding { code: "token-untrusted", severity: Severity::Warning, message, next, .. }] = &findings[..]
        else {
            panic!("{findings:#?}")
        };
        assert!(message.contains(&case.evil.public_key().to_string()) && message.contains("west-0"), "{message}");
        assert!(next.contains("`apply` restores"), "{next}");
    }
    // A14: servers accept these dates, but calculations with them overflow. A token with such a date is never the base,
    // whichever key signed it.
    for iat in [LATEST + 1, i64::MAX as u64] {
        for signer in [&case.evil, &case.world.operator] {
            let token = unchecked(&case.claims, signer, iat);
            let (base, findings) = case.both(&token, &good, &case.world.anchor());
            let base = base.unwrap();
            assert_eq!((base.token.as_str(), base.newest_iat), (good.as_str(), 1000), "it sets no date");
            let [Finding { code: "token-unreadable", severity: Severity::Warning, message, next, .. }] = &findings[..]
            else {
                panic!("{findings:#?}")
            };
            assert!(message.contains("west-0") && message.contains("iat"), "{message}");
            assert!(next.contains("`apply` restores"), "{next}");
        }
    }
    // Without any token in force, there is no base.
    let (base, findings) = case.both(&case.by(&case.evil, 1), "", &case.world.anchor());
    assert_eq!((base, codes(&findings)), (None, vec!["token-untrusted", "account-of-another-operator"]));
}

/// A forger answers in a server's name: with its own operator, and with a newer token by that operator, stored and in
/// force.
#[test]
fn a_token_that_only_answers_call_trusted_is_no_base() {
    let mut case = Attacked::new();
    case.world.deployment.servers[1].trusted_keys.push(case.evil.public_key().to_string());
    let besides = json!({ "sub": case.evil.public_key(), "name": "EVIL", "nats": {} });
    case.world.deployment.servers[1].varz["trusted_operators_claim"].as_array_mut().unwrap().push(besides);
    let (good, evil) = (case.by(&case.world.operator, 1000), case.by(&case.evil, 2002));
    let on_servers = || [(Stored::Token(good.clone()), &*good), (Stored::Token(evil.clone()), &*evil)];
    let (base, findings) = case.base(on_servers(), &case.world.anchor());
    assert_eq!(base.unwrap().token, good);
    let error = findings.iter().find(|finding| finding.severity == Severity::Error).unwrap();
    assert_eq!(error.code, "token-untrusted");
    let line = format!("`operator: {}`", case.world.operator.public_key());
    assert!(error.message.contains("east-0") && error.next.contains("operator: O…"), "{error:?}");
    // If all servers name one operator, the suggested pin names it, too.
    case.world.deployment.servers[1].varz = case.world.deployment.servers[0].varz.clone();
    let (_, findings) = case.base(on_servers(), &case.world.anchor());
    assert!(findings.iter().any(|finding| finding.next.contains(&line)), "{findings:?}");
    // The servers have only the forged token.
    let (base, findings) = case.both(&evil, &evil, &case.world.anchor());
    let [Finding { code: "token-untrusted", severity: Severity::Error, .. }] = &findings[..] else {
        panic!("{findings:#?}")
    };
    assert_eq!(base, None);
    // An older forged token does not stop the run.
    let (base, findings) = case.base(
        [(Stored::Token(case.by(&case.evil, 900)), ""), (Stored::Token(good.clone()), &*good)],
        &case.world.anchor(),
    );
    assert_eq!(
        (base.unwrap().token, findings[0].code, findings[0].severity),
        (good, "token-untrusted", Severity::Warning)
    );
}

/// A second signing key of the operator, which no available operator token lists. The token may be right, so the run
/// does not overwrite it.
#[test]
fn a_newer_token_by_an_unknown_key_that_servers_trust_is_not_overwritten() {
    let mut case = Attacked::new();
    let colleague = Seed::generate(KeyKind::Operator).unwrap();
    for server in &mut case.world.deployment.servers {
        server.trusted_keys.push(colleague.public_key().to_string());
    }
    let (old, new) = (case.by(&case.world.operator, 1000), case.by(&colleague, 1500));
    let on_servers = || [(Stored::Token(old.clone()), &*old), (Stored::Token(new.clone()), &*new)];
    let (_, findings) = case.base(on_servers(), &case.world.anchor());
    assert!(findings.iter().any(|f| (f.code, f.severity) == ("token-untrusted", Severity::Error)), "{findings:?}");
    let (base, findings) = case.base(on_servers(), &case.world.anchor().and(&colleague.public_key()));
    assert_eq!((base.unwrap().token, codes(&findings)), (new, vec!["stored-differently"]));
}

/// A token of the same operator, but of another account. For instance, a forged `ACCOUNTZ` answer has the system
/// account's token.
#[test]
fn the_token_of_another_account_is_no_base() {
    let case = Attacked::new();
    let mut other = case.claims.clone();
    other["sub"] = json!(key(KeyKind::Account));
    let other = issue(&other, &case.world.operator, 1999).unwrap();
    let good = case.by(&case.world.operator, 1000);
    let (base, findings) = case.both(&good, other.as_str(), &case.world.anchor());
    assert_eq!((base.unwrap().token, codes(&findings)), (good.clone(), vec!["token-unreadable"]));
    assert!(findings[0].message.contains("another account"), "{}", findings[0].message);
    let (base, _) = case.both(other.as_str(), other.as_str(), &case.world.anchor());
    assert_eq!(base, None);
    // Whitespace around a token does not matter.
    let (base, findings) = case.both(&format!("{good}\n"), &good, &case.world.anchor());
    assert_eq!((base.unwrap().token, findings), (good, vec![]));
}

#[test]
fn where_the_operator_is_known_from_is_told() {
    let mut case = Attacked::new();
    let names = |case: &Attacked, trust: &Trust| match anchor(trust, &case.world.deployment, 2000) {
        Ok((_, findings)) => findings.into_iter().map(|f| (f.code, f.severity)).collect(),
        Err(finding) => vec![(finding.code, finding.severity)],
    };
    let (warning, error) = (Severity::Warning, Severity::Error);
    let (ours, evil) = (case.world.operator.public_key(), case.evil.public_key());
    let trust = Trust::default();
    assert_eq!(names(&case, &trust), [("operator-not-pinned", warning)]);
    let (_, found) = anchor(&trust, &case.world.deployment, 2000).unwrap();
    assert!(found[0].next.contains(&format!("`operator: {ours}`")), "{found:?}");
    assert_eq!(names(&case, &trust.clone().signing_with(Some(ours.clone()))), []);
    let pinned = |key: &PublicKey| Trust { pin: Some(key.clone()), ..Trust::default() };
    assert_eq!(names(&case, &pinned(&ours)), []);
    assert_eq!(names(&case, &pinned(&evil)), [("operators-differ", error)]);
    let refused = Trust { refused: vec![("keys/x.jwt".to_owned(), "it is cut".to_owned())], ..pinned(&ours) };
    assert_eq!(names(&case, &refused), [("operator-token-refused", warning)]);
    // One answer also names another operator. With a pin this does not matter; without one, no operator is known.
    let besides = json!({ "sub": evil, "name": "EVIL", "nats": {} });
    case.world.deployment.servers[1].varz["trusted_operators_claim"].as_array_mut().unwrap().push(besides);
    assert_eq!(names(&case, &pinned(&ours)), []);
    assert_eq!(names(&case, &trust), [("operators-differ", error)]);
}

/// Returns an account's trusted claims with these default permissions.
fn with_defaults(world: &World, defaults: &Value) -> TrustedClaims {
    let claims = json!({ "sub": key(KeyKind::Account), "name": "APP", "nats": { "type": "account", "version": 2,
        "limits": {}, "default_permissions": defaults } });
    let token = issue(&claims, &world.operator, 1000).unwrap();
    TrustedClaims::verify(token.as_str(), &world.anchor()).unwrap()
}

/// Returns a plan for an account that pushes these claims one after the other.
fn pushing(current: &TrustedClaims, pushes: &[&TrustedClaims]) -> AccountPlan {
    AccountPlan {
        name: "APP".to_owned(),
        id: current.id().clone(),
        region: None,
        new: false,
        current: Some(current.clone()),
        mappings: MappingPlan::default(),
        claims: Vec::new(),
        streams: StreamPlan::default(),
        consumers: ConsumerPlan::default(),
        pushes: (pushes.iter())
            .map(|claims| Push {
                stage: Stage::Mappings,
                reason: Reason::Changed,
                claims: (*claims).clone(),
                activations: Vec::new(),
                base: None,
                newest_iat: 1000,
            })
            .collect(),
        skipped: Vec::new(),
    }
}

/// Checks a user with these claims, which must make stream `a`, against the permissions that the plan brings.
fn locked_out(nats: &Value, account: &AccountPlan) -> Option<Finding> {
    let user = user(json!({ "name": "ci", "iss": account.id, "nats": nats }));
    permissions_brought("account APP", &user, account, &["$JS.API.STREAM.CREATE.a".to_owned()])
}

/// D11: servers would refuse the stages after the one that brings the permissions.
#[test]
fn a_plan_must_not_lock_out_the_user_by_which_it_is_carried_out() {
    let world = world(&["west"]);
    let open = with_defaults(&world, &json!({ "pub": {}, "sub": {} }));
    let closed = with_defaults(&world, &json!({ "pub": { "deny": ["$JS.>"] }, "sub": {} }));
    let found = locked_out(&json!({}), &pushing(&open, &[&open, &closed])).expect("it denies making streams");
    assert_eq!(
        (found.code, found.severity, &*found.place),
        ("permission-missing", Severity::Error, "account APP, credentials x.creds")
    );
    for words in ["restrict_users", "$JS.API.STREAM.CREATE.a", "$JS.API.INFO", "lock itself out"] {
        assert!(found.message.contains(words), "{}", found.message);
    }
    assert!(found.next.contains("`key:`"), "{}", found.next);
    assert_eq!(locked_out(&json!({}), &pushing(&open, &[&open])), None);
    assert_eq!(locked_out(&json!({}), &pushing(&open, &[])), None);
    // For permissions that are already in force, the check of the present claims suffices.
    assert_eq!(locked_out(&json!({}), &pushing(&closed, &[&closed])), None);
}

/// Lists which users the default permissions of a plan lock out, by the user's own permissions.
#[test]
fn permissions_that_a_plan_brings_lock_out_whom_servers_would() {
    let world = world(&["west"]);
    let open = with_defaults(&world, &json!({ "pub": {}, "sub": {} }));
    let (none, denies_all) = (json!({}), json!({ "pub": { "deny": ["$JS.>"] } }));
    let cases = [
        // A user without permissions of its own has the account's.
        (&none, json!({ "pub": { "deny": [">"] } }), true),
        (&none, json!({ "pub": { "deny": ["$JS.API.STREAM.*.a"] } }), true),
        (&none, json!({ "pub": { "deny": ["$JS.API.INFO"] } }), true),
        (&none, json!({ "pub": { "deny": ["$JS.API.STREAM.CREATE.b"] } }), false),
        (&none, json!({ "pub": { "deny": ["$JS.API.STREAM.CREATE"] } }), false),
        (&none, json!({ "pub": { "allow": ["$JS.API.>"] } }), false),
        (&none, json!({ "pub": { "allow": ["foo.>"] } }), true),
        (&none, json!({ "pub": { "allow": ["$JS.API.>"], "deny": ["$JS.API.STREAM.CREATE.*"] } }), true),
        (&none, json!({ "pub": { "allow": ["$JS.API.STREAM.*.a", "$JS.API.INFO"] } }), true),
        (&none, json!({ "sub": { "deny": ["foo.>"] } }), false),
        // A user with any permissions of its own has only those.
        (&json!({ "pub": { "deny": ["bar"] } }), denies_all.clone(), false),
        (&json!({ "sub": { "deny": ["bar"] } }), denies_all.clone(), false),
        (&json!({ "sub": { "allow": ["_INBOX.>"] } }), denies_all.clone(), false),
        (&json!({ "pub": { "allow": ["$JS.API.>"] } }), denies_all.clone(), false),
        (&json!({ "resp": { "max": 1, "ttl": 0 } }), denies_all.clone(), false),
        // Empty lists are no permissions.
        (&json!({ "pub": { "allow": [], "deny": [] }, "sub": {} }), denies_all.clone(), true),
        (&json!({ "pub": { "allow": null } }), denies_all, true),
    ];
    for (own, brought, is_locked_out) in cases {
        let brought = with_defaults(&world, &brought);
        let found = locked_out(own, &pushing(&open, &[&brought]));
        assert_eq!(found.is_some(), is_locked_out, "{own} and {:?}: {found:?}", brought.default_permissions());
    }
}

#[test]
fn clocks_that_differ_are_told_apart_from_answers_that_took_long() {
    let findings = |clocks: [(i64, i64); 3]| {
        let mut world = world(&["west", "central", "east"]);
        for (server, (least, most)) in world.deployment.servers.iter_mut().zip(clocks) {
            server.clock = Some(ClockOffset { least, most });
        }
        let found = deployment(&topology(&["west", "central", "east"]), &world.deployment, &world.system);
        assert!(found.iter().all(|finding| finding.code == "clocks-differ"), "{found:?}");
        found.into_iter().map(|f| (f.severity, f.place, f.message)).collect::<Vec<_>>()
    };
    assert_eq!(findings([(-900, 50), (-20, 20), (-30_000, 10)]), []);
    // The clock of one server is off.
    let one = findings([(-10, 10), (40_000, 40_100), (-10, 10)]);
    assert_eq!((one.len(), one[0].0, &*one[0].1), (1, Severity::Warning, "server central-0"));
    assert!(one[0].2.contains("central-0 is 40s ahead"), "{one:?}");
    let one = findings([(-10, 10), (-10, 10), (-400_100, -400_000)]);
    assert_eq!((one.len(), one[0].0, &*one[0].1), (1, Severity::Error, "server east-0"));
    assert!(one[0].2.contains("east-0 is 6m40s behind"), "{one:?}");
    // All servers report that our clock is off.
    let ours = findings([(3_600_000, 3_600_100), (3_600_000, 3_600_100), (3_600_010, 3_600_110)]);
    assert_eq!((ours.len(), ours[0].0, &*ours[0].1), (1, Severity::Error, "this machine"));
    assert!(ours[0].2.contains("1h behind that of the servers"), "{ours:?}");
}

fn user(claims: Value) -> User {
    User { claims, place: "credentials x.creds".to_owned(), minted: false }
}

#[test]
fn what_a_user_may_do_is_known_from_its_token_and_its_accounts() {
    let world = world(&["west"]);
    let role = key(KeyKind::Account);
    let claims = |defaults: Value| {
        let scope = json!({ "kind": "user_scope", "key": role, "role": "ci",
            "template": { "pub": { "allow": ["$JS.API.STREAM.CREATE.*"] }, "sub": {} } });
        let claims = json!({ "sub": key(KeyKind::Account), "name": "APP", "nats": { "type": "account", "version": 2,
            "limits": {}, "signing_keys": [scope], "default_permissions": defaults } });
        AccountClaims::decode(issue(&claims, &world.operator, 1000).unwrap().as_str()).unwrap()
    };
    let (open, closed) = (claims(json!({})), claims(json!({ "pub": { "deny": ["$JS.>"] } })));
    let needed = ["$JS.API.STREAM.CREATE.a", "$JS.API.STREAM.DELETE.b"].map(str::to_owned);
    let denied = |nats: Value, issuer: &PublicKey, account: &AccountClaims| {
        let user = user(json!({ "name": "ci", "iss": issuer, "nats": nats }));
        permissions("account APP", &user, Some(account), Verb::Publish, &needed).map(|finding| {
            assert_eq!((finding.code, &*finding.place), ("permission-missing", "account APP, credentials x.creds"));
            needed.iter().filter(|subject| finding.message.contains(*subject)).count()
        })
    };
    let identity = open.id().clone();
    assert_eq!(denied(json!({}), &identity, &open), None);
    assert_eq!(denied(json!({}), &identity, &closed), Some(2), "the account's defaults");
    assert_eq!(denied(json!({ "pub": { "allow": ["$JS.API.>"] } }), &identity, &closed), None, "its own come first");
    assert_eq!(denied(json!({ "pub": { "deny": ["$JS.API.STREAM.DELETE.*"] } }), &identity, &open), Some(1));
    assert_eq!(denied(json!({ "sub": { "allow": ["_INBOX.>"] } }), &identity, &closed), None);
    assert_eq!(denied(json!({}), &role, &open), Some(1), "the scope of the key that issued it");
    let deaf = |sub: Value| {
        let user = user(json!({ "name": "ci", "iss": identity, "nats": { "pub": { "deny": ["$JS.>"] }, "sub": sub } }));
        let heard =
            ["$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE", "$SYS.REQ.ACCOUNT.ABC.CLAIMS.UPDATE"];
        let heard = heard.map(str::to_owned);
        let finding = permissions("system account", &user, Some(&open), Verb::Subscribe, &heard)?;
        Some(heard.iter().filter(|subject| finding.message.contains(*subject)).count())
    };
    assert_eq!(deaf(json!({})), None);
    assert_eq!(deaf(json!({ "allow": ["$SYS.REQ.>"] })), None);
    assert_eq!(deaf(json!({ "allow": ["_INBOX.>", "$SYS.REQ.CLAIMS.UPDATE"] })), Some(2));
    assert_eq!(deaf(json!({ "allow": ["$SYS.REQ.> workers"] })), Some(3), "members of a queue group alone");
    // Servers would accept the subscription, but withhold the pushes of one account. Pushes of other accounts do not
    // matter here.
    assert_eq!(deaf(json!({ "deny": ["$SYS.REQ.ACCOUNT.ABC.CLAIMS.UPDATE"] })), Some(1));
    assert_eq!(deaf(json!({ "deny": ["$SYS.REQ.ACCOUNT.XYZ.>"] })), None);
}

#[test]
fn what_expires_soon_is_named_in_time() {
    let day = 86_400;
    let found = |issued: u64, expires: u64| {
        let user = user(json!({ "name": "ci", "iat": issued, "exp": expires }));
        credentials("system account", &user, 1_000 * day, 30).map(|finding| finding.severity)
    };
    assert_eq!(found(0, 0), None, "never");
    assert_eq!(found(600 * day, 1_020 * day), None);
    assert_eq!(found(600 * day, 1_013 * day), Some(Severity::Warning));
    assert_eq!(found(1_000 * day - 60, 1_000 * day + 3_540), None, "an hour, just begun");
    assert_eq!(found(1_000 * day - 3_000, 1_000 * day + 600), Some(Severity::Warning));
    assert_eq!(found(1_000 * day - 3_000, 1_000 * day + 20), Some(Severity::Error), "ends during the run");
    let minted = User { minted: true, ..user(json!({ "exp": 1_000 * day + 20 })) };
    assert_eq!(credentials("system account", &minted, 1_000 * day, 30), None);
}

/// A record proves nothing: its author can write any token into it.
#[test]
fn only_a_push_by_a_trusted_key_says_that_a_token_was_pushed_again() {
    let world = world(&["west"]);
    let (id, stranger) = (key(KeyKind::Account), key(KeyKind::Operator));
    let claims = json!({ "sub": id, "name": "APP", "nats": { "type": "account", "version": 2, "limits": {} } });
    let token = issue(&claims, &world.operator, 1000).unwrap().as_str().to_owned();
    let on_servers = [AccountOnServer {
        server: "west-0".to_owned(),
        cluster: "west".to_owned(),
        stored: Stored::Token(token),
        live: Live::NotLoaded,
    }];
    let push = |issuer: &PublicKey, issued_at, record: &str| LastPush {
        id: id.clone(),
        issuer: issuer.clone(),
        issued_at,
        record: record.to_owned(),
    };
    let operator = world.operator.public_key();
    let said = |pushed: Vec<LastPush>| {
        let (deployment, anchor) = (world.deployment.clone(), world.anchor());
        let observed =
            Observed { deployment, system_account: world.system.clone(), anchor, pushed, accounts: Vec::new() };
        let (_, findings) = observed_base(AccountRef { name: "APP", id: &id }, &observed, &on_servers, 2000);
        findings.into_iter().map(|finding| (finding.code, finding.message)).collect::<Vec<_>>()
    };
    assert_eq!(said(vec![push(&stranger, 5000, "planted")]), []);
    assert_eq!(said(vec![push(&stranger, 5000, "planted"), push(&operator, 1000, "same")]), []);
    let found = said(vec![push(&stranger, 5000, "planted"), push(&operator, 1500, "ours")]);
    assert!(matches!(&found[..], [("token-pushed-again", message)] if message.contains("(record ours)")), "{found:?}");
}
