//! The accounts that a message may enter, and how their parts handle a subject.

use crate::desired::{DesiredAccount, DesiredStream};
use crate::model::claims::{AccountClaims, ExportKind, ImportSpec};
use crate::model::mapping::RawMapping;
use crate::model::nkey::PublicKey;
use crate::model::subject::SubjectFilter;
use crate::model::transform::Transform;
use serde_json::{Map, Value};

/// The accounts that a message may enter, starting from the publisher's.
#[derive(Debug, Clone)]
pub struct World {
    /// The cluster whose clients publish.
    pub cluster: String,
    /// The JetStream domain of its servers.
    pub domain: Option<String>,
    /// The accounts.
    pub accounts: Vec<View>,
}

/// One account.
#[derive(Debug, Clone)]
pub struct View {
    /// The account's name in the definition.
    pub name: String,
    /// The account.
    pub id: PublicKey,
    /// The mappings in force in the cluster.
    pub mappings: Vec<RawMapping>,
    /// The imports in force there.
    pub imports: Vec<ImportSpec>,
    /// The account's streams; `None` if they could not be read.
    pub streams: Option<Vec<StreamView>>,
    /// Reason why no message passes through the account, at least on some servers of the cluster.
    pub problem: Option<String>,
}

/// One stream.
#[derive(Debug, Clone)]
pub struct StreamView {
    /// Name.
    pub name: String,
    /// The whole config.
    pub config: Map<String, Value>,
    /// The region of the stream, if this tool made it.
    pub region: Option<String>,
    /// Reason why the stream stores nothing at the moment.
    pub problem: Option<String>,
    /// Reason why the state of the stream is not known.
    pub unread: Option<String>,
    /// The state of its sources, or of its mirror's origin.
    pub sources: Vec<SourceView>,
}

/// The state of a source.
#[derive(Debug, Clone)]
pub struct SourceView {
    /// The origin's name.
    pub origin: String,
    /// Number of messages that have not arrived, if known.
    pub lag: Option<u64>,
    /// Reason why nothing arrives.
    pub problem: Option<String>,
}

impl View {
    /// Returns the view of an account from its claims.
    pub fn of_claims(name: &str, claims: &AccountClaims, streams: Option<Vec<StreamView>>) -> Self {
        Self {
            name: name.to_owned(),
            id: claims.id().clone(),
            mappings: claims.mappings(),
            imports: claims.imports().iter().filter_map(ImportSpec::of).collect(),
            streams,
            problem: None,
        }
    }

    /// Returns the view of an account as the definition asks for it.
    pub fn of_desired(wanted: &DesiredAccount<'_>) -> Self {
        Self {
            name: wanted.name.clone(),
            id: wanted.id.clone(),
            mappings: wanted.mappings.iter().map(RawMapping::from).collect(),
            imports: wanted.imports.clone(),
            streams: Some(wanted.streams.iter().map(StreamView::of_desired).collect()),
            problem: None,
        }
    }
}

impl StreamView {
    /// Returns the view of a stream as the definition asks for it.
    pub fn of_desired(stream: &DesiredStream<'_>) -> Self {
        let (region, config) = (Some(stream.region.to_string()), stream.config());
        Self { name: stream.name.clone(), config, region, problem: None, unread: None, sources: Vec::new() }
    }

    pub(super) fn captures(&self, subject: &str) -> bool {
        let subjects = self.config.get("subjects").and_then(Value::as_array).into_iter().flatten();
        subjects.filter_map(Value::as_str).any(|filter| filter_covers(filter, subject))
    }
}

/// Returns the services that the account imports as `subject`: the exporting account, and the subject there.
pub(super) fn services<'c>(
    imports: &'c [ImportSpec],
    subject: &'c str,
) -> impl Iterator<Item = (&'c PublicKey, String)> + 'c {
    let services = imports.iter().filter(|import| import.kind == ExportKind::Service);
    services.filter_map(|import| Some((&import.account, carried(import.local(), &import.subject, subject)?)))
}

/// Returns the streams that are imported from an account.
pub(super) fn streams_of<'c>(
    imports: &'c [ImportSpec],
    exporter: &'c PublicKey,
) -> impl Iterator<Item = &'c ImportSpec> + 'c {
    imports.iter().filter(move |import| import.account == *exporter && import.kind == ExportKind::Stream)
}

/// Returns the subject on the other side of an import that changes one filter, `from`, into another, `to`.
pub(super) fn carried(from: &str, to: &str, subject: &str) -> Option<String> {
    if !filter_covers(from, subject) {
        return None;
    }
    if from == to {
        return Some(subject.to_owned());
    }
    let to = numbered(from, to);
    Transform::parse(from, &to).ok()?.apply(subject)
}

/// Returns `a.*.>` as a destination of `b.*.>`. Imports have `*` or `$1` where transforms have `{{wildcard(1)}}`.
fn numbered(from: &str, to: &str) -> String {
    let mut next = 0;
    let wildcards = from.split('.').filter(|token| *token == "*").count();
    let tokens = to.split('.').map(|token| {
        if token == "*" && next < wildcards {
            next += 1;
            return format!("{{{{wildcard({next})}}}}");
        }
        token.to_owned()
    });
    tokens.collect::<Vec<_>>().join(".")
}

/// Returns the subject under which a source passes a message on. Returns `None` if it does not.
pub(super) fn passed(source: &Value, subject: &str) -> Option<String> {
    let transforms = source["subject_transforms"].as_array().filter(|all| !all.is_empty());
    if let Some(transforms) = transforms {
        return transforms.iter().find_map(|transform| {
            let from = transform["src"].as_str().filter(|from| !from.is_empty()).unwrap_or(">");
            filter_covers(from, subject).then(|| transformed(Some(transform), subject))
        });
    }
    let filter = source["filter_subject"].as_str().filter(|filter| !filter.is_empty()).unwrap_or(">");
    filter_covers(filter, subject).then(|| subject.to_owned())
}

/// Applies a `{ src, dest }` to the subject. Subjects that do not match stay unchanged.
pub(super) fn transformed(transform: Option<&Value>, subject: &str) -> String {
    let Some(transform) = transform else { return subject.to_owned() };
    let text = |field: &str| transform[field].as_str().filter(|text| !text.is_empty());
    let (from, Some(to)) = (text("src").unwrap_or(">"), text("dest")) else { return subject.to_owned() };
    let applied = Transform::parse(from, to).ok().and_then(|transform| transform.apply(subject));
    applied.unwrap_or_else(|| subject.to_owned())
}

pub(super) fn filter_covers(filter: &str, subject: &str) -> bool {
    let parsed = |text: &str| SubjectFilter::parse(text).ok();
    parsed(filter).zip(parsed(subject)).is_some_and(|(filter, subject)| filter.covers(&subject))
}
