//! Tests that servers behave as `explain` reports.

use crate::support::bench::{Bench, new_seed, now, public};
use crate::support::{self, Cluster, PATIENCE, client, eventually};
use serde_json::{Value, json};
use std::time::Duration;
use vstream_jwt::model::claims::{Permission, Permissions};
use vstream_jwt::model::nkey::PublicKey;
use vstream_jwt::sign::user::{UserPermissions, mint_user};

const APPLY: [&str; 3] = ["apply", "--operator", "op.nk"];

/// The answer of `explain` about a subject in a region, as JSON.
struct Says {
    code: i32,
    answer: Value,
}

impl Says {
    fn of(bench: &Bench<'_>, subject: &str, region: &str, more: &[&str]) -> Self {
        let args = [&["explain", subject, "--cluster", region, "--format", "json"], more].concat();
        let ran = bench.run(&args);
        Self { code: ran.code, answer: ran.document()[0].clone() }
    }

    /// Returns one field of all steps of a kind.
    fn all(&self, step: &str, field: &str) -> Vec<String> {
        let steps = self.answer["steps"].as_array().unwrap().iter().filter(|found| found["step"] == step);
        steps.map(|found| found[field].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn outcome(&self) -> &str {
        self.answer["outcome"]["outcome"].as_str().unwrap_or_default()
    }

    fn why(&self) -> &str {
        self.answer["outcome"]["why"].as_str().unwrap_or_default()
    }
}

/// Returns the account's definition in a layout, with a stream and, in the layout `regional`, a bucket.
fn definition(bench: &Bench<'_>, layout: &str) -> Value {
    let mut definition = bench.definition();
    definition["accounts"]["APP"]["layout"] = json!(layout);
    if layout == "regional" {
        let bucket = json!({ "kind": "kv" });
        definition["accounts"]["APP"]["virtual_streams"]["cfg"] = bucket;
    }
    definition
}

/// Asserts that the named stream stores a published message under the named subject, and that every named copy receives
/// it.
async fn a_message_goes_where_it_is_said(cluster: &Cluster, bench: &Bench<'_>, subject: &str, region: &str) {
    let says = Says::of(bench, subject, region, &[]);
    assert_eq!((says.code, says.outcome()), (0, "arrives"), "{}", says.answer);
    let publisher = client(cluster, region).await;
    let stored = publisher.request(subject.to_owned(), "x".into()).await.unwrap();
    let stored: Value = serde_json::from_slice(&stored.payload).unwrap();
    assert_eq!(says.all("stored", "stream"), [stored["stream"].as_str().unwrap()], "{stored}");
    assert_eq!(says.all("copied", "region").len(), cluster.regions().len(), "{}", says.answer);
    let (streams, subjects) = (says.all("copied", "stream"), says.all("copied", "subject"));
    for ((stream, stored), in_region) in streams.iter().zip(&subjects).zip(says.all("copied", "region")) {
        eventually("the copy", async || {
            let request = json!({ "last_by_subj": stored });
            let got = bench.api(&in_region, &format!("STREAM.MSG.GET.{stream}"), request).await;
            got.get("message").is_some().then_some(())
        })
        .await;
    }
}

/// Asserts that the named stream answers a request, or that nothing does.
async fn a_request_goes_where_it_is_said(cluster: &Cluster, bench: &Bench<'_>, stream: &str, region: &str) {
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    let says = Says::of(bench, &subject, region, &["--reply-to", "_INBOX.a.b"]);
    let asking = client(cluster, region).await;
    let answer =
        tokio::time::timeout(Duration::from_secs(5), asking.request(subject, "".into())).await.unwrap().unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    match answer["config"]["name"].as_str() {
        Some(name) => {
            assert_eq!((says.code, says.outcome()), (0, "arrives"), "{}", says.answer);
            assert_eq!(says.all("asked", "stream"), [name], "{}", says.answer);
        }
        None => {
            assert_eq!((says.code, says.outcome()), (3, "lost"), "{answer}: {}", says.answer);
            assert!(says.why().contains(&format!("has no stream {stream}")), "{}", says.why());
        }
    }
}

async fn in_a_layout(layout: &str) {
    let cluster = support::account().await;
    let bench = Bench::new(&cluster).await.accepting_old_values();
    let definition = definition(&bench, layout);
    bench.write("vstream", &definition);
    // Before `apply`, only the definition has an answer.
    assert_eq!(Says::of(&bench, "foo.x", "west", &["--offline"]).outcome(), "arrives");
    let ran = bench.run(&["explain", "foo.x", "--cluster", "west"]);
    assert!(ran.code == 1 && ran.to_string().contains("only its subscribers"), "{ran}");
    bench.until(0, &APPLY).await;
    a_message_goes_where_it_is_said(&cluster, &bench, "foo.x", "west").await;
    a_message_goes_where_it_is_said(&cluster, &bench, "foo.y.z", "east").await;
    a_request_goes_where_it_is_said(&cluster, &bench, "foo", "central").await;
    a_request_goes_where_it_is_said(&cluster, &bench, "nothing", "central").await;
    if layout == "regional" {
        a_message_goes_where_it_is_said(&cluster, &bench, "$KV.cfg.a", "central").await;
    }
    bench.says(0, &["explain", "foo.x", "--cluster", "west"], &["mapped", "foo.> makes it $VW.", "It arrives."]);
    bench.expect(1, &["explain", "bar.x", "--cluster", "west"], "not-mapped", &["bar.x", "APP"]);
    bench.expect(2, &["explain", "bar.x", "--cluster", "west", "--offline"], "not-mapped", &["bar.x", "APP"]);
    bench.expect(2, &["explain", "foo.*", "--cluster", "west"], "bad-subject", &["wildcards"]);
    for offline in [&[][..], &["--offline"]] {
        let elsewhere = [&["explain", "foo.x", "--cluster", "wset"], offline].concat();
        bench.expect(2, &elsewhere, "unknown-cluster", &["there is no cluster wset", "west"]);
    }

    // A stream that was deleted.
    let write = Says::of(&bench, "foo.x", "west", &[]).all("stored", "stream").remove(0);
    let delete = match layout {
        "regional" => format!("$VSH.API.STREAM.DELETE.{write}"),
        _ => format!("$JS.API.STREAM.DELETE.{write}"),
    };
    let publisher = client(&cluster, "west").await;
    publisher.request(delete, "".into()).await.unwrap();
    let nobody = publisher.request("foo.x", "x".into()).await;
    assert!(nobody.is_err(), "{nobody:?}");
    let says = Says::of(&bench, "foo.x", "west", &[]);
    assert_eq!((says.code, says.outcome()), (3, "lost"), "{}", says.answer);
    assert_eq!(says.why(), format!("stream {write} takes nothing: it is not there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_where_it_is_said_to_go() {
    tokio::join!(in_a_layout("regional"), in_a_layout("shared"));
}

/// Tests a user that may publish only by the virtual name, and one whose replies are not imported.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_refused_where_it_is_said_to_be() {
    let cluster = support::account().await;
    let bench = Bench::new(&cluster).await.accepting_old_values();
    bench.write("vstream", &definition(&bench, "regional"));
    bench.until(0, &APPLY).await;
    let signer = new_seed(vstream_jwt::model::nkey::KeyKind::Account);
    let mut claims = bench.claims().await;
    claims["nats"]["signing_keys"].as_array_mut().unwrap().push(json!(public(&signer)));
    bench.push(&claims).await;
    let account = PublicKey::parse(cluster.account_id()).unwrap();
    let user = |name: &str, publish: &[&str]| {
        let allow = |allow: &[&str]| Permission {
            allow: allow.iter().map(|subject| (*subject).to_owned()).collect(),
            deny: Vec::new(),
        };
        let permissions = Permissions { publish: allow(publish), subscribe: allow(&["_INBOX.>", "MINE.>"]) };
        let permissions = UserPermissions::Own(permissions);
        let user = mint_user(&signer, Some(&account), &permissions, now() + 600, now() - 10).unwrap();
        bench.write_user(name, &user);
        user
    };
    for (name, publish, outcome) in
        [("narrow.creds", &["foo.>"][..], "lost"), ("wide.creds", &["foo.>", "$VW.*.foo.>", "$VS.*.API.>"], "arrives")]
    {
        let user = user(name, publish);
        let path = cluster.keys_folder().join(name).display().to_string();
        let says = Says::of(&bench, "foo.x", "west", &["--user", &path]);
        assert_eq!(says.outcome(), outcome, "{}", says.answer);
        let client = eventually("the user is let in", async || {
            support::connect_as(cluster.urls("west"), user.jwt.as_str(), user.seed.reveal().as_str()).await.ok()
        })
        .await;
        let stored = tokio::time::timeout(Duration::from_secs(2), client.request("foo.x", "x".into())).await;
        let stored = stored.is_ok_and(|answer| answer.is_ok());
        assert_eq!(stored, outcome == "arrives", "{name}");
    }
    let path = cluster.keys_folder().join("wide.creds").display().to_string();
    let pull = "$JS.API.CONSUMER.MSG.NEXT.foo.worker";
    for (reply, outcome) in [("_INBOX.a.b", "arrives"), ("MINE.a.b", "lost"), ("OTHER.a", "lost")] {
        let says = Says::of(&bench, pull, "west", &["--user", &path, "--reply-to", reply]);
        assert_eq!(says.outcome(), outcome, "{reply}: {}", says.answer);
        assert_eq!(says.why().contains("imports nothing"), reply == "MINE.a.b", "{}", says.why());
    }
    let system = cluster.system_credentials_path().display().to_string();
    let other = ["explain", "foo.x", "--cluster", "west", "--user", &system];
    bench.expect(2, &other, "credentials-of-another-account", &["not in the definition"]);
}

/// With a region down, `explain` says that its copy is not certain. Once the region is back, it has the copy.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_get_it_is_named() {
    let cluster = support::small().await;
    let bench = Bench::new(&cluster).await.accepting_old_values();
    bench.write("vstream", &definition(&bench, "regional"));
    bench.until(0, &APPLY).await;
    cluster.kill("east").await.unwrap();
    let unsure = eventually("the region's copy is missed", async || {
        let says = Says::of(&bench, "foo.x", "west", &[]);
        (says.outcome() == "unknown" && says.code == 4).then_some(says)
    })
    .await;
    assert!(unsure.why().contains("stream foo in east could not be looked at"), "{}", unsure.why());
    assert_eq!(unsure.all("copied", "region").len(), 3, "{}", unsure.answer);
    bench.expect(1, &["explain", "foo.x", "--cluster", "east"], "region-missing", &["no server of cluster east"]);
    assert_eq!(Says::of(&bench, "foo.x", "east", &["--offline"]).outcome(), "arrives");
    cluster.start("east").await.unwrap();
    cluster.wait_ready(PATIENCE).await.unwrap();
    eventually("it arrives everywhere", async || {
        let says = Says::of(&bench, "foo.x", "west", &[]);
        (says.outcome() == "arrives" && says.all("copied", "region").len() == 3).then_some(())
    })
    .await;
}
