//! A plan with what it was made from, and how a verb makes it.

use super::clock::now;
use super::session::{Given, Hearing, ReadError, Session};
use super::{Connector, Deadline, Tell, regional_keys};
use crate::desired::DesiredAccount;
use crate::observed::link::Link;
use crate::observed::survey::Observed;
use crate::plan::preflight::REGIONAL_KEY_MISSING;
use crate::plan::{self, Options, Plan};
use crate::sign::keyring::{Keyring, KeyringError};

/// A verb, as far as its plans go: how it makes them, also when another tool or run changed something since the first.
pub trait Planner {
    /// Connects, reads the deployment, and plans. Changes nothing.
    ///
    /// # Errors
    /// [`ReadError`]
    fn plan<'d, C: Connector>(
        &self,
        given: Given<'d, '_>,
        connector: &C,
        options: &Options,
        hearing: Hearing<C::Link>,
        deadline: Deadline,
        tell: &dyn Tell,
    ) -> impl Future<Output = Result<(Session<'d, C::Link>, Planned<'d>), ReadError>>;

    /// Reasons why a plan that was made again must not be carried out, one line each.
    fn recheck<L: Link>(&self, _session: &Session<'_, L>, _planned: &Planned<'_>) -> Vec<String> {
        Vec::new()
    }

    /// `false` if the plan is carried out as it is or not at all: pushes by others that come after the first one of this
    /// run end it.
    fn plans_again(&self) -> bool {
        true
    }

    /// `true` if no stream of the definition may be left: then the lease's stream goes as well.
    fn removes_all(&self) -> bool {
        false
    }
}

/// A plan, and what it was made from.
#[derive(Debug)]
pub struct Planned<'d> {
    /// What the definition asks for.
    pub desired: Vec<DesiredAccount<'d>>,
    /// The deployment as it was read.
    pub observed: Observed,
    /// The difference.
    pub plan: Plan,
    /// What it was made with.
    pub options: Options,
    /// Accounts whose copies in the nsc store are behind the servers; the end of `apply` writes them.
    pub behind: Vec<String>,
}

/// The plan, from what was read; keys that are missing are among its findings.
pub(crate) fn compare<L: Link>(
    session: &Session<'_, L>,
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    keys: &Keyring,
    options: &Options,
) -> Plan {
    let mut plan = plan::plan(&session.definition.topology, desired, observed, options, now());
    let mut missing = regional_keys::missing_keys(session.definition, &plan, keys, options, session.is_strict());
    plan::admit(&mut missing, options);
    plan.findings.extend(missing);
    plan
}

/// Names of accounts that are to be made, or get a new signing key, and have no key in the keys folder yet: a plan file
/// can't name them.
///
/// # Errors
/// [`KeyringError`] when a key file can't be read.
pub fn without_keys(planned: &Planned<'_>, keys: &Keyring) -> Result<Vec<String>, KeyringError> {
    let mut names = Vec::new();
    for account in &planned.plan.accounts {
        let place = format!("account {}", account.name);
        let lost = planned.plan.findings.iter().any(|f| f.code == REGIONAL_KEY_MISSING && f.place == place);
        let unsigned = regional_keys::wants_signing_key(account, &account.id, &planned.options);
        if lost || unsigned || (account.new && keys.find(&account.id)?.is_none()) {
            names.push(account.name.clone());
        }
    }
    Ok(names)
}
