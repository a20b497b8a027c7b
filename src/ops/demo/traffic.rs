//! Acts as an application: publishes and reads by the virtual name, in one region.

use super::proof::Sent;
use crate::observed::connection::ConnectionError;
use crate::observed::jetstream::{Api, CallError, code};
use crate::observed::{RequestError, Requests};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Connects as a user of the application's account, in a region.
pub trait Clients: Sync {
    /// A connection.
    type Connection: Requests;

    /// Connects to a server of that region, and never to one of another region.
    fn client(
        &self,
        region: &str,
        timeout: Duration,
    ) -> impl Future<Output = Result<Self::Connection, ConnectionError>> + Send;
}

/// Error that stopped publishing or reading.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// There is no connection.
    #[error("connecting in {region}: {cause}")]
    Connect {
        /// The region.
        region: String,
        /// The reason.
        cause: ConnectionError,
    },
    /// No message was acknowledged for a long time.
    #[error("publishing on {subject} in {region}: {cause}")]
    Publish {
        /// The region.
        region: String,
        /// The virtual subject.
        subject: &'static str,
        /// The last answer.
        cause: String,
    },
    /// The virtual stream does not answer.
    #[error("reading {stream} in {region}: {cause}")]
    Read {
        /// The region.
        region: String,
        /// The virtual name.
        stream: String,
        /// The reason.
        cause: CallError,
    },
    /// The virtual stream has another number of messages than could be read.
    #[error("reading {stream} in {region}: it has {messages} messages, {read} could be read")]
    Incomplete {
        /// The region.
        region: String,
        /// The virtual name.
        stream: String,
        /// The number of messages that the stream reports.
        messages: u64,
        /// The number of messages read.
        read: usize,
    },
}

/// The virtual subject of the demo's messages.
pub const SUBJECT: &str = "foo.demo";
/// Number of requests in flight.
const AT_ONCE: usize = 32;
/// Longest time for one publish to be acknowledged.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for one request. Servers that just started lose some.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time without an acknowledgement or answer in a region.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Connects in a region.
pub(super) async fn client<A: Clients>(clients: &A, region: &str) -> Result<A::Connection, TrafficError> {
    let failed = |cause| TrafficError::Connect { region: region.to_owned(), cause };
    clients.client(region, SILENCE_TIMEOUT).await.map_err(failed)
}

