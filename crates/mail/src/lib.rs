//! The mail use-cases: the one door for web, SMTP and every other way in.
//!
//! A [`Service`] is what programs of ours talk to. A person's mail is reached through an [`Access`], which only a
//! login, a session or the operator's [`Admin`] hands out, and which is bound to one account: another account's ids are
//! simply not found. The one way to what somebody shares is [`Access::reach`], whose [`Reach`] asks for a right whatever
//! is done through it.
//!
//! **Invariant:** knows no SQL, no protocol, no sockets. Changes are committed first, then announced.

pub mod access;
mod across;
pub mod admin;
mod authenticity;
mod behalf;
mod body;
mod bounce;
mod bulk;
mod challenge;
mod change;
mod collect;
mod compose;
mod config;
mod convert;
mod cursor;
mod deliver;
mod door;
mod endings;
mod error;
mod events;
mod folders;
mod forward;
mod grants;
mod import;
mod indexer;
mod kept;
mod lengths;
mod letters;
mod listing;
mod login;
mod metadata;
mod names;
mod notebook;
mod notice;
mod open;
mod operator;
mod page;
mod password;
mod portraits;
mod prepare;
mod quotas;
mod random;
mod reach;
mod recall;
mod recipient;
mod reindex;
mod relocate;
mod search;
mod service;
mod shared;
mod sharers;
mod signatures;
mod srs;
mod stopgap;
mod submit;
mod success;
mod turn;
mod upload;
mod visit;
mod warrant;
mod whereabouts;

pub use access::Access;
pub use admin::{Absent, Admin};
pub use body::{Content, Download};
pub use bulk::{Change, Copied, NewLetter, Stored, Target};
pub use challenge::Challenge;
pub use cluster::{Hint, Subscription};
pub use config::Config;
pub use deliver::{Addressee, Destination, Incoming};
pub use door::{DoorConfig, Offence, Rate};
pub use error::{Error, Result};
pub use events::Changes;
pub use grants::RightsChange;
pub use import::{Import, Imported};
pub use indexer::{Mine, everything};
pub use letters::Letter;
pub use listing::Roll;
pub use login::Client;
pub use message::Images;
pub use metadata::{MAX_VALUE as MAX_ANNOTATION, NotNoted, Notes};
pub use names::{Denied, Named};
pub use notebook::{Note, Notebook};
pub use notice::Notice;
pub use operator::{Operator, QueueQuery};
pub use page::PageQuery;
pub use portraits::Portrait;
pub use quotas::DomainState;
pub use random::Random;
pub use reach::Reach;
pub use recipient::{Expansion, Recipient, Return};
pub use reindex::ShardIndexed;
pub use relocate::{Moved, ShardReport, Step};
pub use service::{Parts, Service};
pub use shared::OTHER_USERS;
pub use sharers::Sharers;
pub use storage::{Annotation, ByteStream, Listed, Mailbox, Message as Row};
pub use submit::Submission;
pub use turn::Turn;
