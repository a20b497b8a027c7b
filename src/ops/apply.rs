//! `apply`: carries out what the definition asks for, or exactly the plan of a file.

use super::plan::plan;
use crate::engine::planned::{Planned, Planner};
use crate::engine::session::{ReadError, Session, Subscription, VerbInputs};
use crate::engine::signed_plan::moved;
use crate::engine::{Connector, Deadline, Progress};
use crate::observed::connection::Connection;
use crate::plan::Options;
use crate::plan::file::PlanContent;

/// Plans what the definition asks for. With a plan file, the run goes on only if the plan equals that of the file.
#[derive(Debug, Clone, Copy)]
pub struct ApplyPlanner<'c>(pub Option<&'c PlanContent>);

impl Planner for ApplyPlanner<'_> {
    async fn plan<'d, C: Connector>(
        &self,
        inputs: VerbInputs<'d, '_>,
        connector: &C,
        options: &Options,
        subscription: Subscription<C::Connection>,
        deadline: Deadline,
        progress: &dyn Progress,
    ) -> Result<(Session<'d, C::Connection>, Planned<'d>), ReadError> {
        plan(inputs, connector, options, subscription, deadline, progress).await
    }

    fn recheck<L: Connection>(&self, session: &Session<'_, L>, planned: &Planned<'_>) -> Vec<String> {
        self.0.map(|file| moved(file, session, planned)).unwrap_or_default()
    }

    fn plans_again(&self) -> bool {
        self.0.is_none()
    }
}
