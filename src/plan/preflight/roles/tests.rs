use super::*;
use crate::desired::DesiredOptions;
use crate::desired::permissions::{Line, permissions};
use crate::desired::tests::{app, application, regional, stream, topology};
use crate::model::claims::TrustedClaims;
use crate::model::mapping::Destination;
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::virtual_stream::Account;
use crate::plan::mappings::mappings;
use serde_json::{Value, json};

/// Returns claims of an account with these default permissions, and a role.
fn claims(account: &Account, default: &Value, role: &Value) -> AccountClaims {
    let key = PublicKey::from_bytes(KeyKind::Account, [9; 32]);
    let scope = json!({ "kind": "user_scope", "key": key, "role": "writers", "template": { "pub": role } });
    let nats =
        json!({ "type": "account", "version": 2, "default_permissions": { "pub": default }, "signing_keys": [scope] });
    let claims = json!({ "sub": account.id, "name": "APP", "nats": nats });
    (*TrustedClaims::reviewed(claims).unwrap()).clone()
}

fn found(account: &Account, default: Value, role: Value, first: bool) -> Vec<String> {
    let desired = application(topology(), account, &DesiredOptions::default()).unwrap();
    let names = account.virtual_streams.iter().map(|stream| stream.name.as_str()).collect();
    let changes = mappings("APP", &names, &desired.mappings, &[], &[], &crate::plan::Options::default()).changes;
    let findings = roles(&desired, &claims(account, &default, &role), if first { &changes } else { &[] });
    let severity = if first { Severity::Error } else { Severity::Warning };
    assert!(findings.iter().all(|finding| finding.code == ROLE_LACKS_PERMISSIONS && finding.severity == severity));
    findings.into_iter().map(|finding| format!("{}: {}", finding.place, finding.message)).collect()
}

fn shared() -> Account {
    app(vec![stream("orders", &["orders.>"])])
}

/// A case from a public report: a template whose permissions sufficed before the mapping.
#[test]
fn a_template_that_was_enough_is_not_after_mapping() {
    let role = json!({ "allow": ["orders.new", "$JS.API.>", "$JS.ACK.>"] });
    let lacks = found(&shared(), json!({}), role.clone(), true);
    assert_eq!(
        lacks,
        ["account APP, role writers: users of the role writers may publish on orders.new, which would become \
          $VW.c-east.orders.new, where they may not, and 1 more such subject: servers check permissions after mapping, and \
          refuse it"]
    );
    assert!(found(&shared(), json!({}), role.clone(), false)[0].contains("which becomes $VW.c-east.orders.new"));
    // Default permissions work the same way.
    assert!(
        found(&shared(), role.clone(), json!({}), true)[0]
            .starts_with("account APP, default permissions: users without")
    );
    // Requests to the regions' JetStream need permissions, too.
    let regional = regional(vec![stream("orders", &["orders.>"])]);
    let lacks = found(&regional, json!({}), json!({ "allow": ["$VW.*.orders.new", "orders.new", "$JS.API.>"] }), true);
    assert!(lacks[0].contains("may publish on $JS.API.>, which would become $VS.c-east.API.>"), "{lacks:?}");
    // Acknowledgements have the read streams' names.
    let lacks = found(&shared(), json!({}), json!({ "allow": ["$JS.ACK.orders.>"] }), true);
    assert!(lacks[0].contains("would become $JS.ACK.orders-read-west.>"), "{lacks:?}");
    // Permissions that deny subjects by name.
    let lacks = found(&shared(), json!({}), json!({ "deny": ["$VW.>"] }), true);
    assert!(lacks[0].contains("may publish on orders.>, which would become $VW.c-east.orders.>"), "{lacks:?}");
}

/// A user that could not publish before loses nothing, so the finding does not stop the run.
#[test]
fn what_was_so_before_or_still_works_in_a_cluster_is_a_warning() {
    let account = shared();
    let desired = application(topology(), &account, &DesiredOptions::default()).unwrap();
    let severities = |before: Option<&str>, role: Value| -> Vec<Severity> {
        let to = |to: &str| vec![Destination { subject: to.to_owned(), weight: 100, cluster: None }];
        let after = desired.mappings.iter().find(|mapping| mapping.source.as_str() == "orders.>").unwrap();
        let (action, source) = (if before.is_some() { Action::Update } else { Action::Create }, "orders.>".to_owned());
        let change = MappingChange { action, source, before: before.map(to), after: Some(after.destinations.clone()) };
        let found = roles(&desired, &claims(&account, &json!({}), &role), &[change]);
        found.into_iter().map(|finding| finding.severity).collect()
    };
    let orders = || json!({ "allow": ["orders.new"] });
    assert_eq!(severities(None, orders()), [Severity::Error]);
    assert_eq!(severities(Some("old.>"), orders()), [Severity::Warning]);
    assert_eq!(severities(Some("old.>"), json!({ "allow": ["orders.new", "old.>"] })), [Severity::Error]);
    // A role for users of one region.
    assert_eq!(severities(None, json!({ "allow": ["orders.new", "$VW.c-west.orders.>"] })), [Severity::Warning]);
    // Each user is denied a different subject.
    assert_eq!(severities(None, json!({ "deny": ["$VW.*.orders.{{name()}}"] })), [Severity::Warning; 0]);
}

#[test]
fn what_suffices_or_has_nothing_to_do_with_it_is_let_be() {
    let fine = |account: &Account, role: Value| assert_eq!(found(account, json!({}), role, true), [""; 0]);
    fine(&shared(), json!({}));
    fine(&shared(), json!({ "allow": [">"] }));
    fine(&shared(), json!({ "allow": ["metrics.>", "$JS.API.STREAM.INFO.metrics"] }));
    fine(&shared(), json!({ "allow": ["orders.new", "$VW.*.orders.new", "$JS.API.>", "$JS.ACK.>"] }));
    fine(&shared(), json!({ "allow": ["orders.{{name()}}.>", "$VW.*.orders.{{name()}}.>"] }));
    fine(&shared(), json!({ "deny": ["orders.>", "$VW.>"] }));
    // This tool's own role.
    let regional_orders = regional(vec![stream("orders", &["orders.>"])]);
    for lease in ["$VSTREAM.LEASE", "$VSTREAM.>"] {
        fine(&regional_orders, json!({ "allow": ["$JS.API.STREAM.CREATE.*", lease] }));
    }
    // The permissions that `render permissions` lists.
    for account in [shared(), regional(vec![stream("orders", &["orders.>"])])] {
        let needed = permissions(topology(), &account).unwrap().publish;
        let subjects = |lines: &[Line]| lines.iter().map(|line| line.subject.clone()).collect::<Vec<_>>();
        let old = ["orders.>", "$JS.API.STREAM.INFO.orders", "$JS.API.CONSUMER.MSG.NEXT.orders.*", "$JS.ACK.orders.>"];
        let allow = [subjects(&needed.allow), old.map(str::to_owned).to_vec()].concat();
        fine(&account, json!({ "allow": allow }));
        fine(&account, json!({ "deny": subjects(&needed.deny) }));
    }
}
