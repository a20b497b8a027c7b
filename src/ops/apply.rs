//! `apply`: carries out what the definition asks for, or exactly the plan of a file.

use super::plan::plan;
use crate::engine::planned::{Planned, Planner};
use crate::engine::session::{Given, Hearing, ReadError, Session};
use crate::engine::signed_plan::moved;
use crate::engine::{Connector, Deadline, Tell};
use crate::observed::link::Link;
use crate::plan::Options;
use crate::plan::file::Content;

/// Plans what the definition asks for. With a plan file, the run goes on only if the plan equals that of the file.
#[derive(Debug, Clone, Copy)]
pub struct Apply<'c>(pub Option<&'c Content>);

impl Planner for Apply<'_> {
    async fn plan<'d, C: Connector>(
        &self,
        given: Given<'d, '_>,
        connector: &C,
        options: &Options,
        hearing: Hearing<C::Link>,
        deadline: Deadline,
        tell: &dyn Tell,
    ) -> Result<(Session<'d, C::Link>, Planned<'d>), ReadError> {
        plan(given, connector, options, hearing, deadline, tell).await
    }

    fn recheck<L: Link>(&self, session: &Session<'_, L>, planned: &Planned<'_>) -> Vec<String> {
        self.0.map(|file| moved(file, session, planned)).unwrap_or_default()
    }

    fn plans_again(&self) -> bool {
        self.0.is_none()
    }
}
