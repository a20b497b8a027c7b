//! Disasters that virtual streams must withstand on real servers: lost regions, split brain, kills in the middle,
//! drift, gaps.
//!
//! `VSTREAM_NATS_SERVER_VERSION` chooses the servers, `VSTREAM_SEED` repeats the random moments of a run.

mod backlog;
mod blackout;
mod drift;
mod gap;
mod killed;
mod killed_back;
mod killed_files;
mod kills;
mod old_values;
mod others;
pub mod serving;
mod stages;
mod steps;
pub mod traffic;
mod watch;
