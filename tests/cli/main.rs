//! The command line without servers: what a verb prints, where, and how it exits.

#[path = "../support/documented.rs"]
mod documented;

mod definition;
mod docs;
mod help;
mod history;
mod keys;
mod structure;
