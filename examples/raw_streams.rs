//! What the servers themselves need for the streams of N virtual streams in three regions: bare `STREAM.CREATE`
//! requests, so many in flight, nothing else. `apply` is measured against this.
//!
//! `cargo run --release --example raw_streams -- nats://127.0.0.1:PORT app.creds [N = 20] [IN_FLIGHT = 64]`, against a
//! super-cluster of `vstream-jwt dev up`. The streams are deleted afterwards.

use async_nats::{Client, ConnectOptions};
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use std::error::Error;
use std::time::Instant;

const REGIONS: [&str; 3] = ["west", "central", "east"];

fn write(number: usize, region: &str) -> Value {
    json!({ "name": format!("raw{number}-write-{region}"), "subjects": [format!("raw{number}.{region}.>")],
        "num_replicas": 3, "max_age": 86_400_000_000_000u64, "placement": { "cluster": region } })
}

fn read(number: usize, region: &str) -> Value {
    let source = |origin| {
        json!({ "name": format!("raw{number}-write-{origin}"), "opt_start_seq": 1,
            "subject_transforms": [{ "src": format!("raw{number}.{origin}.>"), "dest": format!("raw{number}.>") }] })
    };
    json!({ "name": format!("raw{number}-read-{region}"), "num_replicas": 3, "allow_direct": true,
        "placement": { "cluster": region }, "sources": REGIONS.map(source) })
}

/// Sends all, so many in flight; how many were refused.
async fn send(client: &Client, verb: &str, configs: &[Value], in_flight: usize) -> usize {
    stream::iter(configs)
        .map(|config| async move {
            let name = config["name"].as_str().unwrap_or_default();
            let body = if verb == "CREATE" { config.to_string() } else { String::new() };
            let reply = client.request(format!("$JS.API.STREAM.{verb}.{name}"), body.into()).await;
            reply.is_ok_and(|reply| !String::from_utf8_lossy(&reply.payload).contains("\"error\""))
        })
        .buffer_unordered(in_flight)
        .filter(|done| std::future::ready(!done))
        .count()
        .await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(credentials)) = (args.next(), args.next()) else {
        return Err("usage: raw_streams URL CREDENTIALS [VIRTUAL_STREAMS] [IN_FLIGHT]".into());
    };
    let count: usize = args.next().map_or(Ok(20), |n| n.parse())?;
    let in_flight: usize = args.next().map_or(Ok(64), |n| n.parse())?;
    let client = ConnectOptions::with_credentials_file(credentials).await?.connect(url).await?;
    let all = |make: fn(usize, &str) -> Value| -> Vec<Value> {
        (0..count).flat_map(|number| REGIONS.map(|region| make(number, region))).collect()
    };
    let (writes, reads) = (all(write), all(read));
    let started = Instant::now();
    let mut refused = send(&client, "CREATE", &writes, in_flight).await;
    refused += send(&client, "CREATE", &reads, in_flight).await;
    println!("{} streams in {:.2?}, {refused} refused", writes.len() + reads.len(), started.elapsed());
    let mut left = 0;
    for configs in [&reads, &writes] {
        left += send(&client, "DELETE", configs, in_flight).await;
    }
    if left > 0 { Err(format!("{left} streams could not be deleted").into()) } else { Ok(()) }
}
