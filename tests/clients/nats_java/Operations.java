// The operations with nats.java. Usage: Operations URL CREDS|- TAG NEEDS; one JSON object a line.

import io.nats.client.*;
import io.nats.client.api.*;
import io.nats.client.support.Encoding;
import java.io.ByteArrayOutputStream;
import java.time.Duration;
import java.time.ZonedDateTime;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.Predicate;

public final class Operations {
    private interface Run {
        void run() throws Exception;
    }

    private interface Ask {
        boolean ask() throws Exception;
    }

    private record Operation(String name, String need, Run run) {}

    private final Connection nc;
    private final JetStream js;
    private final JetStreamManagement jsm;
    private final String tag;
    private final List<String> needs;

    private Operations(Connection nc, String tag, List<String> needs) throws Exception {
        this.nc = nc;
        this.js = nc.jetStream();
        this.jsm = nc.jetStreamManagement();
        this.tag = tag;
        this.needs = needs;
    }

    /** Without a `run` the client has no such call. */
    private List<Operation> all() {
        return List.of(
            new Operation("publish", "stream", () -> publishSome("publish", 1)),
            new Operation("publish_async", "stream", this::publishAsync),
            new Operation("publish_msg_id", "stream", this::publishMsgId),
            new Operation("publish_expect_stream", "stream", this::publishExpectStream),
            new Operation("stream_info", "stream", () -> same(jsm.getStreamInfo("foo").getConfiguration().getName(), "foo")),
            new Operation("stream_names", "stream", () -> same(sorted(jsm.getStreamNames()), expected())),
            new Operation("stream_list", "stream", this::streamList),
            new Operation("stream_by_subject", "stream", () -> same(jsm.getStreamNames("foo.x"), List.of("foo"))),
            new Operation("consumer_pull", "stream", () -> three("pull")),
            new Operation("consumer_push", "stream", this::consumerPush),
            new Operation("consumer_ephemeral", "stream", this::consumerEphemeral),
            new Operation("consumer_ordered", "stream", this::consumerOrdered),
            new Operation("consumer_filtered", "stream", () -> three("filtered")),
            new Operation("consumer_filters", "stream", this::consumerFilters),
            new Operation("consumer_info", "stream", this::consumerInfo),
            new Operation("consumer_list", "stream", this::consumerList),
            new Operation("consumer_names", "stream", this::consumerNames),
            new Operation("consumer_pause", "stream", this::consumerPause),
            new Operation("consumer_delete", "stream", this::consumerDelete),
            new Operation("fetch", "stream", () -> three("fetch")),
            new Operation("consume", "stream", this::consume),
            new Operation("ack", "stream", this::ack),
            new Operation("double_ack", "stream", this::doubleAck),
            new Operation("nak_delay", "stream", this::nakDelay),
            new Operation("term", "stream", this::term),
            new Operation("in_progress", "stream", this::inProgress),
            new Operation("get_by_seq", "stream", () -> getBySeq("seq")),
            new Operation("get_by_subject", "stream", () -> getBySubject("last")),
            // The same calls: the client takes direct get wherever the stream allows it.
            new Operation("direct_get", "stream", () -> getBySeq("dseq")),
            new Operation("direct_get_subject", "stream", () -> getBySubject("dlast")),
            new Operation("direct_get_batch", "stream", null),
            new Operation("advisory", "stream", this::advisory),
            new Operation("kv_put_get", "kv", () -> put("put", "one")),
            new Operation("kv_create", "kv", this::kvCreate),
            new Operation("kv_create_again", "kv", this::kvCreateAgain),
            new Operation("kv_update", "kv", this::kvUpdate),
            new Operation("kv_delete", "kv", this::kvDelete),
            new Operation("kv_purge", "kv", this::kvPurge),
            new Operation("kv_keys", "kv", this::kvKeys),
            new Operation("kv_history", "kv", this::kvHistory),
            new Operation("kv_watch", "kv", this::kvWatch),
            new Operation("kv_status", "kv", this::kvStatus),
            new Operation("kv_too_large", "kv", this::kvTooLarge),
            new Operation("object_put_get", "object", this::objectPutGet),
            new Operation("object_replace", "object", () -> object("replace", bytes(300_000, 1), bytes(300_000, 2))),
            new Operation("object_list", "object", this::objectList),
            new Operation("object_watch", "object", this::objectWatch),
            new Operation("object_delete", "object", this::objectDelete),
            new Operation("object_link", "object", this::objectLink),
            new Operation("stream_create", "stream", this::streamCreate),
            new Operation("stream_update", "stream", () -> jsm.updateStream(jsm.getStreamInfo("foo").getConfiguration())),
            new Operation("stream_purge", "stream", () -> jsm.purgeStream("foo", PurgeOptions.builder().subject(subject("nothing")).build())),
            new Operation("stream_delete", "stream", this::streamDelete));
    }

