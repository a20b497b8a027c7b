//! How a super-cluster is told what to do: one JSON line each way on the supervisor's loopback port.

use super::DevError;
use super::layout::Layout;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// The longest line that either side reads.
pub(super) const MOST: u64 = 1 << 20;

/// What can be asked of the supervisor. Each is answered with the [`State`] afterwards.
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

/// A request, and the proof that who sends it may read the super-cluster's folder.
#[derive(Serialize, Deserialize)]
pub(super) struct Envelope {
    pub(super) token: String,
    pub(super) request: Request,
}

/// What the supervisor knows of its servers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) supervisor: u32,
    pub(super) servers: Vec<(String, ServerState)>,
    pub(super) cut: Vec<String>,
}

/// Whether a server is running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ServerState {
    /// The process runs.
    Running {
        /// Its process id.
        pid: u32,
    },
    /// It was killed on request, or not started yet.
    Down,
    /// It ended by itself.
    Ended {
        /// The process's exit status, and the end of what it said.
        why: String,
    },
}

/// Asks the supervisor.
pub(super) async fn ask(layout: &Layout, request: Request) -> Result<State, DevError> {
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

/// Whether the supervisor listens.
pub(super) async fn listening(layout: &Layout) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, layout.control_port)).await.is_ok()
}
