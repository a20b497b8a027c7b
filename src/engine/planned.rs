//! A plan with its inputs, and the trait for verbs that make plans.

use super::clock::now;
use super::session::{ReadError, Session, Subscription, VerbInputs};
use super::{Connector, Deadline, Progress, regional_keys};
use crate::desired::DesiredAccount;
use crate::observed::connection::Connection;
use crate::observed::survey::Observed;
use crate::plan::preflight::REGIONAL_KEY_MISSING;
use crate::plan::{self, Options, Plan};
use crate::sign::keyring::{Keyring, KeyringError};

/// Makes the plans of a verb, and makes them again if another tool or run changes something.
pub trait Planner {
    /// Connects, reads the deployment, and plans. Changes nothing.
    ///
    /// # Errors
    /// [`ReadError`]
    fn plan<'d, C: Connector>(
        &self,
        inputs: VerbInputs<'d, '_>,
        connector: &C,
        options: &Options,
        subscription: Subscription<C::Connection>,
        deadline: Deadline,
        progress: &dyn Progress,
    ) -> impl Future<Output = Result<(Session<'d, C::Connection>, Planned<'d>), ReadError>>;

    /// Returns the reasons why a new plan must not be carried out, one line each.
    fn recheck<L: Connection>(&self, _session: &Session<'_, L>, _planned: &Planned<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Returns `false` if the plan must be carried out unchanged or not at all. Then another tool's push that comes
    /// after this run's first push ends the run.
    fn plans_again(&self) -> bool {
        true
    }

    /// Returns `true` if the verb removes all streams of the definition. Then it also removes the lease's stream.
    fn removes_all(&self) -> bool {
        false
    }
}

/// A plan and its inputs.
#[derive(Debug)]
pub struct Planned<'d> {
    /// The desired state that the definition asks for.
    pub desired: Vec<DesiredAccount<'d>>,
    /// The deployment as it was read.
    pub observed: Observed,
    /// The difference.
    pub plan: Plan,
    /// The options that the plan was made with.
    pub options: Options,
    /// Accounts whose copies in the nsc store are older than the servers' tokens. `apply` updates them at its end.
    pub stale_nsc_copies: Vec<String>,
}

/// Returns the plan for this deployment. Its findings include missing keys.
pub(crate) fn compare<L: Connection>(
    session: &Session<'_, L>,
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    keys: &Keyring,
    options: &Options,
) -> Plan {
    let mut plan = plan::plan(&session.definition.topology, desired, observed, options, now());
    let mut missing = regional_keys::missing_keys(session.definition, &plan, keys, options, session.is_strict());
    plan::downgrade_allowed(&mut missing, options);
    plan.findings.extend(missing);
    plan
}

/// Returns the names of accounts that the plan makes or gives a new signing key, but that have no key in the keys
/// folder. A plan file cannot name their keys.
///
/// # Errors
/// [`KeyringError`] if a key file cannot be read.
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
