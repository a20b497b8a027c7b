//! The command line without servers: what a verb prints, where, and how it exits.

mod definition;
mod docs;
mod help;
mod keys;
mod structure;
