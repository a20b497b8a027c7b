//! Orders the steps between two claims so that traffic continues, whatever the difference. Additions come first,
//! exporters before importers, then the mappings that capture. Removals come last.

use crate::desired::regional::AccountRole;
use crate::model::claims::with_entries_of;
use crate::plan::Stage;
use crate::plan::pushes::is_own_js_mapping;
use serde_json::{Map, Value};

/// Returns the claims of each stage that changes something. The last claims are `goal`.
pub(super) fn between(current: &Value, goal: &Value, account_role: AccountRole<'_>) -> Vec<(Stage, Value)> {
    let with = |claims: &Value, other: &Value, lists: &[&str]| {
        lists.iter().fold(claims.clone(), |claims, list| with_entries_of(&claims, other, list))
    };
    // The goal, plus everything that only the present claims have.
    let kept = |lists: &[&str]| {
        let mut claims = goal.clone();
        for list in lists {
            let all = with_entries_of(current, goal, list)["nats"][*list].clone();
            if let (Some(nats), false) = (claims["nats"].as_object_mut(), all.is_null()) {
                nats.insert((*list).to_owned(), all);
            }
        }
        claims
    };
    const LINKS: [&str; 2] = ["exports", "imports"];
    let steps = match account_role {
        AccountRole::Regional(_) => vec![
            (Stage::RegionalExports, with(current, goal, &["exports"])),
            (Stage::RegionalImports, kept(&LINKS)),
            (Stage::RegionalImportsGone, kept(&["exports"])),
            (Stage::RegionalExportsGone, goal.clone()),
        ],
        AccountRole::Application => vec![
            (Stage::ApplicationExportsImports, with_way_back(with(current, goal, &LINKS), goal)),
            (Stage::Mappings, with_missing_way_back(kept(&LINKS), current)),
            (Stage::ApplicationExportsImportsGone, goal.clone()),
        ],
    };
    let mut before = current.clone();
    let mut changed = Vec::new();
    for (stage, claims) in steps {
        if claims != before {
            before.clone_from(&claims);
            changed.push((stage, claims));
        }
    }
    changed
}

/// Returns the claims with the mappings to the application's own JetStream as `goal` has them.
fn with_way_back(mut claims: Value, goal: &Value) -> Value {
    let wanted = goal["nats"]["mappings"].as_object().into_iter().flatten();
    let wanted: Vec<(String, Value)> = wanted
        .filter(|(source, _)| is_own_js_mapping(source))
        .map(|(source, to)| (source.clone(), to.clone()))
        .collect();
    add_mappings(&mut claims, wanted, true);
    claims
}

/// Returns the claims with the mappings of `current` to the application's own JetStream, if the goal lacks them. They
/// are removed last.
fn with_missing_way_back(mut claims: Value, current: &Value) -> Value {
    let there = current["nats"]["mappings"].as_object().into_iter().flatten();
    let there: Vec<(String, Value)> = there
        .filter(|(source, _)| is_own_js_mapping(source))
        .map(|(source, to)| (source.clone(), to.clone()))
        .collect();
    add_mappings(&mut claims, there, false);
    claims
}

