// The operations with nats.js. Usage: main.js URL CREDS|- TAG NEEDS; one JSON object a line.

import { readFileSync } from "node:fs";
import assert from "node:assert/strict";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { connect, createInbox, credsAuthenticator } from "@nats-io/transport-node";

const [url, creds, tag, needs] = process.argv.slice(2);
const needed = needs.split(",");
const authenticator = creds === "-" ? undefined : credsAuthenticator(readFileSync(creds));
const nc = await connect({ servers: url, authenticator });
const js = jetstream(nc);
const jsm = await jetstreamManager(nc, { checkAPI: false });
const text = (data) => new TextDecoder().decode(data);
const bytes = (size, value) => new Uint8Array(size).fill(value);
const same = (found, expected) => {
  if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(`found: ${JSON.stringify(found)}`);
};
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const subject = (name) => `foo.${tag}.${name}`;
const durable = (name) => `${name}-${tag}`;
const expected = () => Object.entries({ stream: "foo", kv: "KV_cfg", object: "OBJ_files" })
  .filter(([need]) => needed.includes(need)).map(([, name]) => name).sort();

/** Asks until it is true: what is written is readable in the same region a moment later. */
async function soon(what, ask) {
  let last = "";
  for (let tries = 0; tries < 100; tries++) {
    try {
      if (await ask()) return;
    } catch (error) {
      last = error;
    }
    await sleep(50);
  }
  throw new Error(`${what}: not in time: ${last}`);
}

async function publishSome(name, count = 3) {
  for (let n = 0; n < count; n++) await js.publish(subject(name), `${name} ${n}`);
  const last = `${name} ${count - 1}`;
  await soon(name, async () => text((await jsm.streams.getMessage("foo", { last_by_subj: subject(name) }))?.data) === last);
}

async function pull(name, config = {}) {
  await publishSome(name);
  await jsm.consumers.add("foo", {
    durable_name: durable(name), filter_subject: subject(name), ack_policy: AckPolicy.Explicit, ...config,
  });
  return await js.consumers.get("foo", durable(name));
}

/** Asks again: a pull right after the consumer was made can come before servers know of it, in any cluster. */
async function messages(consumer, count = 3) {
  const got = [];
  let last = "";
  for (let tries = 0; tries < 4 && got.length < count; tries++) {
    try {
      for await (const message of await consumer.fetch({ max_messages: count - got.length, expires: 3000 })) got.push(message);
    } catch (error) {
      last = error;
    }
  }
  if (got.length < count) throw new Error(`${got.length} of ${count} messages: ${last}`);
  return got;
}

async function texts(iterator, count) {
  const got = [];
  for await (const message of iterator) {
    message.ack();
    if (got.push(message.string()) === count) break;
  }
  return got;
}

const numbered = (name, count = 3) => Array.from({ length: count }, (_, n) => `${name} ${n}`);
const pending = async (name) => (await jsm.consumers.info("foo", durable(name))).num_ack_pending;

async function collect(iterator, pick) {
  const found = [];
  for await (const item of iterator) found.push(pick(item));
  return found.sort();
}

const opened = { kv: undefined, store: undefined };
const bucket = async () => (opened.kv ??= await new Kvm(js).open("cfg"));
const store = async () => (opened.store ??= await new Objm(js).open("files"));

async function put(name, ...values) {
  const kv = await bucket();
  for (const value of values) await kv.put(durable(name), value);
  if (values.length) await soon(name, async () => (await kv.get(durable(name)))?.string() === values.at(-1));
  return [kv, durable(name)];
}

const gone = (kv, key) => soon(key, async () => {
  const entry = await kv.get(key);
  return entry === null || entry.operation !== "PUT";
});

async function object(name, ...contents) {
  const files = await store();
  for (const data of contents) {
    await files.putBlob({ name: durable(name) }, data);
    await readable(files, durable(name), data);
  }
  return [files, durable(name)];
}

const readable = (files, name, data) => soon(name, async () => {
  const got = await files.getBlob(name);
  return got !== null && Buffer.compare(got, data) === 0;
});

async function three(name) {
  same((await messages(await pull(name))).map((message) => message.string()), numbered(name));
}

