//! Simulated servers that answer a run as real ones did (`tests/fixtures/answers`), with any text in place of any
//! field.

use super::{creds, private, token};
use crate::support::hostile::{Field, filled};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

const NAMES: [&str; 3] = ["west-1", "west-2", "west-3"];

/// Recorded answers of servers by request, with placeholders for keys and servers.
pub(super) struct Recorded {
    tokens: Value,
    /// Answers until the run changes something.
    pub(super) before: BTreeMap<String, Value>,
    /// Answers after that.
    pub(super) after: BTreeMap<String, Value>,
}

pub(super) fn recorded() -> Recorded {
    let text = include_str!("../../../fixtures/answers/apply.json");
    let mut all: Value = serde_json::from_str(text).unwrap();
    let mut map = |name: &str| serde_json::from_value(all[name].take()).unwrap();
    Recorded { before: map("before"), after: map("after"), tokens: all["tokens"].take() }
}

/// Difference from the recorded answers.
#[derive(Clone)]
pub(super) enum Change {
    Nothing,
    /// Other text in fields of answers.
    Fields(Vec<Place>, String),
    /// Other text in fields of the account's token.
    Token(Vec<Field>, String),
    /// Another answer to this request; text is sent as it is.
    Answer(String, Value),
}

/// Field of the answer to a request, before or after the run changed something.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) of: String,
    pub(super) after: bool,
    pub(super) field: Field,
}

/// Servers on one port. To each run they look new.
pub(super) struct Servers {
    recorded: Recorded,
    operator: KeyPair,
    system: KeyPair,
    app: KeyPair,
    port: u16,
    run: Mutex<Run>,
}

struct Run {
    change: Change,
    asked: BTreeSet<String>,
    /// `true` once the run changed a stream.
    provisioned: bool,
    /// Token that the run pushed.
    pushed: Option<String>,
    /// Message in the stream of the lease.
    note: Option<String>,
}

impl Run {
    fn with(change: Change) -> Self {
        Self { change, asked: BTreeSet::new(), provisioned: false, pushed: None, note: None }
    }
}

