//! The state of the deployment, its clock, and the faults that a test switches on.

use super::jetstream::JetStream;
use super::system::By;
use crate::engine::clock::now;
use crate::model::claims::{AccountClaims, Token};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::observed::link::Voice;
use crate::push;
use crate::sign::{Seed, SignError, Signer, issue, next_iat};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Age of the account's first token, in seconds.
const AGE: u64 = 1000;
/// Time that a late server takes for each request: more than a run waits for a further answer.
const LATE: Duration = Duration::from_secs(2);
/// Time between two pushes of another tool.
const APART: Duration = Duration::from_millis(10);

/// Servers that trust one operator and have one application's account. Clones share the deployment.
#[derive(Clone)]
pub(crate) struct InMemory(Arc<Shared>);

struct Shared {
    operator: Seed,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(super) nodes: Vec<Node>,
    pub(super) operator: PublicKey,
    pub(super) system: PublicKey,
    pub(super) account: PublicKey,
    /// JetStream of each account, by its key.
    pub(super) jetstreams: BTreeMap<String, JetStream>,
    /// Subscriptions to pushes.
    pub(super) voices: Vec<Voice>,
    pub(super) faults: Faults,
    /// Claims that other tools pushed.
    pub(super) kept: Vec<Kept>,
    /// Tokens that runs wrote to their logs.
    pub(super) logged: HashSet<String>,
    pub(super) pushes: Pushes,
    /// Violations of what must hold at any time.
    pub(super) violations: Vec<String>,
    /// The account's token before any run.
    first: String,
    /// The subjects on which runs asked.
    asked: Vec<String>,
    /// The fault that happens at the request with this number.
    trap: Option<(usize, Fault)>,
    /// The runtime's time when the deployment was made, and the servers' time then.
    began: (Instant, Timestamp),
}

/// A server.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) cluster: String,
    /// The tokens that its resolver stores, by account.
    pub(super) stored: BTreeMap<String, String>,
    /// The tokens in force, by account.
    pub(super) live: BTreeMap<String, String>,
    /// `true` if it neither does anything nor answers.
    pub(super) silent: bool,
    /// Time that it takes for each request besides the way.
    pub(super) late: Duration,
    /// The time of its last fault.
    pub(super) touched: Option<Instant>,
    /// `true` if it came back with an old token, and got none since.
    pub(super) old: bool,
}

/// Faults of the whole deployment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// The lease's stream takes no messages.
    pub(super) lease_silent: bool,
    /// Sources do not reach their origins.
    pub(super) sources_stuck: bool,
    /// The operator's key does not sign.
    pub(super) signer_refuses: bool,
    /// Neither streams nor tokens nor records can be stored.
    pub(super) disk_full: bool,
    /// The system user may not push.
    pub(super) push_denied: bool,
}

/// Times of the last pushes.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    pub(super) by_anyone: Option<Instant>,
    by_another_tool: Option<Instant>,
}

/// A claim of another tool, and when it was pushed.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) claim: Claim,
    pub(super) at: Instant,
}

/// A claim that another tool adds to the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    Tag(String),
    /// A mapping with this source.
    Mapping(String),
}

/// A fault that happens while a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The run is killed before it sends the request.
    Killed,
    /// The run is killed before the answer to its request comes.
    AnswerLost,
    /// Another tool pushes a token by the trusted key: made from the newest, or from the account's first.
    Overwritten { from_old: bool },
    /// Another tool pushes a token made from the newest, and no run hears of it, as after a new connection.
    OverwrittenUnheard,
    /// The server with this number does not answer any more.
    Silent(usize),
    /// The server with this number takes 2 s for each request.
    Late(usize),
    /// The server with this number restarts with the account's first token.
    BackWithOldToken(usize),
    /// The lease's stream does not answer any more, so that the run loses its lease.
    LeaseLost,
    /// Another run took the lease.
    LeaseStolen,
    /// Sources do not reach their origins any more.
    SourcesStuck,
    /// The operator's key does not sign any more.
    SignerRefuses,
    /// Nothing can be stored any more.
    DiskFull,
    /// The system user may not push any more.
    PushDenied,
}

/// One process, which can be killed.
#[derive(Debug, Clone)]
pub(crate) struct Process(Arc<watch::Sender<bool>>);

