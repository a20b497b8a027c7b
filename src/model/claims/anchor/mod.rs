//! The keys whose signatures on account tokens count.
//!
//! A signature is a proof only if its key is known beforehand. Known keys are the pinned operator key, the keys in an
//! operator's token in a local file, and the key that signs in this run. Servers' answers and plan files do not count.
//! There are two exceptions: a run that signs nothing, and a token that the pinned key itself signed. Reasons:
//! `docs/decisions/trust.md`.

use super::{ClaimsError, OperatorClaims, Token, views};
use crate::model::nkey::PublicKey;
use std::collections::{BTreeMap, BTreeSet};

/// An operator's token, signed by the operator's own identity key. It proves which keys sign accounts for that
/// operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorToken {
    place: String,
    claims: OperatorClaims,
    issued_at: u64,
    expires: Option<u64>,
    not_before: u64,
}

impl OperatorToken {
    /// Decodes an operator's token. `place` names the token's origin in messages.
    ///
    /// # Errors
    /// [`ClaimsError`]; [`ClaimsError::WrongIssuer`] if a key other than the operator's identity signed the token. That
    /// includes its signing keys: the holder of one could otherwise add keys to the operator.
    pub fn decode(token: &str, place: impl Into<String>) -> Result<Self, ClaimsError> {
        let claims = OperatorClaims::decode(token)?;
        let token = Token::decode(token)?;
        if *token.issuer() != claims.identity {
            return Err(ClaimsError::WrongIssuer { issuer: token.issuer().clone() });
        }
        let seconds = |field: &str| views::unsigned(token.claims(), "", field).map(|s| s.filter(|s| *s > 0));
        let (issued_at, not_before) = (seconds("iat")?.unwrap_or(0), seconds("nbf")?.unwrap_or(0));
        Ok(Self { place: place.into(), expires: seconds("exp")?, claims, issued_at, not_before })
    }

    /// The operator's claims.
    pub fn claims(&self) -> &OperatorClaims {
        &self.claims
    }

    /// The origin of the token, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    fn has_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// The newest token of an account by one key that this tool pushed and every server confirmed. It proves nothing until
/// the key is known to count, because anyone can write any token to a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastPush {
    /// The account.
    pub id: PublicKey,
    /// The key that signed it.
    pub issuer: PublicKey,
    /// The time when the token was issued, in seconds since 1970.
    pub issued_at: u64,
    /// The record of that push.
    pub record: String,
}

/// Local knowledge about the operator and the tokens that it signed, before any server is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// The operator's key that the definition or the command line pins.
    pub pin: Option<PublicKey>,
    /// Operators' tokens in local files.
    pub tokens: Vec<OperatorToken>,
    /// Local files that do not count, each with the reason.
    pub refused: Vec<(String, String)>,
    /// The key that signs in this run. `None` if the run signs nothing.
    pub signer: Option<PublicKey>,
    /// The last push of each account with each key.
    pub pushed: Vec<LastPush>,
}

/// An operator as one server names it. This proves nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedOperator {
    /// The operator's claims, according to the server.
    pub claims: OperatorClaims,
    /// The `iat` of the server's copy of the operator's token.
    pub issued_at: u64,
    /// The operator's token, if the server returns one that the operator itself signed.
    pub token: Option<OperatorToken>,
}

/// The source of the keys of a [`TrustAnchor`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// The pin and that operator's token, from a local file or a newer one from a server.
    Pin {
        /// The pinned key.
        operator: PublicKey,
        /// The origin of its token.
        place: String,
    },
    /// The pin alone. No local file has that operator's token, or the only one has expired.
    PinAlone {
        /// The pinned key.
        operator: PublicKey,
        /// The origin of the expired token.
        expired: Option<String>,
    },
    /// An operator's token in a local file. It lists the key that signs, or the servers name its operator.
    Token {
        /// The operator.
        operator: PublicKey,
        /// The origin of its token.
        place: String,
    },
    /// The key that signs in this run.
    Signer(PublicKey),
    /// The servers' answers, which all name the same operators. Only for a run that signs nothing.
    Servers(Vec<PublicKey>),
}

/// The keys whose signatures on account tokens count in this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    keys: BTreeSet<PublicKey>,
    basis: Basis,
}

/// The servers name different operators, and no pin or local file decides which of them counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("servers name different operators: {}", .0.join("; "))]
pub struct OperatorsDiffer(pub Vec<String>);

impl Trust {
    /// Returns the operator of the local files: the pinned one, or the only one.
    pub fn operator(&self) -> Option<&OperatorClaims> {
        let counts = |token: &&OperatorToken| self.pin.as_ref().is_none_or(|pin| *pin == token.claims.identity);
        let newest = self.tokens.iter().filter(counts).max_by_key(|token| token.issued_at)?;
        let only = self.tokens.iter().filter(counts).all(|token| token.claims.identity == newest.claims.identity);
        only.then_some(&newest.claims)
    }

