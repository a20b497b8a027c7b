//! Files: [`read`] opens and reads what a path names, `write` writes files whole or not at all, and `device` writes to
//! pipes and devices.

mod device;
mod read;
mod write;

pub(crate) use read::{ReadError, closed_to_others, drain, mode, open, read};
pub(crate) use read::{read_any_secret, read_end, read_secret, read_text};
pub(crate) use write::{Access, create, is_special, open_to_write, probe, replace};

#[cfg(test)]
mod tests;
