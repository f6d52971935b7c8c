//! People who log in by a certificate (EXTERNAL) instead of a password.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};

use super::{run, succeeded};
use crate::support::{Plane, Server};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate for this address, and its key behind it.
fn issue(folder: &Path, name: &str, address: &str, authority: &Authority) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, authority).unwrap();
    fs::write(folder.join(name), format!("{}{}", certificate.pem(), key.serialize_pem())).unwrap();
}

pub(crate) async fn certificates_let_people_in(plane: &Plane<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (ours, other) = (authority(), authority());
    fs::write(path.join("authorities.pem"), AsRef::<rcgen::Certificate>::as_ref(&ours).pem()).unwrap();
    issue(path, "alice.pem", "Alice@demo.test", &ours);
    issue(path, "nobody.pem", "nobody@demo.test", &ours);
    issue(path, "catchall.pem", "sales@demo.test", &ours);
    issue(path, "foreign.pem", "alice@demo.test", &other);
    let authorities = path.join("authorities.pem").display().to_string();
    let keys =
        [("MAGPIE_TLS__CLIENT_AUTHORITIES", &*authorities), ("MAGPIE_LIMITS__LOGINS_PER_MINUTE", "1000")];
    let server = Server::start_with(plane, &keys).await;
    let catchall = "*@demo.test".parse().unwrap();
    server.node.mail.admin().add_alias(&catchall, &"bob@demo.test".parse().unwrap()).await.unwrap();
    let addresses = &server.node.addresses;
    let script = format!(
        "FOLDER, IMAP, IMAPS, POP3S, SUBMISSION, MX = '{}', {}, {}, {}, {}, {}\n{}",
        path.display(),
        addresses.imap.unwrap().port(),
        addresses.imaps.unwrap().port(),
        addresses.pop3s.unwrap().port(),
        addresses.submission.unwrap().port(),
        addresses.smtp.unwrap().port(),
        include_str!("certificates.py")
    );
    if let Some(output) = run("python3", &["-"], &script).await {
        succeeded(&output);
    }
    server.stop().await;
}
