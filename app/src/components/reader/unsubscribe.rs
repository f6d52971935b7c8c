//! Beside the sender of a list's mail: the way to leave the list.

use leptos::prelude::*;
use types::{
    MessageId, Role,
    api::{Summary, Unsubscribe},
};

use crate::{
    components::dialog::{Dialog, Question},
    i18n::texts,
    state::Store,
};

#[component]
pub(crate) fn LeaveList(id: MessageId, sender: String, way: Unsubscribe, summary: Memo<Summary>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    // Who answers spam tells that somebody reads it; and one's own list is not left by its copy.
    let is_read_here = Memo::new(move |_| {
        let role = store.role_of(summary.with(|summary| summary.folder_id));
        !matches!(role, Some(Role::Junk | Role::Sent | Role::Drafts))
    });
    view! {
        <Show when=move || is_read_here.get()>
            {match way.clone() {
                Unsubscribe::OneClick { host } => {
                    view! { <Ask id sender=sender.clone() note=t.unsubscribe_by_click(&host) /> }.into_any()
                }
                Unsubscribe::Mail { address } => {
                    view! { <Ask id sender=sender.clone() note=t.unsubscribe_by_mail(&address) /> }.into_any()
                }
                Unsubscribe::Page { url } => view! { <Page url /> }.into_any(),
            }}
        </Show>
    }
    .into_any()
}

/// The reader has to go there.
#[component]
fn Page(url: String) -> AnyView {
    let t = texts();
    let title = format!("{}: {url}", t.unsubscribe_page);
    view! {
        <a class="unsubscribe" href=url title=title target="_blank" rel="noopener noreferrer" data-testid="unsubscribe">
            {t.unsubscribe}
        </a>
    }
    .into_any()
}

/// The service does it, if the reader says yes.
#[component]
fn Ask(id: MessageId, sender: String, note: String) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let (question, left) = (RwSignal::new(None), RwSignal::new(false));
    let ask = move |_| {
        question.set(Some(Question {
            title: t.confirm_unsubscribe(&sender),
            note: note.clone(),
            line: None,
            yes: t.unsubscribe,
            danger: false,
        }));
    };
    view! {
        <button type="button" class="unsubscribe" disabled=move || left.get() on:click=ask data-testid="unsubscribe">
            {t.unsubscribe}
        </button>
        <Dialog question answer=move |_| store.unsubscribe(id, left, t) />
    }
    .into_any()
}
