//! The outbound queue: schedule, routing, delivery, and the notifications of its outcome.
//!
//! **Invariant:** knows of storage and of the mail use-cases, not of IMAP, HTTP or the command line.

pub mod body;
pub mod courier;
pub mod dane;
pub mod https;
pub mod private;
pub mod reply;
pub mod route;
pub mod schedule;
pub mod sts;
pub mod tlsrpt;
pub mod way;
pub mod worker;

pub use courier::{Cargo, Courier, Envelope, Handover, Reuse, SmtpConfig, SmtpCourier, Timeouts};
pub use reply::{Class, Outcome, Reply};
pub use route::{DnsRouter, Router, Routing, Rule, StsConfig};
pub use schedule::{Next, Schedule};
pub use way::{Caller, Login, Route, Security, Target, Way};
pub use worker::{Parts, Signer, Unsigned, Worker, WorkerConfig};
