//! A mail that is being written: its fields, and how it is begun, kept and sent.

use leptos::{prelude::*, task::spawn_local};
use types::{
    Address, MessageId, Problem, Role,
    api::{Compose, Message, Summary},
};

use super::{Opened, Store};
use crate::{
    browser,
    i18n::Texts,
    text::{Civil, addresses, date_and_time, prefixed, quote},
};

/// Where a tab keeps what is being written until the server has it.
const IN_TAB: &str = "draft";

/// How a mail is begun from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Reply,
    ReplyAll,
    Forward,
}

/// A line of recipients: those that are addresses, and what is being typed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipients {
    pub(crate) chips: RwSignal<Vec<Address>>,
    pub(crate) text: RwSignal<String>,
    pub(crate) problem: RwSignal<bool>,
}

impl Recipients {
    fn new(chips: Vec<Address>) -> Self {
        Self {
            chips: RwSignal::new(chips),
            text: RwSignal::new(String::new()),
            problem: RwSignal::new(false),
        }
    }

    /// Makes chips of what was typed. What is no address stays, and is marked.
    pub(crate) fn commit(self) {
        let (found, rest) = addresses(&self.text.get_untracked());
        self.problem.set(!rest.is_empty());
        if !found.is_empty() {
            self.add(found);
        }
        if self.text.get_untracked() != rest {
            self.text.set(rest);
        }
    }

    pub(crate) fn add(self, new: Vec<Address>) {
        self.chips.update(|chips| {
            for address in new {
                if !chips.iter().any(|known| known.email.eq_ignore_ascii_case(&address.email)) {
                    chips.push(address);
                }
            }
        });
    }
}

/// A file that goes with the mail.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attached {
    pub(crate) key: u64,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) state: AttachedState,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AttachedState {
    /// The part that has gone, from 0 to 1.
    Uploading(f64),
    /// How [`Compose::attachments`] names it.
    Ready(String),
    Failed(Problem),
}

/// How safe what was typed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Untouched,
    Changed,
    Saving,
    Saved,
    Failed,
}

/// Handles of the fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft {
    pub(crate) to: Recipients,
    pub(crate) cc: Recipients,
    pub(crate) bcc: Recipients,
    pub(crate) subject: RwSignal<String>,
    pub(crate) text: RwSignal<String>,
    pub(crate) attachments: RwSignal<Vec<Attached>>,
    in_reply_to: Option<MessageId>,
    forward_of: Option<MessageId>,
    /// The copy that the server keeps.
    pub(crate) stored: RwSignal<Option<MessageId>>,
    pub(crate) saving: RwSignal<Kept>,
    pub(crate) sending: RwSignal<bool>,
    /// What is in the way of sending it.
    pub(crate) problem: RwSignal<Option<String>>,
    /// What the reader was asked about, and may send all the same.
    warned: RwSignal<bool>,
    pub(crate) minimised: RwSignal<bool>,
    pub(crate) full: RwSignal<bool>,
}

impl Draft {
    pub(super) fn new(compose: Compose, attachments: Vec<Attached>, stored: Option<MessageId>) -> Self {
        Self {
            to: Recipients::new(compose.to),
            cc: Recipients::new(compose.cc),
            bcc: Recipients::new(compose.bcc),
            subject: RwSignal::new(compose.subject),
            text: RwSignal::new(compose.text.unwrap_or_default()),
            attachments: RwSignal::new(attachments),
            in_reply_to: compose.in_reply_to,
            forward_of: compose.forward_of,
            stored: RwSignal::new(stored),
            saving: RwSignal::new(Kept::Untouched),
            sending: RwSignal::new(false),
            problem: RwSignal::new(None),
            warned: RwSignal::new(false),
            minimised: RwSignal::new(false),
            full: RwSignal::new(false),
        }
    }

    /// The request that sends it, or keeps it. Reading it in an effect means hearing of every change.
    fn compose(self, draft: bool) -> Compose {
        let attachments = self.attachments.with(|attachments| {
            attachments
                .iter()
                .filter_map(|attached| match &attached.state {
                    AttachedState::Ready(id) => Some(id.clone()),
                    AttachedState::Uploading(_) | AttachedState::Failed(_) => None,
                })
                .collect()
        });
        Compose {
            to: self.to.chips.get(),
            cc: self.cc.chips.get(),
            bcc: self.bcc.chips.get(),
            subject: self.subject.get(),
            text: Some(self.text.get()),
            html: None,
            attachments,
            in_reply_to: self.in_reply_to,
            forward_of: self.forward_of,
            send_at: None,
            draft,
            replaces: self.stored.get_untracked(),
        }
    }

    fn is_empty(self) -> bool {
        let kept = self.compose(true);
        let nobody = kept.to.is_empty() && kept.cc.is_empty() && kept.bcc.is_empty();
        nobody
            && kept.subject.trim().is_empty()
            && kept.text.unwrap_or_default().trim().is_empty()
            && kept.attachments.is_empty()
    }

