//! The exports and imports between an application's account and its regional accounts. In the regional layout, their
//! number does not depend on the number of virtual streams.
//!
//! Control traffic uses service imports, and data uses stream imports, because a service import costs time for every
//! message. Each part is needed (measured, nats-server 2.10.26 – 2.15.1). `docs/concepts.md` explains how they work
//! together.

use super::regional::{JETSTREAM, ORIGIN_JS_API, RegionalIds};
use crate::model::claims::{ExportKind, ExportSpec, ImportSpec};
use crate::model::names::ClusterName;
use crate::model::nkey::PublicKey;
use crate::model::prefixes::{self, DELIVER_PREFIX, OWN_JS_PREFIX, REGION_PREFIX};
use crate::model::topology::{Region, Topology};
use crate::model::virtual_stream::{Account, Kind, MapRequest, VirtualStream};

/// Requests of the JetStream API that applications may make of their region, below `$JS.API.`.
///
/// A single import of `CONSUMER.>` would deliver pull requests twice, because they use a stream import.
const REQUESTS: [&str; 15] = [
    "INFO",
    "STREAM.NAMES",
    "STREAM.LIST",
    "STREAM.INFO.>",
    "STREAM.MSG.GET.>",
    "DIRECT.GET.>",
    "CONSUMER.CREATE.>",
    "CONSUMER.DURABLE.CREATE.>",
    "CONSUMER.INFO.>",
    "CONSUMER.LIST.>",
    "CONSUMER.NAMES.>",
    "CONSUMER.DELETE.>",
    "CONSUMER.PAUSE.>",
    "CONSUMER.UNPIN.>",
    "CONSUMER.RESET.>",
];

/// Returns the request that an export or import of this subject opens for `map_requests`, and its stream (`>` for all).
/// In regional accounts the subject is below `$JS`. In the application's account it is below `$VSH`, for home streams.
pub fn opened(subject: &str) -> Option<(MapRequest, &str)> {
    let below = |prefix: &str| subject.strip_prefix(prefix)?.strip_prefix(".API.");
    let operation = below(JETSTREAM).or_else(|| below(OWN_JS_PREFIX))?;
    let of = |asked: MapRequest| Some((asked, operation.strip_prefix(asked.operation())?.strip_prefix('.')?));
    MapRequest::ALL.into_iter().find_map(of)
}

/// Messages that applications send to their region without waiting for a reply, below `$JS.`: pull requests, acks, and
/// the flow control of push consumers.
const SENT: [&str; 3] = ["API.CONSUMER.MSG.NEXT.>", "ACK.>", "FC.>"];

/// Returns the subject of a request in a regional account.
fn request(operation: &str) -> String {
    format!("{JETSTREAM}.API.{operation}")
}

/// Returns all requests that this account's applications may make of their region, including `map_requests`.
fn requests(account: &Account) -> Vec<String> {
    let mut requests: Vec<String> = REQUESTS.iter().map(|operation| request(operation)).collect();
    requests.extend(account.opens_to_all().iter().map(|asked| request(&format!("{}.>", asked.operation()))));
    for stream in &account.virtual_streams {
        let is_own = |asked: &MapRequest| {
            let home = *asked == MapRequest::Purge && is_purged_at_home(stream);
            account.opens(stream, *asked) && !account.opens_to_all().contains(asked) && !home
        };
        let own = MapRequest::ALL.into_iter().filter(is_own);
        requests.extend(own.map(|asked| request(&format!("{}.{}", asked.operation(), stream.stream_name()))));
    }
    requests
}

/// Returns `true` if clients purge the home stream, as for a mirrored object store. A purge of a region's mirror would
/// free the chunks only there, and a home stream with `max_bytes` would stay full.
fn is_purged_at_home(stream: &VirtualStream) -> bool {
    stream.kind == Kind::ObjectStore && stream.home().is_some()
}

/// Returns the purges that go to home streams, as subjects in the stream's own account.
fn purges_at_home(account: &Account) -> impl Iterator<Item = String> {
    let purged = account.virtual_streams.iter().filter(|stream| is_purged_at_home(stream));
    purged.map(|stream| format!("API.{}.{}", MapRequest::Purge.operation(), stream.stream_name()))
}

