//! Logging in to IMAP and POP3 over the real service: every mechanism, what is told to whom, who is kept out.

#![cfg(test)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use endpoints::net::{Config, Proxies, Server, Socket};
use endpoints::{imap, pop3, smtp::Budget, tls};
use mail::{DoorConfig, Service};
use ring::{digest, hmac, pbkdf2};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use testkit::House;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

const ALICE: &str = "alice@demo.test";
const PASSWORD: &str = "magpie-demo";
const ALL: &str = "SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2";

/// Listeners of all kinds before one service; connections from 127.0.0.1 say for whom they are, if `proxied`.
struct Site {
    mail: Service,
    imap: SocketAddr,
    imaps: SocketAddr,
    pop3: SocketAddr,
    pop3s: SocketAddr,
    root: CertificateDer<'static>,
    _house: House,
    _server: Server,
    _folder: tempfile::TempDir,
}

/// Which language is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Imap,
    Pop3,
}

const BOTH: [Speaks; 2] = [Speaks::Imap, Speaks::Pop3];

impl Speaks {
    fn auth(self, mechanism: &str) -> String {
        match self {
            Self::Imap => format!("a AUTHENTICATE {mechanism}"),
            Self::Pop3 => format!("AUTH {mechanism}"),
        }
    }

    fn welcome(self) -> &'static str {
        match self {
            Self::Imap => "a OK ",
            Self::Pop3 => "+OK Welcome",
        }
    }

    fn refusal(self) -> &'static str {
        match self {
            Self::Imap => "a NO [AUTHENTICATIONFAILED] Wrong user or password",
            Self::Pop3 => "-ERR [AUTH] Wrong user or password",
        }
    }

    /// What is said of a request that is none.
    fn malformed(self, words: &str) -> String {
        match self {
            Self::Imap => format!("a BAD {words}"),
            Self::Pop3 => format!("-ERR {words}"),
        }
    }
}

impl Site {
    async fn start(config: impl FnOnce(&mut mail::Config), net: Config, proxied: bool) -> Self {
        let house = House::open().await.unwrap();
        let mut settings = house.mail.config().clone();
        settings.login_attempts_per_minute = 1_000;
        config(&mut settings);
        let mail = house.node_with(settings).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let certificate = tls::self_signed(folder.path(), &["mx.test".into()]).unwrap();
        let root = CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap();
        let server = Server::new(net);
        let proxies = if proxied { vec!["127.0.0.1".parse().unwrap()] } else { Vec::new() };
        let bind = async || {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            (Socket { listener, proxies: Proxies::new(&proxies) }, address)
        };
        let tls = |certificate: &Arc<ServerConfig>| Some(Arc::clone(certificate));
        let for_imap = imap::Settings {
            allow_cleartext: true,
            max_message_bytes: 1 << 20,
            budget: Arc::new(Budget::new(64 << 20)),
            sessions: Arc::new(imap::Sessions::of_each(2)),
            progress_every: imap::PROGRESS_EVERY,
            message_limit: None,
        };
        let mut imaps = Vec::new();
        for kind in [imap::Kind::Imap, imap::Kind::Imaps] {
            let (socket, address) = bind().await;
            imap::listen(&server, socket, kind, tls(&certificate), mail.clone(), &for_imap).unwrap();
            imaps.push(address);
        }
        let mut pop3s = Vec::new();
        let sessions = Arc::<pop3::Sessions>::default();
        for kind in [pop3::Kind::Pop3, pop3::Kind::Pop3s] {
            let ((socket, address), sessions) = (bind().await, Arc::clone(&sessions));
            pop3::listen(&server, socket, kind, tls(&certificate), mail.clone(), sessions, true).unwrap();
            pop3s.push(address);
        }
        let ([imap, imaps], [pop3, pop3s]) = (imaps.try_into().unwrap(), pop3s.try_into().unwrap());
        Self { mail, imap, imaps, pop3, pop3s, root, _house: house, _server: server, _folder: folder }
    }

    async fn plain() -> Self {
        Self::start(|_| {}, Config::default(), false).await
    }