    /// Notes a change, in the tab at once and on the server when the reader pauses. To be called in an effect.
    pub(crate) fn watch(self, before: Option<Compose>, store: Store) -> Compose {
        let now = Compose { replaces: None, ..self.compose(true) };
        if before.as_ref().is_some_and(|before| *before != now) {
            self.saving.set(Kept::Changed);
            self.problem.set(None);
            self.warned.set(false);
            let kept = Compose { replaces: self.stored.get_untracked(), ..now.clone() };
            if let Ok(json) = serde_json::to_string(&kept) {
                browser::session::set(IN_TAB, &json);
            }
            let noted = now.clone();
            spawn_local(async move {
                browser::sleep(1_200.0).await;
                let same = untrack(|| Compose { replaces: None, ..self.compose(true) }) == noted;
                if same && self.saving.get_untracked() == Kept::Changed {
                    self.save(store).await;
                }
            });
        }
        now
    }

    /// Keeps it on the server.
    pub(crate) async fn save(self, store: Store) {
        if self.saving.get_untracked() == Kept::Saving
            || self.sending.get_untracked()
            || untrack(|| self.is_empty())
        {
            return;
        }
        self.saving.set(Kept::Saving);
        let outcome = store.api().compose(untrack(|| self.compose(true))).await;
        // What was typed meanwhile has set it to `Changed`, and has a timer of its own.
        let unchanged = self.saving.get_untracked() == Kept::Saving;
        match outcome {
            Ok(composed) => {
                let replaced = self.stored.get_untracked();
                self.stored.set(Some(composed.id));
                store.forget_stored(replaced);
                if unchanged {
                    self.saving.set(Kept::Saved);
                    browser::session::remove(IN_TAB);
                }
            }
            Err(_) if unchanged => self.saving.set(Kept::Failed),
            Err(_) => {}
        }
    }

    /// What keeps it from being sent, in the reader's words.
    fn obstacle(self, texts: &Texts) -> Option<String> {
        for line in [self.to, self.cc, self.bcc] {
            line.commit();
            if line.problem.get_untracked() {
                return Some(texts.not_an_address.to_owned());
            }
        }
        let mail = untrack(|| self.compose(false));
        if mail.to.is_empty() && mail.cc.is_empty() && mail.bcc.is_empty() {
            return Some(texts.no_recipients.to_owned());
        }
        let uploading = self.attachments.with_untracked(|attachments| {
            attachments.iter().any(|attached| matches!(attached.state, AttachedState::Uploading(_)))
        });
        if uploading {
            return Some(texts.still_uploading.to_owned());
        }
        if self.warned.get_untracked() {
            return None;
        }
        let warning = if mail.attachments.is_empty() && speaks_of_attachment(&mail.text.unwrap_or_default()) {
            texts.forgot_attachment
        } else if mail.subject.trim().is_empty() {
            texts.no_subject_warning
        } else {
            return None;
        };
        self.warned.set(true);
        Some(warning.to_owned())
    }

    pub(crate) fn send(self, store: Store, texts: &'static Texts) {
        if self.sending.get_untracked() {
            return;
        }
        if let Some(obstacle) = self.obstacle(texts) {
            self.problem.set(Some(obstacle));
            return;
        }
        self.problem.set(None);
        spawn_local(async move {
            while self.saving.get_untracked() == Kept::Saving {
                browser::sleep(50.0).await;
            }
            self.sending.set(true);
            let outcome = store.api().compose(untrack(|| self.compose(false))).await;
            self.sending.set(false);
            match outcome {
                Ok(composed) => {
                    // It is kept for good: a timer that was set while writing finds nothing to do.
                    self.saving.set(Kept::Saved);
                    browser::session::remove(IN_TAB);
                    store.close_draft();
                    store.forget_stored(self.stored.get_untracked());
                    store.say_with_link(
                        texts.sent_toast,
                        format!("/mail/sent/{}", composed.id),
                        texts.view_message,
                    );
                }
                Err(problem) => self.problem.set(Some(texts.problem(&problem))),
            }
        });
    }
}

