//! Reports on connections to other domains' mail servers (RFC 8460).

use std::{collections::HashSet, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::join_all;
use mail::Notice;
use queue::tlsrpt::{FILE_TYPE, Session, file, report};
use types::{EmailAddress, Terms, Url};

use super::{Reports, about::About, pass::Made};

/// More destinations than this get none.
const MAX_DESTINATIONS: usize = 5;

/// Where a domain wants its reports.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Destination {
    Mail(EmailAddress),
    Post(Url),
}

impl Reports {
    /// The day's report, if the domain asks for one.
    ///
    /// What is posted is not queued: it goes at once or with a later pass. Meanwhile the nodes' cache knows who has it;
    /// should that be lost, they get it again under the same id.
    pub(super) async fn send_tls(&self, about: &About<'_>) -> anyhow::Result<Made> {
        let sessions = about.rows::<Session>();
        if sessions.is_empty() {
            return Ok(Made::default());
        }
        let name = format!("_smtp._tls.{}.", about.domain);
        let wanted = destinations(&about.ask(self.dns.txt(&name)).await?);
        let id = about.id(&sessions)?;
        let (mut mails, mut urls) = (Vec::new(), Vec::new());
        for destination in wanted {
            match destination {
                Destination::Mail(address) => mails.push(address),
                Destination::Post(url) => urls.push(url),
            }
        }
        let mut made = Made::default();
        if !mails.is_empty() && !self.was_sent(&id, BY_MAIL).await {
            let raw = report(&about.feedback(&id, &mails, self.clock.now()), &sessions).into();
            // §3: whatever the domain demands of connections may be what fails.
            let terms = Terms { tls_optional: true, ..Terms::default() };
            made.sent += self.submit(about, vec![Notice { to: mails, terms, raw }]).await?;
            self.note_sent(&id, BY_MAIL).await;
        }
        let packed = file(&about.feedback(&id, &[], self.clock.now()), &sessions);
        // At once, so that one which is slow has its own time only.
        for posted in join_all(urls.iter().map(|url| self.post(about, &id, url, &packed))).await {
            match posted {
                Ok(posted) => made.sent += usize::from(posted),
                Err(error) => made.waits = Some(error),
            }
        }
        Ok(made)
    }

    /// Whether it left; it does not, if it has already.
    async fn post(&self, about: &About<'_>, id: &str, url: &Url, packed: &[u8]) -> anyhow::Result<bool> {
        let to = url.to_string();
        if self.was_sent(id, &to).await {
            return Ok(false);
        }
        let posting = self.https.post(url, FILE_TYPE, packed);
        about.ask(posting).await.with_context(|| to.clone())?;
        tracing::info!(domain = about.domain, day = about.day, to, "a report leaves");
        self.note_sent(id, &to).await;
        Ok(true)
    }

    async fn was_sent(&self, id: &str, to: &str) -> bool {
        self.mail.cache().get(&sent_key(id, to)).await.is_some()
    }

    async fn note_sent(&self, id: &str, to: &str) {
        self.mail.cache().set(&sent_key(id, to), Bytes::from_static(b"1"), REMEMBERED).await;
    }
}

const BY_MAIL: &str = "mailto:";
/// Longer than a report waits.
const REMEMBERED: Duration = Duration::from_secs(5 * 86_400);

fn sent_key(id: &str, to: &str) -> String {
    format!("tlsrpt-sent:{id}:{}", blake3::hash(to.as_bytes()).to_hex())
}

/// §3: where the domain wants them; nowhere if it has several records.
fn destinations(texts: &[Vec<u8>]) -> Vec<Destination> {
    let texts = texts.iter().map(|text| String::from_utf8_lossy(text));
    let mut records = texts.filter(|text| {
        let version = text.split(';').next().unwrap_or_default();
        version.split_once('=').is_some_and(|(key, value)| key.trim() == "v" && value.trim() == "TLSRPTv1")
    });
    let (Some(record), None) = (records.next(), records.next()) else { return Vec::new() };
    let fields = record.split(';').filter_map(|field| field.split_once('='));
    let named = fields.filter(|(key, _)| key.trim() == "rua").flat_map(|(_, value)| value.split(','));
    let mut seen = HashSet::new();
    let found =
        named.filter_map(|uri| destination(uri.trim())).filter(|found| seen.insert(found.to_string()));
    found.take(MAX_DESTINATIONS).collect()
}

fn destination(uri: &str) -> Option<Destination> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("mailto") {
        return Url::parse(uri).map(Destination::Post);
    }
    let address = rest.split(['?', '!']).next()?.parse::<EmailAddress>().ok()?;
    (!address.domain().starts_with('[')).then_some(Destination::Mail(address))
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mail(address) => write!(f, "mailto:{address}"),
            Self::Post(url) => write!(f, "{url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_those_of_the_only_record() {
        let check = |texts: &[&str], wanted: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
            let found: Vec<_> = destinations(&texts).iter().map(ToString::to_string).collect();
            assert_eq!(found, wanted, "{texts:?}");
        };
        check(
            &["v=TLSRPTv1; rua=mailto:a@b.test,https://B.test/x?a=b , mailto:c@b.test"],
            &["mailto:a@b.test", "https://b.test/x?a=b", "mailto:c@b.test"],
        );
        check(&["v=spf1 -all", " v = TLSRPTv1 ;rua = MAILTO:a@b.test?subject=x;"], &["mailto:a@b.test"]);
        check(&["v=TLSRPTv1; rua=mailto:a@b.test", "v=TLSRPTv1; rua=mailto:c@b.test"], &[]);
        check(&["v=TLSRPTv1; rua=https://b.test,https://b.test/,http://b.test/"], &["https://b.test/"]);
        check(&["v=TLSRPTv1; rua=https://127.0.0.1/x,https://[::1]/,https://localhost/"], &[]);
        check(&["v=TLSRPTv2; rua=mailto:a@b.test"], &[]);
        check(&["v=TLSRPTv1; rua=mailto:nobody"], &[]);
        check(&["v=TLSRPTv1"], &[]);
        check(&[], &[]);
        let many: Vec<_> = (0..9).map(|n| format!("https://h{n}.b.test/")).collect();
        let record = format!("v=TLSRPTv1; rua={}", many.join(","));
        assert_eq!(destinations(&[record.into_bytes()]).len(), MAX_DESTINATIONS);
    }
}