    /// A connection; its greeting has not been read.
    async fn open(&self, speaks: Speaks) -> Client {
        let address = match speaks {
            Speaks::Imap => self.imap,
            Speaks::Pop3 => self.pop3,
        };
        Client { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) }
    }

    /// A connection whose greeting was read.
    async fn client(&self, speaks: Speaks) -> Client {
        let mut client = self.open(speaks).await;
        client.line().await;
        client
    }

    /// The same under TLS, from the first byte or later.
    async fn secured(&self, speaks: Speaks, implicit: bool) -> Client<TlsStream<TcpStream>> {
        let (address, starttls) = match speaks {
            Speaks::Imap => (if implicit { self.imaps } else { self.imap }, "a STARTTLS"),
            Speaks::Pop3 => (if implicit { self.pop3s } else { self.pop3 }, "STLS"),
        };
        let mut tcp = Client { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) };
        if !implicit {
            tcp.line().await;
            tcp.ask(starttls).await;
        }
        let tls = testkit::secured(tcp.stream.into_inner(), &self.root).await.unwrap();
        let mut client = Client { stream: BufReader::new(tls) };
        if implicit {
            client.line().await;
        }
        client
    }
}

struct Client<S = TcpStream> {
    stream: BufReader<S>,
}

impl Client<TlsStream<TcpStream>> {
    fn binding(&self) -> [u8; 32] {
        let (_, connection) = self.stream.get_ref().get_ref();
        connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// The next line; empty at the end.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(20), self.stream.read_line(&mut line)).await;
        let _ = read.expect("nothing came");
        line.trim_end_matches("\r\n").to_owned()
    }

    async fn ask(&mut self, line: &str) -> String {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
        self.line().await
    }

    /// The mechanisms that are on offer.
    async fn mechanisms(&mut self, speaks: Speaks) -> String {
        match speaks {
            Speaks::Imap => {
                let all = self.ask("a CAPABILITY").await;
                self.line().await;
                let names = all.split(' ').filter_map(|word| word.strip_prefix("AUTH="));
                names.collect::<Vec<_>>().join(" ")
            }
            Speaks::Pop3 => {
                self.ask("CAPA").await;
                let mut names = String::new();
                loop {
                    match self.line().await {
                        line if line == "." => return names,
                        line => {
                            if let Some(found) = line.strip_prefix("SASL ") {
                                found.clone_into(&mut names);
                            }
                        }
                    }
                }
            }
        }
    }

    /// The client's side of SCRAM; gives the last answer.
    async fn scram(
        &mut self,
        speaks: Speaks,
        user: &str,
        password: &str,
        binding: Option<[u8; 32]>,
    ) -> String {
        let (mechanism, flag) = match binding {
            Some(_) => ("SCRAM-SHA-256-PLUS", "p=tls-exporter,,"),
            None => ("SCRAM-SHA-256", "n,,"),
        };
        let bare = format!("n={user},r=client-nonce");
        let first = STANDARD.encode(format!("{flag}{bare}"));
        let answer = self.ask(&format!("{} {first}", speaks.auth(mechanism))).await;
        let Some(server_first) = answer.strip_prefix("+ ") else { return answer };
        let server_first = String::from_utf8(STANDARD.decode(server_first).unwrap()).unwrap();
        let header = [flag.as_bytes(), &binding.map_or(Vec::new(), |binding| binding.to_vec())].concat();
        let (last, signature) = proof(&server_first, &bare, &header, password);
        let answer = self.ask(&last).await;
        let Some(server_final) = answer.strip_prefix("+ ") else { return answer };
        assert_eq!(STANDARD.decode(server_final).unwrap(), format!("v={signature}").as_bytes());
        self.ask("").await
    }
}

/// The client's side of RFC 5802 §3: its last message, and what the server has to show.
fn proof(server_first: &str, bare: &str, header: &[u8], password: &str) -> (String, String) {
    let part = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let sign =
        |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec();
    let (salt, cost) = (STANDARD.decode(part("s=")).unwrap(), part("i=").parse().unwrap());
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, cost, &salt, password.as_bytes(), &mut salted);
    let client_key = sign(&salted, b"Client Key");
    let without_proof = format!("c={},r={}", STANDARD.encode(header), part("r="));
    let message = format!("{bare},{server_first},{without_proof}");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored_key.as_ref(), message.as_bytes());
    let proof: Vec<_> = client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
    let server = sign(&sign(&salted, b"Server Key"), message.as_bytes());
    (STANDARD.encode(format!("{without_proof},p={}", STANDARD.encode(proof))), STANDARD.encode(server))
}

