//! Reads JetStream with few requests, all in flight at once, and lists the objects that could not be read.

use super::api::{Api, Budget, CallError, code};
use super::data::{ObservedConsumer, ObservedJetStream, ObservedStream, Unknown, Waiting};
use super::search::Limits;
use super::source_gaps::{apart, find_source_gaps};
use crate::desired::DesiredConsumer;
use crate::observed::{RequestError, Requests};
use futures::stream::{self, StreamExt, TryStreamExt as _};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Options for reading.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions<'a> {
    /// The consumers of interest.
    pub consumers: &'a [DesiredConsumer],
    /// Approximate number of streams, whose pages are then requested at once.
    pub expected_streams: usize,
    /// Time for each request. A server collects a list for up to 4 s. With less than 5 s, one stream without a leader
    /// may lose the whole list.
    pub timeout: Duration,
    /// Time for retries after "JetStream not enabled" and "temporarily unavailable", before these errors count. An
    /// account that was just pushed needs some seconds.
    pub patience: Duration,
}

impl Default for ReadOptions<'_> {
    fn default() -> Self {
        Self { consumers: &[], expected_streams: 0, timeout: Duration::from_secs(5), patience: Duration::ZERO }
    }
}

const PAGE: usize = 256; // JSApiListLimit, nats-server 2.15 server/jetstream_api.go
const IN_FLIGHT: usize = 128;
/// Most streams of an account that are read. The answer has their number, and any user of the account can forge it.
const MOST_STREAMS: u64 = 100_000;
/// Most bytes of a list, all pages together: the same as for the answers to one request.
pub const MOST_BYTES: usize = 256 << 20;
/// Most streams that are read one by one, if a list has only their names.
const MOST_ASKED: usize = 4096;

/// Reads the JetStream state of the account of `api`. An account without JetStream is a result, not an error:
/// [`ObservedJetStream::enabled`] then returns `false`.
///
/// Requests pages of `STREAM.LIST` at once, not `STREAM.INFO` for each stream: 600 streams take 60 – 90 ms that way,
/// and 90 – 210 ms the other way (measured, 2.15.1, three regions of three servers).
///
/// # Errors
/// [`CallError`] if the account's limits or its list of streams cannot be read.
pub async fn read<R: Requests>(api: Api<'_, R>, options: ReadOptions<'_>) -> Result<ObservedJetStream, CallError> {
    read_within(MOST_BYTES, api, options).await
}

async fn read_within<R: Requests>(
    bytes: usize,
    api: Api<'_, R>,
    options: ReadOptions<'_>,
) -> Result<ObservedJetStream, CallError> {
    let reader = Reader { api, options, left: Budget::new(bytes) };
    let pages = options.expected_streams.div_ceil(PAGE).max(1);
    let (info, first) = futures::future::join(reader.patient("INFO", &Value::Null), reader.pages(0, pages)).await;
    let info = match info {
        Ok(info) => info,
        Err(CallError::Api { error, .. }) if error.err_code == code::NOT_ENABLED_FOR_ACCOUNT => {
            return Ok(ObservedJetStream { info: json!({ "error": error }), ..ObservedJetStream::default() });
        }
        Err(error) => return Err(error),
    };
    let mut observed = ObservedJetStream { info, ..ObservedJetStream::default() };
    let mut replies = first?;
    let total = replies.iter().map(|page| page["total"].as_u64().unwrap_or(0)).max().unwrap_or(0);
    let all = match usize::try_from(total) {
        Ok(total) if total as u64 <= MOST_STREAMS => total.div_ceil(PAGE),
        _ => {
            let reason = format!("it says that there are {total} streams, and at most {MOST_STREAMS} are read");
            return Err(CallError::Malformed { subject: "STREAM.LIST".to_owned(), reason });
        }
    };
    if all > pages {
        replies.extend(reader.pages(pages, all).await?);
    }
    reader.take_streams(replies, &mut observed).await;
    reader.take_consumers(&mut observed).await;
    Ok(observed)
}

