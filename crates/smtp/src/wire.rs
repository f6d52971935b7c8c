//! The language of RFC 5321: values that cannot be wrong, their bytes, and back.

mod command;
mod content;
mod lines;
mod parse;
mod path;
mod reply;

pub use command::{BodyType, ClientName, Command, Mail, Mechanism, Rcpt, SyntaxError};
pub use content::{Fault, Run, Scanner};
pub use lines::{Line, Lines};
pub use path::{ForwardPath, ReversePath};
pub use reply::{Enhanced, Reply};