fn oauth(user: &str, token: &str) -> String {
    STANDARD.encode(format!("n,a={user},\x01auth=Bearer {token}\x01\x01"))
}

fn xoauth2(user: &str, token: &str) -> String {
    STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"))
}

#[tokio::test]
async fn every_mechanism_lets_in_and_keeps_out() {
    let site = Site::plain().await;
    let who = mail::Client::default();
    let (_, token) = site.mail.login(ALICE, &types::Secret::new(PASSWORD.into()), &who).await.unwrap();
    let token = token.expose();
    for speaks in BOTH {
        let mut client = site.client(speaks).await;
        assert_eq!(client.mechanisms(speaks).await, ALL);
        assert_eq!(client.scram(speaks, ALICE, "wrong", None).await, speaks.refusal());
        assert!(client.scram(speaks, ALICE, PASSWORD, None).await.starts_with(speaks.welcome()));
        drop(client);

        // What is said is [the command's initial response, the answers to challenges].
        let (user, password) = (STANDARD.encode(ALICE), STANDARD.encode(PASSWORD));
        let plain = STANDARD.encode(format!("\0{ALICE}\0{PASSWORD}"));
        let good = [
            ("PLAIN", Some(plain.clone()), vec![]),
            ("PLAIN", None, vec![plain.clone()]),
            ("plain", Some(plain.trim_end_matches('=').to_owned()), vec![]),
            ("LOGIN", None, vec![user.clone(), password.clone()]),
            ("LOGIN", Some(user.clone()), vec![password]),
            ("OAUTHBEARER", Some(oauth(ALICE, token)), vec![]),
            ("OAUTHBEARER", None, vec![STANDARD.encode(format!("n,,\x01auth=Bearer {token}\x01\x01"))]),
            ("XOAUTH2", Some(xoauth2(ALICE, token)), vec![]),
        ];
        for (mechanism, initial, answers) in good {
            let said = said(&site, speaks, mechanism, initial, &answers).await;
            assert!(said.starts_with(speaks.welcome()), "{speaks:?} {mechanism}: {said}");
        }
        let wrong = STANDARD.encode("wrong");
        let bad = [
            ("PLAIN", Some(STANDARD.encode(format!("\0{ALICE}\0wrong"))), vec![]),
            ("PLAIN", Some(STANDARD.encode(format!("\0nobody@demo.test\0{PASSWORD}"))), vec![]),
            ("LOGIN", None, vec![user, wrong]),
            ("OAUTHBEARER", Some(oauth(ALICE, "stolen")), vec!["AQ==".to_owned()]),
            ("OAUTHBEARER", Some(oauth("bob@demo.test", token)), vec!["AQ==".to_owned()]),
            ("XOAUTH2", None, vec![xoauth2(ALICE, "stolen"), String::new()]),
        ];
        for (mechanism, initial, answers) in bad {
            let said = said(&site, speaks, mechanism, initial, &answers).await;
            assert_eq!(said, speaks.refusal(), "{mechanism}");
        }
        for (mechanism, answers, words) in [
            ("PLAIN", vec!["*"], "Cancelled"),
            ("SCRAM-SHA-256", vec!["*"], "Cancelled"),
            ("LOGIN", vec!["YQ==", "*"], "Cancelled"),
            ("PLAIN", vec!["!"], "Not valid base64"),
            ("XOAUTH2", vec!["YQ=="], "Not what the mechanism says"),
        ] {
            let answers: Vec<_> = answers.into_iter().map(str::to_owned).collect();
            assert_eq!(said(&site, speaks, mechanism, None, &answers).await, speaks.malformed(words));
        }
        let none = match speaks {
            Speaks::Imap => "a NO [CANNOT] That mechanism is not to be had here",
            Speaks::Pop3 => "-ERR That mechanism is not to be had here",
        };
        for mechanism in ["CRAM-MD5", "SCRAM-SHA-256-PLUS"] {
            assert_eq!(said(&site, speaks, mechanism, None, &[]).await, none);
        }
    }
}

