//! Deployments as users have them. Other tests cover each feature separately; this one combines all of them.

use super::resolvers::{give, killed, tagged};
use crate::disasters::serving::{EDGE, all_answer, servers};
use crate::support::bench::Bench;
use serde_json::json;
use vstream_jwt::model::claims::AccountClaims;

const APPLY: [&str; 3] = ["apply", "--operator", "op.nk"];
const CLUSTERS: [&str; 2] = ["west", "dc1.prod"];

/// An operator with strict signing key usage, and an account with tiered limits and a seed for access. A cluster with a
/// dot in its name, one with a `cache` resolver, arbiters of JetStream without clients, and one cluster without
/// JetStream. Under traffic, with killed runs, and with a cluster down.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_as_people_have_it() {
    let cluster = servers(&["west", "dc1.prod", "north", "south"]).await;
    let bench = Bench::new(&cluster).await;
    let newest = async |bench: &Bench<'_>| {
        let tokens = bench.tokens().await.into_iter().filter_map(|(_, token)| token);
        tokens.max_by_key(|token| AccountClaims::decode(token).unwrap().issued_at()).unwrap()
    };
    let mut claims = AccountClaims::decode(&tagged(&bench, &newest(&bench).await)).unwrap().value().clone();
    let tier = json!({ "disk_storage": -1, "mem_storage": -1, "streams": -1, "consumer": 3 });
    claims["nats"]["limits"]["tiered_limits"] = json!({ "R1": tier });
    bench.push(&claims).await;

    cluster.kill("west").await.unwrap();
    give(&cluster, &["west"], |folder| format!("resolver {{ type: cache, dir: {folder}, ttl: \"1h\" }}"));
    cluster.start("west").await.unwrap();
    all_answer(&cluster).await;

    let bench = Bench::new(&cluster).await;
    let mut definition = bench.definition();
    definition["regions"] = json!({
        "west": { "servers": cluster.urls("west") },
        "dc1": { "cluster": "dc1.prod", "servers": cluster.urls("dc1.prod") },
    });
    definition["clusters_without_clients"] = json!(["north", "south", EDGE]);
    let app = definition["accounts"]["APP"].as_object_mut().unwrap();
    app.remove("credentials");
    app.insert("key".to_owned(), json!("keys/app.nk"));
    app.insert("layout".to_owned(), json!("regional"));
    bench.write("vstream", &definition);
    bench.says(0, &APPLY, &["Done."]);
    bench.says(0, &["verify"], &["In sync: as defined, on all 5 servers."]);
    bench.run(&["plan"]).ends(0);

    killed(&cluster, &bench, &CLUSTERS, &mut definition, async || newest(&bench).await).await;

    cluster.kill("dc1.prod").await.unwrap();
    definition["accounts"]["APP"]["virtual_streams"]["foo"]["subjects"] = json!(["foo.>", "again.>"]);
    bench.write("vstream", &definition);
    bench.until(4, &[&APPLY[..], &["--allow", "region-missing"]].concat()).await;
    cluster.start("dc1.prod").await.unwrap();
    all_answer(&cluster).await;
    bench.until(0, &APPLY).await;
    bench.until(0, &["verify"]).await;
    bench.run(&["plan"]).ends(0);
}
