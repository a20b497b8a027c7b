"""The operations with nats-py. Usage: nats_py.py URL CREDS|- TAG NEEDS; one JSON object a line."""

import asyncio
import json
import sys
import time

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NoKeysError, NotFoundError


class Operations:
    def __init__(self, nc, tag):
        self.nc, self.tag = nc, tag
        self.js = nc.jetstream(timeout=5)

    def subject(self, name):
        return f"foo.{self.tag}.{name}"

    async def publish_some(self, name, count=3):
        for number in range(count):
            await self.js.publish(self.subject(name), f"{name} {number}".encode())
        await self.arrived(name, f"{name} {count - 1}")

    async def arrived(self, name, data):
        """What is published is readable in the same region a moment later."""
        for _ in range(100):
            try:
                message = await self.js.get_msg("foo", subject=self.subject(name), direct=False)
                if message.data == data.encode():
                    return message
            except NotFoundError:
                pass
            await asyncio.sleep(0.05)
        raise AssertionError(f"{data!r} did not arrive")

    async def pull(self, name, **config):
        await self.publish_some(name)
        config = {"filter_subject": self.subject(name), "ack_policy": AckPolicy.EXPLICIT, **config}
        durable = f"{name}-{self.tag}"
        await self.js.add_consumer("foo", ConsumerConfig(durable_name=durable, **config))
        return await self.js.pull_subscribe_bind(durable, "foo")

    async def data(self, subscription, count=3):
        # Right after a consumer was created, servers of any cluster may not know of it yet.
        for _ in range(3):
            try:
                return await subscription.fetch(count, timeout=3)
            except (nats.errors.TimeoutError, nats.js.errors.ServiceUnavailableError):
                pass
        return await subscription.fetch(count, timeout=5)

    async def publish(self):
        ack = await self.js.publish(self.subject("publish"), b"one")
        assert ack.seq > 0
        await self.arrived("publish", "one")

    async def publish_async(self):
        futures = [await self.js.publish_async(self.subject("async"), f"{n}".encode()) for n in range(20)]
        for future in futures:
            assert (await future).seq > 0
        await self.arrived("async", "19")

    async def publish_msg_id(self):
        headers = {"Nats-Msg-Id": f"{self.tag}-{time.time()}"}
        first = await self.js.publish(self.subject("id"), b"one", headers=headers)
        again = await self.js.publish(self.subject("id"), b"one", headers=headers)
        assert not first.duplicate and again.duplicate

    async def publish_expect_stream(self):
        await self.js.publish(self.subject("expect"), b"one", stream="foo")

    async def stream_info(self):
        info = await self.js.stream_info("foo")
        assert info.config.name == "foo", info.config.name

    async def names(self):
        return sorted(info.config.name for info in await self.js.streams_info())

    async def stream_names(self):
        raise NotImplementedError

    async def stream_list(self):
        assert await self.names() == expected_streams(), await self.names()

    async def stream_by_subject(self):
        assert await self.js.find_stream_name_by_subject("foo.x") == "foo"

    async def consumer_pull(self):
        subscription = await self.pull("pull")
        assert [m.data for m in await self.data(subscription)] == [b"pull 0", b"pull 1", b"pull 2"]

    async def consumer_push(self):
        await self.publish_some("push")
        subscription = await self.js.subscribe(
            self.subject("push"), durable=f"push-{self.tag}", stream="foo", idle_heartbeat=1, flow_control=True
        )
        for number in range(3):
            message = await subscription.next_msg(timeout=5)
            assert message.data == f"push {number}".encode()
            await message.ack()
        await subscription.unsubscribe()

    async def consumer_ephemeral(self):
        await self.publish_some("ephemeral")
        subscription = await self.js.subscribe(self.subject("ephemeral"), stream="foo")
        assert (await subscription.next_msg(timeout=5)).data == b"ephemeral 0"

    async def consumer_ordered(self):
        await self.publish_some("ordered", 50)
        subscription = await self.js.subscribe(self.subject("ordered"), ordered_consumer=True, stream="foo")
        for number in range(50):
            assert (await subscription.next_msg(timeout=5)).data == f"ordered {number}".encode()

    async def consumer_filtered(self):
        await self.publish_some("filtered")
        subscription = await self.js.pull_subscribe(self.subject("filtered"), f"filtered-{self.tag}", stream="foo")
        assert len(await self.data(subscription)) == 3

    async def consumer_filters(self):
        await self.publish_some("left")
        await self.publish_some("right")
        filters = [self.subject("left"), self.subject("right")]
        durable = f"filters-{self.tag}"
        await self.js.add_consumer("foo", ConsumerConfig(durable_name=durable, filter_subjects=filters))
        subscription = await self.js.pull_subscribe_bind(durable, "foo")
        assert len(await self.data(subscription, 6)) == 6

    async def consumer_info(self):
        await self.pull("info")
        info = await self.js.consumer_info("foo", f"info-{self.tag}")
        assert info.name == f"info-{self.tag}" and info.num_pending == 3, info

    async def consumer_list(self):
        await self.pull("list")
        names = [info.name for info in await self.js.consumers_info("foo")]
        assert f"list-{self.tag}" in names, names

    async def consumer_names(self):
        raise NotImplementedError

    async def consumer_pause(self):
        await self.pull("pause")
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        subject = f"$JS.API.CONSUMER.PAUSE.foo.pause-{self.tag}"
        for body, paused in [(json.dumps({"pause_until": until}), True), ("", False)]:
            reply = json.loads((await self.nc.request(subject, body.encode(), timeout=5)).data)
            assert "error" not in reply and reply["paused"] == paused, reply

    async def consumer_delete(self):
        await self.pull("delete")
        await self.js.delete_consumer("foo", f"delete-{self.tag}")
        try:
            await self.js.consumer_info("foo", f"delete-{self.tag}")
        except NotFoundError:
            return
        raise AssertionError("still there")

    async def fetch(self):
        subscription = await self.pull("fetch")
        assert len(await self.data(subscription, 3)) == 3

    async def consume(self):
        await self.publish_some("consume")
        seen = asyncio.Queue()

        async def handler(message):
            await message.ack()
            await seen.put(message.data)

        await self.js.subscribe(self.subject("consume"), cb=handler, stream="foo", manual_ack=True)
        assert [await asyncio.wait_for(seen.get(), 5) for _ in range(3)] == [b"consume 0", b"consume 1", b"consume 2"]

    async def pending(self, name):
        return (await self.js.consumer_info("foo", f"{name}-{self.tag}")).num_ack_pending

    async def ack(self):
        subscription = await self.pull("ack")
        for message in await self.data(subscription):
            await message.ack()
        for _ in range(50):
            if await self.pending("ack") == 0:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("not acknowledged")

    async def double_ack(self):
        subscription = await self.pull("double")
        for message in await self.data(subscription):
            await message.ack_sync(timeout=5)
        assert await self.pending("double") == 0

    async def nak_delay(self):
        subscription = await self.pull("nak")
        (message,) = await self.data(subscription, 1)
        await message.nak(delay=0.5)
        started = time.monotonic()
        again = await self.data(subscription, 3)
        while not any(m.data == message.data for m in again):
            again = await self.data(subscription, 3)
        assert time.monotonic() - started > 0.3
        assert [m for m in again if m.data == message.data][0].metadata.num_delivered == 2

    async def term(self):
        subscription = await self.pull("term", ack_wait=1)
        for message in await self.data(subscription):
            await message.term()
        await self.nc.flush()
        await asyncio.sleep(1.2)
        assert await self.pending("term") == 0

    async def in_progress(self):
        subscription = await self.pull("progress", ack_wait=1)
        (message,) = await self.data(subscription, 1)
        for _ in range(4):
            await asyncio.sleep(0.5)
            await message.in_progress()
        info = await self.js.consumer_info("foo", f"progress-{self.tag}")
        assert info.num_redelivered == 0 and info.num_ack_pending == 1, info

    async def get_by_seq(self):
        await self.publish_some("seq")
        last = await self.arrived("seq", "seq 2")
        assert (await self.js.get_msg("foo", seq=last.seq, direct=False)).data == b"seq 2"

    async def get_by_subject(self):
        await self.publish_some("last")
        assert (await self.js.get_last_msg("foo", self.subject("last"))).data == b"last 2"

    async def direct_get(self):
        await self.publish_some("dseq")
        last = await self.arrived("dseq", "dseq 2")
        assert (await self.js.get_msg("foo", seq=last.seq, direct=True)).data == b"dseq 2"

    async def direct_get_subject(self):
        await self.publish_some("dlast")
        assert (await self.js.get_msg("foo", subject=self.subject("dlast"), direct=True)).data == b"dlast 2"

    async def direct_get_batch(self):
        await self.publish_some("batch")
        inbox = self.nc.new_inbox()
        subscription = await self.nc.subscribe(inbox)
        body = json.dumps({"batch": 3, "seq": 1, "next_by_subj": self.subject("batch")})
        await self.nc.publish("$JS.API.DIRECT.GET.foo", body.encode(), reply=inbox)
        got = []
        while len(got) < 3:
            message = await subscription.next_msg(timeout=5)
            assert not (message.headers or {}).get("Status"), message.headers
            got.append(message.data)
        assert got == [b"batch 0", b"batch 1", b"batch 2"], got

    async def advisory(self):
        durable = f"advisory-{self.tag}"
        subscription = await self.nc.subscribe(f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.foo.{durable}")
        await self.nc.flush()
        consumer = await self.pull("advisory", ack_wait=0.5, max_deliver=1)
        await self.data(consumer, 1)
        for _ in range(3):
            try:
                await consumer.fetch(1, timeout=1)
            except nats.errors.TimeoutError:
                pass
        await subscription.next_msg(timeout=5)

    # Key-value
    async def bucket(self):
        return await self.js.key_value("cfg")

    def key(self, name):
        return f"{name}-{self.tag}"

    async def value(self, kv, key, value):
        for _ in range(100):
            try:
                entry = await kv.get(key)
                if entry.value == value:
                    return entry
            except KeyNotFoundError:
                pass
            await asyncio.sleep(0.05)
        raise AssertionError(f"{key} is not {value}")

    async def kv_put_get(self):
        kv = await self.bucket()
        await kv.put(self.key("put"), b"one")
        await self.value(kv, self.key("put"), b"one")

    async def kv_create(self):
        kv = await self.bucket()
        await kv.create(self.key("create"), b"one")
        await self.value(kv, self.key("create"), b"one")

    async def kv_create_again(self):
        kv = await self.bucket()
        await kv.put(self.key("again"), b"one")
        await self.value(kv, self.key("again"), b"one")
        try:
            await kv.create(self.key("again"), b"two")
        except KeyWrongLastSequenceError:
            return
        raise AssertionError("made twice")

    async def kv_update(self):
        kv = await self.bucket()
        await kv.put(self.key("update"), b"one")
        entry = await self.value(kv, self.key("update"), b"one")
        await kv.update(self.key("update"), b"two", last=entry.revision)

    async def kv_delete(self):
        kv = await self.bucket()
        await kv.put(self.key("delete"), b"one")
        await self.value(kv, self.key("delete"), b"one")
        await kv.delete(self.key("delete"))
        await self.gone(kv, self.key("delete"))

    async def gone(self, kv, key):
        for _ in range(100):
            try:
                await kv.get(key)
            except KeyNotFoundError:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{key} is still there")

    async def kv_purge(self):
        kv = await self.bucket()
        for value in [b"one", b"two"]:
            await kv.put(self.key("purge"), value)
        await self.value(kv, self.key("purge"), b"two")
        await kv.purge(self.key("purge"))
        await self.gone(kv, self.key("purge"))
        assert [e.operation for e in await kv.history(self.key("purge"))] == ["PURGE"]

    async def kv_keys(self):
        kv = await self.bucket()
        await kv.put(self.key("keys"), b"one")
        await self.value(kv, self.key("keys"), b"one")
        # nats-py takes its list for empty if all keys were delivered before it asked how many remain, on any server.
        for _ in range(5):
            try:
                assert self.key("keys") in await kv.keys()
                return
            except NoKeysError:
                pass
        raise AssertionError("no keys")

    async def kv_history(self):
        kv = await self.bucket()
        for value in [b"one", b"two", b"three"]:
            await kv.put(self.key("history"), value)
        await self.value(kv, self.key("history"), b"three")
        assert [e.value for e in await kv.history(self.key("history"))] == [b"one", b"two", b"three"]

    async def kv_watch(self):
        kv = await self.bucket()
        watcher = await kv.watch(self.key("watch"))
        await kv.put(self.key("watch"), b"one")
        while True:
            entry = await watcher.updates(timeout=5)
            if entry is not None:
                assert entry.value == b"one"
                break
        await watcher.stop()

    async def kv_status(self):
        kv = await self.bucket()
        await kv.put(self.key("status"), b"one")
        status = await kv.status()
        config = status.stream_info.config
        settings = status.bucket, status.history, status.ttl, status.marker_ttl, config.max_bytes, config.compression
        found = *settings, config.description
        assert found == ("cfg", 5, 3600, 60, 64 << 20, "s2", "settings"), f"found: {found}"

    async def kv_too_large(self):
        kv = await self.bucket()
        try:
            await kv.put(self.key("large"), bytes(65 << 10))
        except nats.js.errors.APIError as error:
            assert error.err_code == 10054, error
            return
        raise AssertionError("stored")

    # Object store
    def object(self, name):
        return f"{name}-{self.tag}"

    async def read(self, store, name, data):
        for _ in range(100):
            try:
                if (await store.get(name)).data == data:
                    return
            except Exception as error:  # not all chunks are here yet
                if type(error) is NotFoundError and error.err_code is None:  # no stream has the subject, which is final
                    raise
            await asyncio.sleep(0.05)
        raise AssertionError(f"{name} is not readable")

    async def object_put_get(self):
        store = await self.js.object_store("files")
        data = bytes(n % 251 for n in range(1_000_000))
        info = await store.put(self.object("put"), data)
        assert info.chunks > 5
        await self.read(store, self.object("put"), data)

    async def object_replace(self):
        store = await self.js.object_store("files")
        for data in [b"one" * 100_000, b"two" * 100_000]:
            await store.put(self.object("replace"), data)
            await self.read(store, self.object("replace"), data)

    async def object_list(self):
        store = await self.js.object_store("files")
        await store.put(self.object("list"), b"one")
        await self.read(store, self.object("list"), b"one")
        assert self.object("list") in [info.name for info in await store.list()]

    async def object_watch(self):
        store = await self.js.object_store("files")
        watcher = await store.watch()
        await store.put(self.object("watch"), b"one")
        while True:
            info = await watcher.updates(timeout=5)
            if info is not None and info.name == self.object("watch"):
                break
        await watcher.stop()

    async def object_delete(self):
        store = await self.js.object_store("files")
        await store.put(self.object("delete"), b"one" * 100_000)
        await self.read(store, self.object("delete"), b"one" * 100_000)
        await store.delete(self.object("delete"))
        for _ in range(100):
            try:
                await store.get(self.object("delete"))
            except nats.js.errors.ObjectNotFoundError:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("still there")

    async def object_link(self):
        raise NotImplementedError

    # Changes that applications should not make by accident
    async def stream_create(self):
        await self.js.add_stream(StreamConfig(name="foo", subjects=["foo.>"]))

    async def stream_update(self):
        config = (await self.js.stream_info("foo")).config
        await self.js.update_stream(config)

    async def stream_purge(self):
        await self.js.purge_stream("foo", subject=self.subject("nothing"))

    async def stream_delete(self):
        # A plain server answers that the stream does not exist; here the request gets no answer.
        try:
            await self.js.delete_stream("gone")
        except NotFoundError:
            return


def expected_streams():
    return sorted({"stream": "foo", "kv": "KV_cfg", "object": "OBJ_files"}[need] for need in NEEDS)


async def main(url, creds, tag):
    from operations import OPERATIONS

    nc = await nats.connect(url, connect_timeout=5, **({} if creds == "-" else {"user_credentials": creds}))
    operations = Operations(nc, tag)
    for name, _, needs in OPERATIONS:
        if needs not in NEEDS:
            continue
        try:
            await asyncio.wait_for(getattr(operations, name)(), 25)
            result, detail = "works", ""
        except NotImplementedError:
            result, detail = "absent", "nats-py has no such call"
        except Exception as error:
            result, detail = "error", f"{type(error).__name__}: {error}".strip()
        print(json.dumps({"op": name, "result": result, "detail": detail}), flush=True)
    await nc.close()


NEEDS = sys.argv[4].split(",")
asyncio.run(main(*sys.argv[1:4]))
