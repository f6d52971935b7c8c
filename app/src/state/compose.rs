//! How a mail is begun, put aside, taken up again and thrown away.

use leptos::{prelude::*, task::spawn_local};
use types::{
    Address, MessageId, Role,
    api::{Compose, Message, Summary},
};

use super::{
    Attached, Draft, Kept, Kind, Opened, Place, Store,
    answer::answer,
    attached::{InTab, carried},
};
use crate::{
    api::{Answer, Filter, SharedId},
    browser,
    i18n::Texts,
};

/// How many messages of a conversation are looked at for the one that a draft answers.
const LOOKED_AT: usize = 20;
/// How many of the newest sent messages are looked at for the one that was being sent.
const LOOKED_AT_SENT: u32 = 20;
/// By how many milliseconds the clocks of browser and server may differ.
const CLOCKS_APART: i64 = 60_000;

impl Store {
    /// Begins a mail. One that is being written already is kept among the drafts.
    pub(crate) fn compose(
        self,
        compose: Compose,
        attachments: Vec<Attached>,
        stored: Option<MessageId>,
    ) -> Draft {
        if let Some(open) = self.draft.get_untracked() {
            spawn_local(async move {
                if matches!(open.saving.get_untracked(), Kept::Changed | Kept::Failed) {
                    open.save(self).await;
                }
            });
        }
        let draft = self.owned(|| Draft::new(compose, attachments, stored));
        self.draft.set(Some(draft));
        draft
    }

    /// Begins an empty mail; or brings back the one that is being written.
    pub(crate) fn begin(self) {
        match self.draft.get_untracked() {
            Some(open) => open.minimised.set(false),
            None => {
                self.compose(Compose::default(), Vec::new(), None);
            }
        }
    }

    pub(crate) fn close_draft(self) {
        self.draft.set(None);
        if self.place.get_untracked() == Place::Compose {
            self.go(&Place::folder("inbox"));
        }
    }

    /// Closes the window; what was written stays among the drafts.
    pub(crate) fn put_draft_aside(self, draft: Draft) {
        for line in [draft.to, draft.cc, draft.bcc] {
            line.commit();
        }
        self.close_draft();
        if matches!(draft.saving.get_untracked(), Kept::Changed | Kept::Failed) {
            spawn_local(async move { draft.save(self).await });
        }
    }

    pub(crate) fn discard_draft(self, draft: Draft, texts: &Texts) {
        InTab::remove();
        self.close_draft();
        let was_written =
            draft.saving.get_untracked() != Kept::Untouched || draft.stored.get_untracked().is_some();
        if was_written {
            self.say(texts.discarded, None);
        }
        let api = self.api();
        spawn_local(async move {
            while draft.saving.get_untracked() == Kept::Saving {
                browser::sleep(50.0).await;
            }
            draft.saving.set(Kept::Saved);
            if let Some(id) = draft.stored.get_untracked() {
                self.forget(&[id]);
                if let Err(problem) = api.delete(id).await {
                    self.complain(&problem);
                }
            }
        });
    }

    /// Takes up what this tab was writing when it was closed or reloaded.
    pub(crate) fn restore_draft(self) {
        let Some(kept) = InTab::get() else { return };
        spawn_local(async move {
            if self.was_sent(&kept).await {
                return InTab::remove();
            }
            let InTab { mail, attached, moved, unfinished, sending_since } = kept;
            let stored = mail.replaces;
            let draft = self.compose(mail, attached, stored);
            draft.moved.set(moved);
            draft.sending_since.set(sending_since);
            draft.take_up(unfinished);
            draft.saving.set(Kept::Changed);
        });
    }

    /// Whether a mail that was being sent when the page was left has been: then it is in Sent.
    async fn was_sent(self, kept: &InTab) -> bool {
        let Some(since) = kept.sending_since else { return false };
        matches!(self.sent_since(&kept.mail, since).await, Ok(Some(_)))
    }

    /// The mail in Sent, if it has been sent since then, in milliseconds.
    pub(super) async fn sent_since(self, mail: &Compose, since: i64) -> Answer<Option<Summary>> {
        let Some(sent) = untrack(|| self.folder_of(Role::Sent)) else { return Ok(None) };
        let page = self.api().page(sent.id, None, LOOKED_AT_SENT, Filter::default()).await?;
        Ok(page.messages.into_iter().find(|message| is_sent_copy(message, mail, since)))
    }

    /// Goes on with a draft from the server.
    pub(crate) fn edit_draft(self, id: MessageId) {
        if self.draft.get_untracked().is_some_and(|draft| draft.stored.get_untracked() == Some(id)) {
            return;
        }
        let api = self.api();
        spawn_local(async move {
            let message = match api.message(id).await {
                Ok(message) => message,
                Err(problem) => return self.complain(&problem),
            };
            let (in_reply_to, forward_of) = self.begun_from(&message).await;
            let compose = Compose {
                to: message.summary.to.clone(),
                cc: message.cc.clone(),
                bcc: message.bcc.clone(),
                subject: message.summary.subject.clone(),
                text: Some(message.text.clone()),
                in_reply_to,
                forward_of,
                ..Compose::default()
            };
            let unfinished =
                InTab::get().filter(|kept| kept.mail.replaces == Some(id)).map(|kept| kept.unfinished);
            let draft = self.compose(compose, carried(&message, None), Some(id));
            if let Some(unfinished) = unfinished {
                draft.take_up(unfinished);
            }
            draft.saving.set(Kept::Saved);
        });
    }