    private String subject(String name) {
        return "foo." + tag + "." + name;
    }

    private String durable(String name) {
        return name + "-" + tag;
    }

    private List<String> expected() {
        Map<String, String> names = new TreeMap<>(Map.of("stream", "foo", "kv", "KV_cfg", "object", "OBJ_files"));
        names.keySet().retainAll(needs);
        return sorted(names.values());
    }

    private static List<String> sorted(Collection<String> names) {
        return names.stream().sorted().toList();
    }

    private static byte[] bytes(int size, int value) {
        byte[] data = new byte[size];
        Arrays.fill(data, (byte) value);
        return data;
    }

    private static void check(boolean ok, Object found) {
        if (!ok) throw new IllegalStateException("found: " + found);
    }

    private static void same(Object found, Object expected) {
        check(found.equals(expected), found);
    }

    /** Asks until it is true: what is written is readable in the same region a moment later. */
    private static void soon(String what, Ask ask) throws InterruptedException {
        Object last = "";
        for (int tries = 0; tries < 100; tries++) {
            try {
                if (ask.ask()) return;
            } catch (InterruptedException interrupted) {
                throw interrupted;
            } catch (Exception error) {
                last = error;
            }
            Thread.sleep(50);
        }
        throw new IllegalStateException(what + ": not in time: " + last);
    }

    private void publishSome(String name, int count) throws Exception {
        for (int n = 0; n < count; n++) js.publish(subject(name), (name + " " + n).getBytes());
        arrived(name, name + " " + (count - 1));
    }

    /** Asks by a request, so that it works where clients cannot open a stream. */
    private void arrived(String name, String data) throws Exception {
        String body = "{\"last_by_subj\":\"" + subject(name) + "\"}";
        String stored = "\"data\":\"" + Base64.getEncoder().encodeToString(data.getBytes()) + "\"";
        soon(name, () -> {
            Message reply = nc.request("$JS.API.STREAM.MSG.GET.foo", body.getBytes(), Duration.ofSeconds(5));
            return reply != null && text(reply.getData()).contains(stored);
        });
    }

    private static String text(byte[] data) {
        return new String(data);
    }

    private ConsumerConfiguration.Builder config(String name) {
        return ConsumerConfiguration.builder().durable(durable(name)).filterSubject(subject(name));
    }

    private ConsumerContext pull(String name, ConsumerConfiguration.Builder config) throws Exception {
        publishSome(name, 3);
        jsm.addOrUpdateConsumer("foo", config.build());
        return js.getConsumerContext("foo", durable(name));
    }

    private ConsumerContext pull(String name) throws Exception {
        return pull(name, config(name));
    }

    /** Asks again: a pull right after the consumer was made can come before servers know of it, in any cluster. */
    private static List<Message> messages(ConsumerContext consumer, int count) throws Exception {
        List<Message> got = new ArrayList<>();
        Object last = "";
        for (int tries = 0; tries < 4 && got.size() < count; tries++) {
            var options = FetchConsumeOptions.builder().maxMessages(count - got.size()).expiresIn(3000).build();
            try (FetchConsumer batch = consumer.fetch(options)) {
                for (Message message; (message = batch.nextMessage()) != null; ) got.add(message);
            } catch (JetStreamStatusCheckedException error) {
                last = error;
            }
        }
        if (got.size() < count) throw new IllegalStateException(got.size() + " of " + count + " messages: " + last);
        return got;
    }

    private static List<String> texts(List<Message> messages) {
        return messages.stream().map(message -> text(message.getData())).toList();
    }

    private static List<String> numbered(String name, int count) {
        List<String> texts = new ArrayList<>();
        for (int n = 0; n < count; n++) texts.add(name + " " + n);
        return texts;
    }

    private void three(String name) throws Exception {
        same(texts(messages(pull(name), 3)), numbered(name, 3));
    }

    private void publishAsync() throws Exception {
        List<CompletableFuture<PublishAck>> acks = new ArrayList<>();
        for (int n = 0; n < 20; n++) acks.add(js.publishAsync(subject("async"), String.valueOf(n).getBytes()));
        for (CompletableFuture<PublishAck> ack : acks) ack.get(10, TimeUnit.SECONDS);
        arrived("async", "19");
    }

