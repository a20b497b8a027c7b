//! Read-only views of an account's token. Field names are those of nats-io/jwt v2.

use super::ClaimsError;
use crate::model::nkey::{KeyKind, PublicKey};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A key that may issue users and activations for the account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SigningKey {
    /// The public key (`A…`).
    pub key: PublicKey,
    /// The scope, if the key has one. Users that such a key issues get their permissions from the scope, and must have
    /// none of their own.
    pub scope: Option<Scope>,
}

/// The scope of a signing key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scope {
    /// `user_scope`, the only kind that nats-io/jwt 2.8 knows.
    pub kind: String,
    /// The role's name.
    pub role: String,
    /// Permissions and limits that its users get.
    pub template: Value,
}

/// Limits of one tier, or of an account without tiers. In bytes and counts; 0 if the token has no value, -1 for
/// unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JetStreamTier {
    /// Bytes in memory over all streams; 0 means none.
    pub mem_storage: i64,
    /// Bytes on disk over all streams; 0 means none.
    pub disk_storage: i64,
    /// Streams.
    pub streams: i64,
    /// Consumers.
    pub consumer: i64,
    /// Largest `max_ack_pending` of a consumer; 0 means any.
    pub max_ack_pending: i64,
    /// Largest memory stream; 0 means any.
    pub mem_max_stream_bytes: i64,
    /// Largest file stream; 0 means any.
    pub disk_max_stream_bytes: i64,
    /// `true` if every stream needs a `max_bytes`.
    pub max_bytes_required: bool,
}

/// JetStream limits of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct JetStreamLimits {
    /// The limits without tiers. Not in force if there are tiers.
    pub global: JetStreamTier,
    /// By tier name (`R1`, `R3`).
    pub tiers: BTreeMap<String, JetStreamTier>,
}

impl JetStreamLimits {
    /// Returns the limits of streams with this number of replicas; `None` if the account has tiers but not this one.
    pub fn for_replicas(&self, replicas: usize) -> Option<&JetStreamTier> {
        if self.tiers.is_empty() { Some(&self.global) } else { self.tiers.get(&format!("R{replicas}")) }
    }

    /// Returns `true` if the account may use JetStream (nats-io/jwt v2, `IsJSEnabled`).
    pub fn enabled(&self) -> bool {
        let usable = |tier: &JetStreamTier| tier.mem_storage != 0 || tier.disk_storage != 0;
        if self.tiers.is_empty() { usable(&self.global) } else { self.tiers.values().any(usable) }
    }
}

/// Limits outside JetStream; 0 if the token has no value, -1 for unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AccountLimits {
    /// Subscriptions of one connection.
    pub subs: i64,
    /// Bytes (not enforced by servers).
    pub data: i64,
    /// Bytes of a message.
    pub payload: i64,
    /// Imports.
    pub imports: i64,
    /// Exports.
    pub exports: i64,
    /// `true` if exports may have wildcards.
    pub wildcards: bool,
    /// `true` if servers refuse bearer tokens.
    pub disallow_bearer: bool,
    /// Client connections.
    pub conn: i64,
    /// Leaf node connections.
    pub leaf: i64,
}

/// An export of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Export {
    /// Name; empty if it has none.
    pub name: String,
    /// Subject filter.
    pub subject: String,
    /// `stream` or `service`.
    pub kind: String,
    /// `true` for a private export: importers need an activation token.
    pub token_req: bool,
    /// `Singleton`, `Stream` or `Chunked`; empty for singleton and for streams.
    pub response_type: String,
    /// Revoked activations.
    pub revocations: Vec<Revocation>,
}

/// An import of the account.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Name; empty if it has none.
    pub name: String,
    /// Subject in the exporting account.
    pub subject: String,
    /// The exporting account's public key.
    pub account: String,
    /// Subject in this account (`local_subject`, or the older `to`); empty if it is the same.
    pub local_subject: String,
    /// `stream` or `service`.
    pub kind: String,
    /// `true` if the import has an activation token (or the URL of one).
    pub has_token: bool,
    #[serde(skip)]
    token: String,
}

impl Import {
    /// Subject in this account.
    pub fn local(&self) -> &str {
        if self.local_subject.is_empty() { &self.subject } else { &self.local_subject }
    }

    /// The import's activation token, or the URL of one.
    pub fn token(&self) -> Option<&str> {
        self.has_token.then_some(self.token.as_str())
    }

