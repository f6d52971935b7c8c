//! The language: values that cannot be wrong, and their bytes.

mod command;
mod cursor;
mod date;
mod fetch;
mod flag;
mod fragment;
mod list;
mod metadata;
mod multi;
mod notify;
mod parse;
mod search;
mod set;
mod status;
mod url;
mod utf7;
mod writer;

pub use command::{
    Append, CatPart, Command, Content, Enabled, Fetch, MailboxName, Qresync, Rights, Select, StatusItem,
    Store, StoreMode, Tag,
};
pub use cursor::SyntaxError;
pub use date::{Date, parse_internal_date, write_internal_date};
pub use fetch::{Item, Partial, Section, SectionKind};
pub use flag::Flag;
pub use fragment::{Bounds, Fragment, Fragmenter, MAX_LITERALS, Refusal};
pub use list::{List, ListReturn, Pattern, Selection, SpecialUse};
pub use metadata::{Depth, Entries, Wanted};
pub use multi::{MultiSearch, Source};
pub use notify::{Events, Filter, Group, Notify};
pub use parse::{ParseError, parse};
pub use search::{Field, Key, Options, Order, Search, Sort, SortKey, Thread, ThreadAlgorithm};
pub use set::{Bound, SequenceSet};
pub use status::{Code, Condition, Status};
pub use url::Url;
pub use utf7::{decode as decode_utf7, encode as encode_utf7};
pub use writer::Writer;
