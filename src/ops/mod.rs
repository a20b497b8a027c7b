//! The verbs, one file each: what each verb reads, and the plan that it makes. [`crate::engine`] carries out the plans.

pub mod apply;
#[cfg(feature = "dev")]
pub mod demo;
pub mod destroy;
pub mod explain;
pub mod init;
pub mod keys;
pub mod load;
pub mod plan;
pub mod planfile;
pub mod record;
pub mod render;
pub mod rollback;
pub mod trust;
pub mod verify;
