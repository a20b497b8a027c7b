// The operations with nats.go. Usage: nats_go URL CREDS|- TAG NEEDS; one JSON object a line.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

type operations struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	tag   string
	needs []string
}

type operation struct {
	name, need string
	run        func(operations, context.Context) error
}

var errAbsent = errors.New("nats.go has no such call")

func absent(operations, context.Context) error { return errAbsent }

var all = []operation{
	{"publish", "stream", operations.publish},
	{"publish_async", "stream", operations.publishAsync},
	{"publish_msg_id", "stream", operations.publishMsgID},
	{"publish_expect_stream", "stream", operations.publishExpectStream},
	{"stream_info", "stream", operations.streamInfo},
	{"stream_names", "stream", operations.streamNames},
	{"stream_list", "stream", operations.streamList},
	{"stream_by_subject", "stream", operations.streamBySubject},
	{"consumer_pull", "stream", operations.consumerPull},
	{"consumer_push", "stream", operations.consumerPush},
	{"consumer_ephemeral", "stream", operations.consumerEphemeral},
	{"consumer_ordered", "stream", operations.consumerOrdered},
	{"consumer_filtered", "stream", operations.consumerPull},
	{"consumer_filters", "stream", operations.consumerFilters},
	{"consumer_info", "stream", operations.consumerInfo},
	{"consumer_list", "stream", operations.consumerList},
	{"consumer_names", "stream", operations.consumerNames},
	{"consumer_pause", "stream", operations.consumerPause},
	{"consumer_delete", "stream", operations.consumerDelete},
	{"fetch", "stream", operations.consumerPull},
	{"consume", "stream", operations.consume},
	{"ack", "stream", operations.ack},
	{"double_ack", "stream", operations.doubleAck},
	{"nak_delay", "stream", operations.nakDelay},
	{"term", "stream", operations.term},
	{"in_progress", "stream", operations.inProgress},
	{"get_by_seq", "stream", operations.getBySeq},
	{"get_by_subject", "stream", operations.getBySubject},
	{"direct_get", "stream", operations.getBySeq},
	{"direct_get_subject", "stream", operations.getBySubject},
	{"direct_get_batch", "stream", absent},
	{"advisory", "stream", operations.advisory},
	{"kv_put_get", "kv", operations.kvPutGet},
	{"kv_create", "kv", operations.kvCreate},
	{"kv_create_again", "kv", operations.kvCreateAgain},
	{"kv_update", "kv", operations.kvUpdate},
	{"kv_delete", "kv", operations.kvDelete},
	{"kv_purge", "kv", operations.kvPurge},
	{"kv_keys", "kv", operations.kvKeys},
	{"kv_history", "kv", operations.kvHistory},
	{"kv_watch", "kv", operations.kvWatch},
	{"kv_status", "kv", operations.kvStatus},
	{"kv_too_large", "kv", operations.kvTooLarge},
	{"object_put_get", "object", operations.objectPutGet},
	{"object_replace", "object", operations.objectReplace},
	{"object_list", "object", operations.objectList},
	{"object_watch", "object", operations.objectWatch},
	{"object_delete", "object", operations.objectDelete},
	{"object_link", "object", operations.objectLink},
	{"stream_create", "stream", operations.streamCreate},
	{"stream_update", "stream", operations.streamUpdate},
	{"stream_purge", "stream", operations.streamPurge},
	{"stream_delete", "stream", operations.streamDelete},
}

func (o operations) subject(name string) string { return "foo." + o.tag + "." + name }

func (o operations) durable(name string) string { return name + "-" + o.tag }

