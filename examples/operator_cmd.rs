//! A signer for `--operator-cmd`, which keeps the operator's key in its own process and answers requests on standard
//! input. A KMS or a vault can replace the key file.
//!
//! ```sh
//! vstream-jwt apply --operator-cmd 'cargo run -q --example operator_cmd keys/op.nk'
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use serde_json::{Value, json};
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use vstream_jwt::sign::file::read_seed_file;
use vstream_jwt::sign::{Seed, Signer as _};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: operator_cmd SEED_FILE")?;
    let seed = read_seed_file(Path::new(&path))?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&seed, &line?).unwrap_or_else(|error| json!({ "error": error }));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(seed: &Seed, line: &str) -> Result<Value, String> {
    let request: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    match request["request"].as_str() {
        Some("public_key") => Ok(json!({ "public_key": seed.public_key() })),
        Some("sign") if request["public_key"] != json!(seed.public_key()) => Err("that key is not here".to_owned()),
        Some("sign") => {
            let message = request["message"].as_str().ok_or("no message")?;
            let message = B64.decode(message).map_err(|error| error.to_string())?;
            let signature = seed.sign(&message).map_err(|error| error.to_string())?;
            Ok(json!({ "signature": B64.encode(signature) }))
        }
        _ => Err("unknown request".to_owned()),
    }
}
