//! Finds secrets in text. Only this module knows which texts must be neither printed nor written.
//!
//! [`find`] returns the secrets and their positions. [`hide`] is for output and for views that are written to files.
//! [`masked`] is for source text whose offsets must stay valid. Output, plan files, records and definitions all use
//! this module.

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
