//! What there is to connect to: the host, the ports, and how they are secured.

use crate::{
    config::{Config, Listen, Setup, Shown},
    node::Addresses,
};

/// The listeners that mail programs are told of, those with TLS from the first byte first (RFC 8314 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offers {
    pub(super) host: String,
    pub(super) incoming: Vec<Offer>,
    pub(super) outgoing: Vec<Offer>,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) protocol: Protocol,
    pub(super) security: Security,
    pub(super) port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Imap,
    Pop3,
    Smtp,
}

/// There is TLS everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    FromTheFirstByte,
    StartTls,
}

impl Offers {
    /// `hostname`: of the server, where the configuration names no other for programs. `bound`: where this process
    /// listens, for ports that were left to the system.
    #[must_use]
    pub(crate) fn new(config: &Config, hostname: String, bound: &Addresses) -> Self {
        use Security::{FromTheFirstByte, StartTls};
        let Setup { hostname: shown_host, imap, imaps, pop3, pop3s, submission, submissions } = &config.setup;
        let offer =
            |protocol, security, shown: &Shown, Listen(listen), bound: Option<std::net::SocketAddr>| {
                let listened = match listen {
                    Some(address) if address.port() == 0 => bound.map(|bound| bound.port()),
                    other => other.map(|address| address.port()),
                };
                let port = match shown {
                    Shown::AsListened => listened,
                    Shown::Never => None,
                    Shown::At(port) => Some(*port),
                };
                port.map(|port| Offer { protocol, security, port })
            };
        let incoming = [
            offer(Protocol::Imap, FromTheFirstByte, imaps, config.imaps.listen, bound.imaps),
            offer(Protocol::Imap, StartTls, imap, config.imap.listen, bound.imap),
            offer(Protocol::Pop3, FromTheFirstByte, pop3s, config.pop3s.listen, bound.pop3s),
            offer(Protocol::Pop3, StartTls, pop3, config.pop3.listen, bound.pop3),
        ];
        let outgoing = [
            offer(
                Protocol::Smtp,
                FromTheFirstByte,
                submissions,
                config.submissions.listen,
                bound.submissions,
            ),
            offer(Protocol::Smtp, StartTls, submission, config.submission.listen, bound.submission),
        ];
        Self {
            host: shown_host.clone().unwrap_or(hostname),
            incoming: incoming.into_iter().flatten().collect(),
            outgoing: outgoing.into_iter().flatten().collect(),
        }
    }

    /// All of them, those for reading first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Offer> {
        self.incoming.iter().chain(&self.outgoing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn check(variables: &[(&str, &str)], bound: &Addresses, wanted: &str) {
        let variables: Vec<_> =
            variables.iter().map(|(key, value)| (format!("MAGPIE_{key}"), (*value).to_owned())).collect();
        let config = load(None, &variables).unwrap().config;
        let offers = Offers::new(&config, "mx.test".into(), bound);
        let offers: Vec<_> = offers
            .all()
            .map(|offer| format!("{:?} {} {:?}", offer.protocol, offer.port, offer.security))
            .chain([offers.host.clone()])
            .collect();
        assert_eq!(offers.join(", "), wanted, "{variables:?}");
    }

    #[test]
    fn only_what_is_there_is_offered_and_under_the_ports_that_are_seen() {
        let nowhere = Addresses::default();
        check(
            &[],
            &nowhere,
            "Imap 2993 FromTheFirstByte, Imap 2143 StartTls, Pop3 2995 FromTheFirstByte, Pop3 2110 StartTls, \
             Smtp 2465 FromTheFirstByte, Smtp 2587 StartTls, mx.test",
        );
        let off = [("IMAP__LISTEN", ""), ("POP3__LISTEN", ""), ("POP3S__LISTEN", "")];
        let shown = [
            ("SETUP__HOSTNAME", "mail.example.com"),
            ("SETUP__IMAPS", "993"),
            ("SETUP__POP3S", "995"),
            ("SETUP__SUBMISSION", "off"),
        ];
        check(
            &[off, [shown[0], shown[1], shown[2]], [shown[3]; 3]].concat(),
            &nowhere,
            "Imap 993 FromTheFirstByte, Pop3 995 FromTheFirstByte, Smtp 2465 FromTheFirstByte, mail.example.com",
        );
        let any = ["IMAP", "IMAPS", "POP3", "POP3S", "SUBMISSION", "SUBMISSIONS"]
            .map(|listener| (format!("{listener}__LISTEN"), "127.0.0.1:0"));
        let any: Vec<_> = any.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        let bound = Addresses { imaps: "127.0.0.1:40001".parse().ok(), ..nowhere };
        check(&any, &bound, "Imap 40001 FromTheFirstByte, mx.test");
    }
}
