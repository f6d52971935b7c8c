//! What checks find, and what follows from all of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::aggregate::Evaluation;

/// A refusal: what the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// Subject and detail of the enhanced code (RFC 3463).
    pub enhanced: (u16, u16),
    pub text: String,
}

/// What to do with a mail, mildest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Accept,
    /// Accept it, and file it as junk.
    Quarantine,
    /// It may come again later.
    Defer(Reply),
    Reject(Reply),
}

/// The words of RFC 8601 §2.7 for how a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    None,
    Pass,
    Fail,
    SoftFail,
    Policy,
    Neutral,
    TempError,
    PermError,
}

/// One `resinfo` of RFC 8601 §2.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthResult {
    pub method: &'static str,
    pub outcome: Outcome,
    pub reason: Option<String>,
    /// Like `header.d` and what it was.
    pub properties: Vec<(&'static str, String)>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub action: Action,
    pub results: Vec<AuthResult>,
    /// Header fields to put on top, each with its CRLF.
    pub headers: String,
    /// What there is to report to the domains that the mail claims to be from.
    pub evaluations: Vec<Evaluation>,
}

/// What all checks found, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub action: Action,
    pub results: Vec<AuthResult>,
    pub headers: String,
    pub evaluations: Vec<Evaluation>,
}

impl Reply {
    #[must_use]
    pub fn new(code: u16, enhanced: (u16, u16), text: impl Into<String>) -> Self {
        Self { code, enhanced, text: text.into() }
    }
}

impl Action {
    const fn severity(&self) -> u8 {
        match self {
            Self::Accept => 0,
            Self::Quarantine => 1,
            Self::Defer(_) => 2,
            Self::Reject(_) => 3,
        }
    }

    /// Whether the mail is not taken.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Defer(_) | Self::Reject(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Policy => "policy",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        })
    }
}

impl AuthResult {
    #[must_use]
    pub fn new(method: &'static str, outcome: Outcome) -> Self {
        Self { method, outcome, reason: None, properties: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, property: &'static str, value: impl Into<String>) -> Self {
        self.properties.push((property, value.into()));
        self
    }

    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(property, _)| *property == name).map(|(_, value)| value.as_str())
    }
}

impl Finding {
    /// Nothing that speaks against the mail.
    #[must_use]
    pub fn fine(results: Vec<AuthResult>) -> Self {
        Self { action: Action::Accept, results, headers: String::new(), evaluations: Vec::new() }
    }
}

/// The strictest action wins, of the same ones the first; results and headers stay in order.
#[must_use]
pub fn combine(findings: impl IntoIterator<Item = Finding>) -> Verdict {
    let mut verdict = Verdict {
        action: Action::Accept,
        results: Vec::new(),
        headers: String::new(),
        evaluations: Vec::new(),
    };
    for finding in findings {
        if finding.action.severity() > verdict.action.severity() {
            verdict.action = finding.action;
        }
        verdict.results.extend(finding.results);
        verdict.headers.push_str(&finding.headers);
        verdict.evaluations.extend(finding.evaluations);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_action_wins() {
        let reject = |text: &str| Action::Reject(Reply::new(550, (7, 1), text));
        let defer = |text: &str| Action::Defer(Reply::new(451, (7, 0), text));
        let check = |actions: &[Action], wanted: Action| {
            let finding = |action: &Action| Finding { action: action.clone(), ..Finding::fine(vec![]) };
            assert_eq!(combine(actions.iter().map(finding)).action, wanted, "{actions:?}");
        };
        use Action::{Accept, Quarantine};
        check(&[], Accept);
        check(&[Accept, Accept], Accept);
        check(&[Accept, Quarantine], Quarantine);
        check(&[Quarantine, Accept], Quarantine);
        check(&[Quarantine, defer("a")], defer("a"));
        check(&[defer("a"), defer("b")], defer("a"));
        check(&[defer("a"), reject("b"), Quarantine], reject("b"));
        check(&[reject("a"), reject("b")], reject("a"));
    }

    #[test]
    fn results_and_headers_stay_in_order() {
        let finding = |method, header: &str| Finding {
            headers: format!("{header}\r\n"),
            ..Finding::fine(vec![AuthResult::new(method, Outcome::Pass)])
        };
        let verdict = combine([finding("spf", "A: 1"), finding("dkim", "B: 2")]);
        assert_eq!(verdict.results.iter().map(|result| result.method).collect::<Vec<_>>(), ["spf", "dkim"]);
        assert_eq!(verdict.headers, "A: 1\r\nB: 2\r\n");
    }
}