/// Says this on a fresh connection; gives the last answer.
async fn said(
    site: &Site,
    speaks: Speaks,
    mechanism: &str,
    initial: Option<String>,
    answers: &[String],
) -> String {
    let mut client = site.client(speaks).await;
    let initial = initial.map(|initial| format!(" {initial}")).unwrap_or_default();
    let mut last = client.ask(&format!("{}{initial}", speaks.auth(mechanism))).await;
    for answer in answers {
        assert!(last.starts_with("+ "), "{mechanism}: {last}");
        last = client.ask(answer).await;
    }
    // One session of POP3 at a time.
    if speaks == Speaks::Pop3 && last.starts_with("+OK") {
        client.ask("QUIT").await;
        client.line().await;
    }
    last
}

#[tokio::test]
async fn a_login_is_bound_to_its_connection() {
    let site = Site::plain().await;
    for speaks in BOTH {
        for (implicit, lies) in [(true, false), (false, false), (true, true)] {
            let mut client = site.secured(speaks, implicit).await;
            assert_eq!(client.mechanisms(speaks).await, format!("SCRAM-SHA-256-PLUS {ALL}"));
            let mut binding = client.binding();
            binding[0] ^= u8::from(lies);
            let said = client.scram(speaks, ALICE, PASSWORD, Some(binding)).await;
            let wanted = match (speaks, lies) {
                (_, false) => speaks.welcome(),
                (Speaks::Imap, true) => "a NO [AUTHENTICATIONFAILED] The login is not bound",
                (Speaks::Pop3, true) => "-ERR [AUTH] The login is not bound",
            };
            assert!(said.starts_with(wanted), "{said}");
            if speaks == Speaks::Pop3 && !lies {
                client.ask("QUIT").await;
                client.line().await;
            }
        }
    }
}

/// By no mechanism can it be told who has an account.
#[tokio::test]
async fn unknown_people_are_asked_the_same() {
    let site = Site::plain().await;
    for speaks in BOTH {
        let mut asked = Vec::new();
        for user in [ALICE, "nobody@demo.test", "nobody@demo.test"] {
            let mut client = site.client(speaks).await;
            let first = STANDARD.encode(format!("n,,n={user},r=client-nonce"));
            let challenge = client.ask(&format!("{} {first}", speaks.auth("SCRAM-SHA-256"))).await;
            let challenge = STANDARD.decode(challenge.strip_prefix("+ ").unwrap()).unwrap();
            let challenge = String::from_utf8(challenge).unwrap();
            let parts: Vec<_> = challenge.split(',').map(str::to_owned).collect();
            let [nonce, salt, cost] = parts.try_into().unwrap();
            asked.push((nonce.len(), salt, cost));
            drop(client);
            let mut client = site.client(speaks).await;
            assert_eq!(client.scram(speaks, user, "wrong", None).await, speaks.refusal());
        }
        let [known, nobody, again] = asked.try_into().unwrap();
        assert_eq!(nobody, again, "the same each time");
        assert_eq!((known.0, known.1.len(), &known.2), (nobody.0, nobody.1.len(), &nobody.2));
    }
}

#[tokio::test]
async fn what_does_not_work_is_not_offered() {
    let site = Site::start(|config| config.scram_iterations = 0, Config::default(), false).await;
    for speaks in BOTH {
        let mut client = site.secured(speaks, true).await;
        assert_eq!(client.mechanisms(speaks).await, "PLAIN LOGIN OAUTHBEARER XOAUTH2");
    }
}

/// A PROXY header of version 2 with this source.
fn header(last: u8) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c", &[192, 0, 2, last][..], &[10, 0, 0, 1, 0x1f, 0x90, 0, 25]]
        .concat()
}

/// A connection for this client.
async fn from(site: &Site, speaks: Speaks, last: u8) -> (Client, String) {
    let mut client = site.open(speaks).await;
    client.stream.write_all(&header(last)).await.unwrap();
    let greeting = client.line().await;
    (client, greeting)
}

