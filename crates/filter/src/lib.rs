//! Checks of mail at the door, SPF, DKIM, DMARC and ARC, in stages with verdicts; our own signatures; and what
//! other servers report.
//!
//! A [`Filter`] runs its [`Check`]s stage by stage; what they find is combined by a pure function into a [`Verdict`].
//! Whatever DNS does not say is a temporary error, never a reason to refuse.
//!
//! **Invariant:** knows no storage and no protocol: a mail and its envelope in, a verdict out.

pub mod aggregate;
mod arc;
mod authentication;
mod canonical;
mod dkim;
mod dmarc;
pub mod dns;
pub mod keys;
mod mail;
pub mod report;
pub mod results;
pub mod seal;
pub mod sign;
mod spf;
mod stage;
mod verdict;

pub use authentication::{Authentication, Mode, OnTempError, Rules};
pub use dmarc::is_valid as is_valid_dmarc;
pub use dns::Dns;
pub use mail::Mail;
pub use spf::Spf;
pub use stage::{Check, Filter, Stage};
pub use verdict::{Action, AuthResult, Finding, Outcome, Reply, Verdict, combine};
