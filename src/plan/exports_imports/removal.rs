//! Removes exports and imports of this tool.

use super::change::{ClaimPart, ClaimsEdit, is_ours};
use crate::model::claims::{Export, ExportKind, Import, TrustedClaims};

/// Removes those of our imports that `goes` selects. `why` returns the reason for an import's subject.
pub(in crate::plan) fn remove_imports(
    claims: &mut TrustedClaims,
    goes: impl Fn(&Import) -> bool,
    why: impl Fn(&str) -> Option<String>,
) -> ClaimsEdit {
    let mut edited = ClaimsEdit::default();
    let gone = claims.imports().iter().filter(|import| is_ours(&import.name) && goes(import));
    for import in gone.cloned().collect::<Vec<_>>() {
        if claims.remove_import(&import) {
            edited.remove(ClaimPart::Import, import.local(), why(&import.subject));
        }
    }
    edited
}

/// Removes those of our exports that `goes` selects. `why` returns the reason for an export's subject.
pub(in crate::plan) fn remove_exports(
    claims: &mut TrustedClaims,
    goes: impl Fn(&Export) -> bool,
    why: impl Fn(&str) -> Option<String>,
) -> ClaimsEdit {
    let mut edited = ClaimsEdit::default();
    let gone = claims.exports().iter().filter(|export| is_ours(&export.name) && goes(export));
    let gone = gone.filter_map(|export| Some((ExportKind::parse(&export.kind)?, export.subject.clone())));
    for (kind, subject) in gone.collect::<Vec<_>>() {
        if claims.remove_export(kind, &subject) {
            edited.remove(ClaimPart::Export, &subject, why(&subject));
        }
    }
    edited
}
