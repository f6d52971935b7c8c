//! What commands print: a reader that has seen enough (`| head -1`) ends them without a word, like any Unix tool.
//!
//! Rust's own `println!` panics there instead. A command that changes something goes on to its end and prints no more.

use std::{
    fmt,
    io::{self, ErrorKind, Write as _},
};

/// Why nothing could be printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody reads any more.
    #[error("standard output is closed")]
    Closed,
    #[error("standard output cannot be written: {0}")]
    Failed(io::Error),
}

/// What a shell says of a program that was ended by SIGPIPE, which is what happens to others then.
pub(crate) const SIGPIPE: u8 = 128 + 13;

/// Prints a line.
macro_rules! say {
    ($($argument:tt)*) => { $crate::cli::out::line(::core::format_args!($($argument)*)) };
}
pub(crate) use say;

pub(crate) fn line(line: fmt::Arguments<'_>) -> Result<(), Error> {
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}

/// Prints a text that has its own ends of lines.
pub(crate) fn text(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
}

/// Prints a line to standard error; where that is closed, nobody wants to know.
pub(crate) fn aside(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe { Self::Closed } else { Self::Failed(error) }
    }
}
