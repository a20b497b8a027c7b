//! Uses the library without the command line: loads a definition, plans, applies, and prints each server's answer.
//!
//! ```sh
//! vstream-jwt dev up
//! cargo run --example apply -- .vstream-dev/vstream.yaml .vstream-dev/keys/op.nk
//! ```

use std::error::Error;
use std::path::Path;
use std::time::Duration;
use vstream_jwt::engine::lease::Holder;
use vstream_jwt::engine::run::{Run, Signers, execute};
use vstream_jwt::engine::session::{Subscription, VerbInputs};
use vstream_jwt::engine::{Deadline, Silent};
use vstream_jwt::nats::{DefinitionConnector, Purpose};
use vstream_jwt::ops::apply::ApplyPlanner;
use vstream_jwt::ops::load::load;
use vstream_jwt::ops::plan::plan;
use vstream_jwt::ops::trust::trust;
use vstream_jwt::plan::Options;
use vstream_jwt::sign::Signer as _;
use vstream_jwt::sign::file::read_seed_file;
use vstream_jwt::sign::keyring::Keyring;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [definition, operator_key] = args.as_slice() else {
        return Err("usage: apply DEFINITION OPERATOR_KEY".into());
    };
    let loaded = load(Path::new(definition))?;
    let keys_folder = loaded.base.join("keys");
    let definition = &loaded.definition;
    let mut keys = Keyring::open(&keys_folder)?;
    let operator = read_seed_file(Path::new(operator_key))?;

    // Trusts the operator that the definition pins, or the operator whose token is in a local file.
    let trust = trust(Some(definition), &loaded.base, &keys_folder).signing_with(Some(operator.public_key()));
    let connector = DefinitionConnector::new(definition, Purpose::Change, &keys_folder);
    let deadline = Deadline::after(Duration::from_secs(30));
    let inputs = VerbInputs { definition, keys: &keys, trust: &trust };
    let (mut session, mut planned) =
        plan(inputs, &connector, &Options::default(), Subscription::On, deadline, &Silent).await?;
    for finding in &planned.plan.findings {
        println!("{}: {} {}", finding.place, finding.message, finding.next);
    }
    for account in &planned.plan.accounts {
        let (mappings, streams) = (account.mappings.changes.len(), account.streams.changes.len());
        println!("account {}: {mappings} mappings and {streams} streams to change", account.name);
    }

    let signers = Signers { operator: Some(&operator), keys: &mut keys, signed: None };
    let run = Run::new(ApplyPlanner(None), signers, Holder { who: "the example".to_owned(), verb: "apply" });
    let applied = execute(&mut session, &mut planned, run, &connector, &Silent).await?;
    for server in applied.pushed.iter().flat_map(|pushed| &pushed.servers) {
        println!("{} ({}): {}", server.server, server.cluster, server.verdict);
    }
    match applied.is_confirmed() {
        true => Ok(()),
        false => Err("not every server confirmed; verify names what is missing".into()),
    }
}
