//! An HTTPS server on a free port of 127.0.0.1 that says what it is told to, and keeps what was asked of it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::Identity;

/// The server; it stops when dropped.
pub struct HttpsServer {
    address: SocketAddr,
    state: Arc<State>,
    _stop: DropGuard,
}

struct State {
    answer: Mutex<String>,
    asked: Mutex<Vec<Asked>>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Up to the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl HttpsServer {
    /// Answers with this text, status line and all, as a server of this name that nobody vouches for.
    pub async fn start(name: &str, answer: &str) -> Result<Self> {
        Self::start_as(&Identity::alone(name)?, answer).await
    }

    /// The same with this certificate.
    pub async fn start_as(identity: &Identity, answer: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, tls) = (listener.local_addr()?, identity.acceptor()?);
        let state = Arc::new(State { answer: Mutex::new(answer.to_owned()), asked: Mutex::default() });
        let stop = CancellationToken::new();
        let (tasks, shared, stopped) = (TaskTracker::new(), Arc::clone(&state), stop.clone());
        let _listening = TaskTracker::new().spawn(async move {
            while let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let (tls, shared, stopped) = (tls.clone(), Arc::clone(&shared), stopped.clone());
                let talk = async move {
                    let mut stream = tls.accept(stream).await?;
                    let asked = request(&mut stream).await?;
                    lock(&shared.asked).push(asked);
                    let answer = lock(&shared.answer).clone();
                    stream.write_all(answer.as_bytes()).await?;
                    stream.shutdown().await
                };
                tasks.spawn(async move { stopped.run_until_cancelled(talk).await });
            }
        });
        Ok(Self { address, state, _stop: stop.drop_guard() })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers with this from now on.
    pub fn say(&self, answer: &str) {
        answer.clone_into(&mut lock(&self.state.answer));
    }

    /// Everything that was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state.asked).clone()
    }
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Asked { head, body })
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
