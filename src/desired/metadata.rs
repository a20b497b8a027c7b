//! Metadata keys that mark a stream as ours (`vstream.name`, `vstream.region`, `vstream.role`), and keys about
//! backfills from another layout.

/// The virtual stream.
pub const NAME: &str = "vstream.name";
/// The region.
pub const REGION: &str = "vstream.region";
/// `write`, `home` or `read`; `lease` for the stream that holds the lease of the account.
pub const ROLE: &str = "vstream.role";
/// On a read stream with a backfill: the read stream from which its messages came.
pub const HISTORY: &str = "vstream.history";
/// On a recreated write or home stream. Its first sequence follows the messages that readers had read from the former
/// one.
pub const ANEW: &str = "vstream.anew";
/// On a stream whose `first_seq` its servers may not keep: the stream's first sequence.
pub const FIRST: &str = "vstream.first";
/// On a consumer that a backfill made: its predecessor's position.
pub const POSITION: &str = "vstream.position";
