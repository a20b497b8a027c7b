//! The text form of a NATS JWT: its header, and the size that servers accept.

/// The header of every token that this tool makes (nats-io/jwt v2 `header.go`).
pub(crate) const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// Servers and resolvers refuse larger tokens (nats-io/jwt v2 `decoder.go`, `MaxTokenSize`).
pub const MAX_TOKEN_SIZE: usize = 1024 * 1024;
