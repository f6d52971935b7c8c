//! The outbound queue: schedule, routing, delivery, and the notifications of its outcome.
//!
//! **Invariant:** knows of storage and of the mail use-cases, not of IMAP, HTTP or the command line.

pub mod body;
pub mod courier;
pub mod private;
pub mod reply;
pub mod route;
pub mod schedule;
pub mod worker;

pub use courier::{Courier, Envelope, SmtpConfig, SmtpCourier, Timeouts};
pub use reply::{Class, Outcome, Reply};
pub use route::{DnsRouter, Route, Router, Routing, Target};
pub use schedule::{Next, Schedule};
pub use worker::{Parts, Signer, Unsigned, Worker, WorkerConfig};