    /// Reads an entry of a document whose imports were already checked.
    pub(super) fn of(entry: &Value) -> Self {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let (local, token) = (text("local_subject"), text("token"));
        Self {
            name: text("name").to_owned(),
            subject: text("subject").to_owned(),
            account: text("account").to_owned(),
            local_subject: if local.is_empty() { text("to") } else { local }.to_owned(),
            kind: text("type").to_owned(),
            has_token: !token.is_empty(),
            token: token.to_owned(),
        }
    }
}

/// Omits the token, which is long.
impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, subject, account, local_subject, kind, has_token, token: _ } = self;
        f.debug_struct("Import")
            .field("name", name)
            .field("subject", subject)
            .field("account", account)
            .field("local_subject", local_subject)
            .field("kind", kind)
            .field("has_token", has_token)
            .finish()
    }
}

/// Allowed and denied subjects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Permission {
    /// Allowed subjects; everything if empty.
    pub allow: Vec<String>,
    /// Denied subjects, even if they are allowed.
    pub deny: Vec<String>,
}

/// Permissions to publish and to subscribe.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Permissions {
    /// Publish.
    #[serde(rename = "pub")]
    pub publish: Permission,
    /// Subscribe.
    #[serde(rename = "sub")]
    pub subscribe: Permission,
}

/// Void tokens: those for `key` that were issued at or before `before`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revocation {
    /// A public key, or `*` for all.
    pub key: String,
    /// Seconds since 1970.
    pub before: i64,
}

pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn array<'a>(value: &'a Value, path: &str) -> Result<&'a [Value], ClaimsError> {
    if value.is_null() || value.is_array() { Ok(items(value)) } else { Err(refuse(path, "is not a list")) }
}

pub(super) fn object<'a>(
    value: &'a Value,
    path: &str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, ClaimsError> {
    match value {
        Value::Null => Ok(None.into_iter().flatten()),
        Value::Object(fields) => Ok(Some(fields).into_iter().flatten()),
        _ => Err(refuse(path, "is not an object")),
    }
}

/// Reads a number that may be missing.
pub(super) fn unsigned(value: &Value, path: &str, field: &str) -> Result<Option<u64>, ClaimsError> {
    match &value[field] {
        Value::Null => Ok(None),
        number => number
            .as_u64()
            .map(Some)
            .ok_or_else(|| refuse(&format!("{path}{field}"), "is not a whole number of 0 or more")),
    }
}

fn refuse(path: &str, reason: &str) -> ClaimsError {
    ClaimsError::Field { path: path.to_owned(), reason: reason.to_owned() }
}

/// Reads fields of one object, each of which may be missing.
struct Fields<'a> {
    fields: Option<&'a Map<String, Value>>,
    path: String,
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value, path: &str) -> Result<Self, ClaimsError> {
        object(value, path).map(drop)?;
        Ok(Self { fields: value.as_object(), path: path.to_owned() })
    }

    fn get<T>(&self, name: &str, read: impl Fn(&'a Value) -> Option<T>, what: &str) -> Result<Option<T>, ClaimsError> {
        match self.fields.and_then(|fields| fields.get(name)) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| refuse(&format!("{}.{name}", self.path), what)),
        }
    }

    fn int(&self, name: &str) -> Result<i64, ClaimsError> {
        Ok(self.get(name, Value::as_i64, "is not a whole number")?.unwrap_or(0))
    }

    fn bool(&self, name: &str) -> Result<bool, ClaimsError> {
        Ok(self.get(name, Value::as_bool, "is not true or false")?.unwrap_or(false))
    }

    fn string(&self, name: &str) -> Result<String, ClaimsError> {
        Ok(self.get(name, Value::as_str, "is not a string")?.unwrap_or_default().to_owned())
    }

    fn strings(&self, name: &str) -> Result<Vec<String>, ClaimsError> {
        let read = |value: &Value| {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        Ok(self.get(name, read, "is not a list of strings")?.unwrap_or_default())
    }

    fn value(&self, name: &str) -> &'a Value {
        self.fields.and_then(|fields| fields.get(name)).unwrap_or(&Value::Null)
    }
}

fn tier(value: &Value, path: &str) -> Result<JetStreamTier, ClaimsError> {
    let fields = Fields::of(value, path)?;
    Ok(JetStreamTier {
        mem_storage: fields.int("mem_storage")?,
        disk_storage: fields.int("disk_storage")?,
        streams: fields.int("streams")?,
        consumer: fields.int("consumer")?,
        max_ack_pending: fields.int("max_ack_pending")?,
        mem_max_stream_bytes: fields.int("mem_max_stream_bytes")?,
        disk_max_stream_bytes: fields.int("disk_max_stream_bytes")?,
        max_bytes_required: fields.bool("max_bytes_required")?,
    })
}

