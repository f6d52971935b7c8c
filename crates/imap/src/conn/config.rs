//! What a listener offers, and its limits.

use super::{Connection, State};

/// The settings of one listener, shared by its connections.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether STARTTLS can be had.
    pub starttls: bool,
    /// Whether passwords may be sent without TLS.
    pub allow_cleartext: bool,
    /// What CAPABILITY says before TLS, under TLS, and for who logged in.
    pub before_tls: String,
    pub before_login: String,
    /// The same where logins can be bound to the TLS connection.
    pub before_login_bound: String,
    pub after_login: String,
    pub limits: Limits,
}

impl Connection {
    /// What can be had now.
    #[must_use]
    pub fn capabilities(&self) -> String {
        let config = &self.config;
        let external = if self.certified { " AUTH=EXTERNAL" } else { "" };
        match (self.state, self.secure) {
            (State::NotAuthenticated | State::Logout, false) => config.before_tls.clone(),
            (State::NotAuthenticated | State::Logout, true) if self.bound => {
                format!("{}{external}", config.before_login_bound)
            }
            (State::NotAuthenticated | State::Logout, true) => format!("{}{external}", config.before_login),
            (State::Authenticated | State::Selected, _) if self.deflate.is_some() => {
                config.after_login.clone()
            }
            (State::Authenticated | State::Selected, _) => format!("{} COMPRESS=DEFLATE", config.after_login),
        }
    }
}

/// How much is accepted of what.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a command without its literals. RFC 7162 §4 wants 8,192; sets of messages can be long.
    pub line: usize,
    /// Bytes of the literals of a command: a message.
    pub literal: u64,
    /// Literals up to this need no leave.
    pub unasked: u64,
    /// Bytes of literals from who has not logged in.
    pub anonymous: u64,
    /// Bytes of a command from who has not logged in, or of an answer to a challenge.
    pub challenge: usize,
    /// Commands that were none, or not legal; one more ends the connection.
    pub errors: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 64 * 1024,
            literal: 50 << 20,
            unasked: 64 * 1024,
            anonymous: 4 * 1024,
            challenge: 16 * 1024,
            errors: 50,
        }
    }
}
