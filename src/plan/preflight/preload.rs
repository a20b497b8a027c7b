//! Checks the accounts in the preload that a run does not change.

use crate::model::claims::{TrustAnchor, TrustedClaims, spelled_as_signed};
use crate::model::finding::Finding;
use crate::model::units::format_time;
use crate::observed::{Bystander, Live};
use crate::plan::allowable::PRELOAD_STALE;

/// Refuses a preload file with which servers would lose accounts, or return to older tokens of them, when they reload
/// it.
pub fn stale_preload(bystanders: &[Bystander], anchor: &TrustAnchor) -> Option<Finding> {
    let lines: Vec<String> = bystanders.iter().filter_map(|account| stale(account, anchor)).collect();
    (!lines.is_empty()).then(|| Finding {
        lines,
        ..Finding::error(
            PRELOAD_STALE,
            "preload",
            "servers that reload the file lose accounts that it lacks, and return to older tokens of others",
            format!(
                "Get the file from the place where it was changed last, and run again; or, where these accounts are to \
                 change, --allow {PRELOAD_STALE}."
            ),
        )
    })
}

fn stale(account: &Bystander, anchor: &TrustAnchor) -> Option<String> {
    let live = account.servers.iter().filter_map(|on| match &on.live {
        Live::Loaded(detail) => TrustedClaims::verify(detail.jwt.trim(), anchor).ok().map(|claims| (detail, claims)),
        Live::NotLoaded | Live::NoAnswer | Live::Failed(_) => None,
    });
    let (detail, newest) = live.max_by_key(|(_, claims)| claims.issued_at())?;
    let name = format!("account {} ({})", newest.id(), newest.name());
    let Some(kept) = account.kept.as_deref().map(str::trim) else { return Some(format!("{name}: the file lacks it")) };
    if spelled_as_signed(kept) == spelled_as_signed(detail.jwt.trim()) {
        return None;
    }
    match TrustedClaims::verify(kept, anchor) {
        Ok(kept) if kept.issued_at() >= newest.issued_at() => None,
        Ok(kept) => Some(format!(
            "{name}: servers have its token of {}, the file that of {}",
            format_time(newest.issued_at()),
            format_time(kept.issued_at())
        )),
        Err(_) => Some(format!("{name}: the file has no token of it by a trusted key")),
    }
}
