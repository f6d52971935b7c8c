//! DMARC (RFC 9989, and `pct` of RFC 7489): what the author's domain wants for mail that is not from it.

use std::collections::{HashMap, HashSet};

use futures::future::join_all;
use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::dmarc::{Dmarc, Policy, verify::DmarcParameters};
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, DnsError, Error, Parameters,
    SpfOutput, SpfResult, Txt,
};

use crate::aggregate::{Because, Disposition, Evaluation};
use crate::dns::{Dns, Seen, to_a_labels};
use crate::{Action, AuthResult, Mode, OnTempError, Outcome, Reply};

/// What SPF says for DMARC: of the MAIL FROM, or of HELO if that is null (RFC 9989 §4.6).
pub(crate) struct Sender {
    pub(crate) domain: String,
    pub(crate) outcome: Outcome,
}

/// What DMARC says of one author's domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// In A-labels.
    pub(crate) author: String,
    pub(crate) outcome: Outcome,
    /// What the domain wants; already less if only a part of all mails is meant, and this is none of it. `None`: DNS does
    /// not tell.
    pub(crate) policy: Option<Policy>,
    pub(crate) found: Option<Found>,
    /// SPF or a signature passed for the very domain, which no policy takes for a forgery.
    pub(crate) proven: bool,
}

/// The policy that counts, and what spoke for the mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where the policy is.
    domain: String,
    record: String,
    /// Whether they pass and are aligned.
    spf: bool,
    dkim: bool,
    /// Less was done than the policy says: it is being tested.
    tested: bool,
    wants_reports: bool,
}

/// RFC 9989 §4.10: so many names are asked for at most.
const MAX_QUERIES: usize = 8;

