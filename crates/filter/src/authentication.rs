//! Who a mail is from: the signatures of DKIM and ARC, and what DMARC makes of them and of SPF.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use mail_auth::DkimOutput;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::dkim::Readable;
use crate::dmarc::{self, Judgement, Sender};
use crate::dns::{Dns, to_a_labels};
use crate::mail::split;
use crate::results::{self, is_named};
use crate::{Action, AuthResult, Check, Finding, Mail, Outcome, Reply, Stage, arc, dkim};

/// What DMARC may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What the author's domain wants is done.
    Enforce,
    /// It is only told.
    Mark,
    /// It is not looked at.
    Off,
}

/// What to do when DNS does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTempError {
    /// The mail is taken and marked.
    Accept,
    /// The mail may come again if its domain wants forged mail rejected, or does not tell now what it wants, and is junk if
    /// that is what its domain makes of forgeries: otherwise who forges it would only need DNS to fail.
    Protect,
    /// The mail may come again, whatever its domain wants. Under each of these what is proven to be the author's is taken.
    Defer,
}

/// What the operator wants.
#[derive(Debug, Clone)]
pub struct Rules {
    pub dmarc: Mode,
    pub on_temperror: OnTempError,
    /// Domains whose ARC seals are believed.
    pub trusted_sealers: Vec<String>,
    pub budget: Duration,
}

/// Checks DKIM, ARC and DMARC.
pub struct Authentication {
    dns: Dns,
    rules: Rules,
    /// Large mails on a thread of their own, of which there are few.
    large: Semaphore,
}

/// Larger mails are hashed where it holds nobody up.
const LARGE_BYTES: usize = 256 << 10;
const LARGE_AT_ONCE: usize = 8;
/// For hashing, and for waiting until others have been hashed.
const OVERHEAD: Duration = Duration::from_secs(20);
/// More authors' domains than this are one too many.
const MAX_AUTHORS: usize = 5;

impl Authentication {
    #[must_use]
    pub fn new(dns: Dns, rules: Rules) -> Self {
        Self { dns, rules, large: Semaphore::new(LARGE_AT_ONCE) }
    }
}

#[async_trait]
impl Check for Authentication {
    fn name(&self) -> &'static str {
        "authentication"
    }

    fn stage(&self) -> Stage {
        Stage::Body
    }

    /// Both steps have their time, so this is for our own slowness.
    fn budget(&self) -> Duration {
        self.rules.budget + OVERHEAD
    }

    async fn run(&self, mail: &Mail, before: &[Finding]) -> Finding {
        let judge = Judge {
            dns: self.dns.clone(),
            rules: self.rules.clone(),
            sender: sender(mail, before),
            sample: mail.sample,
        };
        let readable = Readable::of(&mail.raw);
        if readable.raw.len() <= LARGE_BYTES {
            return judge.judge(&readable).await;
        }
        let _turn = self.large.acquire().await;
        let runtime = Handle::current();
        // Even if nobody waits for it any more, it ends: every question to DNS has its time.
        let judged = spawn_blocking(move || runtime.block_on(judge.judge(&readable))).await;
        judged.unwrap_or_else(|_| self.unfinished())
    }

    /// DNS has no part in it: it is us who are too busy, so nobody may gain by it.
    fn unfinished(&self) -> Finding {
        let results = ["dkim", "dmarc"].map(|method| AuthResult::new(method, Outcome::TempError)).to_vec();
        let action = match self.rules.dmarc {
            Mode::Enforce => Action::Defer(Reply::new(451, (7, 0), "The sender could not be checked now")),
            Mode::Mark | Mode::Off => Action::Accept,
        };
        Finding { action, ..Finding::fine(results) }
    }
}

/// What SPF found, as DMARC wants it.
fn sender(mail: &Mail, before: &[Finding]) -> Sender {
    let results = before.iter().flat_map(|finding| &finding.results).filter(|result| result.method == "spf");
    let property = if mail.sender.is_some() { "smtp.mailfrom" } else { "smtp.helo" };
    let domain = match &mail.sender {
        Some(sender) => to_a_labels(sender.domain()),
        None => mail.hello.as_deref().and_then(to_a_labels),
    };
    let mut outcome = Outcome::None;
    for result in results {
        if result.property(property).is_some() || result.properties.is_empty() {
            outcome = result.outcome;
        }
    }
    Sender { domain: domain.unwrap_or_default(), outcome }
}

/// One judgement, for any thread.
struct Judge {
    dns: Dns,
    rules: Rules,
    sender: Sender,
    sample: u8,
}

