//! The language of RFC 5321: values that cannot be wrong, their bytes, and back.

mod command;
mod content;
mod lines;
mod parameters;
mod parse;
mod path;
mod reply;
pub mod xtext;

pub use command::{BodyType, By, ClientName, Command, Hold, Mail, Rcpt, SyntaxError};
pub use content::{Fault, Run, Scanner};
pub use lines::{Line, Lines};
pub use path::{ForwardPath, ReversePath};
pub use reply::{Enhanced, Reply};
