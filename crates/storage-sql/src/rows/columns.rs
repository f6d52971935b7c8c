//! The columns of rows that are read, in their order.

use super::{ListedRow, Spot};
use crate::{
    connect::from_row,
    entity::shard::{
        account, body, body_blob, fence, identity, mailbox, mailbox_grant, message, metadata, queue_entry,
        queue_recipient, thread_ref, tombstone, upload,
    },
};

from_row!(account::Model {
    account_id,
    modseq,
    indexed_modseq,
    forgotten_modseq,
    messages,
    used_bytes,
    next_mailbox_id,
    last_uid_validity,
    fenced,
});
from_row!(mailbox::Model {
    account_id,
    id,
    parent_id,
    name,
    name_key,
    role,
    uid_validity,
    uid_next,
    modseq,
    total,
    unread,
    size_bytes,
    deleted,
    subscribed,
});
from_row!(message::Model {
    account_id,
    id,
    mailbox_id,
    uid,
    modseq,
    created_modseq,
    flags,
    keywords,
    thread_id,
    body_id,
    received_at,
    sent_at,
    size_bytes,
    from_name,
    from_email,
    to_json,
    subject,
    preview,
    has_attachments,
    delivery,
    saved_at,
});
from_row!(tombstone::Model { account_id, mailbox_id, uid, message_id, modseq, expunged });
from_row!(body::Model { account_id, id, size_bytes, refs, structure, layout, inline });
from_row!(upload::Model { account_id, id, filename, content_type, size_bytes, blob_id, created_at });
from_row!(queue_entry::Model {
    account_id,
    id,
    message_id,
    body_id,
    size_bytes,
    return_path,
    origin,
    created_at,
    expires_at,
    next_attempt_at,
    due_at,
    held,
    leased_by,
    leased_until,
    terms,
    urgent,
    patient,
    via,
});
from_row!(queue_recipient::Model {
    account_id,
    queue_id,
    position,
    address,
    state,
    attempts,
    next_attempt_at,
    reply,
    terms,
    warned,
});
from_row!(metadata::Model { account_id, mailbox_id, name, value });
from_row!(mailbox_grant::Model { account_id, grantee_id, mailbox_id, grantee_since, rights, subscribed });
from_row!(thread_ref::Model { account_id, ref_hash, thread_id, modseq });
from_row!(body_blob::Model { account_id, body_id, blob_id });
from_row!(fence::Model { bucket, closed, mover });
from_row!(identity::Model { one, service, shard_id });
from_row!(ListedRow { id, uid, modseq, flags, keywords, received_at, sent_at, size_bytes });
from_row!(Spot { id, mailbox_id, uid, modseq, flags, keywords, body_id, received_at, size_bytes, delivery });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::FromRow;
    use sea_orm::{EntityTrait, Iterable as _, sea_query::Iden as _};

    fn check<E: EntityTrait>()
    where
        E::Model: FromRow,
    {
        let columns: Vec<_> = E::Column::iter().map(|column| column.unquoted().to_owned()).collect();
        assert_eq!(columns, E::Model::COLUMNS);
    }

    /// SeaORM's queries select the columns as the entities have them, and rows are read by place.
    #[test]
    fn rows_have_their_columns_in_the_order_of_the_entities() {
        check::<account::Entity>();
        check::<mailbox::Entity>();
        check::<message::Entity>();
        check::<tombstone::Entity>();
        check::<body::Entity>();
        check::<upload::Entity>();
        check::<queue_entry::Entity>();
        check::<queue_recipient::Entity>();
        check::<metadata::Entity>();
        check::<mailbox_grant::Entity>();
        check::<thread_ref::Entity>();
        check::<body_blob::Entity>();
        check::<fence::Entity>();
        check::<identity::Entity>();
    }
}
