//! The command line without servers: what a verb prints, where, and how it exits.

#[path = "../support/documented.rs"]
mod documented;

#[path = "../support/killing.rs"]
mod killing;

#[path = "../support/secrets.rs"]
mod secrets;

mod definition;
mod docs;
mod help;
mod history;
mod keys;
mod killed;
mod refusals;
mod structure;
mod terminal;
