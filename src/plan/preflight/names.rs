//! Formats lists of servers for findings.

use crate::observed::Server;

/// Returns `server west-1`, or `servers east-1, west-1`. Shows only the first few of many servers.
pub(super) fn names(servers: &[&Server]) -> String {
    const SHOWN: usize = 12;
    let names: Vec<&str> = servers.iter().take(SHOWN).map(|server| server.name.as_str()).collect();
    let kind = if servers.len() == 1 { "server" } else { "servers" };
    let more = match servers.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{kind} {}{more}", names.join(", "))
}
