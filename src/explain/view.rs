//! The accounts that a message may get to, and what each of their parts does with a subject.

use crate::desired::{DesiredAccount, DesiredStream};
use crate::model::claims::{AccountClaims, ImportSpec, LinkKind};
use crate::model::mapping::RawMapping;
use crate::model::nkey::PublicKey;
use crate::model::subject::SubjectFilter;
use crate::model::transform::Transform;
use serde_json::{Map, Value};

/// What is known of the accounts that a message may get to, from where it is published.
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
    /// The definition's name for it.
    pub name: String,
    /// The account.
    pub id: PublicKey,
    /// The mappings that are in force in the cluster.
    pub mappings: Vec<RawMapping>,
    /// The imports that are in force there.
    pub imports: Vec<ImportSpec>,
    /// The account's streams; `None` where they could not be read.
    pub streams: Option<Vec<StreamView>>,
    /// Why nothing gets through it, or not on all servers of the cluster.
    pub problem: Option<String>,
}

/// One stream.
#[derive(Debug, Clone)]
pub struct StreamView {
    /// Name.
    pub name: String,
    /// The whole config.
    pub config: Map<String, Value>,
    /// The region it is of, where it is one of ours.
    pub region: Option<String>,
    /// Why it takes nothing at the moment.
    pub problem: Option<String>,
    /// Why nothing is known of how it is.
    pub unread: Option<String>,
    /// How its sources are, or its mirror's origin.
    pub sources: Vec<SourceView>,
}

/// How a source of a stream is.
#[derive(Debug, Clone)]
pub struct SourceView {
    /// The origin's name.
    pub origin: String,
    /// Messages that have not arrived, where that is known.
    pub lag: Option<u64>,
    /// Why nothing arrives.
    pub problem: Option<String>,
}

impl View {
    /// Returns an account by its claims.
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

    /// Returns an account as it will be.
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
    /// Returns a stream as it will be.
    pub fn of_desired(stream: &DesiredStream<'_>) -> Self {
        let (region, config) = (Some(stream.region.to_string()), stream.config());
        Self { name: stream.name.clone(), config, region, problem: None, unread: None, sources: Vec::new() }
    }

    pub(super) fn captures(&self, subject: &str) -> bool {
        let subjects = self.config.get("subjects").and_then(Value::as_array).into_iter().flatten();
        subjects.filter_map(Value::as_str).any(|filter| filter_covers(filter, subject))
    }
}

/// The services of other accounts that have the name `subject` here: the exporting account, and the subject there.
pub(super) fn services<'c>(
    imports: &'c [ImportSpec],
    subject: &'c str,
) -> impl Iterator<Item = (&'c PublicKey, String)> + 'c {
    let services = imports.iter().filter(|import| import.kind == LinkKind::Service);
    services.filter_map(|import| Some((&import.account, carried(import.local(), &import.subject, subject)?)))
}

/// The streams that are imported from an account.
pub(super) fn streams_of<'c>(
    imports: &'c [ImportSpec],
    exporter: &'c PublicKey,
) -> impl Iterator<Item = &'c ImportSpec> + 'c {
    imports.iter().filter(move |import| import.account == *exporter && import.kind == LinkKind::Stream)
}

/// What a subject becomes that an import carries `from` one filter `to` another.
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

/// `a.*.>` as a destination of `b.*.>`: imports say `*` or `$1` for what transforms call `{{wildcard(1)}}`.
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

/// What a source passes on, if it does.
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

/// The subject after a `{ src, dest }`, which leaves those alone that it is not for.
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
