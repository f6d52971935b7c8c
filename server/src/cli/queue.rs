//! `magpie queue`.

use clap::Subcommand;
use mail::admin::QueueAction;
use storage::{QueueEntry, RecipientState};
use types::{QueueId, Timestamp};

use super::out::say;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// List mails on their way
    List {
        /// At most this many of each shard
        #[arg(long, default_value_t = 1000)]
        limit: u32,
    },
    /// Show a mail's recipients and how they fare
    Show { id: QueueId },
    /// Try all pending recipients now
    Retry { id: QueueId },
    /// Do not try until released
    Hold { id: QueueId },
    /// Let a held mail go
    Release { id: QueueId },
    /// Send a mail by way of another host, now
    Reroute {
        id: QueueId,
        /// Like relay.example.com:25; none: where its recipients' domains say
        host: Option<String>,
    },
    /// Remove a mail from the queue; its sender sees so in their Sent folder, and nobody gets a notification
    Drop { id: QueueId },
}

impl Queue {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let parts = super::open(config).await?;
        let admin = parts.mail.admin();
        let now = parts.clock.now();
        let (id, action, done) = match self {
            Self::List { limit } => {
                let (entries, absent) = admin.queue_there(limit).await?;
                for entry in entries {
                    say!("{}", line(&entry, now))?;
                }
                return super::complete(&absent);
            }
            Self::Show { id } => {
                return show(&admin.queue_entry(id).await?, now);
            }
            Self::Retry { id } => (id, QueueAction::Retry, "is tried now"),
            Self::Hold { id } => (id, QueueAction::Hold, "is held"),
            Self::Release { id } => (id, QueueAction::Release, "is released"),
            Self::Reroute { id, host } => (id, QueueAction::Reroute(host), "goes another way"),
            Self::Drop { id } => (id, QueueAction::Drop, "is dropped"),
        };
        admin.queue_action(id, action).await?;
        // Before this process ends, so that workers elsewhere hear of it now.
        parts.mail.bus().sent().await;
        say!("{id} {done}.")?;
        Ok(())
    }
}

fn line(entry: &QueueEntry, now: Timestamp) -> String {
    let pending: Vec<_> = entry
        .recipients
        .iter()
        .filter(|recipient| recipient.state == RecipientState::Pending)
        .map(|recipient| recipient.address.to_string())
        .collect();
    let state = match entry {
        entry if entry.is_sending(now) => "sending".to_owned(),
        QueueEntry { held: true, .. } => "held".to_owned(),
        entry => format!("next {}", entry.next_attempt_at),
    };
    format!("{}\t{}\t{} bytes\t{state}\t{}", entry.id, sender(entry), entry.size_bytes, pending.join(", "))
}

fn sender(entry: &QueueEntry) -> String {
    entry.return_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string)
}

fn show(entry: &QueueEntry, now: Timestamp) -> anyhow::Result<()> {
    say!("id:       {}", entry.id)?;
    say!("from:     {}", sender(entry))?;
    say!("size:     {} bytes", entry.size_bytes)?;
    say!("created:  {}", entry.created_at)?;
    say!("gives up: {}", entry.expires_at)?;
    if entry.is_sending(now) {
        say!("sending:  yes")?;
    }
    if entry.held {
        say!("held:     yes")?;
    }
    if let Some(via) = &entry.via {
        say!("via:      {via}")?;
    }
    if entry.terms.priority.value() != 0 {
        say!("priority: {}", entry.terms.priority.value())?;
    }
    if entry.terms.require_tls {
        say!("requires: TLS all the way")?;
    }
    for recipient in &entry.recipients {
        let state = match recipient.state {
            RecipientState::Pending => format!("pending, next attempt {}", recipient.next_attempt_at),
            RecipientState::Delivered => "delivered".to_owned(),
            RecipientState::Failed => "failed".to_owned(),
        };
        say!("to:       {} {state} ({} attempts)", recipient.address, recipient.attempts)?;
        if let Some(reply) = &recipient.reply {
            say!("          {reply}")?;
        }
    }
    Ok(())
}
