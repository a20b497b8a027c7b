"""What is not as on a plain server, and why: refused by design. Anything else is a fault."""

# The request has no responders: nats.js and async-nats report that JetStream is not available, nats.java that there is
# no answer.
NO_RESPONDERS = (
    "no responders", "ServiceUnavailable", "503", "JetStreamNotEnabled", "jetstream unavailable",
    "requested JetStream resource does not exist", "no response waiting for NATS JetStream server",
)
# 10059: the old request for durables is not mapped, and no stream has that name.
MISMATCH = ("10056", "10059")

REGIONAL = {
    "publish_expect_stream": (
        ("10060", "expected stream does not match"),
        "what is published is stored by the region's write stream, and so the acknowledgement says",
    ),
    "kv_update": (
        ("wrong last sequence", "10071"),
        "a revision is the read stream's sequence, and the write stream of the region has its own: a compare-and-set that "
        "one region cannot decide is refused",
    ),
    "stream_create": (NO_RESPONDERS, "streams are made by `apply`"),
    "stream_update": (NO_RESPONDERS, "streams are changed by `apply`"),
    "stream_purge": (NO_RESPONDERS, "regions would diverge; `map_requests: [purge]` opens it"),
    "stream_delete": (NO_RESPONDERS, "streams are deleted by `destroy --delete-streams`"),
}

MIRRORED = {
    "publish_expect_stream": (
        REGIONAL["publish_expect_stream"][0],
        "what is published is stored by the home stream, and so the acknowledgement says: expect `foo-home`",
    ),
    "stream_by_subject": (
        ("found: []", "NotFound", "10059", "stream not found"),
        "a mirror has no subjects: pass the stream's name",
    ),
    "kv_status": (
        (
            "found: ['cfg', '5', '1h0m0s', None, '64 MiB', 'true', 'settings']",
            "found: [cfg 5 1h0m0s 0s 67108864 true settings]",
            "found: None, expected Some(60s)",
            'found: ["cfg",5,3600000,0,67108864,true,"settings"]',
            "found: [cfg, 5, PT1H, null, 67108864, true, settings]",
            "found: ('cfg', 5, 3600.0, None, 67108864, 's2', 'settings')",
        ),
        "shows the mirror's settings: the marker TTL is set on the home stream only",
    ),
    **{
        op: (
            ("NotFoundError: nats: NotFoundError: code=None err_code=None description='None'",),
            "nats-py reads and watches objects by a look-up of the stream by subject, which finds nothing",
        )
        for op in "object_put_get object_replace object_list object_watch object_delete".split()
    },
    **{op: REGIONAL[op] for op in ("stream_create", "stream_update", "stream_delete")},
    "stream_purge": (NO_RESPONDERS, "would empty one region's mirror only; `map_requests: [purge]` is not accepted here"),
}

_CREATES = (
    MISMATCH,
    "servers compare the stream's name in the request with the one in its subject, which is mapped; provision the consumer "
    "in the definition, or go on with the name that stream info returns",
)
SHARED = {
    "publish_expect_stream": REGIONAL["publish_expect_stream"],
    **{
        op: _CREATES
        for op in (
            "consumer_pull consumer_push consumer_ephemeral consumer_ordered consumer_filtered consumer_filters consumer_info "
            "consumer_list consumer_names consumer_pause consumer_delete fetch consume ack double_ack nak_delay term "
            "in_progress advisory stream_create stream_update"
        ).split()
    },
    "stream_list": (("-read-", "foo-write"), "lists show the real streams"),
    "stream_names": (("-read-", "foo-write"), "lists show the real streams"),
    "stream_info": (("foo-read-",), "the answer names the real stream"),
    "stream_by_subject": (("foo-write", "NotFound", "found: ", "10059", "stream not found"), "finds a write stream, or nothing"),
    "stream_purge": (("10059", "not found", "NotFound"), "regions would diverge; `map_requests: [purge]` opens it"),
}
