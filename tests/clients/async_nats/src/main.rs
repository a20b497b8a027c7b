//! The operations with async-nats. Usage: async_nats_operations URL CREDS|- TAG NEEDS; one JSON object a line.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::consumer::{self, AckPolicy, Consumer, pull, push};
use async_nats::jetstream::kv::{self, Operation};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::object_store::ObjectStore;
use async_nats::jetstream::stream::Compression;
use async_nats::jetstream::{self, AckKind, Message};
use async_nats::{Client, ConnectOptions};
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

type Fails = Box<dyn Error + Send + Sync>;
type Done = Result<(), Fails>;

/// The client has no such call.
const ABSENT: &str = "async-nats has no such call";

const ALL: [&str; 53] = [
    "publish",
    "publish_async",
    "publish_msg_id",
    "publish_expect_stream",
    "stream_info",
    "stream_names",
    "stream_list",
    "stream_by_subject",
    "consumer_pull",
    "consumer_push",
    "consumer_ephemeral",
    "consumer_ordered",
    "consumer_filtered",
    "consumer_filters",
    "consumer_info",
    "consumer_list",
    "consumer_names",
    "consumer_pause",
    "consumer_delete",
    "fetch",
    "consume",
    "ack",
    "double_ack",
    "nak_delay",
    "term",
    "in_progress",
    "get_by_seq",
    "get_by_subject",
    "direct_get",
    "direct_get_subject",
    "direct_get_batch",
    "advisory",
    "kv_put_get",
    "kv_create",
    "kv_create_again",
    "kv_update",
    "kv_delete",
    "kv_purge",
    "kv_keys",
    "kv_history",
    "kv_watch",
    "kv_status",
    "kv_too_large",
    "object_put_get",
    "object_replace",
    "object_list",
    "object_watch",
    "object_delete",
    "object_link",
    "stream_create",
    "stream_update",
    "stream_purge",
    "stream_delete",
];

struct Operations {
    client: Client,
    js: jetstream::Context,
    tag: String,
    needs: Vec<String>,
}

fn same<T: PartialEq + Debug>(found: T, expected: T) -> Done {
    if found == expected { Ok(()) } else { Err(format!("found: {found:?}, expected {expected:?}").into()) }
}

/// Repeats a check until it succeeds: a write is readable in the same region a moment later.
async fn soon<F: Future<Output = Result<bool, Fails>>>(what: impl Display, mut ask: impl FnMut() -> F) -> Done {
    let mut last = None;
    for _ in 0..100 {
        match timeout(Duration::from_secs(2), ask()).await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Err(error)) => last = Some(error.to_string()),
            Ok(Ok(false)) | Err(_) => {}
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(format!("{what}: not in time: {last:?}").into())
}

fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name} {n}")).collect()
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