    /// Returns the same knowledge for a run that signs with `key`.
    #[must_use]
    pub fn signing_with(self, key: Option<PublicKey>) -> Self {
        Self { signer: key, ..self }
    }

    /// Returns the keys that count. The servers' answers about their operators count only in a run that signs nothing.
    /// `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`OperatorsDiffer`]
    pub fn anchor(&self, servers: &[(&str, Vec<NamedOperator>)], now: u64) -> Result<TrustAnchor, OperatorsDiffer> {
        match (&self.pin, &self.signer) {
            (Some(pin), signer) => Ok(self.pinned(pin, signer.as_ref(), servers, now)),
            (None, Some(signer)) => Ok(self.of_signer(signer, servers, now)),
            (None, None) => self.to_read(servers, now),
        }
    }

    /// Returns the pinned key and the signing keys that its newest token lists.
    ///
    /// If a local file has such a token, a newer one from a server replaces it. The pinned key signed that one too, and
    /// the local copy may list keys that were revoked since. Without a local token, the key that signs now counts too.
    /// This is safe, because its holder can sign the same tokens without this program.
    fn pinned(
        &self,
        pin: &PublicKey,
        signer: Option<&PublicKey>,
        servers: &[(&str, Vec<NamedOperator>)],
        now: u64,
    ) -> TrustAnchor {
        let own = |token: &&OperatorToken| token.claims.identity == *pin;
        let local = newest(self.tokens.iter().filter(own), now);
        let shown = servers.iter().flat_map(|(_, operators)| operators).filter_map(|named| named.token.as_ref());
        let shown = newest(shown.filter(own), now);
        let newest = newest(local.into_iter().chain(shown), now);
        if let Some(token) = newest.filter(|token| local.is_some() && !token.has_expired(now)) {
            let basis = Basis::Pin { operator: pin.clone(), place: token.place.clone() };
            return TrustAnchor { keys: token.claims.trusted_keys().into_iter().collect(), basis };
        }
        let mut keys: BTreeSet<PublicKey> = signer.into_iter().chain([pin]).cloned().collect();
        if signer.is_none() {
            keys.extend(shown.into_iter().flat_map(|token| token.claims.trusted_keys()));
        }
        let expired = local.and(newest).map(|token| token.place.clone());
        TrustAnchor { keys, basis: Basis::PinAlone { operator: pin.clone(), expired } }
    }

    /// Returns the keys of the operator whose local token lists the key that signs. Otherwise returns the keys of the
    /// operator that the servers name and that has a local token, and the key that signs. Without such a token, returns
    /// only that key.
    fn of_signer(&self, signer: &PublicKey, servers: &[(&str, Vec<NamedOperator>)], now: u64) -> TrustAnchor {
        let local = self.newest_of_each(now);
        let lists = |token: &OperatorToken| {
            token.claims.identity == *signer || token.claims.signing_keys.iter().any(|key| key == signer)
        };
        if let Some(token) = local.values().find(|token| lists(token)) {
            return TrustAnchor::of_token(token);
        }
        let named = all_name(servers).unwrap_or_default();
        match named.iter().find_map(|operator| local.get(operator)) {
            Some(token) => TrustAnchor::of_token(token).and(signer),
            None => TrustAnchor::of_key(signer),
        }
    }

    /// Returns the keys of the operator that the servers name, from its local token if there is one.
    fn to_read(&self, servers: &[(&str, Vec<NamedOperator>)], now: u64) -> Result<TrustAnchor, OperatorsDiffer> {
        let operators = all_name(servers)?;
        let local = self.newest_of_each(now);
        if let Some(token) = operators.iter().find_map(|operator| local.get(operator)) {
            return Ok(TrustAnchor::of_token(token));
        }
        let mut keys = BTreeSet::new();
        for operator in &operators {
            let copies = servers.iter().flat_map(|(_, operators)| operators);
            let copies = copies.filter(|named| named.claims.identity == *operator);
            let newest = copies.max_by_key(|named| named.issued_at);
            keys.extend(newest.into_iter().flat_map(|named| named.claims.trusted_keys()));
        }
        Ok(TrustAnchor { keys, basis: Basis::Servers(operators.into_iter().collect()) })
    }

    /// Returns each operator's newest token, unless it has expired. An older token may list keys that the operator has
    /// removed.
    fn newest_of_each(&self, now: u64) -> BTreeMap<&PublicKey, &OperatorToken> {
        let identities: BTreeSet<&PublicKey> = self.tokens.iter().map(|token| &token.claims.identity).collect();
        let newest = identities.into_iter().filter_map(|identity| {
            let token = newest(self.tokens.iter().filter(|token| token.claims.identity == *identity), now)?;
            (!token.has_expired(now)).then_some((identity, token))
        });
        newest.collect()
    }
}

