//! The ports to whatever keeps the mail, and the suites every adapter must pass.
//!
//! **Invariant:** knows no back end, no protocol. What a port promises stands in its documentation and is
//! checked by `conformance` (feature `testing`), which every adapter runs.
//!
//! Rules that bind every adapter:
//! - An account lives whole on one shard; every call names the account, and touches no other.
//! - Every write takes the account's next modseq in its transaction, so "what changed since" is an index scan.
//! - What [`write()`] returned for is durable: it survives a power cut.
//! - Blobs are written before the row that names them, and removed only by the collector.

pub mod app_passwords;
pub mod blobs;
pub mod body;
#[cfg(feature = "testing")]
pub mod conformance;
pub mod directory;
pub mod dkim;
pub mod door;
pub mod error;
pub mod mailbox;
pub mod message;
pub mod moves;
pub mod queue;
pub mod quotas;
pub mod replica;
pub mod reports;
pub mod shards;
pub mod shares;
pub mod snapshot;
pub mod transaction;
pub mod upload;

pub use app_passwords::{AppPassword, AppPasswords, NewAppPassword};
pub use blobs::{BlobInfo, Blobs, ByteStream};
pub use body::{Body, Packed, Segment};
pub use directory::{Account, BucketMap, Directory, Domain, Ending, NewAccount, Node, Session, UNLIMITED};
pub use dkim::{DkimKey, DkimKeys, KeyPhase};
pub use door::{Ban, Door, Group};
pub use error::{Error, Result};
pub use mailbox::{AccountState, Annotation, Grant, Mailbox, NewMailbox};
pub use message::{
    Appended, Changes, Content, Copy, Digest, Edition, Filter, FlagChange, Keep, Listed, Listing, Message,
    NewMessage, PageRequest, Paged, Placement, RefHash, Removed, Source, Summary,
};
pub use moves::Moves;
pub use queue::{
    Lease, NewQueueEntry, NewRecipient, Origin, QueueBody, QueueEntry, QueueFilter, QueueLengths,
    QueueRecipient, RecipientState, RecipientUpdate,
};
pub use quotas::{DomainLimits, DomainUse, Quotas};
pub use reports::{Counted, ReportKind, Reports};
pub use shards::{Committed, ErasedUnit, Fence, Needs, Pending, Shards, Stamp, Totals, Unit, write};
pub use shares::Shares;
pub use snapshot::Snapshot;
pub use transaction::Transaction;
pub use upload::Upload;
