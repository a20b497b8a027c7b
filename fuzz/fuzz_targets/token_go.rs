//! Tokens of any claims against Go's library (`tests/peers/strict`): what is read here is a token there, and says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use support::token;
use vstream_jwt::model::claims::Token;

/// The peer's two ends.
struct Peer {
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

fuzz_target!(|data: &[u8]| {
    static PEER: LazyLock<Mutex<Peer>> = LazyLock::new(|| Mutex::new(Peer::start()));
    let Some((token, claims)) = token(data) else { return };
    if Token::decode(&token).is_err() {
        return;
    }
    let said = PEER.lock().expect("it did not end before").ask(&token);
    assert_eq!(said, "ok", "Go reads otherwise: {claims}");
});

impl Peer {
    /// Builds the peer and starts it; it ends with its standard input.
    fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let peers = here.join("../tests/peers");
        let binary = here.join("target/strict");
        let go = ["go", "/usr/local/go/bin/go"].into_iter().find(|go| Command::new(go).arg("version").output().is_ok());
        let go = go.expect("Go is installed");
        let built = Command::new(go).args(["build", "-o"]).arg(&binary).arg("./strict").current_dir(peers).status();
        assert!(built.is_ok_and(|status| status.success()), "the peer is not built");
        let fields = here.join("../tests/fixtures/claims-fields.json");
        let mut peer = Command::new(binary);
        let peer = peer.arg(fields).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut peer = peer.expect("the peer starts");
        let (ask, answers) = (peer.stdin.take(), peer.stdout.take().map(BufReader::new));
        Self { ask: ask.expect("it is piped"), answers: answers.expect("it is piped") }
    }

    /// Returns the answer to a token.
    fn ask(&mut self, token: &str) -> String {
        writeln!(self.ask, "{token}").and_then(|()| self.ask.flush()).expect("the peer listens");
        let mut said = String::new();
        self.answers.read_line(&mut said).expect("the peer answers");
        // A panic of the peer is its last word.
        assert!(said.ends_with('\n'), "the peer ended");
        said.trim_end().to_owned()
    }
}