/// Publishes numbered messages until `count` of them are acknowledged. Does not send a message without acknowledgement
/// again, because it may be stored. The next number replaces it.
pub(super) async fn publish<R: Requests>(
    connection: &R,
    region: &str,
    first: usize,
    count: usize,
) -> Result<Vec<Sent>, TrafficError> {
    let deadline = Instant::now() + SILENCE_TIMEOUT;
    let mut sent: Vec<Sent> = Vec::new();
    loop {
        let missing = count - sent.iter().filter(|sent| sent.acknowledged).count();
        if missing == 0 {
            return Ok(sent);
        }
        let numbers = first + sent.len()..first + sent.len() + missing;
        let outcomes: Vec<(String, Result<(), String>)> = stream::iter(numbers)
            .map(|number| async move {
                let text = format!("{region} {number}");
                let reply = connection.request(SUBJECT, text.clone().into_bytes(), PUBLISH_TIMEOUT).await;
                (text, acknowledgement(reply.map(|reply| reply.payload)))
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let failure = outcomes.iter().find_map(|(_, outcome)| outcome.clone().err());
        sent.extend(outcomes.into_iter().map(|(text, outcome)| Sent {
            region: region.to_owned(),
            text,
            acknowledged: outcome.is_ok(),
        }));
        if let Some(cause) = failure {
            if Instant::now() > deadline {
                return Err(TrafficError::Publish { region: region.to_owned(), subject: SUBJECT, cause });
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

/// Checks that the reply is a PubAck (`{"stream":…,"seq":…}`). Otherwise returns the reason.
fn acknowledgement(reply: Result<Vec<u8>, RequestError>) -> Result<(), String> {
    let payload = reply.map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_slice(&payload).map_err(|error| format!("not a PubAck: {error}"))?;
    match (answer["seq"].as_u64(), answer["error"]["description"].as_str()) {
        (Some(_), None) => Ok(()),
        (_, Some(description)) => Err(description.to_owned()),
        (None, None) => Err(format!("not a PubAck: {answer}")),
    }
}

/// Waits until the virtual stream has `messages`, or until `patience` is over. Returns the number that it then has.
pub(super) async fn wait_for<R: Requests>(
    connection: &R,
    region: &str,
    name: &str,
    messages: u64,
    patience: Duration,
) -> Result<u64, TrafficError> {
    let deadline = Instant::now() + patience;
    loop {
        let state = state(connection, region, name).await?;
        if state.messages >= messages || Instant::now() > deadline {
            return Ok(state.messages);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

struct State {
    messages: u64,
    first: u64,
    last: u64,
}

/// Reads the state in `STREAM.INFO` of the virtual name. Gives servers that just started time to answer.
async fn state<R: Requests>(connection: &R, region: &str, name: &str) -> Result<State, TrafficError> {
    let info = call(connection, region, name, &format!("STREAM.INFO.{name}"), &Value::Null).await?;
    let number = |key: &str| info["state"][key].as_u64().unwrap_or(0);
    Ok(State { messages: number("messages"), first: number("first_seq"), last: number("last_seq") })
}

async fn call<R: Requests>(
    connection: &R,
    region: &str,
    name: &str,
    operation: &str,
    body: &Value,
) -> Result<Value, TrafficError> {
    let deadline = Instant::now() + SILENCE_TIMEOUT;
    loop {
        match Api::new(connection).call(operation, body, REQUEST_TIMEOUT).await {
            Ok(value) => return Ok(value),
            Err(cause) if !cause.is_transient() || Instant::now() > deadline => {
                return Err(TrafficError::Read { region: region.to_owned(), stream: name.to_owned(), cause });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Makes the region's read stream ask its origins again, if it asked before they were up. Otherwise it would ask again
/// after 30 s or more, but a new leader asks at once (measured, 2.15.1). Returns `true` if this was needed.
pub(super) async fn wake<R: Requests>(connection: &R, region: &str, name: &str) -> Result<bool, TrafficError> {
    for times in 0..MOST_WAKES {
        let deadline = Instant::now() + CONTACT_TIMEOUT;
        let stream = loop {
            let info = call(connection, region, name, &format!("STREAM.INFO.{name}"), &Value::Null).await?;
            let sources = info["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
            // Nanoseconds since the last contact; -1 if there was none.
            if sources.iter().all(|source| source["active"].as_i64().is_some_and(|active| active >= 0)) {
                return Ok(times > 0);
            }
            if Instant::now() > deadline {
                break info["config"]["name"].as_str().unwrap_or(name).to_owned();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        match call(connection, region, name, &format!("STREAM.LEADER.STEPDOWN.{stream}"), &Value::Null).await {
            // In the layout `regional`, applications may not do that, and the sources ask again by themselves.
            Err(TrafficError::Read { cause: CallError::Request(RequestError::NoResponders(_)), .. }) => {
                return Ok(times > 0);
            }
            other => other.map(drop)?,
        }
    }
    Ok(true)
}

/// Longest time for a source to contact its origin.
const CONTACT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most new leaders. After that, the sources ask again by themselves.
const MOST_WAKES: usize = 3;

/// Requests every message of the virtual stream from its leader, and returns their texts.
pub(super) async fn read_all<R: Requests>(
    connection: &R,
    region: &str,
    name: &str,
) -> Result<Vec<String>, TrafficError> {
    let state = state(connection, region, name).await?;
    let operation = &format!("STREAM.MSG.GET.{name}");
    let results: Vec<Result<Option<String>, TrafficError>> = stream::iter(state.first.max(1)..=state.last)
        .map(|sequence| async move {
            match call(connection, region, name, operation, &json!({ "seq": sequence })).await {
                Ok(reply) => Ok(Some(text(&reply))),
                Err(TrafficError::Read { cause, .. }) if cause.err_code() == Some(code::NO_MESSAGE) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let read: Vec<String> = results.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
    if read.len() as u64 == state.messages {
        return Ok(read);
    }
    let (region, stream) = (region.to_owned(), name.to_owned());
    Err(TrafficError::Incomplete { region, stream, messages: state.messages, read: read.len() })
}

fn text(reply: &Value) -> String {
    let data = reply["message"]["data"].as_str().unwrap_or_default();
    String::from_utf8_lossy(&STANDARD.decode(data).unwrap_or_default()).into_owned()
}
