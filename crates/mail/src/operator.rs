//! What operators do over the network: the queue, and nothing that reads anybody's mail.
//!
//! Whether somebody is an operator is decided here alone, and asked of the directory every time.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use storage::{QueueEntry, QueueFilter, QueueRecipient, RecipientState};
use types::queue::{QueuePage, QueuedMail, QueuedRecipient, QueuedRecipientState, QueuedState};
use types::{AccountId, QueueId, ShardId, Timestamp, address};
use uuid::Uuid;

use crate::admin::{QueueAction, check_host};
use crate::{Access, Admin, Error, Result};

/// The right to look after the queue. Whoever holds one has been found to be an operator.
#[derive(Debug)]
pub struct Operator {
    access: Access,
}

/// Which entries of the queue are wanted.
#[derive(Debug, Clone, Default)]
pub struct QueueQuery {
    /// Only mail that somebody at this domain is still to get.
    pub domain: Option<String>,
    pub state: Option<QueuedState>,
    /// [`QueuePage::next`] of the page before.
    pub cursor: Option<String>,
    /// At most this many; no more than pages of messages have.
    pub limit: Option<u32>,
}

/// The last entry that was looked at, in the order of a shard.
type Last = (AccountId, QueueId);

/// Entries read at once.
const READ: u32 = 200;
/// Entries looked at for one page.
const LOOKED_AT: usize = 2_000;

impl Access {
    /// The operator that this is, if the command line has made it one.
    pub async fn operator(self) -> Result<Operator> {
        if self.service.parts.directory.is_admin(self.id).await? {
            Ok(Operator { access: self })
        } else {
            Err(Error::Forbidden("this is for administrators".to_owned()))
        }
    }
}

