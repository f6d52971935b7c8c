//! Accepts connections while there is room, and stops without cutting anybody off.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, debug, info_span, warn};

use super::counts::{Counts, Place};
use super::driver::Driver;
use super::socket::{Proxies, Socket};
use super::stream::Stream;
use super::{Config, Peer, Service, Tls};

/// All listeners of one process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    counts: Arc<Counts>,
    tasks: TaskTracker,
    /// Nothing new, finish what has begun.
    stop: CancellationToken,
    /// Time is up.
    kill: CancellationToken,
}

/// After an `accept` that failed, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    #[must_use]
    pub fn new(config: Config) -> Self {
        let shared = Shared {
            config,
            counts: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Accepts connections for this service, in the background.
    pub fn listen<S: Service>(&self, socket: Socket, tls: Tls, service: S) {
        let Socket { listener, proxies } = socket;
        let door = Door { shared: Arc::clone(&self.shared), tls, proxies, service };
        self.shared.tasks.spawn(accept(listener, Arc::new(door)));
    }

    /// Stops accepting, lets transactions that have begun end, and hangs up on whoever is left after `grace`.
    pub async fn shutdown(&self, grace: Duration) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if timeout(grace, self.shared.tasks.wait()).await.is_err() {
            self.shared.kill.cancel();
            self.shared.tasks.wait().await;
        }
    }
}

/// What the connections of one listener have in common.
struct Door<S> {
    shared: Arc<Shared>,
    tls: Tls,
    proxies: Proxies,
    service: S,
}

async fn accept<S: Service>(listener: TcpListener, door: Arc<Door<S>>) {
    let shared = &door.shared;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => match shared.counts.enter(shared.config.connections) {
                Some(place) => drop(shared.tasks.spawn(serve(Arc::clone(&door), tcp, peer, place))),
                None => door.refuse(&tcp),
            },
            Err(error) => {
                warn!(listener = door.service.name(), %error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve<S: Service>(door: Arc<Door<S>>, mut tcp: TcpStream, peer: SocketAddr, place: Place) {
    // Whose place it is, is known only now.
    let client = tokio::select! {
        client = door.proxies.client(&mut tcp, peer) => client,
        () = door.shared.kill.cancelled() => return,
    };
    let Ok(client) = client else { return };
    let Some(place) = place.of(client.ip(), door.shared.config.connections_per_client) else {
        return door.refuse(&tcp);
    };
    let name = door.service.name();
    let span = info_span!("connection", listener = name, peer = %client.ip());
    metrics::counter!("magpie_connections_total", "listener" => name).increment(1);
    metrics::gauge!("magpie_connections_open", "listener" => name).increment(1.0);
    let outcome = tokio::select! {
        biased;
        outcome = door.talk(tcp, client).instrument(span.clone()) => outcome,
        () = door.shared.kill.cancelled() => Err(io::Error::other("the time to finish is over")),
    };
    if let Err(error) = outcome {
        span.in_scope(|| debug!(%error, "connection lost"));
    }
    metrics::gauge!("magpie_connections_open", "listener" => name).decrement(1.0);
    drop(place);
}

impl<S: Service> Door<S> {
    fn refuse(&self, tcp: &TcpStream) {
        metrics::counter!("magpie_connections_refused_total", "listener" => self.service.name()).increment(1);
        if !matches!(self.tls, Tls::Implicit(_)) {
            // Whether it can be told is up to it.
            let _ = tcp.try_write(&self.service.busy());
        }
    }

    async fn talk(&self, tcp: TcpStream, address: SocketAddr) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let deadlines = &self.shared.config.deadlines;
        let mut stream = Stream::Plain(tcp);
        let (secure, tls) = match &self.tls {
            Tls::Off => (false, None),
            Tls::OnDemand(config) => (false, Some(Arc::clone(config))),
            Tls::Implicit(config) => {
                stream = timeout(deadlines.handshake, stream.secured(config)).await??;
                (true, None)
            }
        };
        let conversation = self.service.open(Peer { address, secure });
        Driver { stream, conversation, tls, deadlines, stop: &self.shared.stop }.run().await
    }
}
