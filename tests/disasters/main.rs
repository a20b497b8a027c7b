//! What virtual streams must withstand on real servers: lost regions, split brain, kills in the middle, drift, gaps.
//!
//! `VSTREAM_NATS_SERVER_VERSION` chooses the servers, `VSTREAM_SEED` repeats the random moments of a run.

#[path = "../support/mod.rs"]
mod support;

#[path = "../supercluster/bench.rs"]
#[expect(dead_code, reason = "it is the other suite's; this one uses a part of it")]
mod bench;

mod backlog;
mod blackout;
mod drift;
mod gap;
mod killed;
mod killed_back;
mod killed_files;
mod kills;
mod others;
mod stages;
mod steps;
mod traffic;
mod watch;
