//! Stored rows as the API shows them.

use storage::{Mailbox, Message};
use types::{Flags, api};

/// A message as a line of a list.
pub(crate) fn summary(message: Message) -> api::Summary {
    let Message { id, thread, mailbox, flags, keywords, received_at, size_bytes, summary, delivery, .. } =
        message;
    api::Summary {
        id,
        thread_id: thread,
        folder_id: mailbox,
        from: summary.from,
        to: summary.to,
        subject: summary.subject,
        preview: summary.preview,
        received_at,
        size: size_bytes,
        unread: flags.is_unread(),
        flagged: flags.contains(Flags::FLAGGED),
        answered: flags.contains(Flags::ANSWERED),
        forwarded: flags.contains(Flags::FORWARDED),
        draft: flags.contains(Flags::DRAFT),
        labels: keywords,
        has_attachments: summary.has_attachments,
        snippet: None,
        delivery,
    }
}

/// A mailbox as a folder.
pub(crate) fn folder(mailbox: Mailbox) -> api::Folder {
    let Mailbox { id, name, role, parent, total, unread, .. } = mailbox;
    api::Folder { id, name, role, parent_id: parent, total, unread }
}
