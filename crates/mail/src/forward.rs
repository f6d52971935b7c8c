//! Mail that goes on: to the members of a group who are elsewhere, and back to a sender for whom we once did that.
//!
//! What goes on has the group's `Delivered-To:` in front, by which a mail that comes around again is known.

use bytes::{BufMut as _, Bytes, BytesMut};
use memchr::memchr_iter;
use storage::queue::QueueBody;
use storage::{NewQueueEntry, NewRecipient, Origin, QueueEntry};
use types::{AccountId, EmailAddress, Notify, QueueId, RecipientTerms, ShardId, Terms, Timestamp};

use crate::deliver::{Deliver, id_of};
use crate::recipient::{Expansion, Return};
use crate::{Error, Result, Service, srs};

/// A mail and what was asked for it, on its way to others.
pub(crate) struct Onward<'a> {
    pub(crate) raw: &'a Bytes,
    pub(crate) return_path: Option<&'a EmailAddress>,
    pub(crate) terms: &'a Terms,
    /// Of the recipient that leads further.
    pub(crate) recipient: &'a RecipientTerms,
    /// Where the entry will be, and whose it is.
    pub(crate) shard: ShardId,
    pub(crate) account: AccountId,
}

const DELIVERED_TO: &str = "Delivered-To";
const TLS_REQUIRED: &str = "TLS-Required";

/// The terms with what the mail's own header asks for: exactly one `TLS-Required: No` (RFC 8689 §3), if the envelope does
/// not ask for the opposite.
pub(crate) fn as_written(mut terms: Terms, raw: &[u8]) -> Terms {
    let mut said = values(raw, TLS_REQUIRED);
    let is_no = said.next().is_some_and(|value| value.eq_ignore_ascii_case("no")) && said.next().is_none();
    terms.tls_optional = is_no && !terms.require_tls;
    terms
}

impl Service {
    /// Refuses a mail that the group has sent on before.
    pub(crate) fn no_circle(raw: &[u8], group: &Expansion) -> Result<()> {
        let address = group.address.key();
        if values(raw, DELIVERED_TO).any(|value| types::address::key_of(value) == address) {
            return Err(Error::Circle);
        }
        Ok(())
    }

    /// The entry for a group's members who are elsewhere, if there are any.
    pub(crate) async fn sent_on(
        &self,
        group: &Expansion,
        onward: &Onward<'_>,
    ) -> Result<Option<NewQueueEntry>> {
        if group.elsewhere.is_empty() {
            return Ok(None);
        }
        let return_path = match onward.return_path {
            // Whoever is here can be told by their own address.
            Some(sender) if self.parts.directory.domain(sender.domain()).await?.is_none() => {
                let key = self.srs_key().await?;
                let domain = group.address.domain();
                srs::rewritten(&key, sender, domain, self.now()).or_else(|| Some(sender.clone()))
            }
            other => other.cloned(),
        };
        // RFC 3461 §5.2.7.3: that it arrived at the group is told here; of the members nobody is told that.
        let notify = onward.recipient.notify.map(|notify| Notify { success: false, ..notify });
        let recipient = |address: &EmailAddress| NewRecipient {
            address: address.clone(),
            terms: RecipientTerms { notify, original: onward.recipient.original.clone() },
        };
        let recipients = group.elsewhere.iter().map(recipient).collect();
        let field = format!("{DELIVERED_TO}: {}\r\n", group.address);
        self.onward(onward, &field, return_path, recipients).await.map(Some)
    }

    /// The entry for what goes back to a sender.
    pub(crate) async fn sent_back(&self, back: &Return, onward: &Onward<'_>) -> Result<NewQueueEntry> {
        let to = NewRecipient { address: back.sender.clone(), terms: onward.recipient.clone() };
        self.onward(onward, "", onward.return_path.cloned(), vec![to]).await
    }

    async fn onward(
        &self,
        onward: &Onward<'_>,
        field: &str,
        return_path: Option<EmailAddress>,
        recipients: Vec<NewRecipient>,
    ) -> Result<NewQueueEntry> {
        let now = self.now();
        let raw = with_field(onward.raw, field);
        let prepared = self.prepare(onward.shard, raw).await?;
        Ok(NewQueueEntry {
            account: onward.account,
            id: QueueId::at(now, self.random_bytes()),
            message: None,
            body: QueueBody::Own(prepared.body),
            return_path,
            recipients,
            terms: as_written(onward.terms.clone(), onward.raw),
            origin: Origin::Relay,
            created_at: now,
            not_before: now,
            expires_at: now.plus(self.config().queue_lifetime),
        })
    }

    /// Sends a queued mail on to a group's members, those here and those elsewhere. Running twice adds nothing to the
    /// mailboxes here, and an entry that is still there is not added again.
    pub async fn expand_queued(&self, entry: &QueueEntry, raw: Bytes, group: &Expansion) -> Result<()> {
        Self::no_circle(&raw, group)?;
        let recipient = terms_for(entry, &group.address);
        if !group.accounts.is_empty() {
            let accounts: Vec<_> = group.accounts.iter().map(|(_, account)| *account).collect();
            for (_, delivered) in self.deliver_queued(entry, raw.clone(), &accounts).await? {
                delivered?;
            }
        }
        let onward = self.queued_onward(entry, &raw, &recipient, group.owner);
        let Some(mut sent_on) = self.sent_on(group, &onward).await? else { return Ok(()) };
        sent_on.id = again(entry, &group.address.key());
        self.queue_once(onward.shard, sent_on).await
    }

