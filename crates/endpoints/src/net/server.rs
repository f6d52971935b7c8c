//! Accepts connections while there is room, and stops without cutting anybody off.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::SockRef;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, debug, info_span, warn};

use super::counts::{Counts, Most, Place};
use super::driver::Driver;
use super::socket::{Proxies, Socket};
use super::stream::Stream;
use super::{Config, Peer, Security, Service, Tls};

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

    /// The same at a socket of this machine, where everybody counts as local.
    #[cfg(unix)]
    pub fn listen_locally<S: Service>(&self, listener: UnixListener, service: S) {
        let door =
            Door { shared: Arc::clone(&self.shared), tls: Tls::Off, proxies: Proxies::default(), service };
        self.shared.tasks.spawn(accept_locally(listener, Arc::new(door)));
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

#[cfg(unix)]
async fn accept_locally<S: Service>(listener: UnixListener, door: Arc<Door<S>>) {
    let shared = &door.shared;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((unix, _)) => {
                let Some(place) = shared.counts.enter(shared.config.connections) else { continue };
                let door = Arc::clone(&door);
                drop(shared.tasks.spawn(async move {
                    let peer = door.peer(LOCAL);
                    door.converse(Stream::Local(unix), peer, None).await;
                    drop(place);
                }));
            }
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
    let config = &door.shared.config;
    let most = Most { of_client: config.connections_per_client, of_network: config.connections_per_network };
    let Some(place) = place.of(client.ip(), most) else {
        return door.refuse(&tcp);
    };
    if let Err(words) = door.service.admits(client.ip()).await {
        return door.turn_away(&tcp, &words);
    }
    let opened = tokio::select! {
        opened = door.open(tcp, client) => opened,
        () = door.shared.kill.cancelled() => return,
    };
    match opened {
        Ok((stream, peer, tls)) => door.converse(stream, peer, tls).await,
        Err(error) => debug!(peer = %client.ip(), %error, "connection lost"),
    }
    drop(place);
}

/// Who connects over a socket of this machine.
#[cfg(unix)]
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Whether the client speaks before it is spoken to, within this time.
async fn talks_early(tcp: &TcpStream, patience: Duration) -> bool {
    if patience.is_zero() {
        // Only what is there already counts; nobody is held up.
        let mut first = [MaybeUninit::uninit()];
        return matches!(SockRef::from(tcp).peek(&mut first), Ok(1..));
    }
    let mut first = [0];
    matches!(timeout(patience, tcp.peek(&mut first)).await, Ok(Ok(1..)))
}

impl<S: Service> Door<S> {
    fn refuse(&self, tcp: &TcpStream) {
        self.turn_away(tcp, &self.service.busy());
    }

    fn turn_away(&self, tcp: &TcpStream, words: &[u8]) {
        metrics::counter!("magpie_connections_refused_total", "listener" => self.service.name()).increment(1);
        if !matches!(self.tls, Tls::Implicit(_)) {
            // Whether it can be told is up to it.
            let _ = tcp.try_write(words);
        }
    }

    fn peer(&self, address: SocketAddr) -> Peer {
        let stop = self.shared.stop.clone();
        Peer { address, secure: false, security: Security::default(), early: false, stop }
    }

    /// Does what comes before the first word.
    async fn open(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
    ) -> io::Result<(Stream, Peer, Option<Arc<ServerConfig>>)> {
        tcp.set_nodelay(true)?;
        let mut peer = self.peer(address);
        let tls = match &self.tls {
            Tls::Off => None,
            Tls::OnDemand(config) => Some(Arc::clone(config)),
            Tls::Implicit(config) => {
                let handshake = Stream::Plain(tcp).secured(config);
                let stream = timeout(self.shared.config.deadlines.handshake, handshake).await??;
                (peer.secure, peer.security) = (true, stream.security());
                return Ok((stream, peer, None));
            }
        };
        if let Some(patience) = self.service.patience() {
            peer.early = talks_early(&tcp, patience).await;
        }
        Ok((Stream::Plain(tcp), peer, tls))
    }

    /// The conversation, from its first word to its last.
    async fn converse(&self, stream: Stream, peer: Peer, tls: Option<Arc<ServerConfig>>) {
        let name = self.service.name();
        let span = info_span!("connection", listener = name, peer = %peer.address.ip());
        metrics::counter!("magpie_connections_total", "listener" => name).increment(1);
        metrics::gauge!("magpie_connections_open", "listener" => name).increment(1.0);
        let shared = &self.shared;
        let conversation = self.service.open(peer);
        let driver =
            Driver { stream, conversation, tls, deadlines: &shared.config.deadlines, stop: &shared.stop };
        let outcome = tokio::select! {
            biased;
            outcome = driver.run().instrument(span.clone()) => outcome,
            () = shared.kill.cancelled() => Err(io::Error::other("the time to finish is over")),
        };
        if let Err(error) = outcome {
            span.in_scope(|| debug!(%error, "connection lost"));
        }
        metrics::gauge!("magpie_connections_open", "listener" => name).decrement(1.0);
    }
}
