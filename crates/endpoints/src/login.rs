//! Who logs in to IMAP or POP3, by whatever mechanism: a [`sasl::Attempt`], its questions answered by the service.

use std::sync::Arc;

use mail::{Access, Certificate, Challenge, Client, Error, Service};
use sasl::{Attempt, Failure, Mechanism, Offer, Question, Turn};

/// A login on its way.
pub(crate) struct Login {
    attempt: Attempt,
    client: Client,
    /// The client's.
    certificate: Arc<Certificate>,
    /// What is about to be proven.
    challenge: Option<Challenge>,
    /// It was refused; the mechanism lets the client say something before it is told.
    refusal: Option<Error>,
}

/// How far it is.
pub(crate) enum Progress {
    /// Send this as a challenge; the client's line goes into [`Login::line`].
    Challenge(Box<Login>, String),
    In(Box<Access>),
    Over(Why),
}

/// Why nobody was let in.
pub(crate) enum Why {
    /// It is not on offer on this connection.
    NoMechanism,
    Failed(Failure),
    Refused(Error),
}

impl Login {
    /// Begins by the mechanism of this name.
    pub(crate) async fn begin(
        mail: &Service,
        offer: Offer<'_>,
        mechanism: &str,
        initial: Option<&[u8]>,
        certificate: &Arc<Certificate>,
        client: Client,
    ) -> Progress {
        match Mechanism::parse(mechanism).and_then(|mechanism| offer.begin(mechanism, initial)) {
            Some((attempt, turn)) => {
                let certificate = Arc::clone(certificate);
                let login = Self { attempt, client, certificate, challenge: None, refusal: None };
                login.go_on(mail, turn).await
            }
            None => Progress::Over(Why::NoMechanism),
        }
    }

    /// Goes on with the client's answer to a challenge; `None`: it gives up.
    pub(crate) async fn line(mut self, mail: &Service, line: Option<&[u8]>) -> Progress {
        let turn = line.map_or(Turn::Failed(Failure::Cancelled), |line| self.attempt.line(line));
        self.go_on(mail, turn).await
    }

    async fn go_on(mut self, mail: &Service, mut turn: Turn) -> Progress {
        loop {
            let question = match turn {
                Turn::Challenge(text) => return Progress::Challenge(Box::new(self), text),
                Turn::Failed(failure) => return Progress::Over(self.over(mail, failure).await),
                Turn::Ask(question) => question,
            };
            let answer = match question {
                Question::Password { user, password } => {
                    mail.authenticate(&user, &password, &self.client).await
                }
                Question::Token { user, token } => {
                    mail.access_as(user.as_deref(), &token, &self.client).await
                }
                Question::Certificate { named } => {
                    mail.certified(&self.certificate, named.as_deref(), &self.client).await
                }
                Question::Keys { user } => match mail.challenge(&user, &self.client).await {
                    Ok(challenge) => {
                        turn = self.attempt.keys(challenge.keys(), &challenge.nonce);
                        self.challenge = Some(challenge);
                        continue;
                    }
                    Err(error) => Err(error),
                },
                Question::Proven { which } => match self.challenge.take() {
                    Some(challenge) => mail.proven(challenge, which).await,
                    None => Err(Error::Credentials),
                },
            };
            match answer {
                Ok(access) => return Progress::In(Box::new(access)),
                Err(error) => {
                    self.refusal = Some(error);
                    turn = self.attempt.refused();
                }
            }
        }
    }

    async fn over(self, mail: &Service, failure: Failure) -> Why {
        if self.challenge.is_some() {
            // A proof that was none, or not even tried: of that the mechanism alone knows.
            mail.refused_login(&self.client).await;
        }
        self.refusal.map_or(Why::Failed(failure), Why::Refused)
    }
}
