//! The passwords of the reader's mail programs: looked at, made, taken away.

use leptos::prelude::*;
use types::{
    AppPasswordId, Secret,
    api::{AppPassword, MadeAppPassword, NewAppPassword},
};

use super::{Looked, Store};

/// App passwords while they are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppPasswords {
    pub(crate) all: Looked<AppPassword>,
    /// The one that was just made: it is told once.
    pub(crate) made: RwSignal<Option<MadeAppPassword>>,
}

impl AppPasswords {
    pub(crate) fn new() -> Self {
        Self { all: Looked::new(), made: RwSignal::new(None) }
    }

    pub(crate) fn load(self, store: Store) {
        let api = store.api();
        self.all.load(async move { Ok(api.app_passwords().await?.app_passwords) });
    }

    /// Makes one; `done` if that could be.
    pub(crate) fn add(self, store: Store, name: String, own: String, done: impl Fn() + 'static) {
        let (api, new) = (store.api(), NewAppPassword { name, password: Secret::new(own) });
        self.all.ask(async move { api.add_app_password(new).await }, move |made| {
            self.all.change(|all| all.push(made.app_password.clone()));
            self.made.set(Some(made));
            done();
        });
    }

    pub(crate) fn remove(self, store: Store, id: AppPasswordId) {
        let api = store.api();
        self.all.ask(async move { api.remove_app_password(id).await }, move |()| {
            self.all.change(|all| all.retain(|known| known.id != id));
            self.made.update(|made| *made = made.take().filter(|made| made.app_password.id != id));
        });
    }
}
