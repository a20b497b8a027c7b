use super::super::login::LoginMethod;
use super::*;
use crate::model::nkey::KeyKind;
use crate::sign::Seed;
use crate::sign::user::{MintedUser, UserPermissions, mint_user};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

#[test]
fn permission_violations_are_understood() {
    let publish = Violation::Publish("$SYS.REQ.CLAIMS.UPDATE".to_owned());
    let subscription = Violation::Subscription("_INBOX.>".to_owned());
    let parse = |text| parse_violation(text);
    assert_eq!(parse(r#"Permissions Violation for Publish to "$SYS.REQ.CLAIMS.UPDATE""#), Some(publish));
    assert_eq!(parse(r#"Permissions Violation for Subscription to "_INBOX.>""#), Some(subscription));
    assert_eq!(parse("Maximum Payload Violation"), None);
}

const INFO: &str = "INFO {\"server_id\":\"N\",\"server_name\":\"n\",\"version\":\"2.15.1\",\"go\":\"go\",\"host\":\"127.0.0.1\",\
    \"port\":1,\"headers\":true,\"max_payload\":1048576,\"proto\":1}\r\n";
const NOW: u64 = 1_800_000_000;
const NOBODY: &str = "NATS/1.0 503\r\n\r\n";

/// Acts as a server for one client. Answers each request with "no responders", then with these payloads, then with "no
/// responders" again.
fn play(mut client: TcpStream, payloads: &[&str]) -> std::io::Result<()> {
    client.write_all(INFO.as_bytes())?;
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut line, mut inbox) = (String::new(), String::new());
    while reader.read_line(&mut line)? > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["PING"] => client.write_all(b"PONG\r\n")?,
            ["SUB", _, .., sid] => inbox = sid.to_owned(),
            ["PUB", _, reply, size] | ["HPUB", _, reply, _, size] => {
                reader.read_exact(&mut vec![0; size.parse::<usize>().unwrap() + 2])?;
                let length = NOBODY.len();
                let nobody = format!("HMSG {reply} {inbox} {length} {length}\r\n{NOBODY}\r\n");
                client.write_all(nobody.as_bytes())?;
                for payload in payloads {
                    let message = format!("MSG {reply} {inbox} {}\r\n{payload}\r\n", payload.len());
                    client.write_all(message.as_bytes())?;
                }
                client.write_all(nobody.as_bytes())?;
            }
            _ => {}
        }
        line.clear();
    }
    Ok(())
}

async fn connection(payloads: &'static [&'static str]) -> NatsConnection {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || play(listener.accept().unwrap().0, payloads));
    let account = Seed::generate(KeyKind::Account).unwrap();
    let MintedUser { jwt, seed } =
        mint_user(&account, None, &UserPermissions::only(&[">"], &[">"]), NOW + 60, NOW).unwrap();
    let access = LoginMethod::User { jwt: jwt.as_str().to_owned(), seed: Arc::new(seed) };
    let login = Login::load(&access, None, NOW).unwrap();
    let client = async_nats::connect(&url).await.unwrap();
    NatsConnection::new(client, &login, Denied::new(), url).await.unwrap()
}

const TIME: Duration = Duration::from_secs(5);

/// Any user who may answer can send the forged answer before the real ones.
#[tokio::test]
async fn no_responders_are_no_answer_where_others_come() {
    let connection = connection(&["a", "b"]).await;
    let mut seen = Vec::new();
    let enough = |replies: &[Reply]| {
        seen.push(replies.len());
        replies.len() == 2
    };
    let replies = connection.request_many("a.b", Vec::new(), TIME, enough).await.unwrap();
    assert_eq!(replies.iter().map(|reply| &*reply.payload).collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(seen, [0, 1, 2]);
    let replies = connection.request_many("a.b", Vec::new(), Duration::from_millis(300), |_| false).await.unwrap();
    assert_eq!(replies.len(), 2);
}

#[tokio::test]
async fn no_responders_alone_are_an_error() {
    let connection = connection(&[]).await;
    let nobody = |subject: &str| RequestError::NoResponders(subject.to_owned());
    let begun = Instant::now();
    assert_eq!(connection.request("a", Vec::new(), TIME).await, Err(nobody("a")));
    assert_eq!(connection.publish_after("b", 7, Vec::new(), TIME).await.map(|_| ()), Err(nobody("b")));
    assert_eq!(connection.request_many("c", Vec::new(), TIME, |_| true).await, Err(nobody("c")));
    assert!(begun.elapsed() < TIME, "{:?}", begun.elapsed());
    let waiting = connection.request_many("d", Vec::new(), Duration::from_millis(100), |_| false).await;
    assert_eq!(waiting, Err(nobody("d")));
}
