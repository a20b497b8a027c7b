//! Answers of the JetStream API, and of anything that may answer in its place. Reading ends, sends a bounded number of
//! requests, and reports only what the answers said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::time::Duration;
use support::{Script, in_paused_time};
use vstream_jwt::desired::DesiredConsumer;
use vstream_jwt::model::names::RegionName;
use vstream_jwt::observed::jetstream::{
    Api, ObservedConsumer, ObservedStream, ReadOptions, age, came_from, look_at_messages, read,
};

const TIME: Duration = Duration::from_secs(5);

fuzz_target!(|data: &[u8]| {
    let consumers = ["p0-read-west", "foo"].map(|stream| DesiredConsumer {
        virtual_stream: "foo".to_owned(),
        region: RegionName::parse("west").expect("it is a name"),
        stream: stream.to_owned(),
        name: "worker".to_owned(),
        config: Default::default(),
    });
    for line in data.split(|byte| *byte == b'\n') {
        let Some(Ok(value)) = line.iter().position(|byte| *byte == b'{').map(|at| serde_json::from_slice(&line[at..]))
        else {
            continue;
        };
        one(value);
    }
    let script = Script::read(data);
    let api = Api::new(&script);
    let options = ReadOptions { consumers: &consumers, timeout: TIME, patience: TIME, ..ReadOptions::default() };
    let (found, took) = in_paused_time(read(api, options));
    assert!(took <= TIME * 40, "{took:?}");
    assert!(script.requests() <= 50_000, "{} requests", script.requests());
    let mut found = match found {
        Ok(found) => found,
        Err(error) => {
            let _ = (error.to_string(), error.is_transient(), error.denied().map(str::to_owned), error.err_code());
            return;
        }
    };
    assert!(found.streams.windows(2).all(|pair| pair[0].name <= pair[1].name));
    let before = script.requests();
    let ((), took) = in_paused_time(look_at_messages(api, api, &mut found, TIME));
    assert!(took <= TIME * 40, "{took:?}");
    assert!(script.requests() - before <= 300_000);
    for stream in &found.streams {
        let _ = (stream.missing_by_count(&found), stream.is_lease(), stream.only_sources(), stream.first_possible());
        for source in &stream.sources {
            let _ = found.got(stream, source);
        }
        if !found.streams.iter().any(|other| !std::ptr::eq(other, stream) && other.name == stream.name) {
            assert_eq!(found.stream(&stream.name).map(|other| &other.name), Some(&stream.name));
        }
    }
    for source_gaps in &found.source_gaps {
        assert!(found.stream(&source_gaps.stream).is_some());
        let sum: u128 = source_gaps.gaps.iter().map(|gap| u128::from(gap.missing)).sum();
        assert_eq!(sum, u128::from(source_gaps.missing), "{source_gaps:?}");
        for gap in &source_gaps.gaps {
            assert!(gap.after < gap.before && gap.missing > 0, "{gap:?}");
            assert!(gap.among.iter().all(|range| range.first <= range.last), "{gap:?}");
            let _ = gap.is_exact();
        }
    }
    serde_json::to_string(&found).expect("it can be shown");
});

/// Reads one document as that of a stream, of a consumer and of a message.
fn one(value: Value) {
    if let Some((name, sequence)) = came_from(&value) {
        assert!(!name.contains(char::is_whitespace) && sequence > 0);
    }
    if let (Some(a), Some(b)) = (value["created"].as_str(), value["ts"].as_str()) {
        assert!(age(a, b).is_none() || age(b, a).is_none_or(|age| age == 0));
    }
    if let Some(stream) = ObservedStream::from_info(value.clone()) {
        assert_eq!(Some(&stream.config), value["config"].as_object());
        assert_eq!(Value::from(stream.name), value["config"]["name"]);
    }
    if let Some(consumer) = ObservedConsumer::from_info(value.clone()) {
        assert_eq!(Some(&consumer.config), value["config"].as_object());
    }
}
