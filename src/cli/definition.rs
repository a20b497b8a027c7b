//! Loads the definition that `--definition` names.

use super::text::{Text, put};
use super::{Exit, Failure, Shell};
use crate::desired::DesiredError;
use crate::ops::load::{LoadError, Loaded, load};

impl Shell {
    /// Reads the definition.
    ///
    /// # Errors
    /// Exit 2 with all problems of the definition, each with its location, cause and next step.
    pub fn load(&self) -> Result<Loaded, Failure> {
        load(&self.definition).map_err(|error| failure(&error))
    }
}

/// The definition is valid by itself, but servers would refuse what it asks for.
impl From<DesiredError> for Failure {
    fn from(error: DesiredError) -> Self {
        Self::usage("definition", error.to_string()).next("Correct that in the definition.")
    }
}

pub(super) fn failure(error: &LoadError) -> Failure {
    let failure = |code| Failure::new(Exit::Usage, code, error.to_string());
    match error {
        LoadError::NotFound(_) => failure("no-definition")
            .next("Name one with --definition PATH, or write an example with `vstream-jwt init`."),
        LoadError::Io { .. } => failure("unreadable").next("Check that the path is right and that you may read it."),
        LoadError::NoFiles(_) => failure("no-definition")
            .next("Put the definition into files that end in .yaml, or name the file with --definition PATH."),
        LoadError::TooLarge(_) => failure("too-large")
            .next("Check that --definition names the definition and nothing else; split it into several if it is really that large."),
        LoadError::Encoding { .. } => failure("encoding").next("Save the file as UTF-8."),
        LoadError::Invalid(problems) => {
            let reports = problems.reports();
            let message = match &reports[..] {
                [only] => format!("{}: {}", only.position, only.message),
                [first, ..] => {
                    format!("the definition has {} problems; first {}: {}", problems.len(), first.position, first.message)
                }
                [] => "the definition is not valid".to_owned(),
            };
            let mut excerpt = Text::of_ansi(&problems.render(true));
            if problems.len() > 1 {
                excerpt.end();
                put!(excerpt, "{} problems in the definition; nothing was done", problems.len());
            }
            // The next step of each problem is in its text.
            let failure = Failure::new(Exit::Usage, "invalid-definition", message).excerpt(excerpt);
            let failure = failure.detail("problems", reports);
            match problems.left_out() {
                0 => failure,
                more => failure.detail("more_problems", more),
            }
        }
    }
}
