//! `destroy`: removes what a definition made. Mappings are removed first, and streams only if the user asks for it.

use crate::definition::Definition;
use crate::engine::clock::now;
use crate::engine::nsc_sync;
use crate::engine::planned::{Planned, Planner};
use crate::engine::session::{ReadError, Session, Subscription, VerbInputs};
use crate::engine::user_permissions::check_user_permissions;
use crate::engine::{Connector, Deadline, Progress};
use crate::plan::{self, Options};

/// Plans to remove everything in the definition.
#[derive(Debug, Clone, Copy)]
pub struct DestroyPlanner {
    /// `true` to delete the streams, too.
    pub delete_streams: bool,
}

impl Planner for DestroyPlanner {
    async fn plan<'d, C: Connector>(
        &self,
        inputs: VerbInputs<'d, '_>,
        connector: &C,
        _options: &Options,
        subscription: Subscription<C::Connection>,
        deadline: Deadline,
        progress: &dyn Progress,
    ) -> Result<(Session<'d, C::Connection>, Planned<'d>), ReadError> {
        plan_destroy(inputs, connector, self.delete_streams, subscription, deadline, progress).await
    }

    fn removes_all(&self) -> bool {
        true
    }
}

/// Returns the part of a definition that the run removes: all of it, or the named virtual streams.
///
/// # Errors
/// A name that is not in the definition.
pub fn part<'n>(definition: &Definition, names: &'n [String]) -> Result<Definition, &'n str> {
    let mut part = definition.clone();
    if names.is_empty() {
        return Ok(part);
    }
    let defined =
        |name: &String| part.accounts.iter().any(|a| a.virtual_streams.iter().any(|s| s.name.as_str() == name));
    if let Some(unknown) = names.iter().find(|name| !defined(name)) {
        return Err(unknown);
    }
    for account in &mut part.accounts {
        account.virtual_streams.retain(|stream| names.iter().any(|name| name == stream.name.as_str()));
    }
    part.accounts.retain(|account| !account.virtual_streams.is_empty());
    Ok(part)
}

/// Connects, reads the deployment, and plans to remove everything in the definition. Changes nothing.
/// [`crate::engine::run::execute`] carries out the plan.
///
/// # Errors
/// [`ReadError`]
pub async fn plan_destroy<'d, C: Connector>(
    inputs: VerbInputs<'d, '_>,
    connector: &C,
    delete_streams: bool,
    subscription: Subscription<C::Connection>,
    deadline: Deadline,
    progress: &dyn Progress,
) -> Result<(Session<'d, C::Connection>, Planned<'d>), ReadError> {
    let (session, desired, observed) =
        Session::read_to_change(inputs, connector, subscription, deadline, progress).await?;
    let mut plan = plan::destroy(&desired, &observed, delete_streams, now());
    plan.findings.extend(session.trust_findings.iter().cloned());
    plan.findings.extend(check_user_permissions(&session, &plan, &Options::default(), connector.changes()).await);
    let look = nsc_sync::look(&session, &observed);
    plan.findings.extend(look.findings);
    Ok((
        session,
        Planned {
            desired: Vec::new(),
            observed,
            plan,
            options: Options::default(),
            stale_nsc_copies: look.stale_nsc_copies,
        },
    ))
}