    /// The messages that a draft answers and passes on: the one among the reader's own with the Message-ID that the draft
    /// names. Where there is none, as when somebody else shares it, the server keeps to what the draft names.
    async fn begun_from(self, draft: &Message) -> (Option<MessageId>, Option<MessageId>) {
        let Some(last) = draft.references.last() else { return (None, None) };
        let header = draft.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("In-Reply-To"));
        let answers = header.map(|(_, value)| value.trim().trim_matches(['<', '>']));
        let wanted = Some(answers.unwrap_or(last));
        let api = self.api();
        let thread = api.thread(draft.summary.thread_id).await.map(|thread| thread.messages);
        let mut others = thread.unwrap_or_default();
        untrack(|| others.retain(|known| !self.is_draft(known) && known.id != draft.summary.id));
        let mut found = None;
        for other in others.iter().rev().take(LOOKED_AT) {
            if let Ok(message) = api.message(other.id).await
                && message.message_id.as_deref() == wanted
            {
                found = Some(other.id);
                break;
            }
        }
        if answers.is_some() { (found, None) } else { (None, found) }
    }

    /// Begins an answer to a message, or passes it on.
    pub(crate) fn answer(self, id: MessageId, kind: Kind) {
        let opened = self.messages.with_untracked(|messages| messages.get(&id).cloned());
        let shared = self.place.with_untracked(Place::shared_id);
        if let Some(Opened::Ready(message)) = opened {
            self.begin_answer(&message, kind, shared);
            return;
        }
        let api = self.api();
        spawn_local(async move {
            let message = match shared {
                Some(folder) => api.shared_message(folder, id).await,
                None => api.message(id).await,
            };
            match message {
                Ok(message) => self.begin_answer(&message, kind, shared),
                Err(problem) => self.complain(&problem),
            }
        });
    }

    fn begin_answer(self, message: &Message, kind: Kind, shared: Option<SharedId>) {
        let me = self.account.get_untracked().email;
        let attachments = if kind == Kind::Forward { carried(message, shared) } else { Vec::new() };
        let mail = Compose { shared, ..answer(message, kind, &me, self.texts) };
        self.compose(mail, attachments, None);
    }

    /// The copy of a draft that has been replaced is gone.
    pub(super) fn forget_stored(self, id: Option<MessageId>) {
        self.forget(&id.into_iter().collect::<Vec<_>>());
    }

    /// Whom the reader has to do with: for completing addresses.
    pub(crate) fn correspondents(self, typed: &str) -> Vec<Address> {
        let typed = typed.trim().to_lowercase();
        if typed.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<Address> = Vec::new();
        self.lists.with_untracked(|lists| {
            let known = lists.values().flat_map(|list| list.rows.iter().take(2_000));
            for address in known.flat_map(|row| std::iter::once(&row.from).chain(&row.to)) {
                let fits = address.email.to_lowercase().contains(&typed)
                    || address.name.to_lowercase().contains(&typed);
                if fits && found.len() < 6 && !found.iter().any(|other| other.email == address.email) {
                    found.push(address.clone());
                }
            }
        });
        found
    }

    /// Where a click on a row leads: drafts are taken up, everything else is opened.
    pub(crate) fn is_draft(self, message: &Summary) -> bool {
        message.draft || self.role_of(message.folder_id) == Some(Role::Drafts)
    }
}

/// Whether this is what was sent of the mail, since then.
fn is_sent_copy(sent: &Summary, mail: &Compose, since: i64) -> bool {
    sent.received_at.millis() >= since - CLOCKS_APART
        && sent.subject.trim() == mail.subject.trim()
        && sent.to.first().map(|to| &to.email) == mail.to.first().map(|to| &to.email)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::list::tests::message;

    #[test]
    fn what_was_sent_is_found_by_whom_and_what() {
        let bob = Address { name: String::new(), email: "bob@demo.test".to_owned() };
        let mail = Compose { to: vec![bob.clone()], subject: "1000 ".to_owned(), ..Compose::default() };
        let sent = Summary { to: vec![bob], ..message(1_000, 1) };
        assert!(is_sent_copy(&sent, &mail, 1_000_500), "the clocks differ");
        assert!(!is_sent_copy(&sent, &mail, 1_100_000), "it is older");
        assert!(!is_sent_copy(&Summary { subject: "Re".to_owned(), ..sent.clone() }, &mail, 1_000_500));
        assert!(!is_sent_copy(&Summary { to: Vec::new(), ..sent }, &mail, 1_000_500));
    }
}
