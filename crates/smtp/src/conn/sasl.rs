//! RFC 4954: AUTH PLAIN and LOGIN, with an initial response or by challenge.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use types::Secret;

use super::{Action, Asked, Connection, Credentials, Phase, Question};
use crate::wire::{Mechanism, Reply};

/// What the next line answers.
#[derive(Debug)]
pub(super) enum Exchange {
    Plain,
    LoginUser,
    LoginPassword { user: String },
}

/// Padding is required by RFC 4648; some clients forget it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const CANCELLED: Reply = Reply::new(501, (7, 0), "Cancelled");
const NOT_BASE64: Reply = Reply::new(501, (5, 2), "Not valid base64");
const MALFORMED: Reply = Reply::new(501, (5, 2), "Not what the mechanism says");

impl Connection {
    pub(super) fn authenticate(&mut self, mechanism: Mechanism, initial: Option<Secret>) -> Option<Action> {
        let exchange = match mechanism {
            Mechanism::Plain => Exchange::Plain,
            Mechanism::Login => Exchange::LoginUser,
        };
        match initial {
            Some(initial) if initial.expose() == "=" => self.response(exchange, b""),
            Some(initial) => self.response(exchange, initial.expose().as_bytes()),
            None => {
                self.challenge(exchange);
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
            Phase::Sasl(exchange) => self.response(exchange, line),
            other => {
                self.phase = other;
                None
            }
        }
    }

    fn challenge(&mut self, exchange: Exchange) {
        let text = match &exchange {
            Exchange::Plain => "",
            Exchange::LoginUser => "VXNlcm5hbWU6",
            Exchange::LoginPassword { .. } => "UGFzc3dvcmQ6",
        };
        self.send(&Reply::plain(334, text));
        self.phase = Phase::Sasl(exchange);
    }

    fn response(&mut self, exchange: Exchange, line: &[u8]) -> Option<Action> {
        match decode(exchange, line) {
            Ok(Step::Challenge(exchange)) => {
                self.challenge(exchange);
                None
            }
            Ok(Step::Ask(credentials)) => self.ask(Asked::Authenticate, Question::Authenticate(credentials)),
            Err(refusal) => {
                self.send(&refusal);
                None
            }
        }
    }
}

enum Step {
    Challenge(Exchange),
    Ask(Credentials),
}

fn decode(exchange: Exchange, line: &[u8]) -> Result<Step, Reply> {
    let bytes = BASE64.decode(line).map_err(|_| NOT_BASE64)?;
    let text = String::from_utf8(bytes).map_err(|_| MALFORMED)?;
    match exchange {
        Exchange::Plain => plain(&text).map(Step::Ask),
        Exchange::LoginUser => Ok(Step::Challenge(Exchange::LoginPassword { user: text })),
        Exchange::LoginPassword { user } => Ok(Step::Ask(Credentials { user, password: Secret::new(text) })),
    }
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`. Nobody acts for another.
fn plain(text: &str) -> Result<Credentials, Reply> {
    let mut parts = text.split('\0');
    let (Some(authzid), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(MALFORMED);
    };
    if !authzid.is_empty() && authzid != user {
        return Err(Reply::new(535, (7, 8), "Nobody may act for another here"));
    }
    Ok(Credentials { user: user.to_owned(), password: Secret::new(password.to_owned()) })
}
