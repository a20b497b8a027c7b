use super::*;
use crate::desired::tests::{app, bucket, regional, stream, topology};
use crate::desired::{DesiredOptions, accounts};
use crate::model::virtual_stream::Account;
use crate::model::virtual_stream::Kind;

fn world(account: &Account, cluster: &str) -> World {
    let desired = accounts(topology(), account, &DesiredOptions::default()).unwrap();
    World { cluster: cluster.to_owned(), domain: None, accounts: desired.iter().map(View::of_desired).collect() }
}

fn ask(world: &World, subject: &str, reply_to: Option<&str>) -> Explained {
    explain(world, Question { account: 0, subject, reply_to, may: &|_, _| Some(true) }).unwrap()
}

/// The steps in short form.
fn steps(explained: &Explained) -> Vec<String> {
    let step = |step: &TraceStep| match step {
        TraceStep::Mapped { subject, .. } => format!("mapped {subject}"),
        TraceStep::Refused { subject, .. } => format!("refused {subject}"),
        TraceStep::Crosses { to, by, subject, .. } => format!("{} {to} {subject}", by.as_str()),
        TraceStep::Stored { account, stream, subject, .. } => format!("stored {account} {stream} {subject}"),
        TraceStep::Copied { account, stream, subject, .. } => format!("copied {account} {stream} {subject}"),
        TraceStep::Asked { account, request, stream, consumer } => {
            let named = [stream, consumer].into_iter().flatten().map(|name| format!(" {name}")).collect::<String>();
            format!("asked {account} {request}{named}")
        }
        TraceStep::Answered { account, subject } => format!("answered {account} {subject}"),
    };
    explained.steps.iter().map(step).collect()
}

fn orders() -> Account {
    regional(vec![stream("orders", &["orders.>"])])
}

#[test]
fn a_message_is_followed_to_all_regions() {
    let found = ask(&world(&orders(), "c-east"), "orders.new", None);
    let stored = "stored APP orders-write-east orders.new";
    let copied = ["west", "east"].map(|region| format!("copied APP-{region} orders orders.new"));
    assert_eq!(steps(&found), ["mapped $VW.c-east.orders.new", stored, &copied[0], &copied[1]]);
    assert_eq!(found.outcome, MessageOutcome::Arrives);
    // In the layout `shared`, everything is in one account.
    let found = ask(&world(&app(vec![stream("orders", &["orders.>"])]), "c-west"), "orders.new", None);
    let copied = ["west", "east"].map(|region| format!("copied APP orders-read-{region} orders.new"));
    let stored = "stored APP orders-write-west orders.new";
    assert_eq!(steps(&found), ["mapped $VW.c-west.orders.new", stored, &copied[0], &copied[1]]);
    // A key of a bucket.
    let found = ask(&world(&regional(vec![bucket("cfg", Kind::Kv)]), "c-west"), "$KV.cfg.a", None);
    assert_eq!(found.outcome, MessageOutcome::Arrives);
    assert!(steps(&found)[1].ends_with("$KV.cfg.a"), "{found:?}");
}

#[test]
fn a_request_is_followed_to_the_region() {
    let world = world(&orders(), "c-west");
    let found = ask(&world, "$JS.API.STREAM.INFO.orders", Some("_INBOX.a.b"));
    let (there, asked) = ("service APP-west $JS.API.STREAM.INFO.orders", "asked APP-west STREAM.INFO orders");
    let mapped = "mapped $VS.c-west.API.STREAM.INFO.orders";
    assert_eq!(steps(&found), [mapped, there, asked, "answered APP-west _INBOX.a.b"]);
    assert_eq!(found.outcome, MessageOutcome::Arrives);
    // Pulled messages come back only if the account imports them.
    let pull = "$JS.API.CONSUMER.MSG.NEXT.orders.worker";
    let found = ask(&world, pull, Some("_INBOX.a.b"));
    assert_eq!(found.outcome, MessageOutcome::Arrives, "{found:?}");
    assert!(steps(&found).contains(&format!("stream APP-west {pull}")), "{found:?}");
    let MessageOutcome::Lost { why, next } = ask(&world, pull, Some("MINE.a.b")).outcome else { panic!("it arrives") };
    assert!(
        why.contains("published on MINE.a.b in account APP-west") && next.contains("inbox_prefixes: [MINE]"),
        "{why}"
    );
    let acked = ask(&world, "$JS.ACK.orders.worker.1.2.3.4.5", None);
    assert_eq!(acked.outcome, MessageOutcome::Arrives, "{acked:?}");
    // A request for a missing stream.
    let MessageOutcome::Lost { why, .. } = ask(&world, "$JS.API.STREAM.INFO.other", None).outcome else {
        panic!("it arrives")
    };
    assert!(why.contains("account APP-west has no stream other"), "{why}");
    // The mappings to the account's own JetStream.
    let own = ask(&world, "$VSH.API.STREAM.INFO.orders-write-west", None);
    assert_eq!(own.outcome, MessageOutcome::Arrives, "{own:?}");
}

