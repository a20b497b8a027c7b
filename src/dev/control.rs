//! Requests to a super-cluster: one JSON line each way on the supervisor's loopback port.

use super::DevError;
use super::layout::DevLayout;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Length of the longest line that either side reads.
pub(super) const MOST: u64 = 1 << 20;

/// A request to the supervisor, which answers with the resulting [`State`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    Status,
    Kill(Vec<String>),
    Start(Vec<String>),
    Cut(String),
    Heal(String),
    Stop,
}

/// A request, and proof that its sender may read the super-cluster's folder.
#[derive(Serialize, Deserialize)]
pub(super) struct Envelope {
    pub(super) token: String,
    pub(super) request: Request,
}

/// The state of the servers, as the supervisor knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) supervisor: u32,
    pub(super) servers: Vec<(String, ServerState)>,
    pub(super) cut: Vec<String>,
}

/// The state of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ServerState {
    /// The process runs.
    Running {
        /// The process id.
        pid: u32,
    },
    /// The server was killed on request, or is not started yet.
    Down,
    /// The server ended without a request.
    Ended {
        /// The process's exit status, and the end of its log.
        why: String,
    },
}

/// Sends a request to the supervisor, and returns the state afterwards.
pub(super) async fn ask(layout: &DevLayout, request: Request) -> Result<State, DevError> {
    let failed = |cause: &dyn std::fmt::Display| DevError::Supervisor(format!("does not answer: {cause}"));
    let asked = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, layout.control_port)).await?;
        let mut line = serde_json::to_vec(&Envelope { token: layout.control_token.clone(), request })?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = Vec::new();
        BufReader::new(stream).take(MOST).read_until(b'\n', &mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), asked).await;
    let answer = answer.map_err(|_| failed(&"no answer within 20 s"))?.map_err(|error| failed(&error))?;
    let answer: Result<State, String> = serde_json::from_slice(&answer).map_err(|error| failed(&error))?;
    answer.map_err(|cause| DevError::Supervisor(format!("says: {cause}")))
}

/// Checks whether the supervisor is listening.
pub(super) async fn listening(layout: &DevLayout) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, layout.control_port)).await.is_ok()
}
