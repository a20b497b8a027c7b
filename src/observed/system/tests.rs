use super::*;
use crate::observed::collect::QUIET_TIMEOUT;
use crate::observed::fake::{Crowd, Fake};
use serde_json::json;
use tokio::time::Instant;

const TIME: Duration = Duration::from_secs(5);
/// A timeout for answers that no test waits for.
const A_MOMENT: Duration = Duration::from_millis(10);

#[tokio::test(start_paused = true)]
async fn two_hundred_servers_are_found_without_waiting() {
    let fake = Fake::new(&["west", "central", "east", "north"], 50);
    let start = Instant::now();
    let found = deployment(&fake, TIME).await.unwrap();
    assert_eq!((found.servers.len(), found.expected, found.missing()), (200, 200, 0));
    assert_eq!(found.clusters(), ["central", "east", "north", "west"]);
    assert!(start.elapsed() <= A_MOMENT, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_costs_the_quiet_time_only() {
    let fake = Fake::new(&["west", "east"], 3);
    fake.edit("east-1", |server| server.down = true);
    let start = Instant::now();
    let found = deployment(&fake, TIME).await.unwrap();
    assert_eq!((found.servers.len(), found.expected, found.missing()), (5, 6, 1));
    assert!(start.elapsed() <= QUIET_TIMEOUT + Duration::from_millis(10), "{:?}", start.elapsed());
}

/// Any client in the system account may send an answer; its JSON is built only if it does not have too many values.
#[tokio::test(start_paused = true)]
async fn answers_of_servers_have_a_bound_in_values() {
    let fake = Fake::new(&["west"], 1);
    let answer = |id: usize, data: &str| {
        let server = json!({ "id": id.to_string(), "name": id.to_string() });
        format!(r#"{{"server":{server},"data":{data}}}"#).into_bytes()
    };
    let zeros = format!("[{}0]", "0,".repeat(MOST_VALUES / 4));
    for (subject, payloads) in [
        ("PING.VARZ", (0..8).map(|id| answer(id, &zeros)).collect::<Vec<_>>()),
        ("PING.STATSZ", (0..8).map(|id| answer(id, &zeros)).collect()),
        ("PING.VARZ", vec![answer(0, &format!("[{zeros},{zeros},{zeros},{zeros}]"))]),
        ("PING.VARZ", (0..=2 * MOST_SERVERS).map(|id| answer(id, "{}")).collect()),
    ] {
        let crowd = Crowd { fake: &fake, subject, payloads, late: Duration::ZERO, nobody: false };
        let error = deployment(&crowd, TIME).await.unwrap_err();
        assert!(matches!(&error, RequestError::TooMuch(on) if on.ends_with(subject)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_name_is_not_taken_for_a_dead_server() {
    let mut found = deployment(&Fake::new(&["west"], 3), TIME).await.unwrap();
    let peer = |name: &str| json!({ "name": name });
    let unnamed = "Server name unknown at this time (peerID: 2eapBaq0)";
    for server in &mut found.servers {
        server.varz["jetstream"] = json!({ "config": {} });
    }
    found.servers[0].varz["jetstream"]["meta"] = json!({ "replicas": [peer("west-1"), peer(unnamed)] });
    assert_eq!(found.missing(), 0);
    found.servers[0].varz["jetstream"]["meta"] = json!({ "replicas": [peer("west-1"), peer("west-9")] });
    assert_eq!((found.missing(), found.missing_names()), (1, vec!["west-9".to_owned()]));
    // There are more peers than answers, so one server is missing, whichever it is.
    found.servers.pop();
    found.expected = 2;
    found.servers[0].varz["jetstream"]["meta"] = json!({ "replicas": [peer(unnamed), peer(unnamed)] });
    assert_eq!((found.missing(), found.missing_names()), (1, Vec::new()));
    // A group without a leader may also list the reporting server. JetStream may be disabled on a server that answers.
    found.servers[0].varz["jetstream"]["meta"] = json!({ "replicas": [peer("west-0"), peer("west-1")] });
    assert_eq!(found.missing(), 0);
    found.servers[1].varz["jetstream"] = json!({});
    assert_eq!(found.missing(), 0);
    found.servers[1].varz["jetstream"] = json!({ "config": {} });
    // `west-2` led the group, and no leader is elected yet.
    found.servers[0].varz["jetstream"]["meta"] = json!({ "leader": "west-2" });
    assert_eq!((found.missing(), found.missing_names()), (1, vec!["west-2".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn without_a_meta_leader_the_groups_size_tells_who_is_missing() {
    let fake = Fake::new(&["west", "east"], 3);
    for server in ["east-0", "east-1", "east-2"] {
        fake.edit(server, |server| server.down = true);
    }
    let mut found = deployment(&fake, TIME).await.unwrap();
    // The servers are new, so their count does not matter.
    let now = jiff::Timestamp::now().to_string();
    for server in &mut found.servers {
        server.varz["start"] = json!(now);
        server.varz["now"] = json!(now);
    }
    assert_eq!(found.missing(), 0);
    for server in &mut found.servers {
        server.varz["jetstream"] = json!({ "config": {}, "meta": { "cluster_size": 6 } });
    }
    assert_eq!((found.missing(), found.total()), (3, 6));
    // A server of another domain has a group of its own.
    found.servers[2].domain = Some("other".to_owned());
    found.servers[2].varz["jetstream"]["meta"]["cluster_size"] = json!(1);
    assert_eq!(found.missing(), 4);
    // A leader knows the missing peers by name.
    let peers = json!([{ "name": "west-1" }, { "name": "east-0" }, { "name": "east-1" }]);
    found.servers[0].varz["jetstream"]["meta"]["replicas"] = peers;
    assert_eq!(found.missing(), 2);
}

#[tokio::test(start_paused = true)]
async fn versions_that_forget_changed_streams_are_known() {
    let mut found = deployment(&Fake::new(&["west"], 1), TIME).await.unwrap();
    let server = &mut found.servers[0];
    for (version, forgets) in [
        ("2.10.26", false),
        ("2.11.9", false),
        ("2.11.10", true),
        ("2.11.17", true),
        ("2.12.0", false),
        ("2.12.1", true),
        ("2.12.2-RC.1", true),
        ("2.12.3", false),
        ("2.15.1", false),
        ("", false),
    ] {
        version.clone_into(&mut server.version);
        assert_eq!(server.forgets_changed_streams(), forgets, "{version}");
    }
}

#[test]
fn strict_operators_are_not_trusted_by_identity() {
    use crate::model::nkey::KeyKind;
    use crate::sign::{Seed, Signer as _};
    let key = || Seed::generate(KeyKind::Operator).unwrap().public_key().to_string();
    let (identity, signing) = (key(), key());
    let varz = |strict: bool| {
        json!({ "trusted_operators_claim": [
            { "sub": identity, "nats": { "signing_keys": [signing], "strict_signing_key_usage": strict } }
        ] })
    };
    assert_eq!(trusted_keys(&varz(false)), [identity.clone(), signing.clone()]);
    assert_eq!(trusted_keys(&varz(true)), vec![signing]);
}