fn unique(name: &str) -> String {
    format!("{name}{}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos())
}

/// Pulls several times: right after a consumer was made, servers of any cluster may not know of it yet.
async fn messages(consumer: &Consumer<pull::Config>, count: usize) -> Result<Vec<Message>, Fails> {
    let mut got = Vec::new();
    for _ in 0..4 {
        let wanted = count - got.len();
        let mut batch = consumer.fetch().max_messages(wanted).expires(Duration::from_secs(3)).messages().await?;
        while let Some(message) = batch.next().await {
            match message {
                Ok(message) => got.push(message),
                Err(_) => break,
            }
        }
        if got.len() == count {
            return Ok(got);
        }
    }
    Err(format!("{} of {count} messages", got.len()).into())
}

impl Operations {
    fn subject(&self, name: &str) -> String {
        format!("foo.{}.{name}", self.tag)
    }

    fn durable(&self, name: &str) -> String {
        format!("{name}-{}", self.tag)
    }

    async fn publish_some(&self, name: &str, count: usize) -> Done {
        for data in numbered(name, count) {
            self.js.publish(self.subject(name), data.into()).await?.await?;
        }
        self.arrived(name, &format!("{name} {}", count - 1)).await
    }

    /// Sends a plain request, because clients of some clusters cannot open a stream.
    async fn arrived(&self, name: &str, data: &str) -> Done {
        let body = json!({ "last_by_subj": self.subject(name) }).to_string();
        soon(name, || async {
            let reply = self.client.request("$JS.API.DIRECT.GET.foo", body.clone().into()).await?;
            Ok(text(&reply.payload) == data)
        })
        .await
    }

    async fn stream(&self) -> Result<jetstream::stream::Stream, Fails> {
        Ok(self.js.get_stream("foo").await?)
    }

    async fn pull(&self, name: &str, config: pull::Config) -> Result<Consumer<pull::Config>, Fails> {
        self.publish_some(name, 3).await?;
        let config = pull::Config {
            durable_name: Some(self.durable(name)),
            filter_subject: self.subject(name),
            ack_policy: AckPolicy::Explicit,
            ..config
        };
        Ok(self.js.create_consumer_on_stream(config, "foo").await?)
    }

    async fn three(&self, name: &str) -> Done {
        let name = &unique(name);
        let got = messages(&self.pull(name, pull::Config::default()).await?, 3).await?;
        same(got.iter().map(|message| text(&message.payload)).collect(), numbered(name, 3))
    }

    async fn publish_async(&self) -> Done {
        let mut acks = Vec::new();
        for n in 0..20 {
            acks.push(self.js.publish(self.subject("async"), n.to_string().into()).await?.into_future());
        }
        for ack in join_all(acks).await {
            ack?;
        }
        self.arrived("async", "19").await
    }

    async fn publish_msg_id(&self) -> Done {
        let publish = || PublishMessage::build().payload("one".into()).message_id(format!("{}-id", self.tag));
        let id = self.subject("id");
        let first = self.js.send_publish(id.clone(), publish()).await?.await?;
        let again = self.js.send_publish(id, publish()).await?.await?;
        same((first.duplicate, again.duplicate), (false, true))
    }

    async fn publish_expect_stream(&self) -> Done {
        let publish = PublishMessage::build().payload("one".into()).expected_stream("foo");
        self.js.send_publish(self.subject("expect"), publish).await?.await?;
        Ok(())
    }

    async fn stream_info(&self) -> Done {
        same(self.stream().await?.cached_info().config.name.clone(), "foo".to_owned())
    }

    fn expected(&self) -> Vec<String> {
        [("kv", "KV_cfg"), ("object", "OBJ_files"), ("stream", "foo")]
            .iter()
            .filter(|(need, _)| self.needs.iter().any(|needed| needed == need))
            .map(|(_, name)| (*name).to_owned())
            .collect()
    }

    async fn stream_names(&self) -> Done {
        let mut names: Vec<String> = self.js.stream_names().try_collect().await?;
        names.sort();
        same(names, self.expected())
    }

    async fn stream_list(&self) -> Done {
        let infos: Vec<_> = self.js.streams().try_collect().await?;
        let mut names: Vec<String> = infos.into_iter().map(|info| info.config.name).collect();
        names.sort();
        same(names, self.expected())
    }

    async fn stream_by_subject(&self) -> Done {
        same(self.js.stream_by_subject("foo.x").await?, "foo".to_owned())
    }

    async fn consumer_push(&self) -> Done {
        self.publish_some("push", 3).await?;
        let config = push::Config {
            durable_name: Some(self.durable("push")),
            filter_subject: self.subject("push"),
            deliver_subject: self.client.new_inbox(),
            ack_policy: AckPolicy::Explicit,
            flow_control: true,
            idle_heartbeat: Duration::from_secs(1),
            ..push::Config::default()
        };
        let consumer = self.js.create_consumer_on_stream(config, "foo").await?;
        let mut messages = consumer.messages().await?;
        for expected in numbered("push", 3) {
            let message = messages.next().await.ok_or("the end")??;
            same(text(&message.payload), expected)?;
            message.ack().await?;
        }
        Ok(())
    }

    async fn consumer_ephemeral(&self) -> Done {
        self.publish_some("ephemeral", 3).await?;
        let config = pull::Config { filter_subject: self.subject("ephemeral"), ..pull::Config::default() };
        messages(&self.js.create_consumer_on_stream(config, "foo").await?, 3).await.map(drop)
    }

    async fn consumer_ordered(&self) -> Done {
        self.publish_some("ordered", 50).await?;
        let config = pull::OrderedConfig { filter_subject: self.subject("ordered"), ..pull::OrderedConfig::default() };
        let mut messages = self.js.create_consumer_on_stream(config, "foo").await?.messages().await?;
        for expected in numbered("ordered", 50) {
            same(text(&messages.next().await.ok_or("the end")??.payload), expected)?;
        }
        Ok(())
    }

    async fn consumer_filters(&self) -> Done {
        self.publish_some("left", 3).await?;
        self.publish_some("right", 3).await?;
        let config = pull::Config {
            durable_name: Some(self.durable("filters")),
            filter_subjects: vec![self.subject("left"), self.subject("right")],
            ..pull::Config::default()
        };
        messages(&self.js.create_consumer_on_stream(config, "foo").await?, 6).await.map(drop)
    }

    async fn consumer_info(&self) -> Done {
        self.pull("info", pull::Config::default()).await?;
        let consumer: Consumer<pull::Config> = self.js.get_consumer_from_stream(self.durable("info"), "foo").await?;
        let info = consumer.cached_info();
        same((info.name.clone(), info.num_pending), (self.durable("info"), 3))
    }

    async fn consumer_list(&self) -> Done {
        self.pull("list", pull::Config::default()).await?;
        let infos: Vec<consumer::Info> = self.stream().await?.consumers().try_collect().await?;
        same(infos.iter().any(|info| info.name == self.durable("list")), true)
    }

    async fn consumer_names(&self) -> Done {
        self.pull("names", pull::Config::default()).await?;
        let names: Vec<String> = self.stream().await?.consumer_names().try_collect().await?;
        same(names.contains(&self.durable("names")), true)
    }

    async fn consumer_pause(&self) -> Done {
        self.pull("pause", pull::Config::default()).await?;
        let stream = self.stream().await?;
        let until = time::OffsetDateTime::now_utc() + Duration::from_secs(3600);
        let paused = stream.pause_consumer(&self.durable("pause"), until).await?;
        let resumed = stream.resume_consumer(&self.durable("pause")).await?;
        same((paused.paused, resumed.paused), (true, false))
    }

    async fn consumer_delete(&self) -> Done {
        self.pull("delete", pull::Config::default()).await?;
        let stream = self.stream().await?;
        stream.delete_consumer(&self.durable("delete")).await?;
        same(stream.consumer_info(self.durable("delete")).await.is_err(), true)
    }

    async fn consume(&self) -> Done {
        let consumer = self.pull("consume", pull::Config::default()).await?;
        let mut messages =
            consumer.stream().expires(Duration::from_secs(2)).heartbeat(Duration::from_secs(1)).messages().await?;
        for expected in numbered("consume", 3) {
            let message = messages.next().await.ok_or("the end")??;
            same(text(&message.payload), expected)?;
            message.ack().await?;
        }
        Ok(())
    }

    async fn acked(&self, name: &str, kind: AckKind, double: bool) -> Result<Consumer<pull::Config>, Fails> {
        let config = pull::Config { ack_wait: Duration::from_secs(1), ..pull::Config::default() };
        let consumer = self.pull(name, config).await?;
        for message in messages(&consumer, 3).await? {
            if double { message.double_ack_with(kind).await? } else { message.ack_with(kind).await? }
        }
        Ok(consumer)
    }

    async fn ack(&self) -> Done {
        let consumer = self.acked("ack", AckKind::Ack, false).await?;
        soon("acks", || async { Ok(consumer.get_info().await?.num_ack_pending == 0) }).await
    }

    async fn double_ack(&self) -> Done {
        same(self.acked("double", AckKind::Ack, true).await?.get_info().await?.num_ack_pending, 0)
    }

    async fn nak_delay(&self) -> Done {
        let consumer = self.pull("nak", pull::Config::default()).await?;
        let first = messages(&consumer, 1).await?;
        first[0].ack_with(AckKind::Nak(Some(Duration::from_millis(500)))).await?;
        let started = Instant::now();
        let rest = messages(&consumer, 3).await?;
        let delivered = rest[2].info()?.delivered;
        same((started.elapsed() > Duration::from_millis(300), delivered), (true, 2))
    }

    async fn term(&self) -> Done {
        let consumer = self.acked("term", AckKind::Term, false).await?;
        sleep(Duration::from_millis(1200)).await;
        same(consumer.get_info().await?.num_ack_pending, 0)
    }

    async fn in_progress(&self) -> Done {
        let config = pull::Config { ack_wait: Duration::from_secs(1), ..pull::Config::default() };
        let consumer = self.pull("progress", config).await?;
        let got = messages(&consumer, 1).await?;
        for _ in 0..4 {
            sleep(Duration::from_millis(500)).await;
            got[0].ack_with(AckKind::Progress).await?;
        }
        let info = consumer.get_info().await?;
        same((info.num_redelivered, info.num_ack_pending), (0, 1))
    }

    async fn get_by_seq(&self) -> Done {
        self.publish_some("seq", 3).await?;
        let stream = self.stream().await?;
        let last = stream.get_last_raw_message_by_subject(&self.subject("seq")).await?;
        same(text(&stream.get_raw_message(last.sequence).await?.payload), "seq 2".to_owned())
    }

    async fn get_by_subject(&self) -> Done {
        self.publish_some("last", 3).await?;
        let message = self.stream().await?.get_last_raw_message_by_subject(&self.subject("last")).await?;
        same(text(&message.payload), "last 2".to_owned())
    }

    async fn direct_get(&self) -> Done {
        self.publish_some("dseq", 3).await?;
        let stream = self.stream().await?;
        let last = stream.direct_get_last_for_subject(self.subject("dseq")).await?;
        same(text(&stream.direct_get(last.sequence).await?.payload), "dseq 2".to_owned())
    }

    async fn direct_get_subject(&self) -> Done {
        self.publish_some("dlast", 3).await?;
        let message = self.stream().await?.direct_get_last_for_subject(self.subject("dlast")).await?;
        same(text(&message.payload), "dlast 2".to_owned())
    }

    async fn advisory(&self) -> Done {
        let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.foo.{}", self.durable("advisory"));
        let mut events = self.client.subscribe(subject).await?;
        self.client.flush().await?;
        let config = pull::Config { ack_wait: Duration::from_millis(500), max_deliver: 1, ..pull::Config::default() };
        let consumer = self.pull("advisory", config).await?;
        messages(&consumer, 1).await?;
        for _ in 0..3 {
            let batch = consumer.fetch().max_messages(1).expires(Duration::from_secs(1)).messages().await?;
            batch.for_each(|_| async {}).await;
        }
        timeout(Duration::from_secs(10), events.next()).await?.map(drop).ok_or_else(|| "no advisory".into())
    }

    async fn put(&self, name: &str, values: &[&'static str]) -> Result<(kv::Store, String), Fails> {
        let (kv, key) = (self.js.get_key_value("cfg").await?, self.durable(name));
        for value in values {
            kv.put(&key, (*value).into()).await?;
        }
        if let Some(last) = values.last() {
            self.value(&kv, &key, last).await?;
        }
        Ok((kv, key))
    }

    async fn value(&self, kv: &kv::Store, key: &str, value: &str) -> Done {
        soon(key, || async { Ok(kv.get(key).await?.is_some_and(|found| found == value.as_bytes())) }).await
    }

    async fn kv_create(&self) -> Done {
        let (kv, key) = self.put("create", &[]).await?;
        kv.create(&key, "one".into()).await?;
        self.value(&kv, &key, "one").await
    }

    async fn kv_create_again(&self) -> Done {
        let (kv, key) = self.put("again", &["one"]).await?;
        same(kv.create(&key, "two".into()).await.is_err(), true)
    }

    async fn kv_update(&self) -> Done {
        let (kv, key) = self.put("update", &["one"]).await?;
        let entry = kv.entry(&key).await?.ok_or("no entry")?;
        kv.update(&key, "two".into(), entry.revision).await?;
        Ok(())
    }

    async fn kv_delete(&self) -> Done {
        let (kv, key) = self.put("delete", &["one"]).await?;
        kv.delete(&key).await?;
        soon(&key, || async { Ok(kv.get(&key).await?.is_none()) }).await
    }

    async fn kv_purge(&self) -> Done {
        let (kv, key) = self.put("purge", &["one", "two"]).await?;
        kv.purge(&key).await?;
        soon(&key, || async { Ok(kv.get(&key).await?.is_none()) }).await?;
        let history: Vec<kv::Entry> = kv.history(&key).await?.try_collect().await?;
        same(history.iter().map(|entry| entry.operation).collect(), vec![Operation::Purge])
    }

    async fn kv_keys(&self) -> Done {
        let (kv, key) = self.put("keys", &["one"]).await?;
        let keys: Vec<String> = kv.keys().await?.try_collect().await?;
        same(keys.contains(&key), true)
    }

    async fn kv_history(&self) -> Done {
        let (kv, key) = self.put("history", &["one", "two", "three"]).await?;
        let history: Vec<kv::Entry> = kv.history(&key).await?.try_collect().await?;
        same(history.iter().map(|entry| text(&entry.value)).collect::<Vec<_>>().join(" "), "one two three".to_owned())
    }

    async fn kv_watch(&self) -> Done {
        let (kv, key) = self.put("watch", &[]).await?;
        let mut watch = kv.watch(&key).await?;
        kv.put(&key, "one".into()).await?;
        let entry = watch.next().await.ok_or("the end")??;
        same(text(&entry.value), "one".to_owned())
    }

    async fn kv_status(&self) -> Done {
        let (kv, _) = self.put("status", &["one"]).await?;
        let status = kv.status().await?;
        let config = &status.info.config;
        same((status.bucket(), status.history(), status.max_age()), ("cfg", 5, Duration::from_secs(3600)))?;
        same(config.subject_delete_marker_ttl, Some(Duration::from_secs(60)))?;
        same(
            (config.max_bytes, config.compression.clone(), config.description.as_deref()),
            (64 << 20, Some(Compression::S2), Some("settings")),
        )
    }

    async fn kv_too_large(&self) -> Done {
        let (kv, key) = self.put("large", &[]).await?;
        match kv.put(key, vec![1; 65 << 10].into()).await {
            Err(error) if error.to_string().contains("10054") => Ok(()),
            other => Err(format!("found: {other:?}").into()),
        }
    }

    async fn object(&self, name: &str, contents: &[Vec<u8>]) -> Result<(ObjectStore, String), Fails> {
        let (store, object) = (self.js.get_object_store("files").await?, self.durable(name));
        for mut data in contents.iter().map(Vec::as_slice) {
            let whole = data;
            store.put(object.as_str(), &mut data).await?;
            self.readable(&store, &object, whole).await?;
        }
        Ok((store, object))
    }

    async fn readable(&self, store: &ObjectStore, object: &str, data: &[u8]) -> Done {
        soon(object, || async {
            let mut found = Vec::new();
            let mut reading = store.get(object).await?;
            tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut found).await?;
            Ok(found == data)
        })
        .await
    }

    async fn object_put_get(&self) -> Done {
        let (store, object) = self.object("put", &[vec![7; 1_000_000]]).await?;
        same(store.info(object).await?.chunks > 5, true)
    }

    async fn object_list(&self) -> Done {
        let (store, object) = self.object("list", &[b"one".to_vec()]).await?;
        let infos: Vec<_> = store.list().await?.try_collect().await?;
        same(infos.iter().any(|info| info.name == object), true)
    }

    async fn object_watch(&self) -> Done {
        let (store, object) = self.object("watch", &[]).await?;
        let mut watch = store.watch().await?;
        store.put(object.as_str(), &mut b"one".as_slice()).await?;
        while let Some(info) = watch.next().await {
            if info?.name == object {
                return Ok(());
            }
        }
        Err("the end".into())
    }

    async fn object_delete(&self) -> Done {
        let (store, object) = self.object("delete", &[vec![1; 300_000]]).await?;
        store.delete(&object).await?;
        soon(&object, || async { Ok(store.info(&object).await.map_or(true, |info| info.deleted)) }).await
    }

    async fn object_link(&self) -> Done {
        let (store, object) = self.object("target", &[b"one".to_vec()]).await?;
        let info = store.info(&object).await?;
        store.add_link(self.durable("link"), &info).await?;
        self.readable(&store, &self.durable("link"), b"one").await
    }

    async fn stream_create(&self) -> Done {
        let config = jetstream::stream::Config {
            name: "foo".into(),
            subjects: vec!["foo.>".into()],
            ..jetstream::stream::Config::default()
        };
        match self.js.create_stream(config).await {
            // a plain server's answer: the stream has other settings
            Err(error) if error.to_string().contains("10058") => Ok(()),
            result => Ok(result.map(drop)?),
        }
    }

    async fn stream_update(&self) -> Done {
        let config = self.stream().await?.cached_info().config.clone();
        self.js.update_stream(config).await?;
        Ok(())
    }

    async fn stream_purge(&self) -> Done {
        self.stream().await?.purge().filter(self.subject("nothing")).await?;
        Ok(())
    }

    async fn stream_delete(&self) -> Done {
        // A plain server answers that the stream does not exist; here the request gets no answer.
        match self.js.delete_stream("gone").await {
            Err(error) if error.to_string().contains("10059") => Ok(()),
            result => Ok(result.map(drop)?),
        }
    }

    async fn run(&self, op: &str) -> Done {
        match op {
            "publish" => self.publish_some("publish", 1).await,
            "publish_async" => self.publish_async().await,
            "publish_msg_id" => self.publish_msg_id().await,
            "publish_expect_stream" => self.publish_expect_stream().await,
            "stream_info" => self.stream_info().await,
            "stream_names" => self.stream_names().await,
            "stream_list" => self.stream_list().await,
            "stream_by_subject" => self.stream_by_subject().await,
            "consumer_pull" | "consumer_filtered" | "fetch" => self.three(op).await,
            "consumer_push" => self.consumer_push().await,
            "consumer_ephemeral" => self.consumer_ephemeral().await,
            "consumer_ordered" => self.consumer_ordered().await,
            "consumer_filters" => self.consumer_filters().await,
            "consumer_info" => self.consumer_info().await,
            "consumer_list" => self.consumer_list().await,
            "consumer_names" => self.consumer_names().await,
            "consumer_pause" => self.consumer_pause().await,
            "consumer_delete" => self.consumer_delete().await,
            "consume" => self.consume().await,
            "ack" => self.ack().await,
            "double_ack" => self.double_ack().await,
            "nak_delay" => self.nak_delay().await,
            "term" => self.term().await,
            "in_progress" => self.in_progress().await,
            "get_by_seq" => self.get_by_seq().await,
            "get_by_subject" => self.get_by_subject().await,
            "direct_get" => self.direct_get().await,
            "direct_get_subject" => self.direct_get_subject().await,
            "advisory" => self.advisory().await,
            "kv_put_get" => self.put("put", &["one"]).await.map(drop),
            "kv_create" => self.kv_create().await,
            "kv_create_again" => self.kv_create_again().await,
            "kv_update" => self.kv_update().await,
            "kv_delete" => self.kv_delete().await,
            "kv_purge" => self.kv_purge().await,
            "kv_keys" => self.kv_keys().await,
            "kv_history" => self.kv_history().await,
            "kv_watch" => self.kv_watch().await,
            "kv_status" => self.kv_status().await,
            "kv_too_large" => self.kv_too_large().await,
            "object_put_get" => self.object_put_get().await,
            "object_replace" => self.object("replace", &[vec![1; 300_000], vec![2; 300_000]]).await.map(drop),
            "object_list" => self.object_list().await,
            "object_watch" => self.object_watch().await,
            "object_delete" => self.object_delete().await,
            "object_link" => self.object_link().await,
            "stream_create" => self.stream_create().await,
            "stream_update" => self.stream_update().await,
            "stream_purge" => self.stream_purge().await,
            "stream_delete" => self.stream_delete().await,
            _ => Err(ABSENT.into()),
        }
    }
}

/// Returns an error with its causes. Often only the last one has the server's message.
fn whole(error: &(dyn Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if !text.contains(&inner.to_string()) {
            text += &format!(": {inner}");
        }
        cause = inner.source();
    }
    text
}

#[tokio::main]
async fn main() -> Done {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, creds, tag, needs] = args.as_slice() else {
        return Err("usage: async_nats_operations URL CREDS|- TAG NEEDS".into());
    };
    let options = match creds.as_str() {
        "-" => ConnectOptions::new(),
        file => ConnectOptions::with_credentials_file(file).await?,
    };
    let client = options.connect(url).await?;
    let needs: Vec<String> = needs.split(',').map(str::to_owned).collect();
    let all = Operations { js: jetstream::new(client.clone()), client, tag: tag.clone(), needs };
    for op in ALL {
        let need = op.split('_').next().filter(|kind| ["kv", "object"].contains(kind)).unwrap_or("stream");
        if !all.needs.iter().any(|needed| needed == need) {
            continue;
        }
        let (result, detail) = match timeout(Duration::from_secs(25), all.run(op)).await {
            Ok(Ok(())) => ("works", String::new()),
            Ok(Err(error)) if error.to_string() == ABSENT => ("absent", ABSENT.to_owned()),
            Ok(Err(error)) => ("error", whole(&*error)),
            Err(_) => ("error", "no end in 25 s".to_owned()),
        };
        let line: Value = json!({ "op": op, "result": result, "detail": detail });
        println!("{line}");
    }
    Ok(())
}
