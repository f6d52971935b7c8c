//! The webmail: pages and components, over a trait [`Api`].
//!
//! The server renders [`shell`] with an [`Api`] of its own and the reader's [`Preferences`] in the context; the
//! browser hydrates [`App`] with [`api::http`]. What the server loaded travels inside the page, so
//! that nothing is asked for twice and both halves render the same.
//!
//! **Invariant:** knows no own crate but `types`.

#![expect(unreachable_pub, reason = "the component macro makes functions and properties `pub`")]

pub mod api;
mod app;
mod browser;
mod components;
mod i18n;
mod pages;
mod preferences;
mod shell;
mod state;
mod text;

pub use api::Api;
pub use app::App;
pub use browser::mark_hydrated;
pub use i18n::Lang;
pub use preferences::{Density, Preferences, Theme};
pub use shell::{Assets, shell};