pub(super) fn jetstream_limits(nats: &Value) -> Result<JetStreamLimits, ClaimsError> {
    let global = tier(&nats["limits"], "nats.limits")?;
    let path = "nats.limits.tiered_limits";
    let tiers = object(&nats["limits"]["tiered_limits"], path)?
        .map(|(name, limits)| Ok((name.clone(), tier(limits, &format!("{path}.{name}"))?)))
        .collect::<Result<_, ClaimsError>>()?;
    Ok(JetStreamLimits { global, tiers })
}

pub(super) fn account_limits(nats: &Value) -> Result<AccountLimits, ClaimsError> {
    let fields = Fields::of(&nats["limits"], "nats.limits")?;
    Ok(AccountLimits {
        subs: fields.int("subs")?,
        data: fields.int("data")?,
        payload: fields.int("payload")?,
        imports: fields.int("imports")?,
        exports: fields.int("exports")?,
        wildcards: fields.bool("wildcards")?,
        disallow_bearer: fields.bool("disallow_bearer")?,
        conn: fields.int("conn")?,
        leaf: fields.int("leaf")?,
    })
}

pub(super) fn signing_keys(nats: &Value) -> Result<Vec<SigningKey>, ClaimsError> {
    let path = "nats.signing_keys";
    let read = |entry: &Value| {
        let (text, scope) = match entry {
            Value::String(text) => (text.clone(), None),
            _ => {
                let fields = Fields::of(entry, path)?;
                let scope = Scope {
                    kind: fields.string("kind")?,
                    role: fields.string("role")?,
                    template: fields.value("template").clone(),
                };
                (fields.string("key")?, Some(scope))
            }
        };
        let key = PublicKey::parse_kind(&text, KeyKind::Account).map_err(|error| refuse(path, &error.to_string()))?;
        Ok(SigningKey { key, scope })
    };
    let mut keys: Vec<SigningKey> = Vec::new();
    for entry in array(&nats["signing_keys"], path)? {
        let key = read(entry)?;
        // Servers keep the last of several entries for one key.
        match keys.iter_mut().find(|known| known.key == key.key) {
            Some(known) => *known = key,
            None => keys.push(key),
        }
    }
    Ok(keys)
}

pub(super) fn exports(nats: &Value) -> Result<Vec<Export>, ClaimsError> {
    let path = "nats.exports";
    let read = |entry: &Value| {
        let fields = Fields::of(entry, path)?;
        Ok(Export {
            name: fields.string("name")?,
            subject: fields.string("subject")?,
            kind: fields.string("type")?,
            token_req: fields.bool("token_req")?,
            response_type: fields.string("response_type")?,
            revocations: revocations(fields.value("revocations"), "nats.exports.revocations")?,
        })
    };
    array(&nats["exports"], path)?.iter().map(read).collect()
}

pub(super) fn imports(nats: &Value) -> Result<Vec<Import>, ClaimsError> {
    let path = "nats.imports";
    let read = |entry: &Value| {
        let fields = Fields::of(entry, path)?;
        for field in ["name", "subject", "account", "local_subject", "to", "type", "token"] {
            fields.string(field)?;
        }
        Ok(Import::of(entry))
    };
    array(&nats["imports"], path)?.iter().map(read).collect()
}

pub(super) fn permissions(value: &Value, path: &str) -> Result<Permissions, ClaimsError> {
    let fields = Fields::of(value, path)?;
    let side = |name: &str| {
        let fields = Fields::of(fields.value(name), &format!("{path}.{name}"))?;
        Ok(Permission { allow: fields.strings("allow")?, deny: fields.strings("deny")? })
    };
    Ok(Permissions { publish: side("pub")?, subscribe: side("sub")? })
}

pub(super) fn revocations(value: &Value, path: &str) -> Result<Vec<Revocation>, ClaimsError> {
    let fields = Fields::of(value, path)?;
    let read = |(key, _): (&String, &Value)| {
        let before = fields.get(key, Value::as_i64, "is not a time in seconds")?.unwrap_or(0);
        Ok(Revocation { key: key.clone(), before })
    };
    object(value, path)?.map(read).collect()
}
