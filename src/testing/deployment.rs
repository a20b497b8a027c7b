//! The state of the deployment, its clock, and the faults that a test injects.

use super::accounts::AccountToken;
use super::jetstream::JetStream;
use super::system::By;
use crate::engine::clock::now;
use crate::model::claims::AccountClaims;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::observed::connection::MessageSender;
use crate::resolver::push;
use crate::sign::{Seed, SignError, SignedToken, Signer, issue, next_iat};
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
/// Time that a late server takes for each request. It is longer than a run waits for another answer.
const LATE: Duration = Duration::from_secs(2);
/// Time between two pushes of another tool.
const APART: Duration = Duration::from_millis(10);

/// Servers that trust one operator and have one application's account, for which runs may make regional ones. Clones
/// share the deployment.
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
    /// The application's account.
    pub(super) account: PublicKey,
    /// JetStream of each account, by its key.
    pub(super) jetstreams: BTreeMap<String, JetStream>,
    /// Subscriptions to pushes.
    pub(super) senders: Vec<MessageSender>,
    pub(super) faults: Faults,
    /// Claims that other tools pushed.
    pub(super) kept: Vec<Kept>,
    /// Tokens that runs wrote to their logs.
    pub(super) logged: HashSet<String>,
    pub(super) pushes: Pushes,
    /// Violations of what must hold at any time.
    pub(super) violations: Vec<String>,
    /// The first token of each account: of the application's, the one before any run.
    pub(super) firsts: BTreeMap<String, Arc<AccountToken>>,
    /// All tokens that were read, by their texts.
    known: HashMap<String, Arc<AccountToken>>,
    /// The subjects on which runs asked.
    asked: Vec<String>,
    /// The fault to inject at the request with this number.
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
    pub(super) stored: BTreeMap<String, Arc<AccountToken>>,
    /// The tokens in force, by account: of the accounts that it has loaded.
    pub(super) live: BTreeMap<String, Arc<AccountToken>>,
    /// `true` if it neither does anything nor answers.
    pub(super) silent: bool,
    /// Time that it takes for each request, in addition to the latency.
    pub(super) late: Duration,
    /// The time of its last fault.
    pub(super) touched: Option<Instant>,
    /// `true` if it came back with an old token of the application's account, and got none since.
    pub(super) old: bool,
}

/// Faults of the whole deployment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// The lease's stream accepts no messages.
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
    pub(super) by_another_tool: Option<Instant>,
}

/// A claim of another tool in an account, and when it was pushed.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) account: String,
    pub(super) claim: Claim,
    pub(super) at: Instant,
}

/// A claim that another tool adds to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    Tag(String),
    /// A mapping with this source.
    Mapping(String),
}

