//! `destroy`: removes what a definition made. Mappings are removed first, and streams only if the user asks for it.

use crate::definition::Definition;
use crate::engine::clock::now;
use crate::engine::nsc_sync;
use crate::engine::planned::{Planned, Planner};
use crate::engine::session::{Given, Hearing, ReadError, Session};
use crate::engine::user_permissions::users;
use crate::engine::{Connector, Deadline, Tell};
use crate::plan::{self, Options};

/// Plans to remove everything in the definition.
#[derive(Debug, Clone, Copy)]
pub struct Removal {
    /// `true` to delete the streams, too.
    pub delete_streams: bool,
}

impl Planner for Removal {
    async fn plan<'d, C: Connector>(
        &self,
        given: Given<'d, '_>,
        connector: &C,
        _options: &Options,
        hearing: Hearing<C::Link>,
        deadline: Deadline,
        tell: &dyn Tell,
    ) -> Result<(Session<'d, C::Link>, Planned<'d>), ReadError> {
        plan_destroy(given, connector, self.delete_streams, hearing, deadline, tell).await
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
    given: Given<'d, '_>,
    connector: &C,
    delete_streams: bool,
    hearing: Hearing<C::Link>,
    deadline: Deadline,
    tell: &dyn Tell,
) -> Result<(Session<'d, C::Link>, Planned<'d>), ReadError> {
    let (session, desired, observed) = Session::read_to_change(given, connector, hearing, deadline, tell).await?;
    let mut plan = plan::destroy(&desired, &observed, delete_streams, now());
    plan.findings.extend(session.trust_findings.iter().cloned());
    plan.findings.extend(users(&session, &plan, &Options::default(), connector.changes()).await);
    let look = nsc_sync::look(&session, &observed);
    plan.findings.extend(look.findings);
    Ok((session, Planned { desired: Vec::new(), observed, plan, options: Options::default(), behind: look.behind }))
}
