//! The IMAP server's engine: bytes in, bytes and commands out, no I/O.
//!
//! [`wire`] has the language of RFC 9051, RFC 3501 and their extensions: commands that cannot be wrong, statuses, and
//! the encoding of what is answered. [`conn`] has the conversation: what may be said when. [`view`] has the sequence
//! numbers of a selected mailbox, [`thread`] its threads. Whoever drives a [`Connection`] reads and writes for it, and
//! answers its commands.
//!
//! **Invariant:** no sockets, no clock, no storage; memory bounded by the limits of [`Config`].

pub mod conn;
pub mod thread;
pub mod view;
pub mod wire;

pub use conn::{Action, Config, Connection, Event, Expects, Limits, State};
pub use view::{Expunges, Updates, View};
pub use wire::{Code, Command, Condition, Status, Tag, Writer};
