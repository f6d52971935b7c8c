//! The certificates that connections are offered.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use endpoints::tls;
use rustls::ServerConfig;

use crate::config::Config;

/// TLS with the configured certificate, or one that nobody signed: for other servers, and for people, who may have
/// certificates of their own.
pub(crate) fn of(config: &Config, hostname: &str) -> anyhow::Result<(Arc<ServerConfig>, Arc<ServerConfig>)> {
    let (certificate, key, without) = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (PathBuf::from(certificate), PathBuf::from(key));
            let loaded = tls::load(&certificate, &key).context("tls")?;
            (certificate, key, loaded)
        }
        _ => {
            let names = vec![hostname.to_owned(), "localhost".to_owned()];
            let folder = config.in_data(Path::new("tls"));
            let made = tls::self_signed(&folder, &names).context("tls")?;
            (folder.join("cert.pem"), folder.join("key.pem"), made)
        }
    };
    let for_people = match &config.tls.client_authorities {
        Some(authorities) => {
            tls::load_asking(&certificate, &key, Path::new(authorities)).context("tls.client_authorities")?
        }
        None => Arc::clone(&without),
    };
    Ok((without, for_people))
}
