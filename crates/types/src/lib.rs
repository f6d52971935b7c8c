//! Ids, flags, addresses, times, the search query and the types of the API: what every other crate speaks of.
//!
//! **Invariant:** compiles to WebAssembly; no I/O, no clock, no randomness of its own.

pub mod address;
pub mod api;
pub mod clock;
pub mod dkim;
pub mod flags;
pub mod ids;
pub mod network;
pub mod problem;
pub mod query;
pub mod queue;
pub mod rights;
pub mod role;
pub mod secret;
pub mod sequence;
pub mod terms;
pub mod time;
pub mod url;

pub use address::{Address, EmailAddress};
pub use clock::Clock;
pub use dkim::DkimAlgorithm;
pub use flags::Flags;
pub use ids::{
    AccountId, AppPasswordId, BlobId, BodyId, Bucket, DomainId, MailboxId, MessageId, ModSeq, QueueId,
    ShardId, ThreadId, Uid, UidValidity, UploadId,
};
pub use network::{Network, client_network, neighbourhood};
pub use problem::{Problem, ProblemKind};
pub use rights::Rights;
pub use role::Role;
pub use secret::Secret;
pub use sequence::{Sequence, Sequenced};
pub use terms::{DeliverBy, Late, Notify, OriginalRecipient, Priority, RecipientTerms, Ret, Terms};
pub use time::Timestamp;
pub use url::Url;
