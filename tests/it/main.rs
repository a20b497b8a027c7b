//! The integration tests: one binary, one module per area.
//!
//! [`support`] has the shared parts. `cli` needs no servers; `interop` and `mappings` compare our tokens and mappings
//! with those of other implementations. `supercluster` runs the command on real servers, and `disasters` kills, cuts
//! and fills them. `pipelines` runs the example pipelines; `pkcs11` signs with a hardware token.

mod cli;
mod disasters;
mod interop;
mod mappings;
mod pipelines;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod supercluster;
mod support;
