//! What tests need around them: a DNS zone of their own, a scripted SMTP server, fixtures and a clock to turn.
//!
//! **Invariant:** a dev-dependency only; loopback and free ports only; nothing here sleeps.

pub mod clock;
pub mod fixtures;
pub mod postfix;
pub mod sink;
pub mod zone;

pub use clock::TurnedClock;
pub use postfix::SmtpSink;
pub use sink::{Received, Script, Sink};
pub use zone::Zone;
