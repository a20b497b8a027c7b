//! Access of an application's account to its own JetStream, when requests by the usual names go to the regions.

pub use super::allowable::WAY_BACK_MISSING;

use super::Action;
use super::account_plan::{AccountPlan, skipped_consumer, skipped_stream};
use super::mappings::{MappingChange, MappingPlan};
use super::pushes;
use super::starts::Start;
use crate::desired::regional::{AccountRole, OWN_JS_API};
use crate::desired::{DesiredAccount, own_js_mapping};
use crate::model::claims::AccountClaims;
use crate::model::finding::Finding;
use crate::model::mapping::{Destination, RawMapping};
use crate::model::prefixes::{OWN_JS_PREFIX, REGION_PREFIX, is_below};
use crate::model::subject::SubjectFilter;
use crate::observed::jetstream::DEFAULT_PREFIX;
use crate::observed::survey::Observed;

/// Returns the prefix under which an application's account reaches its own JetStream, according to its claims. Returns
/// `None` if they map `$JS.>` to the regions and no mapping leads back.
pub fn own_api(claims: &AccountClaims) -> Option<&'static str> {
    let mappings = claims.mappings();
    // If only single streams are mapped, requests for all streams are not.
    let leads = |api: &str, to: &dyn Fn(&RawMapping) -> bool| {
        let list = SubjectFilter::parse(&format!("{api}.STREAM.LIST"));
        let covers = |mapping: &&RawMapping| {
            list.as_ref()
                .is_ok_and(|list| SubjectFilter::parse(&mapping.source).is_ok_and(|source| source.covers(list)))
        };
        mappings.iter().filter(covers).any(to)
    };
    let back = |mapping: &RawMapping| {
        let own = |to: &Destination| to.cluster.is_none() && to.subject.starts_with("$JS.");
        !mapping.destinations.is_empty() && mapping.destinations.iter().all(own)
    };
    let away = |mapping: &RawMapping| mapping.destinations.iter().any(|to| is_below(&to.subject, REGION_PREFIX));
    match leads(OWN_JS_API, &back) {
        true => Some(OWN_JS_API),
        false => (!leads(DEFAULT_PREFIX, &away)).then_some(DEFAULT_PREFIX),
    }
}

/// Returns an error for each account that cannot reach its own JetStream.
pub(super) fn out_of_reach(desired: &[DesiredAccount<'_>], observed: &Observed) -> Vec<Finding> {
    let missing = desired.iter().zip(&observed.accounts).filter(|(_, found)| found.out_of_reach);
    missing
        .map(|(wanted, _)| {
            Finding::error(
                WAY_BACK_MISSING,
                format!("account {}", wanted.name),
                format!(
                    "its claims lead `$JS.>` to the regions, and no mapping leads back (`{OWN_JS_PREFIX}.>`, which another tool \
                     removed or changed): no name leads to its own streams, which can be neither read nor changed"
                ),
                format!(
                    "Put it back: `apply --allow {WAY_BACK_MISSING}` sets that mapping, and does nothing else. Then run this \
                     again."
                ),
            )
        })
        .collect()
}

/// Returns the plan of an account that cannot reach its own JetStream, or of a regional account whose application's
/// account cannot. The plan only sets the missing mapping, since the streams are unknown.
pub(super) fn account_plan(desired: &DesiredAccount<'_>, start: Option<&Start>) -> AccountPlan {
    let (mut mappings, mut pushed) = (MappingPlan::default(), Vec::new());
    if let (AccountRole::Application, Some(start), Ok(back)) = (desired.account_role, start, own_js_mapping()) {
        let before = start.claims.mappings().into_iter().find(|mapping| mapping.source == back.source.as_str());
        mappings.changes.push(MappingChange {
            action: if before.is_some() { Action::Update } else { Action::Create },
            source: back.source.to_string(),
            before: before.map(|mapping| mapping.destinations),
            after: Some(back.destinations.clone()),
        });
        pushed = pushes::setting(start, &back);
    }
    let streams = desired.streams.iter().map(skipped_stream);
    AccountPlan {
        mappings,
        pushes: pushed,
        skipped: streams.chain(desired.consumers.iter().map(skipped_consumer)).collect(),
        ..AccountPlan::unchanged(desired, start.map(|start| start.claims.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::claims::TrustedClaims;
    use crate::model::nkey::KeyKind;
    use crate::sign::{Seed, Signer as _};
    use serde_json::json;

    fn api(mappings: &[(&str, &str, &str)]) -> Option<&'static str> {
        let entry = |(source, subject, cluster): &(&str, &str, &str)| {
            let to = match *cluster {
                "" => json!([{ "subject": subject, "weight": 100 }]),
                cluster => json!([{ "subject": subject, "weight": 100, "cluster": cluster }]),
            };
            ((*source).to_owned(), to)
        };
        let mappings: serde_json::Map<_, _> = mappings.iter().map(entry).collect();
        let id = Seed::generate(KeyKind::Account).unwrap().public_key();
        let nats = json!({ "type": "account", "version": 2, "limits": {}, "mappings": mappings });
        own_api(&TrustedClaims::reviewed(json!({ "sub": id, "name": "APP", "nats": nats })).unwrap())
    }

    #[test]
    fn the_own_jetstream_is_found_or_known_to_be_out_of_reach() {
        let away = ("$JS.>", "$VS.west.>", "c-west");
        let back = ("$VSH.>", "$JS.>", "");
        assert_eq!(api(&[]), Some(DEFAULT_PREFIX));
        assert_eq!(api(&[("foo.>", "foo.west.>", "c-west")]), Some(DEFAULT_PREFIX));
        assert_eq!(api(&[away, back]), Some(OWN_JS_API));
        assert_eq!(api(&[back]), Some(OWN_JS_API));
        assert_eq!(api(&[away]), None);
        // Not exclusive: requests for single streams go to the regions.
        assert_eq!(api(&[("$JS.API.STREAM.INFO.foo", "$VS.west.API.STREAM.INFO.foo", "c-west")]), Some(DEFAULT_PREFIX));
        // The remaining mappings do not lead to its own JetStream.
        assert_eq!(api(&[away, ("$VSH.FC.>", "$JS.FC.>", "")]), None);
        // Other mappings lead all requests to the regions, or `$VSH.>` to other subjects.
        assert_eq!(api(&[("$JS.API.>", "$VS.west.API.>", "c-west")]), None);
        assert_eq!(api(&[away, ("$VSH.>", "$JS.>", "c-west")]), None);
        assert_eq!(api(&[away, ("$VSH.>", "elsewhere.>", "")]), None);
        assert_eq!(api(&[away, ("$VSHOP.>", "$JS.>", "")]), None);
        // Names that only share the beginning.
        assert_eq!(api(&[("$JS.>", "$VSX.west.>", "c-west")]), Some(DEFAULT_PREFIX));
    }
}
