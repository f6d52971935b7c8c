//! The POP3 server's engine: bytes in, bytes and commands out, no I/O.
//!
//! [`wire`] has the language of RFC 1939 and its extensions, [`conn`] the conversation: what may be said when.
//!
//! **Invariant:** no sockets, no clock, no storage; memory bounded by the length of a line.

pub mod conn;
pub mod wire;
mod words;

pub use conn::{Action, Config, Connection, Event, State};
pub use wire::{Command, Reply, Stuffer, Top};
pub use words::Language;