fn add_mappings(claims: &mut Value, entries: Vec<(String, Value)>, replace: bool) {
    let Some(nats) = claims["nats"].as_object_mut().filter(|_| !entries.is_empty()) else { return };
    let mappings = nats.entry("mappings").or_insert(Value::Null);
    if mappings.is_null() {
        *mappings = Value::Object(Map::new());
    }
    let Some(mappings) = mappings.as_object_mut() else { return };
    for (source, to) in entries {
        if replace || !mappings.contains_key(&source) {
            mappings.insert(source, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(exports: &[&str], imports: &[&str], mappings: &[&str], conn: u8) -> Value {
        let link = |subject: &&str| json!({ "subject": subject, "account": "A", "type": "service" });
        let mappings: Map<String, Value> =
            mappings.iter().map(|source| ((*source).to_owned(), json!([{ "subject": "x" }]))).collect();
        let mut nats = Map::new();
        for (name, list) in [("exports", exports), ("imports", imports)] {
            if !list.is_empty() {
                nats.insert(name.to_owned(), list.iter().map(link).collect());
            }
        }
        if !mappings.is_empty() {
            nats.insert("mappings".to_owned(), mappings.into());
        }
        nats.insert("limits".to_owned(), json!({ "conn": conn }));
        json!({ "sub": "A", "nats": nats })
    }

    #[test]
    fn what_is_gained_comes_before_the_mappings_and_what_is_lost_after_them() {
        let (bare, full) = (claims(&[], &[], &[], 1), claims(&["e"], &["i"], &["$VSH.>", "foo.>"], 2));
        let up = between(&bare, &full, AccountRole::Application);
        assert_eq!(
            up,
            [
                (Stage::ApplicationExportsImports, claims(&["e"], &["i"], &["$VSH.>"], 1)),
                (Stage::Mappings, full.clone())
            ]
        );
        let down = between(&full, &bare, AccountRole::Application);
        assert_eq!(
            down,
            [
                (Stage::Mappings, claims(&["e"], &["i"], &["$VSH.>"], 1)),
                (Stage::ApplicationExportsImportsGone, bare.clone())
            ]
        );
        assert_eq!(between(&full, &full, AccountRole::Application), []);
    }

    #[test]
    fn one_token_is_enough_where_nothing_waits_for_another() {
        let (one, two) = (claims(&["e"], &["i", "j"], &["foo.>"], 1), claims(&["e"], &["i", "j"], &["bar.>"], 1));
        assert_eq!(between(&one, &two, AccountRole::Application), [(Stage::Mappings, two.clone())]);
    }

    #[test]
    fn the_wider_of_two_serves_until_the_last_stage() {
        let account_role = AccountRole::Regional(&crate::desired::tests::topology().regions[0]);
        let (narrow, wide) = (claims(&["q", "p.foo"], &[], &[], 1), claims(&["q", "p.>"], &[], &[], 1));
        assert_eq!(between(&narrow, &wide, account_role), [(Stage::RegionalExports, wide.clone())]);
        assert_eq!(between(&wide, &narrow, account_role), [(Stage::RegionalExportsGone, narrow.clone())]);
        let (narrow, wide) = (claims(&[], &["p.foo"], &["m"], 1), claims(&[], &["p.>"], &["m"], 1));
        assert_eq!(
            between(&narrow, &wide, AccountRole::Application),
            [(Stage::ApplicationExportsImports, wide.clone())]
        );
        assert_eq!(
            between(&wide, &narrow, AccountRole::Application),
            [(Stage::ApplicationExportsImportsGone, narrow.clone())]
        );
        // Entries that coexisted before may coexist between the steps.
        let (both, more) = (claims(&[], &["p.foo", "p.>"], &[], 1), claims(&[], &["p.foo", "p.>", "r"], &[], 1));
        assert_eq!(between(&both, &more, AccountRole::Application), [(Stage::ApplicationExportsImports, more.clone())]);
    }

    #[test]
    fn a_regional_account_exports_first_and_stops_last() {
        let account_role = AccountRole::Regional(&crate::desired::tests::topology().regions[0]);
        let (one, other) = (claims(&["e"], &["i"], &[], 1), claims(&["f"], &["j"], &[], 1));
        assert_eq!(
            between(&one, &other, account_role),
            [
                (Stage::RegionalExports, claims(&["e", "f"], &["i"], &[], 1)),
                (Stage::RegionalImports, claims(&["e", "f"], &["i", "j"], &[], 1)),
                (Stage::RegionalImportsGone, claims(&["e", "f"], &["j"], &[], 1)),
                (Stage::RegionalExportsGone, other.clone()),
            ]
        );
    }
}
