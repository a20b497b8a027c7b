"""The operations with the `nats` CLI. Usage: nats_cli.py URL CREDS|- TAG NEEDS; one JSON object a line.

The CLI is the one that NATS_CLI names."""

import json
import os
import subprocess
import sys
import tempfile
import time

URL, CREDS, TAG, NEEDS = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4].split(",")
CLI = [os.environ.get("NATS_CLI", "nats"), "--server", URL, "--timeout", "5s"] + ([] if CREDS == "-" else ["--creds", CREDS])
EMPTY = {**os.environ, "XDG_CONFIG_HOME": tempfile.mkdtemp()}


def nats(*args, ok=True, data=None):
    run = subprocess.run([*CLI, *args], input=data or b"", capture_output=True, timeout=25, env=EMPTY)
    out = (run.stdout + run.stderr).decode(errors="replace")
    if ok and run.returncode != 0:
        raise AssertionError(out.strip().splitlines()[-1] if out.strip() else f"exit {run.returncode}")
    return run.stdout.decode(errors="replace") if ok else out


def nats_json(*args):
    return json.loads(nats(*args, "--json"))


def eventually(look):
    last = None
    for _ in range(60):
        try:
            found = look()
            if found:
                return found
        except AssertionError as error:
            last = error
        time.sleep(0.05)
    raise last or AssertionError("did not happen")


def subject(name):
    return f"foo.{TAG}.{name}"


def publish_some(name, count=3):
    for number in range(count):
        nats("pub", "--jetstream", subject(name), f"{name} {number}")
    eventually(lambda: f"{name} {count - 1}" in nats("stream", "get", "foo", "-S", subject(name)))


def add(name, *args):
    publish_some(name)
    nats("consumer", "add", "foo", f"{name}-{TAG}", "--filter", subject(name), "--pull", "--defaults", *args)


def next_message(name, *args):
    return eventually(lambda: nats("consumer", "next", "foo", f"{name}-{TAG}", "--count", "1", *args))


def info(name):
    return nats_json("consumer", "info", "foo", f"{name}-{TAG}")


