//! `magpie domain`.

mod reports;

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use filter::Dns;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use storage::{Domain as Row, KeyPhase};
use types::address::{self, shown_domain};

use super::{
    limit::{self, DomainLimits, MessageLimit, Number},
    out::{self, say},
};
use crate::{
    config::Config,
    dkim,
    parts::{self, Parts},
    records::{self, Facts, Need, State, Wanted},
    sts,
};

#[derive(Debug, Subcommand)]
pub(super) enum Domain {
    /// Receive mail for a domain, and make the keys that its mail is signed with
    Add {
        name: String,
        #[command(flatten)]
        limits: DomainLimits,
    },
    /// Say what the domain's accounts may have together
    Set {
        name: String,
        #[command(flatten)]
        limits: DomainLimits,
    },
    /// List the domains, with what they have of what they may have
    List,
    /// Say how large a mail of the domain's accounts may be, in and out; "none" for as large as everybody's
    Limit { name: String, size: MessageLimit },
    /// Say what DNS is still missing, and print the records to set; fails if mail cannot do without them
    Check {
        name: String,
        /// Print all records as lines of a zone file, and look at none
        #[arg(long, conflicts_with = "json")]
        zone: bool,
        /// Print all records and their states for programs
        #[arg(long)]
        json: bool,
    },
    /// Show what other servers report of mail in the domain's name (DMARC) and of connections to us (TLS-RPT)
    Reports {
        name: String,
        /// Those that came in so many days
        #[arg(long, default_value_t = 14)]
        days: u32,
    },
    /// Make new keys; they sign once their records can be read, and the old records may go a week later
    RotateKeys {
        name: String,
        /// Sign with the new keys at once
        #[arg(long)]
        now: bool,
    },
}

impl Domain {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let parts = match self {
            // What a service begins with.
            Self::Add { .. } => super::begin(config).await?,
            _ => super::open(config).await?,
        };
        match self {
            Self::Add { name, limits } => add(&parts, &name, limits).await,
            Self::Set { name, limits } => {
                ensure!(!limits.is_empty(), "say what: --storage, --accounts or --message");
                set(&parts, &name, limits).await
            }
            Self::List => list(&parts).await,
            Self::Limit { name, size } => {
                parts.mail.admin().limit_domain(&name, size.0).await?;
                say!("A mail of {name} may have {size}.")?;
                Ok(())
            }
            Self::Check { name, zone, json } => check(config, &parts, &name, zone, json).await,
            Self::Reports { name, days } => reports::show(&parts, &name, days).await,
            Self::RotateKeys { name, now } => rotate(config, &parts, &name, now).await,
        }
    }
}

/// Changes the limits that are named.
async fn set(parts: &Parts, name: &str, limits: DomainLimits) -> anyhow::Result<()> {
    let domain = ours(parts, name).await?;
    let admin = parts.mail.admin();
    if let Some(MessageLimit(most)) = limits.message {
        admin.limit_domain(&domain.name, most).await?;
    }
    admin
        .set_domain_limits(&domain.name, |known| {
            known.max_bytes = limits.storage.map_or(known.max_bytes, |MessageLimit(most)| most);
            known.max_accounts = limits.accounts.map_or(known.max_accounts, |Number(most)| most);
        })
        .await?;
    let states = admin.domain_states().await?;
    let state = states.iter().find(|state| state.name == domain.name).context("the domain is gone")?;
    let shown = shown_domain(&state.name);
    say!("{}", limit::line(&shown, state))?;
    if limits.accounts == Some(Number(Some(0))) {
        out::aside(format_args!(
            "{shown} may have aliases and groups, but no further account; `--accounts none` sets no limit."
        ));
    }
    Ok(())
}

async fn list(parts: &Parts) -> anyhow::Result<()> {
    let states = parts.mail.admin().domain_states().await?;
    let mut keys: Vec<_> = states.iter().map(|state| address::domain_key(&state.name)).collect();
    for (state, key) in states.iter().zip(&keys) {
        let is_twice = keys.iter().filter(|other| *other == key).count() > 1;
        let name = if is_twice { state.name.clone() } else { shown_domain(key) };
        say!("{}", limit::line(&name, state))?;
    }
    keys.sort_unstable();
    for twice in twice(&keys) {
        let shown = shown_domain(twice);
        out::aside(format_args!(
            "{shown} and {twice} are one domain, but an earlier version let both be added. Mail for either is received; \
             where both have an address, each form reaches its own. Give the accounts of one the addresses of the other \
             under another name to be rid of that."
        ));
    }
    Ok(())
}

/// Those of sorted names that are there more than once.
fn twice(sorted: &[String]) -> Vec<&String> {
    let pairs = sorted.iter().zip(sorted.iter().skip(1));
    let mut found: Vec<_> = pairs.filter(|(one, next)| one == next).map(|(one, _)| one).collect();
    found.dedup();
    found
}

async fn add(parts: &Parts, name: &str, limits: DomainLimits) -> anyhow::Result<()> {
    let domain = parts.mail.admin().add_domain(name).await?;
    let shown = shown_domain(&domain.name);
    if is_of_a_house(&domain.name) {
        out::aside(format_args!(
            "{shown} is a name of a network of one's own: nobody on the Internet can send mail to it."
        ));
    }
    say!("Mail for {shown} is received from now on.")?;
    if !limits.is_empty() {
        set(parts, &domain.name, limits).await?;
    }
    let made = dkim::make(&*parts.directory, &domain, parts.clock.now()).await;
    made.with_context(|| format!("no keys; try `magpie domain rotate-keys {shown}`"))?;
    say!("Its mail is signed once the records that `magpie domain check {shown}` prints can be read.")?;
    Ok(())
}

