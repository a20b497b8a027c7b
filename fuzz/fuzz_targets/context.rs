//! Contexts of the `nats` CLI. The error for a refused context shows neither a seed nor a password. An accepted context
//! names credentials, or has a user's token together with the seed of that user.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::time::Duration;
use support::{assert_no_seed, folder, in_paused_time, keys, shows_a_seed, write_secret};
use vstream_jwt::nats::{LoginMethod, ConnectError, ConnectOptions, connect};
use vstream_jwt::secrets;
use vstream_jwt::sign::Signer as _;

/// Content of a credentials file that a context may name.
const CREDENTIALS: &str = "-----BEGIN NATS USER JWT-----
@{TU}
------END NATS USER JWT------
-----BEGIN USER NKEY SEED-----
@{SU}
------END USER NKEY SEED------
";

fuzz_target!(
    init: {
        let contexts = folder().join("nats").join("context");
        std::fs::create_dir_all(contexts).expect("the folder can be made");
        write_secret(&folder().join("user.creds"), support::filled(CREDENTIALS).as_bytes());
        // SAFETY: no other thread has been started that could read the environment.
        unsafe { std::env::set_var("XDG_CONFIG_HOME", folder()) };
    },
    |data: &[u8]| {
        if shows_a_seed(&String::from_utf8_lossy(data)) {
            return;
        }
        // The folder of this run has the credentials that a context may name.
        let content = String::from_utf8_lossy(data).replace("@{DIR}", &folder().display().to_string());
        let content = match std::str::from_utf8(data) {
            Ok(_) => support::filled(&content).into_bytes(),
            Err(_) => data.to_vec(),
        };
        write_secret(&folder().join("nats").join("context").join("fuzz.json"), &content);
        let access = LoginMethod::Context("fuzz".to_owned());
        let options = ConnectOptions::new(&[], None, &access, Duration::from_secs(1));
        let (connected, _) = in_paused_time(connect(options));
        let error = connected.expect_err("there is no server");
        let said = format!("{error} {error:?} {} {}", error.code(), error.next());
        let read: Option<Value> = serde_json::from_slice(&content).ok();
        let text = |field: &str| read.as_ref().and_then(|read| read[field].as_str()).filter(|text| !text.is_empty());
        // The error shows a path as it is; the command hides seeds in what it prints.
        match text("creds") {
            Some(_) => assert_no_seed(&secrets::hide(&said)),
            None => assert_no_seed(&said),
        }
        if let Some(password) = text("password").filter(|password| password.len() > 8) {
            assert!(!said.contains(password), "the password is in {said}");
        }
        // The error comes from the connection, so all checks that need no server have passed.
        if matches!(error, ConnectError::Unreachable { .. }) {
            match text("creds") {
                Some(_) => {}
                None => {
                    let token = text("user_jwt").expect("it has a token");
                    let seed = text("user_seed").expect("it has a seed");
                    assert_eq!(seed.trim(), keys().user.reveal().as_str());
                    let claims = vstream_jwt::model::claims::Token::decode(token).expect("the token is read");
                    assert_eq!(*claims.subject(), keys().user.public_key());
                }
            }
        }
    }
);
