//! Logging in by a certificate (EXTERNAL), which ends: on connections that it outlives or not, and on those that resume
//! the TLS session of one before.

#![cfg(test)]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use endpoints::net::{Config, Proxies, Server, Socket};
use endpoints::smtp::{self, Budget, Policy};
use endpoints::{imap, pop3, tls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use testkit::{House, TurnedClock};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use types::Timestamp;

/// IMAP, POP3 and submission under TLS, and somebody with a certificate for alice.
struct Site {
    listeners: [(SocketAddr, Speaks); 3],
    connector: TlsConnector,
    house: House,
    /// The last second of the certificate.
    end: Timestamp,
    _server: Server,
}

#[derive(Debug, Clone, Copy)]
struct Speaks {
    /// What asks for the mechanisms, and how the last line of the answer begins.
    ask: (&'static str, &'static str),
    login: &'static str,
    welcome: &'static str,
    quit: &'static str,
}

const IMAP: Speaks = Speaks {
    ask: ("a CAPABILITY", "a OK"),
    login: "a AUTHENTICATE EXTERNAL =",
    welcome: "a OK ",
    quit: "a LOGOUT",
};
const POP3: Speaks =
    Speaks { ask: ("CAPA", "."), login: "AUTH EXTERNAL =", welcome: "+OK Welcome", quit: "QUIT" };
const SUBMISSION: Speaks =
    Speaks { ask: ("EHLO client.test", "250 "), login: "AUTH EXTERNAL =", welcome: "235 ", quit: "QUIT" };

impl Site {
    async fn start() -> Self {
        let house = House::open().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        tls::self_signed(folder.path(), &["mx.test".into()]).unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        fs::write(path("authorities.pem"), AsRef::<rcgen::Certificate>::as_ref(&authority).pem()).unwrap();

        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::Rfc822Name("alice@demo.test".try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let end = "2099-12-31T23:59:59Z".parse::<Timestamp>().unwrap();
        params.not_after = end.utc();
        let certificate = params.signed_by(&key, &authority).unwrap();

        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path("cert.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate.der().clone()], key.into())
            .unwrap();

        let server = Server::new(Config::default());
        let asking = || {
            tls::load_asking(&path("cert.pem"), &path("key.pem"), &path("authorities.pem")).map(Some).unwrap()
        };
        let (for_imap, for_smtp) = (imap_settings(), smtp_settings(&house.clock));
        let (imap, pop3, submission) = (bind().await, bind().await, bind().await);
        let listeners = [(imap.1, IMAP), (pop3.1, POP3), (submission.1, SUBMISSION)];
        let mail = || house.mail.clone();
        imap::listen(&server, imap.0, imap::Kind::Imaps, asking(), mail(), &for_imap).unwrap();
        pop3::listen(&server, pop3.0, pop3::Kind::Pop3s, asking(), mail(), Arc::default(), false).unwrap();
        let kind = smtp::Kind::Submissions;
        smtp::listen(&server, submission.0, kind, asking(), Arc::new(mail()), &for_smtp).unwrap();
        Self { listeners, connector: TlsConnector::from(Arc::new(config)), house, end, _server: server }
    }

    /// A connection whose greeting was read.
    async fn client(&self, address: SocketAddr, wanted: HandshakeKind) -> Client {
        let tcp = TcpStream::connect(address).await.unwrap();
        let tls = self.connector.connect("mx.test".try_into().unwrap(), tcp).await.unwrap();
        assert_eq!(tls.get_ref().1.handshake_kind(), Some(wanted));
        let mut client = Client(BufReader::new(tls));
        client.line().await;
        client
    }
}

async fn bind() -> (Socket, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (Socket { listener, proxies: Proxies::default() }, address)
}

fn imap_settings() -> imap::Settings {
    imap::Settings {
        allow_cleartext: false,
        max_message_bytes: 1 << 20,
        budget: Arc::new(Budget::new(64 << 20)),
        sessions: Arc::new(imap::Sessions::of_each(2)),
        progress_every: imap::PROGRESS_EVERY,
        message_limit: None,
    }
}

fn smtp_settings(clock: &Arc<TurnedClock>) -> smtp::Settings {
    smtp::Settings {
        hostname: "mx.test".into(),
        limits: ::smtp::Limits::default(),
        allow_cleartext: false,
        budget: Arc::new(Budget::new(64 << 20)),
        content_within: Duration::from_secs(600),
        door: None,
        clock: Arc::<TurnedClock>::clone(clock),
        policy: Arc::new(Policy::default()),
        hold_seconds: None,
    }
}

struct Client(BufReader<TlsStream<TcpStream>>);

impl Client {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(20), self.0.read_line(&mut line)).await;
        read.expect("nothing came").unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    async fn ask(&mut self, line: &str) -> String {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
        self.line().await
    }

    async fn is_offered(&mut self, speaks: Speaks) -> bool {
        let (question, last) = speaks.ask;
        let mut line = self.ask(question).await;
        let mut found = false;
        loop {
            found |= line.contains("EXTERNAL");
            if line.starts_with(last) {
                return found;
            }
            line = self.line().await;
        }
    }

    /// Leaves its place to the next.
    async fn quit(mut self, speaks: Speaks) {
        self.ask(speaks.quit).await;
        while !self.line().await.is_empty() {}
    }

    async fn is_let_in(&mut self, speaks: Speaks) -> bool {
        self.ask(speaks.login).await.starts_with(speaks.welcome)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_lets_in_until_it_ends_also_where_a_session_is_resumed() {
    let site = Site::start().await;
    for (address, speaks) in site.listeners {
        site.house.clock.set(site.end);
        for handshake in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = site.client(address, handshake).await;
            assert!(client.is_offered(speaks).await && client.is_let_in(speaks).await, "{speaks:?}");
            client.quit(speaks).await;
        }
        let mut long = site.client(address, HandshakeKind::Resumed).await;
        assert!(long.is_offered(speaks).await);
        site.house.clock.advance(Duration::from_secs(1));
        assert!(!long.is_let_in(speaks).await, "{speaks:?}");
        let mut resumed = site.client(address, HandshakeKind::Resumed).await;
        assert!(!resumed.is_offered(speaks).await && !resumed.is_let_in(speaks).await, "{speaks:?}");
    }
}
