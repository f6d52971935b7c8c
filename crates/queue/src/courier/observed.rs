//! What is wrong with TLS to a host, in the words of reports (RFC 8460 §4.3).

use std::{
    io,
    sync::{Arc, OnceLock},
};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::tls::signatures_by;
use crate::tlsrpt::ResultType;

/// TLS did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// `None`: the connection broke, and TLS has no part in it.
    pub(super) result: Option<ResultType>,
    pub(super) reason: String,
}

impl Broken {
    pub(super) const fn by(result: ResultType, reason: String) -> Self {
        Self { result: Some(result), reason }
    }

    /// The end of a handshake.
    pub(super) fn of(error: &io::Error) -> Self {
        let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        Self::by(of_tls.map_or(ResultType::ValidationFailure, result), error.to_string())
    }
}

fn result(error: &Error) -> ResultType {
    match error {
        Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => ResultType::CertificateExpired,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => ResultType::CertificateHostMismatch,
        Error::InvalidCertificate(_) => ResultType::CertificateNotTrusted,
        _ => ResultType::ValidationFailure,
    }
}

/// What a policy that is only tested would have said of a certificate.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed(Arc<OnceLock<ResultType>>);

impl Observed {
    pub(super) fn result(&self) -> Option<ResultType> {
        self.0.get().copied()
    }

    pub(super) fn observer(
        &self,
        authorities: Arc<WebPkiServerVerifier>,
        provider: Arc<CryptoProvider>,
    ) -> Observer {
        Observer { authorities, provider, seen: self.clone() }
    }
}

/// Takes any certificate, and notes what is wrong with it.
#[derive(Debug)]
pub(super) struct Observer {
    authorities: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    seen: Observed,
}

impl Observer {
    fn provider(&self) -> &CryptoProvider {
        &self.provider
    }
}

impl ServerCertVerifier for Observer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Err(error) = self.authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            let _ = self.seen.0.set(result(&error));
        }
        if end_entity.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    signatures_by!(provider);
}