/// Returns the subjects on which regional accounts deliver to applications: inboxes, and the advisories of their
/// consumers.
fn deliveries(account: &Account) -> Vec<String> {
    let inboxes = account.inbox_prefixes.iter().map(|prefix| format!("{prefix}.>"));
    inboxes.chain([format!("{JETSTREAM}.EVENT.>")]).collect()
}

fn export(subject: String, kind: ExportKind) -> ExportSpec {
    let response_type = (kind == ExportKind::Service).then_some("Stream");
    ExportSpec { name: format!("vstream {subject}"), subject, kind, token_req: true, response_type }
}

fn import(account: &PublicKey, subject: String, local_subject: String, kind: ExportKind) -> ImportSpec {
    let local_subject = if local_subject == subject { String::new() } else { local_subject };
    let shown = if local_subject.is_empty() { &subject } else { &local_subject };
    ImportSpec { name: format!("vstream {shown}"), account: account.clone(), subject, local_subject, kind }
}

/// Returns the exports of an application's account to its regional accounts. These are the messages of applications,
/// the requests of read streams' sources to the account's own JetStream, and the deliveries to those sources.
///
/// The account also exports requests about home streams to itself, and imports them under the prefixes of the clusters.
pub(super) fn exports_of_application(account: &Account) -> Vec<ExportSpec> {
    let mut exports = vec![
        export(format!("{REGION_PREFIX}.>"), ExportKind::Stream),
        export(format!("{OWN_JS_PREFIX}.API.CONSUMER.>"), ExportKind::Service),
        export(format!("{OWN_JS_PREFIX}.FC.>"), ExportKind::Service),
        export(format!("{DELIVER_PREFIX}.>"), ExportKind::Stream),
    ];
    exports
        .extend(purges_at_home(account).map(|purge| export(format!("{OWN_JS_PREFIX}.{purge}"), ExportKind::Service)));
    exports
}

/// Returns the imports of an application's account. These are requests of clients under the prefix of their cluster,
/// from that cluster's regional account, and the deliveries of each regional account.
pub(super) fn imports_of_application(topology: &Topology, account: &Account, ids: &RegionalIds) -> Vec<ImportSpec> {
    let mut imports = Vec::new();
    for region in &topology.regions {
        let id = ids.get(account, &region.name);
        for cluster in region.clusters() {
            let requests = requests(account).into_iter();
            imports.extend(requests.map(|subject| {
                let local = region_subject(cluster, &subject);
                import(&id, subject, local, ExportKind::Service)
            }));
            imports.extend(purges_at_home(account).map(|purge| {
                let local = format!("{}.{purge}", prefixes::region_prefix(cluster));
                import(&account.id, format!("{OWN_JS_PREFIX}.{purge}"), local, ExportKind::Service)
            }));
        }
        imports.extend(deliveries(account).into_iter().map(|s| import(&id, s.clone(), s, ExportKind::Stream)));
    }
    imports
}

/// Returns the exports of a regional account to its application's account.
pub(super) fn exports_of_region(account: &Account) -> Vec<ExportSpec> {
    let services = requests(account).into_iter().map(|subject| export(subject, ExportKind::Service));
    services.chain(deliveries(account).into_iter().map(|subject| export(subject, ExportKind::Stream))).collect()
}

/// Returns the imports of a regional account from its application's account.
pub(super) fn imports_of_region(account: &Account, region: &Region) -> Vec<ImportSpec> {
    let from = |subject: String, local: String, kind| import(&account.id, subject, local, kind);
    let sent = |cluster| {
        SENT.iter().map(move |subject| {
            let subject = format!("{JETSTREAM}.{subject}");
            from(region_subject(cluster, &subject), subject, ExportKind::Stream)
        })
    };
    let mut imports: Vec<ImportSpec> = region.clusters().flat_map(sent).collect();
    let deliver = format!("{DELIVER_PREFIX}.{}.>", region.name);
    imports.extend([
        from(format!("{OWN_JS_PREFIX}.API.CONSUMER.>"), format!("{ORIGIN_JS_API}.CONSUMER.>"), ExportKind::Service),
        // Messages contain `$JS.FC.…`. Under any other subject, sources stop after about 2 MB (measured).
        from(format!("{OWN_JS_PREFIX}.FC.>"), format!("{JETSTREAM}.FC.>"), ExportKind::Service),
        from(deliver.clone(), deliver, ExportKind::Stream),
    ]);
    imports
}

