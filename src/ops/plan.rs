//! `plan`: the deployment as it is, against the definition.

use super::session::{Given, Hearing, ReadError, Reading, Session, now};
use super::users::users;
use super::{Connector, Deadline, Tell, caches, nsc, regional};
use crate::desired::DesiredAccount;
use crate::observed::survey::Observed;
use crate::plan::{Options, Plan};
use crate::sign::keyring::Keyring;
use crate::{observed::link::Link, plan};
use futures::future::join;

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

/// Connects, reads the deployment and compares it with the definition. Changes nothing. A run that is going to push hears
/// from now on what others push.
///
/// # Errors
/// [`ReadError`]
pub async fn plan<'d, C: Connector>(
    given: Given<'d, '_>,
    connector: &C,
    options: &Options,
    hearing: Hearing<C::Link>,
    deadline: Deadline,
    tell: &dyn Tell,
) -> Result<(Session<'d, C::Link>, Planned<'d>), ReadError> {
    let keys = given.keys;
    let (session, tokens) = Session::open(given, connector, hearing, deadline, tell).await?;
    tell.step("reading the streams", 0, 0);
    let desired = session.desired()?;
    let mut observed = session.observe(&desired, tokens, Reading::ToChange).await?;
    session.settle(&mut observed);
    let options = &regional::with_signing_keys(&session, &desired, &observed, keys, options);
    let mut plan = compare(&session, &desired, &observed, keys, options);
    // Who listens changes what is found, and not what is to be done.
    let users = users(&session, &plan, options, connector.changes());
    let (asked, users) = join(session.observe_listeners(&plan, &mut observed, tell), users).await;
    if asked {
        plan = compare(&session, &desired, &observed, keys, options);
    }
    plan.findings.extend(session.trust_findings.iter().cloned());
    plan::admit(&mut plan.findings, options);
    plan.findings.extend(users);
    plan.findings.extend(caches::look(&session, &plan, &observed, connector).await);
    let mut look = nsc::look(&session, &observed);
    plan::admit(&mut look.findings, options);
    plan.findings.append(&mut look.findings);
    Ok((session, Planned { desired, observed, plan, options: options.clone(), behind: look.behind }))
}

/// The plan, from what was read; keys that are missing are among its findings.
pub(super) fn compare<L: Link>(
    session: &Session<'_, L>,
    desired: &[DesiredAccount<'_>],
    observed: &Observed,
    keys: &Keyring,
    options: &Options,
) -> Plan {
    let mut plan = plan::plan(&session.definition.topology, desired, observed, options, now());
    let mut missing = regional::missing_keys(session.definition, &plan, keys, options, session.is_strict());
    plan::admit(&mut missing, options);
    plan.findings.extend(missing);
    plan
}