impl Servers {
    /// Starts the servers, and writes the definition, keys and credentials of a run into the folder.
    pub(super) fn start(folder: &Path) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let servers = Arc::new(Self {
            recorded: recorded(),
            operator: KeyPair::new_operator(),
            system: KeyPair::new_account(),
            app: KeyPair::new_account(),
            port: listener.local_addr().unwrap().port(),
            run: Mutex::new(Run::with(Change::Nothing)),
        });
        let all = servers.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let servers = all.clone();
                // The thread ends when the client disconnects.
                std::thread::spawn(move || servers.serve(client));
            }
        });
        servers.write(folder);
        servers
    }

    fn write(&self, folder: &Path) {
        let Self { operator, system, app, port, .. } = self;
        std::fs::create_dir(folder.join("keys")).unwrap();
        private(folder, "keys/op.nk", &operator.seed().unwrap());
        for (name, account) in [("sys", system), ("app", app)] {
            let user = KeyPair::new_user();
            let claims = json!({
                "jti": "ID", "iat": 1, "iss": account.public_key(), "sub": user.public_key(), "name": name,
                "nats": { "type": "user", "version": 2 },
            });
            private(folder, &format!("keys/{name}.creds"), &creds(&claims, account, &user));
        }
        let definition = json!({
            "version": 1, "operator": operator.public_key(), "system": { "credentials": "keys/sys.creds" },
            "regions": { "west": { "servers": [format!("nats://127.0.0.1:{port}")] } },
            "accounts": { "APP": {
                "id": app.public_key(), "credentials": "keys/app.creds", "layout": "shared",
                "virtual_streams": {
                    "foo": {
                        "subjects": ["foo.>"], "write": { "max_age": "12h" },
                        "consumers": { "worker": { "ack_policy": "explicit", "filter_subject": "foo.b" } },
                    },
                    "bar": { "subjects": ["bar.>"] },
                },
            } },
        });
        std::fs::write(folder.join("vstream.yaml"), definition.to_string()).unwrap();
    }

    /// Makes the next run see other answers than the recorded ones.
    pub(super) fn change(&self, change: Change) {
        *self.run.lock().unwrap() = Run::with(change);
    }

    /// Returns the requests of the last run.
    pub(super) fn asked(&self) -> BTreeSet<String> {
        self.run.lock().unwrap().asked.clone()
    }

    /// Returns the claims of the account's token before the run changes it.
    pub(super) fn claims(&self) -> Value {
        self.complete(&self.recorded.tokens["token"], "")
    }

    /// Returns the claims of the operator's token.
    pub(super) fn operator_claims(&self) -> Value {
        self.complete(&self.recorded.tokens["operator"], "")
    }

    pub(super) fn signed(&self, claims: &Value) -> String {
        token(claims, &self.operator)
    }

    /// Fills the names of the keys and of a server into a document.
    fn complete(&self, document: &Value, server: &str) -> Value {
        let mut text = document.to_string();
        let now = jiff::Timestamp::now();
        for (open, name) in [
            ("{app}", self.app.public_key()),
            ("{system}", self.system.public_key()),
            ("{operator}", self.operator.public_key()),
            ("{name}", server.to_owned()),
            ("{id}", format!("N{server}")),
            ("{now}", now.to_string()),
        ] {
            text = text.replace(open, &name);
        }
        let mut document: Value = serde_json::from_str(&text).unwrap();
        if document.get("iat").is_some() {
            document["iat"] = (now.as_second() - 3600).into();
        }
        document
    }

    /// Returns the answers to a request: one from each server, only one, or none if there is no responder.
    fn answers(&self, subject: &str, body: &str) -> Vec<String> {
        let subject = subject.replace(&self.app.public_key(), "{app}").replace(&self.system.public_key(), "{system}");
        let key = if subject.contains(".MSG.GET.") { format!("{subject} {body}") } else { subject };
        let mut run = self.run.lock().unwrap();
        run.asked.insert(key.clone());
        if key.ends_with(".CLAIMS.UPDATE") {
            run.pushed = Some(body.to_owned());
        }
        if key == "$VSTREAM.LEASE" {
            run.note = Some(body.to_owned());
        }
        let changes = ["STREAM.CREATE.", "STREAM.UPDATE."].iter().any(|verb| key.contains(verb));
        run.provisioned |= changes && !key.contains("vstream-lease");
        let changed = match () {
            () if key.starts_with("$SYS") => run.pushed.is_some(),
            () if key.contains("CONSUMER.INFO.") => run.asked.contains(&key.replace("INFO", "CREATE")),
            () => run.provisioned,
        };
        let after = self.recorded.after.get(&key).filter(|_| changed);
        let Some(recorded) = after.or_else(|| self.recorded.before.get(&key)) else { return Vec::new() };
        let (mut answer, mut claims) = (recorded.clone(), self.recorded.tokens["token"].clone());
        if let Some(note) = run.note.as_ref().filter(|_| key.contains("MSG.GET.vstream-lease")) {
            answer["message"]["data"] = STANDARD.encode(note).into();
        }
        match &run.change {
            Change::Fields(places, value) => {
                let here = places.iter().filter(|place| place.of == key && place.after == after.is_some());
                here.for_each(|place| place.field.fill(&mut answer, value));
            }
            Change::Token(fields, value) => claims = filled(&claims, fields, value),
            Change::Answer(of, instead) if *of == key => answer = instead.clone(),
            Change::Nothing | Change::Answer(..) => {}
        }
        let signed = |claims: &Value| self.signed(&self.complete(claims, ""));
        let stored = run.pushed.clone().unwrap_or_else(|| signed(&claims));
        let answer_of = |server: &str| {
            let answer = self.complete(&answer, server);
            let mut text = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
            for (open, token) in [
                ("{token}", stored.clone()),
                ("{system token}", signed(&self.recorded.tokens["system"])),
                ("{operator token}", signed(&self.recorded.tokens["operator"])),
                ("\"{operator claims}\"", self.operator_claims().to_string()),
            ] {
                text = text.replace(open, &token);
            }
            text
        };
        let by_each = recorded.get("server").is_some() || recorded.is_string();
        NAMES.iter().take(if by_each { NAMES.len() } else { 1 }).map(|server| answer_of(server)).collect()
    }

    /// Serves one client.
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let info = json!({
            "server_id": "N", "server_name": NAMES[0], "version": "2.15.1", "go": "go", "host": "127.0.0.1", "port": self.port,
            "headers": true, "max_payload": 1 << 20, "proto": 1, "jetstream": true, "auth_required": true, "nonce": "abc",
        });
        client.write_all(format!("INFO {info}\r\n").as_bytes())?;
        let mut subscriptions: Vec<(String, String)> = Vec::new();
        let mut reader = BufReader::new(client.try_clone()?);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["PING"] => client.write_all(b"PONG\r\n")?,
                ["SUB", subject, .., sid] => subscriptions.push((subject.to_owned(), sid.to_owned())),
                ["PUB" | "HPUB", subject, ref more @ .., size] => {
                    let mut payload = vec![0; size.parse::<usize>().unwrap() + 2];
                    reader.read_exact(&mut payload)?;
                    // A message without a reply subject needs no answer.
                    let (reply, headers) = match (words[0], more) {
                        ("PUB", [reply]) => (*reply, 0),
                        ("HPUB", [reply, headers]) => (*reply, headers.parse().unwrap()),
                        _ => ("", 0),
                    };
                    let body = String::from_utf8(payload[headers..payload.len() - 2].to_vec()).unwrap();
                    let answers = self.answers(subject, &body);
                    let to = |subject: &str| {
                        let sid = subscriptions.iter().find(|(filter, _)| matches(filter, subject)).map(|(_, sid)| sid);
                        sid.map(|sid| format!("{subject} {sid}"))
                    };
                    let Some(reply) = to(reply) else { continue };
                    if let Some(own) = to(subject) {
                        client.write_all(format!("MSG {own} {}\r\n{body}\r\n", body.len()).as_bytes())?;
                    }
                    if answers.is_empty() {
                        client.write_all(format!("HMSG {reply} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n").as_bytes())?;
                    }
                    for answer in answers {
                        client.write_all(format!("MSG {reply} {}\r\n{answer}\r\n", answer.len()).as_bytes())?;
                    }
                }
                _ => {}
            }
            line.clear();
        }
        Ok(())
    }
}

fn matches(filter: &str, subject: &str) -> bool {
    let (filter, subject): (Vec<&str>, Vec<&str>) = (filter.split('.').collect(), subject.split('.').collect());
    let open = filter.last() == Some(&">");
    let fits = if open { subject.len() >= filter.len() } else { subject.len() == filter.len() };
    fits && filter.iter().zip(&subject).all(|(filter, token)| ["*", ">", token].contains(filter))
}