    private void publishMsgId() throws Exception {
        String id = tag + "-" + System.nanoTime();
        PublishAck first = js.publish(subject("id"), bytes(1, 1), PublishOptions.builder().messageId(id).build());
        PublishAck again = js.publish(subject("id"), bytes(1, 1), PublishOptions.builder().messageId(id).build());
        check(!first.isDuplicate() && again.isDuplicate(), first + ", " + again);
    }

    private void publishExpectStream() throws Exception {
        js.publish(subject("expect"), bytes(1, 1), PublishOptions.builder().expectedStream("foo").build());
    }

    private void streamList() throws Exception {
        same(sorted(jsm.getStreams().stream().map(info -> info.getConfiguration().getName()).toList()), expected());
    }

    private void consumerPush() throws Exception {
        publishSome("push", 3);
        ConsumerConfiguration config = ConsumerConfiguration.builder().flowControl(Duration.ofSeconds(1)).build();
        PushSubscribeOptions options =
            PushSubscribeOptions.builder().stream("foo").durable(durable("push")).configuration(config).build();
        JetStreamSubscription subscription = js.subscribe(subject("push"), options);
        for (String expected : numbered("push", 3)) {
            Message message = subscription.nextMessage(Duration.ofSeconds(5));
            check(message != null, "nothing");
            same(text(message.getData()), expected);
            message.ack();
        }
        subscription.unsubscribe();
    }

    private void consumerEphemeral() throws Exception {
        publishSome("ephemeral", 3);
        ConsumerConfiguration config = ConsumerConfiguration.builder().filterSubject(subject("ephemeral")).build();
        messages(js.getStreamContext("foo").createOrUpdateConsumer(config), 3);
    }

    private void consumerOrdered() throws Exception {
        publishSome("ordered", 50);
        var config = new OrderedConsumerConfiguration().filterSubject(subject("ordered"));
        try (IterableConsumer iterator = js.getStreamContext("foo").createOrderedConsumer(config).iterate()) {
            for (String expected : numbered("ordered", 50)) {
                Message message = iterator.nextMessage(Duration.ofSeconds(5));
                check(message != null, "nothing");
                same(text(message.getData()), expected);
            }
        }
    }

    private void consumerFilters() throws Exception {
        publishSome("left", 3);
        publishSome("right", 3);
        jsm.addOrUpdateConsumer("foo", ConsumerConfiguration.builder().durable(durable("filters"))
            .filterSubjects(subject("left"), subject("right")).build());
        messages(js.getConsumerContext("foo", durable("filters")), 6);
    }

    private void consumerInfo() throws Exception {
        pull("info");
        ConsumerInfo info = jsm.getConsumerInfo("foo", durable("info"));
        check(info.getName().equals(durable("info")) && info.getNumPending() == 3, info);
    }

    private void consumerList() throws Exception {
        pull("list");
        List<String> names = jsm.getConsumers("foo").stream().map(ConsumerInfo::getName).toList();
        check(names.contains(durable("list")), names);
    }

    private void consumerNames() throws Exception {
        pull("names");
        List<String> names = jsm.getConsumerNames("foo");
        check(names.contains(durable("names")), names);
    }

    private void consumerPause() throws Exception {
        pull("pause");
        ConsumerPauseResponse paused = jsm.pauseConsumer("foo", durable("pause"), ZonedDateTime.now().plusHours(1));
        check(paused.isPaused() && jsm.resumeConsumer("foo", durable("pause")), paused);
    }

    private void consumerDelete() throws Exception {
        pull("delete");
        jsm.deleteConsumer("foo", durable("delete"));
        try {
            check(false, jsm.getConsumerInfo("foo", durable("delete")));
        } catch (JetStreamApiException error) {
            same(error.getApiErrorCode(), 10014);
        }
    }

    private void consume() throws Exception {
        BlockingQueue<String> seen = new LinkedBlockingQueue<>();
        var options = ConsumeOptions.builder().expiresIn(2000).build();
        try (MessageConsumer consuming = pull("consume").consume(options, message -> {
            message.ack();
            seen.add(text(message.getData()));
        })) {
            for (String expected : numbered("consume", 3)) same(String.valueOf(seen.poll(10, TimeUnit.SECONDS)), expected);
        }
    }

    private long pending(String name) throws Exception {
        return jsm.getConsumerInfo("foo", durable(name)).getNumAckPending();
    }

    private void ack() throws Exception {
        messages(pull("ack"), 3).forEach(Message::ack);
        soon("acks", () -> pending("ack") == 0);
    }

    private void doubleAck() throws Exception {
        for (Message message : messages(pull("double"), 3)) message.ackSync(Duration.ofSeconds(5));
        same(pending("double"), 0L);
    }

