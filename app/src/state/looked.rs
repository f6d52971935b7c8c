//! A list that is looked at over the page while things are added to it, changed and taken out.

use std::future::Future;

use leptos::{prelude::*, task::spawn_local};
use types::Problem;

use super::store::leave_if_over;
use crate::api::Answer;

/// What is in it, as far as that is known.
#[derive(Debug, Clone)]
pub(crate) enum Known<T> {
    Loading,
    All(Vec<T>),
    Failed(Problem),
}

/// The list while it is looked at.
#[derive(Debug)]
pub(crate) struct Looked<T: Send + Sync + 'static> {
    pub(crate) known: RwSignal<Known<T>>,
    /// Why the last change was not made.
    pub(crate) problem: RwSignal<Option<Problem>>,
    /// Whether a change is on its way.
    pub(crate) busy: RwSignal<bool>,
}

impl<T: Send + Sync + 'static> Clone for Looked<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Looked<T> {}

impl<T: Send + Sync + 'static> Looked<T> {
    pub(crate) fn new() -> Self {
        Self {
            known: RwSignal::new(Known::Loading),
            problem: RwSignal::new(None),
            busy: RwSignal::new(false),
        }
    }

    pub(crate) fn load(self, all: impl Future<Output = Answer<Vec<T>>> + 'static) {
        spawn_local(async move {
            let known = match all.await {
                Ok(all) => Known::All(all),
                Err(problem) => {
                    leave_if_over(&problem);
                    Known::Failed(problem)
                }
            };
            self.known.set(known);
        });
    }

    /// Has something changed; `done` with the answer if that could be.
    pub(crate) fn ask<A: 'static>(
        self,
        request: impl Future<Output = Answer<A>> + 'static,
        done: impl FnOnce(A) + 'static,
    ) {
        self.busy.set(true);
        spawn_local(async move {
            let outcome = request.await;
            self.busy.set(false);
            match outcome {
                Ok(answer) => {
                    self.problem.set(None);
                    done(answer);
                }
                Err(problem) => {
                    leave_if_over(&problem);
                    self.problem.set(Some(problem));
                    // What is shown may not be so: a choice is put back to what holds.
                    self.known.update(|_| {});
                }
            }
        });
    }

    pub(crate) fn change(self, change: impl FnOnce(&mut Vec<T>)) {
        self.known.update(|known| {
            if let Known::All(all) = known {
                change(all);
            }
        });
    }
}