impl Judge {
    async fn judge(&self, readable: &Readable) -> Finding {
        let raw = &readable.raw;
        let (_, body) = split(raw);
        // Whatever the mail does to its reader, DMARC is asked.
        let message = catch_unwind(AssertUnwindSafe(|| readable.message()));
        let Some(message) = message.ok().flatten() else { return self.without_signatures(raw).await };
        let authenticator = self.dns.authenticator();
        // Each for itself: a signature whose DNS is slow keeps no time from the others.
        let each = dkim::each(&message);
        let verifying = join_all(each.iter().map(|one| dkim::verify(authenticator, one, self.part())));
        let (signatures, chain) = tokio::join!(verifying, arc::verify(authenticator, &message, self.part()));
        let mut signatures: Vec<_> = signatures.into_iter().flatten().collect();
        let mut results = dkim::unreadable(&message);
        results.extend(signatures.iter().map(|output| dkim::result(output, body.len())));
        if results.is_empty() {
            results.push(AuthResult::new("dkim", Outcome::None));
        }
        results.extend(arc::result(&chain, body.len()));
        signatures.retain(|output| dkim::counts(output, body.len()));
        let vouches = |author: &str| arc::vouches(&chain, body.len(), &self.rules.trusted_sealers, author);
        self.dmarc(raw, results, &signatures, vouches).await
    }

    /// The time of one of the two steps.
    fn part(&self) -> Duration {
        self.rules.budget / 2
    }

    async fn without_signatures(&self, raw: &Bytes) -> Finding {
        self.dmarc(raw, vec![AuthResult::new("dkim", Outcome::None)], &[], |_| false).await
    }

    async fn dmarc(
        &self,
        raw: &Bytes,
        mut results: Vec<AuthResult>,
        signatures: &[DkimOutput<'_>],
        vouches: impl Fn(&str) -> bool + Send + Sync,
    ) -> Finding {
        if self.rules.dmarc == Mode::Off {
            return Finding::fine(results);
        }
        let authors = match authors(raw) {
            Ok(authors) => authors,
            Err(refusal) => {
                results.push(AuthResult::new("dmarc", Outcome::PermError).because(refusal));
                let action = match self.rules.dmarc {
                    Mode::Enforce => Action::Reject(Reply::new(550, (7, 1), refusal)),
                    Mode::Mark | Mode::Off => Action::Accept,
                };
                return Finding { action, ..Finding::fine(results) };
            }
        };
        let judging = authors.iter().map(|author| self.judgement(author, signatures));
        let findings = join_all(judging).await.into_iter().map(|judged| {
            let vouched = judged.outcome == Outcome::Fail && vouches(&judged.author);
            let action = judged.action(self.rules.dmarc, self.rules.on_temperror, vouched);
            let evaluations = judged.evaluation(&action, vouched).into_iter().collect();
            Finding { action, evaluations, ..Finding::fine(vec![judged.result(vouched)]) }
        });
        let verdict = crate::combine(findings);
        results.extend(verdict.results);
        Finding { action: verdict.action, evaluations: verdict.evaluations, ..Finding::fine(results) }
    }
}

impl Judge {
    async fn judgement(&self, author: &str, signatures: &[DkimOutput<'_>]) -> Judgement {
        let judging = dmarc::judge(&self.dns, author, &self.sender, signatures, self.sample);
        let unknown = |_| Judgement::unknown(author, dmarc::is_proven(author, &self.sender, signatures));
        timeout(self.part(), judging).await.unwrap_or_else(unknown)
    }
}

/// The domains of the mail's authors, each once, in A-labels; or why the mail leaves open whom it is from. RFC 5322 §3.6
/// wants exactly one From field; several would let a program show another than was checked.
fn authors(raw: &[u8]) -> Result<Vec<String>, &'static str> {
    // Counted to the end of the header, however it is made: what one program does not see another may.
    let (header, _) = split(raw);
    let named = |range: &Range<usize>| header.get(range.clone()).is_some_and(|field| is_named(field, "From"));
    let count = results::fields(header).iter().filter(|range| named(range)).count();
    let fields = message::authors(raw);
    match (count, fields.len()) {
        (0, _) => return Err("The mail has no From field"),
        (1, 1) => {}
        (1, _) => return Err("The From field cannot be read"),
        _ => return Err("The mail has more than one From field"),
    }
    let mut domains: Vec<String> = Vec::new();
    for author in fields.iter().flatten() {
        let domain = author.email.rsplit_once('@').and_then(|(_, domain)| to_a_labels(domain));
        let domain = domain.ok_or("An address in the From field has no domain")?;
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    if domains.is_empty() {
        return Err("The From field names nobody");
    }
    if domains.len() > MAX_AUTHORS {
        return Err("The mail has too many authors");
    }
    Ok(domains)
}
