use super::*;
use crate::desired::DesiredAccount;
use crate::desired::tests::{regional, stream, topology};
use crate::desired::{DesiredOptions, accounts};
use crate::model::claims::{AccountClaims, Import, TrustedClaims};
use crate::model::finding::{Finding, Severity};
use crate::model::nkey::{KeyKind, PublicKey};
use crate::model::virtual_stream::{Account, Kind, Layout, MapRequest};
use crate::plan::{Action, Options};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const LIST: &str = "$VS.c-west.API.STREAM.LIST";

fn account() -> Account {
    regional(vec![stream("foo", &["foo.>"])])
}

/// Returns claims of the application's account with these exports and imports.
fn claims(exports: &Value, imports: &Value) -> TrustedClaims {
    let nats = json!({ "type": "account", "version": 2, "limits": {}, "exports": exports, "imports": imports });
    TrustedClaims::reviewed(json!({ "sub": account().id, "name": "APP", "nats": nats })).unwrap()
}

fn adopt() -> Options {
    Options { adopt: true, ..Options::default() }
}

/// Edits the application's account. Returns the edit and the claims afterwards.
fn edited(account: &Account, claims: &TrustedClaims, options: &Options) -> (ClaimsEdit, TrustedClaims) {
    let desired = accounts(topology(), account, &DesiredOptions::default()).unwrap().remove(0);
    let mut claims = claims.clone();
    let mut all = exports(&mut claims, &desired, options);
    all.append(imports(&mut claims, &desired, &[], options, 0));
    (all, claims)
}

/// Returns the only finding.
#[track_caller]
fn found(claims: &TrustedClaims, options: &Options) -> Finding {
    let (edited, _) = edited(&account(), claims, options);
    let [finding] = &edited.findings[..] else { panic!("{:#?}", edited.findings) };
    assert_eq!(finding.severity, Severity::Error);
    finding.clone()
}

fn export(name: &str, subject: &str, kind: &str) -> Value {
    json!([{ "name": name, "subject": subject, "type": kind }])
}

fn import(name: &str, subject: &str, local: &str) -> Value {
    let account = PublicKey::from_bytes(KeyKind::Account, [9; 32]);
    json!([{ "name": name, "subject": subject, "local_subject": local, "account": account, "type": "service" }])
}

#[test]
fn exports_of_others_are_not_taken_over_unasked() {
    let same = claims(&export("theirs", "$VS.>", "stream"), &json!([]));
    let finding = found(&same, &Options::default());
    assert_eq!((finding.code, &*finding.place), ("foreign-export", "account APP, export $VS.>"));
    let message = "the account exports it already, and not for this definition: stream $VS.> (theirs)";
    assert_eq!(finding.message, message);
    assert_eq!(finding.next, "Remove that export, or take it over with --adopt.");
    let (taken, after) = edited(&account(), &same, &adopt());
    assert_eq!(taken.findings, []);
    let names: Vec<&str> = after.exports().iter().map(|e| e.name.as_str()).filter(|n| n.contains("$VS.>")).collect();
    assert_eq!(names, ["vstream $VS.>"]);

    // Servers refuse an export within another of the same kind, even if the same tool made both.
    for near in ["$VS.c-west.>", ">"] {
        let wide = claims(&export("theirs", near, "stream"), &json!([]));
        for options in [Options::default(), adopt()] {
            let findings = edited(&account(), &wide, &options).0.findings;
            let finding = &findings[0];
            assert_eq!((finding.code, finding.severity), ("foreign-export", Severity::Error));
            let message = format!(
                "the account exports what overlaps it, and servers refuse a token with both: stream {near} (theirs)"
            );
            assert_eq!(finding.message, message);
            assert_eq!(finding.next, "Remove that export, or let it export other subjects.");
        }
    }
    // A service is not a stream export, and our own exports do not count.
    for (name, kind) in [("theirs", "service"), ("vstream $VS.>", "stream")] {
        let findings = edited(&account(), &claims(&export(name, "$VS.>", kind), &json!([])), &Options::default()).0;
        assert_eq!(findings.findings, [], "{name} {kind}");
    }
}

