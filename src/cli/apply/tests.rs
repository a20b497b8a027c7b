use super::*;
use crate::observed::Server;

/// Whether or not something had to be pushed.
#[test]
fn servers_that_do_not_answer_are_not_in_sync() {
    for (expected, exits) in [(1, Exit::Done), (2, Exit::Unconfirmed)] {
        let deployment = Deployment { servers: vec![Server::new("west-1", "west", "2.15.1")], expected };
        assert_eq!(exit(&Applied::default(), &deployment), exits);
        assert_eq!(
            unconfirmed(&Applied::default(), &deployment).contains("1 of 2 servers does not answer"),
            expected == 2
        );
    }
}
