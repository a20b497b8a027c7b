//! The log of pushes, in memory.

use super::deployment::InMemory;
use crate::desired::DesiredAccount;
use crate::engine::push_log::{Intent, PushLog, PushLogError};
use crate::engine::report::Pushed;
use crate::plan::Stage;
use std::io;

/// Notes each token in the deployment, which checks that no token is sent before it is logged.
#[derive(Debug)]
pub(crate) struct MemoryLog(pub InMemory);

impl PushLog for MemoryLog {
    fn begin(&self, intents: &[Intent<'_>], _: &[DesiredAccount<'_>]) -> Result<(), PushLogError> {
        let mut state = self.0.state();
        if state.faults.disk_full {
            return Err(PushLogError { path: "history".into(), cause: io::Error::other("no space left on device") });
        }
        state.logged.extend(intents.iter().map(|intent| intent.token.to_owned()));
        Ok(())
    }

    fn pushing(&self, _: Stage) {}

    fn pushed(&self, _: Stage, _: &[Pushed]) {}
}
