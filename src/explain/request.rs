//! Subjects that an account's JetStream handles: requests of its API, acknowledgements, flow control.

use crate::desired::api;

/// A request, parsed from its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiRequest {
    /// `STREAM.INFO`, `CONSUMER.MSG.NEXT`, `ACK`, …
    pub operation: String,
    /// The stream that the request names.
    pub stream: Option<String>,
    /// The consumer that the request names.
    pub consumer: Option<String>,
}

impl ApiRequest {
    /// Parses a subject below `$JS.`. Returns `None` if it is not JetStream's.
    pub(super) fn parse(subject: &str) -> Option<Self> {
        let below = subject.strip_prefix("$JS.")?;
        let named = |operation: &str, stream: Option<&str>, consumer: Option<&str>| Self {
            operation: operation.to_owned(),
            stream: stream.map(str::to_owned),
            consumer: consumer.map(str::to_owned),
        };
        if let Some(ack) = below.strip_prefix("ACK.") {
            // Newer subjects have the domain and a hash of the account in front (nats-server `server/consumer.go`).
            let tokens: Vec<&str> = ack.split('.').collect();
            let at = if tokens.len() >= 9 { 2 } else { 0 };
            return Some(named("ACK", tokens.get(at).copied(), tokens.get(at + 1).copied()));
        }
        if let Some(flow) = below.strip_prefix("FC.") {
            let tokens: Vec<&str> = flow.split('.').collect();
            let at = if tokens.len() >= 5 { 2 } else { 0 };
            return Some(named("FC", tokens.get(at).copied(), tokens.get(at + 1).copied()));
        }
        let operation = below.strip_prefix("API.")?;
        let tokens: Vec<&str> = operation.split('.').collect();
        let rows = api::SUBJECTS.iter().map(|row| row.pattern).chain(["CONSUMER.DURABLE.CREATE.{stream}.>"]);
        let fits = |pattern: &&str| {
            let pattern: Vec<&str> = pattern.split('.').collect();
            let open = pattern.last() == Some(&">");
            let fixed = if open { pattern.len() - 1 } else { pattern.len() };
            (if open { tokens.len() > fixed } else { tokens.len() == fixed })
                && pattern[..fixed]
                    .iter()
                    .zip(&tokens)
                    .all(|(want, have)| want == have || *want == "{stream}" || *want == "*")
        };
        let Some(pattern) = rows.filter(fits).max_by_key(|pattern| pattern.len()) else {
            return Some(named(operation, None, None));
        };
        let at = pattern.split('.').position(|token| token == "{stream}").unwrap_or_default();
        let consumer = tokens.get(at + 1).copied().filter(|_| pattern.starts_with("CONSUMER."));
        Some(named(&tokens[..at].join("."), tokens.get(at).copied(), consumer))
    }
}

/// Returns `true` if JetStream answers the request. It answers acknowledgements only if the client asks for it, and
/// never answers flow control.
pub(super) fn is_answered(operation: &str) -> bool {
    !matches!(operation, "FC")
}

/// Returns `true` for requests that name no stream.
pub(super) fn is_known(operation: &str) -> bool {
    matches!(operation, "INFO" | "STREAM.NAMES" | "STREAM.LIST" | "ACK" | "FC")
}

/// Returns `true` if the request's body contains the stream's name as well, and servers compare the two (nats-server
/// 2.15 `server/jetstream_api.go`, `NewJSStreamMismatchError`).
pub(super) fn names_its_stream(operation: &str) -> bool {
    let all = ["CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.RESTORE"];
    all.contains(&operation)
}

/// Returns `true` if the stream that the request names need not exist.
pub(super) fn makes_streams(operation: &str) -> bool {
    matches!(operation, "STREAM.CREATE" | "STREAM.RESTORE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_by_their_subjects() {
        let parse = |subject: &str| {
            ApiRequest::parse(subject).map(|ApiRequest { operation, stream, consumer }| {
                [Some(operation), stream, consumer].into_iter().flatten().collect::<Vec<_>>().join(" ")
            })
        };
        for (subject, read) in [
            ("$JS.API.INFO", "INFO"),
            ("$JS.API.STREAM.NAMES", "STREAM.NAMES"),
            ("$JS.API.STREAM.INFO.orders", "STREAM.INFO orders"),
            ("$JS.API.DIRECT.GET.KV_cfg.$KV.cfg.a", "DIRECT.GET KV_cfg"),
            ("$JS.API.CONSUMER.MSG.NEXT.orders.worker", "CONSUMER.MSG.NEXT orders worker"),
            ("$JS.API.CONSUMER.CREATE.orders.worker.orders.new", "CONSUMER.CREATE orders worker"),
            ("$JS.API.CONSUMER.CREATE.orders", "CONSUMER.CREATE orders"),
            ("$JS.ACK.orders.worker.1.2.3.4.5", "ACK orders worker"),
            ("$JS.ACK._.hash.orders.worker.1.2.3.4.5", "ACK orders worker"),
            ("$JS.FC.orders.worker.x", "FC orders worker"),
            ("$JS.FC._.hash.orders.worker.x", "FC orders worker"),
        ] {
            assert_eq!(parse(subject).as_deref(), Some(read), "{subject}");
        }
        assert_eq!(parse("orders.new"), None);
        assert_eq!(parse("$JS.hub.API.INFO"), None);
    }
}
