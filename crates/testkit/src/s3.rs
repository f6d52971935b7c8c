//! An S3 server on a free port of 127.0.0.1: s3s-fs, which checks signatures, with faults that a test switches on.
//!
//! An object is the file `<folder>/<bucket>/<key>`, and the file's time is when the object was last modified: a test
//! may damage the file, or make it older.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::{Stream, future::BoxFuture};
use hyper::{Request, Response, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::{
    Body, HttpError, StdError,
    auth::SimpleAuth,
    host::MultiDomain,
    service::{S3Service, S3ServiceBuilder},
    stream::{ByteStream, DynByteStream},
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What may be sent as `AWS_ACCESS_KEY_ID`: several, so that a test can tell clients apart.
pub const ACCESS_KEYS: [&str; 3] = ["MAGPIEONE", "MAGPIETWO", "MAGPIETHREE"];
/// `AWS_SECRET_ACCESS_KEY` of all.
pub const SECRET_KEY: &str = "the secret of the tests";
/// Buckets are also the hosts below this one, which no resolver knows.
pub const DOMAIN: &str = "s3.test";

/// The server; it stops when dropped.
pub struct S3Server {
    address: SocketAddr,
    folder: TempDir,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// A request, as a test wants to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The key id that signed it.
    pub access_key: String,
    /// Whether it copies another object: a `PUT` without content.
    pub copies: bool,
}

/// What becomes of a request.
pub enum Treat {
    /// It is served.
    Serve,
    /// It is served once this is done.
    After(BoxFuture<'static, ()>),
    /// 503 and `SlowDown`.
    Busy,
    /// This status, `Code` and `Message`.
    Refuse(u16, &'static str, &'static str),
    /// The connection is closed without an answer, and nothing is done.
    Drop,
    /// It is served, and the connection is closed without an answer.
    DropAnswer,
    /// It is served, and the connection is closed after so many bytes of the answer's body.
    Cut(usize),
    /// It is served, and nothing comes after so many bytes of the answer's body.
    Stall(usize),
}

type Hook = Arc<dyn Fn(&Asked) -> Treat + Send + Sync>;

struct Shared {
    service: S3Service,
    asked: Mutex<Vec<Asked>>,
    hook: Mutex<Hook>,
}

impl S3Server {
    /// Starts a server that has this bucket.
    pub async fn start(bucket: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).map_err(failed)?);
        let mut auth = SimpleAuth::new();
        for key in ACCESS_KEYS {
            auth.register(key.to_owned(), SECRET_KEY.into());
        }
        builder.set_auth(auth);
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind the S3 server's port")?;
        let address = listener.local_addr()?;
        builder.set_host(MultiDomain::new([address.to_string(), format!("{DOMAIN}:{}", address.port())])?);
        let shared = Arc::new(Shared {
            service: builder.build(),
            asked: Mutex::default(),
            hook: Mutex::new(Arc::new(|_| Treat::Serve)),
        });
        let server = Self { address, folder, shared, stop: CancellationToken::new() };
        server.add_bucket(bucket)?;
        TaskTracker::new().spawn(accept(listener, Arc::clone(&server.shared), server.stop.clone()));
        Ok(server)
    }

    pub fn add_bucket(&self, bucket: &str) -> Result<()> {
        Ok(std::fs::create_dir(self.folder.path().join(bucket))?)
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `blobs.url` is set to.
    #[must_use]
    pub fn url(&self, bucket: &str) -> String {
        format!("s3://{bucket}?endpoint={}&region=eu-test-1", self.endpoint())
    }

    /// The file of an object.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> PathBuf {
        self.folder.path().join(bucket).join(key)
    }

    /// Where buckets are folders.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// From now on this decides what becomes of each request.
    pub fn treat(&self, hook: impl Fn(&Asked) -> Treat + Send + Sync + 'static) {
        *self.shared.hook.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(hook);
    }

    /// Every request is answered by 503 from now on, or served again.
    pub fn set_busy(&self, busy: bool) {
        self.treat(move |_| if busy { Treat::Busy } else { Treat::Serve });
    }

    /// The requests since this was last called.
    #[must_use]
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn failed(error: impl std::fmt::Debug) -> anyhow::Error {
    anyhow::anyhow!("s3s-fs: {error:?}")
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        connections.spawn(async move { stop.run_until_cancelled(connection(stream, shared)).await });
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    // How a connection ends is the client's to judge.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(60))
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
    let asked = Asked::from(&request);
    let hook = Arc::clone(&shared.hook.lock().unwrap_or_else(PoisonError::into_inner));
    let treat = hook(&asked);
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let request = request.map(Body::from);
    match treat {
        Treat::Serve => shared.service.call(request).await,
        Treat::After(done) => {
            done.await;
            shared.service.call(request).await
        }
        Treat::Busy => refuse(503, "SlowDown", "Please reduce your request rate."),
        Treat::Refuse(status, code, message) => refuse(status, code, message),
        Treat::Drop => Err(closed()),
        Treat::DropAnswer => {
            shared.service.call(request).await?;
            Err(closed())
        }
        Treat::Cut(left) => Ok(shared.service.call(request).await?.map(cut(left, End::Breaks))),
        Treat::Stall(left) => Ok(shared.service.call(request).await?.map(cut(left, End::Hangs))),
    }
}

fn refuse(status: u16, code: &str, message: &str) -> Result<Response<Body>, HttpError> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/xml")
        .body(body.into())
        .map_err(|error| HttpError::new(error.into()))
}

fn closed() -> HttpError {
    HttpError::new("a fault that the test asked for".into())
}

impl From<&Request<Incoming>> for Asked {
    fn from(request: &Request<Incoming>) -> Self {
        let header =
            |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let signer = header("authorization").split_once("Credential=").map_or("", |(_, rest)| rest);
        Self {
            method: request.method().to_string(),
            target: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
            access_key: signer.split('/').next().unwrap_or_default().to_owned(),
            copies: request.headers().contains_key("x-amz-copy-source"),
        }
    }
}

fn cut(left: usize, end: End) -> impl FnOnce(Body) -> Body {
    move |body| Body::from(Box::pin(Cut { body, left, end }) as DynByteStream)
}

/// A body that does not come to its end.
struct Cut {
    body: Body,
    left: usize,
    end: End,
}

enum End {
    Breaks,
    Hangs,
}

impl Stream for Cut {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return match self.end {
                End::Breaks => Poll::Ready(Some(Err("a fault that the test asked for".into()))),
                End::Hangs => Poll::Pending,
            };
        }
        let polled = Pin::new(&mut self.body).poll_next(context);
        polled.map_ok(|mut bytes| {
            bytes.truncate(self.left);
            self.left -= bytes.len();
            bytes
        })
    }
}

impl ByteStream for Cut {}
