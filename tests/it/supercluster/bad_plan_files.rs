//! Invalid plan files: damaged by accident, forged with write access to the file, or forged with the operator's key.
//! None of them writes anything on any server.

use crate::supercluster::bad_pushes::Refusals;
use crate::support::account;
use crate::support::bench::{Bench, new_seed, now, public};
use serde_json::{Value, json};
use vstream_jwt::model::nkey::KeyKind;
use vstream_jwt::ops::planfile::{read, write};
use vstream_jwt::plan::file::{PlanContent, PlanFile};
use vstream_jwt::sign::{Seed, Signer as _, issue};

/// Returns the definition in the layout `regional`: four accounts, eight tokens.
fn definition(bench: &Bench<'_>) -> Value {
    let mut definition = bench.definition();
    definition["accounts"]["APP"].as_object_mut().unwrap().remove("layout");
    definition
}

/// Writes a plan file with other content and without a seal, as any user with write access could.
fn rewritten(bench: &Bench<'_>, from: &str, name: &str, edit: impl FnOnce(&mut PlanContent)) {
    let folder = bench.cluster.folder();
    let mut content = read(&folder.join(from)).unwrap().content;
    edit(&mut content);
    write(&folder.join(name), &PlanFile::new(content)).unwrap();
}

/// Writes a plan file with other content, sealed by this operator.
fn resealed(bench: &Bench<'_>, from: &str, name: &str, operator: &Seed, edit: impl FnOnce(&mut PlanContent)) {
    let folder = bench.cluster.folder();
    let mut content = read(&folder.join(from)).unwrap().content;
    edit(&mut content);
    let file = PlanFile::new(content);
    let signature = operator.sign(&file.sealed_message()).unwrap();
    write(&folder.join(name), &file.sealed(data_encoding::BASE64.encode(&signature))).unwrap();
}

