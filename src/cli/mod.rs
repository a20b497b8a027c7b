//! The command line: one file per verb, with its arguments and views. Only this module prints or exits.
//!
//! Read `run` and `command_line` first, then a verb. Code that several verbs share is in files named for their subject:
//! `deployment`, `outcome`, `recording`, `operator`, `planfile`. Views build a `Text`, and only `output` prints.

mod apply;
mod command_line;
mod completions;
mod definition;
#[cfg(feature = "dev")]
mod demo;
mod deployment;
mod destroy;
#[cfg(feature = "dev")]
mod dev;
mod explain;
mod failure;
mod finding;
mod history;
mod init;
mod keys;
mod man;
mod nsc;
mod operator;
mod outcome;
mod output;
mod plan;
mod plan_markdown;
mod plan_view;
mod planfile;
mod prompt;
mod recording;
mod render;
mod rollback;
mod run;
mod shell;
mod sign;
mod status;
mod text;
mod trust;
mod usage;
mod validate;
mod verify;
mod who;

pub use command_line::command;
pub use failure::{Exit, Failure};
pub use run::main;
pub use shell::{Format, Shell};