/// A fault that happens during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The run is killed before it sends the request.
    Killed,
    /// The run is killed before the answer to its request comes.
    AnswerLost,
    /// Another tool pushes a token of the application's account by the trusted key: made from the newest, or from the
    /// account's first.
    Overwritten { from_old: bool },
    /// Another tool pushes a token made from the newest, and no run notices, as after a new connection.
    OverwrittenUnheard,
    /// Another tool pushes tokens of the regional accounts that there are: made from the newest, or from the first.
    RegionsOverwritten { from_old: bool },
    /// The server with this number does not answer any more.
    Silent(usize),
    /// The server with this number takes 2 s for each request.
    Late(usize),
    /// The server with this number restarts with the first token of the application's account, and no other.
    BackWithOldToken(usize),
    /// The lease's stream no longer answers, so that the run loses its lease.
    LeaseLost,
    /// Another run took the lease.
    LeaseStolen,
    /// Sources no longer reach their origins.
    SourcesStuck,
    /// The operator's key no longer signs.
    SignerRefuses,
    /// Nothing can be stored any more.
    DiskFull,
    /// The system user may no longer push.
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
    /// Makes `clusters` × `size` servers. The application's `account` has JetStream, and a claim of another tool.
    pub(crate) fn new(clusters: &[&str], size: usize, account: PublicKey) -> Self {
        let key = |kind| Seed::generate(kind).unwrap();
        let (operator, system) = (key(KeyKind::Operator), key(KeyKind::Account).public_key());
        let initial = Claim::Tag("first".to_owned());
        let mut claims = json!({ "sub": account.to_string(), "name": "APP", "nats": {
            "limits": {
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
            },
            "type": "account", "version": 2,
        } });
        initial.add_to(&mut claims);
        let first = issue(&claims, &operator, now() - AGE).unwrap();
        let first = Arc::new(AccountToken::read(first.as_str(), 0).unwrap());
        let tokens = BTreeMap::from([(first.id(), first.clone())]);
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
            jetstreams: BTreeMap::from([(first.id(), JetStream::default())]),
            account,
            senders: Vec::new(),
            faults: Faults::default(),
            kept: vec![Kept { account: first.id(), claim: initial, at: Instant::now() }],
            logged: HashSet::new(),
            pushes: Pushes::default(),
            violations: Vec::new(),
            firsts: tokens,
            known: HashMap::from([(first.text.clone(), first)]),
            asked: Vec::new(),
            trap: None,
            began: (Instant::now(), Timestamp::now()),
        };
        Self(Arc::new(Shared { operator, state: Mutex::new(state) }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of all accounts' streams, sorted.
    pub(crate) fn streams(&self) -> Vec<String> {
        let state = self.state();
        let names = state.jetstreams.values().flat_map(JetStream::names);
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The subjects of the runs' requests so far, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// Injects a fault when a run sends its request with this number, counted from 0.
    pub(crate) fn trap(&self, at: usize, fault: Fault) {
        self.state().trap = Some((at, fault));
    }

    /// Counts a request of a run, and injects the fault that is due.
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

    /// Injects a fault now. A kill affects only the run that sends the request.
    pub(crate) fn strike(&self, fault: Fault) {
        let mut state = self.state();
        let time = state.time();
        match fault {
            Fault::Killed | Fault::AnswerLost => {}
            Fault::Overwritten { .. } | Fault::OverwrittenUnheard | Fault::RegionsOverwritten { .. } => {
                drop(state);
                self.push_by_another_tool(fault);
            }
            Fault::Silent(number) => state.node(number).silent = true,
            Fault::Late(number) => state.node(number).late = LATE,
            Fault::BackWithOldToken(number) => {
                let account = state.account.to_string();
                let first = BTreeMap::from([(account.clone(), state.firsts[&account].clone())]);
                let node = state.node(number);
                (node.stored, node.live) = (first.clone(), first);
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

    /// Ends all faults. Servers that were down have the tokens that they had before.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        (state.faults, state.trap) = (Faults::default(), None);
        for node in state.nodes.iter_mut().filter(|node| node.silent || !node.late.is_zero()) {
            // A message to a late server is still in flight.
            node.touched = Some(Instant::now() + node.late);
            (node.silent, node.late) = (false, Duration::ZERO);
        }
    }

    /// Pushes tokens with one more claim each, as a tool does that reads, edits and pushes. Does nothing while the last
    /// such push is on its way: it would be taken back.
    fn push_by_another_tool(&self, fault: Fault) {
        let (regions, from_old, by) = match fault {
            Fault::Overwritten { from_old } => (false, from_old, By::AnotherTool),
            Fault::RegionsOverwritten { from_old } => (true, from_old, By::AnotherTool),
            _ => (false, false, By::Unheard),
        };
        let mut tokens: Vec<SignedToken> = Vec::new();
        {
            let mut state = self.state();
            if state.pushes.by_another_tool.is_some_and(|at| at.elapsed() < APART) {
                return;
            }
            let application = state.account.to_string();
            let wanted = |id: &&String| (**id != application) == regions;
            let accounts: Vec<String> = state.firsts.keys().filter(wanted).cloned().collect();
            for account in accounts {
                let base = if from_old { state.firsts.get(&account).cloned() } else { state.newest(&account) };
                let Some(base) = base else { continue };
                let claim = Claim::numbered(state.kept.len());
                let mut claims = base.claims.value().clone();
                claim.add_to(&mut claims);
                let at = Instant::now();
                state.kept.push(Kept { account, claim, at });
                state.pushes.by_another_tool = Some(at);
                tokens.push(issue(&claims, &self.0.operator, next_iat(now(), [base.claims.issued_at()])).unwrap());
            }
        }
        for token in tokens {
            // Other tools do not wait for answers here.
            drop(self.ask_all(push::SUBJECT, token.as_str().as_bytes().to_vec(), by));
        }
    }
}

impl State {
    /// The servers' time.
    pub(super) fn time(&self) -> Timestamp {
        self.began.1 + self.began.0.elapsed()
    }

    /// Returns the server with a number, which then counts as touched.
    fn node(&mut self, number: usize) -> &mut Node {
        let index = number % self.nodes.len();
        let node = &mut self.nodes[index];
        node.touched = Some(Instant::now());
        node
    }

    /// Reads a token of an account, each text once; `None` if it is none.
    pub(super) fn read(&mut self, text: &str) -> Option<Arc<AccountToken>> {
        if let Some(known) = self.known.get(text) {
            return Some(known.clone());
        }
        let token = Arc::new(AccountToken::read(text, self.known.len())?);
        self.known.insert(text.to_owned(), token.clone());
        Some(token)
    }

    /// An account's newest token on any server; of two of one second, the one that more servers have.
    pub(super) fn newest(&self, account: &str) -> Option<Arc<AccountToken>> {
        let mut copies: Vec<(&Arc<AccountToken>, usize)> = Vec::new();
        for token in self.nodes.iter().filter_map(|node| node.stored.get(account)) {
            match copies.iter_mut().find(|(known, _)| known.number == token.number) {
                Some((_, count)) => *count += 1,
                None => copies.push((token, 1)),
            }
        }
        let rank = |(token, count): &(&Arc<AccountToken>, usize)| (token.claims.issued_at(), *count, token.number);
        copies.into_iter().max_by_key(rank).map(|(token, _)| token.clone())
    }

    /// The number of the server that clients are connected to: one without a fault, if there is one.
    pub(super) fn place_of_clients(&self) -> usize {
        let rank = |(_, node): &(usize, &Node)| (node.silent, !node.late.is_zero(), node.old);
        self.nodes.iter().enumerate().min_by_key(rank).map_or(0, |(place, _)| place)
    }

    /// Has the server of clients load an account for a user. Returns `false` if the account has no such key.
    pub(super) fn takes_user(&mut self, account: &PublicKey, key: &PublicKey) -> bool {
        let (place, id) = (self.place_of_clients(), account.to_string());
        self.load(place, &id);
        self.nodes[place].live.get(&id).is_some_and(|token| {
            let signs = token.claims.signing_keys().iter().any(|known| known.key == *key);
            signs || key == account
        })
    }

    /// Puts a token in force on a server, which loads the accounts that it imports from.
    pub(super) fn apply(&mut self, place: usize, token: Arc<AccountToken>) {
        let time = self.time();
        self.nodes[place].live.insert(token.id(), token.clone());
        if token.claims.jetstream_limits().enabled() {
            self.jetstreams.entry(token.id()).or_insert_with(|| JetStream::enabled_at(time));
        }
        for import in token.claims.imports() {
            self.load(place, &import.account);
        }
    }

    /// Has a server load an account, if it has not. It gets a token that it lacks from another server.
    pub(super) fn load(&mut self, place: usize, account: &str) {
        if self.nodes[place].live.contains_key(account) {
            return;
        }
        let stored = self.nodes[place].stored.get(account);
        let mut others = self.nodes.iter().filter(|node| !node.silent);
        let found = stored.or_else(|| others.find_map(|node| node.stored.get(account))).cloned();
        if let Some(token) = found.filter(|token| *token.claims.issuer() == self.operator) {
            self.nodes[place].stored.insert(account.to_owned(), token.clone());
            self.apply(place, token);
        }
    }
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
