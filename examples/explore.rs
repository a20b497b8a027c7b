//! x
use std::time::{Duration, Instant};
use vstream_jwt::{model::nkey::PublicKey, nats::*, observed::Requests, observed::system};
#[tokio::main]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let urls: Vec<String> = a[2].split(',').map(str::to_owned).collect();
    let access =
        if a[1].ends_with(".creds") { Access::Credentials(a[1].clone().into()) } else { Access::Context(a[1].clone()) };
    let t = Instant::now();
    let c = match connect(ConnectOptions::new(&urls, None, &access, Duration::from_secs(3))).await {
        Ok(c) => c,
        Err(e) => {
            println!("{:?} {e}\n{e:?}", t.elapsed());
            return;
        }
    };
    println!("{:?} {c:?} {} {:?}", t.elapsed(), c.server_name(), c.warnings());
    let t = Instant::now();
    let d = system::deployment(&c, Duration::from_secs(3)).await;
    println!("{:?}", t.elapsed());
    let d = match d {
        Ok(d) => d,
        Err(e) => {
            println!("{e}");
            return;
        }
    };
    println!(
        "{} of {} missing {:?} {:?}",
        d.servers.len(),
        d.expected,
        d.missing_names(),
        d.servers.iter().map(|s| (&s.name, &s.trusted_keys)).collect::<Vec<_>>()
    );
    let ids: Vec<PublicKey> = a[3..].iter().map(|k| PublicKey::parse(k).unwrap()).collect();
    let many: Vec<PublicKey> = ids.iter().cloned().cycle().take(100).collect();
    for ids in [ids, many] {
        let t = Instant::now();
        let r = system::accounts(&c, &d, &ids, Duration::from_secs(3)).await.unwrap();
        println!("{} accounts {:?}", r.len(), t.elapsed());
        if ids.len() < 5 {
            for x in r {
                for y in x {
                    println!(
                        "{} {} {}",
                        y.server,
                        format!("{:?}", y.stored).chars().take(60).collect::<String>(),
                        format!("{:?}", y.live).chars().take(60).collect::<String>()
                    )
                }
            }
        }
    }
    println!("{:?}", c.request("$SYS.REQ.NOPE", vec![], Duration::from_secs(1)).await);
}
