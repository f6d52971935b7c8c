//! The passwords of the reader's mail programs: looked at, made, taken away.

use leptos::{prelude::*, task::spawn_local};
use types::{
    AppPasswordId, Problem, Secret,
    api::{AppPassword, MadeAppPassword, NewAppPassword},
};

use super::{Store, store::leave_if_over};

/// Those that there are, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) enum Known {
    #[default]
    Loading,
    All(Vec<AppPassword>),
    Failed(Problem),
}

/// App passwords while they are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppPasswords {
    pub(crate) known: RwSignal<Known>,
    /// The one that was just made: it is told once.
    pub(crate) made: RwSignal<Option<MadeAppPassword>>,
    /// Why the last change was not made.
    pub(crate) problem: RwSignal<Option<Problem>>,
    /// Whether a change is on its way.
    pub(crate) busy: RwSignal<bool>,
}

impl AppPasswords {
    pub(crate) fn new() -> Self {
        Self {
            known: RwSignal::new(Known::Loading),
            made: RwSignal::new(None),
            problem: RwSignal::new(None),
            busy: RwSignal::new(false),
        }
    }

    pub(crate) fn load(self, store: Store) {
        let api = store.api();
        spawn_local(async move {
            let known = match api.app_passwords().await {
                Ok(all) => Known::All(all.app_passwords),
                Err(problem) => {
                    leave_if_over(&problem);
                    Known::Failed(problem)
                }
            };
            self.known.set(known);
        });
    }

    /// Makes one; `done` if that could be.
    pub(crate) fn add(self, store: Store, name: String, own: String, done: impl Fn() + 'static) {
        self.busy.set(true);
        let api = store.api();
        spawn_local(async move {
            let new = NewAppPassword { name, password: Secret::new(own) };
            if let Some(made) = self.settled(api.add_app_password(new).await) {
                self.change(|all| all.push(made.app_password.clone()));
                self.made.set(Some(made));
                done();
            }
        });
    }

    pub(crate) fn remove(self, store: Store, id: AppPasswordId) {
        self.busy.set(true);
        let api = store.api();
        spawn_local(async move {
            if self.settled(api.remove_app_password(id).await).is_some() {
                self.change(|all| all.retain(|known| known.id != id));
                self.made.update(|made| *made = made.take().filter(|made| made.app_password.id != id));
            }
        });
    }

    fn settled<T>(self, outcome: Result<T, Problem>) -> Option<T> {
        self.busy.set(false);
        match outcome {
            Ok(value) => {
                self.problem.set(None);
                Some(value)
            }
            Err(problem) => {
                leave_if_over(&problem);
                self.problem.set(Some(problem));
                None
            }
        }
    }

    fn change(self, change: impl FnOnce(&mut Vec<AppPassword>)) {
        self.known.update(|known| {
            if let Known::All(all) = known {
                change(all);
            }
        });
    }
}
