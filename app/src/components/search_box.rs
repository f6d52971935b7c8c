//! The search box: a form, so that it works before WebAssembly does.

use leptos::{ev::SubmitEvent, html, prelude::*};

use super::icon::{Draw, Icon};
use crate::{
    i18n::texts,
    state::{Place, Store},
};

#[component]
pub(crate) fn SearchBox() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let input = NodeRef::<html::Input>::new();
    let query = Memo::new(move |_| match store.place.get() {
        Place::Search { query, .. } => query,
        Place::Folder { .. } | Place::Compose => String::new(),
    });
    // The page that is for searching begins where one types.
    Effect::new(move |_| {
        let searching =
            store.place.with(|place| matches!(place, Place::Search { query, .. } if query.is_empty()));
        if let Some(input) = input.get().filter(|_| searching) {
            let _ = input.focus();
        }
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let query = input.get_untracked().map(|input| input.value().trim().to_owned()).unwrap_or_default();
        store.go(&if query.is_empty() {
            Place::folder("inbox")
        } else {
            Place::Search { query, message: None }
        });
    };
    view! {
        <form class="search" role="search" method="get" action="/search" on:submit=submit>
            <Draw icon=Icon::Search />
            <input
                node_ref=input
                type="search"
                name="q"
                data-testid="search-box"
                aria-label=t.search_mail
                aria-keyshortcuts="/"
                placeholder=t.search_mail
                title=t.search_hint
                autocomplete="off"
                spellcheck="false"
                prop:value=query
                value=query.get_untracked()
            />
            {move || {
                (!query.get().is_empty())
                    .then(|| {
                        view! {
                            <a class="icon-button" href="/mail/inbox" aria-label=t.search_clear title=t.search_clear>
                                <Draw icon=Icon::Close />
                            </a>
                        }
                    })
            }}
        </form>
    }
    .into_any()
}
