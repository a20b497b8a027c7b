//! Versions of nats-server, as servers spell them.

/// Major and minor version of the oldest server on which cluster-scoped mappings and our stream configs are proven.
pub const OLDEST: (u64, u64) = (2, 10);

/// `2.12.2-RC.1` → 2, 12, 2
pub fn numbers(version: &str) -> impl Iterator<Item = u64> {
    version.split(['.', '-']).map_while(|part| part.parse().ok())
}

/// `2.15.1` → (2, 15)
pub fn minor(version: &str) -> Option<(u64, u64)> {
    let mut numbers = numbers(version);
    numbers.next().zip(numbers.next())
}
