//! Reads and stores tokens on an HTTP account server. `GET` of `<url><account id>` reads an account's token, `POST`
//! stores it. This is the protocol of nats-account-server. The `GET` part is also that of nats-server's `URL(…)`
//! resolver (nats-server 2.15 `accounts.go`, `URLAccResolver`).

use super::error::TokenStoreError;
use crate::files::{read, read_secret};
use crate::model::nkey::PublicKey;
use crate::model::topology::Tls;
use crate::sign::SignedToken;
use futures::future::try_join_all;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// The largest response that is read, in bytes; a token may be 1 MiB.
const LARGEST: u64 = 2 << 20;
/// The largest file with certificates, in bytes.
const PEM: usize = 1 << 20;
/// Number of characters of an error's text that are shown.
const SHOWN: usize = 300;

/// An account server.
#[derive(Debug)]
pub struct AccountServer {
    /// The URL, with a slash at its end.
    url: String,
    agent: Agent,
}

impl AccountServer {
    pub(super) fn new(url: &str, tls: Option<&Tls>) -> Result<Self, TokenStoreError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A token must not go to any other server than the definition names.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Servers use no proxy either (`NewURLAccResolver`).
            .proxy(None)
            .user_agent(concat!("vstream-jwt/", env!("CARGO_PKG_VERSION")));
        let config = match url.starts_with("https://") {
            true => config.tls_config(tls_config(tls).map_err(|message| TokenStoreError {
                message,
                next: "Check the files under `tls:`.".to_owned(),
                is_input: true,
                ..failed(url, String::new())
            })?),
            false => config,
        };
        Ok(Self { url: url.to_owned(), agent: config.build().into() })
    }

    pub(super) fn place(&self) -> String {
        format!("account server {}", self.url)
    }

    /// Returns the account server's token of each account.
    pub(super) async fn tokens(
        &self,
        ids: &[PublicKey],
        timeout: Duration,
    ) -> Result<Vec<Option<String>>, TokenStoreError> {
        try_join_all(ids.iter().map(|id| self.token(id, timeout))).await
    }

    async fn token(&self, id: &PublicKey, timeout: Duration) -> Result<Option<String>, TokenStoreError> {
        let (agent, url) = (self.agent.clone(), format!("{}{id}", self.url));
        let get = move || {
            // A cache in between may have older tokens than those that servers get.
            let request = agent.get(&url).header("Cache-Control", "max-age=0");
            Answer::of(request.config().timeout_global(Some(timeout)).build().call()?)
        };
        match self.ask(get).await? {
            Answer { status: 200, body, .. } => match String::from_utf8(body) {
                Ok(token) if !token.trim().is_empty() => Ok(Some(token)),
                Ok(_) => Ok(None),
                Err(_) => Err(failed(&self.url, format!("what it has of account {id} is no text"))),
            },
            Answer { status: 404, .. } => Ok(None),
            answer => Err(failed(&self.url, format!("asked for account {id}, it answers {}", answer.in_words()))),
        }
    }

    /// Stores a token. The response proves nothing, so the run reads the token again afterwards.
    pub(super) async fn store(
        &self,
        id: &PublicKey,
        token: &SignedToken,
        timeout: Duration,
    ) -> Result<(), TokenStoreError> {
        let (agent, url, body) = (self.agent.clone(), format!("{}{id}", self.url), token.as_str().to_owned());
        let post = move || {
            let request = agent.post(&url).config().timeout_global(Some(timeout)).build();
            Answer::of(request.content_type("application/jwt").send(body)?)
        };
        let refused = |what: String| TokenStoreError {
            next: "Fix what it says, and run apply again: it continues from here.".to_owned(),
            ..failed(&self.url, format!("it does not take the token of account {id}: {what}"))
        };
        match self.ask(post).await {
            Ok(Answer { status: 200 | 201 | 204, .. }) => Ok(()),
            Ok(answer) => Err(refused(answer.in_words())),
            Err(error) => Err(refused(error.message)),
        }
    }

    async fn ask(
        &self,
        call: impl FnOnce() -> Result<Answer, ureq::Error> + Send + 'static,
    ) -> Result<Answer, TokenStoreError> {
        match tokio::task::spawn_blocking(call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed(&self.url, format!("no answer: {error}"))),
            Err(error) => Err(failed(&self.url, format!("no answer: {error}"))),
        }
    }
}

/// A response.
struct Answer {
    status: u16,
    /// Target of a redirect.
    location: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    fn of(mut response: ureq::http::Response<ureq::Body>) -> Result<Self, ureq::Error> {
        let location = response.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
        let body = response.body_mut().with_config().limit(LARGEST).read_to_vec()?;
        Ok(Self { status: response.status().as_u16(), location, body })
    }

    /// Returns the status with the beginning of the text, or with the redirect's target.
    fn in_words(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let short = |text: &str| text.chars().take(SHOWN).collect::<String>();
        match (&self.location, text.is_empty()) {
            (Some(to), _) => format!("{} (it leads to {}; write that URL, if it is right)", self.status, short(to)),
            (None, true) => self.status.to_string(),
            (None, false) => format!("{} ({})", self.status, short(&text)),
        }
    }
}

fn failed(url: &str, message: String) -> TokenStoreError {
    TokenStoreError {
        code: "account-server",
        place: format!("account server {url}"),
        message,
        next: "Check that it is up, and `url` under `resolver:`.".to_owned(),
        is_input: false,
    }
}

fn tls_config(tls: Option<&Tls>) -> Result<TlsConfig, String> {
    // Servers often have a private certificate authority, and an account server another one.
    let system = rustls_native_certs::load_native_certs().certs;
    let mut roots: Vec<Certificate<'static>> =
        system.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    if let Some(path) = tls.and_then(|tls| tls.ca.as_ref()) {
        roots.extend(certificates(path)?);
    }
    let client = match tls.map(|tls| (tls.cert.as_ref(), tls.key.as_ref())) {
        Some((Some(cert), Some(key))) => {
            let text = read_secret(key, PEM).map_err(|error| format!("TLS key {}: {error}", key.display()))?;
            let key = PrivateKey::from_pem(&text)
                .map_err(|_| format!("TLS key {}: is not PEM with a private key in it", key.display()))?;
            Some(ClientCert::new_with_certs(&certificates(cert)?, key))
        }
        _ => None,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).client_cert(client);
    Ok(config.unversioned_rustls_crypto_provider(provider).build())
}

/// Returns the certificates in a file, at least one.
fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let text = read(path, PEM).map_err(|error| format!("TLS certificates {}: {error}", path.display()))?;
    let found: Vec<Certificate<'static>> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match found.is_empty() {
        true => Err(format!("TLS certificates {}: is not PEM with a certificate in it", path.display())),
        false => Ok(found),
    }
}
