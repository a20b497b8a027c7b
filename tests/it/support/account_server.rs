//! An HTTP account server with the protocol of nats-account-server: `GET` and `POST` of `/jwt/v1/accounts/<id>`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Account server that ends with the runtime of the test.
pub struct AccountServer {
    pub url: String,
    pub tokens: Arc<Mutex<BTreeMap<String, String>>>,
    /// Answer to every `POST`; if `None`, the server stores the token.
    pub refuses: Arc<Mutex<Option<&'static str>>>,
}

impl AccountServer {
    pub async fn start(tokens: BTreeMap<String, String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwt/v1/accounts/", listener.local_addr().unwrap());
        let (tokens, refuses) = (Arc::new(Mutex::new(tokens)), Arc::new(Mutex::new(None)));
        let (kept, refused) = (tokens.clone(), refuses.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, kept.clone(), refused.clone()));
            }
        });
        Self { url, tokens, refuses }
    }

    pub fn token(&self, id: &str) -> Option<String> {
        self.tokens.lock().unwrap().get(id).cloned()
    }
}

async fn serve(
    stream: TcpStream,
    tokens: Arc<Mutex<BTreeMap<String, String>>>,
    refuses: Arc<Mutex<Option<&'static str>>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut request, mut length) = (String::new(), 0);
        stream.read_line(&mut request).await.ok().filter(|read| *read > 0)?;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.ok()?;
            let Some((name, value)) = header.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let id = path.strip_prefix("/jwt/v1/accounts/").unwrap().to_owned();
        let (status, answer) = match (method, *refuses.lock().unwrap()) {
            ("GET", _) if id.is_empty() => ("200 OK", String::new()),
            ("GET", _) => match tokens.lock().unwrap().get(&id) {
                Some(token) => ("200 OK", token.clone()),
                None => ("404 Not Found", "no matching account JWT".to_owned()),
            },
            (_, Some(text)) => ("400 Bad Request", text.to_owned()),
            (_, None) => {
                tokens.lock().unwrap().insert(id, String::from_utf8(body).unwrap());
                ("200 OK", String::new())
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}
