//! Activation tokens that expire, have expired, or do not match: issued for as long as the definition says, named by
//! `verify` and `plan`, and renewed in time.

use crate::bench::{Bench, new_seed, now};
use crate::regional::{APPLY, ask, spec};
use crate::support::{client, eventually};
use serde_json::Value;
use std::time::Duration;
use vstream_jwt::model::claims::Activation;
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::sign::Seed;
use vstream_jwt::sign::activation::issue_activation;

const DAY: u64 = 86_400;
const LIST: &str = "$JS.API.STREAM.LIST";

/// The ends of all activation tokens of the application's account.
async fn ends(bench: &Bench<'_>) -> Vec<u64> {
    let claims = bench.claims().await;
    let imports = claims["nats"]["imports"].as_array().unwrap();
    let end = |import: &Value| Activation::decode(import["token"].as_str().unwrap()).unwrap().expires().unwrap();
    imports.iter().map(end).collect()
}

/// The definition says `activation_lifetime: 30d`.
pub async fn drift(bench: &Bench<'_>) {
    let whole = |ends: &[u64]| ends.iter().all(|end| (29 * DAY..=30 * DAY).contains(&end.saturating_sub(now())));
    let before = ends(bench).await;
    assert!(whole(&before), "{before:?}");

    let app = PublicKey::parse(bench.cluster.account_id()).unwrap();
    let mut claims = bench.claims().await;
    let imports = claims["nats"]["imports"].as_array_mut().unwrap();
    let mut give = |local: &str, signer: &Seed, end: u64| {
        let import = imports.iter_mut().find(|import| import["local_subject"] == local).unwrap();
        let wanted = spec(import);
        let token = issue_activation(signer, &wanted.account, &app, &wanted, Some(end), now()).unwrap();
        import["token"] = token.as_str().into();
    };
    let exporter = bench.key("APP-west.nk");
    // By a key that is not, or no longer, the exporter's; one that ends now, and one of which less than a third is left.
    give("$VS.west.API.STREAM.NAMES", &new_seed(KeyKind::Account), now() + 30 * DAY);
    give("$VS.west.API.STREAM.LIST", &exporter, now() + 2);
    give("$VS.west.API.STREAM.INFO.>", &exporter, now() + 9 * DAY);
    bench.push(&claims).await;
    let client = client(bench.cluster, "west").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let of = "activation token $VS.west.API.STREAM";
    let said = [
        format!("{of}.NAMES of APP-west: its issuer"),
        format!("{of}.LIST of APP-west: it expired"),
        format!("{of}.INFO.> of APP-west: it expires in 8 days"),
    ];
    bench.says(3, &["verify"], &said.each_ref().map(String::as_str));
    let said = ["STREAM.NAMES (its issuer", "STREAM.LIST (it expired)", "STREAM.INFO.> (it expires in 8 days)"];
    bench.says(3, &["plan"], &said);
    // Servers look at the token of a service anew when the account changes, and only then drop the import (2.15.1).
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
    assert_eq!(renewed, 3, "only what needs it is issued anew");
    eventually("the import is back", async || ask(&client, LIST, Value::Null).await).await;
}
