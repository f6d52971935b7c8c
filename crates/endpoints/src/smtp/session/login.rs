//! Who logs in, by whatever mechanism.

use mail::Offence;
use sasl::Question as Asked;
use smtp::Reply;

use super::Session;
use crate::smtp::{Mta, Refusal};

const WELCOME: Reply = Reply::new(235, (7, 0), "Welcome");

impl<M: Mta> Session<M> {
    /// Answers a mechanism's question; `None` if it has been answered with keys.
    pub(super) async fn authenticate(&mut self, asked: Asked) -> Result<Option<Reply>, Refusal> {
        let principal = match asked {
            Asked::Password { user, password } => {
                self.mta.authenticate(&user, &password, self.client).await?
            }
            Asked::Token { user, token } => {
                self.mta.authenticate_token(user.as_deref(), &token, self.client).await?
            }
            Asked::Certificate { named } => {
                self.mta.authenticate_certified(&self.certificate, named.as_deref(), self.client).await?
            }
            Asked::Keys { user } => {
                let (keys, nonce, challenge) = self.mta.challenge(&user, self.client).await?;
                self.challenge = Some(challenge);
                self.engine.keys(keys, &nonce);
                return Ok(None);
            }
            Asked::Proven { which } => {
                let challenge = self.challenge.take().ok_or(Refusal::Credentials)?;
                self.mta.proven(challenge, which).await?
            }
        };
        self.principal = Some(principal);
        Ok(Some(WELCOME))
    }

    /// Blames the client for a proof that was none: of that the engine alone knows.
    pub(super) async fn failed_proof(&mut self) {
        if self.challenge.is_some() && !self.engine.is_logging_in() && !self.engine.is_authenticated() {
            self.challenge = None;
            self.mta.blame(self.client, Offence::Login).await;
        }
    }
}
