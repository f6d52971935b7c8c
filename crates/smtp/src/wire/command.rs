//! RFC 5321 §4.1.1 and its extensions: what a client may say.

use std::fmt;

use bytes::BufMut;
use sasl::Mechanism;
use types::{Late, Notify, OriginalRecipient, Priority, Ret, Secret, Timestamp};

use super::parameters;
use super::path::{ForwardPath, ReversePath};

/// One command. Parsed by [`Command::parse`], written by [`Command::encode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// RFC 5321 §4.1.1.1
    Ehlo(ClientName),
    /// RFC 5321 §4.1.1.1
    Helo(ClientName),
    /// RFC 2033 §4.1
    Lhlo(ClientName),
    /// RFC 5321 §4.1.1.2
    Mail(Mail),
    /// RFC 5321 §4.1.1.3
    Rcpt(Rcpt),
    /// RFC 5321 §4.1.1.4
    Data,
    /// RFC 3030 §2
    Bdat { size: u64, last: bool },
    /// RFC 5321 §4.1.1.5
    Rset,
    /// RFC 5321 §4.1.1.6
    Vrfy,
    /// RFC 5321 §4.1.1.7
    Expn,
    /// RFC 5321 §4.1.1.8
    Help,
    /// RFC 5321 §4.1.1.9
    Noop,
    /// RFC 5321 §4.1.1.10
    Quit,
    /// RFC 3207 §4
    StartTls,
    /// RFC 4954 §4. The initial response is still in base64; `=` stands for an empty one.
    Auth { mechanism: Mechanism, initial: Option<Secret> },
}

/// `MAIL FROM` with the parameters that its extensions define.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub reverse_path: ReversePath,
    /// RFC 1870: how many bytes the client thinks it will send.
    pub size: Option<u64>,
    /// RFC 6152
    pub body: Option<BodyType>,
    /// RFC 6531 §3.4
    pub smtputf8: bool,
    /// RFC 3461 §4.3
    pub ret: Option<Ret>,
    /// RFC 3461 §4.4, decoded.
    pub envelope_id: Option<String>,
    /// RFC 8689
    pub require_tls: bool,
    /// RFC 6710
    pub priority: Option<Priority>,
    /// RFC 2852
    pub by: Option<By>,
    /// RFC 4865
    pub hold: Option<Hold>,
}

impl Mail {
    /// From here, with no parameters.
    #[must_use]
    pub const fn from(reverse_path: ReversePath) -> Self {
        Self {
            reverse_path,
            size: None,
            body: None,
            smtputf8: false,
            ret: None,
            envelope_id: None,
            require_tls: false,
            priority: None,
            by: None,
            hold: None,
        }
    }
}

/// `RCPT TO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    pub forward_path: ForwardPath,
    /// RFC 3461 §4.1
    pub notify: Option<Notify>,
    /// RFC 3461 §4.2, decoded.
    pub original: Option<OriginalRecipient>,
}

impl Rcpt {
    /// To here, with no parameters.
    #[must_use]
    pub const fn to(forward_path: ForwardPath) -> Self {
        Self { forward_path, notify: None, original: None }
    }
}

/// RFC 6152 §2 and RFC 3030 §3
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyType {
    SevenBit,
    EightBitMime,
    BinaryMime,
}

/// RFC 2852 §4: so many seconds from now, or ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    pub seconds: i64,
    pub late: Late,
    pub trace: bool,
}

/// RFC 4865 §4: not to be sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// So many seconds.
    For(u32),
    Until(Timestamp),
}

/// What a client calls itself in EHLO or HELO. Not to be believed, but safe to write into a header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientName(String);

impl ClientName {
    /// RFC 5321 asks for a domain or an address literal, and many clients send neither; anything is taken that can
    /// do no harm in a `Received:` header: up to 255 letters, digits and `-._:[]+/~`.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]+/~".contains(&byte);
        (!name.is_empty() && name.len() <= 255 && name.bytes().all(harmless)).then(|| Self(name.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a line is no command that can be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    #[error("Command not recognised")]
    Unknown,
    /// Another protocol's request.
    #[error("This is an SMTP server")]
    Foreign,
    #[error("Not a line of text")]
    NotText,
    /// What the command needs, or what is wrong with what it got.
    #[error("{0}")]
    Arguments(&'static str),
    #[error("Not the address of a sender")]
    ReversePath,
    #[error("Not the address of a recipient")]
    ForwardPath,
    #[error("The address needs SMTPUTF8")]
    NeedsUtf8,
    #[error("Parameter not recognised or not implemented")]
    Parameter,
    #[error("Mechanism not supported")]
    Mechanism,
    /// `BDAT` without a readable size: what follows cannot be told from commands.
    #[error("BDAT needs a size")]
    ChunkSize,
}

impl Command {
    /// Appends the line as it is sent, with its CRLF.
    pub fn encode(&self, out: &mut impl BufMut) {
        out.put_slice(self.line().as_bytes());
        out.put_slice(b"\r\n");
    }

    fn line(&self) -> String {
        match self {
            Self::Ehlo(name) => format!("EHLO {name}"),
            Self::Helo(name) => format!("HELO {name}"),
            Self::Lhlo(name) => format!("LHLO {name}"),
            Self::Mail(mail) => format!("MAIL FROM:{}{}", mail.reverse_path, parameters::mail_text(mail)),
            Self::Rcpt(rcpt) => format!("RCPT TO:{}{}", rcpt.forward_path, parameters::rcpt_text(rcpt)),
            Self::Data => "DATA".into(),
            Self::Bdat { size, last: true } => format!("BDAT {size} LAST"),
            Self::Bdat { size, last: false } => format!("BDAT {size}"),
            Self::Rset => "RSET".into(),
            Self::Vrfy => "VRFY postmaster".into(),
            Self::Expn => "EXPN postmaster".into(),
            Self::Help => "HELP".into(),
            Self::Noop => "NOOP".into(),
            Self::Quit => "QUIT".into(),
            Self::StartTls => "STARTTLS".into(),
            Self::Auth { mechanism, initial } => {
                let name = mechanism.name();
                match initial {
                    Some(initial) => format!("AUTH {name} {}", initial.expose()),
                    None => format!("AUTH {name}"),
                }
            }
        }
    }
}
