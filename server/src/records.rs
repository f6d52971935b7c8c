//! What DNS should say of a domain of ours, and what it says.

mod compare;
mod show;
mod spki;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use filter::{Dns, dns::Unanswered, keys};
use storage::{DkimKey, KeyPhase};
use types::DkimAlgorithm;

use crate::dkim;

pub(crate) use compare::compare;
pub(crate) use show::{as_json, as_lines, as_zone};
pub(crate) use spki::of_certificate;

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    /// The host that takes the domain's mail.
    Mx(String),
    /// The host has an address of the Internet.
    Address,
    Spf(String),
    /// The public half of a key.
    Dkim {
        text: String,
        algorithm: DkimAlgorithm,
        public_key: Vec<u8>,
    },
    Dmarc(String),
    MtaSts {
        text: String,
        id: String,
    },
    TlsRpt(String),
    /// Usage, selector and matching type are 3 1 1 (RFC 7672 §3.1).
    Tlsa(String),
    Srv {
        port: u16,
        host: String,
    },
    Ptr {
        address: IpAddr,
        host: String,
    },
}

/// Whether mail works without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Needed,
    Advised,
}

/// A record that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) data: Data,
    pub(crate) need: Need,
    /// What it is good for.
    pub(crate) why: &'static str,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Right,
    Missing,
    /// There is something, but it does not say what it should.
    Different(Vec<String>),
    Unanswered(String),
}

/// What the records are made of.
pub(crate) struct Facts<'a> {
    /// In A-labels.
    pub(crate) domain: &'a str,
    pub(crate) hostname: &'a str,
    pub(crate) keys: &'a [DkimKey],
    /// Addresses that the host's name leads to.
    pub(crate) addresses: &'a [IpAddr],
    /// SHA-256 of the public key of the certificate that the SMTP listener shows, in hexadecimal.
    pub(crate) spki: Option<String>,
    /// The id of the MTA-STS policy, if one is served.
    pub(crate) policy_id: Option<String>,
    /// Ports that mail programs find by SRV: service and port (RFC 6186, RFC 8314 §5.1).
    pub(crate) services: &'a [(&'static str, u16)],
}

/// Everything that should be there, what mail cannot do without first.
pub(crate) fn wanted(facts: &Facts<'_>) -> Vec<Wanted> {
    let Facts { domain, hostname, .. } = facts;
    let mut wanted = Vec::new();
    let mut add = |name: String, data, need, why| wanted.push(Wanted { name, data, need, why });
    use Need::{Advised, Needed};
    add((*domain).to_owned(), Data::Mx((*hostname).to_owned()), Needed, "others' mail is brought here");
    add((*hostname).to_owned(), Data::Address, Needed, "the host can be reached");
    add(
        (*domain).to_owned(),
        Data::Spf("v=spf1 mx -all".to_owned()),
        Needed,
        "this host may send for the domain",
    );
    for key in facts.keys {
        let text = keys::record(key.algorithm, &key.public_key);
        let data = Data::Dkim { text, algorithm: key.algorithm, public_key: key.public_key.clone() };
        let (need, why) = match key.phase {
            KeyPhase::Signing => (Needed, "what is signed can be verified"),
            KeyPhase::Waiting => (Needed, "this key signs once its record can be read"),
            KeyPhase::Retired => (Advised, "what was signed before can still be verified"),
        };
        add(dkim::record_name(domain, key), data, need, why);
    }
    let dmarc = format!("v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}");
    add(format!("_dmarc.{domain}"), Data::Dmarc(dmarc), Needed, "others know what to do with forged mail");
    for address in facts.addresses.iter().filter(|address| !queue::private::is_private(**address)) {
        let data = Data::Ptr { address: *address, host: (*hostname).to_owned() };
        add(arpa(*address), data, Needed, "many servers take no mail from hosts without a name");
    }
    if let Some(id) = &facts.policy_id {
        let data = Data::MtaSts { text: format!("v=STSv1; id={id}"), id: id.clone() };
        add(format!("_mta-sts.{domain}"), data, Advised, "others insist on TLS");
        add(
            format!("mta-sts.{domain}"),
            Data::Address,
            Advised,
            "the policy can be fetched from this server",
        );
    }
    let report = format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}");
    add(format!("_smtp._tls.{domain}"), Data::TlsRpt(report), Advised, "others tell when TLS to here fails");
    if let Some(spki) = &facts.spki {
        let why = "with DNSSEC: others insist on this certificate's key (keep the key when it is renewed)";
        add(format!("_25._tcp.{hostname}"), Data::Tlsa(spki.clone()), Advised, why);
    }
    for (service, port) in facts.services {
        let data = Data::Srv { port: *port, host: (*hostname).to_owned() };
        add(format!("_{service}._tcp.{domain}"), data, Advised, "mail programs set themselves up");
    }
    wanted
}

/// The name of an address in `in-addr.arpa` or `ip6.arpa`.
pub(crate) fn arpa(address: IpAddr) -> String {
    hickory_resolver::proto::rr::Name::from(address).to_ascii().trim_end_matches('.').to_owned()
}

/// The addresses that a host's name leads to.
pub(crate) async fn addresses(dns: &Dns, host: &str) -> Result<Vec<IpAddr>, Unanswered> {
    use hickory_resolver::proto::rr::{RData, RecordType};
    let mut found = Vec::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        let records = dns.lookup(host, kind).await?;
        found.extend(records.into_iter().filter_map(|data| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        }));
    }
    Ok(found)
}
