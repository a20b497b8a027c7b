//! The metadata keys that mark a stream as ours (`vstream.name`, `vstream.region`, `vstream.role`), and what was taken
//! along to another layout.

/// The virtual stream.
pub const NAME: &str = "vstream.name";
/// The region.
pub const REGION: &str = "vstream.region";
/// `write`, `home`, `read`, or `lease` for the stream that says who is changing the account.
pub const ROLE: &str = "vstream.role";
/// On a read stream that took history along: the read stream that it came from.
pub const HISTORY: &str = "vstream.history";
/// On a write or home stream that was made anew behind what was read of the former one.
pub const ANEW: &str = "vstream.anew";
/// On a stream whose `first_seq` its servers may not keep: the sequence that it began at.
pub const FIRST: &str = "vstream.first";
/// On a consumer that was taken along: where it stood in the stream that it came from.
pub const POSITION: &str = "vstream.position";