/// Returns `$VS.west.API.INFO` for `$JS.API.INFO`.
fn region_subject(cluster: &ClusterName, subject: &str) -> String {
    let rest = subject.strip_prefix(JETSTREAM).unwrap_or(subject);
    format!("{}{rest}", prefixes::region_prefix(cluster))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::api::{SUBJECTS, Treatment};
    use crate::desired::tests::{app, bucket, mirrored, stream, topology};
    use crate::model::subject::SubjectFilter;

    /// All requests that the table of API subjects calls harmless are imported, and no others.
    #[test]
    fn requests_are_those_of_the_table() {
        let account = app(vec![stream("foo", &["foo.>"])]);
        let open: Vec<SubjectFilter> =
            requests(&account).iter().map(|subject| SubjectFilter::parse(subject).unwrap()).collect();
        for api in SUBJECTS {
            let asked = SubjectFilter::parse(&format!("$JS.API.{}", api.pattern.replace("{stream}", "foo"))).unwrap();
            let sent = api.pattern.starts_with("CONSUMER.MSG.NEXT");
            let old_create = api.pattern.starts_with("CONSUMER.DURABLE.CREATE");
            let wanted = (api.treatment == Treatment::Mapped && !sent) || old_create;
            let covering = open.iter().filter(|subject| subject.covers(&asked)).count();
            assert_eq!(covering, usize::from(wanted), "{}", api.pattern);
            assert!(wanted || !open.iter().any(|subject| subject.overlaps(&asked)), "{}", api.pattern);
        }
    }

    /// Each import of one side matches an export of the other, and no export is unused.
    #[test]
    fn imports_meet_exports() {
        let ids = RegionalIds::default();
        let files = mirrored(bucket("files", Kind::ObjectStore), "east");
        let mut account = app(vec![stream("foo", &["foo.>"]), files]);
        account.virtual_streams[0].map_requests = vec![MapRequest::Purge];
        let purged = imports_of_application(topology(), &account, &ids)
            .iter()
            .filter(|import| import.account == account.id)
            .map(|import| format!("{} as {}", import.subject, import.local()))
            .collect::<Vec<_>>();
        let west = "$VSH.API.STREAM.PURGE.OBJ_files as $VS.c-west.API.STREAM.PURGE.OBJ_files";
        assert_eq!(purged, [west, &west.replace("west", "east")], "of the home stream");
        let covers = |exports: &[ExportSpec], import: &ImportSpec| {
            let filter = |subject: &str| SubjectFilter::parse(subject).unwrap();
            exports
                .iter()
                .filter(|e| e.kind == import.kind && filter(&e.subject).covers(&filter(&import.subject)))
                .count()
        };
        for import in imports_of_application(topology(), &account, &ids) {
            let own = import.account == account.id;
            let exports = if own { exports_of_application(&account) } else { exports_of_region(&account) };
            assert_eq!(covers(&exports, &import), 1, "{import:?}");
        }
        for region in &topology().regions {
            for import in imports_of_region(&account, region) {
                assert_eq!(covers(&exports_of_application(&account), &import), 1, "{import:?}");
            }
        }
    }

    #[test]
    fn the_set_does_not_grow_with_the_streams() {
        let size = |count: usize| {
            let streams = (0..count).map(|i| stream(&format!("s{i}"), &[&format!("s{i}.>")])).collect();
            let account = app(streams);
            (
                imports_of_application(topology(), &account, &RegionalIds::default()).len(),
                exports_of_region(&account).len(),
            )
        };
        assert_eq!(size(1), size(100));
    }
}
