//! Plan files. A file that is read renders as it was. Any content that is written reads back the same. A signed file
//! contains what its review showed, line by line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;
use support::{ISSUED, assert_no_seed, assert_one_line, folder, keys, text};
use vstream_jwt::model::claims::{AccountClaims, TrustAnchor};
use vstream_jwt::model::shown::shown;
use vstream_jwt::ops::planfile::{self, FileError, SignFileError, review};
use vstream_jwt::plan::claims_diff;
use vstream_jwt::plan::file::{PlanContent, PlanFile, PlanFileError};
use vstream_jwt::secrets;
use vstream_jwt::sign::Signer as _;
use vstream_jwt::sign::keyring::Keyring;

fuzz_target!(|data: &[u8]| {
    let Some(text) = text(data) else { return };
    match PlanFile::parse(&text) {
        Ok(file) => assert_eq!(file.render(), text),
        Err(error) => as_printed(&error.to_string()),
    }
    // No random input has the right digest; `PlanFile::new` computes it.
    let Ok(content) = serde_json::from_str::<PlanContent>(&text) else { return };
    let unsigned = content.signed.is_none();
    let file = PlanFile::new(content);
    let rendered = file.render();
    match PlanFile::parse(&rendered) {
        Ok(again) => assert!(unsigned && again == file),
        Err(error) => assert!(!unsigned, "{error}: {rendered}"),
    }
    if !unsigned {
        return;
    }
    let path = folder().join("plan.json");
    match planfile::write(&path, &file) {
        Ok(()) => {
            assert_no_seed(&rendered);
            assert_eq!(planfile::read(&path).expect("what is written is read"), file);
        }
        Err(FileError::Content { cause: PlanFileError::Secret(_), .. }) => {
            assert!(secrets::find(&rendered).iter().any(|secret| secret.certain));
            support::write_secret(&path, rendered.as_bytes());
            assert!(planfile::read(&path).is_err(), "a secret in it was let through");
        }
        Err(error) => panic!("{error}"),
    }
    assert!(file.content.moved(&file.content).is_empty(), "nothing moved");
    review::beyond_tokens(&file.content).iter().for_each(|line| assert_one_line(line));
    sign(file);
});

/// Checks that the command prints an error without seeds and without hidden characters.
fn as_printed(error: &str) {
    let printed = secrets::hide(error);
    assert_no_seed(&printed);
    assert_one_line(&shown(&printed));
}

fn sign(file: PlanFile) {
    static KEYS: LazyLock<Keyring> = LazyLock::new(|| {
        let path = folder().join("keys");
        std::fs::create_dir(&path).expect("a folder can be made");
        Keyring::open(&path).expect("it can be read")
    });
    let definition = match planfile::definition(Path::new("plan.json"), &file.content, Path::new("/base")) {
        Ok(definition) => definition,
        Err(error) => return assert_no_seed(&error.to_string()),
    };
    let operator = &keys().operator;
    let anchor = TrustAnchor::of_key(&operator.public_key());
    let checked = planfile::check(&file.content, &definition);
    let before = file.content.clone();
    let signed = match planfile::sign(file, &definition, operator, &KEYS, &anchor) {
        Ok(signed) => signed,
        Err(error) => return as_printed(&error.to_string()),
    };
    assert!(checked.is_ok(), "signed though its parts do not fit");
    assert_eq!(PlanFile::parse(&signed.render()).expect("what is signed is read"), signed);
    for (account, was) in signed.content.accounts.iter().zip(&before.accounts) {
        let start = planfile::start(was, &anchor).expect("its token is trusted");
        let lines = review::changes(was, start.as_ref(), ISSUED + 1);
        lines.iter().for_each(|line| assert_one_line(line));
        let mut last = start.map(|start| start.value().clone());
        for token in &account.tokens {
            let text = token.token.as_deref().expect("each token is signed");
            let claims = AccountClaims::decode(text).expect("what is signed is read");
            assert_eq!((claims.id(), claims.issuer()), (&account.id, &operator.public_key()));
            assert!(claims.issued_at() > token.newest_iat);
            if token.activations.is_empty() {
                assert!(claims_diff(Some(&token.claims), claims.value()).is_empty(), "signed is what was asked for");
            }
            // The review has every difference from the previous token.
            for line in claims_diff(last.as_ref(), &token.claims) {
                assert!(lines.contains(&line), "{line} is not in the review");
            }
            last = Some(token.claims.clone());
        }
    }
    let error = planfile::sign(signed, &definition, operator, &KEYS, &anchor).expect_err("it is signed already");
    assert!(matches!(error, SignFileError::Signed(_)), "{error}");
}
