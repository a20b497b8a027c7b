//! Features that a definition may use but this version does not have yet. The change that builds one deletes its line
//! here.

use super::Definition;
use crate::model::virtual_stream::{Account, Consistency, VirtualStream};

/// A defined feature that is not built yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbuilt {
    /// The path of keys to it.
    pub path: Vec<String>,
    /// The key and value.
    pub what: String,
    /// The text to write instead.
    pub instead: String,
}

/// Returns everything in `definition` that is not built yet.
pub fn unbuilt(definition: &Definition) -> Vec<Unbuilt> {
    let mut list = List(Vec::new());
    for account in &definition.accounts {
        of_account(account, &mut list);
    }
    list.0
}

fn of_account(account: &Account, list: &mut List) {
    for stream in &account.virtual_streams {
        of_virtual_stream(account, stream, list);
    }
}

fn of_virtual_stream(account: &Account, stream: &VirtualStream, list: &mut List) {
    let path = |key| ["accounts", account.name.as_str(), "virtual_streams", stream.name.as_str(), key];
    if matches!(stream.consistency, Consistency::Ordered | Consistency::Immediate) {
        let level = stream.consistency.as_str();
        list.add(&path("consistency"), format!("consistency `{level}`"), "write `consistency: eventual` or `mirrored`");
    }
}

struct List(Vec<Unbuilt>);

impl List {
    fn add(&mut self, path: &[&str], what: impl Into<String>, instead: &str) {
        let path = path.iter().map(|&key| key.to_owned()).collect();
        self.0.push(Unbuilt { path, what: what.into(), instead: instead.to_owned() });
    }
}
