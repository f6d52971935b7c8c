//! Accepts HTTP connections while there is room, and lets requests that have begun end when the server stops.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Extension, Router, extract::ConnectInfo};
use endpoints::net::{Counts, Most, Place, Proxies, Socket};
use hyper::server::conn::http1::Builder;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::Network;

use super::stream::Brisk;

/// How connections are treated.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Connections at the same time; further ones wait to be accepted.
    pub(crate) connections: usize,
    /// From one request to the end of the next one's header: neither silence nor a trickle holds a place for ever.
    pub(crate) header_within: Duration,
    /// For a piece of an answer to be taken.
    pub(crate) write_within: Duration,
    /// Connections from one client at the same time; further ones are refused.
    pub(crate) per_client: usize,
    /// HTTP proxies, which connect for many clients. So does this machine.
    pub(crate) proxies: Vec<Network>,
}

/// Said to a client that has too many connections.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 5\r\n\r\n";

/// After an `accept` that failed, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the stop; each connection is a task that ends what it has begun.
pub(crate) async fn serve(
    socket: Socket,
    app: Router,
    limits: Limits,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let Socket { listener, proxies } = socket;
    let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    // HTTP/2 goes with TLS, which a proxy in front ends.
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_within);
    let door = Arc::new(Door { app, builder, proxies, limits, counts: Arc::default(), stop });
    while let Some((stream, peer, place)) = door.stop.run_until_cancelled(accept(&listener, &places)).await {
        let door = Arc::clone(&door);
        tasks.spawn(async move {
            door.converse(stream, peer).await;
            drop(place);
        });
    }
}

/// What all connections have in common.
struct Door {
    app: Router,
    builder: Builder,
    proxies: Proxies,
    limits: Limits,
    counts: Arc<Counts>,
    stop: CancellationToken,
}

impl Door {
    async fn converse(&self, mut stream: TcpStream, peer: SocketAddr) {
        let Ok(client) = self.proxies.client(&mut stream, peer).await else { return };
        let Some(_place) = self.limits.admit(&self.counts, client.ip()) else {
            metrics::counter!("magpie_connections_refused_total", "listener" => "http").increment(1);
            // Whether it can be told is up to it.
            let _ = stream.try_write(BUSY);
            return;
        };
        let stream = Brisk::new(stream, self.limits.write_within);
        let service = TowerToHyperService::new(self.app.clone().layer(Extension(ConnectInfo(client))));
        let mut connection =
            pin!(self.builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(peer = %client, %error, "connection lost");
        }
    }
}

impl Limits {
    /// A place among those of the client, if it has one left; who is not counted always has.
    fn admit(&self, counts: &Arc<Counts>, client: IpAddr) -> Option<Option<Place>> {
        let client = client.to_canonical();
        if client.is_loopback() || self.proxies.iter().any(|proxy| proxy.contains(client)) {
            return Some(None);
        }
        let most = Most { of_client: self.per_client, of_network: usize::MAX };
        counts.enter(usize::MAX)?.of(client, most).map(Some)
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are written whole; waiting for more to say only makes them late.
                let _ = stream.set_nodelay(true);
                return (stream, peer, place);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_places() {
        let limits = Limits {
            connections: 10,
            header_within: Duration::ZERO,
            write_within: Duration::ZERO,
            per_client: 2,
            proxies: vec!["10.0.0.0/24".parse().unwrap()],
        };
        let counts = Arc::new(Counts::default());
        let check = |client: &str, wanted: [bool; 3]| {
            let places = [(); 3].map(|()| limits.admit(&counts, client.parse().unwrap()));
            assert_eq!(places.map(|place| place.is_some()), wanted, "{client}");
        };
        // Places that are given back can be had again.
        for _ in 0..2 {
            check("192.0.2.1", [true, true, false]);
        }
        check("::ffff:192.0.2.1", [true, true, false]);
        check("10.0.0.1", [true; 3]);
        check("::ffff:127.0.0.1", [true; 3]);
        check("::1", [true; 3]);
    }
}
