//! Tests connections, the system account and pushes, against real servers.

use crate::support::{self, Cluster, PATIENCE};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vstream_jwt::dev::DevOptions;
use vstream_jwt::engine::confirm::{Confirmation, confirm};
use vstream_jwt::model::claims::{Token, TrustAnchor};
use vstream_jwt::model::nkey::{KeyKind, PublicKey};
use vstream_jwt::model::topology::Tls;
use vstream_jwt::nats::{ConnectError, ConnectOptions, LoginMethod, NatsConnection, connect};
use vstream_jwt::observed::{Deployment, Live, RequestError, Stored, system};
use vstream_jwt::plan::preflight::{self, AccountRef};
use vstream_jwt::resolver::push::{self, Answer, PushError};
use vstream_jwt::resolver::{Resolver, servers};
use vstream_jwt::sign::user::{UserPermissions, mint_user};
use vstream_jwt::sign::{Seed, SignedToken, Signer as _, file::read_seed_file, issue};
use vstream_jwt::verify::account::TokenState;

const TIME: Duration = Duration::from_secs(5);

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn key(cluster: &Cluster, name: &str) -> Seed {
    read_seed_file(&cluster.keys_folder().join(name)).unwrap()
}

fn system_account(cluster: &Cluster) -> PublicKey {
    PublicKey::parse(cluster.system_account_id()).unwrap()
}

fn user(signer: &Seed, account: &PublicKey, permissions: &UserPermissions) -> LoginMethod {
    let user = mint_user(signer, Some(account), permissions, now() + 60, now()).unwrap();
    LoginMethod::User { jwt: user.jwt.as_str().to_owned(), seed: Arc::new(user.seed) }
}

async fn try_connect(urls: &[String], access: &LoginMethod, tls: Option<&Tls>) -> Result<NatsConnection, ConnectError> {
    connect(ConnectOptions::new(urls, tls, access, TIME)).await
}

async fn as_system(cluster: &Cluster) -> (NatsConnection, Deployment) {
    let access = LoginMethod::Credentials(cluster.system_credentials_path());
    let connection = try_connect(&cluster.all_urls(), &access, None).await.unwrap();
    let deployment = system::deployment(&connection, TIME).await.unwrap();
    (connection, deployment)
}

/// Returns the claims of an account that no server has.
fn new_account() -> (PublicKey, Value) {
    let id = Seed::generate(KeyKind::Account).unwrap().public_key();
    let unlimited = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1 });
    let mappings = json!({ "foo.>": [
        { "subject": "foo.west.>", "cluster": "west" }, { "subject": "foo.east.>", "cluster": "east", "weight": 40 }
    ] });
    let nats = json!({ "type": "account", "version": 2, "limits": unlimited, "mappings": mappings });
    (id.clone(), json!({ "sub": id, "name": "NEW", "nats": nats }))
}

async fn push_and_confirm(
    (connection, deployment): (&NatsConnection, &Deployment),
    tokens: &[(PublicKey, SignedToken)],
) -> Vec<Confirmation> {
    let outcomes = push::push(connection, deployment, tokens, TIME).await.unwrap();
    assert_eq!(outcomes.len(), tokens.len() * deployment.servers.len());
    assert!(outcomes.iter().all(|outcome| outcome.answer == Answer::Stored), "{outcomes:?}");
    let issuer = Token::decode(tokens[0].1.as_str()).unwrap().issuer().clone();
    confirm(&Resolver::servers(), connection, deployment, &TrustAnchor::of_key(&issuer), tokens, TIME).await.unwrap()
}

