//! Short words about what just happened, with a way back.

use types::{MailboxId, MessageId};

/// What a toast can take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undo {
    /// Puts messages back to where they were.
    Move(Vec<(MessageId, MailboxId)>),
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
