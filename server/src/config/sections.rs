//! One struct for each section of the file. What each key is good for stands in `config.default.toml`.

use std::net::IpAddr;

use serde::Deserialize;
use types::Network;

use super::{
    human::{Listen, Local, Shown, Size, Span, list, optional, parse},
    url::{BlobStore, Database, SearchIndex, Shared, databases},
};

#[derive(Debug, Clone, Deserialize)]
pub struct Node {
    #[serde(deserialize_with = "optional")]
    pub name: Option<String>,
    pub alone: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Http {
    pub listen: Listen,
    #[serde(deserialize_with = "optional")]
    pub public_url: Option<String>,
    #[serde(deserialize_with = "list")]
    pub trusted_proxies: Vec<Network>,
    pub metrics: Audience,
    pub ping_every: Span,
    pub timeout: Span,
}

/// Who may read the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    Loopback,
    Everyone,
    Nobody,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Smtp {
    pub listen: Listen,
    #[serde(deserialize_with = "optional")]
    pub hostname: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub relay: Option<String>,
    pub routes: Vec<SmtpRoute>,
    #[serde(deserialize_with = "parse")]
    pub subaddress_separator: Separator,
    pub subaddress_folders: bool,
    #[serde(deserialize_with = "list")]
    pub trusted: Vec<Network>,
    pub greet_delay: Span,
    pub hello: Hello,
    pub reverse_dns: ReverseDns,
    #[serde(deserialize_with = "list")]
    pub dnsbl: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub dnswl: Vec<String>,
    pub dns_timeout: Span,
    pub greylist: Span,
    pub tarpit_after: u32,
    pub tarpit: Span,
}

/// What parts a tag from a local part, if anything does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separator(pub Option<char>);

impl std::str::FromStr for Separator {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (None, _) => Ok(Self(None)),
            (Some(letter @ ('+' | '-' | '=' | '_' | '#')), None) => Ok(Self(Some(letter))),
            _ => Err("this is none of \"+\", \"-\", \"=\", \"_\" and \"#\"".to_owned()),
        }
    }
}

/// What other servers may call themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hello {
    Off,
    Ours,
    Full,
}

/// What their addresses must have in the DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReverseDns {
    Off,
    Named,
    Confirmed,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Lmtp {
    pub listen: Local,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Bans {
    pub after: u32,
    pub within: Span,
    #[serde(rename = "for")]
    pub lasting: Span,
}

/// Mail for some domains that goes another way.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpRoute {
    pub domains: Vec<String>,
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub password_file: Option<std::path::PathBuf>,
    #[serde(default)]
    pub password_env: Option<String>,
    #[serde(default)]
    pub tls: Option<RouteTls>,
    #[serde(default)]
    pub source: Vec<IpAddr>,
    #[serde(default)]
    pub hello: Option<String>,
}

/// How a route's servers are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteTls {
    None,
    Opportunistic,
    Encrypted,
    Verified,
    AtOnce,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Listener {
    pub listen: Listen,
}

/// What mail programs are told that set themselves up.
#[derive(Debug, Clone, Deserialize)]
pub struct Setup {
    #[serde(deserialize_with = "optional")]
    pub hostname: Option<String>,
    pub imap: Shown,
    pub imaps: Shown,
    pub pop3: Shown,
    pub pop3s: Shown,
    pub submission: Shown,
    pub submissions: Shown,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Filter {
    pub dmarc: Dmarc,
    pub on_temperror: TempError,
    #[serde(deserialize_with = "list")]
    pub trusted_sealers: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub trusted_networks: Vec<Network>,
    pub timeout: Span,
}

/// What DMARC may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dmarc {
    Enforce,
    Mark,
    Off,
}

/// What to do when DNS does not tell whom a mail is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TempError {
    Accept,
    Protect,
    Defer,
}

/// What others are told of mail and connections.
#[derive(Debug, Clone, Deserialize)]
pub struct Reports {
    pub dmarc: bool,
    pub tls: bool,
    #[serde(deserialize_with = "optional")]
    pub from: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub organization: Option<String>,
    pub day_size: Size,
}

