//! Servers that send without end: a run disconnects from them, and reports it.

use super::DEFINITION;
use super::secrets::{Project, credentials, measured};
use std::io::{BufRead as _, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const INFO: &str = "INFO {\"server_id\":\"N\",\"server_name\":\"n\",\"version\":\"2.15.1\",\"go\":\"go\",\"host\":\"127.0.0.1\",\
    \"port\":1,\"headers\":true,\"max_payload\":1048576,\"proto\":1,\"nonce\":\"abc\"}\r\n";

/// The moment a flood begins, and the data it sends.
#[derive(Clone, Copy, Debug)]
enum Flood {
    InsteadOfGreeting,
    InsteadOfWelcome,
    MessageInReply,
    MessagesInReply,
}

/// Plays a server for one client, until the client disconnects.
fn play(mut client: TcpStream, flood: Flood) -> std::io::Result<()> {
    const HUGE: &str = "20000000000\r\n";
    let chunk = vec![b'x'; 1 << 16];
    let forever = |client: &mut TcpStream, begin: &str, again: &[u8]| -> std::io::Result<()> {
        client.write_all(begin.as_bytes())?;
        loop {
            client.write_all(again)?;
        }
    };
    if let Flood::InsteadOfGreeting = flood {
        return forever(&mut client, "INFO {\"x\":\"", &chunk);
    }
    client.write_all(INFO.as_bytes())?;
    if let Flood::InsteadOfWelcome = flood {
        return forever(&mut client, &format!("MSG a 1 {HUGE}"), &chunk);
    }
    let mut inbox = String::new();
    for line in BufReader::new(client.try_clone()?).lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["PING"] => client.write_all(b"PONG\r\n")?,
            // `SUB subject sid`
            ["SUB", _, .., sid] => inbox = sid.to_owned(),
            ["PUB" | "HPUB", _, reply, _, ..] => {
                let head = format!("MSG {reply} {inbox} ");
                return match flood {
                    Flood::MessageInReply => forever(&mut client, &format!("{head}{HUGE}"), &chunk),
                    _ => {
                        let body = format!("{head}1024\r\n{}\r\n", "x".repeat(1024));
                        forever(&mut client, "", body.repeat(64).as_bytes())
                    }
                };
            }
            _ => {}
        }
    }
    Ok(())
}

/// Without a limit, a run took 3.9 GB in five seconds.
#[test]
#[cfg(target_os = "linux")]
fn a_server_that_sends_without_end_is_left() {
    let project = Project::new();
    project.write("keys/sys.creds", credentials(&project));
    for (flood, words) in [
        // On a busy machine the timeout may come first.
        (Flood::InsteadOfGreeting, "no server answers"),
        (Flood::InsteadOfWelcome, "sends more than 128 MiB instead of a greeting"),
        (Flood::MessageInReply, "sent data without end, and was left"),
        (Flood::MessagesInReply, "answer"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                std::thread::spawn(move || play(client, flood));
            }
        });
        project.write("vstream.yaml", DEFINITION.replace("127.0.0.1:1]", &format!("127.0.0.1:{port}]")));
        let begun = Instant::now();
        let (exit, most, said) = measured(&project, &["plan", "--timeout", "20s"]);
        eprintln!("{flood:?}: {} MB in {:.1?}", most / 1000, begun.elapsed());
        assert!(exit == Some(1) && said.contains(words), "{flood:?}: {exit:?}: {said}");
        assert!(most < 700_000, "{flood:?}: {most} kB");
        assert!(begun.elapsed() < Duration::from_secs(60), "{flood:?}: {:?}", begun.elapsed());
    }
}

/// With `tls:`, a run sends nothing in the clear to a server that does not ask for TLS. No setting elsewhere changes
/// that: such a server is an error.
#[test]
fn tls_means_tls() {
    let project = Project::new();
    project.write("keys/sys.creds", credentials(&project));
    let key = rcgen::KeyPair::generate().unwrap();
    let ca = rcgen::CertificateParams::new(vec!["ca".to_owned()]).unwrap().self_signed(&key).unwrap();
    project.write("ca.pem", ca.pem());
    let creds = project.absolute("keys/sys.creds");
    project.write("config/nats/context/plain.json", serde_json::json!({ "creds": creds }).to_string());
    let context = serde_json::json!({ "creds": creds, "ca": project.absolute("ca.pem") });
    project.write("config/nats/context/ca.json", context.to_string());
    let context = serde_json::json!({ "creds": creds, "tls_first": true });
    project.write("config/nats/context/first.json", context.to_string());

    let context = |name: &'static str| ("credentials: keys/sys.creds", format!("context: {name}"));
    let top = |tls: &str| ("regions:", format!("tls: {tls}\nregions:"));
    let region = |tls: &str| ("127.0.0.1:1]", format!("127.0.0.1:1], tls: {tls}"));
    for ((from, to), first, clear) in [
        (("regions:", "regions:".to_owned()), false, true),
        (context("plain"), false, true),
        (top("{ first: false }"), false, false),
        (top("{ ca: ca.pem }"), false, false),
        (top("{ first: true }"), true, false),
        (region("{ first: false }"), false, false),
        (region("{ ca: ca.pem }"), false, false),
        (region("{ first: true }"), true, false),
        (context("ca"), false, false),
        (context("first"), true, false),
    ] {
        let (port, heard) = listen(first);
        let definition = DEFINITION.replace(from, &to).replace("127.0.0.1:1]", &format!("127.0.0.1:{port}]"));
        project.write("vstream.yaml", definition);
        let (exit, said) = project.run(&["plan", "--timeout", "3s"]);
        assert_eq!(exit, Some(1), "{to}: {said}");
        let spoken = heard.recv_timeout(Duration::from_secs(20)).unwrap();
        let spoke_clear = spoken.windows(7).any(|word| word == b"CONNECT");
        assert_eq!(spoke_clear, clear, "{to}: {}", String::from_utf8_lossy(&spoken));
        // The client sends at most a TLS handshake, and with `first` it sends it without a greeting.
        assert!(clear || spoken.first().map_or(!first, |byte| *byte == 0x16), "{to}: {spoken:?}");
    }
}

/// Starts a server without TLS, which greets, or waits if the client speaks `first`. Returns the port, and everything
/// that the first client sends.
fn listen(first: bool) -> (u16, std::sync::mpsc::Receiver<Vec<u8>>) {
    use std::io::Read as _;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let greeted = if first { Ok(()) } else { client.write_all(INFO.as_bytes()) };
            client.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
            let mut spoken = Vec::new();
            let _ = greeted.and_then(|()| client.read_to_end(&mut spoken));
            let _ = send.send(spoken);
        }
    });
    (port, heard)
}
