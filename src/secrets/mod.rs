//! Finds secrets in text, wherever they stand in it: the one place that knows what must be neither printed nor written.
//!
//! [`find`] says what is where. [`hide`] is for what is printed and for views that are written, [`masked`] for source
//! text whose offsets have to stay valid. Output, plan files, records and definitions all go through here.

mod json;
mod key_files;
mod passwords;
mod pins;
mod redact;
mod search;
mod secret;
mod seeds;
mod tokens;

pub use json::find_in_json;
pub use redact::{hide, hide_json, is_shown_in_full, masked};
pub use search::{find, find_some};
pub use secret::{Kind, Secret};

#[cfg(test)]
mod tests;
