//! What DNS says, held against what it should say.

use std::time::Duration;

use filter::{Dns, Outcome, Spf, dns::Unanswered, keys};
use futures::future::join_all;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::{Data, Facts, State, Wanted, addresses};

/// The state of each record, in their order.
pub(crate) async fn compare(dns: &Dns, facts: &Facts<'_>, wanted: &[Wanted]) -> Vec<State> {
    join_all(wanted.iter().map(|record| async {
        state(dns, facts, record).await.unwrap_or_else(|Unanswered(reason)| State::Unanswered(reason))
    }))
    .await
}

async fn state(dns: &Dns, facts: &Facts<'_>, wanted: &Wanted) -> Result<State, Unanswered> {
    let name = wanted.name.as_str();
    Ok(match &wanted.data {
        Data::Address => {
            let found = addresses(dns, name).await?;
            if found.is_empty() { State::Missing } else { State::Right }
        }
        Data::Mx(host) => among(
            shown(dns.lookup(name, RecordType::MX).await?, |data| match data {
                RData::MX(mx) => Some(trimmed(&mx.exchange.to_ascii())),
                _ => None,
            }),
            |found| same_name(found, host),
        ),
        Data::Ptr { host, .. } => among(
            shown(dns.lookup(name, RecordType::PTR).await?, |data| match data {
                RData::PTR(ptr) => Some(trimmed(&ptr.0.to_ascii())),
                _ => None,
            }),
            |found| same_name(found, host),
        ),
        Data::Srv { port, host } => among(
            shown(dns.lookup(name, RecordType::SRV).await?, |data| match data {
                RData::SRV(srv) => Some(format!("{} {}", srv.port, trimmed(&srv.target.to_ascii()))),
                _ => None,
            }),
            |found| {
                found
                    .split_once(' ')
                    .is_some_and(|(at, target)| at == port.to_string() && same_name(target, host))
            },
        ),
        Data::Tlsa(hash) => among(
            shown(dns.lookup(name, RecordType::TLSA).await?, |data| match data {
                RData::TLSA(_) => Some(data.to_string().to_lowercase()),
                _ => None,
            }),
            |found| found == format!("3 1 1 {hash}"),
        ),
        Data::Spf(_) => spf(dns, facts, texts(dns, name, "v=spf1").await?).await,
        Data::Dkim { algorithm, public_key, .. } => {
            among(texts(dns, name, "").await?, |found| keys::publishes(found, *algorithm, public_key))
        }
        Data::Dmarc(_) => the_one(texts(dns, name, "v=DMARC1").await?, filter::is_valid_dmarc),
        Data::MtaSts { id, .. } => the_one(texts(dns, name, "v=STSv1").await?, |found| {
            tag(found, "id").is_some_and(|found| found == *id)
        }),
        Data::TlsRpt(_) => {
            the_one(texts(dns, name, "v=TLSRPTv1").await?, |found| tag(found, "rua").is_some())
        }
    })
}

/// Whatever it says, it has to let our addresses send.
async fn spf(dns: &Dns, facts: &Facts<'_>, found: Vec<String>) -> State {
    let [_] = found.as_slice() else {
        return if found.is_empty() { State::Missing } else { State::Different(found) };
    };
    if facts.addresses.is_empty() {
        return State::Unanswered("this server's address, which it is about".to_owned());
    }
    let spf = Spf::new(dns.clone(), facts.hostname.to_owned(), Duration::from_secs(20));
    for address in facts.addresses {
        let outcome = spf.check_host(*address, facts.domain, facts.hostname, "").await;
        match outcome {
            Outcome::Pass => {}
            Outcome::TempError => return State::Unanswered("its look-ups".to_owned()),
            _ => return State::Different(found),
        }
    }
    State::Right
}

/// TXT records that begin so.
async fn texts(dns: &Dns, name: &str, start: &str) -> Result<Vec<String>, Unanswered> {
    let texts = dns.txt(name).await?.into_iter().map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok(texts.filter(|text| text.to_lowercase().starts_with(&start.to_lowercase())).collect())
}

fn shown(records: Vec<RData>, show: impl Fn(&RData) -> Option<String>) -> Vec<String> {
    records.iter().filter_map(show).collect()
}

/// One of several has to be right.
fn among(found: Vec<String>, is_right: impl Fn(&str) -> bool) -> State {
    if found.is_empty() {
        State::Missing
    } else if found.iter().any(|found| is_right(found)) {
        State::Right
    } else {
        State::Different(found)
    }
}

/// There must be one, and it has to be right.
fn the_one(found: Vec<String>, is_right: impl Fn(&str) -> bool) -> State {
    match found.as_slice() {
        [] => State::Missing,
        [only] if is_right(only) => State::Right,
        _ => State::Different(found),
    }
}

fn trimmed(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

fn same_name(found: &str, wanted: &str) -> bool {
    trimmed(found) == trimmed(wanted)
}

fn tag(text: &str, name: &str) -> Option<String> {
    let tags = text.split(';').filter_map(|tag| tag.split_once('='));
    tags.filter(|(found, _)| found.trim() == name).map(|(_, value)| value.trim().to_owned()).next()
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{
        TLSA,
        tlsa::{CertUsage, Matching, Selector},
    };

    use super::*;

    #[test]
    fn tlsa_records_are_shown_as_we_write_them() {
        let record = TLSA::new(CertUsage::DaneEe, Selector::Spki, Matching::Sha256, vec![0xab, 0x01]);
        assert_eq!(RData::TLSA(record).to_string().to_lowercase(), "3 1 1 ab01");
    }
}
