//! Another tool's content in the account's claims, which it keeps changing. The content survives every killed run.

use crate::support::bench::Bench;
use serde_json::{Value, json};
use std::time::Duration;
use vstream_jwt::model::claims::Token;

/// A tool that edits the newest token and pushes it, as `nsc` does. It owns an export and a mapping that never change.
/// Each push adds a tag, and a mapping with a new destination.
pub struct Others<'c> {
    pub bench: Bench<'c>,
    pushes: usize,
    mappings: serde_json::Map<String, Value>,
}

impl<'c> Others<'c> {
    pub async fn start(bench: Bench<'c>) -> Self {
        let mappings = [("theirs.>".to_owned(), json!([{ "subject": "elsewhere.>", "weight": 100 }]))];
        let mut others = Self { bench, pushes: 0, mappings: mappings.into_iter().collect() };
        others.push().await;
        others
    }

    pub async fn push(&mut self) {
        // Waits until the push of a killed run has reached the servers; nothing keeps the two from pushing at once.
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.pushes += 1;
        let to = json!([{ "subject": format!("elsewhere.{}", self.pushes), "weight": 100 }]);
        self.mappings.insert(format!("theirs-{}", self.pushes % 7), to);
        let tokens = self.bench.tokens().await.into_iter().filter_map(|(_, token)| token);
        let claims = tokens.map(|token| Token::decode(&token).unwrap().claims().clone());
        let mut claims = claims.max_by_key(|claims| claims["iat"].as_u64()).unwrap();
        let nats = claims["nats"].as_object_mut().unwrap();
        let mappings = nats.entry("mappings").or_insert_with(|| json!({})).as_object_mut().unwrap();
        mappings.extend(self.mappings.clone());
        nats.insert("tags".to_owned(), self.tags());
        let exports = nats.entry("exports").or_insert_with(|| json!([])).as_array_mut().unwrap();
        if !exports.iter().any(|export| *export == Self::export()) {
            assert_eq!(self.pushes, 1, "the export is gone");
            exports.push(Self::export());
        }
        self.bench.push(&claims).await;
    }

    fn export() -> Value {
        json!({ "name": "theirs", "subject": "theirs.help", "type": "service" })
    }

    fn tags(&self) -> Value {
        (1..=self.pushes).map(|push| json!(format!("theirs:{push}"))).collect()
    }

    /// Asserts that all of the tool's content is on every server.
    pub async fn are_content(&self, when: &str) {
        let claims = self.bench.claims().await;
        let nats = &claims["nats"];
        for (source, to) in &self.mappings {
            assert_eq!(nats["mappings"][source], *to, "{when}: {source}");
        }
        assert!(nats["exports"].as_array().unwrap().contains(&Self::export()), "{when}: {}", nats["exports"]);
        let tags = nats["tags"].as_array().unwrap();
        let lost: Vec<Value> =
            self.tags().as_array().unwrap().iter().filter(|tag| !tags.contains(tag)).cloned().collect();
        assert!(lost.is_empty(), "{when}: lost {lost:?}");
    }

    pub fn says(&self) -> String {
        format!("{} pushes of others kept", self.pushes)
    }
}