class Operations:
    def publish(self):
        assert "Stored in" in nats("pub", "--jetstream", subject("publish"), "one", ok=False)

    def publish_msg_id(self):
        args = ("pub", "--jetstream", subject("id"), "one", "-H", f"Nats-Msg-Id:{TAG}-{time.time()}")
        nats(*args)
        assert "Duplicate: true" in nats(*args, ok=False), "not a duplicate"

    def publish_expect_stream(self):
        out = nats("pub", "--jetstream", subject("expect"), "one", "-H", "Nats-Expected-Stream:foo", ok=False)
        assert "Stored in" in out, out.strip().splitlines()[-1]

    def stream_info(self):
        name = nats_json("stream", "info", "foo")["config"]["name"]
        assert name == "foo", name

    def stream_names(self):
        names = nats("stream", "ls", "--names", "--all").split()
        assert names == expected_streams(), names

    def stream_list(self):
        report = nats("stream", "report")
        assert all(name in report for name in expected_streams()), report

    def stream_by_subject(self):
        found = nats("stream", "ls", "--subject", "foo.x", "--names").split()
        assert found == ["foo"], f"found: {found}"

    def consumer_pull(self):
        add("pull")
        assert "pull 0" in next_message("pull")

    def consumer_push(self):
        publish_some("push")
        target = f"_INBOX.{TAG}.push"
        with subprocess.Popen([*CLI, "sub", target, "--count", "3", "--raw"], stdout=subprocess.PIPE, env=EMPTY) as sub:
            time.sleep(0.5)
            nats("consumer", "add", "foo", f"push-{TAG}", "--filter", subject("push"), "--target", target, "--ack", "none",
                 "--defaults")
            out, _ = sub.communicate(timeout=10)
        assert out.decode().split("\n")[:3] == ["push 0", "push 1", "push 2"], out

    def consumer_ephemeral(self):
        publish_some("ephemeral")
        out = nats("consumer", "add", "foo", "--ephemeral", "--filter", subject("ephemeral"), "--pull", "--defaults")
        assert "Information for Consumer foo" in out

    def consumer_ordered(self):
        publish_some("ordered")
        out = nats("sub", "--stream", "foo", subject("ordered"), "--all", "--count", "3", "--raw")
        assert out.split("\n")[:3] == ["ordered 0", "ordered 1", "ordered 2"], out

    def consumer_filtered(self):
        add("filtered")
        assert info("filtered")["num_pending"] == 3

    def consumer_filters(self):
        publish_some("left")
        publish_some("right")
        nats("consumer", "add", "foo", f"filters-{TAG}", "--filter", subject("left"), "--filter", subject("right"), "--pull",
             "--defaults")
        assert info("filters")["num_pending"] == 6

    def consumer_info(self):
        add("info")
        assert info("info")["name"] == f"info-{TAG}"

    def consumer_list(self):
        add("list")
        assert f"list-{TAG}" in nats("consumer", "ls", "foo")

    def consumer_names(self):
        add("names")
        assert f"names-{TAG}" in nats("consumer", "ls", "foo", "--names").split()

    def consumer_pause(self):
        add("pause")
        nats("consumer", "pause", "foo", f"pause-{TAG}", "1h", "--force")
        assert info("pause")["paused"]
        nats("consumer", "resume", "foo", f"pause-{TAG}", "--force")
        assert not info("pause").get("paused")

    def consumer_delete(self):
        add("delete")
        nats("consumer", "rm", "foo", f"delete-{TAG}", "--force")
        assert f"delete-{TAG}" not in nats("consumer", "ls", "foo", "--names").split()

    def fetch(self):
        add("fetch")
        out = eventually(lambda: nats("consumer", "next", "foo", f"fetch-{TAG}", "--count", "3", "--raw"))
        assert "fetch 2" in out, out

    def ack(self):
        add("ack")
        next_message("ack", "--ack")
        eventually(lambda: info("ack")["num_ack_pending"] == 0)

    def nak_delay(self):
        add("nak")
        next_message("nak", "--nak")
        assert "nak 0" in "".join(next_message("nak") for _ in range(3))

    def term(self):
        add("term", "--wait", "1s")
        next_message("term", "--term")
        eventually(lambda: info("term")["num_ack_pending"] == 0)

    def get_by_seq(self):
        publish_some("seq")
        seq = nats_json("stream", "get", "foo", "-S", subject("seq"))["seq"]
        assert "seq 2" in nats("stream", "get", "foo", str(seq))

    def get_by_subject(self):
        publish_some("last")
        assert "last 2" in nats("stream", "get", "foo", "-S", subject("last"))

    def kv_put_get(self):
        nats("kv", "put", "cfg", f"put-{TAG}", "one")
        eventually(lambda: nats("kv", "get", "cfg", f"put-{TAG}", "--raw") == "one")

    def kv_create(self):
        nats("kv", "create", "cfg", f"create-{TAG}", "one")
        eventually(lambda: nats("kv", "get", "cfg", f"create-{TAG}", "--raw") == "one")

    def kv_create_again(self):
        nats("kv", "put", "cfg", f"again-{TAG}", "one")
        eventually(lambda: nats("kv", "get", "cfg", f"again-{TAG}", "--raw") == "one")
        out = nats("kv", "create", "cfg", f"again-{TAG}", "two", ok=False)
        assert "key exists" in out or "wrong last sequence" in out, out

    def kv_update(self):
        nats("kv", "put", "cfg", f"update-{TAG}", "one")
        found = eventually(lambda: nats("kv", "get", "cfg", f"update-{TAG}", ok=False))
        eventually(lambda: nats("kv", "get", "cfg", f"update-{TAG}", "--raw") == "one")
        found = nats("kv", "get", "cfg", f"update-{TAG}")
        revision = found.split("revision: ")[1].split()[0].strip(",") if "revision: " in found else found
        nats("kv", "update", "cfg", f"update-{TAG}", "two", revision)

    def kv_delete(self):
        nats("kv", "put", "cfg", f"delete-{TAG}", "one")
        eventually(lambda: nats("kv", "get", "cfg", f"delete-{TAG}", "--raw") == "one")
        nats("kv", "del", "cfg", f"delete-{TAG}", "--force")
        eventually(lambda: "key not found" in nats("kv", "get", "cfg", f"delete-{TAG}", ok=False))

    def kv_purge(self):
        nats("kv", "put", "cfg", f"purge-{TAG}", "one")
        eventually(lambda: nats("kv", "get", "cfg", f"purge-{TAG}", "--raw") == "one")
        nats("kv", "purge", "cfg", f"purge-{TAG}", "--force")
        eventually(lambda: "PURGE" in nats("kv", "history", "cfg", f"purge-{TAG}"))

    def kv_keys(self):
        nats("kv", "put", "cfg", f"keys-{TAG}", "one")
        eventually(lambda: f"keys-{TAG}" in nats("kv", "ls", "cfg").split())

    def kv_history(self):
        for value in ["one", "two"]:
            nats("kv", "put", "cfg", f"history-{TAG}", value)
        eventually(lambda: all(v in nats("kv", "history", "cfg", f"history-{TAG}") for v in ["one", "two"]))

    def kv_watch(self):
        with subprocess.Popen([*CLI, "kv", "watch", "cfg", f"watch-{TAG}"], stdout=subprocess.PIPE, env=EMPTY) as watch:
            time.sleep(0.5)
            nats("kv", "put", "cfg", f"watch-{TAG}", "one")
            time.sleep(1)
            watch.terminate()
            out, _ = watch.communicate(timeout=5)
        assert f"watch-{TAG}" in out.decode(), out

    def kv_status(self):
        lines = nats("kv", "info", "cfg").splitlines()
        shown = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        names = "Bucket Name", "History Kept", "Maximum Age", "Limit Marker TTL", "Maximum Bucket Size", "Compressed", "Description"
        settings = [shown.get(name) for name in names]
        assert settings == ["cfg", "5", "1h0m0s", "1m0s", "64 MiB", "true", "settings"], f"found: {settings}"

    def kv_too_large(self):
        out = nats("kv", "put", "cfg", f"large-{TAG}", "x" * (65 << 10), ok=False)
        assert "10054" in out, out

    def object_put_get(self):
        with tempfile.TemporaryDirectory() as folder:
            data = bytes(n % 251 for n in range(1_000_000))
            source, copy = os.path.join(folder, "source"), os.path.join(folder, "copy")
            with open(source, "wb") as file:
                file.write(data)
            nats("object", "put", "files", source, "--name", f"put-{TAG}", "--force", "--no-progress")
            eventually(lambda: nats("object", "get", "files", f"put-{TAG}", "-O", copy, "--force", "--no-progress") or True)
            with open(copy, "rb") as file:
                assert file.read() == data

    def put(self, name):
        nats("object", "put", "files", "--name", f"{name}-{TAG}", "--force", "--no-progress", data=b"one")
        eventually(lambda: f"{name}-{TAG}" in nats("object", "ls", "files"))

    def object_replace(self):
        self.put("replace")
        self.put("replace")

    def object_list(self):
        self.put("list")

    def object_delete(self):
        self.put("delete")
        nats("object", "rm", "files", f"delete-{TAG}", "--force")
        eventually(lambda: f"delete-{TAG}" not in nats("object", "ls", "files"))

    def stream_create(self):
        out = nats("stream", "add", "foo", "--subjects", "foo.>", "--defaults", ok=False)
        assert "Information for Stream" in out or "already" in out, out.strip().splitlines()[-1]

    def stream_update(self):
        nats("stream", "edit", "foo", "--description", "x", "--force")

    def stream_purge(self):
        nats("stream", "purge", "foo", "--subject", subject("nothing"), "--force")

    def stream_delete(self):
        out = nats("stream", "rm", "gone", "--force", ok=False)
        assert "not found" in out, out.strip().splitlines()[-1]


def expected_streams():
    return sorted({"stream": "foo", "kv": "KV_cfg", "object": "OBJ_files"}[need] for need in NEEDS)


sys.path.insert(0, os.path.dirname(__file__))
from operations import OPERATIONS  # noqa: E402

for name, _, needs in OPERATIONS:
    if needs not in NEEDS:
        continue
    operation = getattr(Operations(), name, None)
    try:
        if operation is None:
            result, detail = "absent", "the CLI has no such command"
        else:
            operation()
            result, detail = "works", ""
    except Exception as error:  # every fault is a result
        result, detail = "error", f"{error}"
    print(json.dumps({"op": name, "result": result, "detail": detail}), flush=True)
