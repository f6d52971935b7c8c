//! CAPABILITY, ID, and who is let in: LOGIN, AUTHENTICATE, UNAUTHENTICATE, ENABLE.

use imap::wire::Enabled;
use imap::{Code, State, Status};
use mail::{Access, Client};
use sasl::{Failure, Fault, Offer};
use tokio::time::Instant;
use types::Secret;

use super::answers;
use super::session::{Answer, Features, Login, Session};
use crate::login::{self as attempt, Progress, Why};

impl Session {
    pub(super) fn capability(&mut self) -> Answer {
        let mut out = self.writer();
        out.line(format_args!("CAPABILITY {}", self.engine.capabilities()));
        self.send(out);
        Ok(Status::ok("That is all"))
    }

    /// RFC 2971. Nothing is decided by what a client calls itself.
    pub(super) fn id(&mut self, fields: &[(String, Option<String>)]) -> Answer {
        let name = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case("name"));
        if let Some((_, Some(name))) = name {
            tracing::debug!(client = %name.chars().take(80).collect::<String>(), "client");
        }
        let mut out = self.writer();
        out.line(format_args!("ID (\"name\" \"Magpie\")"));
        self.send(out);
        Ok(Status::ok("Nice to meet you"))
    }

    pub(super) async fn log_in(&mut self, user: &str, password: &Secret) -> Answer {
        let client = self.client();
        let access = self.mail.authenticate(user, password, &client).await.map_err(answers::refusal)?;
        self.let_in(access)
    }

    pub(super) async fn authenticate(&mut self, mechanism: &str, initial: Option<Secret>) -> Option<Answer> {
        let (mail, client) = (self.mail.clone(), self.client());
        let certified = self.certificate.is_of_use(mail.now());
        let offer = Offer { mechanisms: &self.mechanisms, binding: self.binding.as_ref(), certified };
        let initial = initial.as_ref().map(|initial| initial.expose().as_bytes());
        let progress =
            attempt::Login::begin(&mail, offer, mechanism, initial, &self.certificate, client).await;
        self.went(progress)
    }

    /// The answer to a challenge; `None`: the client gives up.
    pub(super) async fn response(&mut self, response: Option<Vec<u8>>) -> Option<Answer> {
        let Some(attempt) = self.attempt.take() else { return Some(Err(Status::bad("Nothing was asked"))) };
        let progress = attempt.line(&self.mail, response.as_deref()).await;
        self.went(progress)
    }

    fn went(&mut self, progress: Progress) -> Option<Answer> {
        match progress {
            Progress::Challenge(attempt, challenge) => {
                self.attempt = Some(attempt);
                self.engine.challenge(&challenge);
                None
            }
            Progress::In(access) => Some(self.let_in(*access)),
            Progress::Over(why) => Some(Err(refusal(why))),
        }
    }

    fn let_in(&mut self, access: Access) -> Answer {
        let Some(seat) = self.settings.sessions.enter(access.id()) else {
            return Err(Status::no("The account has too many connections").with(Code::Limit));
        };
        let hints = access.subscribe();
        let now = Instant::now();
        let login = Login { access, hints, checked_at: now, woken: false, looked_at: now, _seat: seat };
        self.login = Some(login);
        self.engine.enter(State::Authenticated);
        Ok(Status::ok("Welcome").with(Code::Capability(self.engine.capabilities())))
    }

    fn client(&self) -> Client {
        Client { ip: Some(self.client), name: "IMAP".to_owned() }
    }

    /// RFC 8437: as after the greeting, but for TLS.
    pub(super) fn unauthenticate(&mut self) -> Answer {
        self.login = None;
        self.selected = None;
        self.watching = None;
        self.fresh.clear();
        self.enabled = Features::default();
        self.engine.use_utf8(false);
        self.engine.enter(State::NotAuthenticated);
        Ok(Status::ok("Who are you?"))
    }

    /// RFC 5161
    pub(super) fn enable(&mut self, features: &[Enabled]) -> Answer {
        let mut out = self.writer();
        out.text("* ENABLED");
        for feature in features {
            let name = match feature {
                Enabled::Imap4Rev2 => {
                    self.enabled.rev2 = true;
                    self.engine.use_utf8(true);
                    "IMAP4rev2"
                }
                Enabled::Utf8Accept => {
                    self.engine.use_utf8(true);
                    "UTF8=ACCEPT"
                }
                Enabled::UidOnly => {
                    self.enabled.uid_only = true;
                    "UIDONLY"
                }
                Enabled::CondStore => {
                    self.enabled.condstore = true;
                    "CONDSTORE"
                }
                Enabled::QResync => {
                    self.enabled.condstore = true;
                    self.enabled.qresync = true;
                    "QRESYNC"
                }
                Enabled::Unknown => continue,
            };
            out.format(format_args!(" {name}"));
        }
        out.end();
        self.send(out);
        Ok(Status::ok("Done"))
    }

    /// Makes sure, once in a while and when there is reason to, that who logged in still may: the password may have
    /// been changed, or the account closed.
    pub(super) async fn still_allowed(&mut self) -> Result<(), &'static str> {
        let Some(login) = &mut self.login else { return Ok(()) };
        if login.checked_at.elapsed() < CHECKED_EVERY && !login.access.may_have_ended() {
            return Ok(());
        }
        login.checked_at = Instant::now();
        match login.access.is_valid().await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.login = None;
                self.selected = None;
                Err("Please log in again")
            }
            // Where the directory is away nobody new is let in; who is in stays.
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a login was not checked again");
                Ok(())
            }
        }
    }
}

const CHECKED_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// What a client is told that is not let in.
fn refusal(why: Why) -> Status {
    match why {
        Why::NoMechanism => Status::no("That mechanism is not to be had here").with(Code::Cannot),
        Why::Refused(error) => answers::refusal(error),
        Why::Failed(
            failure @ (Failure::Cancelled | Failure::NotBase64 | Failure::Fault(Fault::Malformed)),
        ) => Status::bad("").with_text(failure.to_string()),
        Why::Failed(failure @ Failure::Fault(Fault::AnotherName | Fault::Binding | Fault::Refused)) => {
            Status::no("").with_text(failure.to_string()).with(Code::AuthenticationFailed)
        }
    }
}