impl Process {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn kill(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the process was killed.
    pub(crate) async fn killed(&self) {
        let mut dead = self.0.subscribe();
        // The sender lives as long as this process.
        let _ = dead.wait_for(|dead| *dead).await;
    }
}

impl InMemory {
    /// Makes `clusters` × `size` servers. The account has JetStream, and a claim of another tool.
    pub(crate) fn new(clusters: &[&str], size: usize) -> Self {
        let key = |kind| Seed::generate(kind).unwrap();
        let (operator, system) = (key(KeyKind::Operator), key(KeyKind::Account).public_key());
        let account = key(KeyKind::Account).public_key();
        let initial = Claim::Tag("first".to_owned());
        let mut claims = json!({ "sub": account.to_string(), "name": "APP", "nats": {
            "limits": {
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
            },
            "type": "account", "version": 2,
        } });
        initial.add_to(&mut claims);
        let first = issue(&claims, &operator, now() - AGE).unwrap().as_str().to_owned();
        let tokens = BTreeMap::from([(account.to_string(), first.clone())]);
        let node = |cluster: &str, number: usize| Node {
            name: format!("{cluster}-{number}"),
            cluster: cluster.to_owned(),
            stored: tokens.clone(),
            live: tokens.clone(),
            silent: false,
            late: Duration::ZERO,
            touched: None,
            old: false,
        };
        let nodes = clusters.iter().flat_map(|cluster| (0..size).map(move |number| (*cluster, number)));
        let state = State {
            nodes: nodes.map(|(cluster, number)| node(cluster, number)).collect(),
            operator: operator.public_key(),
            system,
            jetstreams: BTreeMap::from([(account.to_string(), JetStream::default())]),
            account,
            voices: Vec::new(),
            faults: Faults::default(),
            kept: vec![Kept { claim: initial, at: Instant::now() }],
            logged: HashSet::new(),
            pushes: Pushes::default(),
            violations: Vec::new(),
            first,
            asked: Vec::new(),
            trap: None,
            began: (Instant::now(), Timestamp::now()),
        };
        Self(Arc::new(Shared { operator, state: Mutex::new(state) }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The application's account.
    pub(crate) fn account(&self) -> PublicKey {
        self.state().account.clone()
    }

    /// The names of the account's streams.
    pub(crate) fn streams(&self) -> Vec<String> {
        let state = self.state();
        state.jetstreams.values().flat_map(JetStream::names).map(str::to_owned).collect()
    }

    /// The subjects on which runs asked so far, in their order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// Lets a fault happen when a run sends its request with this number, counted from 0.
    pub(crate) fn trap(&self, at: usize, fault: Fault) {
        self.state().trap = Some((at, fault));
    }

    /// Counts a request of a run, and lets the fault happen that is due.
    pub(super) fn begins(&self, subject: &str) -> Option<Fault> {
        let due = {
            let mut state = self.state();
            let number = state.asked.len();
            state.asked.push(subject.to_owned());
            state.trap.take_if(|(at, _)| *at == number)
        };
        let (_, fault) = due?;
        self.strike(fault);
        Some(fault)
    }

    /// Lets a fault happen now. A kill is for the run that asks, and for no other.
    pub(crate) fn strike(&self, fault: Fault) {
        match fault {
            Fault::Overwritten { from_old } => return self.push_by_another_tool(from_old, true),
            Fault::OverwrittenUnheard => return self.push_by_another_tool(false, false),
            _ => {}
        }
        let mut state = self.state();
        let time = state.time();
        let first = state.first.clone();
        let account = state.account.to_string();
        match fault {
            Fault::Killed | Fault::AnswerLost | Fault::Overwritten { .. } | Fault::OverwrittenUnheard => {}
            Fault::Silent(number) => state.node(number).silent = true,
            Fault::Late(number) => state.node(number).late = LATE,
            Fault::BackWithOldToken(number) => {
                let node = state.node(number);
                node.stored.insert(account.clone(), first.clone());
                node.live.insert(account, first);
                (node.silent, node.old) = (false, true);
            }
            Fault::LeaseLost => state.faults.lease_silent = true,
            Fault::LeaseStolen => state.jetstreams.values_mut().for_each(|jetstream| jetstream.steal_lease(time)),
            Fault::SourcesStuck => state.faults.sources_stuck = true,
            Fault::SignerRefuses => state.faults.signer_refuses = true,
            Fault::DiskFull => state.faults.disk_full = true,
            Fault::PushDenied => state.faults.push_denied = true,
        }
    }

    /// Ends all faults. Servers that were away have the tokens that they had.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        (state.faults, state.trap) = (Faults::default(), None);
        for node in state.nodes.iter_mut().filter(|node| node.silent || !node.late.is_zero()) {
            // What was sent to a late server is still on its way.
            node.touched = Some(Instant::now() + node.late);
            (node.silent, node.late) = (false, Duration::ZERO);
        }
    }

    /// Pushes a token with one more claim, as a tool does that reads, edits and pushes. Does nothing while the last such
    /// push is on its way: it would be taken back.
    fn push_by_another_tool(&self, from_old: bool, heard: bool) {
        let token = {
            let mut state = self.state();
            if state.pushes.by_another_tool.is_some_and(|at| at.elapsed() < APART) {
                return;
            }
            let base = if from_old { state.first.clone() } else { state.newest() };
            let read = AccountClaims::decode(&base).unwrap();
            let claim = Claim::numbered(state.kept.len());
            let mut claims = read.value().clone();
            claim.add_to(&mut claims);
            let at = Instant::now();
            state.kept.push(Kept { claim, at });
            state.pushes.by_another_tool = Some(at);
            issue(&claims, &self.0.operator, next_iat(now(), [read.issued_at()])).unwrap()
        };
        // Other tools do not wait for answers here.
        let by = if heard { By::AnotherTool } else { By::Unheard };
        drop(self.ask_all(push::SUBJECT, token.as_str().as_bytes().to_vec(), by));
    }
}

impl State {
    /// The servers' time.
    pub(super) fn time(&self) -> Timestamp {
        self.began.1 + self.began.0.elapsed()
    }

    /// The server with a number, which counts as touched from now on.
    fn node(&mut self, number: usize) -> &mut Node {
        let place = number % self.nodes.len();
        let node = &mut self.nodes[place];
        node.touched = Some(Instant::now());
        node
    }

    /// The account's token on `node`.
    pub(super) fn stored_on<'n>(&self, node: &'n Node) -> Option<&'n str> {
        node.stored.get(&self.account.to_string()).map(String::as_str)
    }

