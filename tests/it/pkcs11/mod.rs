//! An operator's key in a PKCS#11 token: a real SoftHSM2, which is installed if it is missing.

use crate::support::{self, Cluster, secrets};
use base64::Engine as _;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use serde_json::json;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use vstream_jwt::dev::DevOptions;
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::sign::file::read_seed_file;
use vstream_jwt::sign::patience::Patience;
use vstream_jwt::sign::pkcs11::{KeyUri, PinInputs, TokenSigner};
use vstream_jwt::sign::{Seed, Signer as _, issue};

const PIN: &str = "98765432";

/// Path of SoftHSM2's library, which is installed if needed. Only once: a second `apt-get` at the same time fails.
static MODULE: LazyLock<PathBuf> = LazyLock::new(|| {
    let places = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
    ];
    let found = || places.into_iter().map(PathBuf::from).find(|path| path.exists());
    found().unwrap_or_else(|| {
        for args in [&["update", "-qq"][..], &["install", "-y", "-qq", "softhsm2"]] {
            let status = Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").status();
            assert!(status.expect("softhsm2 has to be installed").success(), "apt-get {args:?}");
        }
        found().expect("the package softhsm2 has libsofthsm2.so")
    })
});

/// A token in its own folder, for this process and its children.
struct Token {
    folder: PathBuf,
}

impl Token {
    fn new(folder: &Path) -> Self {
        LazyLock::force(&MODULE);
        std::fs::create_dir(folder.join("tokens")).unwrap();
        let tokens = folder.join("tokens").display().to_string();
        let config = format!("directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n");
        std::fs::write(folder.join("softhsm2.conf"), config).unwrap();
        let token = Self { folder: folder.to_owned() };
        token.util(&["--init-token", "--free", "--label", "vstream test", "--pin", PIN, "--so-pin", "12345678"]);
        token.private("pin", PIN);
        token
    }

