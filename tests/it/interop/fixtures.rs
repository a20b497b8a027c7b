//! The fixtures, and a reader of tokens that shares no code with the library.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::path::{Path, PathBuf};
use vstream_jwt::model::mapping::{Destination, Mapping};
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::model::subject::SubjectFilter;
use vstream_jwt::sign::Seed;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokens")
}

pub fn token(name: &str) -> String {
    let path = folder().join(format!("{name}.jwt"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

/// Returns the account tokens that can be edited.
pub fn accounts() -> Vec<String> {
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let refused = ["duplicate-key", "case-variant", "version-"];
    let mut names: Vec<String> = names
        .filter_map(|name| name.strip_suffix(".jwt").map(str::to_owned))
        .filter(|name| name.contains("account-") && !refused.iter().any(|r| name.contains(r)))
        .collect();
    names.sort();
    assert!(names.len() >= 7, "{names:?}");
    names
}

/// Returns the text of the claims.
pub fn claims_text(token: &str) -> String {
    let body = token.split('.').nth(1).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}

pub fn operator() -> Seed {
    Seed::generate(KeyKind::Operator).unwrap()
}

pub fn mapping(source: &str, destinations: &[(&str, u8, Option<&str>)]) -> Mapping {
    let destination = |(subject, weight, cluster): &(&str, u8, Option<&str>)| Destination {
        subject: (*subject).to_owned(),
        weight: *weight,
        cluster: cluster.map(str::to_owned),
    };
    Mapping {
        source: SubjectFilter::parse(source).unwrap(),
        destinations: destinations.iter().map(destination).collect(),
    }
}
