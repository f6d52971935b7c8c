//! RFC 4954: AUTH, with an initial response or by challenge.

use ::sasl::{Failure, Fault, Keys, Mechanism, Offer, Turn};
use types::Secret;

use super::{Action, Asked, Connection, Phase, Question};
use crate::wire::Reply;

/// A login on its way.
#[derive(Debug)]
pub(super) struct Attempt {
    inner: ::sasl::Attempt,
    /// It was refused; the mechanism lets the client say something before it is told.
    refusal: Option<Reply>,
    /// Keys are asked for: a yes to that lets nobody in.
    needs_keys: bool,
}

impl Connection {
    /// The mechanisms that can be had on this connection.
    pub(super) fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        self.offer().mechanisms()
    }

    fn offer(&self) -> Offer<'_> {
        let mechanisms = &self.config.mechanisms;
        Offer { mechanisms, binding: self.binding.as_ref(), certified: self.certified }
    }

    pub(super) fn authenticate(&mut self, mechanism: Mechanism, initial: Option<Secret>) -> Option<Action> {
        let initial = initial.as_ref().map(|initial| initial.expose().as_bytes());
        let (inner, turn) = self.offer().begin(mechanism, initial)?;
        self.turn(Attempt { inner, refusal: None, needs_keys: false }, turn)
    }

    pub(super) fn sasl_line(&mut self, line: &[u8]) -> Option<Action> {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Sasl(mut attempt) => {
                let turn = attempt.inner.line(line);
                self.turn(attempt, turn)
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    fn turn(&mut self, mut attempt: Attempt, turn: Turn) -> Option<Action> {
        match turn {
            Turn::Challenge(text) => {
                self.send(&Reply::plain(334, "").with_text(text));
                self.phase = Phase::Sasl(attempt);
                None
            }
            Turn::Ask(question) => {
                attempt.needs_keys = matches!(question, ::sasl::Question::Keys { .. });
                self.ask(Asked::Authenticate(attempt), Question::Authenticate(question))
            }
            Turn::Failed(failure) => {
                let refusal = attempt.refusal.take().filter(|_| failure != Failure::Cancelled);
                let reply = refusal.unwrap_or_else(|| told(failure));
                self.send(&reply);
                None
            }
        }
    }

    /// Answers [`::sasl::Question::Keys`]. Without that question it does nothing.
    pub fn keys(&mut self, keys: Vec<Keys>, nonce: &str) {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Asked(Asked::Authenticate(mut attempt)) => {
                // No answer to keys is another question.
                let turn = attempt.inner.keys(keys, nonce);
                let _ = self.turn(attempt, turn);
            }
            other => self.phase = other,
        }
    }

    /// A login is let in, or not.
    pub(super) fn decided(&mut self, mut attempt: Attempt, reply: &Reply) {
        if reply.is_positive() && !attempt.needs_keys {
            self.authenticated = true;
            return self.send(reply);
        }
        let turn = attempt.inner.refused();
        attempt.refusal = (!reply.is_positive()).then(|| reply.clone());
        let _ = self.turn(attempt, turn);
    }
}

/// What the client is told of a failure.
fn told(failure: Failure) -> Reply {
    let reply = match failure {
        Failure::Cancelled => Reply::new(501, (7, 0), ""),
        Failure::NotBase64 | Failure::Fault(Fault::Malformed) => Reply::new(501, (5, 2), ""),
        Failure::Fault(Fault::AnotherName | Fault::Binding | Fault::Refused) => Reply::new(535, (7, 8), ""),
    };
    reply.with_text(failure.to_string())
}