#[test]
fn imports_of_others_are_not_replaced_unasked() {
    let same = claims(&json!([]), &import("theirs", "list", LIST));
    let finding = found(&same, &Options::default());
    assert_eq!((finding.code, finding.place), ("foreign-import", format!("account APP, import {LIST}")));
    let other = PublicKey::from_bytes(KeyKind::Account, [9; 32]);
    assert_eq!(
        finding.message,
        format!("the account has an import on that subject already: {LIST} (theirs), service list of account {other}")
    );
    assert_eq!(finding.next, "Remove that import, or take its place with --adopt.");
    let (taken, after) = edited(&account(), &same, &adopt());
    assert_eq!(taken.findings, []);
    let local = |claims: &AccountClaims| -> Vec<String> {
        claims.imports().iter().filter(|import| import.local() == LIST).map(|import| import.name.clone()).collect()
    };
    assert_eq!(local(&after), [format!("vstream {LIST}")], "it is there once");
    let deleted = taken.changes.iter().filter(|change| change.action == Action::Delete);
    assert_eq!(deleted.map(|change| change.name.as_str()).collect::<Vec<_>>(), [LIST]);

    let wide = claims(&json!([]), &import("theirs", "x.>", "$VS.c-west.API.STREAM.*"));
    for options in [Options::default(), adopt()] {
        let findings = edited(&account(), &wide, &options).0.findings;
        assert!(findings.iter().all(|finding| finding.code == "foreign-import"), "{findings:#?}");
        assert_eq!(findings.len(), 2, "STREAM.NAMES and STREAM.LIST");
        assert!(findings[0].message.contains("on subjects that overlap it"), "{findings:#?}");
        assert_eq!(findings[0].next, "Remove that import, or import elsewhere.");
    }
    // An import that came from another account before is replaced without asking the user.
    let (moved, after) =
        edited(&account(), &claims(&json!([]), &import("vstream x", "list", LIST)), &Options::default());
    assert_eq!((moved.findings, local(&after)), (vec![], vec![format!("vstream {LIST}")]));
}

#[test]
fn users_who_reach_the_write_streams_are_named() {
    let found = |restrict_users: bool, layout: Layout, nats: Value| {
        let account = Account { restrict_users, layout, ..account() };
        let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap().remove(0);
        let mut all = json!({ "type": "account", "version": 2, "limits": {} });
        all.as_object_mut().unwrap().extend(nats.as_object().unwrap().clone());
        reachable(&desired, &TrustedClaims::reviewed(json!({ "sub": account.id, "name": "APP", "nats": all })).unwrap())
    };
    let denied = json!({ "default_permissions": { "pub": { "deny": ["$JS.>"] } } });
    let Finding { code, severity, place, message, lines: _, next } = found(false, Layout::Regional, json!({})).unwrap();
    assert_eq!((code, severity, &*place), ("users-reach-write-streams", Severity::Warning, "account APP"));
    let words = "users without permissions of their own may publish on the account's own JetStream, by `$VSH.>`";
    assert!(message.starts_with(words) && next.starts_with("Set `restrict_users: true`"), "{message}\n{next}");
    assert_eq!(found(false, Layout::Regional, denied.clone()), None);
    assert_eq!(found(false, Layout::Shared, json!({})), None, "there is no other JetStream");
    // Only the user can narrow a scope.
    let key = PublicKey::from_bytes(KeyKind::Account, [3; 32]);
    let mut scoped = denied;
    scoped["signing_keys"] = json!([{ "kind": "user_scope", "key": key, "role": "dev", "template": { "pub": {} } }]);
    let Finding { message, next, .. } = found(true, Layout::Regional, scoped).unwrap();
    assert!(message.starts_with("users of the scoped signing key dev may publish"), "{message}");
    assert!(next.starts_with("Deny publishing on `$JS.>` where these permissions are set"), "{next}");
}

/// In either layout, `restrict_users` denies users the subject of the lease, if the account sets no default
/// permissions.
#[test]
fn users_without_permissions_of_their_own_are_denied_the_lease() {
    let restricted = |restrict_users: bool, layout: Layout, exclusive: bool, nats: Value| {
        let account = Account { restrict_users, layout, exclusive, ..account() };
        let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap().remove(0);
        let mut all = json!({ "type": "account", "version": 2, "limits": {} });
        all.as_object_mut().unwrap().extend(nats.as_object().unwrap().clone());
        let mut claims = TrustedClaims::reviewed(json!({ "sub": account.id, "name": "APP", "nats": all })).unwrap();
        restrict(&mut claims, &desired);
        claims.value()["nats"]["default_permissions"].clone()
    };
    for (layout, exclusive) in [(Layout::Shared, true), (Layout::Regional, true), (Layout::Regional, false)] {
        let defaults = restricted(true, layout, exclusive, json!({}));
        let denied = defaults["pub"]["deny"].as_array().unwrap();
        assert!(denied.contains(&json!("$VSTREAM.>")), "{layout:?}, exclusive {exclusive}: {defaults}");
        let allowed = ["pub", "sub"].map(|side| &defaults[side]["allow"]);
        assert_eq!((&defaults["sub"]["deny"], allowed), (&json!(["$VSTREAM.>"]), [&Value::Null; 2]), "{defaults}");
        assert!(restricted(false, layout, exclusive, json!({})).is_null());
        let own = json!({ "pub": { "deny": ["x"] } });
        assert_eq!(restricted(true, layout, exclusive, json!({ "default_permissions": own.clone() })), own);
    }
}

