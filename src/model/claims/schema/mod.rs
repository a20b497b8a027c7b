//! The strict decoder of claims. It refuses claims that servers could read differently from this program.
//!
//! Servers decode claims into Go structs ([`table`]). Go matches keys to fields without regard to case, `ſ` as `s` and
//! the Kelvin sign as `k` (`encoding/json`, `foldName`). Of several matching keys, the last one wins. So this decoder
//! refuses, at any depth, a key that differs from a field's name but that Go matches to it. It also refuses two keys of
//! a struct that Go, or a newer server with more fields, would match to the same field. Other keys are data and stay
//! unchanged, and so do keys of maps.

mod table;

use super::ClaimsError;
use super::json::Path;
use serde_json::{Map, Value};
use std::collections::HashSet;
use table::{Kind, Struct};

/// The last second whose nanoseconds Go can represent (April 2262). Servers compute in nanoseconds, so to them a token
/// with a later expiry has already expired (nats-server `accounts.go`, `checkExpiration`; `dirstore.go`, `track`).
pub const LATEST: u64 = 9_223_372_036;

/// Checks the claims of a token of any type, after decoding or before signing.
///
/// # Errors
/// [`ClaimsError`]; it names the field.
pub fn check(claims: &Value) -> Result<(), ClaimsError> {
    if !claims.is_object() {
        return Err(ClaimsError::Json { part: "claims", reason: "not an object".to_owned() });
    }
    let claim_type = claims["nats"]["type"].as_str().unwrap_or_default();
    Reader { floats: false }.value(claims, &Kind::Struct(table::claims(claim_type)), None)?;
    // Servers treat a token with its type in this place as version 1.
    if claims["type"].as_str().is_some_and(|found| !found.is_empty()) {
        return Err(ClaimsError::Version1);
    }
    version(claims, claim_type)
}

/// Checks an operator's claims as servers report them. Claims of an old token have version 1.
pub(super) fn check_operator(claims: &Value) -> Result<(), ClaimsError> {
    Reader { floats: false }.value(claims, &Kind::Struct(table::claims("operator")), None)
}

/// Checks the header of a token.
pub(super) fn check_header(header: &Value) -> Result<(), ClaimsError> {
    Reader { floats: false }.value(header, &Kind::Struct(&table::HEADER), None)
}

/// Refuses version 1, and versions that servers refuse (nats-io/jwt v2 `decoder.go`).
fn version(claims: &Value, claim_type: &str) -> Result<(), ClaimsError> {
    let found = &claims["nats"]["version"];
    let requests = matches!(claim_type, "authorization_request" | "authorization_response");
    let typed = requests || matches!(claim_type, "operator" | "account" | "user" | "activation");
    match (found.as_i64(), found) {
        (Some(2), _) => Ok(()),
        (Some(1), _) | (None, Value::Null) if typed => Err(ClaimsError::Version1),
        (None, Value::Null) => Ok(()),
        (Some(version), _) if !typed && version < 2 => Ok(()),
        _ => Err(ClaimsError::UnknownVersion { found: found.to_string() }),
    }
}

struct Reader {
    /// `true` if servers read numbers here as floating point first, as in the scopes of signing keys.
    floats: bool,
}

