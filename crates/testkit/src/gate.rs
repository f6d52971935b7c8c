//! A gate before a PostgreSQL server: it passes connections on, or has the server be away in one of many ways.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    /// Nothing comes back any more, as if packets were dropped.
    Silent,
    /// Connections are taken and ended at once.
    Closing,
    /// The server says that it is starting up.
    Starting,
}

/// The gate; it and its connections end when dropped.
pub struct Gate {
    address: SocketAddr,
    way: watch::Sender<Way>,
    _task: JoinSet<()>,
}

/// `FATAL`, `57P03`, as PostgreSQL says it.
const STARTING: &[u8] = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";

impl Gate {
    /// Before the server of this URL.
    pub async fn start(url: &str) -> Result<Self> {
        let server = place(url)?.parse()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let way = watch::Sender::new(Way::Open);
        let ways = way.subscribe();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                tokio::select! {
                    client = listener.accept() => {
                        let Ok((client, _)) = client else { return };
                        let ways = ways.clone();
                        open.spawn(async move {
                            // Whatever ends a connection, ends it.
                            let _ended = pass(client, server, ways).await;
                        });
                    }
                    Some(_) = open.join_next() => {}
                }
            }
        });
        Ok(Self { address, way, _task: task })
    }

    /// The URL with the gate in the place of its server.
    pub fn url(&self, url: &str) -> Result<String> {
        Ok(url.replacen(place(url)?, &self.address.to_string(), 1))
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

fn place(url: &str) -> Result<&str> {
    let rest = url.split_once('@').context("a user")?.1;
    Ok(rest.split_once('/').context("a database")?.0)
}

async fn pass(mut client: TcpStream, server: SocketAddr, mut ways: watch::Receiver<Way>) -> Result<()> {
    let way = *ways.borrow_and_update();
    if way == Way::Open {
        let mut server = TcpStream::connect(server).await?;
        tokio::select! {
            ended = copy_bidirectional(&mut client, &mut server) => return Ok(ended.map(drop)?),
            changed = ways.wait_for(|way| *way != Way::Open) => drop(changed?),
        }
        // What is silent stays so also when the way is open again: whoever drops packets has forgotten the connection.
        if *ways.borrow() == Way::Silent {
            std::future::pending::<()>().await;
        }
        return Ok(());
    }
    match way {
        Way::Silent => std::future::pending().await,
        Way::Starting => {
            let mut hello = [0; 1_024];
            let _length = client.read(&mut hello).await?;
            let length = u32::try_from(STARTING.len() + 4)?.to_be_bytes();
            Ok(client.write_all(&[&b"E"[..], &length, STARTING].concat()).await?)
        }
        Way::Open | Way::Closing => Ok(()),
    }
}
