//! Delivery by SMTP: host after host, recipient by recipient.
//!
//! An attempt moves on to the next address while nothing was handed over: no connection, an unwilling greeting, 421, a
//! connection that broke before the data. Once the data went out and no answer came, another host must not get
//! it as well: the outcome is deferred.

mod connection;
mod exchange;
mod tls;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use rustls::ClientConfig;
use types::EmailAddress;

use crate::{Class, Outcome, Reply, Target};
use connection::Connection;

/// Who sends what to whom, RFC 5321 §2.3.1.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// `None`: the null return path `<>`.
    pub return_path: Option<EmailAddress>,
    /// Recipients that the same hosts are responsible for; they go in one transaction.
    pub recipients: Vec<EmailAddress>,
    /// The mail as it is sent, without Bcc.
    pub body: Bytes,
}

/// Carries mail to other servers.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Tries the targets in order; an outcome for each recipient.
    async fn deliver(&self, targets: &[Target], envelope: &Envelope) -> Vec<(EmailAddress, Outcome)>;
}

/// How SMTP is spoken to other servers.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    /// What we call ourselves in EHLO: a name that resolves to us.
    pub hello: String,
    /// How long each step may take, RFC 5321 §4.5.3.2.
    pub timeouts: Timeouts,
}

/// Time limits of the steps of a delivery.
#[derive(Debug, Clone)]
pub struct Timeouts {
    pub connect: Duration,
    /// For the greeting, for TLS, and for each reply.
    pub command: Duration,
    /// For each piece of data to be taken.
    pub data_block: Duration,
    /// For the reply to the final dot.
    pub data_done: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(30),
            command: seconds(300),
            data_block: seconds(180),
            data_done: seconds(600),
        }
    }
}

/// The courier that speaks SMTP.
pub struct SmtpCourier {
    config: SmtpConfig,
    tls: Arc<ClientConfig>,
}

/// What a host did with a transaction's recipients, or why it did nothing.
enum Attempt {
    Settled(Vec<(EmailAddress, Outcome)>),
    /// Nothing was handed over; another address may be tried with all recipients.
    NotHere(Reply),
}

impl SmtpCourier {
    /// Fails if the TLS library cannot be set up.
    pub fn new(config: SmtpConfig) -> Result<Self, rustls::Error> {
        Ok(Self { config, tls: Arc::new(tls::unverified()?) })
    }

    /// Delivers to one address, as far as it goes.
    async fn deliver_to(&self, target: &Target, envelope: &Envelope) -> Attempt {
        let mut connection = match self.connect(target).await {
            Ok(connection) => connection,
            Err(reply) => return Attempt::NotHere(reply),
        };
        let attempt = exchange::transact(&mut connection, envelope).await;
        if matches!(attempt, Attempt::Settled(_)) {
            connection.quit().await;
        }
        attempt
    }

    /// Connects and says hello; encrypted where the host offers it and can do it (RFC 3207, RFC 7435).
    async fn connect(&self, target: &Target) -> Result<Connection, Reply> {
        let mut connection = Connection::open(target, &self.config).await?;
        connection.hello().await?;
        if !connection.offers("STARTTLS") {
            return Ok(connection);
        }
        match connection.start_tls(&self.tls).await {
            Ok(encrypted) => Ok(encrypted),
            Err(reason) => {
                tracing::info!(host = target.host, address = %target.address, %reason, "no TLS, going on without");
                let mut plain = Connection::open(target, &self.config).await?;
                plain.hello().await?;
                Ok(plain)
            }
        }
    }
}

#[async_trait]
impl Courier for SmtpCourier {
    async fn deliver(&self, targets: &[Target], envelope: &Envelope) -> Vec<(EmailAddress, Outcome)> {
        let mut last = None;
        for target in targets {
            match self.deliver_to(target, envelope).await {
                Attempt::Settled(outcomes) => return outcomes,
                Attempt::NotHere(reply) => {
                    tracing::info!(host = target.host, address = %target.address, %reply, "not delivered here");
                    // A host that refused for now weighs more than one that refused for good.
                    if last.as_ref().is_none_or(|last: &Reply| last.class() == Class::Permanent) {
                        last = Some(reply);
                    }
                }
            }
        }
        let reply = last.unwrap_or_else(|| Reply::ours("4.4.1", "There was no mail server to ask"));
        let outcome = reply.into_outcome();
        envelope.recipients.iter().map(|to| (to.clone(), outcome.clone())).collect()
    }
}
