//! Tests hostile text in files beside the definition, in the environment, in a signer's answers, and from servers.

use super::{DEFINITION, Run, command, creds, private, run, sweep_alike};
use crate::support::hostile::{Field, HOSTILE, everywhere, filled};
use crate::support::pty;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};

#[test]
fn files_and_the_environment_are_quoted_without_obeying_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let keys = folder.join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(folder.join("vstream.yaml"), DEFINITION).unwrap();
    // The names of files in the keys folder.
    for name in ["a.nk", "b.creds", "c.jwt"] {
        std::fs::write(keys.join(format!("{HOSTILE}{name}")), HOSTILE).unwrap();
    }
    for args in
        [&["keys", "list"][..], &["keys", "check"], &["plan"], &["validate", "--online"], &["verify"], &["status"]]
    {
        run(folder, args);
        run(folder, &[args, &["-vv", "--format", "json"]].concat());
    }
    assert!(run(folder, &["keys", "list"]).shows(HOSTILE));
    assert!(run(folder, &["keys", "check"]).shows(HOSTILE));
    // Environment variables.
    for name in ["VSTREAM_OPERATOR_FILE", "VSTREAM_OPERATOR_IDENTITY", "VSTREAM_OPERATOR_PASSPHRASE_FILE"] {
        let mut command = command(folder, &["apply"]);
        pty::run(command.env_remove("VSTREAM_OPERATOR_SEED").env_remove("VSTREAM_OPERATOR_FILE").env(name, HOSTILE));
    }
    for args in [&["dev", "up", "--help"][..], &["demo", "--help"], &["dev", "up"]] {
        Run::of(command(folder, args).env("VSTREAM_NATS_SERVER_VERSION", HOSTILE));
    }
    for name in ["XDG_CONFIG_HOME", "HOME", "USER", "TMPDIR", "PATH"] {
        Run::of(command(folder, &["plan"]).env(name, format!("/{HOSTILE}")));
    }
    // Answers of a signer.
    for answer in [json!({ "error": HOSTILE }), json!({ "public_key": HOSTILE }), json!({ HOSTILE: 1 }), json!(HOSTILE)]
    {
        std::fs::write(folder.join("answer"), format!("{answer}\n")).unwrap();
        let run = run(folder, &["apply", "--operator-cmd", "read line; cat answer"]);
        assert_eq!(run.code, 1, "{}", run.err);
    }
}

/// Tests everything in a `.creds` file: the claims of the user, and the text around them.
#[test]
fn credentials_are_quoted_without_obeying_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("keys")).unwrap();
    std::fs::write(folder.join("vstream.yaml"), DEFINITION).unwrap();
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let claims = |expires: u64| {
        json!({
            "jti": "ID", "iat": 1, "exp": expires, "iss": account.public_key(), "sub": user.public_key(), "name": "u", "aud": "a",
            "nats": {
                "type": "user", "version": 2, "issuer_account": account.public_key(), "src": ["192.0.2.1/32"],
                "times_location": "UTC", "pub": { "allow": ["a.>"] }, "sub": { "deny": ["b.>"] }, "tags": ["t"],
                "allowed_connection_types": ["STANDARD"], "times": [{ "start": "01:00:00", "end": "02:00:00" }],
            },
        })
    };
    let runs = || vec![run(folder, &["plan"]), run(folder, &["keys", "inspect", "keys/sys.creds"])];
    let mut sights = 0;
    // The message names credentials that have expired and their user; valid credentials get the run to the servers.
    for claims in [claims(2), claims(4_000_000_000)] {
        let mut filled = |fields: &[Field], value: &str| {
            private(folder, "keys/sys.creds", &creds(&filled(&claims, fields, value), &account, &user));
            Some(runs())
        };
        sights += sweep_alike(&everywhere(&claims), &mut filled);
    }
    assert!(sights > 20, "{sights}");
    let good = creds(&claims(2), &account, &user);
    let lines: Vec<&str> = good.lines().collect();
    for at in 0..=lines.len() {
        let mut lines = lines.clone();
        lines.insert(at, HOSTILE);
        private(folder, "keys/sys.creds", &lines.join("\n"));
        runs();
    }
    for text in [HOSTILE, "-----BEGIN NATS USER JWT-----\n\u{1b}[2J\n------END NATS USER JWT------\n"] {
        private(folder, "keys/sys.creds", text);
        runs();
    }
}

