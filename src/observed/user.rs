//! Who a connection is: the user's token.

use serde_json::Value;

/// The user of a connection, as its token has it.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The whole claims.
    pub claims: Value,
    /// Where they come from, for messages: `credentials keys/sys.creds`.
    pub place: String,
    /// Made for this run, with what it needs and for as long as it needs.
    pub minted: bool,
}

impl User {
    /// Its name, or its key.
    pub fn name(&self) -> &str {
        let text = |field: &str| self.claims[field].as_str().filter(|text| !text.is_empty());
        text("name").or(text("sub")).unwrap_or_default()
    }
}
