//! Finds a server that accepts the user.

use super::connection::{Denied, NatsConnection};
use super::login::Login;
use super::{ConnectError, LoginMethod};
use crate::files::{read, read_secret, read_text};
use crate::model::nkey::PublicKey;
use crate::model::topology::Tls;
use crate::sign::Signer as _;
use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{ClientConfig, RootCertStore};
use async_nats::{ConnectErrorKind, Event, ServerError};
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::error::Error as _;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

/// Time without an answer after which the next server is tried in parallel.
const NEXT_SERVER_TIMEOUT: Duration = Duration::from_millis(150);

/// Most bytes by which this process may grow while it connects. Reading answers on other connections takes some, too.
const GROWTH: u64 = 128 << 20;
/// Operations that tokio allows a task in one turn (its `coop` module), and the share of a connecting client. Between
/// the client's turns, the growth of the process is checked.
const TURN: usize = 128;
const READS: usize = 16;

/// Size of the largest file of certificates that is read, in bytes. A system's whole list has some 250 kB.
const PEM: usize = 4 << 20;

/// A server to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// `nats://host:port` or `tls://host:port`; `ws://` and `wss://` for WebSockets.
    pub url: &'a str,
    /// The TLS settings for it.
    pub tls: Option<&'a Tls>,
}

/// The options of [`connect`].
#[derive(Debug, Clone)]
pub struct ConnectOptions<'a> {
    /// The servers, tried in this order; the first that answers is used.
    pub servers: Vec<Target<'a>>,
    /// The user's access.
    pub access: &'a LoginMethod,
    /// The account that the user must belong to, if known. Other credentials are refused before connecting.
    pub account: Option<&'a PublicKey>,
    /// Name of the connection, seen in `CONNZ`.
    pub name: &'a str,
    /// Time for all attempts together.
    pub timeout: Duration,
}

impl<'a> ConnectOptions<'a> {
    /// Returns options for servers that share their TLS settings.
    pub fn new(servers: &'a [String], tls: Option<&'a Tls>, access: &'a LoginMethod, timeout: Duration) -> Self {
        Self {
            servers: servers.iter().map(|url| Target { url, tls }).collect(),
            access,
            account: None,
            name: "vstream-jwt",
            timeout,
        }
    }

    /// Sets the account that the credentials must belong to.
    #[must_use]
    pub fn account(mut self, account: &'a PublicKey) -> Self {
        self.account = Some(account);
        self
    }
}

/// Connects to the first server that answers. A server that does not answer at once does not delay the next one.
///
/// Checks files, seeds, expiry and the account before connecting.
///
/// # Errors
/// [`ConnectError`]. A server's refusal takes precedence over unreachable servers.
pub async fn connect(options: ConnectOptions<'_>) -> Result<NatsConnection, ConnectError> {
    let login = login(options.access.clone(), options.account.cloned()).await?;
    // Most servers share their settings, so each set is read only once.
    let mut configs: Vec<(&Tls, ClientConfig)> = Vec::new();
    let mut targets = Vec::new();
    for target in &options.servers {
        let Some(tls) = target.tls.or(login.tls.as_ref()) else {
            targets.push((target.url, None));
            continue;
        };
        let config = match configs.iter().find(|(known, _)| *known == tls) {
            Some((_, config)) => config.clone(),
            None => {
                let config = client_config(tls)?;
                configs.push((tls, config.clone()));
                config
            }
        };
        targets.push((target.url, Some((config, tls.first))));
    }

    let mut deadline = Instant::now() + options.timeout;
    let mut waiting = targets.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failures: Vec<ConnectFailure> = Vec::new();
    loop {
        if let Some((url, tls)) = waiting.next() {
            attempts.push(attempt(url, tls, &login, &options));
        } else if attempts.is_empty() {
            break;
        }
        let pause = if waiting.len() > 0 { (Instant::now() + NEXT_SERVER_TIMEOUT).min(deadline) } else { deadline };
        let next = tokio::time::timeout_at(pause, attempts.next()).await;
        match next {
            Ok(Some(Ok(connection))) => {
                let widens = connection.widen(options.servers.iter().map(|target| target.url));
                // While the client reconnects it takes no list of servers, and it reconnects for as long as the server
                // refuses the user. Then the requests tell.
                let _ = tokio::time::timeout_at(deadline, widens).await;
                return Ok(connection);
            }
            Ok(Some(Err(failure))) => {
                if failure.kind == FailureKind::Refused {
                    deadline = deadline.min(Instant::now() + Duration::from_secs(1));
                }
                failures.push(failure);
            }
            Ok(None) => {}
            Err(_) if Instant::now() >= deadline => break,
            Err(_) => {}
        }
    }
    drop(attempts);
    Err(judge(&options, &login, failures))
}

