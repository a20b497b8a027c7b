//! Credentials files. An accepted file has a user's token and the seed of that user. The error for a refused file shows
//! neither.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use support::{assert_harmless, assert_no_seed, filled, folder, in_paused_time, keys, shows_a_seed, write_secret};
use vstream_jwt::model::shown::shown;
use vstream_jwt::nats::{LoginMethod, ConnectError, ConnectOptions, connect};
use vstream_jwt::sign::{Seed, Signer as _};

fuzz_target!(|data: &[u8]| {
    if shows_a_seed(&String::from_utf8_lossy(data)) {
        return;
    }
    let content = match std::str::from_utf8(data) {
        Ok(text) => filled(text).into_bytes(),
        Err(_) => data.to_vec(),
    };
    let path = folder().join("fuzz.creds");
    write_secret(&path, &content);
    let access = LoginMethod::Credentials(path);
    let account = keys().account.public_key();
    let load = |account| {
        let options = ConnectOptions::new(&[], None, &access, Duration::from_secs(1));
        let options = if let Some(account) = account { options.account(account) } else { options };
        in_paused_time(connect(options)).0.expect_err("there is no server")
    };
    let error = load(None);
    let said = format!("{error} {error:?}");
    assert_no_seed(&said);
    assert_harmless(&shown(&said));
    let token = filled("@{TU}");
    assert!(!said.contains(&token), "the token is in an error");
    if matches!(error, ConnectError::Unreachable { .. }) {
        let text = std::str::from_utf8(&content).expect("it is text");
        assert!(text.contains(&token) && text.contains(keys().user.reveal().as_str()), "whose is it?");
        let again = load(Some(&account));
        assert!(matches!(again, ConnectError::Unreachable { .. }), "{again}");
        let other = load(Some(&keys().other_account.public_key()));
        assert!(matches!(other, ConnectError::WrongAccount { .. }), "{other}");
    }
    // Reads the same file as a seed file.
    if let Ok(seed) = Seed::parse_bytes(&content) {
        let text = std::str::from_utf8(&content).expect("it is text");
        assert!(text.contains(seed.reveal().as_str()));
    }
});
