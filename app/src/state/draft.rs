//! A mail that is being written: its fields, and how it is kept and sent.

use leptos::{prelude::*, task::spawn_local};
use types::{Address, MessageId, Problem, api::Compose};

use super::Store;
use crate::{browser, i18n::Texts, text::addresses};

/// Where a tab keeps what is being written until the server has it.
pub(super) const IN_TAB: &str = "draft";

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
