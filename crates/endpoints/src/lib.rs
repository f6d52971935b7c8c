//! Listeners and sessions: accept, TLS, deadlines and limits over the protocol engines.
//!
//! [`net`] knows sockets and no protocol: it drives any [`net::Conversation`]. [`smtp`] is the one for SMTP: the
//! engine of the `smtp` crate, and what its questions mean for an [`smtp::Mta`]; [`imap`] and [`pop3`] are
//! those for mail programs, over [`mail::Service`]. [`tls`] finds or makes certificates.
//!
//! **Invariant:** `net` knows no protocol; a session never writes to a socket.

mod budget;
pub mod imap;
mod login;
pub mod net;
pub mod pop3;
mod sessions;
pub mod smtp;
pub mod tls;