#[tokio::test]
async fn wrong_passwords_keep_out_and_whoever_is_kept_out_hears_it_at_the_door() {
    let bans = |config: &mut mail::Config| {
        let minute = Duration::from_secs(60);
        config.door =
            DoorConfig { ban_after: 4, ban_within: minute, ban_for: minute, ..DoorConfig::default() };
    };
    let site = Site::start(bans, Config::default(), true).await;
    // Of each kind one: a password by command, one by a mechanism, a token, a proof that is none.
    let [again, other] = ["wrong", "other"].map(|wrong| STANDARD.encode(format!("\0{ALICE}\0{wrong}")));
    let (mut imap, _) = from(&site, Speaks::Imap, 7).await;
    assert!(imap.ask("a LOGIN alice@demo.test wrong").await.starts_with("a NO "));
    assert!(imap.scram(Speaks::Imap, ALICE, "wrong", None).await.starts_with("a NO "));
    let (mut pop3, _) = from(&site, Speaks::Pop3, 7).await;
    assert!(pop3.ask(&format!("AUTH PLAIN {again}")).await.starts_with("-ERR [AUTH]"));
    assert!(pop3.ask(&format!("AUTH PLAIN {other}")).await.starts_with("-ERR [AUTH]"));
    let (_, greeting) = from(&site, Speaks::Imap, 7).await;
    assert!(greeting.starts_with("* OK "), "one is left: {greeting}");
    pop3.ask("USER alice@demo.test").await;
    assert!(pop3.ask("PASS another").await.starts_with("-ERR [AUTH]"));

    let kept_out = async |client: u8| {
        let (mut imap, greeting) = from(&site, Speaks::Imap, client).await;
        let (mut pop3, other) = from(&site, Speaks::Pop3, client).await;
        if greeting.starts_with("* OK ") && other.starts_with("+OK") {
            return false;
        }
        assert_eq!(greeting, "* BYE [UNAVAILABLE] You are kept out for a while");
        assert_eq!(other, "-ERR [SYS/TEMP] You are kept out for a while");
        assert_eq!((imap.line().await, pop3.line().await), (String::new(), String::new()));
        true
    };
    assert!(kept_out(7).await);
    assert!(!kept_out(8).await, "nobody else is");
    // Who is in already gets no further, whatever the password.
    let said = imap.scram(Speaks::Imap, ALICE, PASSWORD, None).await;
    assert!(said.starts_with("a NO [UNAVAILABLE]"), "{said}");
    site.mail.admin().lift_ban("192.0.2.7".parse().unwrap()).await.unwrap();
    assert!(!kept_out(7).await);
}

#[tokio::test]
async fn a_client_and_an_account_have_so_many_connections() {
    let net = Config { connections_per_client: 3, ..Config::default() };
    let site = Site::start(|_| {}, net, true).await;
    let mut clients = Vec::new();
    for speaks in [Speaks::Imap, Speaks::Imap, Speaks::Pop3] {
        clients.push(from(&site, speaks, 7).await);
    }
    assert_eq!(
        from(&site, Speaks::Imap, 7).await.1,
        "* BYE [UNAVAILABLE] Too many connections, please come back"
    );
    assert_eq!(
        from(&site, Speaks::Pop3, 7).await.1,
        "-ERR [SYS/TEMP] Too many connections, please come back"
    );
    let (mut third, greeting) = from(&site, Speaks::Imap, 8).await;
    assert!(greeting.starts_with("* OK "), "{greeting}");

    // Two of them may be alice's.
    let login = format!("a LOGIN {ALICE} {PASSWORD}");
    for (client, _) in clients.iter_mut().take(2) {
        assert!(client.ask(&login).await.starts_with("a OK "));
    }
    let full = "a NO [LIMIT] The account has too many connections";
    assert_eq!(third.ask(&login).await, full);
    assert!(third.scram(Speaks::Imap, ALICE, PASSWORD, None).await.starts_with("a NO [LIMIT]"));
    assert!(
        third.ask("a LOGIN bob@demo.test magpie-demo").await.starts_with("a OK "),
        "others are not concerned"
    );
    third.ask("a UNAUTHENTICATE").await;
    clients[0].0.ask("a UNAUTHENTICATE").await;
    assert!(third.ask(&login).await.starts_with("a OK "), "a place that is given back can be had");
}