/// Returns the operators that every server names. There are several if servers trust several.
fn all_name(servers: &[(&str, Vec<NamedOperator>)]) -> Result<BTreeSet<PublicKey>, OperatorsDiffer> {
    let mut named: BTreeMap<BTreeSet<PublicKey>, Vec<&str>> = BTreeMap::new();
    for (server, operators) in servers {
        let operators = operators.iter().map(|named| named.claims.identity.clone()).collect();
        named.entry(operators).or_default().push(*server);
    }
    if named.len() < 2 {
        return Ok(named.into_keys().next().unwrap_or_default());
    }
    let said = named.iter().map(|(operators, servers)| {
        let operators: Vec<String> = operators.iter().map(PublicKey::to_string).collect();
        let operators = if operators.is_empty() { "none".to_owned() } else { operators.join(" and ") };
        format!("{operators} on {}", servers.join(", "))
    });
    Err(OperatorsDiffer(said.collect()))
}

/// Returns the latest token among those that are already valid.
fn newest<'t>(tokens: impl Iterator<Item = &'t OperatorToken>, now: u64) -> Option<&'t OperatorToken> {
    tokens.filter(|token| token.not_before <= now).max_by_key(|token| (token.issued_at, &token.place))
}

impl TrustAnchor {
    /// Returns an anchor with only this key, which signs in this run.
    pub fn of_key(key: &PublicKey) -> Self {
        Self { keys: BTreeSet::from([key.clone()]), basis: Basis::Signer(key.clone()) }
    }

    fn of_token(token: &OperatorToken) -> Self {
        let (operator, place) = (token.claims.identity.clone(), token.place.clone());
        Self { keys: token.claims.trusted_keys().into_iter().collect(), basis: Basis::Token { operator, place } }
    }

    /// Returns `true` if signatures by `key` count.
    pub fn trusts(&self, key: &PublicKey) -> bool {
        self.keys.contains(key)
    }

    /// The source of the keys.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// The operator that the keys belong to, if one is known.
    pub fn operator(&self) -> Option<&PublicKey> {
        match &self.basis {
            Basis::Pin { operator, .. } | Basis::PinAlone { operator, .. } | Basis::Token { operator, .. } => {
                Some(operator)
            }
            Basis::Servers(operators) => operators.first(),
            Basis::Signer(_) => None,
        }
    }

    /// Returns `true` if the pinned operator's token is known and does not list `key`. Then the key is not that
    /// operator's.
    pub fn excludes(&self, key: &PublicKey) -> bool {
        matches!(self.basis, Basis::Pin { .. }) && !self.trusts(key)
    }

    /// Returns the anchor with one more key: the key that signs in this run, or a key that the user vouches for
    /// (`--allow record-untrusted`).
    #[must_use]
    pub fn and(&self, key: &PublicKey) -> Self {
        let mut anchor = self.clone();
        anchor.keys.insert(key.clone());
        anchor
    }

    /// Returns the reason why another key does not count, as a phrase that follows the key in a sentence: `is not a key
    /// of the pinned operator O…`.
    pub fn why_not(&self) -> String {
        match &self.basis {
            Basis::Pin { operator, place } => {
                format!("is not a key of the pinned operator {operator} (by its token in {place})")
            }
            Basis::PinAlone { operator, expired: None } => {
                format!(
                    "is not the pinned key {operator} (no local file has that operator's token, which lists others)"
                )
            }
            Basis::PinAlone { operator, expired: Some(place) } => {
                format!("is not the pinned key {operator} (that operator's token in {place} has expired)")
            }
            Basis::Token { operator, place } => {
                format!("is not a key of operator {operator} (by its token in {place})")
            }
            Basis::Signer(key) => format!("is not the key that signs now ({key}; no operator is pinned)"),
            Basis::Servers(operators) => {
                let operators: Vec<String> = operators.iter().map(PublicKey::to_string).collect();
                format!("is not a key of the operator that the servers name ({})", operators.join(" and "))
            }
        }
    }

    /// Returns the next step for a token by another key, if the key may belong to the right operator. `servers` is the
    /// operator that all servers name, if they agree.
    pub fn how_to_trust(&self, servers: Option<&PublicKey>) -> String {
        let jwt = "`nsc describe operator --raw > keys/operator.jwt`";
        match &self.basis {
            Basis::Pin { operator, place } => format!(
                "If the key was added to operator {operator} since its token in {place} was issued, put the newer one into \
                 the keys folder: {jwt}. Else find out who signed."
            ),
            Basis::PinAlone { .. } => format!(
                "Put the operator's token into the keys folder, which says which keys sign for it: {jwt}. If it lists the \
                 key, run this again; else find out who signed."
            ),
            Basis::Token { operator: _, place } => format!(
                "If the key was added to the operator since {place} was written, put the operator's newer token there: \
                 {jwt}. Else find out who signed."
            ),
            Basis::Signer(_) | Basis::Servers(_) => {
                let line =
                    servers.map_or_else(|| "operator: O…".to_owned(), |operator| format!("operator: {operator}"));
                format!(
                    "If the key is your operator's, pin the operator in the definition, `{line}` (compare it with `nsc \
                     describe operator`), and put its token into the keys folder: {jwt}. Else find out who signed."
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
