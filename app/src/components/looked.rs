//! A list over the page: while it is waited for, where it could not be had, empty, or line by line.

use leptos::prelude::*;
use types::Problem;

use crate::{
    i18n::texts,
    state::{Known, Looked},
};

#[component]
pub(crate) fn LookedList<T, V>(
    looked: Looked<T>,
    label: &'static str,
    /// What is said where there is none.
    nothing: &'static str,
    testid_nothing: &'static str,
    line: impl Fn(T) -> V + Send + Sync + 'static,
) -> AnyView
where
    T: Clone + Send + Sync + 'static,
    V: IntoView + 'static,
{
    let t = texts();
    let list = move || match looked.known.get() {
        Known::Loading => {
            view! { <div class="sharing-person skeleton" aria-busy="true"><span class="bar"></span></div> }
                .into_any()
        }
        Known::Failed(problem) => view! { <p role="alert">{t.problem(&problem)}</p> }.into_any(),
        Known::All(all) if all.is_empty() => {
            view! { <p class="quiet" data-testid=testid_nothing>{nothing}</p> }.into_any()
        }
        Known::All(all) => {
            let lines = all.into_iter().map(&line).collect_view();
            view! {
                <ul class="sharing-people" aria-label=label>
                    {lines}
                </ul>
            }
            .into_any()
        }
    };
    view! { {list} }.into_any()
}

/// Why the last change was not made.
#[component]
pub(crate) fn LookedProblem(
    problem: RwSignal<Option<Problem>>,
    testid: &'static str,
    said: impl Fn(&Problem) -> String + Send + Sync + 'static,
) -> AnyView {
    view! {
        {move || {
            problem
                .get()
                .map(|problem| {
                    view! { <p class="sharing-problem" role="alert" data-testid=testid>{said(&problem)}</p> }
                })
        }}
    }
    .into_any()
}