/// Reads the access on a thread for blocking work, because it may have to run another program.
async fn login(access: LoginMethod, account: Option<PublicKey>) -> Result<Login, ConnectError> {
    let loading = tokio::task::spawn_blocking(move || Login::load(&access, account.as_ref(), now()));
    loading.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Returns the time in seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Runs `connecting` in a separate task. Returns `None` once this process has grown far more than connecting needs. The
/// client keeps everything that a server sends before its greeting. The limit works only if `/proc` reports the size of
/// the process.
async fn bounded<T: Send + 'static>(connecting: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let before = resident();
    let mut connecting = Box::pin(connecting);
    let watched = poll_fn(move |context| {
        if before.zip(resident()).is_some_and(|(before, now)| now > before.saturating_add(GROWTH)) {
            return Poll::Ready(None);
        }
        // Each read of a turn may bring megabytes, if the server sends faster than this process reads.
        for _ in READS..TURN {
            ready!(pin!(consume_budget()).poll(context));
        }
        connecting.as_mut().poll(context).map(Some)
    });
    // The task ends with this future.
    let mut task = JoinSet::new();
    task.spawn(watched);
    match task.join_next().await {
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        joined => joined.and_then(Result::ok).flatten(),
    }
}

/// Returns the memory of this process, in bytes.
fn resident() -> Option<u64> {
    let status = read_text(Path::new("/proc/self/status"), 1 << 20).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|size| size << 10)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    Refused,
    Tls,
    Unreachable,
}

#[derive(Debug)]
struct ConnectFailure {
    url: String,
    kind: FailureKind,
    reason: String,
}

fn judge(options: &ConnectOptions<'_>, login: &Login, failures: Vec<ConnectFailure>) -> ConnectError {
    let first = |kind| failures.iter().find(|failure| failure.kind == kind);
    if let Some(ConnectFailure { url, reason, .. }) = first(FailureKind::Refused) {
        let (user, account) = (login.user.clone(), login.account.clone());
        let claims = Box::new(login.as_user().map(|user| user.claims).unwrap_or_default());
        return ConnectError::Refused { url: url.clone(), user, account, reason: reason.clone(), claims };
    }
    if let Some(ConnectFailure { url, reason, .. }) = first(FailureKind::Tls) {
        return ConnectError::Tls { url: url.clone(), reason: reason.clone() };
    }
    let why = |url: &str| {
        let failure = failures.iter().find(|failure| failure.url == url);
        failure.map_or_else(|| format!("no answer within {:?}", options.timeout), |failure| failure.reason.clone())
    };
    let tried = options.servers.iter().map(|target| (without_secrets(target.url), why(target.url))).collect();
    ConnectError::Unreachable { tried }
}

/// Tries one server. `tls` has the TLS settings, and whether the TLS handshake comes first.
async fn attempt(
    url: &str,
    tls: Option<(ClientConfig, bool)>,
    login: &Login,
    options: &ConnectOptions<'_>,
) -> Result<NatsConnection, ConnectFailure> {
    let (seed, denied) = (login.seed.clone(), Denied::new());
    let report = denied.clone();
    let mut connect = async_nats::ConnectOptions::with_jwt(login.jwt.clone(), move |nonce| {
        let signature = seed.sign(&nonce).map(|signature| signature.to_vec()).map_err(async_nats::AuthError::new);
        async move { signature }
    })
    .name(options.name)
    .connection_timeout(options.timeout)
    // After two pings without an answer, the client leaves a server for another one.
    .ping_interval(Duration::from_secs(2))
    .reconnect_delay_callback(|attempt| {
        Duration::from_millis(100).saturating_mul(attempt.saturating_sub(1) as u32).min(Duration::from_secs(2))
    })
    .event_callback(move |event| {
        match event {
            Event::ServerError(ServerError::Other(text)) => report.server_said(&text),
            Event::Disconnected => report.was_lost(),
            _ => {}
        }
        async {}
    });
    if let Some(prefix) = &login.inbox_prefix {
        connect = connect.custom_inbox_prefix(prefix);
    }
    if url.starts_with("ws") {
        // Servers announce the addresses of other servers without their scheme.
        connect = connect.ignore_discovered_servers();
    }
    if tls.is_some() && url.starts_with("ws://") {
        let reason = "`ws://` is without TLS, and `tls:` is set for it; write wss://".to_owned();
        return Err(ConnectFailure { url: without_secrets(url), kind: FailureKind::Tls, reason });
    }
    if let Some((config, first)) = tls {
        // A server without TLS is never the intended one, regardless of other settings.
        connect = connect.require_tls(true).tls_client_config(config);
        if first {
            connect = connect.tls_first();
        }
    }
    let failed = |(kind, reason)| ConnectFailure { url: url.to_owned(), kind, reason };
    let server = url.to_owned();
    let client = match bounded(async move { connect.connect(server).await }).await {
        Some(connected) => connected.map_err(|error| failed(classify(&error)))?,
        None => {
            let reason = format!("sends more than {} MiB instead of a greeting", GROWTH >> 20);
            return Err(failed((FailureKind::Unreachable, reason)));
        }
    };
    NatsConnection::new(client, login, denied, without_secrets(url))
        .await
        .map_err(|reason| failed((FailureKind::Unreachable, reason)))
}

