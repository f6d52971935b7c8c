//! Short words about what just happened, with a way back.

use types::{AccountId, MailboxId, MessageId, api::Summary};

/// What a toast can take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undo {
    /// Puts messages, as they were, back from a folder whose list may not be loaded; whose they are, if they are not the
    /// reader's own.
    Move { before: Vec<Summary>, from: MailboxId, owner: Option<AccountId> },
    /// Makes a draft again of what has not left yet.
    Send(MessageId),
}

/// One toast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toast {
    pub(crate) id: u64,
    pub(crate) text: String,
    pub(crate) is_error: bool,
    pub(crate) undo: Option<Undo>,
    /// A page to go to, and what the link says.
    pub(crate) link: Option<(String, &'static str)>,
}
