//! The checks that the configuration wants of mail from other servers.

use std::sync::Arc;

use endpoints::smtp::Door;
use filter::{Authentication, Dns, Filter, Mode, OnTempError, Rules, Spf, aggregate::Ledger};

use crate::config::{Config, Dmarc, TempError};

pub(crate) fn door(config: &Config, hostname: &str, dns: Dns, ledger: Option<Arc<dyn Ledger>>) -> Door {
    let wanted = &config.filter;
    let rules = Rules {
        dmarc: match wanted.dmarc {
            Dmarc::Enforce => Mode::Enforce,
            Dmarc::Mark => Mode::Mark,
            Dmarc::Off => Mode::Off,
        },
        on_temperror: match wanted.on_temperror {
            TempError::Accept => OnTempError::Accept,
            TempError::Protect => OnTempError::Protect,
            TempError::Defer => OnTempError::Defer,
        },
        trusted_sealers: wanted.trusted_sealers.clone(),
        budget: wanted.timeout.0,
    };
    let spf = Spf::new(dns.clone(), hostname.to_owned(), rules.budget);
    let filter =
        Filter::new(hostname.to_owned(), vec![Box::new(spf), Box::new(Authentication::new(dns, rules))]);
    Door { filter, trusted: wanted.trusted_networks.clone(), ledger }
}
