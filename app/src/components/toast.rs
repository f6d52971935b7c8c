//! What just happened, and the way back.

use leptos::prelude::*;

use super::{button::IconButton, icon::Icon};
use crate::{
    i18n::texts,
    state::{Store, Toast},
};

#[component]
pub(crate) fn Toasts() -> AnyView {
    let store = expect_context::<Store>();
    view! {
        <div class="toasts" role="status" aria-live="polite">
            <For each=move || store.toasts.get() key=|toast| toast.id children=move |toast| view! { <One toast /> } />
        </div>
    }
    .into_any()
}

#[component]
fn One(toast: Toast) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let id = toast.id;
    let undo = toast.undo.map(|undo| {
        view! {
            <button
                type="button"
                class="toast-action"
                data-testid="undo"
                on:click=move |_| {
                    store.dismiss(id);
                    store.undo(undo.clone());
                }
            >
                {t.undo}
            </button>
        }
    });
    let link = toast.link.map(|(href, label)| {
        view! {
            <a class="toast-action" href=href on:click=move |_| store.dismiss(id)>
                {label}
            </a>
        }
    });
    view! {
        <div class="toast" class:error=toast.is_error data-testid="toast">
            <span class="toast-text">{toast.text}</span>
            {undo}
            {link}
            <IconButton label=t.dismiss icon=Icon::Close press=move |_| store.dismiss(id) />
        </div>
    }
    .into_any()
}
