//! Activation tokens that are about to expire, have expired, or do not match. They are issued with the lifetime from
//! the definition, named by `verify` and `plan`, and renewed in time.

use crate::supercluster::regional::{APPLY, ask, spec};
use crate::support::bench::{Bench, new_seed, now};
use crate::support::{client, eventually};
use async_nats::Client;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use vstream_jwt::model::claims::Activation;
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::sign::activation::issue_activation;
use vstream_jwt::sign::{Seed, Signer as _};

const DAY: u64 = 86_400;
const LIST: &str = "$JS.API.STREAM.LIST";

/// Returns when each activation token of the application's account expires.
async fn ends(bench: &Bench<'_>) -> Vec<u64> {
    let claims = bench.claims().await;
    let imports = claims["nats"]["imports"].as_array().unwrap();
    let end = |import: &Value| Activation::decode(import["token"].as_str().unwrap()).unwrap().expires().unwrap();
    imports.iter().map(end).collect()
}

/// Tests drift; the definition says `activation_lifetime: 30d`.
pub async fn drift(bench: &Bench<'_>) {
    let whole = |ends: &[u64]| ends.iter().all(|end| (29 * DAY..=30 * DAY).contains(&end.saturating_sub(now())));
    let before = ends(bench).await;
    assert!(whole(&before), "{before:?}");

    let app = PublicKey::parse(bench.cluster.account_id()).unwrap();
    let mut claims = bench.claims().await;
    let imports = claims["nats"]["imports"].as_array_mut().unwrap();
    let (exporter, west) = (bench.regional_key("west"), bench.regional_identity("west").public_key());
    let mut give = |local: &str, signer: &Seed, end: u64| {
        let mut wanted = imports.iter_mut().map(|import| (spec(import), import));
        let (wanted, import) = wanted.find(|(spec, _)| spec.account == west && spec.local() == local).unwrap();
        let token = issue_activation(signer, &wanted.account, &app, &wanted, Some(end), now()).unwrap();
        import["token"] = token.as_str().into();
    };
    // One token by a key that is not the exporter's, two that expire now, and one with less than a third of its
    // lifetime left.
    give("$VS.west.API.STREAM.NAMES", &new_seed(KeyKind::Account), now() + 30 * DAY);
    give("$VS.west.API.STREAM.LIST", &exporter, now() + 2);
    give("$VS.west.API.STREAM.INFO.>", &exporter, now() + 9 * DAY);
    give("_INBOX.>", &exporter, now() + 2);
    let client = client(bench.cluster, "west").await;
    assert!(pulls(&client).await);
    bench.push(&claims).await;
    // Servers drop the import of a stream at once, and that of a service only when the account changes (2.15.1).
    eventually("nothing is delivered any more", async || (!pulls(&client).await).then_some(())).await;
    let of = "activation token $VS.west.API.STREAM";
    let said = [
        format!("{of}.NAMES of APP-west: its issuer"),
        format!("{of}.LIST of APP-west: it expired"),
        format!("{of}.INFO.> of APP-west: it expires in 8 days"),
        "activation token _INBOX.> of APP-west: it expired".to_owned(),
    ];
    bench.says(3, &["verify"], &said.each_ref().map(String::as_str));
    let said = ["STREAM.NAMES (its issuer", "2 activation tokens (it expired)", "STREAM.INFO.> (it expires in 8 days)"];
    bench.says(3, &["plan"], &said);
    bench.push(&claims).await;
    eventually("an import whose token has expired is dropped", async || {
        ask(&client, LIST, Value::Null).await.is_none().then_some(())
    })
    .await;
    bench.run(&APPLY).ends(0);
    bench.until(0, &["verify"]).await;
    let after = ends(bench).await;
    assert!(whole(&after), "{after:?}");
    let renewed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert_eq!(renewed, 4, "only what needs it is issued anew");
    eventually("the imports are back", async || {
        (pulls(&client).await && ask(&client, LIST, Value::Null).await.is_some()).then_some(())
    })
    .await;
}

/// Checks if an inbox gets an answer to a pull: a message, or a status that there is none.
async fn pulls(client: &Client) -> bool {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    let pull = json!({ "batch": 1, "no_wait": true }).to_string();
    client.publish_with_reply("$JS.API.CONSUMER.MSG.NEXT.foo.worker", inbox, pull.into()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(2), answers.next()).await.is_ok()
}
