//! How an application's account reaches its own JetStream where requests by the usual names go to the regions.

use crate::desired::DesiredAccount;
use crate::desired::regional::{HUB_API, NEAR, Seat, VSH};
use crate::model::claims::AccountClaims;
use crate::model::finding::Finding;
use crate::model::subject::SubjectFilter;
use crate::observed::jetstream::DEFAULT_PREFIX;

/// Requests for the account's JetStream go to the regions, and no mapping leads back: somebody took it away.
pub const WAY_BACK_MISSING: &str = "way-back-missing";

/// The prefix under which an application's account reaches its own JetStream, by its claims; `None` where they lead
/// `$JS.>` to the regions, and nothing back.
pub fn own_api(claims: &AccountClaims) -> Option<&'static str> {
    let below = |subject: &str, root: &str| subject.strip_prefix(root).is_some_and(|rest| rest.starts_with('.'));
    let mappings = claims.mappings();
    let back = mappings.iter().any(|mapping| {
        let own = mapping.destinations.iter().all(|to| to.cluster.is_none() && to.subject.starts_with("$JS."));
        below(&mapping.source, VSH) && own
    });
    if back {
        return Some(HUB_API);
    }
    // Where single streams are mapped, what is asked of all of them stays here.
    let list = SubjectFilter::parse(&format!("{DEFAULT_PREFIX}.STREAM.LIST")).ok()?;
    let away = mappings.iter().any(|mapping| {
        let covers = SubjectFilter::parse(&mapping.source).is_ok_and(|source| source.covers(&list));
        covers && mapping.destinations.iter().any(|to| below(&to.subject, NEAR))
    });
    (!away).then_some(DEFAULT_PREFIX)
}

/// Whether an account's own JetStream cannot be reached.
pub(super) fn is_missing(desired: &DesiredAccount<'_>, claims: &AccountClaims) -> bool {
    desired.seat == Seat::Application && own_api(claims).is_none()
}

/// The error that says so.
pub(super) fn missing(account: &str) -> Finding {
    Finding::error(
        WAY_BACK_MISSING,
        format!("account {account}"),
        format!(
            "its claims lead `$JS.>` to the regions, and the mapping of `{VSH}.>` that leads back is gone: its own streams \
             are reached by no name, and can neither be read nor changed"
        ),
        format!(
            "Put it back: `apply --allow {WAY_BACK_MISSING}` changes the claims of the account alone, and leaves its streams \
             out. Then run apply again, which looks at them."
        ),
    )
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
        assert_eq!(api(&[away, back]), Some(HUB_API));
        assert_eq!(api(&[back]), Some(HUB_API));
        assert_eq!(api(&[away]), None);
        // Not exclusive: requests for single streams go to the regions.
        assert_eq!(api(&[("$JS.API.STREAM.INFO.foo", "$VS.west.API.STREAM.INFO.foo", "c-west")]), Some(DEFAULT_PREFIX));
        // Others lead all requests to the regions, or `$VSH.>` elsewhere.
        assert_eq!(api(&[("$JS.API.>", "$VS.west.API.>", "c-west")]), None);
        assert_eq!(api(&[away, ("$VSH.>", "$JS.>", "c-west")]), None);
        assert_eq!(api(&[away, ("$VSH.>", "elsewhere.>", "")]), None);
        assert_eq!(api(&[away, ("$VSHOP.>", "$JS.>", "")]), None);
        // Names that only begin alike.
        assert_eq!(api(&[("$JS.>", "$VSX.west.>", "c-west")]), Some(DEFAULT_PREFIX));
    }
}
