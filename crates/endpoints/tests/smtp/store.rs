//! A mail store in memory, and a server in front of it.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use endpoints::net::{self, Proxies, Server, Socket};
use endpoints::smtp::{Budget, Incoming, Kind, Mta, Policy, Refusal, Settings, Submission};
use endpoints::tls;
use mail::Offence;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sasl::Keys;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use types::{Clock, EmailAddress, MessageId, RecipientTerms, Secret, Terms, Timestamp};

/// `bob`, `carol` are here; `full` has no room. Mail from `disk@` finds a full disk, from `down@` no storage.
pub(crate) struct Store {
    pub(crate) mails: Mutex<Vec<Stored>>,
    ids: AtomicU64,
    /// Mail from `slow@` waits for one of these.
    pub(crate) permits: Semaphore,
    /// Whether everybody is kept out.
    pub(crate) bans: AtomicBool,
    pub(crate) blamed: Mutex<Vec<Offence>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: MessageId,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) raw: bytes::Bytes,
    pub(crate) by: Option<String>,
    pub(crate) terms: Terms,
    pub(crate) asked: Vec<RecipientTerms>,
    pub(crate) not_before: Option<Timestamp>,
}

impl Store {
    pub(crate) fn mails(&self) -> Vec<Stored> {
        self.mails.lock().unwrap().clone()
    }

    async fn put(&self, mail: Stored) -> Result<MessageId, Refusal> {
        if mail.from.starts_with("slow@") {
            self.permits.acquire().await.unwrap().forget();
        }
        match mail.from.split('@').next() {
            Some("disk") => return Err(Refusal::NoRoom),
            Some("down") => return Err(Refusal::Unavailable),
            Some("spam") => return Err(Refusal::Rejected("Looks like spam".into())),
            _ => {}
        }
        let id = mail.id;
        self.mails.lock().unwrap().push(mail);
        Ok(id)
    }
}

fn shown(return_path: Option<&EmailAddress>) -> String {
    return_path.map(ToString::to_string).unwrap_or_default()
}

#[async_trait]
impl Mta for Store {
    type Recipient = String;
    type Principal = EmailAddress;
    type Challenge = EmailAddress;

    fn new_id(&self) -> MessageId {
        let count = self.ids.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut random = [0; 10];
        random[2..].copy_from_slice(&count);
        MessageId::at(NOW, random)
    }

    async fn recipient(&self, address: &EmailAddress, size: u64) -> Result<String, Refusal> {
        match (address.local(), address.domain()) {
            ("carol", "demo.test") if size > 5_000 => Err(Refusal::MailboxFull),
            ("bob" | "carol" | "dave" | "postmaster", "demo.test") => Ok(address.local().to_owned()),
            ("full", "demo.test") => Err(Refusal::MailboxFull),
            (_, "demo.test") => Err(Refusal::UnknownRecipient),
            _ => Err(Refusal::NotLocal),
        }
    }

    async fn postmaster(&self) -> Result<EmailAddress, Refusal> {
        Ok("postmaster@demo.test".parse().unwrap())
    }

    async fn authenticate(&self, user: &str, password: &Secret, _: IpAddr) -> Result<EmailAddress, Refusal> {
        if password.expose() == "magpie-demo" {
            user.parse().map_err(|_| Refusal::Credentials)
        } else {
            Err(Refusal::Credentials)
        }
    }

    async fn recipient_limit(&self, recipient: &String) -> Result<u64, Refusal> {
        Ok(if recipient == "dave" { 1_000 } else { 1 << 40 })
    }

    async fn authenticate_token(
        &self,
        user: Option<&str>,
        token: &Secret,
        _: IpAddr,
    ) -> Result<EmailAddress, Refusal> {
        let known = token.expose() == "t0ken";
        user.filter(|_| known).and_then(|user| user.parse().ok()).ok_or(Refusal::Credentials)
    }

    async fn challenge(&self, user: &str, _: IpAddr) -> Result<(Vec<Keys>, String, EmailAddress), Refusal> {
        let user = user.parse().map_err(|_| Refusal::Credentials)?;
        let cost = NonZeroU32::new(4_096).unwrap();
        let keys = vec![Keys::derive("magpie-demo", b"salt of the earth", cost)];
        Ok((keys, "server-nonce".into(), user))
    }