/// Reads the next messages of lagging sources ([`ObservedJetStream::waiting`]). If there are gaps, also reads the
/// messages around them ([`ObservedJetStream::source_gaps`]). `origins` is the API of the account with the origins.
/// Subjects on which the user may not publish are in [`ObservedJetStream::not_permitted`].
pub async fn look_at_messages<R: Requests>(
    api: Api<'_, R>,
    origins: Api<'_, R>,
    observed: &mut ObservedJetStream,
    timeout: Duration,
) {
    (observed.source_gaps, observed.not_permitted) = find_source_gaps(api, observed, Limits::new(timeout)).await;
    take_waiting(origins, observed, timeout).await;
}

struct Reader<'a, R> {
    api: Api<'a, R>,
    options: ReadOptions<'a>,
    left: Budget,
}

impl<R: Requests> Reader<'_, R> {
    async fn call(&self, operation: &str, body: &Value) -> Result<Value, CallError> {
        self.api.call_within(operation, body, self.options.timeout, &self.left).await
    }

    /// Repeats a request until its error is not transient, or the time for retries is over.
    async fn patient(&self, operation: &str, body: &Value) -> Result<Value, CallError> {
        const RETRY_INTERVAL: Duration = Duration::from_millis(100);
        let mut left = self.options.patience;
        loop {
            match self.call(operation, body).await {
                // With a timeout of zero, this loop would never end.
                Err(CallError::Request(RequestError::Timeout(_)))
                    if left >= self.options.timeout && !self.options.timeout.is_zero() =>
                {
                    left -= self.options.timeout;
                }
                Err(error)
                    if error.is_transient()
                        && left >= RETRY_INTERVAL
                        && !matches!(error, CallError::Request(RequestError::Timeout(_))) =>
                {
                    left -= RETRY_INTERVAL;
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
                result => return result,
            }
        }
    }

    async fn pages(&self, from: usize, to: usize) -> Result<Vec<Value>, CallError> {
        let bodies: Vec<Value> = (from..to).map(|page| json!({ "offset": page * PAGE })).collect();
        let pages = stream::iter(&bodies).map(|body| self.patient("STREAM.LIST", body)).buffered(IN_FLIGHT);
        pages.try_collect().await
    }

    async fn take_streams(&self, replies: Vec<Value>, observed: &mut ObservedJetStream) {
        let mut unknown: HashMap<String, String> = HashMap::new();
        for mut reply in replies {
            if let Some(offline) = reply["offline"].as_object() {
                for (name, reason) in offline {
                    unknown.insert(name.clone(), reason.as_str().unwrap_or("is offline").to_owned());
                }
            }
            for name in reply["missing"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                unknown.entry(name.to_owned()).or_insert_with(|| "its leader did not answer".to_owned());
            }
            if let Some(Value::Array(streams)) = reply.get_mut("streams").map(Value::take) {
                observed.streams.extend(streams.into_iter().filter_map(ObservedStream::from_info));
            }
        }
        observed.streams.sort_by(|a, b| a.name.cmp(&b.name));
        observed.streams.dedup_by(|a, b| a.name == b.name);
        // A stream whose servers are all offline is listed with its assigned config, and also named as missing.
        for stream in &mut observed.streams {
            stream.offline = unknown.remove(&stream.name).is_some();
        }
        let mut names: Vec<(String, String)> = unknown.into_iter().collect();
        names.sort();
        let unasked = names.split_off(names.len().min(MOST_ASKED));
        observed.unknown_streams.extend(unasked.into_iter().map(|(name, reason)| Unknown { name, reason }));
        let asked = stream::iter(names)
            .map(|(name, reason)| async move {
                let short = self.options.timeout.min(Duration::from_secs(2));
                let reply = self.api.call(&format!("STREAM.INFO.{name}"), &Value::Null, short).await;
                (name, reason, reply)
            })
            .buffered(IN_FLIGHT)
            .collect::<Vec<_>>()
            .await;
        for (name, reason, reply) in asked {
            match reply.map(ObservedStream::from_info) {
                Ok(Some(stream)) => observed.streams.push(stream),
                Err(error) if error.err_code() == Some(code::STREAM_NOT_FOUND) => {}
                Err(error @ CallError::Request(RequestError::Permission(_))) => {
                    observed.unknown_streams.push(Unknown { name, reason: error.to_string() });
                }
                _ => observed.unknown_streams.push(Unknown { name, reason }),
            }
        }
        observed.streams.sort_by(|a, b| a.name.cmp(&b.name));
    }

    async fn take_consumers(&self, observed: &mut ObservedJetStream) {
        let present: HashSet<&str> = observed.streams.iter().map(|s| s.name.as_str()).collect();
        let asked = stream::iter(self.options.consumers.iter().filter(|c| present.contains(c.stream.as_str())))
            .map(|consumer| async move {
                let operation = format!("CONSUMER.INFO.{}.{}", consumer.stream, consumer.name);
                (consumer, self.api.call(&operation, &Value::Null, self.options.timeout).await)
            })
            .buffered(IN_FLIGHT)
            .collect::<Vec<_>>()
            .await;
        for (consumer, reply) in asked {
            let reason = match reply.map(ObservedConsumer::from_info) {
                Ok(Some(found)) => {
                    observed.consumers.push(found);
                    continue;
                }
                Err(error) if error.err_code() == Some(code::CONSUMER_NOT_FOUND) => continue,
                Ok(None) => "the reply has no config".to_owned(),
                Err(error) => error.to_string(),
            };
            observed
                .unknown_consumers
                .push(Unknown { name: format!("{} > {}", consumer.stream, consumer.name), reason });
        }
    }
}

