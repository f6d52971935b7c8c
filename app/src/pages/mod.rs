//! One file a page.

mod login;
mod mail;
mod not_found;

pub(crate) use login::Login;
pub(crate) use mail::Mail;
pub(crate) use not_found::NotFound;
