//! A DNS server on a free port of 127.0.0.1 that knows only what the test told it.
//!
//! A name that was never mentioned does not exist (NXDOMAIN); a name that was has no records but those added.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use hickory_server::{
    Server,
    net::runtime::Time,
    proto::{
        op::{HeaderCounts, Metadata, ResponseCode},
        rr::{
            Name, RData, Record, RecordType,
            rdata::{A, AAAA, MX, PTR, SRV, TXT},
        },
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::net::{TcpListener, UdpSocket};

/// The server; it stops when dropped.
pub struct Zone {
    address: SocketAddr,
    names: Names,
    server: Server<Answers>,
}

type Names = Arc<Mutex<HashMap<String, Entry>>>;

#[derive(Default, Clone)]
struct Entry {
    records: Vec<RData>,
    fails: bool,
    stalls: bool,
}

/// UDP and TCP on the same port: one that is free for the first may be taken for the second.
pub(crate) async fn sockets() -> Result<(UdpSocket, TcpListener)> {
    let mut taken = None;
    for _ in 0..TRIES {
        let socket = UdpSocket::bind("127.0.0.1:0").await.context("bind the zone's socket")?;
        match TcpListener::bind(socket.local_addr()?).await {
            Ok(listener) => return Ok((socket, listener)),
            Err(error) => taken = Some(error),
        }
    }
    Err(taken.context("no port to try")?).context("bind the zone's listener")
}

const TRIES: usize = 50;

impl Zone {
    /// Starts an empty zone.
    pub async fn start() -> Result<Self> {
        let names = Names::default();
        let mut server = Server::new(Answers { names: Arc::clone(&names) });
        let (socket, listener) = sockets().await?;
        let address = socket.local_addr()?;
        server.register_socket(socket);
        server.register_listener(listener, Duration::from_secs(5), 4096);
        Ok(Self { address, names, server })
    }

    /// Where a resolver asks.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `domain MX preference host`.
    pub fn mx(&self, domain: &str, preference: u16, host: &str) -> Result<&Self> {
        let exchange = name(host)?;
        self.add(domain, Some(RData::MX(MX::new(preference, exchange))))
    }

    /// `domain MX 0 .`: accepts no mail (RFC 7505).
    pub fn null_mx(&self, domain: &str) -> Result<&Self> {
        self.add(domain, Some(RData::MX(MX::new(0, Name::root()))))
    }

    /// `host A address` or `host AAAA address`.
    pub fn host(&self, host: &str, address: IpAddr) -> Result<&Self> {
        let data = match address {
            IpAddr::V4(v4) => RData::A(A(v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
        };
        self.add(host, Some(data))
    }

    /// `name TXT text`, in strings of at most 255 bytes. A name may have several.
    pub fn txt(&self, name: &str, text: &str) -> Result<&Self> {
        let strings = text.as_bytes().chunks(255).map(<[u8]>::to_vec).collect::<Vec<_>>();
        self.add(name, Some(RData::TXT(TXT::from_bytes(strings.iter().map(Vec::as_slice).collect()))))
    }

    /// The name of an address, in `in-addr.arpa` or `ip6.arpa`.
    pub fn ptr(&self, address: IpAddr, host: &str) -> Result<&Self> {
        self.add(&Name::from(address).to_ascii(), Some(RData::PTR(PTR(name(host)?))))
    }

    /// `service SRV 0 1 port host`.
    pub fn srv(&self, service: &str, port: u16, host: &str) -> Result<&Self> {
        self.add(service, Some(RData::SRV(SRV::new(0, 1, port, name(host)?))))
    }

    /// Forgets everything about the name.
    pub fn forget(&self, domain: &str) -> Result<&Self> {
        let key = name(domain)?.to_lowercase().to_ascii();
        lock(&self.names).remove(&key);
        Ok(self)
    }

    /// The name exists, with no records unless others are added.
    pub fn empty(&self, domain: &str) -> Result<&Self> {
        self.add(domain, None)
    }

    /// Every question about the name is answered by SERVFAIL.
    pub fn servfail(&self, domain: &str) -> Result<&Self> {
        let key = name(domain)?.to_lowercase().to_ascii();
        lock(&self.names).entry(key).or_default().fails = true;
        Ok(self)
    }

    /// Questions about the name are never answered.
    pub fn stall(&self, domain: &str) -> Result<&Self> {
        let key = name(domain)?.to_lowercase().to_ascii();
        lock(&self.names).entry(key).or_default().stalls = true;
        Ok(self)
    }

    fn add(&self, domain: &str, data: Option<RData>) -> Result<&Self> {
        let key = name(domain)?.to_lowercase().to_ascii();
        lock(&self.names).entry(key).or_default().records.extend(data);
        Ok(self)
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        self.server.shutdown_token().cancel();
    }
}

pub(crate) fn name(text: &str) -> Result<Name> {
    let mut name = Name::from_utf8(text).with_context(|| format!("`{text}` is no name"))?;
    name.set_fqdn(true);
    Ok(name)
}

fn lock(names: &Names) -> MutexGuard<'_, HashMap<String, Entry>> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Answers {
    names: Names,
}

impl Answers {
    fn stalls(&self, owner: &Name) -> bool {
        lock(&self.names).get(&owner.to_lowercase().to_ascii()).is_some_and(|entry| entry.stalls)
    }

    fn answer(&self, owner: &Name, kind: RecordType) -> (ResponseCode, Vec<Record>) {
        let entry = lock(&self.names).get(&owner.to_lowercase().to_ascii()).cloned();
        match entry {
            None => (ResponseCode::NXDomain, Vec::new()),
            Some(entry) if entry.fails => (ResponseCode::ServFail, Vec::new()),
            Some(entry) => {
                let of_kind = entry.records.into_iter().filter(|data| data.record_type() == kind);
                let records = of_kind.map(|data| Record::from_rdata(owner.clone(), 1, data)).collect();
                (ResponseCode::NoError, records)
            }
        }
    }
}

#[async_trait::async_trait]
impl RequestHandler for Answers {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        if let Ok(info) = request.request_info()
            && self.stalls(info.query.original().name())
        {
            std::future::pending::<()>().await;
        }
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let (code, records) = match request.request_info() {
            Ok(info) => self.answer(info.query.original().name(), info.query.query_type()),
            Err(_) => (ResponseCode::FormErr, Vec::new()),
        };
        metadata.response_code = code;
        metadata.authoritative = true;
        let builder = MessageResponseBuilder::from_message_request(request);
        let sent = response.send_response(builder.build(metadata, &records, [], [], [])).await;
        sent.unwrap_or_else(|_| {
            ResponseInfo::from(hickory_server::proto::op::Header {
                metadata,
                counts: HeaderCounts::default(),
            })
        })
    }
}
