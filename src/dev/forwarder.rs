//! Forwarders in front of the gateway and route ports. The connections between regions go through them, so that they
//! can be cut while the servers keep running.
//!
//! A forwarder knows the server that it stands in front of. It reads the caller from the CONNECT line that gateways and
//! routes send first: `gateway` is the calling cluster, `name` the calling server's id (nats-server 2.15.1,
//! `server/gateway.go` `sendGatewayConnect`, `server/route.go` `sendRouteConnect`).

use super::layout::{DevLayout, STRETCH};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const BUFFER: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections between regions.
pub(super) struct GatewayProxies {
    layout: DevLayout,
    cut: watch::Sender<BTreeSet<String>>,
    /// The region of each server id; a server has a new id after each start.
    regions: Mutex<HashMap<String, String>>,
}

impl GatewayProxies {
    /// Binds every forwarder and starts forwarding.
    pub(super) async fn start(layout: &DevLayout) -> io::Result<Arc<Self>> {
        let proxies = Arc::new(Self {
            layout: layout.clone(),
            cut: watch::Sender::new(BTreeSet::new()),
            regions: Mutex::default(),
        });
        for server in &layout.servers {
            let mut ports = vec![(server.gateway_forwarder, server.gateway_port)];
            if server.cluster == STRETCH {
                ports.push((server.route_forwarder, server.route_port));
            }
            for (port, target) in ports {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
                tokio::spawn(Arc::clone(&proxies).accept(listener, server.region.clone(), target));
            }
        }
        Ok(proxies)
    }

    /// Returns the regions that are cut off.
    pub(super) fn cut_off(&self) -> BTreeSet<String> {
        self.cut.borrow().clone()
    }

    /// Drops all connections of a region to other regions, and refuses new ones.
    pub(super) fn cut(&self, region: &str) {
        self.cut.send_if_modified(|cut| cut.insert(region.to_owned()));
    }

    /// Allows connections of the region again, except to regions that are still cut off.
    pub(super) fn heal(&self, region: &str) {
        self.cut.send_if_modified(|cut| cut.remove(region));
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, region: String, target: u16) {
        loop {
            match listener.accept().await {
                Ok((caller, _)) => {
                    let (proxies, region) = (Arc::clone(&self), region.clone());
                    tokio::spawn(async move {
                        // If either side closes, the connection ends. The servers notice and reconnect.
                        let _ = proxies.forward(caller, &region, target).await;
                    });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn forward(&self, mut caller: TcpStream, to: &str, target: u16) -> io::Result<()> {
        let mut target = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
        caller.set_nodelay(true)?;
        target.set_nodelay(true)?;
        let (from_caller, mut to_caller) = caller.split();
        let (from_target, mut to_target) = target.split();
        let mut from_caller = BufReader::with_capacity(BUFFER, from_caller);
        let mut from_target = BufReader::with_capacity(BUFFER, from_target);

        let back = tokio::io::copy_buf(&mut from_target, &mut to_caller);
        let forth = async {
            let connect = tokio::time::timeout(CONNECT_TIMEOUT, first_line(&mut from_caller)).await??;
            let from = tokio::time::timeout(CONNECT_TIMEOUT, self.caller(&connect)).await??;
            let mut cut = self.cut.subscribe();
            let severed = cut.wait_for(|cut| from != to && (cut.contains(&from) || cut.contains(to)));
            let copied = async {
                to_target.write_all(&connect).await?;
                tokio::io::copy_buf(&mut from_caller, &mut to_target).await
            };
            tokio::select! {
                biased;
                _ = severed => Ok(0),
                copied = copied => copied,
            }
        };
        tokio::select! {
            done = back => done.map(drop),
            done = forth => done.map(drop),
        }
    }

    /// Returns the region of the server that sent this CONNECT line.
    async fn caller(&self, connect: &[u8]) -> io::Result<String> {
        #[derive(Deserialize)]
        struct Connect {
            #[serde(default)]
            gateway: String,
            #[serde(default)]
            name: String,
        }
        let json = connect.strip_prefix(b"CONNECT ").ok_or(io::ErrorKind::InvalidData)?;
        let Connect { gateway, name } = serde_json::from_slice(json)?;
        if self.layout.regions.contains(&gateway) {
            return Ok(gateway);
        }
        loop {
            let known = self.regions.lock().ok().and_then(|regions| regions.get(&name).cloned());
            if let Some(region) = known {
                return Ok(region);
            }
            self.ask_ids().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reads the ids of the stretch cluster's servers, which are in INFO, the first line to a client.
    async fn ask_ids(&self) {
        #[derive(Deserialize)]
        struct Info {
            server_id: String,
        }
        for server in self.layout.in_cluster(STRETCH) {
            let asked = async {
                let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.client_port)).await?;
                let line = first_line(&mut BufReader::new(&mut stream)).await?;
                let json = line.strip_prefix(b"INFO ").ok_or(io::ErrorKind::InvalidData)?;
                Ok::<_, io::Error>(serde_json::from_slice::<Info>(json)?.server_id)
            };
            if let Ok(Ok(id)) = tokio::time::timeout(Duration::from_millis(500), asked).await
                && let Ok(mut regions) = self.regions.lock()
            {
                regions.insert(id, server.region.clone());
            }
        }
    }
}

async fn first_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(BUFFER as u64).read_until(b'\n', &mut line).await?;
    if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
