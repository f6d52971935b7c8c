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
    pub fn listen<S: Service>(&self, listener: TcpListener, tls: Tls, service: S) {
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(accept(shared, listener, tls, Arc::new(service)));
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

async fn accept<S: Service>(shared: Arc<Shared>, listener: TcpListener, tls: Tls, service: Arc<S>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(listener = service.name(), %error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Config { connections, connections_per_client, .. } = shared.config;
        if let Some(place) = shared.counts.enter(address.ip(), connections, connections_per_client) {
            let connection =
                serve(Arc::clone(&shared), tcp, address, tls.clone(), Arc::clone(&service), place);
            let span = info_span!("connection", listener = service.name(), peer = %address.ip());
            shared.tasks.spawn(connection.instrument(span));
        } else {
            metrics::counter!("magpie_connections_refused_total", "listener" => service.name()).increment(1);
            if !matches!(tls, Tls::Implicit(_)) {
                // Whether it can be told is up to it.
                let _ = tcp.try_write(&service.busy());
            }
        }
    }
}

async fn serve<S: Service>(
    shared: Arc<Shared>,
    tcp: TcpStream,
    address: SocketAddr,
    tls: Tls,
    service: Arc<S>,
    place: Place,
) {
    metrics::counter!("magpie_connections_total", "listener" => service.name()).increment(1);
    metrics::gauge!("magpie_connections_open", "listener" => service.name()).increment(1.0);
    let talk = talk(&shared, tcp, address, tls, &*service);
    let outcome = tokio::select! {
        biased;
        outcome = talk => outcome,
        () = shared.kill.cancelled() => Err(io::Error::other("the time to finish is over")),
    };
    if let Err(error) = outcome {
        debug!(%error, "connection lost");
    }
    metrics::gauge!("magpie_connections_open", "listener" => service.name()).decrement(1.0);
    drop(place);
}

async fn talk<S: Service>(
    shared: &Shared,
    tcp: TcpStream,
    address: SocketAddr,
    tls: Tls,
    service: &S,
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let deadlines = &shared.config.deadlines;
    let mut stream = Stream::Plain(tcp);
    let (secure, tls) = match tls {
        Tls::Off => (false, None),
        Tls::OnDemand(config) => (false, Some(config)),
        Tls::Implicit(config) => {
            stream = timeout(deadlines.handshake, stream.secured(&config)).await??;
            (true, None)
        }
    };
    let conversation = service.open(Peer { address, secure });
    Driver { stream, conversation, tls, deadlines, stop: &shared.stop }.run().await
}
