//! Finds consumers of regional accounts whose deliveries reach no application.

use super::Deadline;
use super::clock::REQUEST_TIMEOUT;
use super::session::Session;
use crate::desired::DesiredAccount;
use crate::desired::regional::AccountRole;
use crate::model::finding::Finding;
use crate::model::virtual_stream::Account;
use crate::observed::connection::Connection;
use crate::observed::jetstream::{Api, Budget, CallError, MOST_BYTES};
use crate::observed::survey::Observed;
use crate::observed::{RequestError, Requests};
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};

const IN_FLIGHT: usize = 64;
/// Most consumers that are read per stream. Servers report their number, so it needs a limit.
const MOST: usize = 10_000;

/// Returns a warning, per desired account, for each push consumer whose deliver subject no import brings to the
/// applications. If the user may not list consumers, returns a finding about that, and the verdict ignores them.
pub(crate) async fn undeliverable_push_consumers<L: Connection>(
    session: &Session<'_, L>,
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
) -> Vec<Vec<Finding>> {
    let budget = Budget::new(MOST_BYTES);
    let asked = desired.iter().zip(&observed.accounts).enumerate().flat_map(|(index, (wanted, found))| {
        let api = session.api(index).filter(|_| wanted.account_role != AccountRole::Application);
        let busy = found.jetstream.streams.iter().filter(|stream| stream.state.consumers > 0);
        busy.filter_map(move |stream| Some((index, api?, stream.name.as_str())))
    });
    let asked: Vec<_> = asked.collect();
    let lists: Vec<(usize, Vec<Finding>)> = stream::iter(asked)
        .map(|(index, api, stream)| {
            let budget = &budget;
            async move {
                let findings = match push_consumers(api, stream, session.deadline, budget).await {
                    Ok(consumers) => consumers.iter().filter_map(|one| lost(&desired[index], stream, one)).collect(),
                    Err(unread) => vec![unread.finding(&desired[index].name, stream)],
                };
                (index, findings)
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .collect()
        .await;
    let mut findings = vec![Vec::new(); desired.len()];
    for (index, found) in lists {
        findings[index].extend(found);
    }
    // The finding appears once for the account, not for each of its streams.
    for found in &mut findings {
        let mut denied = false;
        found.retain(|finding: &Finding| finding.code != NOT_PERMITTED || !std::mem::replace(&mut denied, true));
    }
    findings
}

/// The finding about a missing permission of the user.
pub(crate) const NOT_PERMITTED: &str = "not-permitted";
/// The finding about a list of consumers that was not read to its end.
pub(crate) const UNREAD: &str = "consumers-unread";

pub(crate) fn not_permitted(place: String, what: &str, subject: &str) -> Finding {
    Finding::warning(
        NOT_PERMITTED,
        place,
        format!("{what} could not be looked at: the user may not publish on {subject}"),
        "Allow the user to publish there: docs/permissions.md of the project has all that is needed.",
    )
}

/// Reason why not all consumers of a stream were read.
#[derive(Debug, PartialEq, Eq)]
enum ConsumersUnread {
    /// The user may not publish on this subject.
    Denied(String),
    /// The list has more pages, and requesting the next one failed with this error.
    Unfinished(CallError),
}

impl ConsumersUnread {
    fn finding(&self, account: &str, stream: &str) -> Finding {
        match self {
            Self::Denied(subject) => not_permitted(format!("account {account}"), "its consumers", subject),
            Self::Unfinished(error) => Finding::warning(
                UNREAD,
                format!("account {account}, stream {stream}"),
                format!("its consumers could not all be looked at: {error}"),
                "Run verify again, with a longer --timeout. If that does not help, find out who answers on \
                 `$JS.API.CONSUMER.LIST.>` in the account.",
            ),
        }
    }
}

/// A consumer that delivers on a subject.
#[derive(Debug, PartialEq, Eq)]
struct PushConsumer {
    name: String,
    deliver_subject: String,
}

impl PushConsumer {
    /// Reads a consumer's config. Returns `None` for a pull consumer.
    fn new(config: &Value) -> Option<Self> {
        let name = config["name"].as_str().or(config["durable_name"].as_str()).unwrap_or_default();
        Some(Self { name: name.to_owned(), deliver_subject: config["deliver_subject"].as_str()?.to_owned() })
    }
}

/// Returns the push consumers of a stream, as far as its list can be read. Any user of the account can forge the number
/// of pages.
async fn push_consumers<R: Requests>(
    api: Api<'_, R>,
    stream: &str,
    deadline: Deadline,
    budget: &Budget,
) -> Result<Vec<PushConsumer>, ConsumersUnread> {
    let (mut found, mut seen) = (Vec::new(), 0);
    loop {
        let (operation, body) = (format!("CONSUMER.LIST.{stream}"), json!({ "offset": seen }));
        let page = match api.call_within(&operation, &body, deadline.at_most(REQUEST_TIMEOUT), budget).await {
            Ok(page) => page,
            Err(CallError::Request(RequestError::Permission(subject))) => return Err(ConsumersUnread::Denied(subject)),
            Err(error) if seen > 0 => return Err(ConsumersUnread::Unfinished(error)),
            Err(_) => return Ok(found),
        };
        let total = page["total"].as_u64().unwrap_or(0);
        let consumers = page["consumers"].as_array().map(Vec::as_slice).unwrap_or_default();
        seen += consumers.len();
        found.extend(consumers.iter().filter_map(|consumer| PushConsumer::new(&consumer["config"])));
        if consumers.is_empty() || seen as u64 >= total || seen >= MOST {
            return Ok(found);
        }
    }
}

fn lost(desired: &DesiredAccount<'_>, stream: &str, consumer: &PushConsumer) -> Option<Finding> {
    let PushConsumer { name, deliver_subject: subject } = consumer;
    if arrives(desired.account, subject) {
        return None;
    }
    let first = subject.split('.').next().unwrap_or_default();
    Some(Finding::warning(
        "deliveries-astray",
        format!("account {}, stream {stream}, consumer {name}", desired.name),
        format!("it delivers on {subject}, which no import brings to the applications: no client gets its messages"),
        format!(
            "Add `{first}` to `inbox_prefixes` of account {}, then apply; or let it deliver on an inbox.",
            desired.account.name
        ),
    ))
}

/// Returns `true` if deliveries of a regional account on this subject reach the applications.
fn arrives(account: &Account, subject: &str) -> bool {
    account
        .inbox_prefixes
        .iter()
        .any(|prefix| subject.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.')))
}

#[cfg(test)]
mod tests;
