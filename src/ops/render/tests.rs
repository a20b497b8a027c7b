use super::*;
use crate::desired;
use crate::desired::tests::{app, stream};

fn definition() -> Definition {
    desired::tests::definition(vec![app(vec![stream("foo", &["foo.*"])])])
}

fn one(what: What) -> Document {
    let mut documents = render(what, &definition()).unwrap();
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

#[test]
fn mappings_are_a_configuration_block() {
    let Document { name, ending, text, json } = one(What::Mappings);
    assert_eq!((name.as_str(), ending), ("APP.mappings", "conf"));
    assert!(text.starts_with("# account APP (A"));
    let body = text.split_once('\n').unwrap().1;
    assert!(
        body.starts_with(
            r#"mappings {
  "foo.*": [
    { destination: "$VW.c-west.foo.{{wildcard(1)}}", weight: 100, cluster: "c-west" }
    { destination: "$VW.c-east.foo.{{wildcard(1)}}", weight: 100, cluster: "c-east" }
  ]
  "$JS.API.STREAM.INFO.foo": ["#
        ),
        "{text}"
    );
    assert_eq!(json["mappings"].as_array().unwrap().len(), 10);
}

#[test]
fn claims_hold_the_mappings_as_a_token_does() {
    let Document { name, json, .. } = one(What::Claims);
    assert_eq!(name, "APP.claims");
    assert_eq!(
        json["nats"]["mappings"]["foo.*"][0],
        json!({ "subject": "$VW.c-west.foo.{{wildcard(1)}}", "weight": 100, "cluster": "c-west" })
    );
}

#[test]
fn every_stream_is_a_file_of_its_own() {
    let documents = render(What::Streams, &definition()).unwrap();
    let names: Vec<_> = documents.iter().map(|d| format!("{}.{}", d.name, d.ending)).collect();
    assert_eq!(
        names,
        ["APP.foo-write-west.json", "APP.foo-write-east.json", "APP.foo-read-west.json", "APP.foo-read-east.json"]
    );
    assert_eq!(serde_json::from_str::<Value>(&documents[0].text).unwrap(), documents[0].json);
}

#[test]
fn permissions_are_about_the_real_streams() {
    let Document { text, json, .. } = one(What::Permissions);
    let subjects = |list: &str| -> Vec<String> {
        json["publish"][list].as_array().unwrap().iter().map(|l| l["subject"].as_str().unwrap().to_owned()).collect()
    };
    let allow = subjects("allow");
    assert_eq!(
        allow[..9],
        [
            "$VW.c-west.foo.*",
            "$JS.API.STREAM.INFO.foo-read-west",
            "$JS.API.STREAM.MSG.GET.foo-read-west",
            "$JS.API.DIRECT.GET.foo-read-west",
            "$JS.API.DIRECT.GET.foo-read-west.>",
            "$JS.API.CONSUMER.*.foo-read-west",
            "$JS.API.CONSUMER.*.foo-read-west.>",
            "$JS.API.CONSUMER.MSG.NEXT.foo-read-west.*",
            "$JS.ACK.foo-read-west.>",
        ]
    );
    assert_eq!(allow[18..], ["$JS.FC.>", "$JS.API.INFO"]);
    let deny = subjects("deny");
    let lease = ["$VSTREAM.>", "$JS.API.STREAM.*.vstream-lease"];
    for subject in ["$JS.API.STREAM.DELETE.foo-read-east", "$JS.API.STREAM.PEER.*.foo-read-west"].iter().chain(&lease) {
        assert!(deny.contains(&(*subject).to_owned()), "{subject}");
    }
    assert!(allow.iter().all(|subject| !deny.contains(subject)));
    // An application that receives the lease's messages could answer instead of the stream.
    assert_eq!(json["subscribe"]["deny"][0]["subject"], "$VSTREAM.>");
    assert!(text.contains("  subscribe {\n    deny: [\n      \"$VSTREAM.>\"  # the lease"), "{text}");
    assert!(text.contains("  # flow control of push consumers\n"), "{text}");
}
