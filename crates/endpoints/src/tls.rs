//! Certificates: read from PEM files, or made when there are none.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path} is not the PEM file that is needed: {source}")]
    Pem { path: PathBuf, source: pem::Error },
    #[error("{0} has no certificate")]
    Empty(PathBuf),
    #[error("the certificate and its key cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
    #[error("clients cannot be asked for certificates: {0}")]
    Clients(#[from] VerifierBuilderError),
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// TLS with the certificate chain and the private key in these files.
pub fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, Error> {
    load_with(certificate, key, None)
}

/// The same; clients are asked for a certificate that one of the authorities in this file signed. Who has none is served
/// as well, who shows another is not.
pub fn load_asking(certificate: &Path, key: &Path, authorities: &Path) -> Result<Arc<ServerConfig>, Error> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities)? {
        roots.add(authority)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    load_with(certificate, key, Some(verifier.allow_unauthenticated().build()?))
}

fn load_with(
    certificate: &Path,
    key: &Path,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, Error> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(in_pem(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = match clients {
        Some(verifier) => config.with_client_cert_verifier(verifier),
        None => config.with_no_client_auth(),
    };
    Ok(Arc::new(config.with_single_cert(chain, key)?))
}

/// Those in this file, one at least.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(in_pem(path))?;
    if all.is_empty() { Err(Error::Empty(path.to_owned())) } else { Ok(all) }
}

fn in_pem(path: &Path) -> impl FnOnce(pem::Error) -> Error {
    let path = path.to_owned();
    move |source| match source {
        pem::Error::Io(source) => Error::File { path, source },
        source => Error::Pem { path, source },
    }
}

/// TLS with a certificate that nobody signed, kept as `cert.pem` and `key.pem` in this folder; made for these names
/// if it is not there yet.
pub fn self_signed(folder: &Path, names: &[String]) -> Result<Arc<ServerConfig>, Error> {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if !certificate.exists() || !key.exists() {
        let mut wanted = CertificateParams::new(names)?;
        wanted.distinguished_name = DistinguishedName::new();
        // What programs show to whoever has to decide whether to trust it.
        if let Some(name) = names.first() {
            wanted.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        let signing_key = KeyPair::generate()?;
        let made = wanted.self_signed(&signing_key)?;
        fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.to_owned(), source })?;
        write(&key, &signing_key.serialize_pem())?;
        write(&certificate, &made.pem())?;
    }
    load(&certificate, &key)
}

/// Writes a file that only its owner can read, whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let unfinished = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("tls");
        self_signed(&folder, &["mx.test".into()]).unwrap();
        let first = fs::read(folder.join("cert.pem")).unwrap();
        self_signed(&folder, &["mx.test".into()]).unwrap();
        assert_eq!(fs::read(folder.join("cert.pem")).unwrap(), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(folder.join("key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cert.pem");
        assert!(load(&path, &path).unwrap_err().to_string().contains("cert.pem"));
        fs::write(&path, "no pem").unwrap();
        assert!(matches!(load(&path, &path), Err(Error::Empty(_))));
    }
}
