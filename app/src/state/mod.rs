//! What the browser knows of the account, and how it changes: by the reader's actions and by the server's events.

mod actions;
mod answer;
mod app_passwords;
mod attached;
mod boot;
mod compose;
mod draft;
mod folders;
mod list;
mod live;
mod looked;
mod place;
mod shared;
mod sharing;
mod store;
mod toast;

pub(crate) use answer::Kind;
pub(crate) use app_passwords::AppPasswords;
pub(crate) use attached::{Attached, AttachedState};
pub(crate) use boot::{Boot, load};
pub(crate) use draft::{Draft, Kept, Recipients, Written};
pub(crate) use list::{List, Source, Status};
pub(crate) use looked::{Known, Looked};
pub(crate) use place::Place;
pub(crate) use shared::{Group, Line, groups, owner_name, shared_name};
pub(crate) use sharing::{Level, Sharing};
pub(crate) use store::{Opened, Store};
pub(crate) use toast::{Toast, Undo};
