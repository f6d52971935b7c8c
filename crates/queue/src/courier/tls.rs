//! TLS to other servers: by default opportunistic (RFC 7435), where a policy says so verified by authorities
//! (RFC 8461 §4.2) or by DNS (RFC 7672 §3).
//!
//! Without a policy that says otherwise, an unknown certificate must not stop mail that would go in clear text else.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{insecure, observed::Observed};
use crate::{
    Reply, Security,
    dane::{Pin, Usage},
};

/// The ways of speaking TLS.
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    /// Any certificate is taken, but the other side has to hold its key.
    unverified: Arc<ClientConfig>,
    verified: Arc<ClientConfig>,
    /// What `verified` trusts.
    authorities: Arc<WebPkiServerVerifier>,
}

impl Tls {
    pub(crate) fn new() -> Result<Self, Error> {
        Self::trusting(&[])
    }

    /// With further authorities, in DER.
    pub(crate) fn trusting(authorities: &[Vec<u8>]) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for authority in authorities {
            roots.add(CertificateDer::from(authority.as_slice()))?;
        }
        let roots = Arc::new(roots);
        let authorities =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build();
        let authorities = authorities.map_err(|error| Error::General(error.to_string()))?;
        let verified = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let any = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let unverified = Arc::new(checked_by(&provider, any)?);
        Ok(Self { provider, unverified, verified: Arc::new(verified), authorities })
    }

    /// What keeps the connection as safe as it has to be.
    pub(crate) fn config(&self, security: &Security, host: &str) -> Result<Arc<ClientConfig>, Reply> {
        match security {
            Security::Plain | Security::Opportunistic | Security::Encrypted => {
                Ok(Arc::clone(&self.unverified))
            }
            Security::Verified => Ok(Arc::clone(&self.verified)),
            Security::Dane(pin) => {
                let provider = Arc::clone(&self.provider);
                let pinned = Arc::new(Pinned { pin: Arc::clone(pin), provider });
                let config = checked_by(&self.provider, pinned);
                config.map(Arc::new).map_err(|error| insecure(host, &error.to_string()))
            }
        }
    }

    /// Takes any certificate, and tells what would have been wrong with it.
    pub(super) fn observing(&self) -> (Arc<ClientConfig>, Observed) {
        let observed = Observed::default();
        let observer = observed.observer(Arc::clone(&self.authorities), Arc::clone(&self.provider));
        match checked_by(&self.provider, Arc::new(observer)) {
            Ok(config) => (Arc::new(config), observed),
            Err(_) => (Arc::clone(&self.unverified), observed),
        }
    }

    pub(crate) fn unverified(&self) -> &Arc<ClientConfig> {
        &self.unverified
    }

    pub(crate) fn verified(&self) -> &Arc<ClientConfig> {
        &self.verified
    }
}

fn checked_by(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// The other side has to hold the key of what it shows, whatever that is.
macro_rules! signatures_by {
    ($provider:ident) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &self.$provider().signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.$provider().signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.$provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

pub(super) use signatures_by;

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl AnyCertificate {
    fn provider(&self) -> &CryptoProvider {
        &self.0
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if end_entity.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    signatures_by!(provider);
}

/// What the host's TLSA records name.
#[derive(Debug)]
struct Pinned {
    pin: Arc<Pin>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn provider(&self) -> &CryptoProvider {
        &self.provider
    }

    fn has(&self, usage: Usage, certificate: &CertificateDer<'_>) -> bool {
        let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
        let key = parsed.subject_public_key_info();
        let mut records = self.pin.records.iter().filter(|record| record.usage == usage);
        records.any(|record| record.names(certificate, &key))
    }

    /// RFC 7672 §3.1.2: an authority of the host's own, which has to come with the certificate.
    fn is_vouched_for(
        &self,
        anchor: &CertificateDer<'_>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(anchor.clone())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
        let mut outcome = Err(CertificateError::NotValidForName.into());
        for name in &self.pin.names {
            let Ok(name) = ServerName::try_from(name.as_str()) else { continue };
            outcome = verifier.verify_server_cert(end_entity, intermediates, &name, &[], now);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // RFC 7672 §3.1.1: neither names nor dates matter then.
        if self.has(Usage::EndEntity, end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let mut outcome = Err(CertificateError::UnknownIssuer.into());
        for anchor in intermediates.iter().filter(|anchor| self.has(Usage::TrustAnchor, anchor)) {
            outcome = self.is_vouched_for(anchor, end_entity, intermediates, now);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    signatures_by!(provider);
}