    /// The account's newest token on any server; of two of one second, the one that more servers have.
    pub(super) fn newest(&self) -> String {
        let mut copies: HashMap<&str, usize> = HashMap::new();
        for token in self.nodes.iter().filter_map(|node| self.stored_on(node)) {
            *copies.entry(token).or_default() += 1;
        }
        let dated = copies.into_iter().map(|(token, copies)| (issued_at(token), copies, token));
        dated.max().map(|(_, _, token)| token.to_owned()).unwrap()
    }
}

fn issued_at(token: &str) -> u64 {
    Token::decode(token).unwrap().claims()["iat"].as_u64().unwrap()
}

impl Claim {
    fn numbered(number: usize) -> Self {
        match number.is_multiple_of(2) {
            true => Self::Mapping(format!("theirs-{number}.>")),
            false => Self::Tag(format!("theirs-{number}")),
        }
    }

    fn add_to(&self, claims: &mut Value) {
        let nats = &mut claims["nats"];
        match self {
            Self::Tag(tag) => {
                let mut tags = nats["tags"].as_array().cloned().unwrap_or_default();
                tags.push(tag.as_str().into());
                nats["tags"] = tags.into();
            }
            Self::Mapping(source) => nats["mappings"][source] = json!([{ "subject": format!("elsewhere.{source}") }]),
        }
    }

    pub(super) fn is_in(&self, claims: &AccountClaims) -> bool {
        match self {
            Self::Tag(tag) => claims.tags().contains(&tag.as_str()),
            Self::Mapping(source) => claims.mappings().iter().any(|mapping| mapping.source == *source),
        }
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InMemory")
    }
}

/// Signs as the operator.
impl Signer for InMemory {
    fn public_key(&self) -> PublicKey {
        self.0.operator.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        if self.state().faults.signer_refuses {
            return Err(SignError::Signer("the key is locked".to_owned()));
        }
        self.0.operator.sign(message)
    }
}
