//! Consumers of regional accounts that deliver where no application can hear them.

use super::session::{ASK, Session};
use crate::desired::DesiredAccount;
use crate::desired::regional::Seat;
use crate::model::finding::Finding;
use crate::model::virtual_stream::Account;
use crate::observed::jetstream::{Api, CallError};
use crate::observed::link::Link;
use crate::observed::survey::Observed;
use crate::observed::{RequestError, Requests};
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use std::time::Duration;

const IN_FLIGHT: usize = 64;
/// The most consumers of a stream that are looked at. How many there are is what the answer says.
const MOST: usize = 10_000;

/// Per desired account, a warning for each push consumer whose deliver subject no import brings to the applications.
/// Lists that cannot be read are left out: whoever may not list consumers gets the rest of the verdict, and that said.
pub(super) async fn astray<L: Link>(
    session: &Session<'_, L>,
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
) -> Vec<Vec<Finding>> {
    let timeout = session.deadline.at_most(ASK);
    let asked = desired.iter().zip(&observed.accounts).enumerate().flat_map(|(place, (wanted, found))| {
        let api = session.api(place).filter(|_| wanted.seat != Seat::Application);
        let busy = found.jetstream.streams.iter().filter(|stream| stream.state.consumers > 0);
        busy.filter_map(move |stream| Some((place, api?, stream.name.as_str())))
    });
    let asked: Vec<_> = asked.collect();
    let lists: Vec<(usize, Vec<Finding>)> = stream::iter(asked)
        .map(|(place, api, stream)| async move {
            let (consumers, denied) = consumers(api, stream, timeout).await;
            if let Some(subject) = denied {
                let place_of = format!("account {}", desired[place].name);
                return (place, vec![not_permitted(place_of, "its consumers", &subject)]);
            }
            let lost = consumers.iter().filter_map(|config| lost(&desired[place], stream, config));
            (place, lost.collect())
        })
        .buffer_unordered(IN_FLIGHT)
        .collect()
        .await;
    let mut findings = vec![Vec::new(); desired.len()];
    for (place, found) in lists {
        findings[place].extend(found);
    }
    // Said once for the account, not for each of its streams.
    for found in &mut findings {
        let mut denied = false;
        found.retain(|finding: &Finding| finding.code != NOT_PERMITTED || !std::mem::replace(&mut denied, true));
    }
    findings
}

/// Something could not be asked, since the user may not.
pub(super) const NOT_PERMITTED: &str = "not-permitted";

pub(super) fn not_permitted(place: String, what: &str, subject: &str) -> Finding {
    Finding::warning(
        NOT_PERMITTED,
        place,
        format!("{what} could not be looked at: the user may not publish on {subject}"),
        "Allow the user to publish there: docs/permissions.md of the project has all that is needed.",
    )
}

/// The configs of a stream's consumers, as far as they can be read; and the subject that is not permitted.
async fn consumers<L: Requests>(api: Api<'_, L>, stream: &str, timeout: Duration) -> (Vec<Value>, Option<String>) {
    let mut configs = Vec::new();
    loop {
        let body = json!({ "offset": configs.len() });
        let mut page = match api.call(&format!("CONSUMER.LIST.{stream}"), &body, timeout).await {
            Ok(page) => page,
            Err(CallError::Request(RequestError::Permission(subject))) => return (configs, Some(subject)),
            Err(_) => break,
        };
        let total = page["total"].as_u64().unwrap_or(0);
        let Value::Array(consumers) = page["consumers"].take() else { break };
        if consumers.is_empty() {
            break;
        }
        configs.extend(consumers.into_iter().map(|mut consumer| consumer["config"].take()));
        if configs.len() as u64 >= total || configs.len() >= MOST {
            break;
        }
    }
    (configs, None)
}

fn lost(desired: &DesiredAccount<'_>, stream: &str, config: &Value) -> Option<Finding> {
    let subject = config["deliver_subject"].as_str()?;
    if arrives(desired.account, subject) {
        return None;
    }
    let name = config["name"].as_str().or(config["durable_name"].as_str()).unwrap_or_default();
    let first = subject.split('.').next().unwrap_or_default();
    Some(Finding::warning(
        "deliveries-astray",
        format!("account {}, stream {stream}, consumer {name}", desired.name),
        format!("it delivers on {subject}, which no import brings to the applications: nobody gets its messages"),
        format!(
            "Add `{first}` to `inbox_prefixes` of account {}, then apply; or let it deliver on an inbox.",
            desired.account.name
        ),
    ))
}

/// Whether deliveries of a regional account on this subject come to the applications.
fn arrives(account: &Account, subject: &str) -> bool {
    account
        .inbox_prefixes
        .iter()
        .any(|prefix| subject.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.')))
}