impl Reader {
    fn value(&self, value: &Value, kind: &Kind, at: Option<&Path<'_>>) -> Result<(), ClaimsError> {
        let fits = match (value, kind) {
            (Value::Null, Kind::ExportType | Kind::ScopeType) => false,
            // Go reads null as absent.
            (Value::Null, _) => true,
            (Value::String(_), Kind::Text | Kind::CidrList) | (Value::Bool(_), Kind::Flag) => true,
            (Value::String(text), Kind::ExportType) => matches!(text.as_str(), "stream" | "service"),
            (Value::String(text), Kind::ScopeType) => text == "user_scope",
            (Value::String(text), Kind::SamplingRate) => text.eq_ignore_ascii_case("headers"),
            (Value::Number(_), Kind::Int | Kind::SamplingRate) => value.as_i64().is_some_and(|n| self.is_exact(n)),
            (Value::Number(_), Kind::Time) => value.as_u64().is_some_and(|time| time <= LATEST),
            (Value::Number(_), Kind::Uint) => value.as_u64().is_some(),
            (Value::Number(_), Kind::Byte) => value.as_u64().is_some_and(|n| n <= 255),
            (Value::Object(fields), Kind::Struct(of)) => return self.structure(fields, of, at),
            (Value::Object(entries), Kind::Map(of)) => {
                return entries
                    .iter()
                    .try_for_each(|(key, value)| self.value(value, of, Some(&Path { key, parent: at })));
            }
            (Value::Array(items), Kind::List(of)) => return items.iter().try_for_each(|item| self.item(item, of, at)),
            (Value::Array(items), Kind::CidrList) => {
                return items.iter().try_for_each(|item| self.item(item, &Kind::Text, at));
            }
            (Value::Array(items), Kind::SigningKeys(scope)) => {
                return items.iter().try_for_each(|item| signing_key(item, scope, at));
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(refuse(at, expected(kind))) }
    }

    /// Checks an entry of a list. Go would read null as an empty entry.
    fn item(&self, item: &Value, kind: &Kind, at: Option<&Path<'_>>) -> Result<(), ClaimsError> {
        if item.is_null() { Err(refuse(at, "has null for an entry")) } else { self.value(item, kind, at) }
    }

    fn structure(&self, fields: &Map<String, Value>, of: &Struct, at: Option<&Path<'_>>) -> Result<(), ClaimsError> {
        let mut unknown = HashSet::new();
        for (key, value) in fields {
            let here = Path { key, parent: at };
            if let Some((_, kind)) = of.fields().find(|(name, _)| name == key) {
                self.value(value, kind, Some(&here))?;
                continue;
            }
            if self.floats && !is_finite(value) {
                return Err(refuse(Some(&here), "has a number that is too large for servers"));
            }
            if let Some((name, _)) = of.fields().find(|(name, _)| is_read_as(key, name)) {
                return Err(refuse(Some(&here), &format!("is read as `{name}` by servers, and not spelled so")));
            }
            if !unknown.insert(folded(key)) {
                return Err(refuse(Some(&here), "is there twice but for the case of its letters"));
            }
        }
        Ok(())
    }

    fn is_exact(&self, number: i64) -> bool {
        !self.floats || number as f64 as i128 == i128::from(number)
    }
}

/// Returns `true` if servers can read all numbers of a value as floating point.
fn is_finite(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(f64::is_finite),
        Value::Array(items) => items.iter().all(is_finite),
        Value::Object(fields) => fields.values().all(is_finite),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// Checks an account's signing key: the key, or its scope.
fn signing_key(item: &Value, scope: &Struct, at: Option<&Path<'_>>) -> Result<(), ClaimsError> {
    match item {
        Value::String(_) => Ok(()),
        Value::Object(fields) => {
            Reader { floats: true }.structure(fields, scope, at)?;
            if fields.contains_key("kind") { Ok(()) } else { Err(refuse(at, "has a scope without a `kind`")) }
        }
        _ => Err(refuse(at, "has an entry that is neither a key nor a scope")),
    }
}

/// Returns `true` if Go matches `key` to the field `name`, which has only lower-case ASCII letters.
fn is_read_as(key: &str, name: &str) -> bool {
    let folded = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key.chars().map(folded).eq(name.chars())
}

/// Returns a text that is equal for all names that Go matches to each other. It is also equal for a few other names
/// (`ß` and `ss`), for which the check is too strict.
fn folded(name: &str) -> String {
    name.to_lowercase().to_uppercase().to_lowercase()
}

fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text => "is not a string",
        Kind::Flag => "is not true or false",
        Kind::Int => "is not a whole number that servers can hold",
        Kind::Time => "is not a time in seconds between 1970 and 2262",
        Kind::Uint => "is not a whole number of 0 or more",
        Kind::Byte => "is not a number from 0 to 255",
        Kind::Struct(_) | Kind::Map(_) => "is not an object",
        Kind::List(_) | Kind::SigningKeys(_) => "is not a list",
        Kind::ExportType => "is neither `stream` nor `service`",
        Kind::ScopeType => "is not `user_scope`, the only one that servers know",
        Kind::SamplingRate => "is neither `headers` nor a whole number",
        Kind::CidrList => "is not a list of strings",
    }
}

fn refuse(at: Option<&Path<'_>>, reason: &str) -> ClaimsError {
    let path = at.map_or_else(|| "header".to_owned(), ToString::to_string);
    ClaimsError::Field { path, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
