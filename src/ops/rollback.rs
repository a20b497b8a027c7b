//! `rollback`: returns to the state after an earlier push, and keeps what other tools changed since.

use crate::engine::clock::now;
use crate::engine::planned::{Planned, Planner};
use crate::engine::session::{ReadError, Session, Subscription, VerbInputs};
use crate::engine::user_permissions::check_user_permissions;
use crate::engine::{Connector, Deadline, Progress};
use crate::engine::{caches, nsc_sync};
use crate::plan::rollback::{Effects, Rollback, Undo, rollback};
use crate::plan::{self, Options};

/// Plans to undo a push.
#[derive(Debug, Clone, Copy)]
pub struct RollbackPlanner<'u>(pub &'u Undo<'u>);

impl Planner for RollbackPlanner<'_> {
    async fn plan<'d, C: Connector>(
        &self,
        inputs: VerbInputs<'d, '_>,
        connector: &C,
        _options: &Options,
        subscription: Subscription<C::Connection>,
        deadline: Deadline,
        progress: &dyn Progress,
    ) -> Result<(Session<'d, C::Connection>, Planned<'d>), ReadError> {
        let (session, planned, _) = plan_rollback(inputs, connector, self.0, subscription, deadline, progress).await?;
        Ok((session, planned))
    }
}

/// Connects, reads the deployment, and plans to undo the pushes in the records. Changes nothing.
/// [`crate::engine::run::execute`] carries out the plan.
///
/// # Errors
/// [`ReadError`]
pub async fn plan_rollback<'d, C: Connector>(
    inputs: VerbInputs<'d, '_>,
    connector: &C,
    undo: &Undo<'_>,
    subscription: Subscription<C::Connection>,
    deadline: Deadline,
    progress: &dyn Progress,
) -> Result<(Session<'d, C::Connection>, Planned<'d>, Effects), ReadError> {
    let (session, desired, mut observed) =
        Session::read_to_change(inputs, connector, subscription, deadline, progress).await?;
    let topology = &inputs.definition.topology;
    let mut back = rollback(topology, &desired, &observed, undo, now());
    if session.observe_listeners(&back.plan, &mut observed, progress).await {
        back = rollback(topology, &desired, &observed, undo, now());
    }
    let Rollback { mut plan, effects } = back;
    plan.findings.extend(session.trust_findings.iter().cloned());
    plan::downgrade_allowed(&mut plan.findings, &undo.options);
    plan.findings.extend(check_user_permissions(&session, &plan, &undo.options, connector.changes()).await);
    plan.findings.extend(caches::look(&session, &plan, &observed, connector).await);
    let mut look = nsc_sync::look(&session, &observed);
    plan::downgrade_allowed(&mut look.findings, &undo.options);
    plan.findings.append(&mut look.findings);
    // A rollback leads to another state than the definition's, so the streams are not compared with the definition.
    let planned = Planned {
        desired: Vec::new(),
        observed,
        plan,
        options: undo.options.clone(),
        stale_nsc_copies: look.stale_nsc_copies,
    };
    Ok((session, planned, effects))
}