func check(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// soon asks until it is true: what is written is readable in the same region a moment later.
func soon(ctx context.Context, what string, ask func() (bool, error)) error {
	var last error
	for range 100 {
		done, err := ask()
		if done {
			return nil
		}
		last = err
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s: not in time: %v", what, last)
}

func (o operations) publishSome(ctx context.Context, name string, count int) error {
	for n := range count {
		if _, err := o.js.Publish(ctx, o.subject(name), fmt.Appendf(nil, "%s %d", name, n)); err != nil {
			return err
		}
	}
	return o.arrived(ctx, name, fmt.Sprintf("%s %d", name, count-1))
}

// arrived asks by a request, so that it works where clients cannot open a stream.
func (o operations) arrived(ctx context.Context, name, data string) error {
	body, _ := json.Marshal(map[string]string{"last_by_subj": o.subject(name)})
	return soon(ctx, name, func() (bool, error) {
		reply, err := o.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET.foo", body)
		if err != nil {
			return false, err
		}
		var found struct{ Message struct{ Data []byte } }
		err = json.Unmarshal(reply.Data, &found)
		return string(found.Message.Data) == data, err
	})
}

func (o operations) pull(ctx context.Context, name string, config jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	if err := o.publishSome(ctx, name, 3); err != nil {
		return nil, err
	}
	config.Durable, config.FilterSubject = o.durable(name), o.subject(name)
	return o.js.CreateOrUpdateConsumer(ctx, "foo", config)
}

// messages asks again: a pull right after the consumer was made can come before servers know of it, in any cluster.
func messages(consumer jetstream.Consumer, count int) ([]jetstream.Msg, error) {
	var got []jetstream.Msg
	var last error
	for range 4 {
		batch, err := consumer.Fetch(count-len(got), jetstream.FetchMaxWait(3*time.Second))
		if err != nil {
			last = err
			continue
		}
		for message := range batch.Messages() {
			got = append(got, message)
		}
		if last = batch.Error(); len(got) == count {
			return got, nil
		}
	}
	return got, fmt.Errorf("%d of %d messages: %v", len(got), count, last)
}

func (o operations) publish(ctx context.Context) error { return o.publishSome(ctx, "publish", 1) }

func (o operations) publishAsync(ctx context.Context) error {
	for n := range 20 {
		if _, err := o.js.PublishAsync(o.subject("async"), fmt.Appendf(nil, "%d", n)); err != nil {
			return err
		}
	}
	select {
	case <-o.js.PublishAsyncComplete():
	case <-ctx.Done():
		return ctx.Err()
	}
	return o.arrived(ctx, "async", "19")
}

func (o operations) publishMsgID(ctx context.Context) error {
	id := jetstream.WithMsgID(fmt.Sprintf("%s-%d", o.tag, time.Now().UnixNano()))
	first, err := o.js.Publish(ctx, o.subject("id"), []byte("one"), id)
	if err != nil {
		return err
	}
	again, err := o.js.Publish(ctx, o.subject("id"), []byte("one"), id)
	if err != nil {
		return err
	}
	return check(!first.Duplicate && again.Duplicate, "%v, %v", first, again)
}

func (o operations) publishExpectStream(ctx context.Context) error {
	_, err := o.js.Publish(ctx, o.subject("expect"), []byte("one"), jetstream.WithExpectStream("foo"))
	return err
}

func (o operations) streamInfo(ctx context.Context) error {
	stream, err := o.js.Stream(ctx, "foo")
	if err != nil {
		return err
	}
	name := stream.CachedInfo().Config.Name
	return check(name == "foo", "%s", name)
}

func (o operations) expected() []string {
	var names []string
	for need, name := range map[string]string{"stream": "foo", "kv": "KV_cfg", "object": "OBJ_files"} {
		if slices.Contains(o.needs, need) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (o operations) streamNames(ctx context.Context) error {
	lister := o.js.StreamNames(ctx)
	var names []string
	for name := range lister.Name() {
		names = append(names, name)
	}
	if err := lister.Err(); err != nil {
		return err
	}
	slices.Sort(names)
	return check(slices.Equal(names, o.expected()), "%v", names)
}

func (o operations) streamList(ctx context.Context) error {
	lister := o.js.ListStreams(ctx)
	var names []string
	for info := range lister.Info() {
		names = append(names, info.Config.Name)
	}
	if err := lister.Err(); err != nil {
		return err
	}
	slices.Sort(names)
	return check(slices.Equal(names, o.expected()), "%v", names)
}

func (o operations) streamBySubject(ctx context.Context) error {
	name, err := o.js.StreamNameBySubject(ctx, "foo.x")
	if err != nil {
		return err
	}
	return check(name == "foo", "found: %s", name)
}

func (o operations) three(ctx context.Context, name string) error {
	consumer, err := o.pull(ctx, name, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return err
	}
	got, err := messages(consumer, 3)
	if err != nil {
		return err
	}
	for n, message := range got {
		if string(message.Data()) != fmt.Sprintf("%s %d", name, n) {
			return fmt.Errorf("%s", message.Data())
		}
	}
	return nil
}

func (o operations) consumerPull(ctx context.Context) error { return o.three(ctx, unique("pull")) }

func unique(name string) string { return fmt.Sprintf("%s%d", name, time.Now().UnixNano()) }

// consume3 takes three messages from a callback.
func consume3(ctx context.Context, start func(chan<- []byte) (jetstream.ConsumeContext, error), name string) error {
	seen := make(chan []byte, 100)
	consuming, err := start(seen)
	if err != nil {
		return err
	}
	defer consuming.Stop()
	for n := range 3 {
		select {
		case data := <-seen:
			if string(data) != fmt.Sprintf("%s %d", name, n) {
				return fmt.Errorf("%s", data)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (o operations) consumerPush(ctx context.Context) error {
	if err := o.publishSome(ctx, "push", 3); err != nil {
		return err
	}
	consumer, err := o.js.CreatePushConsumer(ctx, "foo", jetstream.ConsumerConfig{
		Durable: o.durable("push"), FilterSubject: o.subject("push"), DeliverSubject: nats.NewInbox(),
		FlowControl: true, IdleHeartbeat: time.Second,
	})
	if err != nil {
		return err
	}
	return consume3(ctx, func(seen chan<- []byte) (jetstream.ConsumeContext, error) {
		return consumer.Consume(func(message jetstream.Msg) { _ = message.Ack(); seen <- message.Data() })
	}, "push")
}

func (o operations) consumerEphemeral(ctx context.Context) error {
	if err := o.publishSome(ctx, "ephemeral", 3); err != nil {
		return err
	}
	consumer, err := o.js.CreateConsumer(ctx, "foo", jetstream.ConsumerConfig{FilterSubject: o.subject("ephemeral")})
	if err != nil {
		return err
	}
	_, err = messages(consumer, 3)
	return err
}

func (o operations) consumerOrdered(ctx context.Context) error {
	if err := o.publishSome(ctx, "ordered", 50); err != nil {
		return err
	}
	consumer, err := o.js.OrderedConsumer(ctx, "foo", jetstream.OrderedConsumerConfig{FilterSubjects: []string{o.subject("ordered")}})
	if err != nil {
		return err
	}
	iterator, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer iterator.Stop()
	for n := range 50 {
		message, err := iterator.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		if string(message.Data()) != fmt.Sprintf("ordered %d", n) {
			return fmt.Errorf("%s", message.Data())
		}
	}
	return nil
}

func (o operations) consumerFilters(ctx context.Context) error {
	for _, name := range []string{"left", "right"} {
		if err := o.publishSome(ctx, name, 3); err != nil {
			return err
		}
	}
	consumer, err := o.js.CreateOrUpdateConsumer(ctx, "foo", jetstream.ConsumerConfig{
		Durable: o.durable("filters"), FilterSubjects: []string{o.subject("left"), o.subject("right")},
	})
	if err != nil {
		return err
	}
	_, err = messages(consumer, 6)
	return err
}

func (o operations) consumerInfo(ctx context.Context) error {
	if _, err := o.pull(ctx, "info", jetstream.ConsumerConfig{}); err != nil {
		return err
	}
	consumer, err := o.js.Consumer(ctx, "foo", o.durable("info"))
	if err != nil {
		return err
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return err
	}
	return check(info.Name == o.durable("info") && info.NumPending == 3, "%v", info)
}

func (o operations) consumerList(ctx context.Context) error {
	if _, err := o.pull(ctx, "list", jetstream.ConsumerConfig{}); err != nil {
		return err
	}
	stream, err := o.js.Stream(ctx, "foo")
	if err != nil {
		return err
	}
	lister := stream.ListConsumers(ctx)
	found := false
	for info := range lister.Info() {
		found = found || info.Name == o.durable("list")
	}
	if err := lister.Err(); err != nil {
		return err
	}
	return check(found, "not in the list")
}

func (o operations) consumerNames(ctx context.Context) error {
	if _, err := o.pull(ctx, "names", jetstream.ConsumerConfig{}); err != nil {
		return err
	}
	stream, err := o.js.Stream(ctx, "foo")
	if err != nil {
		return err
	}
	lister := stream.ConsumerNames(ctx)
	found := false
	for name := range lister.Name() {
		found = found || name == o.durable("names")
	}
	if err := lister.Err(); err != nil {
		return err
	}
	return check(found, "not in the list")
}

func (o operations) consumerPause(ctx context.Context) error {
	if _, err := o.pull(ctx, "pause", jetstream.ConsumerConfig{}); err != nil {
		return err
	}
	paused, err := o.js.PauseConsumer(ctx, "foo", o.durable("pause"), time.Now().Add(time.Hour))
	if err != nil {
		return err
	}
	resumed, err := o.js.ResumeConsumer(ctx, "foo", o.durable("pause"))
	if err != nil {
		return err
	}
	return check(paused.Paused && !resumed.Paused, "%v, %v", paused, resumed)
}

func (o operations) consumerDelete(ctx context.Context) error {
	if _, err := o.pull(ctx, "delete", jetstream.ConsumerConfig{}); err != nil {
		return err
	}
	if err := o.js.DeleteConsumer(ctx, "foo", o.durable("delete")); err != nil {
		return err
	}
	_, err := o.js.Consumer(ctx, "foo", o.durable("delete"))
	return check(errors.Is(err, jetstream.ErrConsumerNotFound), "still there: %v", err)
}

func (o operations) consume(ctx context.Context) error {
	consumer, err := o.pull(ctx, "consume", jetstream.ConsumerConfig{})
	if err != nil {
		return err
	}
	return consume3(ctx, func(seen chan<- []byte) (jetstream.ConsumeContext, error) {
		return consumer.Consume(func(message jetstream.Msg) { _ = message.Ack(); seen <- message.Data() },
			jetstream.PullExpiry(2*time.Second))
	}, "consume")
}

func pending(ctx context.Context, consumer jetstream.Consumer) (int, error) {
	info, err := consumer.Info(ctx)
	if err != nil {
		return 0, err
	}
	return info.NumAckPending, nil
}

func (o operations) acked(ctx context.Context, name string, each func(jetstream.Msg) error) (jetstream.Consumer, error) {
	consumer, err := o.pull(ctx, name, jetstream.ConsumerConfig{AckWait: time.Second})
	if err != nil {
		return nil, err
	}
	got, err := messages(consumer, 3)
	if err != nil {
		return nil, err
	}
	for _, message := range got {
		if err := each(message); err != nil {
			return nil, err
		}
	}
	return consumer, nil
}

func (o operations) ack(ctx context.Context) error {
	consumer, err := o.acked(ctx, "ack", jetstream.Msg.Ack)
	if err != nil {
		return err
	}
	return soon(ctx, "acks", func() (bool, error) {
		left, err := pending(ctx, consumer)
		return err == nil && left == 0, err
	})
}

func (o operations) doubleAck(ctx context.Context) error {
	consumer, err := o.acked(ctx, "double", func(message jetstream.Msg) error { return message.DoubleAck(ctx) })
	if err != nil {
		return err
	}
	left, err := pending(ctx, consumer)
	if err != nil {
		return err
	}
	return check(left == 0, "%d are not acknowledged", left)
}

func (o operations) nakDelay(ctx context.Context) error {
	consumer, err := o.pull(ctx, "nak", jetstream.ConsumerConfig{})
	if err != nil {
		return err
	}
	first, err := messages(consumer, 1)
	if err != nil {
		return err
	}
	if err := first[0].NakWithDelay(500 * time.Millisecond); err != nil {
		return err
	}
	started := time.Now()
	rest, err := messages(consumer, 3)
	if err != nil {
		return err
	}
	last, err := rest[2].Metadata()
	if err != nil {
		return err
	}
	return check(time.Since(started) > 300*time.Millisecond && last.NumDelivered == 2, "%v", last)
}

func (o operations) term(ctx context.Context) error {
	consumer, err := o.acked(ctx, "term", jetstream.Msg.Term)
	if err != nil {
		return err
	}
	time.Sleep(1200 * time.Millisecond)
	left, err := pending(ctx, consumer)
	if err != nil {
		return err
	}
	return check(left == 0, "%d are pending", left)
}

func (o operations) inProgress(ctx context.Context) error {
	consumer, err := o.pull(ctx, "progress", jetstream.ConsumerConfig{AckWait: time.Second})
	if err != nil {
		return err
	}
	got, err := messages(consumer, 1)
	if err != nil {
		return err
	}
	for range 4 {
		time.Sleep(500 * time.Millisecond)
		if err := got[0].InProgress(); err != nil {
			return err
		}
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return err
	}
	return check(info.NumRedelivered == 0 && info.NumAckPending == 1, "%v", info)
}

func (o operations) getBySeq(ctx context.Context) error {
	name := unique("seq")
	if err := o.publishSome(ctx, name, 3); err != nil {
		return err
	}
	stream, err := o.js.Stream(ctx, "foo")
	if err != nil {
		return err
	}
	last, err := stream.GetLastMsgForSubject(ctx, o.subject(name))
	if err != nil {
		return err
	}
	message, err := stream.GetMsg(ctx, last.Sequence)
	if err != nil {
		return err
	}
	return check(string(message.Data) == name+" 2", "%s", message.Data)
}

func (o operations) getBySubject(ctx context.Context) error {
	name := unique("last")
	if err := o.publishSome(ctx, name, 3); err != nil {
		return err
	}
	stream, err := o.js.Stream(ctx, "foo")
	if err != nil {
		return err
	}
	message, err := stream.GetLastMsgForSubject(ctx, o.subject(name))
	if err != nil {
		return err
	}
	return check(string(message.Data) == name+" 2", "%s", message.Data)
}

func (o operations) advisory(ctx context.Context) error {
	events, err := o.nc.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.foo." + o.durable("advisory"))
	if err != nil {
		return err
	}
	if err := o.nc.FlushWithContext(ctx); err != nil {
		return err
	}
	consumer, err := o.pull(ctx, "advisory", jetstream.ConsumerConfig{AckWait: 500 * time.Millisecond, MaxDeliver: 1})
	if err != nil {
		return err
	}
	if _, err := messages(consumer, 1); err != nil {
		return err
	}
	for range 3 {
		batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return err
		}
		for range batch.Messages() {
		}
	}
	_, err = events.NextMsgWithContext(ctx)
	return err
}

// Key-value

func (o operations) bucket(ctx context.Context, name string, values ...string) (jetstream.KeyValue, string, error) {
	kv, err := o.js.KeyValue(ctx, "cfg")
	if err != nil {
		return nil, "", err
	}
	key := o.durable(name)
	for _, value := range values {
		if _, err := kv.PutString(ctx, key, value); err != nil {
			return nil, "", err
		}
	}
	if len(values) > 0 {
		err = o.value(ctx, kv, key, values[len(values)-1])
	}
	return kv, key, err
}

func (o operations) value(ctx context.Context, kv jetstream.KeyValue, key, value string) error {
	return soon(ctx, key, func() (bool, error) {
		entry, err := kv.Get(ctx, key)
		return err == nil && string(entry.Value()) == value, err
	})
}

func (o operations) gone(ctx context.Context, kv jetstream.KeyValue, key string) error {
	return soon(ctx, key, func() (bool, error) {
		_, err := kv.Get(ctx, key)
		return errors.Is(err, jetstream.ErrKeyNotFound), err
	})
}

func (o operations) kvPutGet(ctx context.Context) error {
	_, _, err := o.bucket(ctx, "put", "one")
	return err
}

func (o operations) kvCreate(ctx context.Context) error {
	kv, key, err := o.bucket(ctx, "create")
	if err != nil {
		return err
	}
	if _, err := kv.Create(ctx, key, []byte("one")); err != nil {
		return err
	}
	return o.value(ctx, kv, key, "one")
}

func (o operations) kvCreateAgain(ctx context.Context) error {
	kv, key, err := o.bucket(ctx, "again", "one")
	if err != nil {
		return err
	}
	_, err = kv.Create(ctx, key, []byte("two"))
	return check(errors.Is(err, jetstream.ErrKeyExists), "made twice: %v", err)
}

func (o operations) kvUpdate(ctx context.Context) error {
	kv, key, err := o.bucket(ctx, "update", "one")
	if err != nil {
		return err
	}
	entry, err := kv.Get(ctx, key)
	if err != nil {
		return err
	}
	_, err = kv.Update(ctx, key, []byte("two"), entry.Revision())
	return err
}

func (o operations) kvDelete(ctx context.Context) error {
	kv, key, err := o.bucket(ctx, "delete", "one")
	if err != nil {
		return err
	}
	if err := kv.Delete(ctx, key); err != nil {
		return err
	}
	return o.gone(ctx, kv, key)
}

func (o operations) kvPurge(ctx context.Context) error {
	kv, key, err := o.bucket(ctx, "purge", "one", "two")
	if err != nil {
		return err
	}
	if err := kv.Purge(ctx, key); err != nil {
		return err
	}
	if err := o.gone(ctx, kv, key); err != nil {
		return err
	}
	history, err := kv.History(ctx, key)
	if err != nil {
		return err
	}
	return check(len(history) == 1 && history[0].Operation() == jetstream.KeyValuePurge, "%v", history)
}

func (o operations) kvKeys(ctx context.Context) error {
	kv, key, err := o.bucket(ctx, "keys", "one")
	if err != nil {
		return err
	}
	keys, err := kv.Keys(ctx)
	if err != nil {
		return err
	}
	return check(slices.Contains(keys, key), "%v", keys)
}

func (o operations) kvHistory(ctx context.Context) error {
	kv, key, err := o.bucket(ctx, "history", "one", "two", "three")
	if err != nil {
		return err
	}
	history, err := kv.History(ctx, key)
	if err != nil {
		return err
	}
	var values []string
	for _, entry := range history {
		values = append(values, string(entry.Value()))
	}
	return check(strings.Join(values, " ") == "one two three", "%v", values)
}

func (o operations) kvWatch(ctx context.Context) error {
	kv, key, err := o.bucket(ctx, "watch")
	if err != nil {
		return err
	}
	watcher, err := kv.Watch(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = watcher.Stop() }()
	if _, err := kv.PutString(ctx, key, "one"); err != nil {
		return err
	}
	for {
		select {
		case entry := <-watcher.Updates():
			if entry != nil {
				return check(string(entry.Value()) == "one", "%s", entry.Value())
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o operations) kvStatus(ctx context.Context) error {
	kv, _, err := o.bucket(ctx, "status", "one")
	if err != nil {
		return err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return err
	}
	config := status.Config()
	settings := []any{
		status.Bucket(), status.History(), status.TTL(), status.LimitMarkerTTL(), config.MaxBytes, status.IsCompressed(),
		config.Description,
	}
	expected := []any{"cfg", int64(5), time.Hour, time.Minute, int64(64 << 20), true, "settings"}
	return check(slices.Equal(settings, expected), "found: %v", settings)
}

func (o operations) kvTooLarge(ctx context.Context) error {
	kv, key, err := o.bucket(ctx, "large")
	if err != nil {
		return err
	}
	_, err = kv.Put(ctx, key, make([]byte, 65<<10))
	var refused *jetstream.APIError
	return check(errors.As(err, &refused) && refused.ErrorCode == 10054, "%v", err)
}

// Object store

func (o operations) store(ctx context.Context, name string, contents ...[]byte) (jetstream.ObjectStore, string, error) {
	store, err := o.js.ObjectStore(ctx, "files")
	if err != nil {
		return nil, "", err
	}
	object := o.durable(name)
	for _, data := range contents {
		if _, err := store.PutBytes(ctx, object, data); err != nil {
			return nil, "", err
		}
		if err := readable(ctx, store, object, data); err != nil {
			return nil, "", err
		}
	}
	return store, object, nil
}

func readable(ctx context.Context, store jetstream.ObjectStore, object string, data []byte) error {
	return soon(ctx, object, func() (bool, error) {
		short, stop := context.WithTimeout(ctx, 2*time.Second)
		defer stop()
		got, err := store.GetBytes(short, object)
		return err == nil && bytes.Equal(got, data), err
	})
}

func (o operations) objectPutGet(ctx context.Context) error {
	store, object, err := o.store(ctx, "put", bytes.Repeat([]byte("0123456789"), 100_000))
	if err != nil {
		return err
	}
	info, err := store.GetInfo(ctx, object)
	if err != nil {
		return err
	}
	return check(info.Chunks > 5, "%v", info)
}

func (o operations) objectReplace(ctx context.Context) error {
	_, _, err := o.store(ctx, "replace", bytes.Repeat([]byte("one"), 100_000), bytes.Repeat([]byte("two"), 100_000))
	return err
}

func (o operations) objectList(ctx context.Context) error {
	store, object, err := o.store(ctx, "list", []byte("one"))
	if err != nil {
		return err
	}
	infos, err := store.List(ctx)
	if err != nil {
		return err
	}
	named := func(info *jetstream.ObjectInfo) bool { return info.Name == object }
	return check(slices.ContainsFunc(infos, named), "not in the list")
}

func (o operations) objectWatch(ctx context.Context) error {
	store, object, err := o.store(ctx, "watch")
	if err != nil {
		return err
	}
	watcher, err := store.Watch(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = watcher.Stop() }()
	if _, err := store.PutBytes(ctx, object, []byte("one")); err != nil {
		return err
	}
	for {
		select {
		case info := <-watcher.Updates():
			if info != nil && info.Name == object {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o operations) objectDelete(ctx context.Context) error {
	store, object, err := o.store(ctx, "delete", bytes.Repeat([]byte("one"), 100_000))
	if err != nil {
		return err
	}
	if err := store.Delete(ctx, object); err != nil {
		return err
	}
	return soon(ctx, object, func() (bool, error) {
		_, err := store.GetInfo(ctx, object)
		return errors.Is(err, jetstream.ErrObjectNotFound), err
	})
}

func (o operations) objectLink(ctx context.Context) error {
	store, object, err := o.store(ctx, "target", []byte("one"))
	if err != nil {
		return err
	}
	info, err := store.GetInfo(ctx, object)
	if err != nil {
		return err
	}
	if _, err := store.AddLink(ctx, o.durable("link"), info); err != nil {
		return err
	}
	return readable(ctx, store, o.durable("link"), []byte("one"))
}

// What applications are not to do by accident

func (o operations) streamCreate(ctx context.Context) error {
	_, err := o.js.CreateStream(ctx, jetstream.StreamConfig{Name: "foo", Subjects: []string{"foo.>"}, AllowDirect: true})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil // a plain server's answer: it was made with other settings
	}
	return err
}

func (o operations) streamUpdate(ctx context.Context) error {
	stream, err := o.js.Stream(ctx, "foo")
	if err != nil {
		return err
	}
	_, err = o.js.UpdateStream(ctx, stream.CachedInfo().Config)
	return err
}

func (o operations) streamPurge(ctx context.Context) error {
	stream, err := o.js.Stream(ctx, "foo")
	if err != nil {
		return err
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject(o.subject("nothing")))
}

func (o operations) streamDelete(ctx context.Context) error {
	// Of a stream that is not there a plain server says so; here nobody answers.
	err := o.js.DeleteStream(ctx, "gone")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}

func main() {
	url, creds, tag, needs := os.Args[1], os.Args[2], os.Args[3], strings.Split(os.Args[4], ",")
	var options []nats.Option
	if creds != "-" {
		options = append(options, nats.UserCredentials(creds))
	}
	nc, err := nats.Connect(url, options...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	o := operations{nc, js, tag, needs}
	out := json.NewEncoder(os.Stdout)
	for _, operation := range all {
		if !slices.Contains(needs, operation.need) {
			continue
		}
		ctx, stop := context.WithTimeout(context.Background(), 25*time.Second)
		err := operation.run(o, ctx)
		stop()
		result, detail := "works", ""
		switch {
		case errors.Is(err, errAbsent):
			result, detail = "absent", err.Error()
		case err != nil:
			result, detail = "error", err.Error()
		}
		_ = out.Encode(map[string]string{"op": operation.name, "result": result, "detail": detail})
	}
}