/// Servers refuse an export or service import within another. A request that is opened for all streams replaces the
/// requests of single streams, and covers them as well.
#[test]
fn wider_links_take_the_place_of_narrower_ones() {
    let mut narrow = account();
    narrow.virtual_streams[0].map_requests = vec![MapRequest::Purge];
    let wide = Account { map_requests: Some(vec![MapRequest::Purge]), ..account() };
    let options = Options::default();
    let nothing = claims(&json!([]), &json!([]));
    let desired = |account| accounts(topology(), account, &DesiredOptions::default()).unwrap();

    let (of_narrow, of_wide) = (edited(&narrow, &nothing, &options).1, edited(&wide, &nothing, &options).1);
    let purges = |claims: &AccountClaims| {
        let locals = claims.imports().iter().map(Import::local).filter(|local| local.contains("PURGE"));
        locals.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(purges(&of_narrow), ["$VS.c-west.API.STREAM.PURGE.foo", "$VS.c-east.API.STREAM.PURGE.foo"]);
    let (widened, after) = edited(&wide, &of_narrow, &options);
    assert_eq!((widened.findings, purges(&after)), (vec![], purges(&of_wide)));
    let (kept, after) = edited(&narrow, &of_wide, &options);
    assert_eq!((kept.findings, purges(&after)), (vec![], purges(&of_wide)));
    // The run still renews its activation token.
    let renewed = kept.activations.iter().map(|request| request.import.local());
    assert_eq!(renewed.filter(|local| local.contains("PURGE")).collect::<Vec<_>>(), purges(&of_wide));

    let (narrow, wide) = (desired(&narrow).remove(1), desired(&wide).remove(1));
    let purges = |claims: &AccountClaims| {
        let subjects = claims.exports().iter().map(|e| e.subject.clone()).filter(|subject| subject.contains("PURGE"));
        subjects.collect::<Vec<_>>()
    };
    let mut region = nothing;
    exports(&mut region, &narrow, &options);
    assert_eq!(purges(&region), ["$JS.API.STREAM.PURGE.foo"]);
    assert_eq!(exports(&mut region, &wide, &options).changes.len(), 2);
    assert_eq!(purges(&region), ["$JS.API.STREAM.PURGE.>"]);
    assert!(exports(&mut region, &narrow, &options).is_empty());
}

/// The definition decides about the requests that it mentions. Another definition may have opened the others.
#[test]
fn requests_are_closed_by_whoever_defines_them() {
    let options = Options::default();
    let opening = |of_all: Option<&[MapRequest]>, of_foo: &[MapRequest]| {
        let mut account = Account { map_requests: of_all.map(<[_]>::to_vec), ..account() };
        account.virtual_streams[0].map_requests = of_foo.to_vec();
        account
    };
    let purges = |claims: &AccountClaims| {
        let subjects = claims.imports().iter().map(|import| import.subject.clone());
        subjects.filter(|subject| subject.contains("PURGE")).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let nothing = claims(&json!([]), &json!([]));
    let of_all = edited(&opening(Some(&[MapRequest::Purge]), &[]), &nothing, &options).1;
    let of_foo = edited(&opening(None, &[MapRequest::Purge]), &nothing, &options).1;
    for (before, account, after, left) in [
        (&of_all, opening(None, &[]), vec!["$JS.API.STREAM.PURGE.>"], true),
        (&of_all, opening(Some(&[]), &[]), vec![], false),
        (
            &of_all,
            opening(Some(&[MapRequest::Snapshot]), &[MapRequest::Purge]),
            vec!["$JS.API.STREAM.PURGE.foo"],
            false,
        ),
        (&of_foo, opening(None, &[]), vec![], false),
        (&of_foo, opening(Some(&[]), &[MapRequest::Purge]), vec!["$JS.API.STREAM.PURGE.foo"], false),
    ] {
        let (_, found) = edited(&account, before, &options);
        assert_eq!(purges(&found), after);
        let desired = accounts(topology(), &account, &DesiredOptions::default()).unwrap().remove(0);
        assert_eq!(left_open(&desired, &found).map(|finding| finding.code), left.then_some("requests-left-open"));
    }
    // An import of a virtual stream that this definition does not have stays, unless it is pruned.
    let mut other = opening(Some(&[]), &[]);
    other.virtual_streams.clear();
    assert_eq!(purges(&edited(&other, &of_foo, &options).1), ["$JS.API.STREAM.PURGE.foo"]);
    let prune = Options { prune: vec!["foo".to_owned()], ..Options::default() };
    assert_eq!(purges(&edited(&other, &of_foo, &prune).1), [""; 0]);
}

/// A regional account loses closed requests last. The requests that stay open already have exports of their own by
/// then, such as purging chunks for clients of an object store.
#[test]
fn the_wider_export_serves_until_nobody_imports_it() {
    let mut account = Account { map_requests: Some(vec![MapRequest::Purge]), ..account() };
    account.virtual_streams[0].kind = Kind::ObjectStore;
    let desired = |account| accounts(topology(), account, &DesiredOptions::default()).unwrap().remove(1);
    let options = Options::default();
    let purges = |claims: &AccountClaims| {
        let subjects = claims.exports().iter().map(|export| export.subject.clone());
        subjects.filter(|subject| subject.contains("PURGE")).collect::<Vec<_>>()
    };
    let mut region = claims(&json!([]), &json!([]));
    let wide = account.clone();
    exports(&mut region, &desired(&wide), &options);
    assert_eq!(purges(&region), ["$JS.API.STREAM.PURGE.>"]);
    let account = Account { map_requests: Some(Vec::new()), ..account };
    let closing = desired(&account);
    assert!(exports(&mut region, &closing, &options).is_empty());
    let closed = close_exports(&mut region, &closing, &options);
    assert_eq!(purges(&region), ["$JS.API.STREAM.PURGE.OBJ_foo"]);
    let changes: Vec<_> = closed.changes.iter().map(|c| (c.action, c.name.as_str(), c.why.as_deref())).collect();
    let [gone, own] = ["$JS.API.STREAM.PURGE.>", "$JS.API.STREAM.PURGE.OBJ_foo"];
    assert_eq!(
        changes,
        [(Action::Delete, gone, Some("the definition does not open STREAM.PURGE")), (Action::Create, own, None)]
    );
    assert!(close_exports(&mut region, &closing, &options).is_empty());
}

/// Imports of a region for a cluster are removed when that cluster uses another region.
#[test]
fn a_cluster_that_uses_another_region_leaves_no_imports_behind() {
    let account = account();
    let serving = |place: usize| {
        let mut topology = topology().clone();
        topology.regions[place].serves = vec![crate::model::names::ClusterName::parse("edge").unwrap()];
        topology
    };
    let (before, after) = (serving(0), serving(1));
    let of = |topology, place: usize| accounts(topology, &account, &DesiredOptions::default()).unwrap().remove(place);
    let edit = |claims: &mut TrustedClaims, desired: &DesiredAccount<'_>| {
        imports(claims, desired, &[], &Options::default(), 0).changes
    };
    let edge = |changes: Vec<ClaimChange>| -> Vec<(Action, String)> {
        let edge = changes.into_iter().filter(|change| change.what == ClaimPart::Import);
        edge.map(|change| (change.action, change.name)).collect()
    };
    let mut west = claims(&json!([]), &json!([]));
    edit(&mut west, &of(&before, 1));
    let count = west.imports().len();
    let gone = edge(edit(&mut west, &of(&after, 1)));
    let local = ["$JS.API.CONSUMER.MSG.NEXT.>", "$JS.ACK.>", "$JS.FC.>"];
    assert_eq!(gone, local.map(|local| (Action::Delete, local.to_owned())));
    assert_eq!(west.imports().len(), count - 3);
    assert_eq!(edge(edit(&mut west, &of(&after, 1))), []);

    // The application's account then imports from the other region.
    let mut application = claims(&json!([]), &json!([]));
    edit(&mut application, &of(&before, 0));
    let (east, count) = (of(&after, 2).id, application.imports().len());
    edit(&mut application, &of(&after, 0));
    let asked =
        application.imports().iter().filter(|import| import.local().starts_with("$VS.edge.")).collect::<Vec<_>>();
    assert!(!asked.is_empty() && asked.iter().all(|import| import.account == east.to_string()), "{asked:#?}");
    assert_eq!(application.imports().len(), count);
}
