//! An SMTP server that throws every mail away: what listener, engine and session cost by themselves.
//!
//! `cargo run --release -p endpoints --example sink 127.0.0.1:2525 127.0.0.1:2587` (MX, then submission).
#![expect(clippy::disallowed_methods, reason = "a program of its own, with its own clock")]

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use endpoints::net::{self, Proxies, Server, Socket};
use endpoints::smtp::{Budget, Incoming, Kind, Mta, Refusal, Settings, Submission};
use endpoints::tls;
use tokio::net::TcpListener;
use types::{Clock, EmailAddress, MessageId, Secret, Timestamp};

/// How many mails came, and who writes them.
struct Sink(AtomicU64, EmailAddress);

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

#[async_trait]
impl Mta for Sink {
    type Recipient = ();
    type Principal = ();
    type Challenge = ();

    fn new_id(&self) -> MessageId {
        let mut random = [0; 10];
        let count = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        random.iter_mut().skip(2).zip(count).for_each(|(byte, count)| *byte = count);
        MessageId::at(Now.now(), random)
    }

    async fn recipient(&self, _: &EmailAddress, _: u64) -> Result<(), Refusal> {
        Ok(())
    }

    async fn recipient_limit(&self, (): &()) -> Result<u64, Refusal> {
        Ok(u64::MAX)
    }

    async fn authenticate_token(&self, _: Option<&str>, _: &Secret, _: IpAddr) -> Result<(), Refusal> {
        Err(Refusal::Credentials)
    }

    async fn challenge(&self, _: &str, _: IpAddr) -> Result<(Vec<sasl::Keys>, String, ()), Refusal> {
        Err(Refusal::Credentials)
    }

    async fn proven(&self, (): (), _: usize) -> Result<(), Refusal> {
        Err(Refusal::Credentials)
    }

    fn address(&self, (): &()) -> EmailAddress {
        self.1.clone()
    }

    async fn sender_limit(&self, (): &()) -> Result<u64, Refusal> {
        Ok(u64::MAX)
    }

    async fn authenticate(&self, _: &str, password: &Secret, _: IpAddr) -> Result<(), Refusal> {
        if password.expose() == "magpie-demo" { Ok(()) } else { Err(Refusal::Credentials) }
    }

    async fn postmaster(&self) -> Result<EmailAddress, Refusal> {
        Err(Refusal::UnknownRecipient)
    }

    async fn may_send_as(&self, (): &(), _: &EmailAddress) -> Result<bool, Refusal> {
        Ok(true)
    }

    async fn receive(&self, mail: Incoming<()>) -> Result<MessageId, Refusal> {
        Ok(mail.id)
    }

    async fn submit(&self, (): &(), mail: Submission) -> Result<MessageId, Refusal> {
        Ok(mail.id)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join("magpie-sink");
    let tls = tls::self_signed(&folder, &["localhost".into()])?;
    let settings = Settings {
        hostname: "sink.test".into(),
        limits: smtp::Limits::default(),
        allow_cleartext: false,
        budget: Arc::new(Budget::new(1 << 30)),
        content_within: std::time::Duration::from_secs(600),
        door: None,
        clock: Arc::new(Now),
        policy: Arc::default(),
        hold_seconds: None,
    };
    let server = Server::new(net::Config::default());
    let sink = Arc::new(Sink(AtomicU64::new(0), "somebody@sink.test".parse()?));
    for (address, kind) in std::env::args().skip(1).zip([Kind::Mx, Kind::Submission, Kind::Submissions]) {
        let listener = TcpListener::bind(address).await?;
        println!("{} on {}", kind.name(), listener.local_addr()?);
        let socket = Socket { listener, proxies: Proxies::default() };
        endpoints::smtp::listen(&server, socket, kind, Some(Arc::clone(&tls)), Arc::clone(&sink), &settings)?;
    }
    tokio::signal::ctrl_c().await?;
    server.shutdown(std::time::Duration::from_secs(10)).await;
    println!("{} mails", sink.0.load(Ordering::Relaxed));
    Ok(())
}