#[test]
fn what_is_in_the_way_is_named() {
    let mut world = world(&orders(), "c-west");
    let lost = |world: &World, subject: &str| match ask(world, subject, None).outcome {
        MessageOutcome::Lost { why, .. } | MessageOutcome::Partly { why, .. } => why,
        other => panic!("{subject}: {other:?}"),
    };
    assert_eq!(ask(&world, "other.new", None).outcome, MessageOutcome::NotMapped);
    // A cluster without a destination keeps the subject as it is, which no stream stores.
    world.cluster = "elsewhere".to_owned();
    for subject in ["orders.new", "$JS.API.STREAM.INFO.orders"] {
        let why = lost(&world, subject);
        assert!(why.contains("has no destination for clients of cluster elsewhere"), "{why}");
    }
    world.cluster = "c-west".to_owned();
    // A request that the definition does not open to applications.
    let why = lost(&world, "$JS.API.STREAM.PURGE.orders");
    assert_eq!(why, "applications may not ask for STREAM.PURGE of virtual streams: no server answers");
    assert_eq!(lost(&world, "$VSH.API.STREAM.INFOS"), "JetStream has no request STREAM.INFOS");
    // A source that does not work.
    let index = world.accounts.iter().position(|view| view.name == "APP-east").unwrap();
    let reads = &mut world.accounts[index].streams.as_mut().unwrap()[0];
    let source = |problem: Option<&str>| SourceView {
        origin: "orders-write-west".to_owned(),
        lag: Some(7),
        problem: problem.map(str::to_owned),
    };
    reads.sources = vec![source(Some("it was not heard from"))];
    let why = lost(&world, "orders.new");
    assert_eq!(why, "stream orders in east does not copy from orders-write-west: it was not heard from");
    world.accounts[index].streams.as_mut().unwrap()[0].sources = vec![source(None)];
    let found = ask(&world, "orders.new", None);
    assert!(found.steps.iter().any(|step| matches!(step, TraceStep::Copied { lag: Some(7), .. })), "{found:?}");
    assert_eq!(found.outcome, MessageOutcome::Arrives);
    // A stream without a leader, and none at all.
    world.accounts[0].streams.as_mut().unwrap()[0].problem = Some("it has no leader".to_owned());
    assert_eq!(lost(&world, "orders.new"), "stream orders-write-west takes nothing: it has no leader");
    world.accounts[0].streams.as_mut().unwrap()[0].problem = None;
    world.accounts[index].streams.as_mut().unwrap()[0].unread = Some("a timeout".to_owned());
    let why = "stream orders in east could not be looked at: a timeout".to_owned();
    assert_eq!(ask(&world, "orders.new", None).outcome, MessageOutcome::Unknown { why });
    world.accounts[index].streams.as_mut().unwrap()[0].unread = None;
    world.accounts[0].streams = Some(Vec::new());
    assert!(lost(&world, "orders.new").contains("no stream and no import takes $VW.c-west.orders.new"));
    world.accounts[0].streams = None;
    assert!(matches!(ask(&world, "orders.new", None).outcome, MessageOutcome::Unknown { .. }));
}

#[test]
fn permissions_are_checked_after_mapping() {
    let world = world(&orders(), "c-west");
    let may = |verb: Verb, subject: &str| match (verb, subject) {
        (_, "$VW.c-west.orders.unclear") => None,
        (Verb::Publish, _) => Some(subject != "$VW.c-west.orders.new"),
        (Verb::Subscribe, _) => Some(subject != "MINE.a"),
    };
    let ask = |subject, reply_to| explain(&world, Question { account: 0, subject, reply_to, may: &may }).unwrap();
    let found = ask("orders.new", None);
    assert_eq!(steps(&found), ["mapped $VW.c-west.orders.new", "refused $VW.c-west.orders.new"]);
    let MessageOutcome::Lost { why, .. } = found.outcome else { panic!("{found:?}") };
    assert!(why.contains("may not publish on $VW.c-west.orders.new"), "{why}");
    assert_eq!(ask("orders.old", None).outcome, MessageOutcome::Arrives);
    assert!(matches!(ask("orders.unclear", None).outcome, MessageOutcome::Unknown { .. }));
    let MessageOutcome::Partly { why, .. } = ask("orders.old", Some("MINE.a")).outcome else {
        panic!("the ack is heard")
    };
    assert!(why.contains("does not hear that it was stored"), "{why}");
    let MessageOutcome::Lost { why, .. } = ask("$JS.API.INFO", Some("MINE.a")).outcome else { panic!("it is heard") };
    assert!(why.contains("may not subscribe to MINE.a"), "{why}");
}

