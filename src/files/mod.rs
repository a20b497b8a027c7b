//! Files: [`read`] opens and reads paths, `write` writes files atomically, and `device` writes to pipes and devices.

mod device;
mod read;
mod write;

pub(crate) use read::{FileReadError, closed_to_others, drain, mode, read};
pub(crate) use read::{read_any_secret, read_secret, read_text};
pub(crate) use write::{FileAccess, create, probe, replace};

#[cfg(feature = "dev")]
pub(crate) use read::{open, read_end};
#[cfg(feature = "dev")]
pub(crate) use write::{is_special, open_to_write};

#[cfg(test)]
mod tests;
