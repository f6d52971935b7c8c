//! Logging in (SASL, RFC 4422), the server's side: messages in, messages and questions out, no I/O.
//!
//! An [`Exchange`] is one attempt in one [`Mechanism`]. It is given what the client sends and says what comes next: a
//! challenge, a question, or that it is over. An [`Attempt`] is the same in lines of Base64, as SMTP, IMAP and POP3 have
//! them, begun from what a connection [offers](Offer). The protocol around it says whether an attempt may begin (no
//! passwords in clear text), and counts those that failed.
//!
//! **Invariant:** no I/O, no clock, no randomness of its own; knows no protocol.

mod attempt;
mod bearer;
mod exchange;
mod keys;
mod mechanism;
mod scram;

pub use attempt::{Attempt, Failure, Offer, Turn};
pub use exchange::{Exchange, Fault, Question, Step};
pub use keys::{InvalidKeys, Keys};
pub use mechanism::Mechanism;
pub use scram::Binding;