    async fn proven(&self, challenge: EmailAddress, _: usize) -> Result<EmailAddress, Refusal> {
        Ok(challenge)
    }

    fn address(&self, principal: &EmailAddress) -> EmailAddress {
        principal.clone()
    }

    async fn sender_limit(&self, _: &EmailAddress) -> Result<u64, Refusal> {
        Ok(20_000)
    }

    async fn is_banned(&self, _: IpAddr) -> bool {
        self.bans.load(Ordering::Relaxed)
    }

    async fn blame(&self, _: IpAddr, offence: Offence) {
        self.blamed.lock().unwrap().push(offence);
    }

    async fn may_send_as(&self, principal: &EmailAddress, sender: &EmailAddress) -> Result<bool, Refusal> {
        Ok(principal == sender)
    }

    async fn receive(&self, mail: Incoming<String>) -> Result<MessageId, Refusal> {
        let Incoming { id, return_path, recipients, terms, raw } = mail;
        let asked = recipients.iter().map(|(_, _, terms)| terms.clone()).collect();
        let to = recipients.into_iter().map(|(address, ..)| address.to_string()).collect();
        let from = shown(return_path.as_ref());
        self.put(Stored { id, from, to, raw, by: None, terms, asked, not_before: None }).await
    }

    async fn submit(&self, principal: &EmailAddress, mail: Submission) -> Result<MessageId, Refusal> {
        let Submission { id, return_path, recipients, terms, not_before, raw } = mail;
        let to = recipients.iter().map(|(address, _)| address.to_string()).collect();
        let asked = recipients.into_iter().map(|(_, terms)| terms).collect();
        let (from, by) = (shown(return_path.as_ref()), Some(principal.to_string()));
        self.put(Stored { id, from, to, raw, by, terms, asked, not_before }).await
    }
}

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_350_000);

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// What a test may want to be different.
pub(crate) struct Options {
    pub(crate) net: net::Config,
    pub(crate) budget: usize,
    pub(crate) limits: smtp::Limits,
    pub(crate) allow_cleartext: bool,
    /// What speaks for others.
    pub(crate) proxies: Proxies,
    pub(crate) policy: Policy,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            net: net::Config::default(),
            budget: 64 << 20,
            limits: smtp::Limits::default(),
            allow_cleartext: false,
            proxies: Proxies::default(),
            policy: Policy::default(),
        }
    }
}

/// A running server with all three listeners.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) store: Arc<Store>,
    pub(crate) mx: SocketAddr,
    pub(crate) submission: SocketAddr,
    pub(crate) submissions: SocketAddr,
    pub(crate) lmtp: SocketAddr,
    /// LMTP on a socket in a folder.
    pub(crate) socket: PathBuf,
    pub(crate) root: CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn start(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tls: Arc<ServerConfig> = tls::self_signed(folder.path(), &["mx.test".into()]).unwrap();
        let root = CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap();
        let store = Arc::new(Store {
            mails: Mutex::default(),
            ids: AtomicU64::new(0),
            permits: Semaphore::new(0),
            bans: AtomicBool::new(false),
            blamed: Mutex::default(),
        });
        let settings = Settings {
            hostname: "mx.test".into(),
            limits: options.limits,
            allow_cleartext: options.allow_cleartext,
            budget: Arc::new(Budget::new(options.budget)),
            content_within: Duration::from_secs(600),
            door: None,
            clock: Arc::new(Stopped),
            policy: Arc::new(options.policy),
            hold_seconds: Some(86_400),
        };
        let server = Server::new(options.net);
        let mut addresses = Vec::new();
        for kind in [Kind::Mx, Kind::Submission, Kind::Submissions, Kind::Lmtp] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            let socket = Socket { listener, proxies: options.proxies.clone() };
            let tls = Some(Arc::clone(&tls));
            endpoints::smtp::listen(&server, socket, kind, tls, Arc::clone(&store), &settings).unwrap();
        }
        let socket = folder.path().join("lmtp");
        let listener = UnixListener::bind(&socket).unwrap();
        endpoints::smtp::listen_locally(&server, listener, Arc::clone(&store), &settings);
        let [mx, submission, submissions, lmtp] = addresses[..] else { panic!("four listeners") };
        Self { server, store, mx, submission, submissions, lmtp, socket, root, _folder: folder }
    }
}