    fn util(&self, args: &[&str]) {
        let mut util = Command::new("softhsm2-util");
        let output = util.args(args).env("SOFTHSM2_CONF", self.folder.join("softhsm2.conf")).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    fn private(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    /// Imports a seed into the token, as a PKCS#8 file.
    fn import(&self, seed: &Seed, label: &str, id: &str) {
        let raw = data_encoding::BASE32_NOPAD.decode(seed.reveal().as_bytes()).unwrap();
        let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let der = base64::engine::general_purpose::STANDARD.encode([&head, &raw[2..34]].concat());
        let file = self.private("key.pem", &format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n"));
        self.util(&["--import", &file, "--token", "vstream test", "--label", label, "--id", id, "--pin", PIN]);
        std::fs::remove_file(file).unwrap();
    }

    /// Returns a URI, with `key` before the `?` and `more` after the module.
    fn uri(&self, key: &str, more: &str) -> String {
        format!("pkcs11:token=vstream%20test;{key}?module-path={}{more}", MODULE.display())
    }

    /// Returns a URI that reads the PIN from its file.
    fn key(&self, key: &str) -> String {
        self.uri(key, &format!("&pin-source=file:{}", self.folder.join("pin").display()))
    }
}

/// Runs the command with the token in its environment.
fn run(cluster: &Cluster, token: &Token, args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(support::VSTREAM);
    command.current_dir(cluster.folder()).args(args).env("NO_COLOR", "1").envs(env.iter().copied());
    command.env("SOFTHSM2_CONF", token.folder.join("softhsm2.conf")).stdin(std::process::Stdio::null());
    let output = secrets::output(&mut command);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!text.contains(PIN), "the PIN in the output of {args:?}");
    (output.status.code().unwrap_or_else(|| panic!("{args:?}: {}\n{text}", output.status)), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_signs() {
    let folder = tempfile::tempdir().unwrap();
    let token = Token::new(folder.path());
    let options = DevOptions { regions: vec!["west".into(), "east".into()], servers: 1, ..support::options() };
    let cluster = support::up(options).await;
    let operator = read_seed_file(&cluster.keys_folder().join("op.nk")).unwrap();
    let key = operator.public_key().to_string();
    token.import(&operator, "op", "01");
    token.import(&Seed::generate(KeyKind::Operator).unwrap(), "stranger", "02");
    std::fs::remove_file(cluster.keys_folder().join("op.nk")).unwrap();

    let refused = |operator: &str, env: &[(&str, &str)], code: i32, said: &str| {
        let (got, text) = run(&cluster, &token, &["apply", "--operator", operator, "--format", "json"], env);
        let name = if code == 2 { r#""code": "operator-token""# } else { r#""code": "refused""# };
        assert!(text.contains(name) && text.contains(r#""next": ""#), "{operator}: without `{name}`:\n{text}");
        assert!(got == code && text.contains(said), "{operator}: exit {got}, not {code}, or without `{said}`:\n{text}");
    };
    refused(
        &token.uri("object=op", &format!("&pin-value={PIN}")),
        &[],
        2,
        "`pin-value` puts the PIN where others can see it",
    );
    refused(&token.uri("object=op", ""), &[], 2, "needs a PIN");
    refused(&token.uri("object=op", ""), &[("VSTREAM_PKCS11_PIN", "11111111")], 2, "refuses the PIN");
    refused(&token.key("object=nobody"), &[], 2, "no Ed25519 private keys");
    refused(&token.key("type=private"), &[], 2, "`object` (the label) or `id` is needed");
    refused(
        &token.key("object=op").replace("vstream%20test", "other"),
        &[],
        2,
        "no tokens fit the pkcs11: URI; the module has `vstream test`",
    );
    refused("pkcs11:object=op?module-path=/no/such.so", &[], 2, "the PKCS#11 module /no/such.so cannot be used");
    // A valid key, but not the operator's.
    refused(&token.key("object=stranger"), &[], 1, "signer-untrusted");
    let open = token.folder.join("pin");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(&token.key("object=op"), &[], 2, "is open to others");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o600)).unwrap();

    // The PIN comes from the environment, or from a file.
    let pin = [("VSTREAM_PKCS11_PIN", PIN)];
    let (code, text) = run(&cluster, &token, &["keys", "generate", "--regional"], &[]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(run(&cluster, &token, &["plan", "--out", "p.json"], &[]).0, 3);
    let sign = ["sign", "p.json", "--operator", &token.uri("object=op", ""), "--out", "s.json"];
    let (code, text) = run(&cluster, &token, &sign, &pin);
    assert!(code == 0 && text.contains(&format!("with {key}")), "{text}");
    typed_pin(&cluster, &token, &token.uri("object=op", ""));
    let (code, text) = run(&cluster, &token, &["apply", "-vvv", "--operator", &token.key("id=%01")], &[]);
    assert!(code == 0 && text.contains("Done."), "{text}");
    assert_eq!(run(&cluster, &token, &["verify", "--wait", "30s"], &[]).0, 0);
}

/// The run asks for the PIN on a terminal, which does not show the input.
fn typed_pin(cluster: &Cluster, token: &Token, uri: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli/terminal.py");
    for (typed, exit) in [("11111111", 2), ("ctrl-c", -2), (PIN, 0)] {
        let mut command = Command::new("python3");
        command.arg(&script).arg(typed).arg(cluster.folder()).arg(support::VSTREAM);
        command
            .args(["sign", "p.json", "--yes", "-vvv", "--operator", uri, "--out", "typed.json"])
            .env("NO_COLOR", "1");
        command.env("SOFTHSM2_CONF", token.folder.join("softhsm2.conf"));
        let output = secrets::output(&mut command);
        assert!(output.status.success(), "{output:?}");
        let happened: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let terminal = happened["terminal"].as_str().unwrap();
        assert!(terminal.starts_with("PIN of the token vstream test: \r\n"), "{happened}");
        assert!(!happened.to_string().contains(typed), "what was typed is shown: {happened}");
        assert_eq!(happened["exit"], exit, "{happened}");
        assert_eq!((&happened["echo_at_prompt"], &happened["echo_after"]), (&json!(false), &json!(true)), "{happened}");
        assert_eq!(terminal.contains("refuses the PIN"), exit == 2, "{happened}");
    }
}

/// A module can hang in any call: when it is loaded, or in a function at this index of `CK_FUNCTION_LIST`. These
/// functions list slots, open a session, log in, look for objects, and sign.
#[test]
fn a_token_that_hangs_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let token = Token::new(folder.path());
    token.import(&Seed::generate(KeyKind::Operator).unwrap(), "op", "01");
    let module = hangs(folder.path());
    for at in ["load", "4", "12", "18", "26", "43"] {
        let started = std::time::Instant::now();
        let said = signed_in_a_child(&token, &module, at, "object=op");
        let who = if at == "43" { "the token".to_owned() } else { format!("the PKCS#11 module {}", module.display()) };
        assert!(said.contains(&format!("{who} did not answer within 3 s")), "{at}: {said}");
        assert!(started.elapsed() < support::PATIENCE, "{at} took {:?}", started.elapsed());
    }
}

/// A process that ends while a module closes a session can die by a signal. So a run always waits for the module,
/// whatever the result.
#[test]
fn a_token_is_left_in_peace() {
    let folder = tempfile::tempdir().unwrap();
    let token = Token::new(folder.path());
    token.import(&Seed::generate(KeyKind::Operator).unwrap(), "op", "01");
    let module = hangs(folder.path());
    for (key, said) in [("object=op", "signed"), ("object=nobody", "no Ed25519 private keys")] {
        let all = signed_in_a_child(&token, &module, "late", key);
        assert!(all.contains(said) && all.contains("the session is closed"), "{key}: {all}");
    }
}

/// Builds the module from `hangs.c`.
fn hangs(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/pkcs11/hangs.c");
    let module = folder.join("hangs.so");
    let mut cc = Command::new("cc");
    let built = cc.args(["-shared", "-fPIC", "-o"]).arg(&module).arg(source).arg("-ldl").status();
    assert!(built.expect("cc, which links Rust's programs, is there").success());
    module
}

/// Returns the output of a child that signs through this module, which hangs or is late at `at`.
fn signed_in_a_child(token: &Token, module: &Path, at: &str, key: &str) -> String {
    let uri = token.key(key).replace(&MODULE.display().to_string(), &module.display().to_string());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "pkcs11::in_a_child_that_signs", "--ignored", "--nocapture"]);
    command.env("SOFTHSM2_CONF", token.folder.join("softhsm2.conf")).env("REAL_MODULE", &*MODULE);
    command.env("HANGS_AT", at).env("TEST_URI", &uri);
    let output = secrets::output(&mut command);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{at}: {}: {said}", output.status);
    said
}

#[test]
#[ignore = "run by the tests of modules that hang or are late"]
fn in_a_child_that_signs() {
    let uri = KeyUri::parse(&std::env::var("TEST_URI").unwrap()).unwrap();
    let said = match TokenSigner::open(uri, &PinInputs::default(), Patience::new(std::time::Duration::from_secs(3))) {
        Ok(signer) => signer.sign(b"anything").map_or_else(|error| error.to_string(), |_| "signed".to_owned()),
        Err(error) => error.to_string(),
    };
    println!("{said}");
    // Ends like the command: a normal end of the test's process would wait for its threads.
    std::process::exit(0);
}

/// Tests a key that the token generated. Its public key is wrapped in DER, unlike an imported one.
#[test]
fn a_key_that_the_token_made_is_found_and_signs() {
    let folder = tempfile::tempdir().unwrap();
    let token = Token::new(folder.path());
    // The module reads its configuration from the environment, which a test must not change. So a child process does
    // it.
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pkcs11::in_a_child", "--ignored", "--nocapture"])
        .env("SOFTHSM2_CONF", token.folder.join("softhsm2.conf"))
        .env("TEST_TOKEN", &token.folder)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&[child.stdout, child.stderr].concat()));
    assert!(token.folder.join("signed").exists());
}

#[test]
#[ignore = "run by a_key_that_the_token_made_is_found_and_signs"]
fn in_a_child() {
    let folder = PathBuf::from(std::env::var_os("TEST_TOKEN").unwrap());
    let token = Token { folder };
    let library = Pkcs11::new(&*MODULE).unwrap();
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slot = library.get_slots_with_initialized_token().unwrap()[0];
    let session = library.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::from(PIN))).unwrap();
    let both = [Attribute::Token(true), Attribute::Label(b"made".to_vec()), Attribute::Id(vec![3])];
    // The name of the curve as a PrintableString, as pkcs11-tool writes it.
    let curve = Attribute::EcParams([&[0x13, 0x0c][..], b"edwards25519"].concat());
    let public: Vec<_> = both.iter().cloned().chain([Attribute::Verify(true), curve]).collect();
    let private: Vec<_> = both.iter().cloned().chain([Attribute::Sign(true), Attribute::Sensitive(true)]).collect();
    session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private).unwrap();
    drop(session);

    let uri = KeyUri::parse(&token.key("object=made")).unwrap();
    let signer = TokenSigner::open(uri, &PinInputs::default(), Patience::new(support::PATIENCE)).unwrap();
    let account = Seed::generate(KeyKind::Account).unwrap().public_key();
    let claims = json!({ "sub": account, "nats": { "type": "account", "version": 2 } });
    // `issue` verifies the signature with another implementation before it returns.
    issue(&claims, &signer, 1).unwrap();
    std::fs::write(token.folder.join("signed"), signer.public_key().to_string()).unwrap();
}
