//! An in-memory deployment, for tests of whole runs without servers.
//!
//! Read `deployment` first: its state, and the faults that a test switches on. `system` answers the system account's
//! requests. `accounts` has where mappings, imports and exports lead those of other accounts, and `jetstream` answers
//! them. `connection` stands in for the connections, and `log` for the history folder. `audit` checks what must hold at
//! any time. All times are the runtime's, so that tests can pause them.

mod accounts;
mod audit;
pub(crate) mod connection;
pub(crate) mod deployment;
mod jetstream;
pub(crate) mod log;
mod system;
