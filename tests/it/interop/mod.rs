//! Tokens of other tools: read, edited and signed again without loss, and checked by independent implementations.
//!
//! The fixtures were minted by Go's jwt library and by nsc (`tests/fixtures/tokens/README.md`). With
//! `VSTREAM_INTEROP_OUT=FOLDER` the edited tokens are written there for `tests/peers/verify.sh`.

mod fixtures;
mod look_alikes;
mod lossless;
mod others;
pub mod strict;
mod users;