#[tokio::test]
async fn the_deployment_is_read_completely_and_at_once() {
    let cluster = &support::account().await;
    let (connection, deployment) = as_system(cluster).await;
    assert_eq!(*connection.account(), system_account(cluster));
    assert_eq!((deployment.servers.len(), deployment.expected), (9, 9));
    assert_eq!(deployment.clusters(), ["central", "east", "west"]);
    // The identity key is not trusted, because usage is strict.
    let trusted = [key(cluster, "op.nk").public_key().to_string()];
    for server in &deployment.servers {
        assert_eq!(server.trusted_keys, trusted);
        assert_eq!(server.system_account, cluster.system_account_id());
        assert_eq!((server.max_payload, server.version.as_str()), (1_048_576, cluster.server_version()));
    }
    let (ours, other) = (key(cluster, "op.nk").public_key(), Seed::generate(KeyKind::Operator).unwrap().public_key());
    let anchor = TrustAnchor::of_key(&ours);
    assert_eq!(preflight::signer(&anchor, &deployment, &ours), None);
    assert!(preflight::signer(&anchor, &deployment, &other).is_some());
}

#[tokio::test]
async fn each_failure_to_connect_has_its_name() {
    let cluster = &support::account().await;
    let (urls, sys) = (cluster.urls("west"), LoginMethod::Credentials(cluster.system_credentials_path()));

    let nobody = vec!["nats://127.0.0.1:1".to_owned(), "nats://no-such-host.invalid:4222".to_owned()];
    let error = try_connect(&nobody, &sys, None).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert!(nobody.iter().all(|url| error.to_string().contains(url)), "{error}");
    let first_is_dead = [&nobody[..1], &urls].concat();
    assert!(try_connect(&first_is_dead, &sys, None).await.is_ok());

    let missing = LoginMethod::Credentials(PathBuf::from("no/such.creds"));
    assert_eq!(try_connect(&urls, &missing, None).await.unwrap_err().code(), "file-unreadable");

    let stranger = Seed::generate(KeyKind::Account).unwrap();
    let access = user(&stranger, &stranger.public_key(), &UserPermissions::only(&[], &[]));
    let error = try_connect(&urls, &access, None).await.unwrap_err();
    assert_eq!(error.code(), "authorization-violation");
    assert!(error.to_string().contains(&stranger.public_key().to_string()), "{error}");

    let everything = UserPermissions::only(&[], &[]);
    let expired =
        mint_user(&key(cluster, "sys.nk"), Some(&system_account(cluster)), &everything, now() - 7, now() - 60);
    let expired = expired.unwrap();
    let expired = LoginMethod::User { jwt: expired.jwt.as_str().to_owned(), seed: Arc::new(expired.seed) };
    assert_eq!(try_connect(&urls, &expired, None).await.unwrap_err().code(), "credentials-expired");

    let app = LoginMethod::Credentials(cluster.credentials_path());
    let options = ConnectOptions::new(&urls, None, &app, TIME);
    let expected = system_account(cluster);
    let error = connect(options.account(&expected)).await.unwrap_err();
    assert_eq!(error.code(), "credentials-of-another-account");

    let connection = try_connect(&urls, &app, None).await.unwrap();
    let error = system::deployment(&connection, TIME).await.unwrap_err();
    assert!(matches!(error, RequestError::NoResponders(_)), "{error}");
    assert_eq!(preflight::system_account_silent(connection.account(), &error).code, "system-account");
}

