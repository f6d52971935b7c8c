//! The tables of a shard.

/// An account's counters.
pub(crate) mod account {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "account")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        pub(crate) modseq: i64,
        pub(crate) indexed_modseq: i64,
        pub(crate) forgotten_modseq: i64,
        pub(crate) messages: i64,
        pub(crate) used_bytes: i64,
        pub(crate) next_mailbox_id: i64,
        pub(crate) last_uid_validity: i64,
        /// Nobody may write here: the account is being copied in, or moved away.
        pub(crate) fenced: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A mailbox; deleted ones stay for the change log.
pub(crate) mod mailbox {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "mailbox")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: i64,
        pub(crate) parent_id: Option<i64>,
        pub(crate) name: String,
        pub(crate) name_key: String,
        pub(crate) role: Option<i32>,
        pub(crate) uid_validity: i64,
        pub(crate) uid_next: i64,
        pub(crate) modseq: i64,
        pub(crate) total: i64,
        pub(crate) unread: i64,
        pub(crate) size_bytes: i64,
        pub(crate) deleted: bool,
        pub(crate) subscribed: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A message: what lists show.
pub(crate) mod message {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "message")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) mailbox_id: i64,
        pub(crate) uid: i64,
        pub(crate) modseq: i64,
        pub(crate) created_modseq: i64,
        pub(crate) flags: i32,
        pub(crate) keywords: String,
        pub(crate) thread_id: Uuid,
        pub(crate) body_id: Uuid,
        pub(crate) received_at: i64,
        pub(crate) sent_at: Option<i64>,
        pub(crate) size_bytes: i64,
        pub(crate) from_name: String,
        pub(crate) from_email: String,
        pub(crate) to_json: String,
        pub(crate) subject: String,
        pub(crate) preview: String,
        pub(crate) has_attachments: bool,
        pub(crate) delivery: Option<String>,
        pub(crate) saved_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Where a message was.
pub(crate) mod tombstone {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "tombstone")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) mailbox_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) uid: i64,
        pub(crate) message_id: Uuid,
        pub(crate) modseq: i64,
        pub(crate) expunged: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The thread that a Message-ID leads to.
pub(crate) mod thread_ref {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "thread_ref")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) ref_hash: i64,
        pub(crate) thread_id: Uuid,
        pub(crate) modseq: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A body, used by `refs` messages and queue entries, and as many more as [`body_share`] says.
pub(crate) mod body {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "body")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) size_bytes: i64,
        pub(crate) refs: i64,
        pub(crate) structure: Vec<u8>,
        pub(crate) layout: Vec<u8>,
        pub(crate) inline: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// How many more messages and queue entries use a body than its own row says, or fewer; no row is none. Only on SQLite.
pub(crate) mod body_share {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "body_share")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) body_id: Uuid,
        pub(crate) users: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What the texts of a body lack.
pub(crate) mod signature {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "signature")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) body_id: Uuid,
        pub(crate) bits: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// That a mailbox's listing is kept, as of a modseq; a row for each mailbox.
pub(crate) mod roll {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "roll")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) mailbox_id: i64,
        pub(crate) uid_validity: i64,
        pub(crate) uid_next: i64,
        pub(crate) modseq: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Some messages of a listing that is kept. See [`crate::rolls`].
pub(crate) mod roll_part {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "roll_part")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) mailbox_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) part: i64,
        pub(crate) total: i64,
        pub(crate) newest: i64,
        pub(crate) messages: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What a change did to messages of a mailbox and is not in their rows yet. See [`crate::deferred`].
pub(crate) mod deferred {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "deferred")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) modseq: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) mailbox_id: i64,
        pub(crate) messages: i64,
        pub(crate) change: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What a mail program noted with a mailbox, or with the account (mailbox 0).
pub(crate) mod metadata {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "metadata")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) mailbox_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) name: String,
        pub(crate) value: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What somebody may do with a mailbox.
pub(crate) mod mailbox_grant {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "mailbox_grant")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) grantee_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) mailbox_id: i64,
        pub(crate) grantee_since: i64,
        pub(crate) rights: i32,
        pub(crate) subscribed: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A blob that a body names.
pub(crate) mod body_blob {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "body_blob")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) body_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) blob_id: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A file that waits to be attached.
pub(crate) mod upload {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "upload")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) filename: String,
        pub(crate) content_type: String,
        pub(crate) size_bytes: i64,
        pub(crate) blob_id: Vec<u8>,
        pub(crate) created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A mail on its way. `due_at` is the next attempt, or the end of the lease.
pub(crate) mod queue_entry {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "queue_entry")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: Uuid,
        pub(crate) message_id: Option<Uuid>,
        pub(crate) body_id: Uuid,
        pub(crate) size_bytes: i64,
        pub(crate) return_path: Option<String>,
        pub(crate) origin: i32,
        pub(crate) created_at: i64,
        pub(crate) expires_at: i64,
        pub(crate) next_attempt_at: i64,
        pub(crate) due_at: i64,
        pub(crate) held: bool,
        pub(crate) leased_by: Option<String>,
        pub(crate) leased_until: Option<i64>,
        /// `types::Terms` as JSON; `None`: nothing is asked.
        pub(crate) terms: Option<String>,
        /// Whether it goes before others that are due.
        pub(crate) urgent: bool,
        /// Whether it goes after all others that are due.
        pub(crate) patient: bool,
        /// `HOST:PORT` that an operator sends it by way of.
        pub(crate) via: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A recipient of a queue entry.
pub(crate) mod queue_recipient {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "queue_recipient")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) queue_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) position: i32,
        pub(crate) address: String,
        pub(crate) state: i32,
        pub(crate) attempts: i32,
        pub(crate) next_attempt_at: i64,
        pub(crate) reply: Option<String>,
        /// `types::RecipientTerms` as JSON; `None`: nothing is asked.
        pub(crate) terms: Option<String>,
        /// The sender has been told that it takes long.
        pub(crate) warned: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The bucket of an account that was set up here.
pub(crate) mod placement {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "placement")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) account_id: i64,
        pub(crate) bucket: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A bucket that nobody may write to here.
pub(crate) mod fence {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "fence")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) bucket: i32,
        /// For good: the bucket lives elsewhere.
        pub(crate) closed: bool,
        pub(crate) mover: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Which shard of which service this is; one row.
pub(crate) mod identity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "identity")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) one: i32,
        pub(crate) service: String,
        pub(crate) shard_id: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
