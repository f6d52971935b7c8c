//! What other servers say became of mail that we handed to them: it is noted with the Sent copy, so that its sender sees
//! it. The mail is known by the ENVID that we gave with it, or by its Message-ID; both are random.

use async_trait::async_trait;
use bytes::Bytes;
use message::{Bounce, BounceAction, BouncedRecipient, Parsed, RefHash};
use storage::{Message, Needs, Result as StorageResult, Transaction, Unit};
use types::{
    AccountId, EmailAddress, MessageId,
    address::key_of,
    api::{Delivery, DeliveryState},
};

use crate::Service;

/// Messages of a conversation that are looked through.
const LOOKED_AT: u32 = 100;

impl Service {
    /// Notes what a mail says, if it is a notification: those have the null return path.
    pub(crate) async fn note_bounce(
        &self,
        return_path: Option<&EmailAddress>,
        raw: &Bytes,
        parsed: &Parsed,
        accounts: &[AccountId],
    ) {
        if return_path.is_some() {
            return;
        }
        let Some(bounce) = Bounce::read(raw, parsed) else { return };
        for account in accounts {
            let note = Note { account: *account, bounce: bounce.clone() };
            if let Err(error) = self.write(self.shard_of(*account), note).await {
                tracing::warn!(%account, error = ?error, "what a notification says is not noted");
            }
        }
    }
}

struct Note {
    account: AccountId,
    bounce: Bounce,
}

#[async_trait]
impl Unit for Note {
    type Output = ();

    fn needs(&self) -> Needs {
        let refs = self.hash().map(|hash| (self.account, hash)).into_iter().collect();
        Needs { accounts: vec![self.account], refs, ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        let Some(sent) = self.sent_copy(tx).await? else { return Ok(()) };
        let delivery = noted(&sent.delivery, &self.bounce.recipients);
        if delivery == sent.delivery {
            return Ok(());
        }
        tx.set_delivery(self.account, sent.id, &delivery).await
    }
}

impl Note {
    fn hash(&self) -> Option<storage::RefHash> {
        self.bounce.message_id.as_deref().map(|id| RefHash::of(id).0)
    }

    async fn sent_copy(&self, tx: &mut dyn Transaction) -> StorageResult<Option<Message>> {
        let is_about = |message: &Message| {
            let mut recipients = self.bounce.recipients.iter();
            recipients.any(|told| message.delivery.iter().any(|known| is_same(known, told)))
        };
        let named = self.bounce.envelope_id.as_deref().and_then(|id| id.parse::<MessageId>().ok());
        if let Some(id) = named {
            let found = tx.messages(self.account, &[id]).await?;
            if let Some(sent) = found.into_iter().find(is_about) {
                return Ok(Some(sent));
            }
        }
        let Some(hash) = self.hash() else { return Ok(None) };
        let threads = tx.threads(self.account, &[hash]).await?;
        let Some((_, thread)) = threads.into_iter().next() else { return Ok(None) };
        let messages = tx.thread(self.account, thread, LOOKED_AT).await?;
        Ok(messages.into_iter().rev().find(is_about))
    }
}

fn is_same(known: &Delivery, told: &BouncedRecipient) -> bool {
    let known = key_of(&known.recipient);
    told.addresses.iter().any(|address| key_of(address) == known)
}

/// With what is told of recipients whose mail has left us; what we are still trying ourselves we know better.
fn noted(known: &[Delivery], told: &[BouncedRecipient]) -> Vec<Delivery> {
    let mut noted = known.to_vec();
    for known in &mut noted {
        let has_left = match known.state {
            DeliveryState::Delivered => true,
            DeliveryState::Deferred => known.next_attempt_at.is_none(),
            DeliveryState::Queued | DeliveryState::Failed => false,
        };
        let Some(told) = told.iter().find(|told| has_left && is_same(known, told)) else { continue };
        known.state = match told.action {
            BounceAction::Failed => DeliveryState::Failed,
            BounceAction::Delayed => DeliveryState::Deferred,
            BounceAction::Delivered | BounceAction::Relayed => DeliveryState::Delivered,
        };
        known.reply = Some(said(told));
    }
    noted
}

/// Its words, and who said them.
fn said(told: &BouncedRecipient) -> String {
    let words = told.diagnostic.as_deref().unwrap_or(&told.status);
    match &told.remote_mta {
        Some(host) => format!("{words} ({host})"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_left_us_is_told_by_others() {
        use DeliveryState::{Deferred, Delivered, Failed, Queued};
        let told = |action| BouncedRecipient {
            addresses: vec!["Bob@There.test".to_owned()],
            action,
            status: "5.2.2".to_owned(),
            diagnostic: Some("552 5.2.2 Mailbox full".to_owned()),
            remote_mta: Some("mx.there.test".to_owned()),
        };
        let trying = Some(types::Timestamp::from_seconds(1));
        for (state, next_attempt_at, action, expected) in [
            (Delivered, None, BounceAction::Failed, Failed),
            (Delivered, None, BounceAction::Delayed, Deferred),
            (Deferred, None, BounceAction::Delivered, Delivered),
            (Deferred, None, BounceAction::Failed, Failed),
            (Deferred, trying, BounceAction::Failed, Deferred),
            (Queued, None, BounceAction::Failed, Queued),
            (Failed, None, BounceAction::Delivered, Failed),
        ] {
            let known =
                Delivery { recipient: "bob@there.test".to_owned(), state, reply: None, next_attempt_at };
            let other = Delivery { recipient: "carol@there.test".to_owned(), ..known.clone() };
            let noted = noted(&[known, other.clone()], &[told(action)]);
            assert_eq!(noted[0].state, expected);
            assert_eq!(noted[1], other);
            if noted[0].state != state {
                assert_eq!(noted[0].reply.as_deref(), Some("552 5.2.2 Mailbox full (mx.there.test)"));
            }
        }
    }
}
