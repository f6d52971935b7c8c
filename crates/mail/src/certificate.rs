//! Logging in by a certificate that the handshake found to be good.

use storage::Account;
use types::{EmailAddress, Timestamp};

use crate::access::Credential;
use crate::{Access, Client, Error, Result, Service};

/// A client's certificate. A TLS session that is resumed has that of its first handshake, and a connection lives on
/// while one ends: so whether it has is asked whenever it is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it names.
    pub addresses: Vec<String>,
    /// RFC 5280 §4.1.2.5: `notAfter`, the last second in which it is good.
    pub not_after: Timestamp,
}

impl Certificate {
    /// Whom it names now: nobody once it has ended.
    #[must_use]
    pub fn addresses_at(&self, now: Timestamp) -> &[String] {
        if now.seconds() > self.not_after.seconds() { &[] } else { &self.addresses }
    }

    /// Whether somebody can log in by it now.
    #[must_use]
    pub fn is_of_use(&self, now: Timestamp) -> bool {
        !self.addresses_at(now).is_empty()
    }
}

impl Service {
    /// Lets in whom a certificate names that is to be believed: the first of its addresses that is an account's own. An
    /// alias is nobody's own, since all that a domain does not know may be one. Who else is named must be the same.
    /// One that has ended since it was shown names nobody.
    pub async fn certified(
        &self,
        certificate: &Certificate,
        named: Option<&str>,
        client: &Client,
    ) -> Result<Access> {
        let attempt = self.limit_logins(None, client).await?;
        let named = named.map(|named| named.trim().parse::<EmailAddress>());
        let addresses = certificate.addresses_at(self.now()).iter();
        for address in addresses.filter_map(|address| address.parse::<EmailAddress>().ok()) {
            let is_named = |account: &Account| match &named {
                Some(Ok(named)) => named.key() == account.email.key(),
                Some(Err(_)) => false,
                None => true,
            };
            let account = self.account_of(&address).await?;
            let own = account.filter(|account| account.email.key() == address.key() && is_named(account));
            if let Some(account) = own {
                metrics::counter!("magpie_logins_total", "outcome" => "ok").increment(1);
                let credential = Credential::Password(account.password_hash.clone());
                return Ok(attempt.let_in(self, account, credential).await);
            }
        }
        self.refused_login(client).await;
        Err(Error::Credentials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_nobody_once_it_has_ended() {
        let certificate =
            Certificate { addresses: vec!["a@b.test".into()], not_after: Timestamp::from_seconds(10) };
        assert!(certificate.is_of_use(Timestamp::from_millis(10_999)));
        assert!(!certificate.is_of_use(Timestamp::from_seconds(11)));
        assert!(!Certificate::default().is_of_use(Timestamp::default()));
    }
}
