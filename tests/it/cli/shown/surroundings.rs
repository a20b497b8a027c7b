//! Files beside the definition, the environment, a signer, servers.

use super::{DEFINITION, Run, command, run, token};
use crate::support::hostile::{HOSTILE, each_hostile};
use crate::support::secrets::output;
use nkeys::KeyPair;
use serde_json::json;
use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

#[test]
fn files_and_the_environment_are_quoted_without_obeying_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let keys = folder.join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(folder.join("vstream.yaml"), DEFINITION).unwrap();
    // Files of the keys folder, by their names.
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
    // Credentials and contexts.
    let private = |path: &Path, text: &str| {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    };
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let user_claims = json!({
        "jti": "ID", "iat": 1, "exp": 2, "iss": account.public_key(), "sub": user.public_key(), "name": HOSTILE,
        "nats": { "type": "user", "version": 2 },
    });
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n{HOSTILE}\n-----BEGIN USER NKEY SEED-----\n{}\n\
         ------END USER NKEY SEED------\n",
        token(&user_claims, &account),
        user.seed().unwrap()
    );
    for text in [creds.as_str(), HOSTILE, "-----BEGIN NATS USER JWT-----\n\u{1b}[2J\n------END NATS USER JWT------\n"] {
        private(&keys.join("sys.creds"), text);
        run(folder, &["plan"]);
        run(folder, &["keys", "inspect", "keys/sys.creds"]);
    }
    private(&keys.join("sys.creds"), &creds);
    assert!(run(folder, &["plan"]).shows(HOSTILE), "the name of the user whose token expired");
    let contexts = folder.join("nats/context");
    std::fs::create_dir_all(&contexts).unwrap();
    std::fs::write(folder.join("context.yaml"), DEFINITION.replace("credentials: keys/sys.creds", "context: sys"))
        .unwrap();
    let with_context = |text: &str, env: (&str, &str)| {
        private(&contexts.join("sys.json"), text);
        let mut command = command(folder, &["plan", "--definition", "context.yaml"]);
        Run::of(command.env("XDG_CONFIG_HOME", folder).env(env.0, env.1))
    };
    let context = json!({
        "description": "d", "url": "nats://h:1", "creds": "c", "user_jwt": "j", "user_seed": "s", "inbox_prefix": "i", "ca": "ca",
        "cert": "c", "key": "k", "token": "t", "user": "u", "password": "p", "nkey": "n", "nsc": "nsc://a/b/c", "socks_proxy": "p",
    });
    for (at, _, hostile) in each_hostile(&context, &[""]) {
        let run = with_context(&hostile.to_string(), ("X", ""));
        assert_ne!(run.code, 0, "{at}");
    }
    for name in ["creds", "ca", "cert", "inbox_prefix"] {
        let run = with_context(&json!({ name: HOSTILE }).to_string(), ("X", ""));
        assert_ne!(run.code, 0);
    }
    with_context(HOSTILE, ("X", ""));
    std::fs::rename(contexts.join("sys.json"), contexts.join("sys\u{1b}[.json")).unwrap();
    let mut plan = command(folder, &["plan", "--definition", "context.yaml"]);
    let said = Run::of(plan.env("XDG_CONFIG_HOME", folder));
    assert!(said.shows(r"did you mean `sys\u{1b}[`?"), "{}", said.err);
    // The environment.
    for name in ["VSTREAM_OPERATOR_FILE", "VSTREAM_OPERATOR_IDENTITY", "VSTREAM_OPERATOR_PASSPHRASE_FILE"] {
        let mut command = command(folder, &["apply"]);
        output(command.env_remove("VSTREAM_OPERATOR_SEED").env_remove("VSTREAM_OPERATOR_FILE").env(name, HOSTILE));
    }
    for args in [&["dev", "up", "--help"][..], &["demo", "--help"], &["dev", "up"]] {
        Run::of(command(folder, args).env("VSTREAM_NATS_SERVER_VERSION", HOSTILE));
    }
    for name in ["XDG_CONFIG_HOME", "HOME", "USER", "TMPDIR", "PATH"] {
        Run::of(command(folder, &["plan", "--definition", "context.yaml"]).env(name, format!("/{HOSTILE}")));
    }
    // A signer that answers so.
    for answer in [json!({ "error": HOSTILE }), json!({ "public_key": HOSTILE }), json!({ HOSTILE: 1 }), json!(HOSTILE)]
    {
        std::fs::write(folder.join("answer"), format!("{answer}\n")).unwrap();
        let run = run(folder, &["apply", "--operator-cmd", "read line; cat answer"]);
        assert_eq!(run.code, 1, "{}", run.err);
    }
}

/// Servers that are none: what they say of themselves and of the user.
#[test]
fn servers_are_quoted_without_obeying_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let keys = folder.join("keys");
    std::fs::create_dir(&keys).unwrap();
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let claims = json!({
        "jti": "ID", "iat": 1, "iss": account.public_key(), "sub": user.public_key(), "name": "u",
        "nats": { "type": "user", "version": 2 },
    });
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\n{}\n\
         ------END USER NKEY SEED------\n",
        token(&claims, &account),
        user.seed().unwrap()
    );
    std::fs::write(keys.join("sys.creds"), creds).unwrap();
    std::fs::set_permissions(keys.join("sys.creds"), Permissions::from_mode(0o600)).unwrap();
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
