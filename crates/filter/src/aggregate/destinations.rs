//! Where reports may go: what the policy names, and those elsewhere only if they say that they want them (RFC 7489
//! §7.1, RFC 9990 §4).

use types::EmailAddress;

use crate::dmarc::{self, is_dmarc};
use crate::dns::{Dns, Unanswered, to_a_labels};

/// An address that takes reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub address: EmailAddress,
    /// A larger report is not wanted; `None`: of any size.
    pub max_bytes: Option<u64>,
}

/// More than this are not served: mail to others must not be had for a record of one's own.
const MAX_DESTINATIONS: usize = 5;

/// The addresses that take the reports of the domain that has this policy; an error if DNS does not say.
pub async fn destinations(dns: &Dns, domain: &str, record: &str) -> Result<Vec<Destination>, Unanswered> {
    let mut found: Vec<Destination> = Vec::new();
    for named in of_record(record) {
        // Hosts below are the domain's own. One above may be a provider's, whose customers have names below it.
        if is_within(&host(&named), domain) {
            found.push(named);
            continue;
        }
        // RFC 7489 §7.1: it may name another address at the same host.
        match asked_for(dns, &host(&named), domain).await? {
            Some(others) if !others.is_empty() => found.extend(others),
            Some(_) => found.push(named),
            None => tracing::info!(domain, to = %named.address, "a report is not wanted there"),
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|destination| seen.insert(destination.address.key()));
    found.truncate(MAX_DESTINATIONS);
    Ok(found)
}

fn of_record(record: &str) -> Vec<Destination> {
    let Ok(record) = dmarc::parse(record.as_bytes()) else { return Vec::new() };
    let named = record.rua().iter().filter_map(|uri| {
        let address = uri.uri().parse::<EmailAddress>().ok()?;
        let max_bytes = u64::try_from(uri.max_size()).ok().filter(|max| *max > 0);
        (!address.domain().starts_with('[')).then_some(Destination { address, max_bytes })
    });
    named.take(MAX_DESTINATIONS).collect()
}

fn host(destination: &Destination) -> String {
    to_a_labels(destination.address.domain()).unwrap_or_else(|| destination.address.domain_key())
}

fn is_within(name: &str, domain: &str) -> bool {
    name == domain || name.strip_suffix(domain).is_some_and(|before| before.ends_with('.'))
}

/// What the host says of reports about the domain; `None`: that it wants none.
async fn asked_for(dns: &Dns, at: &str, domain: &str) -> Result<Option<Vec<Destination>>, Unanswered> {
    let texts = dns.txt(&format!("{domain}._report._dmarc.{at}.")).await?;
    let record = texts.iter().find(|text| is_dmarc(text));
    Ok(record.map(|text| {
        let mut others = of_record(&String::from_utf8_lossy(text));
        others.retain(|other| host(other) == at);
        others
    }))
}

#[cfg(test)]
mod tests {
    use testkit::Zone;

    use super::*;

    #[tokio::test]
    async fn reports_go_where_they_are_wanted() {
        let zone = Zone::start().await.unwrap();
        zone.txt("a.test._report._dmarc.other.test", "v=DMARC1;").unwrap();
        zone.txt(
            "a.test._report._dmarc.moved.test",
            "v=DMARC1; rua=mailto:new@moved.test,mailto:x@evil.test",
        )
        .unwrap();
        zone.txt("_dmarc.provider.test", "v=DMARC1; p=none").unwrap();
        zone.txt("sub.asked.test._report._dmarc.asked.test", "v=DMARC1").unwrap();
        zone.servfail("a.test._report._dmarc.down.test").unwrap();
        let dns = Dns::new(Some(zone.address())).unwrap();
        let check = async |domain: &str, rua: &str, wanted: &[(&str, Option<u64>)]| {
            let record = format!("v=DMARC1; p=none; rua={rua}");
            let found = destinations(&dns, domain, &record).await.unwrap();
            let found: Vec<_> = found.iter().map(|to| (to.address.to_string(), to.max_bytes)).collect();
            let wanted: Vec<_> = wanted.iter().map(|(to, max)| ((*to).to_owned(), *max)).collect();
            assert_eq!(found, wanted, "{domain} {rua}");
        };
        check("a.test", "mailto:d@a.test!10m", &[("d@a.test", Some(10 << 20))]).await;
        check("a.test", "mailto:d@sub.a.test,mailto:d@nota.test", &[("d@sub.a.test", None)]).await;
        check("a.test", "mailto:d@other.test", &[("d@other.test", None)]).await;
        check("b.test", "mailto:d@other.test", &[]).await;
        check("a.test", "mailto:old@moved.test", &[("new@moved.test", None)]).await;
        check("sub.asked.test", "mailto:d@asked.test", &[("d@asked.test", None)]).await;
        check("customer.provider.test", "mailto:boss@provider.test", &[]).await;
        check("a.test", "mailto:d@a.test; adkim=relaxed!; fo=q", &[("d@a.test", None)]).await;
        check("a.test", "mailto:d@a.test,mailto:D@a.test,https://a.test/x", &[("d@a.test", None)]).await;
        let many: Vec<_> = (0..9).map(|n| format!("mailto:d{n}@a.test")).collect();
        let record = format!("v=DMARC1; p=none; rua={}", many.join(","));
        assert_eq!(destinations(&dns, "a.test", &record).await.unwrap().len(), MAX_DESTINATIONS);
        let record = "v=DMARC1; p=none; rua=mailto:d@down.test";
        assert!(destinations(&dns, "a.test", record).await.is_err(), "DNS may say it later");
    }
}
