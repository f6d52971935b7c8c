//! What the list says instead of rows: that it is empty, or that it could not be loaded.

use leptos::prelude::*;
use types::Role;

use crate::{
    api::Filter,
    components::{empty::Empty, icon::Icon},
    i18n::texts,
    state::{Place, Status, Store},
};

#[component]
pub(crate) fn Notice() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let failed = Memo::new(move |_| {
        store.with_list(|list| match &list.status {
            Status::Failed(problem) => Some(t.problem(problem)),
            Status::Idle | Status::Loading => None,
        })?
    });
    let is_empty =
        Memo::new(move |_| store.with_list(|list| list.begun && list.rows.is_empty()).unwrap_or_default());
    let again = move |_| {
        if let Some(source) = store.source() {
            store.load_more(source);
        }
    };
    view! {
        {move || {
            failed
                .get()
                .map(|text| {
                    view! {
                        <div class="list-failed" role="alert">
                            <p>{text}</p>
                            <button type="button" class="button" on:click=again>
                                {t.retry}
                            </button>
                        </div>
                    }
                })
        }}
        {move || is_empty.get().then(|| view! { <Nothing /> })}
        {move || {
            let place = store.place.get();
            match &place {
                Place::Search { query, .. } if query.is_empty() => {
                    view! { <Empty icon=Icon::Search text=t.search_begin action=None /> }.into_any()
                }
                Place::Folder { .. } if store.here().is_none() => {
                    let action = Some((Place::folder("inbox").href(), t.to_inbox));
                    view! { <Empty icon=Icon::Folder text=t.no_such_folder action /> }.into_any()
                }
                _ => ().into_any(),
            }
        }}
    }
    .into_any()
}

#[component]
fn Nothing() -> impl IntoView {
    let t = texts();
    let store = expect_context::<Store>();
    move || {
        let place = store.place.get();
        let write = Some((Place::Compose.href(), t.write_mail));
        let (icon, text, action) = match (&place, store.role()) {
            (Place::Search { .. }, _) => (Icon::Search, t.empty_search, None),
            (_, _) if place.filter() != Filter::default() => {
                (Icon::Check, t.empty_filter, Some((place.with_filter(Filter::default()).href(), t.show_all)))
            }
            (_, Some(Role::Inbox)) => (Icon::Inbox, t.empty_inbox, write),
            (_, Some(Role::Drafts)) => (Icon::Draft, t.empty_drafts, write),
            (_, Some(Role::Trash)) => (Icon::Bin, t.empty_trash, None),
            _ => (Icon::Folder, t.empty_folder, None),
        };
        view! { <Empty icon text action /> }
    }
}
