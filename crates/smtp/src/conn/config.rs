//! What a listener offers, and its limits.

use sasl::Mechanism;

/// The settings of one listener, shared by its connections.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the server calls itself.
    pub hostname: String,
    /// Whether STARTTLS can be had (RFC 3207).
    pub starttls: bool,
    pub auth: Auth,
    /// The mechanisms on offer, in this order; those that bind to the connection only where it can be bound to.
    pub mechanisms: Vec<Mechanism>,
    pub protocol: Protocol,
    /// RFC 4865: for how many seconds a mail may be held back; `None`: not on offer.
    pub hold_seconds: Option<u32>,
    pub limits: Limits,
}

/// Whose conversation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Smtp,
    /// RFC 2033: each recipient gets an answer of its own at the end.
    Lmtp,
}

/// RFC 4954 on this listener. Where logging in is possible, it is necessary: such a listener is for submission
/// (RFC 6409 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Nobody logs in here: mail from other servers.
    Off,
    OverTls,
    /// Passwords may also come in clear text.
    Always,
}

/// How much is accepted of what.
#[derive(Debug, Clone)]
pub struct Limits {
    /// RFC 1870: bytes of a mail.
    pub message: u64,
    /// Bytes of a command line. RFC 5321 §4.5.3.1.4 and its extensions need about 1,100.
    pub command_line: usize,
    /// RFC 4954 §4: 12,288.
    pub auth_line: usize,
    /// Bytes of a line of content, of which none is kept. RFC 5321 §4.5.3.1.6 promises 998; much software writes longer
    /// ones.
    pub text_line: usize,
    /// RFC 5321 §4.5.3.1.8: at least 100.
    pub recipients: usize,
    /// Permanent errors since the last accepted mail; one more ends the connection.
    pub errors: u32,
}

impl Default for Config {
    /// A server for mail from others that offers nothing which needs a decision.
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            starttls: false,
            auth: Auth::Off,
            mechanisms: Mechanism::ALL.to_vec(),
            protocol: Protocol::Smtp,
            hold_seconds: None,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 50 << 20,
            command_line: 4_096,
            auth_line: 12_288,
            text_line: 1 << 20,
            recipients: 1_000,
            errors: 20,
        }
    }
}