    /// Sends a queued mail back to the sender for whom its recipient stands.
    pub async fn return_queued(
        &self,
        entry: &QueueEntry,
        raw: Bytes,
        to: &EmailAddress,
        back: &Return,
    ) -> Result<()> {
        let recipient = terms_for(entry, to);
        let onward = self.queued_onward(entry, &raw, &recipient, back.keeper);
        let mut sent_back = self.sent_back(back, &onward).await?;
        sent_back.id = again(entry, &to.key());
        self.queue_once(onward.shard, sent_back).await
    }

    fn queued_onward<'a>(
        &self,
        entry: &'a QueueEntry,
        raw: &'a Bytes,
        recipient: &'a RecipientTerms,
        account: AccountId,
    ) -> Onward<'a> {
        let shard = self.shard_of(account);
        let return_path = entry.return_path.as_ref();
        Onward { raw, return_path, terms: &entry.terms, recipient, shard, account }
    }

    async fn queue_once(&self, shard: ShardId, entry: NewQueueEntry) -> Result<()> {
        if self.latest(entry.account).await?.queue_entry(entry.account, entry.id).await?.is_some() {
            return Ok(());
        }
        self.write(shard, Deliver { messages: Vec::new(), filed: Vec::new(), queued: vec![entry] }).await?;
        Ok(())
    }
}

/// What is asked for this recipient.
fn terms_for(entry: &QueueEntry, address: &EmailAddress) -> RecipientTerms {
    let known = entry.recipients.iter().find(|known| known.address.key() == address.key());
    known.map(|known| known.terms.clone()).unwrap_or_default()
}

/// The same id each time.
fn again(entry: &QueueEntry, address: &str) -> QueueId {
    let at: Timestamp = entry.created_at;
    QueueId(id_of(format!("{}/{address}", entry.id).as_bytes(), at).0)
}

/// The mail with this field in front, without the `Return-Path:` that is only for who keeps it (RFC 5321 §4.4).
fn with_field(raw: &Bytes, field: &str) -> Bytes {
    let mut rest = raw.clone();
    if name_is(&rest, "Return-Path")
        && let Some(end) = memchr_iter(b'\n', &rest).find(|end| !continues(&rest, end + 1))
    {
        rest = rest.slice(end + 1..);
    }
    if field.is_empty() {
        return rest;
    }
    let mut all = BytesMut::with_capacity(field.len() + rest.len());
    all.put_slice(field.as_bytes());
    all.put_slice(&rest);
    all.freeze()
}

fn continues(raw: &[u8], at: usize) -> bool {
    matches!(raw.get(at), Some(b' ' | b'\t'))
}

fn name_is(line: &[u8], name: &str) -> bool {
    let (found, rest) = line.split_at_checked(name.len()).unwrap_or_default();
    found.eq_ignore_ascii_case(name.as_bytes()) && rest.trim_ascii_start().starts_with(b":")
}

/// The values of the header's fields of this name, those on one line.
fn values<'a>(raw: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a str> {
    raw.split(|&byte| byte == b'\n')
        .take_while(|line| !line.is_empty() && *line != b"\r")
        .filter(move |line| name_is(line, name))
        .filter_map(|line| line.split(|&byte| byte == b':').nth(1))
        .filter_map(|value| std::str::from_utf8(value).ok())
        .map(|value| value.trim().trim_matches(['<', '>']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_has_no_return_path_and_says_from_where() {
        let check = |raw: &str, field: &str, wanted: &str| {
            let raw = Bytes::copy_from_slice(raw.as_bytes());
            assert_eq!(with_field(&raw, field), wanted.as_bytes());
        };
        check("Return-Path: <a@b>\r\nTo: x\r\n\r\n", "D: g\r\n", "D: g\r\nTo: x\r\n\r\n");
        check("return-path:\r\n\t<a@b>\r\nTo: x\r\n\r\n", "", "To: x\r\n\r\n");
        check("To: x\r\nReturn-Path: <a@b>\r\n\r\n", "", "To: x\r\nReturn-Path: <a@b>\r\n\r\n");
    }

    #[test]
    fn a_mail_may_say_that_it_needs_no_tls() {
        let check = |raw: &str, require_tls, wanted| {
            let terms = as_written(Terms { require_tls, ..Terms::default() }, raw.as_bytes());
            assert_eq!(terms, Terms { require_tls, tls_optional: wanted, ..Terms::default() }, "{raw}");
        };
        check("Subject: x\r\nTLS-Required: No\r\n\r\n", false, true);
        check("tls-required:no\n\n", false, true);
        check("TLS-Required: No\r\n\r\n", true, false);
        check("TLS-Required: Yes\r\n\r\n", false, false);
        check("TLS-Required: No\r\nTLS-Required: No\r\n\r\n", false, false);
        check("Subject: x\r\n\r\nTLS-Required: No\r\n", false, false);
    }

    #[test]
    fn only_the_header_tells_where_it_was() {
        let raw =
            b"Delivered-To: one@x.test\r\nDELIVERED-TO: <Two@x.test>\r\n\r\nDelivered-To: three@x.test\r\n";
        let found: Vec<_> = values(raw, DELIVERED_TO).collect();
        assert_eq!(found, ["one@x.test", "Two@x.test"]);
    }
}
