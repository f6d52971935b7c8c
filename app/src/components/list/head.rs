//! Above the rows: where one is and the filters; or, while messages are selected, what can be done to them.

use leptos::prelude::*;
use types::Rights;

use crate::{
    api::Filter,
    components::{
        button::IconButton,
        icon::{Draw, Icon},
        move_menu::MoveMenu,
    },
    i18n::texts,
    state::{Place, Store},
};

#[component]
pub(crate) fn ListHead() -> AnyView {
    let store = expect_context::<Store>();
    let selecting = Memo::new(move |_| store.selection.with(|selection| !selection.is_empty()));
    view! {
        <header class="list-head" class:selecting=selecting>
            {move || if selecting.get() { view! { <Bulk /> }.into_any() } else { view! { <Title /> }.into_any() }}
        </header>
    }
    .into_any()
}

#[component]
fn Title() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let title = move || match store.place.get() {
        Place::Search { query, .. } if query.is_empty() => t.search.to_owned(),
        Place::Search { .. } => t.search_results.to_owned(),
        Place::Folder { .. } | Place::Compose => {
            store.here().map_or_else(|| t.mail.to_owned(), |here| here.name)
        }
    };
    let count = move || match store.place.get() {
        Place::Search { .. } => store
            .with_list(|list| list.found)
            .flatten()
            .map(|(n, about)| t.found(n, about))
            .unwrap_or_default(),
        Place::Folder { .. } | Place::Compose => {
            store.here().map(|here| t.message_count(here.total)).unwrap_or_default()
        }
    };
    let is_folder = move || matches!(store.place.get(), Place::Folder { .. });
    view! {
        <div class="list-title">
            <h1 dir="auto">{title}</h1>
            {move || store.here().and_then(|here| here.owner).map(|owner| view! { <bdi class="list-owner">{owner}</bdi> })}
            <span class="list-count">{count}</span>
            <IconButton label=t.refresh icon=Icon::Refresh class="refresh" press=move |_| store.refresh() />
        </div>
        {move || is_folder().then(|| view! { <Filters /> })}
    }
    .into_any()
}

#[component]
fn Filters() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let here = Memo::new(move |_| store.place.with(Place::filter));
    let none = Filter::default();
    let link = move |label: &'static str, testid: &'static str, filter: Filter| {
        view! {
            <a
                class="filter"
                data-testid=testid
                href=move || store.place.with(|place| place.with_filter(filter).href())
                aria-current=move || (here.get() == filter).then_some("true")
            >
                {label}
            </a>
        }
    };
    view! {
        <nav class="filters" aria-label=t.filters>
            {link(t.all, "filter-all", none)}
            {link(t.unread, "filter-unread", Filter { unread: true, ..none })}
            {link(t.starred, "filter-starred", Filter { flagged: true, ..none })}
            {link(t.attachments, "filter-attachments", Filter { attachments: true, ..none })}
        </nav>
    }
    .into_any()
}

#[component]
fn Bulk() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let ids = move || store.selection.get().into_iter().collect::<Vec<_>>();
    let some_unread = Memo::new(move |_| {
        ids().into_iter().any(|id| store.summary(id).is_some_and(|message| message.unread))
    });
    let select_all = move |_| {
        let all = store.with_list(|list| list.rows.iter().map(|row| row.id).collect()).unwrap_or_default();
        store.selection.set(all);
    };
    let read_label = move || if some_unread.get() { t.mark_read } else { t.mark_unread };
    let read_icon = move || if some_unread.get() { Icon::MailOpen } else { Icon::Mail };
    view! {
        <h1 class="sr-only">{t.select}</h1>
        <div class="bulk" role="toolbar" aria-label=t.select data-testid="bulk">
            <IconButton
                label=t.clear_selection
                icon=Icon::Close
                press=move |_| store.selection.update(std::collections::BTreeSet::clear)
            />
            <span class="bulk-count" role="status">
                {move || t.selected(store.selection.with(std::collections::BTreeSet::len))}
            </span>
            <button type="button" class="link" on:click=select_all data-testid="select-all">
                {t.select_all}
            </button>
            <span class="spacer"></span>
            <Show when=move || store.is_own()>
                <IconButton label=t.archive icon=Icon::Archive testid="bulk-archive" press=move |_| store.archive(ids(), t) />
            </Show>
            <Show when=move || store.may_delete()>
                <IconButton label=t.delete icon=Icon::Bin testid="bulk-delete" press=move |_| store.delete(ids(), t) />
            </Show>
            <Show when=move || store.may(Rights::SEEN)>
                <IconButton
                    label=Signal::derive(read_label)
                    icon=Signal::derive(read_icon)
                    testid="bulk-unread"
                    press=move |_| store.set_unread(ids(), !some_unread.get_untracked())
                />
            </Show>
            <MoveMenu targets=Signal::derive(ids) />
        </div>
    }
    .into_any()
}

/// A star or a paper clip at the end of a row.
#[component]
pub(super) fn Mark(icon: Icon, label: &'static str, #[prop(optional)] class: &'static str) -> AnyView {
    view! {
        <span class=format!("mark {class}") role="img" aria-label=label title=label>
            <Draw icon />
        </span>
    }
    .into_any()
}