pub(crate) async fn judge(
    dns: &Dns,
    author: &str,
    sender: &Sender,
    dkim: &[DkimOutput<'_>],
    sample: u8,
) -> Judgement {
    let own = format!("_dmarc.{author}.");
    let names = tree(author);
    let answers = join_all(names.iter().map(|name| dns.txt(name))).await;
    let mut known = HashMap::new();
    let mut records: Vec<(String, Dmarc, Vec<u8>)> = Vec::new();
    let mut unknown = Vec::new();
    for (name, answer) in names.into_iter().zip(answers) {
        let record = match answer {
            Ok(texts) => the_one(texts),
            // Whoever has a policy of their own needs no other: then only whom they may share it with is open.
            Err(_) if records.iter().any(|(name, ..)| *name == own) => {
                unknown.push(domain_of(&name).to_owned());
                Err(Error::Dns(DnsError::InvalidRecordType))
            }
            Err(error) => Err(Error::Dns(DnsError::Resolver(error.0))),
        };
        let parsed = record.and_then(|text| {
            let parsed = parse(&text)?;
            records.push((name.clone(), parsed.clone(), text));
            Ok(parsed)
        });
        known.insert(name.into_boxed_str(), Txt::from(parsed));
    }
    let seen = Seen::knowing(known);
    let output = evaluate(dns, author, sender, dkim, &seen).await;
    let (mut policy, mut found) = (output.policy(), None);
    if let Some(record) = output.dmarc_record() {
        // The author's own policy, or that of the organisation, which has the shortest name.
        let mut same = records.iter().filter(|(_, parsed, _)| parsed == record);
        let text = same.clone().find(|(name, ..)| *name == own).or_else(|| same.next_back());
        if let Some((name, parsed, text)) = text {
            let is_sampled_out = sample >= percentage(text);
            if is_sampled_out {
                policy = milder(policy);
            }
            found = Some(Found {
                domain: domain_of(name).to_owned(),
                record: String::from_utf8_lossy(text).into_owned(),
                spf: *output.spf_result() == DmarcResult::Pass,
                dkim: *output.dkim_result() == DmarcResult::Pass,
                tested: is_sampled_out || parsed.t,
                wants_reports: !parsed.rua.is_empty(),
            });
        }
    }
    let mut outcome = outcome(&output.result());
    if outcome == Outcome::Fail && unknown.iter().any(|above| speaks_within(above, sender, dkim)) {
        outcome = Outcome::TempError;
    }
    let is_known = outcome != Outcome::TempError || output.dmarc_record().is_some();
    let proven = is_proven(author, sender, dkim);
    Judgement { author: author.to_owned(), outcome, policy: is_known.then_some(policy), found, proven }
}

/// Whether SPF or a signature passes for exactly this domain: that is aligned, whatever DNS says of names above.
pub(crate) fn is_proven(author: &str, sender: &Sender, dkim: &[DkimOutput<'_>]) -> bool {
    let is_signed = |output: &DkimOutput<'_>| {
        *output.result() == DkimResult::Pass
            && output
                .signature()
                .is_some_and(|signature| to_a_labels(&signature.d).as_deref() == Some(author))
    };
    (sender.outcome == Outcome::Pass && sender.domain == author) || dkim.iter().any(is_signed)
}

/// Whether somebody below this name speaks for the mail, or might: they may belong to the author, which only DNS of that
/// name can say. A top-level domain is nobody's.
fn speaks_within(above: &str, sender: &Sender, dkim: &[DkimOutput<'_>]) -> bool {
    let is_within = |name: &str| {
        name.strip_suffix(above).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let by_path = matches!(sender.outcome, Outcome::Pass | Outcome::TempError) && is_within(&sender.domain);
    let speaks = |output: &DkimOutput<'_>| {
        matches!(output.result(), DkimResult::Pass | DkimResult::TempError(_))
            && output
                .signature()
                .and_then(|signature| to_a_labels(&signature.d))
                .is_some_and(|name| is_within(&name))
    };
    above.contains('.') && (by_path || dkim.iter().any(speaks))
}

/// Of a name where a policy may be.
fn domain_of(name: &str) -> &str {
    name.trim_start_matches("_dmarc.").trim_end_matches('.')
}

async fn evaluate(
    dns: &Dns,
    author: &str,
    sender: &Sender,
    dkim: &[DkimOutput<'_>],
    seen: &Seen,
) -> DmarcOutput {
    // Whom the mail is from was read by the parser that also shows it, so that both see the same.
    let mail = format!("From: <author@{author}>\r\n\r\n");
    let Some(message) = AuthenticatedMessage::parse(mail.as_bytes()) else { return DmarcOutput::default() };
    let spf = SpfOutput::new(sender.domain.clone()).with_result(match sender.outcome {
        Outcome::Pass => SpfResult::Pass,
        Outcome::TempError => SpfResult::TempError,
        Outcome::None
        | Outcome::Fail
        | Outcome::SoftFail
        | Outcome::Policy
        | Outcome::Neutral
        | Outcome::PermError => SpfResult::Fail,
    });
    let asked = DmarcParameters::new(&message, dkim, &sender.domain, &spf);
    dns.authenticator().verify_dmarc(Parameters::new(asked).with_txt_cache(&seen.txt)).await
}

/// RFC 9989 §4.10: the names where the policy may be, the longest first.
fn tree(author: &str) -> Vec<String> {
    let labels: Vec<&str> = author.split('.').filter(|label| !label.is_empty()).collect();
    let mut names = Vec::new();
    let mut left = labels.len();
    while left > 0 && names.len() < MAX_QUERIES {
        let skipped = labels.len() - left;
        names.push(format!("_dmarc.{}.", labels.get(skipped..).unwrap_or_default().join(".")));
        left = if left >= MAX_QUERIES { MAX_QUERIES - 1 } else { left - 1 };
    }
    names
}

/// RFC 9989 §4.10.1: a name with several policies has none.
fn the_one(texts: Vec<Vec<u8>>) -> mail_auth::Result<Vec<u8>> {
    let mut policies = texts.into_iter().filter(|text| is_dmarc(text));
    match (policies.next(), policies.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Error::Dns(DnsError::InvalidRecordType)),
    }
}

/// The policy, as far as it can be read.
pub(crate) fn parse(text: &[u8]) -> mail_auth::Result<Dmarc> {
    Dmarc::parse(&readable(text))
}

/// The record without what cannot be read of it: one slip must not undo the rest (RFC 7489 §6.6.3). A broken `p` is none,
/// which the reader takes for `none` if reports are wanted; so are `sp` and `np`: nobody's mail is refused for a typo.
fn readable(text: &[u8]) -> Vec<u8> {
    let mut kept = b"v=DMARC1".to_vec();
    let mut seen = HashSet::new();
    for tag in text.split(|byte| *byte == b';').skip(1) {
        let Some(at) = tag.iter().position(|byte| *byte == b'=') else { continue };
        let (name, _) = tag.split_at(at);
        let name = name.trim_ascii().to_ascii_lowercase();
        let alone = [&b"v=DMARC1;"[..], tag].concat();
        let is_good = Dmarc::parse(&alone).is_ok();
        // A name that is there twice is as its first.
        if !seen.insert(name.clone()) {
            continue;
        }
        kept.push(b';');
        match (is_good, name.as_slice()) {
            (true, _) => kept.extend_from_slice(tag),
            (false, b"sp" | b"np") => kept.extend([&name[..], b"=none"].concat()),
            (false, _) => drop(kept.pop()),
        }
    }
    kept
}

/// Whether the text is a policy that others understand.
#[must_use]
pub fn is_valid(text: &str) -> bool {
    is_dmarc(text.as_bytes())
        && Dmarc::parse(text.as_bytes()).is_ok_and(|record| record.p != Policy::Unspecified)
}

pub(crate) fn is_dmarc(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let value =
        text.strip_prefix(b"v").map(<[u8]>::trim_ascii_start).and_then(|rest| rest.strip_prefix(b"="));
    value.is_some_and(|value| {
        let value = value.trim_ascii_start();
        value.strip_prefix(b"DMARC1").is_some_and(|rest| matches!(rest.trim_ascii_start(), [] | [b';', ..]))
    })
}

/// RFC 7489 §6.3 `pct`.
fn percentage(record: &[u8]) -> u8 {
    let text = String::from_utf8_lossy(record);
    let tags = text.split(';').filter_map(|tag| tag.split_once('='));
    let value = tags
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("pct"))
        .map(|(_, value)| value.trim())
        .next();
    value.and_then(|value| value.parse().ok()).filter(|percentage| *percentage <= 100).unwrap_or(100)
}

/// RFC 7489 §6.6.4: what happens to mail that is not in the sample.
const fn milder(policy: Policy) -> Policy {
    match policy {
        Policy::Reject => Policy::Quarantine,
        Policy::Quarantine | Policy::None | Policy::Unspecified => Policy::None,
    }
}

fn outcome(result: &DmarcResult) -> Outcome {
    match result {
        DmarcResult::Pass => Outcome::Pass,
        DmarcResult::Fail(_) => Outcome::Fail,
        DmarcResult::TempError(_) => Outcome::TempError,
        DmarcResult::PermError(_) => Outcome::PermError,
        DmarcResult::None => Outcome::None,
    }
}

/// What follows where DNS does not tell.
enum Unknown {
    Accept,
    Quarantine,
    Defer,
}

impl OnTempError {
    /// What follows for mail of a domain with this policy. RFC 9989 leaves that to us, as long as nothing is refused for
    /// good: coming again is for what might have to be refused. A domain that wants junk made of forgeries gets no more
    /// than that for what may be one; its mail arrives even if its DNS is away for days.
    fn decides(self, policy: Option<Policy>) -> Unknown {
        match (self, policy) {
            (Self::Defer, _) | (Self::Protect, None | Some(Policy::Reject)) => Unknown::Defer,
            (Self::Protect, Some(Policy::Quarantine)) => Unknown::Quarantine,
            (Self::Accept, _) | (Self::Protect, Some(Policy::None | Policy::Unspecified)) => Unknown::Accept,
        }
    }
}

impl Judgement {
    /// DNS does not tell in time.
    pub(crate) fn unknown(author: &str, proven: bool) -> Self {
        Self { author: author.to_owned(), outcome: Outcome::TempError, policy: None, found: None, proven }
    }

    /// What is to be reported of it, if the domain wants that and it is known.
    pub(crate) fn evaluation(&self, action: &Action, vouched: bool) -> Option<Evaluation> {
        let found = self.found.as_ref().filter(|found| found.wants_reports)?;
        let failed = match self.outcome {
            Outcome::Pass => false,
            Outcome::Fail => true,
            _ => return None,
        };
        let disposition = match action {
            Action::Accept => Disposition::None,
            Action::Quarantine => Disposition::Quarantine,
            Action::Reject(_) => Disposition::Reject,
            Action::Defer(_) => return None,
        };
        let wanted = self.policy.is_some_and(|policy| !matches!(policy, Policy::None | Policy::Unspecified));
        let because = match () {
            () if !failed => None,
            () if vouched => Some(Because::TrustedForwarder),
            () if wanted && disposition == Disposition::None => Some(Because::LocalPolicy),
            () if found.tested => Some(Because::Tested),
            () => None,
        };
        Some(Evaluation {
            domain: found.domain.clone(),
            record: found.record.clone(),
            author: self.author.clone(),
            spf: found.spf,
            dkim: found.dkim,
            disposition,
            because,
        })
    }

    /// What follows; `vouched`: trusted sealers say that it passed before they changed it.
    pub(crate) fn action(&self, mode: Mode, on_temperror: OnTempError, vouched: bool) -> Action {
        if mode != Mode::Enforce {
            return Action::Accept;
        }
        match (self.outcome, self.policy) {
            (Outcome::Fail, _) if vouched => Action::Accept,
            (Outcome::Fail, Some(Policy::Reject)) => {
                let text = format!("Not from {}, which wants such mail rejected (DMARC)", self.author);
                Action::Reject(Reply::new(550, (7, 1), text))
            }
            (Outcome::Fail, Some(Policy::Quarantine)) => Action::Quarantine,
            (Outcome::TempError, policy) if !self.proven => match on_temperror.decides(policy) {
                Unknown::Accept => Action::Accept,
                Unknown::Quarantine => Action::Quarantine,
                Unknown::Defer => {
                    let text = format!("DNS does not tell now whether this is from {}", self.author);
                    Action::Defer(Reply::new(451, (7, 0), text))
                }
            },
            _ => Action::Accept,
        }
    }

    pub(crate) fn result(&self, vouched: bool) -> AuthResult {
        let mut result = AuthResult::new("dmarc", self.outcome);
        if self.outcome == Outcome::Fail && vouched {
            result = result.because("a trusted ARC seal vouches for it");
        }
        result = result.with("header.from", &*self.author);
        match self.outcome {
            Outcome::Pass | Outcome::Fail => {
                let policy = self.policy.map(|policy| policy.to_string());
                result.with("policy.dmarc", policy.unwrap_or_default())
            }
            _ => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_walked_in_few_steps() {
        let check = |author: &str, wanted: &[&str]| assert_eq!(tree(author), wanted);
        check("a.test", &["_dmarc.a.test.", "_dmarc.test."]);
        check("test", &["_dmarc.test."]);
        check("", &[]);
        let deep = tree("a.b.c.d.e.f.g.h.i.test");
        assert_eq!(
            (deep.len(), deep[0].as_str(), deep[1].as_str()),
            (8, "_dmarc.a.b.c.d.e.f.g.h.i.test.", "_dmarc.d.e.f.g.h.i.test.")
        );
    }

    #[test]
    fn percentages_are_read_leniently() {
        let check = |record: &str, wanted| assert_eq!(percentage(record.as_bytes()), wanted, "{record}");
        check("v=DMARC1; p=reject", 100);
        check("v=DMARC1; p=reject; PCT = 5 ;", 5);
        check("v=DMARC1; p=reject; pct=0", 0);
        check("v=DMARC1; p=reject; pct=500", 100);
        check("v=DMARC1; p=reject; pct=x", 100);
    }

    #[test]
    fn one_slip_does_not_undo_the_rest() {
        let check = |record: &str, wanted: &str| {
            let text = readable(record.as_bytes());
            assert_eq!(String::from_utf8(text.clone()).unwrap(), wanted, "{record}");
            assert!(Dmarc::parse(&text).is_ok(), "{record}");
        };
        check("v=DMARC1; p=reject; adkim=x; rua=mailto:a@b.test", "v=DMARC1; p=reject; rua=mailto:a@b.test");
        check("v=DMARC1; p=reject; fo=q; ; nonsense; x=y", "v=DMARC1; p=reject; x=y");
        check("v=DMARC1;p=rejekt; rua=mailto:a@b.test", "v=DMARC1; rua=mailto:a@b.test");
        check("v=DMARC1; p=reject; sp=rejekt; np=", "v=DMARC1; p=reject;sp=none;np=none");
        check("v=DMARC1; P=reject; p=none", "v=DMARC1; P=reject");
        check("v=DMARC1", "v=DMARC1");
    }

    #[test]
    fn versions_are_exact() {
        let check = |record: &str, wanted| assert_eq!(is_dmarc(record.as_bytes()), wanted, "{record}");
        check("v=DMARC1; p=none", true);
        check("v = DMARC1 ;p=none", true);
        check("v=DMARC1", true);
        check("v=DMARC11; p=none", false);
        check("v=spf1 -all", false);
        check("p=none; v=DMARC1", false);
    }

    #[test]
    fn actions_follow_from_results() {
        let judge = |outcome, policy| Judgement {
            author: "a.test".to_owned(),
            outcome,
            policy,
            found: None,
            proven: false,
        };
        let check = |outcome, policy: Policy, mode, on, vouched, wanted: &str| {
            // There is none that a domain could publish under this name.
            let known = (policy != Policy::Unspecified).then_some(policy);
            let action = judge(outcome, known).action(mode, on, vouched);
            let found = match action {
                Action::Accept => "accept",
                Action::Quarantine => "quarantine",
                Action::Defer(_) => "defer",
                Action::Reject(_) => "reject",
            };
            assert_eq!(found, wanted, "{outcome} {policy} {mode:?} {on:?} {vouched}");
        };
        use Mode::{Enforce, Mark};
        use OnTempError::{Accept, Defer, Protect};
        check(Outcome::Fail, Policy::Reject, Enforce, Accept, false, "reject");
        check(Outcome::Fail, Policy::Quarantine, Enforce, Accept, false, "quarantine");
        check(Outcome::Fail, Policy::None, Enforce, Accept, false, "accept");
        check(Outcome::Fail, Policy::Reject, Mark, Accept, false, "accept");
        check(Outcome::Fail, Policy::Reject, Enforce, Accept, true, "accept");
        check(Outcome::Pass, Policy::Reject, Enforce, Accept, false, "accept");
        check(Outcome::None, Policy::None, Enforce, Defer, false, "accept");
        check(Outcome::TempError, Policy::Reject, Enforce, Accept, false, "accept");
        check(Outcome::TempError, Policy::None, Enforce, Defer, false, "defer");
        check(Outcome::TempError, Policy::None, Mark, Defer, false, "accept");
        check(Outcome::TempError, Policy::Reject, Enforce, Protect, false, "defer");
        check(Outcome::TempError, Policy::Unspecified, Enforce, Protect, false, "defer");
        check(Outcome::TempError, Policy::Quarantine, Enforce, Protect, false, "quarantine");
        check(Outcome::TempError, Policy::Quarantine, Mark, Protect, false, "accept");
        check(Outcome::TempError, Policy::None, Enforce, Protect, false, "accept");
        check(Outcome::TempError, Policy::Reject, Mark, Protect, false, "accept");
        check(Outcome::Fail, Policy::None, Enforce, Protect, false, "accept");
        check(Outcome::PermError, Policy::Reject, Enforce, Defer, false, "accept");
        let proven = Judgement { proven: true, ..judge(Outcome::TempError, None) };
        assert_eq!(proven.action(Enforce, Defer, false), Action::Accept);
    }
}
