//! Checks in stages: those of one stage run at once, each within its time; a refusal ends it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt as _, future::join_all};
use tokio::time::timeout;

use crate::{Finding, Mail, Verdict, combine};

/// When a check has what it needs, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The client's address.
    Connection,
    /// The name the client gives itself, and the reverse-path.
    Sender,
    /// Whom the mail is for.
    Recipient,
    /// The mail itself.
    Body,
}

/// Something that looks at a mail.
#[async_trait]
pub trait Check: Send + Sync {
    fn name(&self) -> &'static str;
    fn stage(&self) -> Stage;
    /// How long it may take.
    fn budget(&self) -> Duration;
    /// What it finds, knowing what earlier stages found.
    async fn run(&self, mail: &Mail, before: &[Finding]) -> Finding;
    /// What it means that it could not end: its time ran out, or it failed.
    fn unfinished(&self) -> Finding;
}

/// All checks of a listener.
pub struct Filter {
    /// What we are called in `Authentication-Results`.
    hostname: String,
    checks: Vec<Box<dyn Check>>,
}

const STAGES: [Stage; 4] = [Stage::Connection, Stage::Sender, Stage::Recipient, Stage::Body];

impl Filter {
    #[must_use]
    pub fn new(hostname: String, checks: Vec<Box<dyn Check>>) -> Self {
        Self { hostname, checks }
    }

    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Runs the stages in order, until one refuses the mail.
    pub async fn check(&self, mail: &Mail) -> Verdict {
        let mut findings: Vec<Finding> = Vec::new();
        for stage in STAGES {
            let checks = self.checks.iter().filter(|check| check.stage() == stage);
            let found = join_all(checks.map(|check| within_budget(&**check, mail, &findings))).await;
            let refused = found.iter().any(|finding| finding.action.is_refusal());
            findings.extend(found);
            if refused {
                break;
            }
        }
        combine(findings)
    }
}

/// A check that hangs, or meets a mail that makes its library panic, must not decide over the connection.
async fn within_budget(check: &dyn Check, mail: &Mail, before: &[Finding]) -> Finding {
    let running = AssertUnwindSafe(check.run(mail, before)).catch_unwind();
    match timeout(check.budget(), running).await {
        Ok(Ok(finding)) => finding,
        Ok(Err(_)) => {
            tracing::error!(check = check.name(), "a check failed");
            check.unfinished()
        }
        Err(_) => {
            tracing::info!(check = check.name(), "a check took too long");
            check.unfinished()
        }
    }
}
