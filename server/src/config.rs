//! The configuration: compiled-in defaults, a file, the environment; read once, checked whole, then only read.

#[cfg(test)]
mod canary;
mod human;
mod load;
mod sections;
mod together;
mod url;
mod words;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use blob::S3Keys;
use serde::Deserialize;

pub use human::{Listen, Local, Shown, Size, Span};
pub use load::{Error, Loaded, environment, load};
pub use sections::{
    Audience, Auth, Bans, Blobs, Bus, Cache, Directory, Dmarc, Dns, Door, Drain, Filter, Format, Hello, Http,
    Limits, Listener, Lmtp, Log, MtaSts, Node, ProxyProtocol, Queue, Reports, Resolver, ReverseDns, RouteTls,
    Search, Setup, Shards, Smtp, SmtpRoute, StsMode, TempError, Tls,
};
pub use url::{BlobStore, Database, SearchIndex, Shared};

/// Everything that can be configured; see `config.default.toml`.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub data_dir: PathBuf,
    pub node: Node,
    pub http: Http,
    pub smtp: Smtp,
    pub submission: Listener,
    pub submissions: Listener,
    pub lmtp: Lmtp,
    pub bans: Bans,
    pub imap: Listener,
    pub imaps: Listener,
    pub pop3: Listener,
    pub pop3s: Listener,
    pub filter: Filter,
    pub mta_sts: MtaSts,
    pub reports: Reports,
    pub setup: Setup,
    pub proxy_protocol: ProxyProtocol,
    pub tls: Tls,
    pub auth: Auth,
    pub drain: Drain,
    pub directory: Directory,
    pub shards: Shards,
    pub blobs: Blobs,
    pub cache: Cache,
    pub bus: Bus,
    pub search: Search,
    pub dns: Dns,
    pub queue: Queue,
    pub limits: Limits,
    pub log: Log,
    /// From AWS' own variables of the environment.
    #[serde(skip)]
    pub s3_keys: Option<S3Keys>,
}

/// A key whose value is wrong by itself or does not fit another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    pub key: &'static str,
    pub reason: String,
}

impl Config {
    /// The path, within the data folder if it is relative.
    #[must_use]
    pub fn in_data(&self, path: &Path) -> PathBuf {
        self.data_dir.join(path)
    }

    /// What the types of the values cannot say.
    ///
    /// # Errors
    /// The first key that does not fit.
    pub fn validate(&self) -> Result<(), Unfit> {
        self.parts_go_together()?;
        let unfit = |key, reason: &str| Err(Unfit { key, reason: reason.to_owned() });
        if let Some(url) = &self.http.public_url
            && !is_origin(url)
        {
            return unfit("http.public_url", "it must be like \"https://mail.example.com\", without a path");
        }
        if self.http.ping_every.0.is_zero() {
            return unfit("http.ping_every", "it must be longer than nothing");
        }
        // RFC 9738 §3: fewer are of no use.
        if (1..1_000).contains(&self.limits.messages_per_command) {
            return unfit("limits.messages_per_command", "it is 0, or 1000 at least");
        }
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return unfit("tls.certificate", "certificate and key go together");
        }
        if self.setup.hostname.as_deref().is_some_and(|name| !types::address::is_domain(name)) {
            return unfit("setup.hostname", "it must be a name like \"mail.example.com\"");
        }
        self.queue_is_fit()?;
        if self.filter.timeout.0.is_zero() || self.filter.timeout.0 > Duration::from_secs(120) {
            return unfit("filter.timeout", "it must be more than nothing and at most two minutes");
        }
        if self.reports.from.as_deref().is_some_and(|from| from.parse::<types::EmailAddress>().is_err()) {
            return unfit("reports.from", "it must be an address like \"postmaster@example.com\"");
        }
        // RFC 8461 §3.2.
        if self.mta_sts.max_age.0 > Duration::from_secs(31_557_600) {
            return unfit("mta_sts.max_age", "it must be at most a year");
        }
        if self.limits.message_size.0 < 64 << 10 {
            return unfit("limits.message_size", "RFC 5321 §4.5.3.1.7 wants at least 64KB");
        }
        if self.limits.line_size.0 < 998 {
            return unfit("limits.line_size", "RFC 5321 §4.5.3.1.6 wants at least 998 bytes");
        }
        if self.limits.upload_size.0 > self.limits.message_size.0 {
            return unfit(
                "limits.upload_size",
                "it is larger than limits.message_size, so could never be sent",
            );
        }
        if self.search.text_size.0 > 64 << 20 {
            return unfit("search.text_size", "it must be at most 64MB");
        }
        if self.limits.http_connections == 0 {
            return unfit("limits.http_connections", "there must be at least one");
        }
        if self.limits.http_connections_per_address == 0 {
            return unfit("limits.http_connections_per_address", "there must be at least one");
        }
        // A client has a quarter of it, and the room for a mail grows by doubling.
        if self.limits.receiving_memory.0 / 8 < self.limits.message_size.0 {
            return unfit("limits.receiving_memory", "it must be at least eight times limits.message_size");
        }
        if self.limits.receiving_time.0 < Duration::from_secs(60) {
            return unfit("limits.receiving_time", "it must be at least a minute");
        }
        if (1..4_096).contains(&self.auth.scram_iterations) {
            return unfit("auth.scram_iterations", "RFC 7677 wants at least 4096; 0 keeps no keys");
        }
        if self.limits.recipients < 100 {
            return unfit("limits.recipients", "RFC 5321 §4.5.3.1.8 wants at least 100");
        }
        Ok(())
    }

    fn queue_is_fit(&self) -> Result<(), Unfit> {
        let unfit = |key, reason: &str| Err(Unfit { key, reason: reason.to_owned() });
        let queue = &self.queue;
        if queue.workers == 0 {
            return unfit("queue.workers", "there must be at least one");
        }
        if queue.per_destination == 0 {
            return unfit("queue.per_destination", "there must be at least one");
        }
        if queue.connection_mails == 0 {
            return unfit("queue.connection_mails", "there must be at least one");
        }
        if queue.retry.is_empty() || queue.retry.iter().any(|wait| wait.0.is_zero()) {
            return unfit("queue.retry", "it needs at least one wait, and none may be zero");
        }
        if queue.lease.0 < Duration::from_secs(1) {
            return unfit("queue.lease", "it must be at least a second");
        }
        if self.smtp.relay.as_deref().is_some_and(|relay| !is_host_and_port(relay)) {
            return unfit(
                "smtp.relay",
                "it must be like \"relay.example.com:25\", without user and password",
            );
        }
        for route in &self.smtp.routes {
            if route.domains.is_empty() {
                return unfit("smtp.routes", "a route needs domains");
            }
            if route.host.as_deref().is_some_and(|host| !is_host_and_port(host)) {
                return unfit("smtp.routes", "host must be like \"relay.example.com:25\"");
            }
            if route.user.is_some() && route.password_file.is_some() == route.password_env.is_some() {
                return unfit("smtp.routes", "a user needs password_file or password_env, and not both");
            }
            if route.user.is_some() && matches!(route.tls, Some(RouteTls::None | RouteTls::Opportunistic)) {
                return unfit("smtp.routes", "a password is told over TLS only");
            }
        }
        Ok(())
    }
}

/// `HOST:PORT`.
fn is_host_and_port(text: &str) -> bool {
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains(['@', '/']));
    parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// `scheme://authority` with http or https, and nothing after it.
fn is_origin(url: &str) -> bool {
    let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    authority.is_some_and(|a| !a.is_empty() && !a.contains(['/', '?', '#', '@', ' ']))
}
