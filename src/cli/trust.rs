//! The keys whose signatures count: the pinned operator, and operator tokens on this machine.

use super::{Failure, Shell};
use crate::definition::Definition;
use crate::model::claims::Trust;
use crate::model::nkey::PublicKey;
use crate::ops::load::Loaded;
use crate::ops::trust::{trust, with_pushes};
use crate::sign::keyring::Keyring;

/// Returns the trust for a definition that was loaded from its own files.
pub(super) fn of_definition(loaded: &Loaded, keys: &Keyring, signer: Option<PublicKey>) -> Trust {
    let trust = trust(Some(&loaded.definition), &loaded.base, keys.folder());
    with_pushes(trust, &loaded.base).signing_with(signer)
}

/// Returns the trust for a plan file. The file's own definition does not count, because anyone may have made the file.
/// The definition on this machine counts, if there is one, and so does `pinned` from the command line. Does not look
/// for the last push, because signing a file asks no server.
pub(super) fn of_plan_file(
    shell: &Shell,
    planned: &Definition,
    keys: &Keyring,
    pinned: Option<PublicKey>,
    signer: Option<PublicKey>,
) -> Result<Trust, Failure> {
    let local = match shell.definition.exists() {
        true => Some(shell.load()?),
        false => None,
    };
    let mut trust = trust(local.as_ref().map(|loaded| &loaded.definition), &shell.base(), keys.folder());
    if let (Some(pinned), Some(pin)) = (&pinned, &trust.pin)
        && pinned != pin
    {
        return Err(differs(format!("--trust {pinned}, and {} pins {pin}", shell.definition.display())));
    }
    trust.pin = trust.pin.or(pinned);
    if let (Some(pin), Some(other)) =
        (&trust.pin, planned.operator.as_ref().filter(|other| trust.pin.as_ref() != Some(other)))
    {
        return Err(differs(format!("the definition in the plan file pins {other}, and {pin} is pinned here")));
    }
    Ok(trust.signing_with(signer))
}

fn differs(message: String) -> Failure {
    Failure::usage("operators-differ", message).next(
        "Name the operator of this deployment (`nsc describe operator` shows it); find out which of the two is wrong.",
    )
}
