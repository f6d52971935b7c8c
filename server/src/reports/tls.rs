//! Reports on connections to other domains' mail servers (RFC 8460).

use mail::Notice;
use queue::tlsrpt::{Session, report};
use types::{EmailAddress, Terms};

use super::{Reports, about::About};

/// More addresses than this get none.
const MAX_ADDRESSES: usize = 5;

impl Reports {
    /// The day's report, if the domain asks for one; returns how many mails that made.
    pub(super) async fn send_tls(&self, about: &About<'_>) -> anyhow::Result<usize> {
        let sessions = about.rows::<Session>();
        if sessions.is_empty() {
            return Ok(0);
        }
        let name = format!("_smtp._tls.{}.", about.domain);
        let to = addresses(&about.ask(self.dns.txt(&name)).await?);
        if to.is_empty() {
            return Ok(0);
        }
        let id = about.id(&sessions)?;
        let raw = report(&about.feedback(&id, &to, self.clock.now()), &sessions).into();
        // §3: whatever the domain demands of connections may be what fails.
        let terms = Terms { tls_optional: true, ..Terms::default() };
        self.submit(about, vec![Notice { to, terms, raw }]).await
    }
}

/// §3: where the domain wants them; nowhere if it has several records. Over HTTPS they are not sent.
fn addresses(texts: &[Vec<u8>]) -> Vec<EmailAddress> {
    let texts = texts.iter().map(|text| String::from_utf8_lossy(text));
    let mut records = texts.filter(|text| {
        let version = text.split(';').next().unwrap_or_default();
        version.split_once('=').is_some_and(|(key, value)| key.trim() == "v" && value.trim() == "TLSRPTv1")
    });
    let (Some(record), None) = (records.next(), records.next()) else { return Vec::new() };
    let fields = record.split(';').filter_map(|field| field.split_once('='));
    let named = fields.filter(|(key, _)| key.trim() == "rua").flat_map(|(_, value)| value.split(','));
    let found = named.filter_map(|uri| {
        let (scheme, address) = uri.trim().split_once(':')?;
        let address = address.split(['?', '!']).next()?;
        scheme.eq_ignore_ascii_case("mailto").then(|| address.parse::<EmailAddress>().ok())?
    });
    found.filter(|address| !address.domain().starts_with('[')).take(MAX_ADDRESSES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_only_record() {
        let check = |texts: &[&str], wanted: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
            let found: Vec<_> = addresses(&texts).iter().map(ToString::to_string).collect();
            assert_eq!(found, wanted, "{texts:?}");
        };
        check(
            &["v=TLSRPTv1; rua=mailto:a@b.test,https://b.test/x , mailto:c@b.test"],
            &["a@b.test", "c@b.test"],
        );
        check(&["v=spf1 -all", " v = TLSRPTv1 ;rua = MAILTO:a@b.test?subject=x;"], &["a@b.test"]);
        check(&["v=TLSRPTv1; rua=mailto:a@b.test", "v=TLSRPTv1; rua=mailto:c@b.test"], &[]);
        check(&["v=TLSRPTv2; rua=mailto:a@b.test"], &[]);
        check(&["v=TLSRPTv1; rua=mailto:nobody"], &[]);
        check(&["v=TLSRPTv1"], &[]);
        check(&[], &[]);
    }
}
