//! Connections to NATS servers. Only this module knows `async-nats`.
//!
//! [`connect`] connects to the first server of a list that answers, and returns a [`NatsConnection`]. Everything else
//! sends its requests over it through [`crate::observed::Requests`].

mod connect;
mod connection;
mod connector;
mod context;
mod error;
mod login;
pub mod permissions;
mod reference;
mod refused;

pub use connect::{ConnectOptions, Target, connect};
pub use connection::NatsConnection;
pub use connector::DefinitionConnector;
pub use context::{ContextServers, context_servers};
pub use error::ConnectError;
pub use login::{LoginMethod, user_of};
pub use permissions::Purpose;