/// Whether a text, apart from what it quotes, says that something is attached.
fn speaks_of_attachment(text: &str) -> bool {
    let own = text.lines().filter(|line| !line.starts_with('>')).collect::<Vec<_>>().join(" ").to_lowercase();
    ["attached", "attachment", "enclosed", "첨부"].iter().any(|word| own.contains(word))
}

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
        if self.place.get_untracked() == super::Place::Compose {
            self.go(&super::Place::folder("inbox"));
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
        browser::session::remove(IN_TAB);
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
        let kept = browser::session::get(IN_TAB).and_then(|json| serde_json::from_str::<Compose>(&json).ok());
        if let Some(kept) = kept {
            let stored = kept.replaces;
            let draft = self.compose(Compose { attachments: Vec::new(), ..kept }, Vec::new(), stored);
            draft.saving.set(Kept::Changed);
        }
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
            let thread = api.thread(message.summary.thread_id).await.map(|thread| thread.messages);
            let answers =
                thread.unwrap_or_default().into_iter().rev().find(|known| !known.draft && known.id < id);
            let in_reply_to = answers.filter(|_| !message.references.is_empty()).map(|known| known.id);
            let compose = Compose {
                to: message.summary.to.clone(),
                cc: message.cc.clone(),
                bcc: message.bcc.clone(),
                subject: message.summary.subject.clone(),
                text: Some(message.text.clone()),
                in_reply_to,
                ..Compose::default()
            };
            let draft = self.compose(compose, carried(&message), Some(id));
            draft.saving.set(Kept::Saved);
        });
    }

    /// Begins an answer to a message, or passes it on.
    pub(crate) fn answer(self, id: MessageId, kind: Kind) {
        let opened = self.messages.with_untracked(|messages| messages.get(&id).cloned());
        let me = self.account.get_untracked().email;
        if let Some(Opened::Ready(message)) = opened {
            self.begin_answer(&message, kind, &me);
            return;
        }
        let api = self.api();
        spawn_local(async move {
            match api.message(id).await {
                Ok(message) => self.begin_answer(&message, kind, &me),
                Err(problem) => self.complain(&problem),
            }
        });
    }

    fn begin_answer(self, message: &Message, kind: Kind, me: &str) {
        let texts = self.texts;
        let attachments = if kind == Kind::Forward { carried(message) } else { Vec::new() };
        self.compose(answer(message, kind, me, texts), attachments, None);
    }

    /// The copy of a draft that has been replaced is gone.
    fn forget_stored(self, id: Option<MessageId>) {
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

/// The attachments of a message, for one that takes them along.
fn carried(message: &Message) -> Vec<Attached> {
    (0..)
        .zip(message.attachments.iter().filter(|attachment| !attachment.inline))
        .map(|(key, attachment)| Attached {
            key,
            name: attachment.filename.clone(),
            size: attachment.size,
            state: AttachedState::Ready(format!("{}/{}", message.summary.id, attachment.id)),
        })
        .collect()
}

fn answer(message: &Message, kind: Kind, me: &str, texts: &Texts) -> Compose {
    let summary = &message.summary;
    let at = message.sent_at.unwrap_or(summary.received_at);
    let when = date_and_time(Civil::new(at, browser::utc_offset_minutes(at.millis())), texts.lang);
    let not_me = |address: &&Address| !address.email.eq_ignore_ascii_case(me);
    if kind == Kind::Forward {
        let people = |list: &[Address]| list.iter().map(written).collect::<Vec<_>>().join(", ");
        let text = format!(
            "\n\n---------- {} ----------\n{}: {}\n{}: {when}\n{}: {}\n{}: {}\n\n{}",
            texts.signature_forward,
            texts.from,
            written(&summary.from),
            texts.sent,
            texts.subject,
            summary.subject,
            texts.to,
            people(&summary.to),
            message.text
        );
        let subject = prefixed("Fwd:", &summary.subject);
        return Compose { subject, text: Some(text), forward_of: Some(summary.id), ..Compose::default() };
    }
    let answered =
        if message.reply_to.is_empty() { vec![summary.from.clone()] } else { message.reply_to.clone() };
    // An answer to one's own mail goes to whom that went.
    let is_own = summary.from.email.eq_ignore_ascii_case(me);
    let to = if is_own { summary.to.clone() } else { answered };
    let others = summary.to.iter().chain(&message.cc);
    let cc = match kind {
        Kind::ReplyAll => others
            .filter(not_me)
            .filter(|address| !to.iter().any(|known| known.email.eq_ignore_ascii_case(&address.email)))
            .cloned()
            .collect(),
        Kind::Reply | Kind::Forward => Vec::new(),
    };
    let text = format!("\n\n{}\n{}", texts.wrote(&when, summary.from.display()), quote(&message.text));
    Compose {
        to,
        cc,
        subject: prefixed("Re:", &summary.subject),
        text: Some(text),
        in_reply_to: Some(summary.id),
        ..Compose::default()
    }
}

fn written(address: &Address) -> String {
    if address.name.is_empty() {
        address.email.clone()
    } else {
        format!("{} <{}>", address.name, address.email)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ones_own_words_speak_of_attachments() {
        for (text, speaks) in
            [("see attached", true), ("첨부합니다", true), ("> attached\nok", false), ("hi", false)]
        {
            assert_eq!(speaks_of_attachment(text), speaks, "{text}");
        }
    }
}
