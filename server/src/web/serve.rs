//! Accepts HTTP connections while there is room, and lets requests that have begun end when the server stops.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Extension, Router, extract::ConnectInfo};
use endpoints::net::{Counts, Place};
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
    /// Proxies, which connect for many clients. So does this machine.
    pub(crate) proxies: Vec<IpAddr>,
}

/// Said to a client that has too many connections.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 5\r\n\r\n";

/// After an `accept` that failed, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the stop; each connection is a task that ends what it has begun.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let counts = Arc::new(Counts::default());
    // HTTP/2 goes with TLS, which a proxy in front ends.
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_within);
    while let Some((stream, peer, place)) = stop.run_until_cancelled(accept(&listener, &places)).await {
        let Some(of_client) = limits.admit(&counts, peer.ip()) else {
            metrics::counter!("magpie_connections_refused_total", "listener" => "http").increment(1);
            // Whether it can be told is up to it.
            let _ = stream.try_write(BUSY);
            continue;
        };
        let stream = Brisk::new(stream, limits.write_within);
        let service = TowerToHyperService::new(app.clone().layer(Extension(ConnectInfo(peer))));
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let stop = stop.clone();
        tasks.spawn(async move {
            let mut connection = pin!(connection);
            let outcome = tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = outcome {
                tracing::debug!(%peer, %error, "connection lost");
            }
            drop((place, of_client));
        });
    }
}

impl Limits {
    /// A place among those of the client, if it has one left; who is not counted always has.
    fn admit(&self, counts: &Arc<Counts>, client: IpAddr) -> Option<Option<Place>> {
        let client = client.to_canonical();
        if client.is_loopback() || self.proxies.contains(&client) {
            return Some(None);
        }
        counts.enter(client, usize::MAX, self.per_client).map(Some)
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
            proxies: vec!["10.0.0.1".parse().unwrap()],
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
