//! Tests the command line without servers: what a verb prints, on which stream, and its exit code.

mod definition;
mod docs;
mod floods;
mod help;
mod history;
mod imports;
mod keys;
mod killed;
mod plan_files;
mod refusals;
mod secrets;
mod shown;
mod structure;
mod terminal;

/// A definition whose servers no test connects to.
const DEFINITION: &str = "version: 1
system: { credentials: keys/sys.creds }
regions:
  west: { servers: [nats://127.0.0.1:1] }
accounts:
  APP:
    id: AADQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOPIN
    credentials: keys/app.creds
    virtual_streams: { foo: { subjects: [foo.>] } }
";
