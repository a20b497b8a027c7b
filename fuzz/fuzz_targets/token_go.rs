//! Tokens of any claims, compared with Go's library (`tests/peers/strict`). Each token that we decode must decode
//! there, to the same content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use support::token;
use vstream_jwt::model::claims::Token;

/// The process that runs Go's library, with its input and output.
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
    /// Builds the peer and starts it. The peer ends when its standard input closes.
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

    /// Returns the peer's answer to a token.
    fn ask(&mut self, token: &str) -> String {
        writeln!(self.ask, "{token}").and_then(|()| self.ask.flush()).expect("the peer listens");
        let mut said = String::new();
        self.answers.read_line(&mut said).expect("the peer answers");
        // If the peer panics, its last line is incomplete.
        assert!(said.ends_with('\n'), "the peer ended");
        said.trim_end().to_owned()
    }
}