#[tokio::test]
async fn missing_permissions_are_errors_not_timeouts() {
    let cluster = &support::account().await;
    let (urls, signer, account) = (cluster.urls("east"), key(cluster, "sys.nk"), system_account(cluster));
    let start = Instant::now();

    // The permissions for reads are enough to read, but not to push.
    let reads = [&system::SUBJECTS[..], &servers::SUBJECTS[..]].concat();
    let access = user(&signer, &account, &UserPermissions::only(&reads, &["_INBOX.>"]));
    let connection = try_connect(&urls, &access, None).await.unwrap();
    let deployment = system::deployment(&connection, TIME).await.unwrap();
    let (id, claims) = new_account();
    let on_servers = servers::accounts(&connection, &deployment, std::slice::from_ref(&id), TIME).await.unwrap();
    assert!(on_servers[0].iter().all(|on| (&on.stored, &on.live) == (&Stored::Nothing, &Live::NotLoaded)));
    let tokens = [(id.clone(), issue(&claims, &key(cluster, "op.nk"), now()).unwrap())];
    let error = push::push(&connection, &deployment, &tokens, TIME).await.unwrap_err();
    let cause = RequestError::Permission(push::SUBJECT.to_owned());
    assert_eq!(error, PushError::Request { account: id, cause });

    let access = user(&signer, &account, &UserPermissions::only(&["$SYS.>"], &["_OTHER.>"]));
    let connection = try_connect(&urls, &access, None).await.unwrap();
    let error = system::deployment(&connection, TIME).await.unwrap_err();
    assert!(error.to_string().contains("may not subscribe to _INBOX."), "{error}");
    assert!(start.elapsed() < TIME, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_push_is_confirmed_on_every_server_and_a_hundred_are_quick() {
    let cluster = &support::account().await;
    let (connection, deployment) = as_system(cluster).await;
    let operator = key(cluster, "op.nk");
    let (id, claims) = new_account();
    let found = push_and_confirm((&connection, &deployment), &[(id, issue(&claims, &operator, now()).unwrap())]).await;
    assert!(found.iter().all(|one| one.verdict == TokenState::StoredNotLoaded), "{found:?}");

    let tokens: Vec<_> = (0..100)
        .map(|_| {
            let (id, claims) = new_account();
            (id, issue(&claims, &operator, now()).unwrap())
        })
        .collect();
    let found = push_and_confirm((&connection, &deployment), &tokens).await;
    assert!(found.iter().all(|one| one.verdict.is_confirmed()), "{found:?}");
    assert_eq!(found.len(), 900);
}

#[tokio::test]
async fn live_mappings_and_an_untrusted_signer_are_seen() {
    let cluster = &support::account().await;
    let (connection, deployment) = as_system(cluster).await;
    let operator = key(cluster, "op.nk");
    let signing = Seed::generate(KeyKind::Account).unwrap();
    let (id, mut claims) = new_account();
    claims["nats"]["signing_keys"] = json!([signing.public_key()]);
    let issued = now();
    let good = issue(&claims, &operator, issued).unwrap();
    push_and_confirm((&connection, &deployment), &[(id.clone(), good)]).await;

    // A client makes its server load the account.
    let access = user(&signing, &id, &UserPermissions::only(&[], &[]));
    let client = try_connect(&cluster.urls("west")[..1], &access, None).await.unwrap();
    claims["nats"]["mappings"]["bar.*"] = json!([{ "subject": "baz.{{wildcard(1)}}", "weight": 30 }]);
    let good = issue(&claims, &operator, issued + 1).unwrap();
    let found = push_and_confirm((&connection, &deployment), &[(id.clone(), good.clone())]).await;
    let here = found.iter().find(|one| one.server == client.server_name()).unwrap();
    assert_eq!(here.verdict, TokenState::Confirmed);
    assert!(found.iter().all(|one| one.verdict.is_confirmed()), "{found:?}");

    // Every server answers 200 to a token that none of them trusts.
    let bad = issue(&claims, &Seed::generate(KeyKind::Operator).unwrap(), issued + 2).unwrap();
    let start = Instant::now();
    let found = push_and_confirm((&connection, &deployment), &[(id.clone(), bad)]).await;
    assert!(found.iter().all(|one| matches!(one.verdict, TokenState::Untrusted { .. })), "{found:?}");
    assert!(start.elapsed() < TIME);

    // The token in force can still be the base, and a newer token repairs the account.
    let on_servers = servers::accounts(&connection, &deployment, std::slice::from_ref(&id), TIME).await.unwrap();
    let (account, anchor) = (AccountRef { name: "NEW", id: &id }, TrustAnchor::of_key(&operator.public_key()));
    let (base, findings) = preflight::base(account, &anchor, &deployment, &on_servers[0], now());
    let base = base.unwrap();
    assert_eq!((base.token.as_str(), base.newest_iat), (good.as_str(), base.claims.issued_at()));
    assert_eq!(findings[0].code, "token-untrusted");
    let again = issue(base.claims.value(), &operator, base.newest_iat + 1).unwrap();
    let found = push_and_confirm((&connection, &deployment), &[(id, again)]).await;
    assert!(found.iter().all(|one| one.verdict.is_confirmed()), "{found:?}");
}

#[tokio::test]
async fn a_server_that_missed_a_push_is_named() {
    let cluster = support::small().await;
    let (connection, all) = as_system(&cluster).await;
    let operator = key(&cluster, "op.nk");
    let (id, claims) = new_account();
    let lost = all.servers.iter().find(|server| server.name != connection.server_name()).unwrap().name.clone();
    cluster.kill(&lost).await.unwrap();

    let start = Instant::now();
    let some = system::deployment(&connection, TIME).await.unwrap();
    assert_eq!((some.servers.len(), some.missing()), (2, 1));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let tokens = [(id.clone(), issue(&claims, &operator, now()).unwrap())];
    let found = push_and_confirm((&connection, &some), &tokens).await;
    assert!(found.iter().all(|one| one.verdict.is_confirmed()), "{found:?}");

    cluster.start(&lost).await.unwrap();
    let all = support::eventually("all servers answer", async || {
        system::deployment(&connection, TIME).await.ok().filter(|found| found.servers.len() == 3)
    })
    .await;
    let on_servers = servers::accounts(&connection, &all, &[id], TIME).await.unwrap().pop().unwrap();
    for on_server in on_servers {
        assert_eq!(on_server.stored == Stored::Nothing, on_server.server == lost, "{on_server:?}");
    }

    // The connection survives the loss of its server.
    let gone = connection.server_name();
    cluster.kill(&gone).await.unwrap();
    let left =
        support::eventually("another server answers", async || system::deployment(&connection, TIME).await.ok()).await;
    assert!(left.servers.len() == 2 && left.servers.iter().all(|server| server.name != gone));
    assert_ne!(connection.server_name(), gone);
}

#[tokio::test]
async fn tls_with_client_certificates() {
    let cluster = support::up(DevOptions { servers: 1, tls: true, ..support::options() }).await;
    let folder = cluster.tls_folder().unwrap();
    let file = |name: &str| Some(folder.join(name));
    let good = Tls { ca: file("ca.pem"), cert: file("client.pem"), key: file("client-key.pem"), first: false };
    let access = LoginMethod::Credentials(cluster.system_credentials_path());
    let urls = cluster.all_urls();
    let attempt = async |tls: Option<Tls>| try_connect(&urls, &access, tls.as_ref()).await;

    let connection = attempt(Some(good.clone())).await.unwrap();
    let deployment = system::deployment(&connection, PATIENCE).await.unwrap();
    assert_eq!(deployment.servers.len(), 3);

    let first = attempt(Some(Tls { first: true, ..good.clone() })).await.unwrap_err();
    assert!(first.to_string().contains("is `first: true` right for this server?"), "{first}");
    let anonymous = attempt(Some(Tls { cert: None, key: None, ..good.clone() })).await.unwrap_err();
    assert!(anonymous.to_string().contains("the server wants a client certificate"), "{anonymous}");

    let refused = [
        (attempt(None).await, "tls"),
        (attempt(Some(Tls { ca: file("gone.pem"), ..good.clone() })).await, "file-unreadable"),
        (attempt(Some(Tls { ca: file("client-key.pem"), ..good.clone() })).await, "file-unreadable"),
        (attempt(Some(Tls { key: None, ..good.clone() })).await, "file-unreadable"),
    ];
    for (result, code) in refused {
        let error = result.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}