    private void nakDelay() throws Exception {
        ConsumerContext consumer = pull("nak");
        messages(consumer, 1).get(0).nakWithDelay(500);
        long started = System.nanoTime();
        Message last = messages(consumer, 3).get(2);
        check(System.nanoTime() - started > 300_000_000 && last.metaData().deliveredCount() == 2, last);
    }

    private void term() throws Exception {
        messages(pull("term", config("term").ackWait(1000)), 3).forEach(Message::term);
        Thread.sleep(1200);
        same(pending("term"), 0L);
    }

    private void inProgress() throws Exception {
        Message message = messages(pull("progress", config("progress").ackWait(1000)), 1).get(0);
        for (int n = 0; n < 4; n++) {
            Thread.sleep(500);
            message.inProgress();
        }
        ConsumerInfo info = jsm.getConsumerInfo("foo", durable("progress"));
        check(info.getRedelivered() == 0 && info.getNumAckPending() == 1, info);
    }

    private void getBySeq(String name) throws Exception {
        publishSome(name, 3);
        long last = jsm.getLastMessage("foo", subject(name)).getSeq();
        same(text(jsm.getMessage("foo", last).getData()), name + " 2");
    }

    private void getBySubject(String name) throws Exception {
        publishSome(name, 3);
        same(text(jsm.getLastMessage("foo", subject(name)).getData()), name + " 2");
    }

    private void advisory() throws Exception {
        String subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.foo." + durable("advisory");
        Subscription events = nc.subscribe(subject);
        nc.flush(Duration.ofSeconds(5));
        ConsumerContext consumer = pull("advisory", config("advisory").ackWait(500).maxDeliver(1));
        messages(consumer, 1);
        for (int n = 0; n < 3; n++) consumer.next(1000);
        check(events.nextMessage(Duration.ofSeconds(5)) != null, "no advisory");
    }

    // Key-value

    private KeyValue put(String name, String... values) throws Exception {
        KeyValue kv = nc.keyValue("cfg");
        for (String value : values) kv.put(durable(name), value);
        if (values.length > 0) value(kv, name, values[values.length - 1]);
        return kv;
    }

    private void value(KeyValue kv, String name, String value) throws Exception {
        soon(name, () -> kv.get(durable(name)).getValueAsString().equals(value));
    }

    private void gone(KeyValue kv, String name) throws Exception {
        soon(name, () -> kv.get(durable(name)) == null);
    }

    private void kvCreate() throws Exception {
        KeyValue kv = put("create");
        kv.create(durable("create"), "one".getBytes());
        value(kv, "create", "one");
    }

    private void kvCreateAgain() throws Exception {
        KeyValue kv = put("again", "one");
        try {
            check(false, "made twice: " + kv.create(durable("again"), "two".getBytes()));
        } catch (JetStreamApiException error) {
            same(error.getApiErrorCode(), 10071);
        }
    }

    private void kvUpdate() throws Exception {
        KeyValue kv = put("update", "one");
        kv.update(durable("update"), "two", kv.get(durable("update")).getRevision());
    }

    private void kvDelete() throws Exception {
        KeyValue kv = put("delete", "one");
        kv.delete(durable("delete"));
        gone(kv, "delete");
    }

    private void kvPurge() throws Exception {
        KeyValue kv = put("purge", "one", "two");
        kv.purge(durable("purge"));
        gone(kv, "purge");
        List<KeyValueEntry> history = kv.history(durable("purge"));
        check(history.size() == 1 && history.get(0).getOperation() == KeyValueOperation.PURGE, history);
    }

    private void kvKeys() throws Exception {
        List<String> keys = put("keys", "one").keys();
        check(keys.contains(durable("keys")), keys);
    }

    private void kvHistory() throws Exception {
        List<KeyValueEntry> history = put("history", "one", "two", "three").history(durable("history"));
        same(history.stream().map(KeyValueEntry::getValueAsString).toList(), List.of("one", "two", "three"));
    }

    /** What a watcher is told, until something is as wanted. */
    private static class Seen<T> implements Watcher<T> {
        private final BlockingQueue<T> updates = new LinkedBlockingQueue<>();

        @Override
        public void watch(T update) {
            updates.add(update);
        }

        @Override
        public void endOfData() {}

        void until(Predicate<T> wanted) throws InterruptedException {
            for (T update; (update = updates.poll(10, TimeUnit.SECONDS)) != null; ) if (wanted.test(update)) return;
            throw new IllegalStateException("nothing was seen");
        }
    }

    private static final class SeenKeys extends Seen<KeyValueEntry> implements KeyValueWatcher {}

    private static final class SeenObjects extends Seen<ObjectInfo> implements ObjectStoreWatcher {}

