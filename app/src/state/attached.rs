//! The files that go with a mail, and what the tab keeps of a mail while it is being written.

use serde::{Deserialize, Serialize};
use types::{
    MessageId, Problem,
    api::{Compose, Message},
};

use crate::{api::SharedId, browser};

/// Where a tab keeps what is being written until the server has it.
const IN_TAB: &str = "draft";

/// A file that goes with the mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attached {
    pub(crate) key: u64,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) state: AttachedState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum AttachedState {
    /// The part that has gone, from 0 to 1.
    Uploading(f64),
    /// How [`Compose::attachments`] names it.
    Ready(String),
    Failed(Problem),
}

impl Attached {
    /// How [`Compose::attachments`] names it, once the server has it.
    pub(super) fn reference(&self) -> Option<&str> {
        match &self.state {
            AttachedState::Ready(reference) => Some(reference),
            AttachedState::Uploading(_) | AttachedState::Failed(_) => None,
        }
    }
}

/// The attachments of a message, which may be in a folder that somebody else shares, for one that takes them along.
pub(super) fn carried(message: &Message, shared: Option<SharedId>) -> Vec<Attached> {
    let place = shared.map(|SharedId { owner, folder }| format!("{owner}/{folder}/")).unwrap_or_default();
    (0..)
        .zip(message.attachments.iter().filter(|attachment| !attachment.inline))
        .map(|(key, attachment)| Attached {
            key,
            name: attachment.filename.clone(),
            size: attachment.size,
            state: AttachedState::Ready(format!("{place}{}/{}", message.summary.id, attachment.id)),
        })
        .collect()
}

/// Whether what a file is named after may be gone when the mail has been kept: the copy that was replaced, or a message
/// in a folder that somebody else shares. The kept copy has the file, too.
pub(super) fn is_borrowed(reference: &str, replaced: Option<MessageId>) -> bool {
    let mut names = reference.split('/');
    let first = names.next();
    names.count() > 1 || replaced.is_some_and(|id| first == Some(id.to_string().as_str()))
}

/// A mail as the tab keeps it, for when the page is loaded anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct InTab {
    pub(super) mail: Compose,
    /// The files that the server has.
    pub(super) attached: Vec<Attached>,
    /// See `Draft::moved`.
    pub(super) moved: Vec<u64>,
    /// What stands in To, Cc and Bcc that is no address yet.
    #[serde(default)]
    pub(super) unfinished: [String; 3],
    /// Since when it is being sent, in milliseconds, as long as it is not known what became of that.
    #[serde(default)]
    pub(super) sending_since: Option<i64>,
}

impl InTab {
    pub(super) fn get() -> Option<Self> {
        serde_json::from_str(&browser::session::get(IN_TAB)?).ok()
    }

    pub(super) fn set(&self) {
        if let Ok(json) = serde_json::to_string(self) {
            browser::session::set(IN_TAB, &json);
        }
    }

    pub(super) fn remove() {
        browser::session::remove(IN_TAB);
    }
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;

    #[test]
    fn files_are_named_anew_where_what_they_are_named_after_may_go() {
        let at = |millis| MessageId::at(Timestamp::from_millis(millis), [0; 10]);
        let (replaced, other) = (at(1), at(2));
        for (reference, is_gone) in [
            (format!("{replaced}/2"), true),
            (format!("{other}/2"), false),
            (format!("17/4/{other}/2"), true),
            ("0190-upload".to_owned(), false),
        ] {
            assert_eq!(is_borrowed(&reference, Some(replaced)), is_gone, "{reference}");
        }
        assert!(is_borrowed(&format!("17/4/{other}/2"), None));
        assert!(!is_borrowed(&format!("{other}/2"), None));
    }

    #[test]
    fn the_tab_keeps_files() {
        let state = AttachedState::Ready("0190/2".to_owned());
        let attached = vec![Attached { key: 3, name: "보고서.pdf".to_owned(), size: 12, state }];
        let kept = InTab {
            mail: Compose::default(),
            attached,
            moved: vec![3],
            unfinished: ["보".to_owned(), String::new(), String::new()],
            sending_since: Some(7),
        };
        let json = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<InTab>(&json).unwrap(), kept);
    }
}