#[test]
fn one_message_has_one_subject() {
    let world = world(&orders(), "c-west");
    for subject in ["orders.>", "orders.*", "", "orders..new", "a b"] {
        let asked = Question { account: 0, subject, reply_to: None, may: &|_, _| Some(true) };
        assert!(explain(&world, asked).is_err(), "{subject}");
    }
}

/// Random choices of servers, and differences between them.
#[test]
fn what_is_not_certain_is_said() {
    let mut world = world(&orders(), "c-west");
    let change = |world: &mut World, change: &dyn Fn(&mut RawMapping)| {
        world.accounts[0].mappings.iter_mut().filter(|mapping| mapping.source == "orders.>").for_each(change);
    };
    change(&mut world, &|mapping| mapping.destinations[0].weight = 90);
    let MessageOutcome::Partly { why, .. } = ask(&world, "orders.new", None).outcome else { panic!("all arrive") };
    assert!(why.contains("90 of 100 messages"), "{why}");
    change(&mut world, &|mapping| mapping.destinations[0].weight = 100);
    let mut other = world.accounts[0].mappings.iter().find(|mapping| mapping.source == "orders.>").unwrap().clone();
    other.source = "orders.*".to_owned();
    world.accounts[0].mappings.push(other);
    let MessageOutcome::Unknown { why } = ask(&world, "orders.new", None).outcome else { panic!("it is certain") };
    assert!(why.contains("takes one by chance"), "{why}");
    world.accounts[0].mappings.pop();
    world.accounts[0].problem = Some("servers use different tokens of it".to_owned());
    assert!(matches!(ask(&world, "orders.new", None).outcome, MessageOutcome::Partly { .. }));
    world.accounts[0].problem = None;
    // Requests about a stream that is offline.
    let west = world.accounts.iter().position(|view| view.name == "APP-west").unwrap();
    world.accounts[west].streams.as_mut().unwrap()[0].problem = Some("it is not there".to_owned());
    let MessageOutcome::Lost { why, .. } = ask(&world, "$JS.API.STREAM.INFO.orders", None).outcome else {
        panic!("it is answered")
    };
    assert_eq!(why, "stream orders of APP-west: it is not there");
    // An account that the world does not have.
    world.accounts.remove(west);
    let asked = ask(&world, "$JS.API.STREAM.INFO.orders", None);
    assert!(matches!(asked.outcome, MessageOutcome::Unknown { .. }), "{asked:?}");
}

#[test]
fn in_the_layout_shared_some_requests_are_refused_by_their_body() {
    let mut world = world(&app(vec![stream("orders", &["orders.>"])]), "c-west");
    let found = ask(&world, "$JS.API.CONSUMER.CREATE.orders.worker", None);
    let MessageOutcome::Lost { why, .. } = found.outcome else { panic!("{found:?}") };
    assert!(why.contains("which is orders and not orders-read-west") && why.contains("10056"), "{why}");
    assert_eq!(ask(&world, "$JS.API.CONSUMER.INFO.orders.worker", None).outcome, MessageOutcome::Arrives);
    // Servers with a domain map its prefix by themselves.
    world.domain = Some("hub".to_owned());
    let found = ask(&world, "$JS.hub.API.STREAM.INFO.orders-write-west", None);
    assert_eq!(steps(&found)[0], "mapped $JS.API.STREAM.INFO.orders-write-west");
    assert_eq!(found.outcome, MessageOutcome::Arrives);
}

/// Also tested on real leaf nodes in `supercluster::leaf_nodes`.
#[test]
fn a_request_behind_a_leaf_node_is_another() {
    let asks = |world: &World, subject: &str| ask(world, subject, None).leaf_node.map(|leaf| leaf.asks);
    let mut shared = world(&app(vec![stream("orders", &["orders.>"])]), "c-west");
    assert_eq!(asks(&shared, "$JS.API.STREAM.INFO.orders"), Some(None));
    assert_eq!(asks(&shared, "orders.new"), None);
    shared.domain = Some("hub".to_owned());
    let named = "$JS.hub.API.STREAM.INFO.orders-read-west";
    assert_eq!(asks(&shared, "$JS.API.STREAM.INFO.orders"), Some(Some(named.to_owned())));
    let regional = world(&regional(vec![stream("orders", &["orders.>"])]), "c-west");
    let near = "$VS.c-west.API.STREAM.INFO.orders";
    assert_eq!(asks(&regional, "$JS.API.STREAM.INFO.orders"), Some(Some(near.to_owned())));
}
