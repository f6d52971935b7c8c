//! RFC 4954: AUTH, with an initial response or by challenge. What is said in base64 is the mechanism's.

use ::sasl::{Exchange, Fault, Keys, Mechanism, Step};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use types::Secret;

use super::{Action, Asked, Connection, Phase, Question};
use crate::wire::Reply;

/// A login on its way.
#[derive(Debug)]
pub(super) struct Attempt {
    exchange: Exchange,
    /// It was refused; the mechanism lets the client say something before it is told.
    refusal: Option<Reply>,
    /// Keys are asked for: a yes to that lets nobody in.
    needs_keys: bool,
}

/// Padding is required by RFC 4648; some clients forget it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const CANCELLED: Reply = Reply::new(501, (7, 0), "Cancelled");
const NOT_BASE64: Reply = Reply::new(501, (5, 2), "Not valid base64");

impl Connection {
    /// The mechanisms that can be had on this connection.
    pub(super) fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        let bound = self.binding.is_some();
        self.config.mechanisms.iter().copied().filter(move |mechanism| bound || !mechanism.needs_binding())
    }

    pub(super) fn authenticate(&mut self, mechanism: Mechanism, initial: Option<Secret>) -> Option<Action> {
        // A client that does not know of binding is no victim if it is not on offer here.
        let plus = self.mechanisms().any(Mechanism::needs_binding);
        let exchange = Exchange::new(mechanism, self.binding.clone().filter(|_| plus));
        match initial {
            Some(initial) if initial.expose() == "=" => self.response(Attempt::new(exchange), b""),
            Some(initial) => self.response(Attempt::new(exchange), initial.expose().as_bytes()),
            None => {
                let challenge = exchange.challenge();
                self.challenge(Attempt::new(exchange), challenge.as_bytes());
                None
            }
        }
    }

    pub(super) fn sasl_line(&mut self, line: &[u8]) -> Option<Action> {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Sasl(_) if line == b"*" => {
                self.send(&CANCELLED);
                None
            }
            Phase::Sasl(attempt) => self.response(attempt, line),
            other => {
                self.phase = other;
                None
            }
        }
    }

    fn challenge(&mut self, attempt: Attempt, bytes: &[u8]) {
        self.send(&Reply::plain(334, "").with_text(BASE64.encode(bytes)));
        self.phase = Phase::Sasl(attempt);
    }

    fn response(&mut self, mut attempt: Attempt, line: &[u8]) -> Option<Action> {
        let Ok(bytes) = BASE64.decode(line) else {
            self.send(&NOT_BASE64);
            return None;
        };
        let step = attempt.exchange.respond(&bytes);
        self.step(attempt, step)
    }

    fn step(&mut self, mut attempt: Attempt, step: Step) -> Option<Action> {
        match step {
            Step::Challenge(bytes) => {
                self.challenge(attempt, &bytes);
                None
            }
            Step::Ask(question) => {
                attempt.needs_keys = matches!(question, ::sasl::Question::Keys { .. });
                self.ask(Asked::Authenticate(attempt), Question::Authenticate(question))
            }
            Step::Failed(fault) => {
                let reply = attempt.refusal.take().unwrap_or_else(|| told(fault));
                self.send(&reply);
                None
            }
        }
    }

    /// Answers [`::sasl::Question::Keys`]. Without that question it does nothing.
    pub fn keys(&mut self, keys: Keys, nonce: &str) {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Asked(Asked::Authenticate(mut attempt)) => {
                // No answer to keys is another question.
                let step = attempt.exchange.keys(keys, nonce);
                let _ = self.step(attempt, step);
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
        let step = attempt.exchange.refused();
        attempt.refusal = (!reply.is_positive()).then(|| reply.clone());
        let _ = self.step(attempt, step);
    }
}

impl Attempt {
    const fn new(exchange: Exchange) -> Self {
        Self { exchange, refusal: None, needs_keys: false }
    }
}

/// What the client is told of a fault.
fn told(fault: Fault) -> Reply {
    let reply = match fault {
        Fault::Malformed => Reply::new(501, (5, 2), ""),
        Fault::AnotherName | Fault::Binding | Fault::Refused => Reply::new(535, (7, 8), ""),
    };
    reply.with_text(fault.to_string())
}
