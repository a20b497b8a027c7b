//! `plan`: compares the present deployment with the definition.

use crate::engine::caches;
use crate::engine::nsc_sync;
use crate::engine::planned::{Planned, compare};
use crate::engine::regional_keys;
use crate::engine::session::{ReadError, Session, Subscription, VerbInputs};
use crate::engine::user_permissions::check_user_permissions;
use crate::engine::{Connector, Deadline, Progress};
use crate::plan::{self, Options};
use futures::future::join;

/// Connects, reads the deployment and compares it with the definition. Changes nothing. If `subscription` is on, the
/// session subscribes to pushes by other tools from now on.
///
/// # Errors
/// [`ReadError`]
pub async fn plan<'d, C: Connector>(
    inputs: VerbInputs<'d, '_>,
    connector: &C,
    options: &Options,
    subscription: Subscription<C::Connection>,
    deadline: Deadline,
    progress: &dyn Progress,
) -> Result<(Session<'d, C::Connection>, Planned<'d>), ReadError> {
    let keys = inputs.keys;
    let (session, desired, mut observed) =
        Session::read_to_change(inputs, connector, subscription, deadline, progress).await?;
    let options = &regional_keys::with_signing_keys(&session, &desired, &observed, keys, options);
    let mut plan = compare(&session, &desired, &observed, keys, options);
    // Subscriptions change the findings, but not the changes.
    let users = check_user_permissions(&session, &plan, options, connector.changes());
    let (asked, users) = join(session.observe_listeners(&plan, &mut observed, progress), users).await;
    if asked {
        plan = compare(&session, &desired, &observed, keys, options);
    }
    plan.findings.extend(session.trust_findings.iter().cloned());
    plan::downgrade_allowed(&mut plan.findings, options);
    plan.findings.extend(users);
    plan.findings.extend(caches::look(&session, &plan, &observed, connector).await);
    let mut look = nsc_sync::look(&session, &observed);
    plan::downgrade_allowed(&mut look.findings, options);
    plan.findings.append(&mut look.findings);
    Ok((
        session,
        Planned { desired, observed, plan, options: options.clone(), stale_nsc_copies: look.stale_nsc_copies },
    ))
}
