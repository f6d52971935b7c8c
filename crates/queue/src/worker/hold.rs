//! A mail for some of its recipients, fetched when a host is there to take it.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use storage::{QueueEntry, QueueRecipient};
use tokio::sync::OwnedSemaphorePermit;
use types::EmailAddress;

use super::{
    Worker,
    attempt::{Fate, Fates, Loaded, all},
};
use crate::{Cargo, Envelope, courier::Deadline};

/// What waits for a destination needs neither memory nor room among those who are sending.
pub(super) struct Hold<'a> {
    worker: &'a Worker,
    entry: &'a QueueEntry,
    pub(super) recipients: Vec<EmailAddress>,
    loaded: tokio::sync::Mutex<Option<Held>>,
    /// Why it could not be fetched.
    fate: Mutex<Option<Fate>>,
}

struct Held {
    loaded: Loaded,
    room: OwnedSemaphorePermit,
}

impl<'a> Hold<'a> {
    pub(super) fn new(worker: &'a Worker, entry: &'a QueueEntry, recipients: Vec<EmailAddress>) -> Self {
        Self { worker, entry, recipients, loaded: tokio::sync::Mutex::default(), fate: Mutex::default() }
    }

    /// The room that the mail has taken among those who are sending, if it got so far. The mail itself is let go.
    pub(super) fn take_room(&mut self) -> Option<OwnedSemaphorePermit> {
        self.loaded.get_mut().take().map(|held| held.room)
    }

    /// The fates of a mail that could not be fetched.
    pub(super) fn into_fates(self) -> Fates {
        let fate = self.fate.into_inner().unwrap_or_else(PoisonError::into_inner);
        all(self.recipients, &fate.unwrap_or(Fate::Untouched))
    }

    async fn fetch(&self) -> Result<Held, Fate> {
        let room = self.worker.until_shutdown(self.worker.0.groups.room()).await.flatten();
        let room = room.ok_or(Fate::Untouched)?;
        let mut loaded = self.worker.load(self.entry).await?;
        loaded.mail = self.worker.signed(self.entry, loaded.mail).await?;
        Ok(Held { loaded, room })
    }
}

#[async_trait]
impl Cargo for Hold<'_> {
    async fn load(&self) -> Option<Envelope> {
        let mut held = self.loaded.lock().await;
        if held.is_none() {
            match self.fetch().await {
                Ok(fetched) => *held = Some(fetched),
                Err(fate) => {
                    *self.fate.lock().unwrap_or_else(PoisonError::into_inner) = Some(fate);
                    return None;
                }
            }
        }
        let held = held.as_ref()?;
        let wanted = |to: &&QueueRecipient| self.recipients.contains(&to.address);
        let known = self.entry.recipients.iter().filter(wanted);
        let now = self.worker.0.mail.now();
        let by = self.entry.terms.deliver_by.map(|by| Deadline {
            seconds: (by.at.millis() - now.millis()).div_euclid(1_000),
            late: by.late,
            trace: by.trace,
        });
        Some(Envelope {
            terms: self.entry.terms.clone(),
            wishes: known.map(|to| (to.address.clone(), to.terms.clone())).collect(),
            by,
            return_path: self.entry.return_path.clone(),
            recipients: self.recipients.clone(),
            body: held.loaded.mail.clone(),
        })
    }
}
