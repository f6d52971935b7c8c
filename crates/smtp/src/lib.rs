//! The SMTP server's engine: bytes in, bytes and events out, no I/O.
//!
//! [`wire`] has the language: commands, replies and their bytes. [`conn`] has the conversation: what may be said when.
//! Whoever drives a [`Connection`] reads and writes for it, and answers what it asks.
//!
//! **Invariant:** no sockets, no clock, no storage; memory bounded by the limits of [`Config`].

pub mod conn;
pub mod wire;

pub use conn::{Action, Auth, Config, Connection, Expects, Hello, Limits, Protocol, Question};
pub use wire::{BodyType, By, ClientName, Command, ForwardPath, Hold, Mail, Rcpt, Reply, ReversePath};
