//! Plan files: written, signed elsewhere, applied exactly or refused.

use crate::support;
use crate::support::bench::{Bench, new_seed, now};
use serde_json::{Value, json};
use std::path::Path;
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::ops::planfile::{read, write};
use vstream_jwt::plan::file::PlanFile;

fn definition(bench: &Bench<'_>, streams: &[&str]) -> Value {
    let mut definition = bench.definition();
    let app = definition["accounts"]["APP"].as_object_mut().unwrap();
    app.remove("layout");
    let one = json!({ "num_replicas": 1 });
    let streams = streams
        .iter()
        .map(|name| (name.to_string(), json!({ "subjects": [format!("{name}.>")], "write": one, "read": one })));
    app.insert("virtual_streams".to_owned(), streams.collect::<serde_json::Map<_, _>>().into());
    definition
}

/// Rewrites a file with other content, without a seal, as its author could have done.
fn rewritten(path: &Path, edit: impl FnOnce(&mut PlanFile)) {
    let mut file = read(path).unwrap();
    edit(&mut file);
    write(path, &PlanFile::new(file.content)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_carried_out_exactly_or_refused() {
    let cluster = support::account().await;
    let bench = Bench::new(&cluster).await;
    let folder = cluster.folder();
    bench.write("vstream", &definition(&bench, &["foo"]));

    // A plan names new accounts by their keys, so the keys must exist first.
    bench.expect(1, &["plan", "--out", "p.json"], "regional-keys-first", &["APP-west", "keys generate --regional"]);
    assert!(!folder.join("p.json").exists());
    let keys = ["west", "central", "east"].map(|region| format!("{}.nk", cluster.regional_account(region)));
    let keys = keys.each_ref().map(String::as_str);
    bench.says(0, &["keys", "generate", "--regional"], &keys);
    bench.says(0, &["keys", "generate", "--regional"], &["nothing was made"]);
    bench.says(3, &["plan", "--out", "p.json"], &["3 regional accounts to make", "the plan is in p.json"]);

    // Signs the plan without network access, and applies it without the operator's key.
    let away = folder.join("away");
    std::fs::create_dir(&away).unwrap();
    for name in ["p.json", "keys"] {
        let copied = std::process::Command::new("cp").arg("-rp").arg(folder.join(name)).arg(&away).status().unwrap();
        assert!(copied.success());
    }
    let sign = ["sign", "away/p.json", "--definition", "away/vstream.yaml", "--operator", "op.nk", "--out", "s.json"];
    // Accounts sign their activation tokens with their own keys.
    let elsewhere = ["sign", "away/p.json", "--definition", "away/vstream.yaml", "--keys", "none", "--operator"];
    let elsewhere = [&elsewhere[..], &["away/keys/op.nk", "--out", "s.json"]].concat();
    bench.expect(
        1,
        &elsewhere,
        "account-key-missing",
        &["account APP", "nothing was pushed", "next: Put a signing key"],
    );
    assert!(!folder.join("s.json").exists());
    let signed = bench.run(&sign);
    signed.ends(0);
    for said in ["$JS.>  →  $VS.<cluster>.>", "+ nats.mappings.$VSH.>: {\"subject\":\"$JS.>\"}", "Signed 8 tokens"] {
        assert!(signed.to_string().contains(said), "{said}: {signed}");
    }
    std::fs::rename(folder.join("keys/op.nk"), folder.join("op.away")).unwrap();

    let before = bench.everything().await;
    refused_files(&bench, folder);
    bench.expect(2, &["apply", "p.json"], "no-operator-key", &["--operator"]);
    bench.expect(2, &["apply", "s.json", "--adopt"], "usage", &["cannot be used with"]);
    bench.unchanged_since(&before, "an apply that was refused").await;

    bench.says(0, &["apply", "s.json"], &["Done."]);
    bench.run(&["verify"]).ends(0);
    // The record contains the definition from the file.
    let (_, record) = vstream_jwt::ops::record::list(&folder.join("history")).unwrap().pop().unwrap();
    let content = record.unwrap().content;
    assert!(content.definition[0].text.contains("foo.>") && content.sent().count() == 8);
    // A replayed file is stale, whichever key sealed it.
    let said = ["the plan is stale", "account APP: its token", "stream foo-write-west was made"];
    bench.expect(1, &["apply", "s.json"], "stale-plan", &said);
    std::fs::rename(folder.join("op.away"), folder.join("keys/op.nk")).unwrap();

    moved_meanwhile(&bench).await;
    signed_by_a_command(&bench).await;
}

/// Damaged files.
fn refused_files(bench: &Bench<'_>, folder: &Path) {
    let signed = std::fs::read_to_string(folder.join("s.json")).unwrap();
    let variants = [
        ("changed", signed.replacen("foo.>", "fob.>", 1), "plan-file-changed"),
        ("truncated", signed[..signed.len() / 2].to_owned(), "not-a-plan-file"),
        ("newer", signed.replacen("\"vstream_jwt_plan\": 1", "\"vstream_jwt_plan\": 2", 1), "plan-file-newer"),
        ("other", "version: 1\n".to_owned(), "not-a-plan-file"),
        ("spaced", signed.replacen("  ", " ", 1), "plan-file-changed"),
    ];
    for (name, text, code) in variants {
        let name = format!("{name}.json");
        std::fs::write(folder.join(&name), text).unwrap();
        bench.expect(2, &["apply", &name], code, &[&name, "next:"]);
        bench.expect(2, &["sign", &name, "--operator", "op.away", "--out", "x.json"], code, &[&name]);
    }
    assert!(!folder.join("x.json").exists());

    // Complete files that contradict their seal, or their plan.
    let copy = |name: &str| {
        std::fs::copy(folder.join("s.json"), folder.join(name)).unwrap();
        folder.join(name)
    };
    let other = new_seed(KeyKind::Operator);
    bench.write_key("other-operator.nk", other.reveal().as_str());
    let sign = ["sign", "p.json", "--operator", "other-operator.nk", "--out", "foreign.json"];
    bench.expect(2, &sign, "token-untrusted", &["nothing was signed"]);
    crate::supercluster::bad_plan_files::signed_by(bench, "foreign.json", &other);
    bench.expect(1, &["apply", "foreign.json"], "refused", &["signer-untrusted"]);

    let swapped = copy("swapped.json");
    let text = std::fs::read_to_string(&swapped).unwrap();
    let foreign = read(&folder.join("foreign.json")).unwrap();
    let mine = read(&swapped).unwrap();
    let key = |file: &PlanFile| file.content.signed.as_ref().unwrap().operator.to_string();
    std::fs::write(&swapped, text.replace(&key(&mine), &key(&foreign))).unwrap();
    bench.expect(2, &["apply", "swapped.json"], "plan-file-changed", &["swapped.json"]);

    let seal = copy("seal.json");
    rewritten(&seal, |file| file.content.signed = None);
    // The tokens are signed, but the file has no seal, so it counts as an unsigned plan.
    bench.expect(2, &["apply", "seal.json"], "no-operator-key", &["--operator"]);

    // The author of a plan file shows one change, and asks for signatures on another.
    let liar = folder.join("liar.json");
    std::fs::copy(folder.join("p.json"), &liar).unwrap();
    rewritten(&liar, |file| {
        let last = file.content.accounts[0].tokens.last_mut().unwrap();
        last.claims["nats"]["mappings"]["secret.>"] = json!([{ "subject": "stolen.>" }]);
    });
    let sign = ["sign", "liar.json", "--operator", "op.away", "--out", "lied.json"];
    bench.says(0, &sign, &["Signed"]);
    bench.expect(1, &["apply", "lied.json"], "stale-plan", &["account APP: what has to be done"]);
}

/// Another tool changes the account between the plan and its run.
async fn moved_meanwhile(bench: &Bench<'_>) {
    bench.write("vstream", &definition(bench, &["foo", "bar"]));
    bench.run(&["plan", "--out", "two.json"]).ends(3);
    let mut claims = bench.claims().await;
    claims["nats"]["limits"]["conn"] = json!(1234);
    bench.push(&claims).await;
    let before = bench.everything().await;
    let apply = ["apply", "two.json", "--operator", "op.nk"];
    bench.expect(1, &apply, "stale-plan", &["account APP: its token (iat", "plan --out"]);
    bench.unchanged_since(&before, "an apply that was refused").await;
    bench.run(&["plan", "--out", "two.json"]).ends(3);
    // The run uses the definition in the file.
    bench.write("vstream", &definition(bench, &["foo"]));
    bench.says(0, &apply, &["Done."]);
    assert_eq!(bench.claims().await["nats"]["limits"]["conn"], 1234);
    bench.write("vstream", &definition(bench, &["foo", "bar"]));
    bench.says(0, &["plan"], &["In sync"]);
}

/// Tests a command that holds the operator's key, for `apply` and for `sign`.
async fn signed_by_a_command(bench: &Bench<'_>) {
    let example = crate::support::example("operator_cmd");
    let command = format!("{} keys/op.nk", example.display());
    bench.write("vstream", &definition(bench, &["foo", "bar", "baz"]));
    bench.run(&["plan", "--out", "three.json"]).ends(3);
    bench.says(
        0,
        &["sign", "three.json", "--operator-cmd", &command, "--out", "three-signed.json"],
        &["Signed 1 tokens"],
    );
    bench.says(0, &["apply", "three-signed.json"], &["Done."]);
    bench.write("vstream", &definition(bench, &["foo", "bar", "baz", "qux"]));
    let iat = bench.claims().await["iat"].as_u64().unwrap();
    for (command, said) in [
        ("exit 7", "ended without an answer"),
        ("read -r asked; echo nonsense; cat", "not JSON"),
        ("read -r asked; echo '{\"error\":\"the vault is sealed\"}'; cat", "the vault is sealed"),
    ] {
        bench.expect(1, &["apply", "--operator-cmd", command], "operator-cmd", &[said]);
    }
    assert_eq!(bench.claims().await["iat"].as_u64().unwrap(), iat);
    bench.says(0, &["apply", "--operator-cmd", &command], &["Done."]);
    assert!(bench.claims().await["iat"].as_u64().unwrap() > iat.min(now()));
}
