//! SMTP sessions over real sockets, against a mail store in memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attacks;
mod client;
mod door;
mod extensions;
mod limits;
mod mail;
mod proxied;
mod shutdown;
mod store;
mod submission;
