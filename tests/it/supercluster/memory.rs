//! Traces of a seed after the work is done: in the memory of the process, and in its child processes.
//!
//! The test examines the process while it cannot end, because its standard output is a full pipe. Reading the memory
//! requires root, since the process forbids that to all other users.

use crate::support::bench::{Bench, new_seed, set_mode};
use crate::support::{self, Cluster, VSTREAM, secrets};
use age::secrecy::{ExposeSecret as _, SecretString};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::io::{PipeReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::sign::file::read_seed_file;
use vstream_jwt::sign::{Seed, Signer as _};

/// A command that has done its work, but cannot write its result.
struct Waiting {
    child: Child,
    out: PipeReader,
}

impl Waiting {
    /// Runs the command until it writes its result.
    fn after(cluster: &Cluster, args: &[&str], input: Option<&str>, env: &[(&str, &str)]) -> Self {
        let (out, mut full) = std::io::pipe().unwrap();
        full.write_all(&[b' '; 65_536]).unwrap();
        let mut command = Command::new(VSTREAM);
        command.current_dir(cluster.folder()).args(args).env("NO_COLOR", "1").envs(env.iter().copied());
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(full);
        let mut child =
            command.stderr(std::fs::File::create(cluster.folder().join("stderr")).unwrap()).spawn().unwrap();
        drop(command);
        if let Some(input) = input {
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        }
        let waiting = Self { child, out };
        let started = Instant::now();
        while !waiting.writes() {
            let ended = std::fs::read_to_string(waiting.proc("stat")).unwrap().contains(") Z");
            let said = || std::fs::read_to_string(cluster.folder().join("stderr")).unwrap();
            assert!(!ended && started.elapsed() < Duration::from_secs(60), "{args:?} never wrote a result: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
        waiting
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    /// Checks if its first thread is in a `write` to standard output.
    fn writes(&self) -> bool {
        let call = std::fs::read_to_string(self.proc("syscall")).expect("this test needs root");
        let write = if cfg!(target_arch = "x86_64") { "1 0x1 " } else { "64 0x1 " };
        call.starts_with(write)
    }

    /// Returns the patterns that its memory contains.
    fn has<'p>(&self, patterns: &'p [Pattern]) -> Vec<&'p str> {
        let maps = std::fs::read_to_string(self.proc("maps")).unwrap();
        let mut memory = std::fs::File::open(self.proc("mem")).expect("this test needs root");
        let mut found = Vec::new();
        let mut size = 0;
        for line in
            maps.lines().filter(|line| line.contains(" r") && !line.ends_with("[vvar]") && !line.contains("[vsyscall]"))
        {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
            let mut part = vec![0; usize::try_from(end - start).unwrap()];
            memory.seek(SeekFrom::Start(start)).unwrap();
            if memory.read_exact(&mut part).is_err() {
                continue;
            }
            size += part.len();
            for pattern in patterns.iter().filter(|pattern| contains(&part, &pattern.bytes)) {
                let place = line.split_whitespace().nth(5).unwrap_or("anonymous");
                println!("{} in {place}", pattern.name);
                found.push(pattern.name.as_str());
            }
        }
        assert!(size > 1_000_000, "its memory was read: {size} bytes");
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Lets the command end; its exit code must be 0.
    fn end(mut self) {
        let mut said = Vec::new();
        self.out.read_to_end(&mut said).unwrap();
        secrets::assert_shows_none("a run that waited", &[&said]);
        assert!(self.child.wait().unwrap().success(), "{}", String::from_utf8_lossy(&said).trim());
    }
}

fn contains(part: &[u8], pattern: &[u8]) -> bool {
    let first = pattern[0];
    let mut rest = part;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        if rest[at..].starts_with(pattern) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

struct Pattern {
    name: String,
    bytes: Vec<u8>,
}

/// Returns a seed in all usable forms, and halves of them.
fn patterns(name: &str, seed: &Seed) -> Vec<Pattern> {
    let text = seed.reveal();
    let raw = &data_encoding::BASE32_NOPAD.decode(text.as_bytes()).unwrap()[2..34];
    let hash = ring_sha512(raw);
    let mut clamped = hash[..32].to_vec();
    clamped[0] &= 248;
    clamped[31] = clamped[31] & 127 | 64;
    let reduced = reduced(&clamped);
    let of = |what: &str, bytes: &[u8]| Pattern { name: format!("{name}: {what}"), bytes: bytes.to_vec() };
    let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes).as_bytes()[..20].to_vec();
    vec![
        of("text", &text.as_bytes()[..30]),
        of("end of the text", &text.as_bytes()[28..]),
        of("raw", &raw[..16]),
        of("raw, second half", &raw[16..]),
        of("base64", &STANDARD.encode(raw).as_bytes()[..20]),
        of("base64 for URLs", &base64(raw)),
        of("expanded, scalar", &hash[1..17]),
        of("expanded, end of the scalar", &clamped[16..]),
        of("expanded, reduced", &reduced[..16]),
        of("expanded, second half of reduced", &reduced[16..]),
        of("expanded, prefix", &hash[32..48]),
        of("expanded, end of the prefix", &hash[48..]),
        of("expanded, base64", &STANDARD.encode(&hash).as_bytes()[4..24]),
    ]
}

fn ring_sha512(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA512, bytes).as_ref().to_vec()
}

/// Returns a little-endian number modulo the order of the curve's group.
fn reduced(number: &[u8]) -> Vec<u8> {
    let mut order = [0u8; 32];
    order[..16].copy_from_slice(&27_742_317_777_372_353_535_851_937_790_883_648_493u128.to_le_bytes());
    order[31] = 0x10;
    let mut number = number.to_vec();
    while number.iter().rev().ge(order.iter().rev()) {
        let mut borrow = 0;
        for (digit, less) in number.iter_mut().zip(order) {
            let difference = i16::from(*digit) - i16::from(less) - borrow;
            borrow = i16::from(difference < 0);
            *digit = u8::try_from(difference.rem_euclid(256)).unwrap();
        }
    }
    number
}

fn definition(bench: &Bench<'_>, streams: usize) -> Value {
    let mut definition = bench.definition();
    let small = json!({ "num_replicas": 1 });
    let stream =
        |n: usize| (format!("s{n}"), json!({ "subjects": [format!("s{n}.>")], "write": small, "read": small }));
    definition["accounts"]["APP"]["virtual_streams"] =
        (0..streams).map(stream).collect::<serde_json::Map<_, _>>().into();
    definition
}

/// Writes the operator's seed to an age file, for a passphrase or an identity.
fn encrypt(path: &Path, recipient: &dyn age::Recipient, seed: &Seed) {
    let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient)).unwrap();
    let mut writer = encryptor.wrap_output(std::fs::File::create(path).unwrap()).unwrap();
    writer.write_all(seed.reveal().as_bytes()).unwrap();
    writer.finish().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_seed() {
    let cluster = support::account().await;
    let bench = Bench::new(&cluster).await;
    let folder = cluster.folder();
    let operator = read_seed_file(&cluster.keys_folder().join("op.nk")).unwrap();
    let text = operator.reveal();
    let patterns = patterns("the operator's key", &operator);
    let public = Pattern { name: "public key".into(), bytes: operator.public_key().to_string().into_bytes() };

    let mut passphrase = age::scrypt::Recipient::new(SecretString::from("correct horse"));
    passphrase.set_work_factor(10);
    encrypt(&folder.join("p.age"), &passphrase, &operator);
    std::fs::write(folder.join("passphrase"), "correct horse\n").unwrap();
    let identity = age::x25519::Identity::generate();
    encrypt(&folder.join("i.age"), &identity.to_public(), &operator);
    std::fs::write(folder.join("identity"), identity.to_string().expose_secret()).unwrap();
    ["passphrase", "identity"].iter().for_each(|name| set_mode(&folder.join(name), 0o600));

    let by_passphrase = ["--operator", "p.age", "--operator-passphrase-file", "passphrase"];
    let by_identity = ["--operator", "i.age", "--operator-identity", "identity"];
    let sources: [(&[&str], Option<&str>); 4] = [
        (&["--operator", "op.nk"], None),
        (&["--operator", "-"], Some(&text)),
        (&by_passphrase, None),
        (&by_identity, None),
    ];
    for (number, (source, input)) in sources.into_iter().enumerate() {
        bench.write("vstream", &definition(&bench, number + 1));
        bench.run(&["plan", "--out", "p.json"]).ends(3);
        for verb in [&["sign", "p.json", "--out", "s.json"][..], &["apply", "-vvv"]] {
            let waiting = Waiting::after(&cluster, &[verb, source].concat(), input, &[]);
            let limits = std::fs::read_to_string(waiting.proc("limits")).unwrap();
            let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
            assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
            let line = std::fs::read(waiting.proc("cmdline")).unwrap();
            assert!(!contains(&line, text.as_bytes()) && !contains(&line, b"correct horse"));
            assert_eq!(waiting.has(&patterns), [""; 0], "{verb:?} {source:?}");
            if verb[0] == "sign" {
                assert_eq!(
                    waiting.has(std::slice::from_ref(&public)),
                    ["public key"],
                    "the search finds what is there"
                );
            }
            waiting.end();
        }
    }

    // The documented exception, which proves that the test would find a seed.
    bench.write("vstream", &definition(&bench, 5));
    let seed = [("VSTREAM_OPERATOR_SEED", text.as_str())];
    let waiting = Waiting::after(&cluster, &["apply"], None, &seed);
    assert!(waiting.has(&patterns).contains(&"the operator's key: text"));
    waiting.end();
    children_get_none(&bench, &text);
}

/// Tests the external signer, and the servers of `dev` with their supervisor.
fn children_get_none(bench: &Bench<'_>, text: &str) {
    bench.write("vstream", &definition(bench, 6));
    let folder = bench.cluster.folder();
    let secret = new_seed(KeyKind::Operator).reveal();
    let env = [("VSTREAM_OPERATOR_SEED", secret.as_str()), ("VSTREAM_PKCS11_PIN", "a-pin-of-mine"), ("SEEN", "yes")];
    let command = "cat /proc/self/environ /proc/$PPID/cmdline > seen; exit 1";
    bench.run_with(&["apply", "--operator-cmd", command], &env).ends(1);
    let seen = std::fs::read(folder.join("seen")).unwrap();
    assert!(contains(&seen, b"SEEN=yes"), "{}", String::from_utf8_lossy(&seen));
    for secret in [secret.as_str(), text, "a-pin-of-mine"] {
        assert!(!contains(&seen, secret.as_bytes()));
    }
    let parent = tempfile::tempdir().unwrap();
    let dev = parent.path().join("dev").display().to_string();
    let up = ["dev", "up", "--regions", "west,east", "--servers", "1", "--folder", &dev];
    bench.run_with(&up, &env).ends(0);
    let mut others = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let of = |file: &str| std::fs::read(process.path().join(file)).unwrap_or_default();
        let (line, environ) = (of("cmdline"), of("environ"));
        if contains(&line, dev.as_bytes()) {
            others += 1;
            assert!(contains(&environ, b"SEEN=yes"), "its environment was read");
            assert!(!contains(&environ, secret.as_bytes()) && !contains(&environ, b"a-pin-of-mine"));
            assert!(!contains(&line, secret.as_bytes()));
        }
    }
    bench.run(&["dev", "down", "--delete", "--folder", &dev]).ends(0);
    assert_eq!(others, 3, "two servers and their supervisor");
}
