//! `rollback`: returns to the state after an earlier push, and keeps what other tools changed since.

use crate::engine::clock::now;
use crate::engine::planned::{Planned, Planner};
use crate::engine::session::{Given, Hearing, ReadError, Session};
use crate::engine::user_permissions::users;
use crate::engine::{Connector, Deadline, Tell};
use crate::engine::{caches, nsc_sync};
use crate::plan::rollback::{Effects, Rollback, Undo, rollback};
use crate::plan::{self, Options};

/// Plans to undo a push.
#[derive(Debug, Clone, Copy)]
pub struct Back<'u>(pub &'u Undo<'u>);

impl Planner for Back<'_> {
    async fn plan<'d, C: Connector>(
        &self,
        given: Given<'d, '_>,
        connector: &C,
        _options: &Options,
        hearing: Hearing<C::Link>,
        deadline: Deadline,
        tell: &dyn Tell,
    ) -> Result<(Session<'d, C::Link>, Planned<'d>), ReadError> {
        let (session, planned, _) = plan_rollback(given, connector, self.0, hearing, deadline, tell).await?;
        Ok((session, planned))
    }
}

/// Connects, reads the deployment, and plans to undo the pushes in the records. Changes nothing.
/// [`crate::engine::run::execute`] carries out the plan.
///
/// # Errors
/// [`ReadError`]
pub async fn plan_rollback<'d, C: Connector>(
    given: Given<'d, '_>,
    connector: &C,
    undo: &Undo<'_>,
    hearing: Hearing<C::Link>,
    deadline: Deadline,
    tell: &dyn Tell,
) -> Result<(Session<'d, C::Link>, Planned<'d>, Effects), ReadError> {
    let (session, desired, mut observed) = Session::read_to_change(given, connector, hearing, deadline, tell).await?;
    let topology = &given.definition.topology;
    let mut back = rollback(topology, &desired, &observed, undo, now());
    if session.observe_listeners(&back.plan, &mut observed, tell).await {
        back = rollback(topology, &desired, &observed, undo, now());
    }
    let Rollback { mut plan, effects } = back;
    plan.findings.extend(session.trust_findings.iter().cloned());
    plan::admit(&mut plan.findings, &undo.options);
    plan.findings.extend(users(&session, &plan, &undo.options, connector.changes()).await);
    plan.findings.extend(caches::look(&session, &plan, &observed, connector).await);
    let mut look = nsc_sync::look(&session, &observed);
    plan::admit(&mut look.findings, &undo.options);
    plan.findings.append(&mut look.findings);
    // A rollback leads to another state than the definition's, so the streams are not compared with the definition.
    let planned = Planned { desired: Vec::new(), observed, plan, options: undo.options.clone(), behind: look.behind };
    Ok((session, planned, effects))
}
