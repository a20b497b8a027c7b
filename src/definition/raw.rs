//! The keys of the YAML, as written. To add a key, add it here and carry it over in `check`. JSON Schema and reference
//! follow from the doc comments.

use super::fields::{BucketTable, ConsumerTable, Fields, LimitTable, ReadTable, WriteTable};
use super::problem::Collected;
use super::read::{At, Named, Read, keys, words, wrong_type};
use super::yaml::{Node, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::borrow::Cow;

keys! {
    /// Virtual streams, and the deployment that they are for.
    struct Document {
        /// Version of this format. Default: `1`, the only one.
        version: Option<At<usize>>,
        /// How the servers keep account tokens. Default: `{ type: nats }`.
        resolver: Option<Resolver>,
        /// Access to the system account. Required.
        system: Option<SystemAccess>,
        /// Folder of an `nsc` store: what is pushed is written back there, so that a later `nsc push` does not undo it.
        /// Default: none.
        nsc_store: Option<At<String>>,
        /// Public key of the operator (`O…`): only tokens that it signed, or a signing key that its own token lists, are
        /// edited and signed again. Default: the operator whose token is in the keys folder, beside the definition or in the
        /// nsc store; else the key that signs.
        operator: Option<At<String>>,
        /// TLS towards all servers, unless a region has its own.
        tls: Option<Tls>,
        /// The regions, by name. A name is one subject token: it becomes part of stream names. Required.
        regions: Option<At<Named<Region>>>,
        /// A cluster whose servers are spread over the regions; `ordered` and `immediate` need it.
        stretch: Option<Stretch>,
        /// Clusters of the deployment that need no region, since no client there uses virtual streams. Default: none.
        clusters_without_clients: Option<At<Vec<At<String>>>>,
        /// The accounts with virtual streams, by name. Required.
        accounts: Option<At<Named<Account>>>,
    }

    /// How the servers keep account tokens.
    struct Resolver {
        /// `nats`: the NATS resolver, full or cache. `memory`: tokens in the servers' configuration; layout `shared` only.
        /// `url`: an HTTP account server.
        r#type: At<ResolverType>,
        /// Type `memory`: the file with `resolver_preload` alone that the servers' configuration includes. What is signed is
        /// written there; servers have it once they have reloaded it.
        preload: Option<At<String>>,
        /// Type `url`: where tokens are kept, as the servers' `resolver: URL(…)` has it, `https://host/jwt/v1/accounts/`.
        url: Option<At<String>>,
    }

    /// Access to the system account: one of the three.
    struct SystemAccess {
        /// A `.creds` file.
        credentials: Option<At<String>>,
        /// A file with a seed of the account (identity or signing key); mints a short-lived, least-privilege user.
        key: Option<At<String>>,
        /// A context of the `nats` CLI, by name.
        context: Option<At<String>>,
    }

    /// TLS settings.
    struct Tls {
        /// File with the certificate authorities (PEM), besides the system's.
        ca: Option<At<String>>,
        /// File with the client certificate (PEM), for mutual TLS. Goes with `key`.
        cert: Option<At<String>>,
        /// File with the key of the client certificate (PEM). Goes with `cert`.
        key: Option<At<String>>,
        /// TLS handshake before the server's INFO (server option `handshake_first`). Default: `false`.
        first: Option<At<bool>>,
    }

    /// One region: a cluster with storage of its own.
    struct Region {
        /// The cluster (gateway name) that serves it. Default: the region's name.
        cluster: Option<At<String>>,
        /// URLs by which its servers are reached, `nats://host:port` or `tls://host:port`, or `ws://` or `wss://`. At least one; that of a load balancer may stand in several regions.
        servers: At<Vec<At<String>>>,
        /// Placement tags for the region's streams. Default: none.
        tags: Option<Vec<At<String>>>,
        /// Clusters without virtual streams of their own, whose clients use this region. Layout `regional`. Default: none.
        serves: Option<At<Vec<At<String>>>>,
        /// TLS towards this region's servers, instead of the definition's.
        tls: Option<Tls>,
    }

    /// The stretch cluster.
    struct Stretch {
        /// Its (gateway) name.
        cluster: At<String>,
    }

    /// An account of applications.
    struct Account {
        /// Public key of the account (`A…`). Required.
        id: Option<At<String>>,
        /// Access to the account: a `.creds` file. One of `credentials`, `key` and `context` is required.
        credentials: Option<At<String>>,
        /// Access to the account: a file with a seed of it (identity or signing key).
        key: Option<At<String>>,
        /// Access to the account: a context of the `nats` CLI, by name.
        context: Option<At<String>>,
        /// Public key that issues activation tokens and users. Default: one found in the keys folder.
        signing_key: Option<At<String>>,
        /// How streams are spread over accounts. Default: `regional`.
        layout: Option<At<Layout>>,
        /// Layout `regional`: the account's JetStream is virtual streams only. Default: `true`.
        exclusive: Option<At<bool>>,
        /// Prefixes below which every subject is virtual: `app` stands for `app.>`. Default: none.
        subject_roots: Option<At<Vec<At<String>>>>,
        /// Layout `regional`: name template with `{account}` and `{region}`, or existing accounts by region.
        /// Default: `{account}-{region}`.
        regional_accounts: Option<At<RegionalAccounts>>,
        /// Whether `default_permissions`, where the account has none, keep applications off the write streams.
        /// Default: `false`.
        restrict_users: Option<At<bool>>,
        /// Layout `regional`: prefixes of the subjects that consumers and replies are delivered on. Default: `[_INBOX]`.
        inbox_prefixes: Option<At<Vec<At<String>>>>,
        /// Layout `regional`: limits of the regional accounts, by their names in an account token. Default: the
        /// account's own JetStream limits and tiers, few connections, no leaf nodes.
        regional_limits: Option<At<Fields<LimitTable>>>,
        /// Layout `regional`: requests about all its virtual streams that applications may make besides the harmless
        /// ones. A list closes what it does not have (`[]`: all); without one, what is open stays open. Default: none.
        map_requests: Option<Vec<At<MapRequest>>>,
        /// Layout `regional`: how long activation tokens hold, `90d`; `plan` renews them in time. Default: for ever.
        activation_lifetime: Option<At<String>>,
        /// The virtual streams, by name.
        virtual_streams: Option<At<Named<VirtualStream>>>,
    }

    /// An existing account that serves as a regional account.
    struct RegionalAccount {
        /// Public key of the account (`A…`).
        id: At<String>,
        /// A `.creds` file of it.
        credentials: At<String>,
    }

    /// One stream name that applications use in every region.
    struct VirtualStream {
        /// The subjects that applications publish to. Required for kind `stream`; the other kinds have their own.
        subjects: Option<At<Vec<At<String>>>>,
        /// What it is to applications. Default: `stream`.
        kind: Option<At<Kind>>,
        /// What readers in different regions may rely on. Default: `eventual`. Not built yet: `ordered` and `immediate`.
        consistency: Option<At<Consistency>>,
        /// The region of a `mirrored` stream's home stream, which stores what is published in all regions.
        home: Option<At<String>>,
        /// Fields of the write streams, by their API names. A `mirrored` stream has none: of these it takes
        /// `duplicate_window`, `max_msg_size`, `discard`, `allow_atomic` and `allow_batched`, for its home stream.
        write: Option<At<Fields<WriteTable>>>,
        /// Fields of the read streams, by their API names; of a `mirrored` stream, those of its home stream and its mirrors.
        read: Option<At<Fields<ReadTable>>>,
        /// Names of the real streams. Not for `mirrored` streams.
        names: Option<Names>,
        /// Durable consumers that are provisioned in every region, by name.
        consumers: Option<At<Named<At<Fields<ConsumerTable>>>>>,
        /// Extra requests that are mapped to the local read stream; regions diverge by `purge` and `msg_delete`. What is
        /// not listed is closed, unless the account opens it. Default: none.
        map_requests: Option<Vec<At<MapRequest>>>,
        /// Settings of a bucket, for the kinds `kv` and `object_store`, by their NATS names.
        bucket: Option<At<Fields<BucketTable>>>,
    }

    /// Templates of the real streams' names. Both parts, `{stream}` and `{region}`, are required.
    struct Names {
        /// Default: `{stream}-write-{region}`.
        write: Option<At<String>>,
        /// Default: `{stream}-read-{region}`.
        read: Option<At<String>>,
    }
}

words! {
    /// How the servers keep account tokens.
    enum ResolverType {
        /// The NATS resolver, full or cache.
        Nats = "nats",
        /// An HTTP account server.
        Url = "url",
        /// In the servers' configuration.
        Memory = "memory",
    }

    /// How streams are spread over accounts.
    enum Layout {
        /// Read streams in one account per region, under the virtual name.
        Regional = "regional",
        /// All streams in the application's account.
        Shared = "shared",
    }

    /// What a virtual stream is to applications.
    enum Kind {
        /// A plain stream.
        Stream = "stream",
        /// A KV bucket.
        Kv = "kv",
        /// An object store.
        ObjectStore = "object_store",
    }

    /// What readers in different regions may rely on.
    enum Consistency {
        /// Write and read streams per region; the order differs between regions.
        Eventual = "eventual",
        /// The same order in every region.
        Ordered = "ordered",
        /// One stream in the stretch cluster, mirrors in the regions.
        Immediate = "immediate",
        /// One stream in its home region, mirrors elsewhere.
        Mirrored = "mirrored",
    }

    /// A request that is mapped to the local read stream on demand.
    enum MapRequest {
        /// `$JS.API.STREAM.PURGE`
        Purge = "purge",
        /// `$JS.API.STREAM.MSG.DELETE`
        MsgDelete = "msg_delete",
        /// `$JS.API.STREAM.SNAPSHOT`
        Snapshot = "snapshot",
    }
}

/// A name template, or the accounts themselves.
#[derive(Debug)]
pub(super) enum RegionalAccounts {
    Template(At<String>),
    Existing(Named<RegionalAccount>),
}

impl Read for RegionalAccounts {
    const WHAT: &'static str = "a text (name template) or a mapping from regions to accounts";

    fn read(node: Node, problems: &mut Collected) -> Option<Self> {
        match node.value {
            Value::Text(_) => At::read(node, problems).map(Self::Template),
            Value::Map(_) => Named::read(node, problems).map(Self::Existing),
            _ => {
                wrong_type(&node, Self::WHAT, problems);
                None
            }
        }
    }
}

impl JsonSchema for RegionalAccounts {
    fn schema_name() -> Cow<'static, str> {
        "RegionalAccounts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "object", "additionalProperties": generator.subschema_for::<RegionalAccount>() },
        ] })
    }
}
