//! CAPABILITY, ID, and who is let in: LOGIN, AUTHENTICATE, UNAUTHENTICATE, ENABLE.

use ::sasl::Fault;
use imap::wire::Enabled;
use imap::{Code, State, Status};
use mail::Client;
use tokio::time::Instant;
use types::Secret;

use super::answers;
use super::session::{Answer, Features, Login, Session};
use crate::sasl;

/// What the next answer to a challenge is.
pub(super) enum Exchange {
    Plain,
}

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
        let client = Client { ip: Some(self.client), name: "IMAP".to_owned() };
        let access = self.mail.authenticate(user, password, &client).await.map_err(answers::refusal)?;
        let hints = access.subscribe();
        self.login = Some(Login { access, hints, checked_at: Instant::now(), woken: false });
        self.engine.enter(State::Authenticated);
        let capabilities = self.engine.capabilities().to_owned();
        Ok(Status::ok("Welcome").with(Code::Capability(capabilities)))
    }

    pub(super) async fn authenticate(&mut self, mechanism: &str, initial: Option<Secret>) -> Option<Answer> {
        if mechanism != "PLAIN" {
            return Some(Err(Status::no("That mechanism is not to be had here").with(Code::Cannot)));
        }
        match initial {
            Some(initial) => Some(self.plain(initial.expose().as_bytes()).await),
            None => {
                self.exchange = Some(Exchange::Plain);
                self.engine.challenge("");
                None
            }
        }
    }

    /// The answer to a challenge.
    pub(super) async fn response(&mut self, response: Option<Vec<u8>>) -> Answer {
        match (self.exchange.take(), response) {
            (Some(Exchange::Plain), Some(response)) => self.plain(&response).await,
            (_, None) => Err(Status::bad("Given up")),
            (None, Some(_)) => Err(Status::bad("Nothing was asked")),
        }
    }

    async fn plain(&mut self, response: &[u8]) -> Answer {
        let (user, password) = sasl::plain(response).map_err(|fault| match fault {
            Fault::AnotherName => {
                Status::no("Nobody may act for another here").with(Code::AuthenticationFailed)
            }
            _ => Status::bad("Not what the mechanism says"),
        })?;
        self.log_in(&user, &password).await
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

    /// Makes sure, once in a while, that who logged in still may: the password may have been changed, or the account
    /// closed.
    pub(super) async fn still_allowed(&mut self) -> Result<(), &'static str> {
        let Some(login) = &mut self.login else { return Ok(()) };
        if login.checked_at.elapsed() < CHECKED_EVERY {
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