/// Reads the next message of each lagging source.
async fn take_waiting<R: Requests>(origins: Api<'_, R>, observed: &mut ObservedJetStream, timeout: Duration) {
    let mut behind = Vec::new();
    // Mirrors are skipped, because they are supposed to drop what their origin drops.
    for stream in observed.streams.iter().filter(|s| !s.offline && !s.is_mirror()) {
        for source in &stream.sources {
            let Some(origin) = observed.origin(&source.name).filter(|o| !o.offline) else { continue };
            let got = observed.got(stream, source);
            let got = got.unwrap_or_else(|| origin.state.last_seq.saturating_sub(source.lag));
            if got < origin.state.last_seq && origin.state.messages > 0 {
                behind.push((stream.name.clone(), source.name.clone(), got + 1));
            }
        }
    }
    let looked: Vec<Result<Option<Waiting>, String>> = stream::iter(behind)
        .map(|(stream, origin, from)| async move {
            // The first message at or after `from`, which may have expired meanwhile.
            let body = json!({ "seq": from, "next_by_subj": ">" });
            let operation = format!("STREAM.MSG.GET.{origin}");
            let reply = match origins.call(&operation, &body, timeout).await {
                Err(error) => return error.nothing_or_denied(),
                Ok(reply) => reply,
            };
            let message = &reply["message"];
            let (sequence, time) = (message["seq"].as_u64(), message["time"].as_str());
            Ok(sequence.zip(time).map(|(sequence, time)| Waiting { stream, origin, sequence, time: time.to_owned() }))
        })
        .buffered(IN_FLIGHT)
        .collect()
        .await;
    let (waiting, denied) = apart(looked);
    observed.waiting = waiting;
    observed.not_permitted.extend(denied);
    observed.not_permitted.sort();
    observed.not_permitted.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::fake::Answers;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Silent(AtomicUsize);

    impl Answers for Silent {
        fn answer(&self, subject: &str, _: &[u8]) -> Result<Value, RequestError> {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) < 100, "asked for ever");
            Err(RequestError::Timeout(subject.to_owned()))
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_asked_as_long_as_the_patience_lasts() {
        let (second, nothing) = (Duration::from_secs(1), Duration::ZERO);
        for (timeout, patience, asked) in [(second, second * 3, 4), (second, nothing, 1), (nothing, nothing, 1)] {
            let silent = Silent(AtomicUsize::new(0));
            let options = ReadOptions { timeout, patience, ..ReadOptions::default() };
            let read = read(Api::new(&silent), options).await;
            assert!(matches!(read, Err(CallError::Request(RequestError::Timeout(_)))), "{read:?}");
            // One request for the limits, one for the list of streams.
            assert_eq!(silent.0.into_inner(), 2 * asked);
        }
    }

    /// Answers lists with these documents.
    struct Lists(Value);

    impl Answers for Lists {
        fn answer(&self, subject: &str, _: &[u8]) -> Result<Value, RequestError> {
            Ok(if subject.ends_with("LIST") { self.0.clone() } else { json!({}) })
        }
    }

    #[tokio::test]
    async fn nothing_is_allocated_by_a_number_of_an_answer() {
        for total in [99_999_999_999_999u64, u64::MAX, MOST_STREAMS + 1] {
            let read = read(Api::new(&Lists(json!({ "total": total, "streams": [] }))), ReadOptions::default()).await;
            let error = read.unwrap_err().to_string();
            assert!(error.contains(&format!("{total} streams")), "{error}");
        }
        for total in [json!(MOST_STREAMS), json!(-1), json!(1.5), json!("9"), json!(null), json!({}), json!(true)] {
            let read = read(Api::new(&Lists(json!({ "total": total, "streams": [] }))), ReadOptions::default()).await;
            assert_eq!(read.unwrap().streams, []);
        }
    }

    /// Each page is within its bounds, but the pages never end.
    #[tokio::test]
    async fn pages_together_have_a_bound() {
        struct Pages {
            asked: AtomicUsize,
            page: Value,
        }
        impl Answers for Pages {
            fn answer(&self, subject: &str, _: &[u8]) -> Result<Value, RequestError> {
                if !subject.ends_with("LIST") {
                    return Ok(json!({}));
                }
                self.asked.fetch_add(1, Ordering::Relaxed);
                Ok(self.page.clone())
            }
        }
        let page = |bytes: usize| json!({ "total": MOST_STREAMS, "streams": [], "padding": "x".repeat(bytes) });
        let few = Pages { asked: AtomicUsize::new(0), page: page(1000) };
        assert_eq!(read(Api::new(&few), ReadOptions::default()).await.unwrap().streams, []);
        assert_eq!(few.asked.into_inner(), 391);
        let many = Pages { asked: AtomicUsize::new(0), page: page(1000) };
        let error = read_within(50_000, Api::new(&many), ReadOptions::default()).await.unwrap_err();
        assert_eq!(error, CallError::Request(RequestError::TooMuch("STREAM.LIST".to_owned())));
        let asked = many.asked.into_inner();
        assert!(asked <= 50 + IN_FLIGHT, "{asked}");
    }

    #[tokio::test]
    async fn not_every_name_that_a_list_has_is_asked_for() {
        struct Missing(AtomicUsize);
        impl Answers for Missing {
            fn answer(&self, subject: &str, _: &[u8]) -> Result<Value, RequestError> {
                if subject.contains("STREAM.INFO") {
                    self.0.fetch_add(1, Ordering::Relaxed);
                }
                let names: Vec<String> = (0..MOST_ASKED + 5000).map(|number| format!("s{number:06}")).collect();
                Ok(if subject.ends_with("LIST") { json!({ "total": 1, "missing": names }) } else { json!({}) })
            }
        }
        let missing = Missing(AtomicUsize::new(0));
        let read = read(Api::new(&missing), ReadOptions::default()).await.unwrap();
        assert_eq!((missing.0.into_inner(), read.unknown_streams.len()), (MOST_ASKED, MOST_ASKED + 5000));
    }
}