/// RFC 6762 §3, RFC 8375, and what ICANN keeps for this use.
fn is_of_a_house(domain: &str) -> bool {
    [".local", ".home.arpa", ".internal"].iter().any(|end| domain.ends_with(end))
}

async fn ours(parts: &Parts, name: &str) -> anyhow::Result<Row> {
    let found = parts.directory.domain(name).await?;
    found.with_context(|| format!("{name} is not a domain here; `magpie domain add {name}`"))
}

async fn rotate(config: &Config, parts: &Parts, name: &str, at_once: bool) -> anyhow::Result<()> {
    let domain = ours(parts, name).await?;
    let now = parts.clock.now();
    let waits = |keys: &[storage::DkimKey]| keys.iter().any(|key| key.phase == KeyPhase::Waiting);
    if waits(&parts.directory.dkim_keys(domain.id).await?) {
        say!("There are keys that wait for their records already; no others are made.")?;
    } else {
        dkim::make(&*parts.directory, &domain, now).await?;
        say!("New keys are made.")?;
    }
    let switched = if at_once {
        parts.directory.switch_dkim_keys(domain.id, now).await?
    } else {
        let dns = Dns::new(config.dns.resolver.0).context("dns.resolver")?;
        // Without DNS they go on waiting, and the server looks again.
        dkim::switch_if_published(&*parts.directory, &dns, &domain, now).await.unwrap_or(false)
    };
    for key in parts.directory.dkim_keys(domain.id).await? {
        let phase = match key.phase {
            KeyPhase::Waiting => "waits for its record",
            KeyPhase::Signing => "signs",
            KeyPhase::Retired => "is retired; its record stays for a week",
        };
        say!("{} {phase}", dkim::record_name(&domain.name, &key))?;
    }
    if at_once {
        say!("They sign at once, whether or not their records can be read.")?;
    } else if !switched {
        say!("The others go on signing until the records of these can be read.")?;
        say!("`magpie domain check {}` prints the records to set.", shown_domain(&domain.name))?;
    }
    Ok(())
}

async fn check(config: &Config, parts: &Parts, name: &str, zone: bool, json: bool) -> anyhow::Result<()> {
    let domain = ours(parts, name).await?;
    let dns = Dns::new(config.dns.resolver.0).context("dns.resolver")?;
    // Whoever looks at the records wants them used.
    let _ = dkim::switch_if_published(&*parts.directory, &dns, &domain, parts.clock.now()).await;
    let keys = parts.directory.dkim_keys(domain.id).await?;
    let hostname = parts::hostname(config);
    ensure!(hostname.contains('.'), "smtp.hostname: {hostname} is not a name of the Internet; set it first");
    let ascii = filter::dns::to_a_labels(&domain.name).unwrap_or_else(|| domain.name.clone());
    let addresses = records::addresses(&dns, &hostname).await.unwrap_or_default();
    let facts = Facts {
        domain: &ascii,
        hostname: &hostname,
        keys: &keys,
        addresses: &addresses,
        spki: certificate(config).as_ref().and_then(records::of_certificate),
        policy_id: sts::policy(config, &hostname).map(|policy| policy.id),
        services: &services(config),
    };
    if zone {
        // It is what should be there, whatever is.
        out::text(&records::as_zone(&records::wanted(&facts)))?;
        return tell_of_postmaster(parts, &domain.name).await;
    }
    let records = found(&dns, &facts).await;
    let shown = if json { format!("{}\n", records::as_json(&records)) } else { records::as_lines(&records) };
    out::text(&shown)?;
    tell_of_postmaster(parts, &domain.name).await?;
    let missing = records
        .iter()
        .filter(|(wanted, state)| wanted.need == Need::Needed && *state != State::Right)
        .count();
    if missing > 0 {
        bail!("{} of the records that mail for {name} needs are not there yet", missing)
    }
    Ok(())
}

/// The records have others report to the postmaster: says what to do where nobody reads that.
async fn tell_of_postmaster(parts: &Parts, domain: &str) -> anyhow::Result<()> {
    let postmaster = format!("postmaster@{domain}").parse()?;
    if parts.mail.is_nobody(&postmaster).await {
        out::aside(format_args!(
            "Nobody gets the mail for {postmaster}, where reports are asked for: `magpie alias add {postmaster} ADDRESS`, \
             or make somebody an administrator: `magpie account admin ADDRESS on`."
        ));
    }
    Ok(())
}

async fn found(dns: &Dns, facts: &Facts<'_>) -> Vec<(Wanted, State)> {
    let wanted = records::wanted(facts);
    let states = records::compare(dns, facts, &wanted).await;
    wanted.into_iter().zip(states).collect()
}

/// The first certificate that the SMTP listener shows.
fn certificate(config: &Config) -> Option<CertificateDer<'static>> {
    let made = config.in_data(Path::new("tls/cert.pem"));
    let path = config.tls.certificate.as_ref().map_or(made, |path| path.into());
    CertificateDer::from_pem_file(path).ok()
}

/// What mail programs may connect to, at the ports that they know.
fn services(config: &Config) -> Vec<(&'static str, u16)> {
    let listeners = [
        ("submissions", 465, &config.submissions),
        ("submission", 587, &config.submission),
        ("imaps", 993, &config.imaps),
        ("imap", 143, &config.imap),
        ("pop3s", 995, &config.pop3s),
        ("pop3", 110, &config.pop3),
    ];
    listeners
        .into_iter()
        .filter(|(_, _, listener)| listener.listen.0.is_some())
        .map(|(service, port, _)| (service, port))
        .collect()
}