impl Operator {
    /// A page of the queues of all shards, shard by shard; those that do not answer are named instead, on each page from
    /// then on.
    pub async fn queue(&self, query: &QueueQuery) -> Result<QueuePage> {
        let limit = usize::try_from(self.access.page_limit(query.limit)?).unwrap_or(usize::MAX);
        let Cursor { shard: first, mut after, mut away } = match &query.cursor {
            Some(cursor) => decode(cursor)?,
            None => Cursor { shard: ShardId(0), after: None, away: Vec::new() },
        };
        let wanted = Wanted {
            domain: query.domain.as_deref().map(address::domain_key),
            state: query.state,
            now: self.now(),
        };
        let shards = &self.access.service.parts.shards;
        let (mut entries, mut looked_at) = (Vec::new(), 0);
        for shard in shards.all().into_iter().filter(|shard| *shard >= first) {
            after = after.filter(|_| shard == first);
            loop {
                let filter = QueueFilter { account: None, after, limit: READ };
                let read = async { shards.snapshot(shard).await?.queue(&filter).await };
                let read = match read.await {
                    Ok(read) => read,
                    // Nobody should have to do without the others.
                    Err(error @ storage::Error::Unavailable(_)) => {
                        tracing::warn!(%shard, %error, "the queue of a shard cannot be listed");
                        away.push(shard.0);
                        break;
                    }
                    Err(error) => return Err(error.into()),
                };
                let is_last = read.len() < usize::try_from(READ).unwrap_or(usize::MAX);
                for entry in read {
                    looked_at += 1;
                    after = Some((entry.account, entry.id));
                    // What moved away may be left here for a while.
                    if shards.shard_of(entry.account) == shard && wanted.fits(&entry) {
                        entries.push(view(&entry, wanted.now));
                    }
                    if entries.len() == limit || looked_at == LOOKED_AT {
                        let next = encode(&Cursor { shard, after, away: away.clone() });
                        return Ok(QueuePage { entries, next: Some(next), away });
                    }
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(QueuePage { entries, next: None, away })
    }

    pub async fn queue_entry(&self, id: QueueId) -> Result<QueuedMail> {
        Ok(view(&self.admin().queue_entry(id).await?, self.now()))
    }

    /// Does this to an entry; who did it is in the log.
    pub async fn queue_action(&self, id: QueueId, action: QueueAction) -> Result<()> {
        if let QueueAction::Reroute(Some(host)) = &action {
            self.check_relay(host)?;
        }
        let what = format!("{action:?}");
        self.admin().queue_action(id, action).await?;
        tracing::info!(operator = %self.access.id, entry = %id, action = what, "an operator changed the queue");
        Ok(())
    }

    /// Whoever runs a host reads what is sent by it. An operator sees no mail, so where it goes is not theirs to say alone.
    fn check_relay(&self, host: &str) -> Result<()> {
        check_host(host)?;
        let known = &self.access.service.config().relays;
        if known.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        let detail = format!(
            "{host} is none of the hosts that the configuration sends mail by (smtp.relay, smtp.routes)"
        );
        Err(Error::Forbidden(detail))
    }

    fn admin(&self) -> Admin {
        self.access.service.admin()
    }

    fn now(&self) -> Timestamp {
        self.access.service.now()
    }
}

struct Wanted {
    domain: Option<String>,
    state: Option<QueuedState>,
    now: Timestamp,
}

impl Wanted {
    fn fits(&self, entry: &QueueEntry) -> bool {
        let is_for = |domain: &String| {
            let mut pending = entry.recipients.iter().filter(|to| to.state == RecipientState::Pending);
            pending.any(|to| to.address.domain_key() == *domain)
        };
        self.state.is_none_or(|wanted| state(entry, self.now) == wanted) && self.domain.iter().all(is_for)
    }
}

fn state(entry: &QueueEntry, now: Timestamp) -> QueuedState {
    if entry.is_sending(now) {
        QueuedState::Sending
    } else if entry.held {
        QueuedState::Held
    } else {
        QueuedState::Waiting
    }
}

fn view(entry: &QueueEntry, now: Timestamp) -> QueuedMail {
    QueuedMail {
        id: entry.id,
        account: entry.account,
        state: state(entry, now),
        sender: entry.return_path.as_ref().map(ToString::to_string),
        size: entry.size_bytes,
        created_at: entry.created_at,
        expires_at: entry.expires_at,
        next_attempt_at: entry.next_attempt_at,
        via: entry.via.clone(),
        priority: entry.terms.priority.value(),
        require_tls: entry.terms.require_tls,
        recipients: entry.recipients.iter().map(view_recipient).collect(),
    }
}

fn view_recipient(to: &QueueRecipient) -> QueuedRecipient {
    let state = match to.state {
        RecipientState::Pending => QueuedRecipientState::Pending,
        RecipientState::Delivered => QueuedRecipientState::Delivered,
        RecipientState::Failed => QueuedRecipientState::Failed,
    };
    QueuedRecipient {
        address: to.address.to_string(),
        state,
        attempts: to.attempts,
        next_attempt_at: (to.state == RecipientState::Pending).then_some(to.next_attempt_at),
        reply: to.reply.clone(),
    }
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    shard: ShardId,
    after: Option<Last>,
    /// The shards that the pages before lack.
    away: Vec<u16>,
}

/// Apart from cursors of messages, which are shorter.
const VERSION: u8 = 2;
const CURSOR_BYTES: usize = 1 + 2 + 8 + 16;

fn encode(cursor: &Cursor) -> String {
    let (account, id) = cursor.after.unwrap_or((AccountId(i64::MIN), QueueId(Uuid::nil())));
    let mut bytes = Vec::with_capacity(CURSOR_BYTES + 2 * cursor.away.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&cursor.shard.0.to_be_bytes());
    bytes.extend_from_slice(&account.0.to_be_bytes());
    bytes.extend_from_slice(id.0.as_bytes());
    bytes.extend(cursor.away.iter().flat_map(|shard| shard.to_be_bytes()));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(cursor: &str) -> Result<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Error::Cursor)?;
    let (place, away) = bytes.split_first_chunk::<CURSOR_BYTES>().ok_or(Error::Cursor)?;
    let [VERSION, s0, s1, a0, a1, a2, a3, a4, a5, a6, a7, id @ ..] = *place else {
        return Err(Error::Cursor);
    };
    let (away, []) = away.as_chunks() else { return Err(Error::Cursor) };
    let account = AccountId(i64::from_be_bytes([a0, a1, a2, a3, a4, a5, a6, a7]));
    Ok(Cursor {
        shard: ShardId(u16::from_be_bytes([s0, s1])),
        after: Some((account, QueueId(Uuid::from_bytes(id)))),
        away: away.iter().map(|shard| u16::from_be_bytes(*shard)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_cursors_are_read() {
        let after = Some((AccountId(7), QueueId::at(Timestamp::from_millis(5), [9; 10])));
        for away in [vec![], vec![2, 5]] {
            let place = Cursor { shard: ShardId(3), after, away };
            let cursor = encode(&place);
            assert_eq!(decode(&cursor).unwrap(), place);
            for bad in ["", "x", "AAAA", "!!", &cursor[1..], &format!("{cursor}A")] {
                assert!(matches!(decode(bad), Err(Error::Cursor)), "{bad}");
            }
        }
        let half_a_shard = format!("{}AA", encode(&Cursor { shard: ShardId(3), after, away: Vec::new() }));
        assert!(matches!(decode(&half_a_shard), Err(Error::Cursor)));
    }
}