/// Tests everything in a context of the `nats` CLI.
#[test]
fn contexts_are_quoted_without_obeying_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let contexts = folder.join("nats/context");
    std::fs::create_dir_all(&contexts).unwrap();
    std::fs::create_dir(folder.join("keys")).unwrap();
    std::fs::write(folder.join("vstream.yaml"), DEFINITION.replace("credentials: keys/sys.creds", "context: sys"))
        .unwrap();
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let claims = json!({
        "jti": "ID", "iat": 1, "iss": account.public_key(), "sub": user.public_key(), "name": "u",
        "nats": { "type": "user", "version": 2 },
    });
    private(folder, "sys.creds", &creds(&claims, &account, &user));
    let plan = || Run::of(command(folder, &["plan"]).env("XDG_CONFIG_HOME", folder));
    let used =
        json!({ "description": "d", "url": "nats://h:1", "creds": folder.join("sys.creds"), "inbox_prefix": "i" });
    let with = |more: Value| {
        let mut context = used.clone();
        context.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        context
    };
    let mut sights = 0;
    for context in [
        used.clone(),
        with(json!({ "ca": "ca.pem", "cert": "c.pem", "key": "k.pem" })),
        json!({ "user_jwt": super::token(&claims, &account), "user_seed": user.seed().unwrap() }),
        with(json!({ "token": "t", "user": "u", "password": "p", "nkey": "n", "nsc": "nsc://a/b/c" })),
        json!({ "nsc": "nsc://a/b/c" }),
        with(json!({ "jetstream_domain": "d", "jetstream_api_prefix": "p", "color_scheme": "c" })),
    ] {
        let mut filled = |fields: &[Field], value: &str| {
            private(&contexts, "sys.json", &filled(&context, fields, value).to_string());
            Some(vec![plan()])
        };
        sights += sweep_alike(&everywhere(&context), &mut filled);
    }
    assert!(sights > 3, "{sights}");
    private(&contexts, "sys.json", HOSTILE);
    assert_ne!(plan().code, 0);
    std::fs::rename(contexts.join("sys.json"), contexts.join("sys\u{1b}[.json")).unwrap();
    let said = plan();
    assert!(said.err.contains(r"did you mean `sys\u{1b}[`?"), "{}", said.err);
}

/// Tests programs that pose as servers: what they say about themselves and about the user.
#[test]
fn servers_are_quoted_without_obeying_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("keys")).unwrap();
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let claims = json!({
        "jti": "ID", "iat": 1, "iss": account.public_key(), "sub": user.public_key(), "name": "u",
        "nats": { "type": "user", "version": 2 },
    });
    private(folder, "keys/sys.creds", &creds(&claims, &account, &user));
    let line = HOSTILE.replace(['\r', '\n'], " ");
    let info = json!({
        "server_id": HOSTILE, "server_name": HOSTILE, "version": HOSTILE, "go": HOSTILE, "host": "127.0.0.1", "port": 1,
        "headers": true, "max_payload": 1_048_576, "proto": 1, "nonce": HOSTILE, "cluster": HOSTILE, "domain": HOSTILE,
        "connect_urls": [HOSTILE], "client_ip": "127.0.0.1",
    });
    for says in [
        format!("INFO {info}\r\n-ERR '{line}'\r\n"),
        format!("INFO {info}\r\n-ERR 'Authorization Violation {line}'\r\n"),
        format!("INFO {info}\r\n-ERR 'User Authentication Expired'\r\n{line}\r\n"),
        format!("{line}\r\n"),
        format!("INFO {{\"server_id\":\"{line}\"}}\r\n"),
        format!("-ERR '{line}'\r\n"),
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(mut client) = client else { return };
                let _ = client.write_all(says.as_bytes());
                let _ = client.set_read_timeout(Some(std::time::Duration::from_millis(300)));
                let _ = client.read(&mut [0; 4096]);
                let _ = client.write_all(says.as_bytes());
            }
        });
        std::fs::write(folder.join("vstream.yaml"), DEFINITION.replace("127.0.0.1:1]", &format!("127.0.0.1:{port}]")))
            .unwrap();
        let run = run(folder, &["plan", "--timeout", "2s", "-vvv"]);
        assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    }
}