    private void kvWatch() throws Exception {
        KeyValue kv = put("watch");
        SeenKeys seen = new SeenKeys();
        try (var watching = kv.watch(durable("watch"), seen)) {
            kv.put(durable("watch"), "one");
            seen.until(entry -> "one".equals(entry.getValueAsString()));
        }
    }

    private void kvStatus() throws Exception {
        KeyValueStatus status = put("status", "one").getStatus();
        List<Object> settings = Arrays.asList(status.getBucketName(), status.getMaxHistoryPerKey(), status.getTtl(),
            status.getLimitMarkerTtl(), status.getMaxBucketSize(), status.isCompressed(), status.getDescription());
        same(settings, List.of("cfg", 5L, Duration.ofHours(1), Duration.ofMinutes(1), 64L << 20, true, "settings"));
    }

    private void kvTooLarge() throws Exception {
        KeyValue kv = put("large");
        try {
            check(false, kv.put(durable("large"), bytes(65 << 10, 1)));
        } catch (JetStreamApiException error) {
            same(error.getApiErrorCode(), 10054);
        }
    }

    // Object store

    private ObjectStore object(String name, byte[]... contents) throws Exception {
        ObjectStore store = nc.objectStore("files");
        for (byte[] data : contents) {
            store.put(durable(name), data);
            readable(store, name, data);
        }
        return store;
    }

    private void readable(ObjectStore store, String name, byte[] data) throws Exception {
        soon(name, () -> {
            ByteArrayOutputStream got = new ByteArrayOutputStream();
            store.get(durable(name), got);
            return Arrays.equals(got.toByteArray(), data);
        });
    }

    private void objectPutGet() throws Exception {
        ObjectInfo info = object("put", bytes(1_000_000, 7)).getInfo(durable("put"));
        check(info.getChunks() > 5, info);
    }

    private void objectList() throws Exception {
        List<String> names = object("list", bytes(3, 1)).getList().stream().map(ObjectInfo::getObjectName).toList();
        check(names.contains(durable("list")), names);
    }

    private void objectWatch() throws Exception {
        ObjectStore store = object("watch");
        SeenObjects seen = new SeenObjects();
        try (var watching = store.watch(seen)) {
            store.put(durable("watch"), bytes(3, 1));
            seen.until(info -> durable("watch").equals(info.getObjectName()));
        }
    }

    private void objectDelete() throws Exception {
        ObjectStore store = object("delete", bytes(300_000, 1));
        store.delete(durable("delete"));
        soon("delete", () -> store.getInfo(durable("delete")) == null);
    }

    private void objectLink() throws Exception {
        ObjectStore store = object("target", bytes(3, 1));
        store.addLink(durable("link"), store.getInfo(durable("target")));
        readable(store, "link", bytes(3, 1));
    }

    // What applications are not to do by accident

    private void streamCreate() throws Exception {
        try {
            jsm.addStream(StreamConfiguration.builder().name("foo").subjects("foo.>").build());
        } catch (JetStreamApiException error) {
            if (error.getApiErrorCode() != 10058) throw error; // a plain server's answer: it was made with other settings
        }
    }

    private void streamDelete() throws Exception {
        // Of a stream that is not there a plain server says so; here nobody answers.
        try {
            jsm.deleteStream("gone");
        } catch (JetStreamApiException error) {
            if (error.getApiErrorCode() != 10059) throw error;
        }
    }

    public static void main(String[] args) throws Exception {
        Options.Builder options = Options.builder().server(args[0]);
        if (!args[1].equals("-")) options.authHandler(Nats.credentials(args[1]));
        List<String> needs = List.of(args[3].split(","));
        Connection nc = Nats.connect(options.build());
        ExecutorService one = Executors.newCachedThreadPool();
        for (Operation operation : new Operations(nc, args[2], needs).all()) {
            if (!needs.contains(operation.need())) continue;
            String result = "works";
            String detail = "";
            if (operation.run() == null) {
                result = "absent";
                detail = "nats.java has no such call";
            } else {
                Future<?> running = one.submit(() -> {
                    operation.run().run();
                    return null;
                });
                try {
                    running.get(25, TimeUnit.SECONDS);
                } catch (ExecutionException error) {
                    result = "error";
                    detail = String.valueOf(error.getCause());
                } catch (TimeoutException error) {
                    running.cancel(true);
                    result = "error";
                    detail = "no end in 25 s";
                }
            }
            System.out.printf("{\"op\":\"%s\",\"result\":\"%s\",\"detail\":\"%s\"}%n",
                operation.name(), result, Encoding.jsonEncode(detail));
        }
        System.exit(0);
    }
}
