//! One attempt to log in: what was said, and what comes next.

use types::{Secret, address::key_of};

use crate::bearer;
use crate::keys::Keys;
use crate::mechanism::Mechanism;
use crate::scram::{Awaited, Binding, First};

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this; what the client answers goes into [`Exchange::respond`].
    Challenge(Vec<u8>),
    /// Decide.
    Ask(Question),
    /// It is over, and nobody was let in.
    Failed(Fault),
}

/// What whoever knows the accounts decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Is this their password? If so it is over; a no is told by [`Exchange::refused`].
    Password { user: String, password: Secret },
    /// Is this a token of theirs? The same.
    Token { user: Option<String>, token: Secret },
    /// Is the client's certificate that of an account here? The same. Who is named is whom they want to be.
    Certificate { named: Option<String> },
    /// By which keys is this one known? The answer goes into [`Exchange::keys`].
    Keys { user: String },
    /// Whoever's keys were asked for last has shown to know a password of theirs. Let them in.
    Proven {
        /// The index of its keys.
        which: usize,
    },
}

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("Not what the mechanism says")]
    Malformed,
    /// Nobody acts for another.
    #[error("Nobody may act for another here")]
    AnotherName,
    /// The client sees another TLS connection than we do, or was told that we cannot bind.
    #[error("The login is not bound to this connection")]
    Binding,
    /// The wrong password or token.
    #[error("Wrong user or password")]
    Refused,
}

/// An attempt on its way.
#[derive(Debug)]
pub struct Exchange {
    state: State,
}

#[derive(Debug)]
enum State {
    External,
    Plain,
    LoginUser,
    LoginPassword { user: String },
    ScramFirst { plus: bool, binding: Option<Binding> },
    ScramKeys(First),
    ScramFinal(Awaited),
    ScramEnd { which: usize },
    OAuthBearer,
    XOAuth2,
    TokenAsked,
    TokenRefused,
    Over,
}

impl Exchange {
    /// `binding`: of the connection, where it has one; then the client may not pretend that it has none.
    #[must_use]
    pub fn new(mechanism: Mechanism, binding: Option<Binding>) -> Self {
        let state = match mechanism {
            Mechanism::External => State::External,
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
            Mechanism::ScramSha256 => State::ScramFirst { plus: false, binding },
            Mechanism::ScramSha256Plus => State::ScramFirst { plus: true, binding },
            Mechanism::OAuthBearer => State::OAuthBearer,
            Mechanism::XOAuth2 => State::XOAuth2,
        };
        Self { state }
    }

    /// What is sent if the client began without an initial response.
    #[must_use]
    pub fn challenge(&self) -> &'static str {
        match self.state {
            State::LoginUser => "Username:",
            _ => "",
        }
    }

    /// Takes what the client sent.
    pub fn respond(&mut self, bytes: &[u8]) -> Step {
        let Ok(text) = std::str::from_utf8(bytes) else {
            self.state = State::Over;
            return Step::Failed(Fault::Malformed);
        };
        let state = std::mem::replace(&mut self.state, State::Over);
        self.step(state, text).unwrap_or_else(Step::Failed)
    }

    fn step(&mut self, state: State, text: &str) -> Result<Step, Fault> {
        match state {
            State::External => {
                Ok(Step::Ask(Question::Certificate { named: (!text.is_empty()).then(|| text.to_owned()) }))
            }
            State::Plain => plain(text).map(Step::Ask),
            State::LoginUser => {
                self.state = State::LoginPassword { user: text.to_owned() };
                Ok(Step::Challenge(b"Password:".to_vec()))
            }
            State::LoginPassword { user } => {
                Ok(Step::Ask(Question::Password { user, password: Secret::new(text.to_owned()) }))
            }
            State::ScramFirst { plus, binding } => {
                let first = First::read(text, plus, binding.as_ref())?;
                let user = first.user.clone();
                self.state = State::ScramKeys(first);
                Ok(Step::Ask(Question::Keys { user }))
            }
            State::ScramFinal(awaited) => {
                let (which, server_final) = awaited.check(text)?;
                self.state = State::ScramEnd { which };
                Ok(Step::Challenge(server_final.into_bytes()))
            }
            State::ScramEnd { which } if text.is_empty() => Ok(Step::Ask(Question::Proven { which })),
            State::OAuthBearer | State::XOAuth2 => {
                let asked = match state {
                    State::OAuthBearer => bearer::oauthbearer(text)?,
                    _ => bearer::xoauth2(text)?,
                };
                self.state = State::TokenAsked;
                Ok(Step::Ask(asked))
            }
            State::TokenRefused => Err(Fault::Refused),
            State::ScramEnd { .. } | State::ScramKeys(_) | State::TokenAsked | State::Over => {
                Err(Fault::Malformed)
            }
        }
    }

    /// Answers [`Question::Keys`]: the keys of their passwords, or [those of nobody](Keys::of_nobody), and a fresh nonce of
    /// at least 18 letters without a comma. A client is told one salt and one number of iterations, those of the first
    /// keys; others that have the same may be proven as well.
    pub fn keys(&mut self, keys: Vec<Keys>, nonce: &str) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ScramKeys(first) => match first.answer(keys, nonce) {
                Some((server_first, awaited)) => {
                    self.state = State::ScramFinal(awaited);
                    Step::Challenge(server_first.into_bytes())
                }
                None => Step::Failed(Fault::Refused),
            },
            _ => Step::Failed(Fault::Malformed),
        }
    }

    /// The answer was no.
    pub fn refused(&mut self) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            // RFC 7628 §3.2.3: the client is told why, and says something before it is over.
            State::TokenAsked => {
                self.state = State::TokenRefused;
                Step::Challenge(bearer::REFUSED.as_bytes().to_vec())
            }
            _ => Step::Failed(Fault::Refused),
        }
    }
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
fn plain(text: &str) -> Result<Question, Fault> {
    let mut parts = text.split('\0');
    let (Some(authzid), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::Malformed);
    };
    if !authzid.is_empty() && key_of(authzid) != key_of(user) {
        return Err(Fault::AnotherName);
    }
    Ok(Question::Password { user: user.to_owned(), password: Secret::new(password.to_owned()) })
}

#[cfg(test)]
mod tests;
