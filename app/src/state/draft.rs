//! A mail that is being written: its fields, and how it is kept and sent.

use leptos::{prelude::*, task::spawn_local};
use types::{
    Address, MessageId, Problem, Timestamp,
    api::{Compose, Composed, Summary},
};

use super::{
    Attached, AttachedState, Store, Undo,
    attached::{InTab, carried, is_borrowed},
    store::TOAST,
};
use crate::{
    api::{Answer, SharedId},
    browser,
    i18n::Texts,
    text::addresses,
};

/// How much longer a mail is held back than it can be undone here.
const ANSWER_SECONDS: u32 = 3;

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

/// How safe what was typed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Untouched,
    Changed,
    Saving,
    Saved,
    Failed,
}

/// What the reader wrote, with the keys of the files and what is no address yet.
pub(crate) type Written = (Compose, Vec<u64>, [String; 3]);

/// Handles of the fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft {
    pub(crate) to: Recipients,
    pub(crate) cc: Recipients,
    pub(crate) bcc: Recipients,
    pub(crate) subject: RwSignal<String>,
    pub(crate) text: RwSignal<String>,
    pub(crate) attachments: RwSignal<Vec<Attached>>,
    /// The keys of the files in `stored`, in its order, where they are still named after the copy that it replaced.
    pub(super) moved: RwSignal<Vec<u64>>,
    in_reply_to: Option<MessageId>,
    forward_of: Option<MessageId>,
    /// Where these are, if not among the reader's own.
    shared: Option<SharedId>,
    /// The copy that the server keeps.
    pub(crate) stored: RwSignal<Option<MessageId>>,
    pub(crate) saving: RwSignal<Kept>,
    pub(crate) sending: RwSignal<bool>,
    /// Since when it is being sent, in milliseconds, as long as it is not known what became of that.
    pub(super) sending_since: RwSignal<Option<i64>>,
    /// When it is to be sent, if not now.
    pub(crate) later: RwSignal<Option<Timestamp>>,
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
            moved: RwSignal::new(Vec::new()),
            in_reply_to: compose.in_reply_to,
            forward_of: compose.forward_of,
            shared: compose.shared,
            stored: RwSignal::new(stored),
            saving: RwSignal::new(Kept::Untouched),
            sending: RwSignal::new(false),
            sending_since: RwSignal::new(None),
            later: RwSignal::new(None),
            problem: RwSignal::new(None),
            warned: RwSignal::new(false),
            minimised: RwSignal::new(false),
            full: RwSignal::new(false),
        }
    }

    /// The request that sends it, or keeps it. Reading it in an effect means hearing of every change.
    fn compose(self, draft: bool) -> Compose {
        let attachments = self.attachments.with(|attachments| {
            attachments.iter().filter_map(Attached::reference).map(str::to_owned).collect()
        });
        Compose {
            from: None,
            to: self.to.chips.get(),
            cc: self.cc.chips.get(),
            bcc: self.bcc.chips.get(),
            subject: self.subject.get(),
            text: Some(self.text.get()),
            html: None,
            attachments,
            in_reply_to: self.in_reply_to,
            forward_of: self.forward_of,
            shared: self.shared,
            send_at: None,
            hold_for: None,
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

    /// The keys of the files that the server has.
    fn files(self) -> Vec<u64> {
        self.attachments
            .with(|all| all.iter().filter(|one| one.reference().is_some()).map(|one| one.key).collect())
    }

    /// What the reader wrote: how the server names it is no part of that.
    fn written(self) -> Written {
        let mail = Compose { replaces: None, attachments: Vec::new(), ..self.compose(true) };
        (mail, self.files(), self.unfinished())
    }

    fn unfinished(self) -> [String; 3] {
        [self.to, self.cc, self.bcc].map(|line| line.text.get())
    }

    /// Whether something was typed that no copy on the server holds.
    pub(crate) fn is_unfinished(self) -> bool {
        self.unfinished().iter().any(|text| !text.trim().is_empty())
    }

    /// Puts back what a tab kept of it beyond the mail itself.
    pub(super) fn take_up(self, unfinished: [String; 3]) {
        for (line, text) in [self.to, self.cc, self.bcc].into_iter().zip(unfinished) {
            line.text.set(text);
        }
    }

    /// The server has the mail: the tab keeps only what it does not.
    fn is_kept(self) {
        if untrack(|| self.is_unfinished()) { self.note() } else { InTab::remove() }
    }

    /// Keeps it in the tab.
    fn note(self) {
        let mail = Compose { attachments: Vec::new(), ..untrack(|| self.compose(true)) };
        let attached = self
            .attachments
            .with_untracked(|all| all.iter().filter(|one| one.reference().is_some()).cloned().collect());
        InTab {
            mail,
            attached,
            moved: self.moved.get_untracked(),
            unfinished: untrack(|| self.unfinished()),
            sending_since: self.sending_since.get_untracked(),
        }
        .set();
    }

    /// Notes a change, in the tab at once and on the server when the reader pauses. To be called in an effect.
    pub(crate) fn watch(self, before: Option<Written>, store: Store) -> Written {
        let now = self.written();
        if before.as_ref().is_some_and(|before| *before != now) {
            self.saving.set(Kept::Changed);
            self.problem.set(None);
            self.warned.set(false);
            self.note();
            let noted = now.clone();
            spawn_local(async move {
                browser::sleep(1_200.0).await;
                let same = untrack(|| self.written()) == noted;
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
        let outcome = self.keep(store).await;
        // What was typed meanwhile has set it to `Changed`, and has a timer of its own.
        let unchanged = self.saving.get_untracked() == Kept::Saving;
        match outcome {
            Ok(_) if unchanged => {
                self.saving.set(Kept::Saved);
                self.is_kept();
            }
            Ok(_) => self.note(),
            Err(_) if unchanged => self.saving.set(Kept::Failed),
            Err(_) => {}
        }
    }

    /// Puts a new copy among the drafts, in the place of the last.
    async fn keep(self, store: Store) -> Answer<Composed> {
        self.follow_files(store).await?;
        let (mail, files) = untrack(|| (self.compose(true), self.files()));
        let replaced = mail.replaces;
        let moves = mail.attachments.iter().any(|file| is_borrowed(file, replaced));
        let composed = match store.api().compose(mail.clone()).await {
            // An answer was lost, or somebody has removed the copy elsewhere: then it takes nobody's place.
            Err(problem) if is_gone(&problem) => {
                store.api().compose(Compose { replaces: None, ..mail }).await
            }
            outcome => outcome,
        }?;
        self.stored.set(Some(composed.id));
        if moves {
            self.moved.set(files);
        }
        store.forget_stored(replaced);
        Ok(composed)
    }

    /// Names the files after the stored copy, where the one they were taken from is gone.
    async fn follow_files(self, store: Store) -> Answer<()> {
        let moved = self.moved.get_untracked();
        let Some(stored) = self.stored.get_untracked().filter(|_| !moved.is_empty()) else { return Ok(()) };
        let message = store.api().message(stored).await?;
        self.attachments.update(|all| {
            for (key, found) in moved.iter().zip(carried(&message, None)) {
                if let Some(one) = all.iter_mut().find(|one| one.key == *key) {
                    one.state = found.state;
                }
            }
        });
        self.moved.set(Vec::new());
        Ok(())
    }

    /// Sends it, if it has not been: answers get lost.
    async fn dispatch(self, store: Store) -> Answer<Composed> {
        let earlier = self.sending_since.get_untracked();
        if let Some(since) = earlier {
            let mail = untrack(|| self.compose(false));
            if let Some(Summary { id, thread_id, .. }) = store.sent_since(&mail, since).await? {
                return Ok(Composed { id, thread_id });
            }
        } else {
            self.sending_since.set(Some(browser::now()));
        }
        // Where the page is loaded anew meanwhile, it has to find out first whether this was sent.
        self.note();
        let outcome = self.put_on_its_way(store).await;
        if let Err(problem) = &outcome
            && earlier.is_none()
            && is_refusal(problem)
        {
            self.sending_since.set(None);
        }
        outcome
    }

    async fn put_on_its_way(self, store: Store) -> Answer<Composed> {
        self.follow_files(store).await?;
        let undo = Some(store.undo_seconds()).filter(|seconds| *seconds > 0);
        // The reader has the whole time, however long the answer takes.
        let hold_for = undo.map(|seconds| u32::from(seconds) + ANSWER_SECONDS);
        let send_at = self.later.get_untracked();
        store.api().compose(Compose { send_at, hold_for, ..untrack(|| self.compose(false)) }).await
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
        let failed = self.attachments.with_untracked(|attachments| {
            attachments.iter().any(|attached| matches!(attached.state, AttachedState::Failed(_)))
        });
        if failed {
            return Some(texts.not_uploaded.to_owned());
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

    /// Sends it, at this time.
    pub(crate) fn send_at(self, at: Timestamp, store: Store, texts: &'static Texts) {
        self.later.set(Some(at));
        self.send(store, texts);
    }

    /// Sends it now, whatever was chosen before.
    pub(crate) fn send_now(self, store: Store, texts: &'static Texts) {
        self.later.set(None);
        self.send(store, texts);
    }

    /// Sends it at the time that was chosen, or else now.
    pub(crate) fn send(self, store: Store, texts: &'static Texts) {
        if self.sending.get_untracked() {
            return;
        }
        if self.later.get_untracked().is_some_and(|at| at.millis() <= browser::now()) {
            self.later.set(None);
            self.problem.set(Some(texts.in_the_past.to_owned()));
            return;
        }
        if let Some(obstacle) = self.obstacle(texts) {
            self.problem.set(Some(obstacle));
            return;
        }
        self.problem.set(None);
        self.sending.set(true);
        spawn_local(async move {
            while self.saving.get_untracked() == Kept::Saving {
                browser::sleep(50.0).await;
            }
            let mail = untrack(|| self.compose(false));
            let outcome = self.dispatch(store).await;
            match outcome {
                Ok(composed) => {
                    // It is kept for good: a timer that was set while writing finds nothing to do.
                    self.saving.set(Kept::Saved);
                    store.close_draft();
                    InTab::remove();
                    store.forget_stored(self.stored.get_untracked());
                    let undo_millis = f64::from(store.undo_seconds()) * 1_000.0;
                    let (said, can_undo, lasts) = match self.later.get_untracked() {
                        Some(_) => (texts.scheduled_toast, true, TOAST),
                        None if undo_millis > 0.0 => (texts.sent_toast, true, undo_millis),
                        None => (texts.sent_toast, false, TOAST),
                    };
                    let undo = can_undo.then_some(Undo::Send(composed.id));
                    let link = (format!("/mail/sent/{}", composed.id), texts.view_message);
                    store.say_with_link(said, undo, link, lasts);
                }
                Err(problem) => {
                    self.sending.set(false);
                    let gone = is_gone(&problem);
                    if gone {
                        // The reader is told, and may send it all the same.
                        self.stored.set(None);
                    }
                    self.note();
                    let said =
                        if gone { texts.draft_gone.to_owned() } else { texts.not_sent(&problem, &mail) };
                    self.problem.set(Some(said));
                }
            }
        });
    }
}

/// Whether the copy whose place a mail was to take is not there.
fn is_gone(problem: &Problem) -> bool {
    problem.field.as_deref() == Some("replaces")
}

/// Whether the server has answered that it does not take the mail.
fn is_refusal(problem: &Problem) -> bool {
    (400..500).contains(&problem.status)
}

/// Whether a text, apart from what it quotes, says that something is attached.
fn speaks_of_attachment(text: &str) -> bool {
    let own = text.lines().filter(|line| !line.starts_with('>')).collect::<Vec<_>>().join(" ").to_lowercase();
    ["attached", "attachment", "enclosed", "첨부"].iter().any(|word| own.contains(word))
}

#[cfg(test)]
mod tests {
    use types::ProblemKind;

    use super::*;

    #[test]
    fn lost_answers_are_no_refusals() {
        let refused = Problem::new(ProblemKind::InvalidRequest, "");
        assert!(is_refusal(&refused) && !is_gone(&refused));
        assert!(is_gone(&Problem { field: Some("replaces".to_owned()), ..refused }));
        assert!(!is_refusal(&Problem::new(ProblemKind::Unavailable, "no connection")));
    }

    #[test]
    fn only_ones_own_words_speak_of_attachments() {
        for (text, speaks) in
            [("see attached", true), ("첨부합니다", true), ("> attached\nok", false), ("hi", false)]
        {
            assert_eq!(speaks_of_attachment(text), speaks, "{text}");
        }
    }
}
