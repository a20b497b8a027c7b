//! `status`: shows regions, replicas, lag per source, and regions that lag.

use super::finding::finding_text;
use super::shell::some;
use super::text::{Paint as _, Text, put, text};
use super::verify::worst_first;
use super::{Exit, Failure, Format, Shell, output, trust};
use crate::definition::Definition;
use crate::desired::lease::Note;
use crate::engine::session::VerbInputs;
use crate::engine::{Deadline, Silent};
use crate::model::shown::shown;
use crate::model::units::format_size;
use crate::nats::{DefinitionConnector, Purpose};
use crate::observed::Deployment;
use crate::ops;
use crate::ops::load::Loaded;
use crate::ops::verify::{Verified, VerifiedAccount};
use crate::sign::keyring::Keyring;
use crate::verify::status::{SourceStatus, StreamAnswer, StreamStatus};
use crate::verify::streams::Verdict;
use std::collections::BTreeSet;
use std::time::Duration;

/// Show regions, streams, replicas and lag per source
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Refresh the output until interrupted
    #[arg(long)]
    watch: bool,

    /// With --watch: seconds between two updates
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
}

impl Args {
    /// Runs the verb.
    pub async fn run(self, shell: &Shell) -> Result<Exit, Failure> {
        if self.watch && shell.format == Format::Json {
            return Err(Failure::usage("usage", "--watch shows many documents; --format json gives exactly one")
                .next("Leave out one of the two."));
        }
        let loaded = shell.load()?;
        loop {
            let keys = shell.keyring(&loaded.base)?;
            let looked = look(shell, &loaded, &keys).await;
            if !self.watch {
                let (verified, deployment) = looked?;
                let mut text = text(&loaded.definition, &verified, &deployment);
                if verified.verdict != Verdict::Ok {
                    put!(text, "next: Run `{}`; it lists what is not as defined.", shell.command("verify"));
                }
                shell.result(text, &verified);
                return Ok(super::verify::exit(verified.verdict));
            }
            let mut text = text!("{}", jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default());
            match looked {
                Ok((verified, deployment)) => {
                    text.append(&self::text(&loaded.definition, &verified, &deployment));
                }
                Err(failure) => {
                    put!(text, "{}", failure.message);
                    put!(text, "asking again in {} s", self.every);
                }
            }
            output::clear_screen();
            shell.result(text, &());
            if shell.is_output_closed() {
                return Ok(Exit::Done);
            }
            tokio::time::sleep(Duration::from_secs(self.every)).await;
        }
    }
}

async fn look(shell: &Shell, loaded: &Loaded, keys: &Keyring) -> Result<(Verified, Deployment), Failure> {
    let definition = &loaded.definition;
    let trust = trust::of_definition(loaded, keys, None);
    let connector =
        DefinitionConnector::new(definition, Purpose::Verify, keys.folder()).knowing(&trust).lasting(shell.timeout);
    let inputs = VerbInputs { definition, keys, trust: &trust };
    Ok(ops::verify::verify(inputs, &connector, Deadline::after(shell.timeout), &Silent).await?)
}

fn text(definition: &Definition, verified: &Verified, deployment: &Deployment) -> Text {
    let mut out = Text::new();
    for region in &definition.topology.regions {
        let servers: Vec<&str> = (deployment.servers.iter())
            .filter(|server| server.cluster == region.cluster.as_str())
            .map(|server| server.name.as_str())
            .collect();
        let up = match servers.len() {
            0 => text!("{}", "no server answers".red()),
            1 => text!("1 server up ({})", servers[0]),
            count => text!("{count} servers up ({})", servers.join(", ")),
        };
        put!(out, "region {:<12} {up}", region.name.as_str());
    }
    for finding in &worst_first(&verified.findings) {
        out.append(&finding_text(finding));
    }
    for account in &verified.accounts {
        let confirmed = account.servers.iter().filter(|server| server.verdict.is_confirmed()).count();
        let mappings = match account.mappings.len() {
            0 => text!("{}", "as defined".green()),
            count => text!("{}", format_args!("{count} not as defined").red()),
        };
        out.end();
        put!(
            out,
            "account {}  mappings {mappings}, in force on {confirmed} of {} servers",
            account.account.bold(),
            verified.expected_servers
        );
        if let Some(Note { holder, verb, since, .. }) = &account.lease {
            put!(out, "  {} {holder} with `{verb}` since {since}", "being changed by".yellow());
        }
        table(&mut out, &account.status);
        not_asked(&mut out, account);
    }
    out.end();
    put!(out, "{}", who_is_behind(verified));
    out
}

