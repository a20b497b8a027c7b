//! Virtual streams for multi-region NATS in operator mode: one stream name that applications use in every region,
//! made of cluster-scoped subject mappings in signed account JWTs and of ordinary streams behind them.
//!
//! # The flow
//!
//! Each stage is a module, and uses earlier ones only:
//!
//! 1. [`definition`]: the text of a definition becomes the [`model`], or a list of all that is wrong with it.
//! 2. [`desired`]: what the model asks for: mappings, stream and consumer configs.
//! 3. [`observed`]: what the servers say: who they are, the accounts' tokens and what is in force of them, streams.
//! 4. [`lint`]: is an account's whole mapping set, ours and others', safe?
//! 5. [`plan`]: desired against observed: changes in a safe order, what is left alone, what stops the run.
//! 6. [`nsc`]: the copies of the tokens in an nsc store, where there is one: read before, written after.
//! 7. [`sign`]: seeds in wiped memory; [`sign::issue`] is the only maker of a signed token.
//! 8. [`provision`]: streams and consumers, before any mapping leads to them.
//! 9. [`push`]: signed tokens to the account resolver, each server's answer judged by name; [`resolver`]: or to an account
//!    server, or into the servers' configuration.
//! 10. [`verify`]: is it stored, applied and live on every server, and does every source flow?
//! 11. [`explain`]: where does a message go that clients of a cluster publish?
//!
//! 12. [`engine`]: carries out a plan, stage by stage, under the lease.
//!
//! [`ops`] has the verbs, one file each: what a verb reads and plans; [`cli`] is the command line over it; [`nats`] is the only module
//! that knows the client library; [`dev`] runs a local super-cluster of real servers.
//!
//! # Apply a definition
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//! use vstream_jwt::nats::{DefinitionConnector, Purpose};
//! use vstream_jwt::engine::run::{Run, Signers, execute};
//! use vstream_jwt::engine::lease::Holder;
//! use vstream_jwt::engine::session::{Given, Hearing};
//! use vstream_jwt::ops::trust::trust;
//! use vstream_jwt::engine::{Deadline, Silent};
//! use vstream_jwt::ops::plan::{FromDefinition, plan};
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
//! let given = Given { definition: &loaded.definition, keys: &keys, trust: &trust };
//! let (mut session, mut planned) =
//!     plan(given, &connector, &options, Hearing::On, deadline, &Silent).await?;
//! let signers = Signers { operator: Some(&operator), keys: &mut keys, signed: None };
//! let run = Run::new(FromDefinition, signers, Holder { who: "pipeline 7".to_owned(), verb: "apply" });
//! let applied = execute(&mut session, &mut planned, run, &connector, &Silent).await?;
//! assert!(applied.is_confirmed(), "some server did not confirm: {applied:?}");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod cli;
pub mod definition;
pub mod desired;
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
pub mod push;
pub mod resolver;
pub mod secrets;
pub mod sign;
pub mod verify;