#[derive(Debug, Clone, Deserialize)]
pub struct MtaSts {
    pub mode: StsMode,
    #[serde(deserialize_with = "list")]
    pub mx: Vec<String>,
    pub max_age: Span,
}

/// The modes of RFC 8461 §5, and none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StsMode {
    Off,
    None,
    Testing,
    Enforce,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ProxyProtocol {
    #[serde(deserialize_with = "list")]
    pub from: Vec<Network>,
    #[serde(deserialize_with = "list")]
    pub listeners: Vec<Door>,
}

/// A listener by the section that configures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    Http,
    Smtp,
    Submission,
    Submissions,
    Imap,
    Imaps,
    Pop3,
    Pop3s,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Tls {
    #[serde(deserialize_with = "optional")]
    pub certificate: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub key: Option<String>,
    #[serde(deserialize_with = "optional")]
    pub client_authorities: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Auth {
    pub allow_cleartext: bool,
    pub session_lifetime: Span,
    pub scram_iterations: u32,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Drain {
    pub delay: Span,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Directory {
    pub url: Database,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Shards {
    #[serde(deserialize_with = "databases")]
    pub urls: Vec<Database>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Blobs {
    pub url: BlobStore,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Cache {
    pub url: Shared,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Bus {
    pub url: Shared,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Search {
    pub url: SearchIndex,
    pub text_size: Size,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Dns {
    #[serde(deserialize_with = "parse")]
    pub resolver: Resolver,
}

/// The resolver to ask: the system's, or one at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolver(pub Option<std::net::SocketAddr>);

impl std::str::FromStr for Resolver {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let address = text.parse::<IpAddr>().map(|ip| (ip, 53).into()).or_else(|_| text.parse());
        address.map(|address| Self(Some(address))).map_err(|_| {
            "it is not the address of a resolver like \"127.0.0.1\" or \"127.0.0.1:5353\"".to_owned()
        })
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Queue {
    pub workers: u32,
    pub per_destination: u32,
    pub per_destination_per_minute: u32,
    pub idle_connections: u32,
    pub idle_time: Span,
    pub connection_time: Span,
    pub connection_mails: u32,
    #[serde(deserialize_with = "list")]
    pub retry: Vec<Span>,
    pub warn_after: Span,
    pub give_up_after: Span,
    pub lease: Span,
    pub port: u16,
    pub allow_private_targets: bool,
    pub mta_sts: bool,
    pub dane: bool,
    #[serde(deserialize_with = "optional")]
    pub authorities: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Limits {
    pub message_size: Size,
    pub line_size: Size,
    pub upload_size: Size,
    pub request_size: Size,
    pub recipients: u32,
    pub group_members: u32,
    pub http_connections: u32,
    pub http_connections_per_address: u32,
    pub connections: u32,
    pub connections_per_address: u32,
    pub connections_per_network: u32,
    pub connections_per_minute: u32,
    pub program_connections: u32,
    pub program_connections_per_address: u32,
    pub connections_per_account: u32,
    pub commands_per_minute_per_account: u32,
    pub commands_per_minute_per_address: u32,
    pub messages_per_command: u32,
    pub mails_per_hour_per_address: u32,
    pub mails_per_hour_per_network: u32,
    pub mails_per_hour_per_domain: u32,
    pub hold_time: Span,
    pub receiving_memory: Size,
    pub reading_memory: Size,
    pub receiving_time: Span,
    pub app_passwords_per_account: u32,
    pub sockets_per_account: u32,
    pub logins_per_minute: u32,
    pub setups_per_minute: u32,
    pub requests_per_minute: u32,
    pub uploads_per_minute: u32,
    pub sends_per_hour: u32,
    pub quota: Size,
    pub disk_free: Size,
}

impl Limits {
    /// Bytes that an account's mail may take that has no quota of its own; none: no limit.
    #[must_use]
    pub fn quota_bytes(&self) -> Option<u64> {
        (self.quota.0 > 0).then_some(self.quota.0)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Log {
    pub level: String,
    pub format: Format,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Text,
    Json,
}
