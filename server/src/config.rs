//! The configuration: compiled-in defaults, a file, the environment; read once, checked whole, then only read.

mod human;
mod load;
mod sections;
mod together;
mod url;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use blob::S3Keys;
use serde::Deserialize;

pub use human::{Listen, Size, Span};
pub use load::{Error, Loaded, load};
pub use sections::{
    Audience, Auth, Blobs, Bus, Cache, Directory, Dmarc, Dns, Door, Drain, Filter, Format, Http, Limits,
    Listener, Log, MtaSts, Node, ProxyProtocol, Queue, Resolver, Search, Shards, Smtp, StsMode, TempError,
    Tls,
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
    pub filter: Filter,
    pub mta_sts: MtaSts,
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
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return unfit("tls.certificate", "certificate and key go together");
        }
        if self.filter.timeout.0.is_zero() || self.filter.timeout.0 > Duration::from_secs(120) {
            return unfit("filter.timeout", "it must be more than nothing and at most two minutes");
        }
        // RFC 8461 §3.2.
        if self.mta_sts.max_age.0 > Duration::from_secs(31_557_600) {
            return unfit("mta_sts.max_age", "it must be at most a year");
        }
        if self.queue.workers == 0 {
            return unfit("queue.workers", "there must be at least one");
        }
        if self.queue.retry.is_empty() || self.queue.retry.iter().any(|wait| wait.0.is_zero()) {
            return unfit("queue.retry", "it needs at least one wait, and none may be zero");
        }
        if self.queue.lease.0 < Duration::from_secs(1) {
            return unfit("queue.lease", "it must be at least a second");
        }
        if self.limits.message_size.0 < 64 << 10 {
            return unfit("limits.message_size", "RFC 5321 §4.5.3.1.7 wants at least 64KB");
        }
        if self.limits.upload_size.0 > self.limits.message_size.0 {
            return unfit(
                "limits.upload_size",
                "it is larger than limits.message_size, so could never be sent",
            );
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
        if self.limits.recipients < 100 {
            return unfit("limits.recipients", "RFC 5321 §4.5.3.1.8 wants at least 100");
        }
        if let Some(relay) = &self.smtp.relay
            && relay
                .rsplit_once(':')
                .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        {
            return unfit("smtp.relay", "it must be like \"relay.example.com:25\"");
        }
        Ok(())
    }
}

/// `scheme://authority` with http or https, and nothing after it.
fn is_origin(url: &str) -> bool {
    let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    authority.is_some_and(|a| !a.is_empty() && !a.contains(['/', '?', '#', '@', ' ']))
}