/// Signs every token of `s.json` again with another operator's key, and seals the whole.
pub fn signed_by(bench: &Bench<'_>, name: &str, operator: &Seed) {
    resealed(bench, "s.json", name, operator, |content| {
        for token in content.accounts.iter_mut().flat_map(|account| &mut account.tokens) {
            let signed = vstream_jwt::model::claims::Token::decode(token.token.as_deref().unwrap()).unwrap();
            let claims = signed.into_claims();
            let iat = claims["iat"].as_u64().unwrap();
            token.token = Some(issue(&claims, operator, iat).unwrap().as_str().to_owned());
        }
        content.signed.as_mut().unwrap().operator = operator.public_key();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_plan_files_are_refused_before_anything_is_written() {
    let cluster = account().await;
    let bench = Bench::new(&cluster).await;
    bench.write("vstream", &definition(&bench));
    bench.run(&["keys", "generate", "--regional"]).ends(0);
    bench.run(&["plan", "--out", "p.json"]).ends(3);
    bench.run(&["sign", "p.json", "--operator", "op.nk", "--out", "s.json"]).ends(0);
    let mut refusals = Refusals::new(&bench).await;
    bytes(&mut refusals).await;
    seals(&mut refusals).await;
    tokens(&mut refusals).await;
    what_is_signed(&mut refusals).await;
    time(&mut refusals).await;
    let count = refusals.count();
    println!("{count} bad plan files");
    assert!(count >= 35, "{count}");
}

/// Files whose bytes were changed after they were written.
async fn bytes(refusals: &mut Refusals<'_, '_>) {
    let folder = refusals.bench.cluster.folder().to_owned();
    let signed = std::fs::read_to_string(folder.join("s.json")).unwrap();
    let planned = std::fs::read_to_string(folder.join("p.json")).unwrap();
    let newest = signed.find("\"newest_iat\": ").unwrap() + "\"newest_iat\": ".len();
    let number = format!("{}9{}", &signed[..newest], &signed[newest + 1..]);
    let version = |to: &str| signed.replacen("\"vstream_jwt_plan\": 1", &format!("\"vstream_jwt_plan\": {to}"), 1);
    for (name, text, code) in [
        ("number", number, "plan-file-changed"),
        ("crlf", signed.replace('\n', "\r\n"), "plan-file-changed"),
        ("bom", format!("\u{feff}{signed}"), "not-a-plan-file"),
        ("half-plan", planned[..planned.len() / 2].to_owned(), "not-a-plan-file"),
        ("half-signed", signed[..signed.len() / 2].to_owned(), "not-a-plan-file"),
        ("no-end", signed.trim_end().to_owned(), "plan-file-changed"),
        ("twice", signed.replacen("\"content\":", "\"content\": {}, \"content\":", 1), "plan-file-changed"),
        ("more", signed.replacen("\"content\":", "\"also\": 1, \"content\":", 1), "not-a-plan-file"),
        ("newer", version("2"), "plan-file-newer"),
        ("none", version("0"), "not-a-plan-file"),
        ("fraction", version("1.0"), "not-a-plan-file"),
        ("definition", std::fs::read_to_string(folder.join("vstream.yaml")).unwrap(), "not-a-plan-file"),
    ] {
        let name = format!("{name}.json");
        std::fs::write(folder.join(&name), text).unwrap();
        refusals.refused(&name, 2, &["apply", &name], code, &[&name]).await;
        let sign = ["sign", &name, "--operator", "op.nk", "--out", "never.json"];
        refusals.bench.expect(2, &sign, code, &[&name]);
    }
    assert!(!folder.join("never.json").exists());
    refusals.refused("no file", 1, &["apply", "nowhere.json"], "plan-file", &["nowhere.json"]).await;
}

/// Files with a wrong seal.
async fn seals(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let folder = bench.cluster.folder();
    let (operator, stranger) = (bench.key("op.nk"), new_seed(KeyKind::Operator));
    bench.write_key("stranger.nk", &stranger.reveal());

    let sign = ["sign", "p.json", "--operator", "stranger.nk", "--out", "foreign.json"];
    bench.expect(2, &sign, "token-untrusted", &[&public(&operator), &public(&stranger), "nothing was signed"]);
    signed_by(bench, "foreign.json", &stranger);
    let said = [&*public(&stranger), "not a key of the operator"];
    refusals
        .refused(
            "signed by an operator that no server trusts",
            1,
            &["apply", "foreign.json"],
            "signer-untrusted",
            &said,
        )
        .await;
    resealed(bench, "s.json", "imposter.json", &stranger, |_| {});
    refusals.refused("sealed by another than it names", 2, &["apply", "imposter.json"], "plan-file-changed", &[]).await;
    // Tokens of one operator in a file of another.
    resealed(bench, "foreign.json", "mixed.json", &operator, |content| {
        content.signed.as_mut().unwrap().operator = operator.public_key();
    });
    let code = "signed-otherwise";
    refusals.refused("tokens of another than who sealed it", 1, &["apply", "mixed.json"], code, &["APP"]).await;
    rewritten(bench, "s.json", "bare.json", |content| content.signed = None);
    refusals.refused("the seal taken off", 2, &["apply", "bare.json"], "no-operator-key", &["--operator"]).await;
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("s.json")).unwrap()).unwrap();
    file.as_object_mut().unwrap().shift_remove("signature");
    std::fs::write(folder.join("cut.json"), format!("{file:#}\n")).unwrap();
    refusals.refused("the signature cut out", 2, &["apply", "cut.json"], "plan-file-changed", &["cut.json"]).await;
    let again = ["sign", "s.json", "--operator", "op.nk", "--out", "never.json"];
    refusals.refused("signed twice", 2, &again, "signed-already", &[&public(&operator)]).await;
}

/// Files in which a holder of the operator's key signed other tokens than the plan asks for.
async fn tokens(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let operator = bench.key("op.nk");
    let reissue = |content: &mut PlanContent, account: usize, token: usize, iat: u64, edit: &dyn Fn(&mut Value)| {
        let slot = &mut content.accounts[account].tokens[token].token;
        let old = vstream_jwt::model::claims::Token::decode(slot.as_deref().unwrap()).unwrap();
        let mut claims = old.into_claims();
        edit(&mut claims);
        *slot = Some(issue(&claims, &operator, iat).unwrap().as_str().to_owned());
    };
    let stored = bench.claims().await["iat"].as_u64().unwrap();
    let nobody = public(&new_seed(KeyKind::Account));
    let other = |claims: &mut Value| claims["sub"] = json!(nobody);
    let mapping = |claims: &mut Value| claims["nats"]["mappings"]["secret.>"] = json!([{ "subject": "stolen.>" }]);
    let limit = |claims: &mut Value| claims["nats"]["limits"]["conn"] = json!(1);
    let expiry = |claims: &mut Value| claims["exp"] = json!(now() + 60);
    let same = |_: &mut Value| {};
    type Edit<'e> = &'e dyn Fn(&mut Value);
    let cases: [(&str, u64, Edit<'_>, &str); 7] = [
        ("an older date", stored, &same, "not later than a stored one"),
        ("a much older date", 1_600_000_000, &same, "its iat 1600000000"),
        ("a date in the future", now() + 3600, &same, "is in the future"),
        ("one mapping more", now() + 1, &mapping, "+ nats.mappings.secret.>"),
        ("another limit", now() + 1, &limit, "nats.limits.conn"),
        ("an end", now() + 1, &expiry, "+ exp"),
        ("another account's token", now() + 1, &other, "~ sub"),
    ];
    for (what, iat, edit, said) in cases {
        resealed(bench, "s.json", "token.json", &operator, |content| reissue(content, 0, 0, iat, edit));
        refusals.refused(what, 1, &["apply", "token.json"], "signed-otherwise", &["account APP", said]).await;
    }
    resealed(bench, "s.json", "swapped.json", &operator, |content| {
        let (west, east) = (content.accounts[1].tokens[0].token.take(), content.accounts[3].tokens[0].token.take());
        content.accounts[1].tokens[0].token = east;
        content.accounts[3].tokens[0].token = west;
    });
    let said = ["APP-west"];
    refusals.refused("tokens swapped between accounts", 1, &["apply", "swapped.json"], "signed-otherwise", &said).await;
    resealed(bench, "s.json", "less.json", &operator, |content| content.accounts[2].tokens[1].token = None);
    refusals.refused("a token left out", 1, &["apply", "less.json"], "signed-otherwise", &["there is none"]).await;
    resealed(bench, "s.json", "other.json", &operator, |content| {
        content.definition[0].text = content.definition[0].text.replace("foo.>", "elsewhere.>");
    });
    let said = ["what has to be done"];
    refusals.refused("a different definition inside", 1, &["apply", "other.json"], "stale-plan", &said).await;
}

/// Files whose author asks for signatures that the review would not show.
async fn what_is_signed(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let sign = ["sign", "lie.json", "--operator", "op.nk", "--out", "never.json"];
    let inconsistent = "plan-file-inconsistent";
    let nobody = new_seed(KeyKind::Account).public_key();
    let system = bench.cluster.system_account_id().to_owned();
    let base = |content: &PlanContent| content.accounts[0].base.clone();

    rewritten(bench, "p.json", "lie.json", |content| content.accounts[0].tokens[0].claims["sub"] = json!(system));
    let said = [&*system, "not of its own"];
    refusals.refused("the system account's token, said to be another", 2, &sign, inconsistent, &said).await;
    rewritten(bench, "p.json", "lie.json", |content| content.accounts[0].id = nobody.clone());
    refusals.refused("another account than the definition's", 2, &sign, inconsistent, &["of the definition"]).await;
    rewritten(bench, "p.json", "lie.json", |content| {
        let with = content.accounts.iter_mut().flat_map(|account| &mut account.tokens);
        let request = with.flat_map(|token| &mut token.activations).next().unwrap();
        request.importer = nobody.clone();
    });
    let said = [&*nobody.to_string(), "activation token"];
    refusals.refused("an activation token for a stranger", 2, &sign, inconsistent, &said).await;
    rewritten(bench, "p.json", "lie.json", |content| content.accounts[0].tokens[0].newest_iat = u64::MAX);
    refusals.refused("dated at the end of time", 2, &sign, inconsistent, &["in the future"]).await;
    rewritten(bench, "p.json", "lie.json", |content| content.accounts[1].base = base(content));
    let said = ["starts from is that of"];
    refusals.refused("another account's token to start from", 2, &sign, inconsistent, &said).await;
    rewritten(bench, "p.json", "lie.json", |content| content.accounts[0].base = None);
    let said = ["lacks the token that it starts from"];
    refusals.refused("an account of applications, said to be new", 2, &sign, inconsistent, &said).await;
    rewritten(bench, "p.json", "lie.json", |content| content.accounts[0].tokens.reverse());
    refusals.refused("the stages in another order", 2, &sign, inconsistent, &["order of their stages"]).await;

    // The review shows content that only an early stage has. A base token is refused if another operator signed it.
    let stranger = new_seed(KeyKind::Operator);
    rewritten(bench, "p.json", "lie.json", |content| {
        content.accounts[0].tokens[0].claims["nats"]["mappings"]["early.>"] = json!([{ "subject": "stolen.>" }]);
        content.text.push("\u{1b}[2K\rnothing to see".to_owned());
    });
    let sign = ["sign", "lie.json", "--operator", "op.nk", "--out", "shown.json"];
    let ran = bench.run(&sign);
    ran.ends(0);
    assert!(ran.err.contains("+ nats.mappings.early.>") && ran.err.contains("- nats.mappings.early.>"), "{ran}");
    assert!(ran.err.contains("\\u{1b}[2K\\rnothing to see"), "{ran}");
    rewritten(bench, "p.json", "lie.json", |content| {
        let token = base(content).unwrap();
        let mut claims = vstream_jwt::model::claims::Token::decode(&token).unwrap().into_claims();
        claims["nats"]["signing_keys"] = json!([nobody]);
        content.accounts[0].base = Some(issue(&claims, &stranger, now()).unwrap().as_str().to_owned());
        for token in &mut content.accounts[0].tokens {
            token.claims["nats"]["signing_keys"] = json!([nobody]);
            token.newest_iat = now();
        }
    });
    let said = [&*public(&stranger), "nothing was signed"];
    refusals.refused("another operator's token to start from", 2, &sign, "token-untrusted", &said).await;
}

/// Files that were valid once, but are not any more.
async fn time(refusals: &mut Refusals<'_, '_>) {
    let bench = refusals.bench;
    let claims = bench.claims().await;
    bench.push(&claims).await;
    refusals.begin_from_here().await;
    let said = ["account APP: its token (iat"];
    refusals.refused("pushed by others since", 1, &["apply", "s.json"], "stale-plan", &said).await;
    bench.run(&["plan", "--out", "p.json"]).ends(3);
    bench.run(&["sign", "p.json", "--operator", "op.nk", "--out", "s.json"]).ends(0);
    bench.says(0, &["apply", "s.json"], &["Done."]);
    refusals.begin_from_here().await;
    let west = format!("account {}: its token", bench.cluster.regional_account("west"));
    let said = [west.as_str(), "stream foo-write-west was made"];
    refusals.refused("applied already", 1, &["apply", "s.json"], "stale-plan", &said).await;
    bench.run(&["verify"]).ends(0);
}