/// Adds the reasons why something could not be read. Each reason appears once.
fn not_asked(out: &mut Text, account: &VerifiedAccount) {
    let problems = account.streams.iter().flat_map(|checked| &checked.problems);
    let unknown = problems.filter(|problem| problem.verdict == Verdict::CantTell).map(|problem| &problem.finding);
    let unknown = unknown.filter(|finding| finding.code.ends_with("-unknown"));
    let denied = account.findings.iter().filter(|finding| finding.code == "not-permitted");
    let reasons: BTreeSet<&str> = unknown.chain(denied).map(|finding| finding.message.as_str()).collect();
    reasons.into_iter().for_each(|reason| put!(out, "{} {reason}", "?".yellow()));
}

fn table(out: &mut Text, streams: &[StreamStatus]) {
    let head = ["virtual", "region", "stream", "messages", "size", "replicas", "behind"].map(str::to_owned);
    let mut rows = vec![head];
    let mut sorted: Vec<&StreamStatus> = streams.iter().collect();
    sorted.sort_by(|a, b| (&a.virtual_stream, a.role).cmp(&(&b.virtual_stream, b.role)));
    rows.extend(sorted.iter().map(|stream| row(stream)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            3 | 4 => format!("{cell:>width$}"),
            6 => cell.clone(),
            _ => format!("{cell:<width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        match number {
            0 => put!(out, "  {}", line.dim()),
            _ => put!(out, "  {line}"),
        }
    }
}

fn row(stream: &StreamStatus) -> [String; 7] {
    let StreamStatus { virtual_stream, region, role, stream: name, seen, messages, bytes, cluster, sources, .. } =
        stream;
    let cells = |messages: String, size: String, replicas: String, behind: String| {
        // The text of each cell, which determines the width of its column.
        [virtual_stream.as_str(), region, name, &messages, &size, &replicas, &behind]
            .map(|cell| shown(cell).into_owned())
    };
    match seen {
        StreamAnswer::Missing => return cells("-".to_owned(), "-".to_owned(), "missing".to_owned(), String::new()),
        StreamAnswer::Unknown => return cells("?".to_owned(), "?".to_owned(), "no answer".to_owned(), String::new()),
        StreamAnswer::Here => {}
    }
    let all = cluster.replicas.len() + usize::from(cluster.leader.is_some());
    let good = cluster.replicas.iter().filter(|replica| replica.current && !replica.is_away()).count()
        + usize::from(cluster.leader.is_some());
    let leader = cluster.leader.as_deref().map_or("no leader".to_owned(), |leader| format!("leader {leader}"));
    let behind = match role.serves() {
        true => sources.iter().map(behind).collect::<Vec<_>>().join("  "),
        false => String::new(),
    };
    let size = format_size(i64::try_from(*bytes).unwrap_or(i64::MAX));
    cells(messages.to_string(), size, format!("{good}/{all} {leader}"), behind)
}

fn behind(source: &SourceStatus) -> String {
    let SourceStatus { origin, region, lag, error, anew, .. } = source;
    let from = if region.is_empty() { origin } else { region };
    match (lag, error) {
        (_, Some(error)) => format!("{from}: {error}"),
        _ if *anew => format!("{from}: made anew"),
        (Some(0), None) => format!("{from} 0"),
        (Some(lag), None) => format!("{from} {lag}"),
        (None, None) => format!("{from} ?"),
    }
}

/// Returns the last line: the regions that lack messages of other regions.
fn who_is_behind(verified: &Verified) -> String {
    let streams = verified.accounts.iter().flat_map(|account| &account.status);
    let mut behind: Vec<String> = Vec::new();
    let mut unseen = 0;
    for stream in streams {
        unseen += usize::from(stream.seen != StreamAnswer::Here);
        for source in &stream.sources {
            let SourceStatus { origin, region, lag, error, anew, .. } = source;
            let from = if region.is_empty() { origin } else { region };
            let reader = format!("{} in {}", stream.virtual_stream, stream.region);
            behind.push(match (lag, error) {
                (_, Some(error)) => format!("{reader} cannot read {from}: {error}"),
                _ if *anew => format!("{reader} does not read {from} yet, which was made anew"),
                (Some(0), None) if source.is_heard() => continue,
                (None | Some(0), None) => format!("{reader} does not hear from {from}"),
                (Some(lag), None) => format!("{reader} lacks {lag} of {from}"),
            });
        }
    }
    let unseen = match unseen {
        0 => String::new(),
        1 => "1 stream is missing or does not answer. ".to_owned(),
        count => format!("{count} streams are missing or do not answer. "),
    };
    match behind.as_slice() {
        [] if unseen.is_empty() => "No region is behind.".to_owned(),
        [] => unseen.trim_end().to_owned(),
        behind => {
            let behind: Vec<&str> = behind.iter().map(String::as_str).collect();
            format!("{unseen}Behind: {}.", some(&behind))
        }
    }
}
