//! The order of a run's steps, as data.

use super::account_plan::Plan;
use super::pushes::Stage;

/// A step of a run. Each begins when the previous one is done. A step without work returns at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Servers with a `cache` resolver load the accounts that existed before the run.
    LoadAccounts,
    /// These servers load the accounts that the run has just pushed for the first time.
    LoadNewAccounts,
    /// The run pushes the tokens of one stage, and waits until every server confirms them.
    Push(Stage),
    /// The run connects to the regional accounts in which it makes streams.
    ConnectRegional,
    /// The run makes and changes streams and consumers.
    EnsureStreams,
    /// New streams get the history of the streams that they replace.
    Backfill,
    /// The run waits until the streams are ready for the mappings that will lead to them.
    AwaitStreams,
    /// The run removes streams and consumers to which no mapping leads any more.
    RemoveStreams,
    /// The run reads the streams back, unless it did so after their last change.
    CheckStreams,
}

/// All steps in order: streams before the mappings that lead to them, exporters before importers, and removal
/// backwards.
const ORDER: [Step; 15] = [
    Step::LoadAccounts,
    Step::Push(Stage::RegionalExports),
    Step::LoadNewAccounts,
    Step::Push(Stage::ApplicationExportsImports),
    Step::Push(Stage::RegionalImports),
    Step::ConnectRegional,
    Step::EnsureStreams,
    Step::Backfill,
    Step::AwaitStreams,
    Step::Push(Stage::Mappings),
    Step::RemoveStreams,
    Step::Push(Stage::RegionalImportsGone),
    Step::Push(Stage::ApplicationExportsImportsGone),
    Step::Push(Stage::RegionalExportsGone),
    Step::CheckStreams,
];

/// Returns the steps of a plan in order.
pub fn schedule(plan: &Plan) -> Vec<Step> {
    let pushes =
        |stage: Stage| plan.accounts.iter().flat_map(|account| &account.pushes).any(|push| push.stage == stage);
    let due = |step: &Step| match step {
        Step::Push(stage) => pushes(*stage),
        _ => true,
    };
    ORDER.into_iter().filter(due).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_keeps_a_deployment_safe_wherever_it_stops() {
        let at = |step: Step| ORDER.iter().position(|other| *other == step).unwrap();
        let push = |stage| at(Step::Push(stage));
        for (first, then) in [
            (push(Stage::RegionalExports), push(Stage::ApplicationExportsImports)),
            (push(Stage::ApplicationExportsImports), push(Stage::RegionalImports)),
            (at(Step::LoadAccounts), push(Stage::ApplicationExportsImports)),
            (at(Step::LoadNewAccounts), push(Stage::ApplicationExportsImports)),
            (push(Stage::RegionalImports), at(Step::EnsureStreams)),
            (at(Step::EnsureStreams), at(Step::AwaitStreams)),
            (at(Step::Backfill), at(Step::AwaitStreams)),
            (at(Step::AwaitStreams), push(Stage::Mappings)),
            (push(Stage::Mappings), at(Step::RemoveStreams)),
            (at(Step::RemoveStreams), push(Stage::RegionalImportsGone)),
            (push(Stage::RegionalImportsGone), push(Stage::ApplicationExportsImportsGone)),
            (push(Stage::ApplicationExportsImportsGone), push(Stage::RegionalExportsGone)),
        ] {
            assert!(first < then, "{:?} has to come before {:?}", ORDER[first], ORDER[then]);
        }
        // Records and plan files sort tokens by their stages.
        let stages: Vec<Stage> = ORDER
            .iter()
            .filter_map(|step| match step {
                Step::Push(stage) => Some(*stage),
                _ => None,
            })
            .collect();
        assert!(stages.is_sorted() && stages.len() == 7, "{stages:?}");
    }
}
