//! Virtual streams for multi-region NATS in operator mode: one stream name that applications use in every region,
//! made of cluster-scoped subject mappings in signed account JWTs and of ordinary streams behind them.
//!
//! # The flow
//!
//! Each stage is a module, and uses earlier ones only:
//!
//! 1. [`definition`]: the text of a definition becomes the [`model`], or a list of all errors in it.
//! 2. [`desired`]: the mappings, streams and consumers that the model asks for.
//! 3. [`observed`]: the servers' answers: which servers there are, the accounts' tokens as stored and in force, and
//!    streams.
//! 4. [`lint`]: checks an account's whole set of mappings, ours and foreign ones.
//! 5. [`plan`]: compares desired with observed: changes in a safe order, items left alone, findings that stop the run.
//! 6. [`nsc`]: reads the copies of the tokens in an nsc store, if there is one, before a run, and writes them after it.
//! 7. [`sign`]: keeps seeds in memory that is wiped; only [`sign::issue`] makes signed tokens.
//! 8. [`provision`]: makes streams and consumers before any mapping leads to them.
//! 9. [`resolver`]: sends signed tokens to the resolver on all servers, and judges each server's answer by its name;
//!    or hands tokens to an account server, or writes them into the servers' configuration.
//! 10. [`verify`]: checks that tokens are stored, applied and live on every server, and that every source flows.
//! 11. [`explain`]: follows a message that clients of a cluster publish to where it goes.
//! 12. [`engine`]: carries out a plan, stage by stage, under the lease.
//!
//! [`ops`] has the verbs, one file each: what a verb reads and plans. [`cli`] is the command line over it. [`nats`] is
//! the only module that knows the client library. [`dev`] runs a local super-cluster of real servers.
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//! use vstream_jwt::nats::{DefinitionConnector, Purpose};
//! use vstream_jwt::engine::run::{Run, Signers, execute};
//! use vstream_jwt::engine::lease::Holder;
//! use vstream_jwt::engine::session::{Subscription, VerbInputs};
//! use vstream_jwt::ops::trust::trust;
//! use vstream_jwt::engine::{Deadline, Silent};
//! use vstream_jwt::ops::apply::ApplyPlanner;
//! use vstream_jwt::ops::plan::plan;
//! use vstream_jwt::ops::load;
//! use vstream_jwt::sign::Signer as _;
//! use vstream_jwt::sign::file::read_seed_file;
//! use vstream_jwt::sign::keyring::Keyring;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let loaded = load::load(Path::new("vstream.yaml"))?;
//! let operator = read_seed_file(Path::new("keys/op.nk"))?;
//! let mut keys = Keyring::open(Path::new("keys"))?;
//! let trust = trust(Some(&loaded.definition), &loaded.base, Path::new("keys"));
//! let trust = trust.signing_with(Some(operator.public_key()));
//! let connector = DefinitionConnector::new(&loaded.definition, Purpose::Change, Path::new("keys"));
//! let deadline = Deadline::after(Duration::from_secs(30));
//!
//! let options = vstream_jwt::plan::Options::default();
//! let inputs = VerbInputs { definition: &loaded.definition, keys: &keys, trust: &trust };
//! let (mut session, mut planned) =
//!     plan(inputs, &connector, &options, Subscription::On, deadline, &Silent).await?;
//! let signers = Signers { operator: Some(&operator), keys: &mut keys, signed: None };
//! let run = Run::new(ApplyPlanner(None), signers, Holder { who: "pipeline 7".to_owned(), verb: "apply" });
//! let applied = execute(&mut session, &mut planned, run, &connector, &Silent).await?;
//! assert!(applied.is_confirmed(), "some server did not confirm: {applied:?}");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod cli;
pub mod definition;
pub mod desired;
#[cfg(feature = "dev")]
pub mod dev;
pub mod engine;
pub mod explain;
mod files;
pub mod lint;
pub mod model;
pub mod nats;
pub mod nsc;
pub mod observed;
pub mod ops;
pub mod plan;
pub mod provision;
pub mod resolver;
pub mod secrets;
pub mod sign;
#[cfg(test)]
mod testing;
pub mod verify;
