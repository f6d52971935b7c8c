//! An attempt as the lines of a protocol carry it: in Base64, given up by a `*`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::exchange::{Exchange, Fault, Question, Step};
use crate::keys::Keys;
use crate::mechanism::Mechanism;
use crate::scram::Binding;

/// What can be had on one connection.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// In this order; those that bind only where there is something to bind to.
    pub mechanisms: &'a [Mechanism],
    /// Of the TLS connection below, where it has one.
    pub binding: Option<&'a Binding>,
    /// Whether the client has shown a certificate that is believed.
    pub certified: bool,
}

/// An attempt on its way.
#[derive(Debug)]
pub struct Attempt {
    exchange: Exchange,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send this as a challenge; the line that the client answers goes into [`Attempt::line`].
    Challenge(String),
    /// Decide: see [`Question`].
    Ask(Question),
    /// It is over, and nobody was let in.
    Failed(Failure),
}

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The client gave up.
    #[error("Cancelled")]
    Cancelled,
    #[error("Not valid base64")]
    NotBase64,
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Padding is required by RFC 4648; some clients forget it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl<'a> Offer<'a> {
    /// The mechanisms that are on offer.
    pub fn mechanisms(self) -> impl Iterator<Item = Mechanism> + 'a {
        let (bound, certified) = (self.binding.is_some(), self.certified);
        self.mechanisms.iter().copied().filter(move |mechanism| {
            (bound || !mechanism.needs_binding()) && (certified || !mechanism.needs_certificate())
        })
    }

    /// Begins, with an initial response or without; `None`: the mechanism is not on offer.
    #[must_use]
    pub fn begin(self, mechanism: Mechanism, initial: Option<&[u8]>) -> Option<(Attempt, Turn)> {
        if !self.mechanisms().any(|offered| offered == mechanism) {
            return None;
        }
        // A client that does not know of binding is no victim if it is not on offer here.
        let plus = self.mechanisms().any(Mechanism::needs_binding);
        let binding = self.binding.filter(|_| plus).cloned();
        let mut attempt = Attempt { exchange: Exchange::new(mechanism, binding) };
        let turn = match initial {
            // RFC 4954 §4, RFC 4959 §3, RFC 5034 §4: an equals sign is an empty response.
            Some(b"=") => attempt.line(b""),
            // Here it means nothing yet.
            Some(b"*") => Turn::Failed(Failure::NotBase64),
            Some(initial) => attempt.line(initial),
            None => Turn::Challenge(BASE64.encode(attempt.exchange.challenge())),
        };
        Some((attempt, turn))
    }
}

impl Attempt {
    /// Takes the line that answers a challenge.
    pub fn line(&mut self, line: &[u8]) -> Turn {
        if line == b"*" {
            return Turn::Failed(Failure::Cancelled);
        }
        match BASE64.decode(line) {
            Ok(bytes) => self.exchange.respond(&bytes).into(),
            Err(_) => Turn::Failed(Failure::NotBase64),
        }
    }

    /// Answers [`Question::Keys`]; see [`Exchange::keys`].
    pub fn keys(&mut self, keys: Vec<Keys>, nonce: &str) -> Turn {
        self.exchange.keys(keys, nonce).into()
    }

    /// The answer was no.
    pub fn refused(&mut self) -> Turn {
        self.exchange.refused().into()
    }
}

impl From<Step> for Turn {
    fn from(step: Step) -> Self {
        match step {
            Step::Challenge(bytes) => Self::Challenge(BASE64.encode(bytes)),
            Step::Ask(question) => Self::Ask(question),
            Step::Failed(fault) => Self::Failed(fault.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use types::Secret;

    use super::*;

    const BOUND: Binding = Binding([3; 32]);

    fn offer(binding: Option<&Binding>) -> Offer<'_> {
        Offer { mechanisms: &Mechanism::ALL, binding, certified: false }
    }

    #[test]
    fn what_binds_is_offered_where_there_is_something_to_bind_to() {
        let names = |offer: Offer<'_>| offer.mechanisms().map(Mechanism::name).collect::<Vec<_>>().join(" ");
        assert_eq!(names(offer(None)), "SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2");
        assert_eq!(
            names(offer(Some(&BOUND))),
            "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2"
        );
        assert!(offer(None).begin(Mechanism::ScramSha256Plus, None).is_none());
        assert!(offer(None).begin(Mechanism::External, Some(b"=")).is_none());
    }

    #[test]
    fn who_has_a_certificate_needs_nothing_else() {
        let offer = Offer { certified: true, ..offer(None) };
        assert_eq!(offer.mechanisms().next(), Some(Mechanism::External));
        let asked = |initial: Option<&[u8]>| offer.begin(Mechanism::External, initial).unwrap().1;
        assert_eq!(asked(Some(b"=")), Turn::Ask(Question::Certificate { named: None }));
        assert_eq!(asked(Some(b"YQ==")), Turn::Ask(Question::Certificate { named: Some("a".into()) }));
        assert_eq!(asked(None), Turn::Challenge(String::new()));
    }

    /// A client that could bind says so only where that is offered.
    #[test]
    fn nobody_takes_binding_away() {
        let first = |offer: Offer<'_>| {
            let said = BASE64.encode("y,,n=a,r=nonce");
            offer.begin(Mechanism::ScramSha256, Some(said.as_bytes())).unwrap().1
        };
        assert_eq!(first(offer(Some(&BOUND))), Turn::Failed(Fault::Binding.into()));
        let alone = Offer { mechanisms: &[Mechanism::ScramSha256], ..offer(Some(&BOUND)) };
        assert!(matches!(first(alone), Turn::Ask(Question::Keys { .. })));
    }

    #[test]
    fn lines_are_base64() {
        let asked = |password: &str| {
            Turn::Ask(Question::Password { user: "a".into(), password: Secret::new(password.into()) })
        };
        let check = |mechanism, initial: Option<&str>, lines: &[&str], wanted: Turn| {
            let (mut attempt, mut turn) = offer(None).begin(mechanism, initial.map(str::as_bytes)).unwrap();
            for line in lines {
                assert!(matches!(turn, Turn::Challenge(_)), "{turn:?} before {line:?}");
                turn = attempt.line(line.as_bytes());
            }
            assert_eq!(turn, wanted, "{initial:?} {lines:?}");
        };
        check(Mechanism::Plain, Some("AGEAYg=="), &[], asked("b"));
        check(Mechanism::Plain, Some("AGEAYg"), &[], asked("b"));
        check(Mechanism::Plain, None, &["AGEAYg=="], asked("b"));
        check(Mechanism::Plain, None, &["*"], Turn::Failed(Failure::Cancelled));
        check(Mechanism::Plain, Some("*"), &[], Turn::Failed(Failure::NotBase64));
        check(Mechanism::Plain, Some("!"), &[], Turn::Failed(Failure::NotBase64));
        check(Mechanism::Plain, Some("="), &[], Turn::Failed(Fault::Malformed.into()));
        check(Mechanism::Login, None, &["YQ==", "Yg=="], asked("b"));
        check(Mechanism::Login, Some("YQ=="), &["Yg=="], asked("b"));
        check(Mechanism::Login, Some("="), &["Yg=="], {
            Turn::Ask(Question::Password { user: String::new(), password: Secret::new("b".into()) })
        });
    }
}
