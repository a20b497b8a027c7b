//! `validate`: checks the definition offline. With `--online`, it also checks the deployment before anything is pushed.

use super::deployment::options;
use super::text::{Text, part, put, text};
use super::{Exit, Failure, Shell, trust};
use crate::engine::Deadline;
use crate::engine::session::{Subscription, VerbInputs};
use crate::model::finding::{Severity, bounded};
use crate::model::names::ClusterName;
use crate::model::units::format_duration;
use crate::model::virtual_stream::Account;
use crate::nats::{DefinitionConnector, Purpose};
use crate::ops;
use crate::ops::load::Loaded;
use crate::plan::Options;
use serde_json::{Value, json};

/// Check the definition offline, or with --online everything that can be known before a push
///
/// Reads the definition, asks no server, and summarizes it. Reports all its problems at once, with file, line and
/// column.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ask the servers too, and run every check that `apply` runs before it writes; changes nothing
    #[arg(long)]
    online: bool,

    /// With --online: these findings stop nothing (`region-missing`, …)
    #[arg(long, value_name = "FINDING", num_args = 1.., value_delimiter = ',', requires = "online")]
    allow: Vec<String>,
}

impl Args {
    /// Runs the verb.
    ///
    /// # Errors
    /// Exit 2 if the definition is not valid.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        let loaded = shell.load()?;
        if self.online {
            return online(shell, &loaded, self.allow).await;
        }
        shell.result(human(&loaded), &document(&loaded));
        Ok(Exit::Done)
    }
}

/// Runs only the preflight: the findings of `plan`, without its changes.
async fn online(shell: &Shell, loaded: &Loaded, allow: Vec<String>) -> Result<Exit, Failure> {
    let options = options(Options { allow, ..Options::default() })?;
    let keys = shell.keyring(&loaded.base)?;
    let trust = trust::of_definition(loaded, &keys, None);
    let connector = DefinitionConnector::new(&loaded.definition, Purpose::Read, keys.folder())
        .knowing(&trust)
        .lasting(shell.timeout);
    let progress = shell.progress();
    let deadline = Deadline::after(shell.timeout);
    let inputs = VerbInputs { definition: &loaded.definition, keys: &keys, trust: &trust };
    let planned = ops::plan::plan(inputs, &connector, &options, Subscription::Off, deadline, &progress).await;
    drop(progress);
    let (session, planned) = planned?;
    let plan = &planned.plan;
    shell.findings(&plan.findings);
    let (answered, total) = (session.deployment.servers.len(), session.deployment.total());
    let of = |severity| plan.findings.iter().filter(|finding| finding.severity == severity).count();
    let found = format!("{}, {}", count(of(Severity::Error), "error"), count(of(Severity::Warning), "warning"));
    let refused = plan.is_refused();
    let verdict = match refused {
        true => "`apply` would refuse",
        false => "nothing stands in the way of `apply`",
    };
    let mut text = human(loaded);
    put!(text, "{answered} of {total} servers asked: {verdict} ({found})");
    let mut document = document(loaded);
    document["online"] = json!({
        "refused": refused,
        "servers": answered,
        "expected_servers": total,
        "findings": bounded(&plan.findings),
    });
    shell.result(text, &document);
    Ok(if refused { Exit::Failed } else { Exit::Done })
}

fn human(loaded: &Loaded) -> Text {
    let definition = &loaded.definition;
    let files = match &loaded.files[..] {
        [file] => file.display().to_string(),
        files => format!("{} files", files.len()),
    };
    let topology = &definition.topology;
    let regions: Vec<&str> = topology.regions.iter().map(|region| region.name.as_str()).collect();
    let mut text = text!("{files}: valid");
    put!(text, "{}: {}", count(regions.len(), "region"), regions.join(", "));
    for region in topology.regions.iter().filter(|region| !region.serves.is_empty()) {
        let served: Vec<&str> = region.serves.iter().map(ClusterName::as_str).collect();
        put!(text, "region {} serves {}", region.name, served.join(", "));
    }
    for (_, cluster) in topology.clusters().filter(|(_, cluster)| cluster.token() != cluster.as_str()) {
        put!(text, "cluster {cluster} is {} in subjects", cluster.token());
    }
    for account in &definition.accounts {
        let streams = account.virtual_streams.len();
        part!(
            text,
            "account {}: {}, in each region {} and {}",
            account.name,
            count(streams, "virtual stream"),
            count(streams * 2, "real stream"),
            count(account.virtual_streams.iter().map(|stream| stream.consumers.len()).sum(), "consumer"),
        );
        if let Some(age) = shortest_max_age(account) {
            part!(text, "; an outage of up to {} loses nothing", format_duration(age));
        }
        text.end();
    }
    text
}

/// Returns the longest time that a region may be unreachable. This is the shortest `max_age` of the write streams,
/// whose default is 24h.
fn shortest_max_age(account: &Account) -> Option<i64> {
    const DEFAULT: i64 = 24 * 3_600 * 1_000_000_000;
    let age = |value: Option<&Value>| value.and_then(Value::as_i64).unwrap_or(DEFAULT);
    account.virtual_streams.iter().map(|stream| age(stream.write.get("max_age"))).filter(|age| *age > 0).min()
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn document(loaded: &Loaded) -> Value {
    let definition = &loaded.definition;
    let regions: Vec<Value> = definition
        .topology
        .regions
        .iter()
        .map(|region| {
            let clusters: Vec<Value> =
                region.clusters().map(|cluster| json!({ "cluster": cluster, "token": cluster.token() })).collect();
            json!({ "name": region.name, "cluster": region.cluster, "servers": region.servers, "clusters": clusters })
        })
        .collect();
    let accounts: Vec<Value> = definition.accounts.iter().map(account).collect();
    json!({ "valid": true, "files": loaded.files, "regions": regions, "accounts": accounts })
}

fn account(account: &Account) -> Value {
    let streams: Vec<Value> = account
        .virtual_streams
        .iter()
        .map(|stream| {
            let consumers: Vec<_> = stream.consumers.iter().map(|consumer| &consumer.name).collect();
            json!({
                "name": stream.name,
                "kind": stream.kind,
                "consistency": stream.consistency.as_str(),
                "home": stream.home(),
                "subjects": stream.subjects,
                "consumers": consumers,
            })
        })
        .collect();
    json!({ "name": account.name, "id": account.id, "layout": account.layout, "virtual_streams": streams })
}