fn classify(error: &async_nats::ConnectError) -> (FailureKind, String) {
    let cause = innermost(error);
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            (FailureKind::Refused, "authorization violation".to_owned())
        }
        ConnectErrorKind::Tls => (FailureKind::Tls, explain_tls(cause)),
        ConnectErrorKind::TimedOut => (FailureKind::Unreachable, "no answer in time".to_owned()),
        _ if is_tls(error) => (FailureKind::Tls, explain_tls(cause)),
        _ if cause.starts_with("nats: ") => (FailureKind::Refused, cause["nats: ".len()..].to_owned()),
        _ if ENDED.iter().any(|ended| cause.eq_ignore_ascii_case(ended)) => {
            (FailureKind::Unreachable, CLOSED.to_owned())
        }
        _ => (FailureKind::Unreachable, cause),
    }
}

/// Reason why there is no connection to a server that was reached but sent nothing.
pub(super) const CLOSED: &str = "it closed the connection";
/// The system's messages for a closed connection.
const ENDED: [&str; 2] = ["broken pipe", "connection reset by peer"];

/// Adds to rustls's message its meaning for the definition.
fn explain_tls(cause: String) -> String {
    let hints = [
        ("UnknownIssuer", "no authority that is known here signed the server's certificate; name it as `ca`"),
        ("CertificateRequired", "the server wants a client certificate; name `cert` and `key`"),
        ("NotValidForName", "the server's certificate is for other names than the one in the URL"),
        ("xpired", "the server's certificate has expired"),
        ("corrupt message", "the other side does not speak TLS here; is `first: true` right for this server?"),
    ];
    match hints.into_iter().find(|(word, _)| cause.contains(word)) {
        Some((_, hint)) => format!("{hint} ({cause})"),
        None => cause,
    }
}

/// Returns the last cause of the chain, which is the most specific.
fn innermost(error: &async_nats::ConnectError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn is_tls(error: &async_nats::ConnectError) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<async_nats::rustls::Error>()
            || inside.is_some_and(|inner| inner.is::<async_nats::rustls::Error>())
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Returns a TLS configuration with these settings. Each file is read once, here, so that the content that was checked
/// is the content that is used.
fn client_config(tls: &Tls) -> Result<ClientConfig, ConnectError> {
    // The key comes first: if other users can read this secret, that is worse than faults of certificates.
    let key = match &tls.key {
        Some(path) => {
            Some((path, read_secret(path, PEM).map_err(|error| ConnectError::unread("TLS key", path, error))?))
        }
        None => None,
    };
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(path) => {
            let failed = |reason: String| ConnectError::File { what: "TLS ca", path: path.clone(), reason };
            for certificate in certificates("TLS ca", path)? {
                roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    match (&tls.cert, key) {
        (Some(cert), Some((path, text))) => {
            let certificates = certificates("TLS cert", cert)?;
            let failed = |reason: String| ConnectError::File { what: "TLS key", path: path.clone(), reason };
            let key = PrivateKeyDer::from_pem_slice(&text)
                .map_err(|_| failed("is not PEM with a `-----BEGIN PRIVATE KEY-----` in it".to_owned()))?;
            builder.with_client_auth_cert(certificates, key).map_err(|error| failed(error.to_string()))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(path), None) | (None, Some((path, _))) => Err(ConnectError::File {
            what: if tls.key.is_none() { "TLS cert" } else { "TLS key" },
            path: path.clone(),
            reason: "a client certificate needs both `cert` and `key`".to_owned(),
        }),
    }
}

/// Reads the certificates of a file, at least one.
fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let text = read(path, PEM).map_err(|error| ConnectError::unread(what, path, error))?;
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(ConnectError::File {
            what,
            path: path.to_owned(),
            reason: "is not PEM with a `-----BEGIN CERTIFICATE-----` in it".to_owned(),
        }),
    }
}

/// Returns a URL without user and password, for messages.
pub(super) fn without_secrets(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        _ => url.to_owned(),
    }
}
