//! The types of nats-io/jwt v2.8.3 that servers decode claims into, struct by struct.
//!
//! `tests/peers/fields` lists the library's fields by reflection, and a test compares that list with this table.

use Kind::{Byte, CidrList, ExportType, Flag, Int, List, Map, SamplingRate, ScopeType, SigningKeys, Text, Time, Uint};

/// The way servers decode a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// `string`
    Text,
    /// `bool`
    Flag,
    /// `int64`, and types of the same width: `int`, `time.Duration`.
    Int,
    /// `int64`: seconds since 1970.
    Time,
    /// `uint`
    Uint,
    /// `uint8`
    Byte,
    /// A struct. Its keys are fields, and Go ignores their case.
    Struct(&'static Struct),
    /// A slice.
    List(&'static Kind),
    /// A map from strings. Its keys are data.
    Map(&'static Kind),
    /// `stream` or `service`; null is refused.
    ExportType,
    /// `user_scope`; null is refused.
    ScopeType,
    /// `headers`, or a number.
    SamplingRate,
    /// A list of strings, or one string with commas.
    CidrList,
    /// A list of keys and of this struct, each read by way of Go's `map[string]interface{}`.
    SigningKeys(&'static Struct),
}

/// A field's name and the kind of its value.
pub(super) type Field = (&'static str, Kind);

/// The fields of a Go struct, one group for itself and one for each struct that it embeds.
#[derive(Debug)]
pub(super) struct Struct(pub(super) &'static [&'static [Field]]);

impl Struct {
    pub(super) fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.0.iter().copied().flatten()
    }
}

/// Returns the fields for a type of claims (`nats.type`). A type that servers do not know has only the common fields.
pub(super) fn claims(claim_type: &str) -> &'static Struct {
    match claim_type {
        "operator" => &OPERATOR_CLAIMS,
        "account" => &ACCOUNT_CLAIMS,
        "user" => &USER_CLAIMS,
        "activation" => &ACTIVATION_CLAIMS,
        "authorization_request" => &AUTHORIZATION_REQUEST_CLAIMS,
        "authorization_response" => &AUTHORIZATION_RESPONSE_CLAIMS,
        _ => &GENERIC_CLAIMS,
    }
}

/// The first part of a token.
pub(super) static HEADER: Struct = Struct(&[&[("typ", Text), ("alg", Text)]]);

static OPERATOR_CLAIMS: Struct = Struct(&[CLAIMS_DATA, GENERIC_FIELDS, &[("nats", Kind::Struct(&OPERATOR))]]);
static ACCOUNT_CLAIMS: Struct = Struct(&[CLAIMS_DATA, GENERIC_FIELDS, &[("nats", Kind::Struct(&ACCOUNT))]]);
static USER_CLAIMS: Struct = Struct(&[CLAIMS_DATA, GENERIC_FIELDS, &[("nats", Kind::Struct(&USER))]]);
static ACTIVATION_CLAIMS: Struct = Struct(&[CLAIMS_DATA, GENERIC_FIELDS, &[("nats", Kind::Struct(&ACTIVATION))]]);
static AUTHORIZATION_REQUEST_CLAIMS: Struct =
    Struct(&[CLAIMS_DATA, GENERIC_FIELDS, &[("nats", Kind::Struct(&AUTHORIZATION_REQUEST))]]);
static AUTHORIZATION_RESPONSE_CLAIMS: Struct =
    Struct(&[CLAIMS_DATA, GENERIC_FIELDS, &[("nats", Kind::Struct(&AUTHORIZATION_RESPONSE))]]);
static GENERIC_CLAIMS: Struct = Struct(&[CLAIMS_DATA, GENERIC_FIELDS, &[("nats", Kind::Struct(&GENERIC))]]);

static CLAIMS_DATA: &[Field] = &[
    ("aud", Text),
    ("exp", Time),
    ("jti", Text),
    ("iat", Time),
    ("iss", Text),
    ("name", Text),
    ("nbf", Time),
    ("sub", Text),
];

/// Fields of `nats`. They may also be outside of it, where `DecodeGeneric` and the check of a token's type read them.
static GENERIC_FIELDS: &[Field] = &[("tags", STRINGS), ("type", Text), ("version", Int)];
static GENERIC: Struct = Struct(&[GENERIC_FIELDS]);
const STRINGS: Kind = List(&Text);

static OPERATOR: Struct = Struct(&[
    &[
        ("signing_keys", STRINGS),
        ("account_server_url", Text),
        ("operator_service_urls", STRINGS),
        ("system_account", Text),
        ("assert_server_version", Text),
        ("strict_signing_key_usage", Flag),
    ],
    GENERIC_FIELDS,
]);

static ACCOUNT: Struct = Struct(&[
    &[
        ("imports", List(&Kind::Struct(&IMPORT))),
        ("exports", List(&Kind::Struct(&EXPORT))),
        ("limits", Kind::Struct(&OPERATOR_LIMITS)),
        ("signing_keys", SigningKeys(&USER_SCOPE)),
        ("revocations", REVOCATIONS),
        ("default_permissions", Kind::Struct(&DEFAULT_PERMISSIONS)),
        ("mappings", Map(&List(&Kind::Struct(&WEIGHTED_MAPPING)))),
        ("authorization", Kind::Struct(&EXTERNAL_AUTHORIZATION)),
        ("trace", Kind::Struct(&MSG_TRACE)),
        ("cluster_traffic", Text),
    ],
    INFO,
    GENERIC_FIELDS,
]);

static INFO: &[Field] = &[("description", Text), ("info_url", Text)];
const REVOCATIONS: Kind = Map(&Int);

static IMPORT: Struct = Struct(&[&[
    ("name", Text),
    ("subject", Text),
    ("account", Text),
    ("token", Text),
    ("to", Text),
    ("local_subject", Text),
    ("type", ExportType),
    ("share", Flag),
    ("allow_trace", Flag),
]]);

static EXPORT: Struct = Struct(&[
    &[
        ("name", Text),
        ("subject", Text),
        ("type", ExportType),
        ("token_req", Flag),
        ("revocations", REVOCATIONS),
        ("response_type", Text),
        ("response_threshold", Int),
        ("service_latency", Kind::Struct(&SERVICE_LATENCY)),
        ("account_token_position", Uint),
        ("advertise", Flag),
        ("allow_trace", Flag),
    ],
    INFO,
]);

static SERVICE_LATENCY: Struct = Struct(&[&[("sampling", SamplingRate), ("results", Text)]]);

static OPERATOR_LIMITS: Struct = Struct(&[
    NATS_LIMITS,
    &[("imports", Int), ("exports", Int), ("wildcards", Flag), ("disallow_bearer", Flag), ("conn", Int), ("leaf", Int)],
    JETSTREAM_LIMITS,
    &[("tiered_limits", Map(&Kind::Struct(&TIER)))],
]);

static NATS_LIMITS: &[Field] = &[("subs", Int), ("data", Int), ("payload", Int)];

static TIER: Struct = Struct(&[JETSTREAM_LIMITS]);
static JETSTREAM_LIMITS: &[Field] = &[
    ("mem_storage", Int),
    ("disk_storage", Int),
    ("streams", Int),
    ("consumer", Int),
    ("max_ack_pending", Int),
    ("mem_max_stream_bytes", Int),
    ("disk_max_stream_bytes", Int),
    ("max_bytes_required", Flag),
];

static WEIGHTED_MAPPING: Struct = Struct(&[&[("subject", Text), ("weight", Byte), ("cluster", Text)]]);
static EXTERNAL_AUTHORIZATION: Struct =
    Struct(&[&[("auth_users", STRINGS), ("allowed_accounts", STRINGS), ("xkey", Text)]]);
static MSG_TRACE: Struct = Struct(&[&[("dest", Text), ("sampling", Int)]]);

static DEFAULT_PERMISSIONS: Struct = Struct(&[PERMISSIONS]);
static PERMISSIONS: &[Field] = &[
    ("pub", Kind::Struct(&PERMISSION)),
    ("sub", Kind::Struct(&PERMISSION)),
    ("resp", Kind::Struct(&RESPONSE_PERMISSION)),
];
static PERMISSION: Struct = Struct(&[&[("allow", STRINGS), ("deny", STRINGS)]]);
static RESPONSE_PERMISSION: Struct = Struct(&[&[("max", Int), ("ttl", Int)]]);

static USER_SCOPE: Struct = Struct(&[&[
    ("kind", ScopeType),
    ("key", Text),
    ("role", Text),
    ("template", Kind::Struct(&TEMPLATE)),
    ("description", Text),
]]);
static TEMPLATE: Struct = Struct(USER_PERMISSION_LIMITS);

static USER: Struct =
    Struct(&[PERMISSIONS, USER_LIMITS, NATS_LIMITS, CONNECTION_LIMITS, &[("issuer_account", Text)], GENERIC_FIELDS]);
static USER_PERMISSION_LIMITS: &[&[Field]] = &[PERMISSIONS, USER_LIMITS, NATS_LIMITS, CONNECTION_LIMITS];
static USER_LIMITS: &[Field] =
    &[("src", CidrList), ("times", List(&Kind::Struct(&TIME_RANGE))), ("times_location", Text)];
static CONNECTION_LIMITS: &[Field] =
    &[("bearer_token", Flag), ("proxy_required", Flag), ("allowed_connection_types", STRINGS)];
static TIME_RANGE: Struct = Struct(&[&[("start", Text), ("end", Text)]]);

static ACTIVATION: Struct =
    Struct(&[&[("subject", Text), ("kind", ExportType), ("issuer_account", Text)], GENERIC_FIELDS]);

static AUTHORIZATION_REQUEST: Struct = Struct(&[
    &[
        ("server_id", Kind::Struct(&SERVER_ID)),
        ("user_nkey", Text),
        ("client_info", Kind::Struct(&CLIENT_INFORMATION)),
        ("connect_opts", Kind::Struct(&CONNECT_OPTIONS)),
        ("client_tls", Kind::Struct(&CLIENT_TLS)),
        ("request_nonce", Text),
    ],
    GENERIC_FIELDS,
]);

static SERVER_ID: Struct = Struct(&[&[
    ("name", Text),
    ("host", Text),
    ("id", Text),
    ("version", Text),
    ("cluster", Text),
    ("tags", STRINGS),
    ("xkey", Text),
]]);

static CLIENT_INFORMATION: Struct = Struct(&[&[
    ("host", Text),
    ("id", Uint),
    ("user", Text),
    ("name", Text),
    ("tags", STRINGS),
    ("name_tag", Text),
    ("kind", Text),
    ("type", Text),
    ("mqtt_id", Text),
    ("nonce", Text),
]]);

static CONNECT_OPTIONS: Struct = Struct(&[&[
    ("jwt", Text),
    ("nkey", Text),
    ("sig", Text),
    ("auth_token", Text),
    ("user", Text),
    ("pass", Text),
    ("name", Text),
    ("lang", Text),
    ("version", Text),
    ("protocol", Int),
]]);

static CLIENT_TLS: Struct =
    Struct(&[&[("version", Text), ("cipher", Text), ("certs", STRINGS), ("verified_chains", List(&STRINGS))]]);

static AUTHORIZATION_RESPONSE: Struct =
    Struct(&[&[("jwt", Text), ("error", Text), ("issuer_account", Text)], GENERIC_FIELDS]);