const operations = {
  publish: () => publishSome("publish", 1),
  async publish_async() {
    await Promise.all(Array.from({ length: 20 }, () => js.publish(subject("async"), "one")));
  },
  async publish_msg_id() {
    const msgID = `${tag}-${Date.now()}`;
    const first = await js.publish(subject("id"), "one", { msgID });
    const again = await js.publish(subject("id"), "one", { msgID });
    assert.ok(!first.duplicate && again.duplicate);
  },
  publish_expect_stream: () => js.publish(subject("expect"), "one", { expect: { streamName: "foo" } }),
  async stream_info() {
    same((await jsm.streams.info("foo")).config.name, "foo");
  },
  async stream_names() {
    same(await collect(jsm.streams.names(), (name) => name), expected());
  },
  async stream_list() {
    same(await collect(jsm.streams.list(), (info) => info.config.name), expected());
  },
  async stream_by_subject() {
    const name = await jsm.streams.find("foo.x");
    same(name, "foo");
  },
  consumer_pull: () => three("pull"),
  async consumer_push() {
    await publishSome("push");
    await jsm.consumers.add("foo", {
      durable_name: durable("push"), filter_subject: subject("push"), deliver_subject: createInbox(),
      ack_policy: AckPolicy.Explicit, flow_control: true, idle_heartbeat: 1_000_000_000,
    });
    const consumer = await js.consumers.getPushConsumer("foo", durable("push"));
    same(await texts(await consumer.consume(), 3), numbered("push"));
  },
  async consumer_ephemeral() {
    await publishSome("ephemeral");
    const { name } = await jsm.consumers.add("foo", { filter_subject: subject("ephemeral"), ack_policy: AckPolicy.Explicit });
    await messages(await js.consumers.get("foo", name));
  },
  async consumer_ordered() {
    await publishSome("ordered", 50);
    const consumer = await js.consumers.get("foo", { filter_subjects: subject("ordered") });
    same(await texts(await consumer.consume(), 50), numbered("ordered", 50));
  },
  consumer_filtered: () => three("filtered"),
  async consumer_filters() {
    await publishSome("left");
    await publishSome("right");
    await jsm.consumers.add("foo", {
      durable_name: durable("filters"), filter_subjects: [subject("left"), subject("right")], ack_policy: AckPolicy.Explicit,
    });
    await messages(await js.consumers.get("foo", durable("filters")), 6);
  },
  async consumer_info() {
    await pull("info");
    const info = await jsm.consumers.info("foo", durable("info"));
    same([info.name, info.num_pending], [durable("info"), 3]);
  },
  async consumer_list() {
    await pull("list");
    assert.ok((await collect(jsm.consumers.list("foo"), (info) => info.name)).includes(durable("list")));
  },
  consumer_names: undefined,
  async consumer_pause() {
    await pull("pause");
    const paused = await jsm.consumers.pause("foo", durable("pause"), new Date(Date.now() + 3_600_000));
    const resumed = await jsm.consumers.resume("foo", durable("pause"));
    same([paused.paused, resumed.paused], [true, false]);
  },
  async consumer_delete() {
    await pull("delete");
    await jsm.consumers.delete("foo", durable("delete"));
    await assert.rejects(jsm.consumers.info("foo", durable("delete")), /not found/);
  },
  fetch: () => three("fetch"),
  async consume() {
    const consumer = await pull("consume");
    same(await texts(await consumer.consume({ expires: 2000 }), 3), numbered("consume"));
  },
  async ack() {
    for (const message of await messages(await pull("ack"))) message.ack();
    await soon("acks", async () => (await pending("ack")) === 0);
  },
  async double_ack() {
    for (const message of await messages(await pull("double"))) assert.ok(await message.ackAck({ timeout: 5000 }));
    same(await pending("double"), 0);
  },
  async nak_delay() {
    const consumer = await pull("nak");
    const [message] = await messages(consumer, 1);
    message.nak(500);
    const started = Date.now();
    const last = (await messages(consumer, 3)).at(-1);
    assert.ok(Date.now() - started > 300 && last.info.deliveryCount === 2);
  },
  async term() {
    for (const message of await messages(await pull("term", { ack_wait: 1_000_000_000 }))) message.term();
    await sleep(1200);
    same(await pending("term"), 0);
  },
  async in_progress() {
    const [message] = await messages(await pull("progress", { ack_wait: 1_000_000_000 }), 1);
    for (let n = 0; n < 4; n++) {
      await sleep(500);
      message.working();
    }
    const info = await jsm.consumers.info("foo", durable("progress"));
    same([info.num_redelivered, info.num_ack_pending], [0, 1]);
  },
  async get_by_seq() {
    await publishSome("seq");
    const { seq } = await jsm.streams.getMessage("foo", { last_by_subj: subject("seq") });
    same(text((await jsm.streams.getMessage("foo", { seq })).data), "seq 2");
  },
  async get_by_subject() {
    await publishSome("last");
    same(text((await jsm.streams.getMessage("foo", { last_by_subj: subject("last") })).data), "last 2");
  },
  async direct_get() {
    await publishSome("dseq");
    const { seq } = await jsm.streams.getMessage("foo", { last_by_subj: subject("dseq") });
    same(text((await jsm.direct.getMessage("foo", { seq })).data), "dseq 2");
  },
  async direct_get_subject() {
    await publishSome("dlast");
    same(text((await jsm.direct.getMessage("foo", { last_by_subj: subject("dlast") })).data), "dlast 2");
  },
  async direct_get_batch() {
    await publishSome("batch");
    const batch = await jsm.direct.getBatch("foo", { seq: 1, batch: 3, next_by_subj: subject("batch") });
    const got = [];
    for await (const message of batch) got.push(text(message.data));
    same(got, numbered("batch"));
  },
  async advisory() {
    const events = nc.subscribe(`$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.foo.${durable("advisory")}`, { max: 1, timeout: 15000 });
    await nc.flush();
    const consumer = await pull("advisory", { ack_wait: 500_000_000, max_deliver: 1 });
    await messages(consumer, 1);
    for (let n = 0; n < 3; n++) for await (const _ of await consumer.fetch({ max_messages: 1, expires: 1000 }));
    for await (const _ of events) return;
    throw new Error("no advisory");
  },

  kv_put_get: () => put("put", "one"),
  async kv_create() {
    const [kv, key] = await put("create");
    await kv.create(key, "one");
    await soon(key, async () => (await kv.get(key))?.string() === "one");
  },
  async kv_create_again() {
    const [kv, key] = await put("again", "one");
    await assert.rejects(kv.create(key, "two"));
  },
  async kv_update() {
    const [kv, key] = await put("update", "one");
    await kv.update(key, "two", (await kv.get(key)).revision);
  },
  async kv_delete() {
    const [kv, key] = await put("delete", "one");
    await kv.delete(key);
    await gone(kv, key);
  },
  async kv_purge() {
    const [kv, key] = await put("purge", "one", "two");
    await kv.purge(key);
    await gone(kv, key);
    same(await collect(await kv.history({ key }), (entry) => entry.operation), ["PURGE"]);
  },
  async kv_keys() {
    const [kv, key] = await put("keys", "one");
    assert.ok((await collect(await kv.keys(), (found) => found)).includes(key));
  },
  async kv_history() {
    const [kv, key] = await put("history", "1", "2", "3");
    same(await collect(await kv.history({ key }), (entry) => entry.string()), ["1", "2", "3"]);
  },
  async kv_watch() {
    const [kv, key] = await put("watch");
    const watcher = await kv.watch({ key });
    await kv.put(key, "one");
    for await (const entry of watcher) {
      same(entry.string(), "one");
      break;
    }
  },
  async kv_status() {
    const [kv] = await put("status", "one");
    const status = await kv.status();
    const { bucket, history, ttl, markerTTL, maxBucketSize, compression, description } = status;
    same(
      [bucket, history, ttl, markerTTL, maxBucketSize, compression, description],
      ["cfg", 5, 3_600_000, 60_000, 64 << 20, true, "settings"],
    );
  },
  async kv_too_large() {
    const [kv, key] = await put("large");
    await assert.rejects(kv.put(key, bytes(65 << 10, 1)), { code: 10054 });
  },

  async object_put_get() {
    const [files, name] = await object("put", bytes(1_000_000, 7));
    assert.ok((await files.info(name)).chunks > 5);
  },
  object_replace: () => object("replace", bytes(300_000, 1), bytes(300_000, 2)),
  async object_list() {
    const [files, name] = await object("list", bytes(3, 1));
    assert.ok((await files.list()).map((info) => info.name).includes(name));
  },
  async object_watch() {
    const [files, name] = await object("watch");
    const watcher = await files.watch();
    await files.putBlob({ name }, bytes(3, 1));
    for await (const info of watcher) if (info.name === name) break;
  },
  async object_delete() {
    const [files, name] = await object("delete", bytes(300_000, 1));
    await files.delete(name);
    await soon(name, async () => {
      const info = await files.info(name);
      return info === null || info.deleted;
    });
  },
  async object_link() {
    const [files, name] = await object("target", bytes(3, 1));
    await files.link(durable("link"), await files.info(name));
    await readable(files, durable("link"), bytes(3, 1));
  },

  // What applications are not to do by accident
  async stream_create() {
    try {
      await jsm.streams.add({ name: "foo", subjects: ["foo.>"] });
    } catch (error) {
      if (error.code !== 10058) throw error; // a plain server's answer: it was made with other settings
    }
  },
  async stream_update() {
    await jsm.streams.update("foo", (await jsm.streams.info("foo")).config);
  },
  stream_purge: () => jsm.streams.purge("foo", { filter: subject("nothing") }),
  async stream_delete() {
    // Of a stream that is not there a plain server says so; here nobody answers.
    await assert.rejects(jsm.streams.delete("gone"), (error) => {
      if (error.code === 10059) return true;
      throw error;
    });
  },
};

const kinds = { kv: "kv", object: "object" };
for (const [op, run] of Object.entries(operations)) {
  const need = kinds[op.split("_")[0]] ?? "stream";
  if (!needed.includes(need)) continue;
  let found = { result: "works", detail: "" };
  try {
    if (run === undefined) found = { result: "absent", detail: "nats.js has no such call" };
    else await Promise.race([run(), sleep(25_000).then(() => Promise.reject(new Error("no end in 25 s")))]);
  } catch (error) {
    found = { result: "error", detail: `${error.name}: ${error.message}${error.code ? ` (${error.code})` : ""}` };
  }
  console.log(JSON.stringify({ op, ...found }));
}
await nc.close();
process.exit(0);
