//! `plan`: compares the present deployment with the definition.

use crate::engine::caches;
use crate::engine::nsc_sync;
use crate::engine::planned::{Planned, compare};
use crate::engine::regional_keys;
use crate::engine::session::{Given, Hearing, ReadError, Session};
use crate::engine::user_permissions::users;
use crate::engine::{Connector, Deadline, Tell};
use crate::plan::{self, Options};
use futures::future::join;

/// Connects, reads the deployment and compares it with the definition. Changes nothing. If `hearing` is on, the session
/// subscribes to pushes by other tools from now on.
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
    let (session, desired, mut observed) = Session::read_to_change(given, connector, hearing, deadline, tell).await?;
    let options = &regional_keys::with_signing_keys(&session, &desired, &observed, keys, options);
    let mut plan = compare(&session, &desired, &observed, keys, options);
    // Subscriptions change the findings, but not the changes.
    let users = users(&session, &plan, options, connector.changes());
    let (asked, users) = join(session.observe_listeners(&plan, &mut observed, tell), users).await;
    if asked {
        plan = compare(&session, &desired, &observed, keys, options);
    }
    plan.findings.extend(session.trust_findings.iter().cloned());
    plan::admit(&mut plan.findings, options);
    plan.findings.extend(users);
    plan.findings.extend(caches::look(&session, &plan, &observed, connector).await);
    let mut look = nsc_sync::look(&session, &observed);
    plan::admit(&mut look.findings, options);
    plan.findings.append(&mut look.findings);
    Ok((session, Planned { desired, observed, plan, options: options.clone(), behind: look.behind }))
}
