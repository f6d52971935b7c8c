//! Compose, the folders, the account.

use leptos::prelude::*;
use types::{Role, api::Folder};

use super::{
    dialog::{Dialog, Question},
    folder_link::FolderLink,
    icon::{Draw, Icon},
    logo::Logo,
    settings::Settings,
};
use crate::{browser, i18n::texts, state::Store, text::size};

#[component]
pub(crate) fn Sidebar() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    view! {
        <div class="sidebar-shade" on:click=move |_| store.sidebar_open.set(false)></div>
        <aside class="sidebar">
            <a class="brand" href="/mail/inbox">
                <Logo />
                <span>"Magpie"</span>
            </a>
            <ComposeButton />
            <nav class="folders" aria-label=t.folders>
                <FolderList />
            </nav>
            <Account />
        </aside>
    }
    .into_any()
}

#[component]
fn ComposeButton() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    view! {
        <a
            class="button primary compose-button"
            href="/compose"
            data-testid="compose-button"
            aria-keyshortcuts="c"
            on:click=move |event| {
                if !browser::is_phone() {
                    event.prevent_default();
                    store.begin();
                }
            }
        >
            <Draw icon=Icon::Pen />
            <span>{t.compose}</span>
        </a>
    }
    .into_any()
}

/// Those with a role first, in the order of [`Role::ALL`]; then the reader's own, by name.
fn in_order(mut folders: Vec<Folder>) -> (Vec<Folder>, Vec<Folder>) {
    folders.sort_by_key(|folder| {
        let role = folder.role.and_then(|role| Role::ALL.iter().position(|known| *known == role));
        (role.unwrap_or(usize::MAX), folder.name.to_lowercase())
    });
    folders.into_iter().partition(|folder| folder.role.is_some())
}

#[component]
fn FolderList() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let question = RwSignal::new(None);
    let ask = move |_| {
        question.set(Some(Question {
            title: t.new_folder.to_owned(),
            note: "",
            line: Some((t.folder_name, String::new())),
            yes: t.create,
            danger: false,
        }));
    };
    let known = Memo::new(move |_| {
        let (known, own) = in_order(store.folders.get());
        (
            known.iter().map(|folder| folder.id).collect::<Vec<_>>(),
            own.iter().map(|folder| folder.id).collect::<Vec<_>>(),
        )
    });
    view! {
        <ul>
            <For each=move || known.get().0 key=|id| *id children=|id| view! { <FolderLink id /> } />
        </ul>
        <div class="folders-title">
            <h2>{t.folders}</h2>
            <super::button::IconButton label=t.new_folder icon=Icon::Plus press=ask testid="new-folder" />
        </div>
        <ul>
            <For each=move || known.get().1 key=|id| *id children=|id| view! { <FolderLink id /> } />
        </ul>
        <Dialog question answer=move |name| store.create_folder(name) />
    }
    .into_any()
}

#[component]
fn Account() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let storage = move || {
        let account = store.account.get();
        let used = size(account.used_bytes);
        match account.quota_bytes {
            Some(quota) => view! {
                <p class="storage">
                    <span>{t.used(&used, &size(quota))}</span>
                    <progress aria-label=t.storage max=quota.to_string() value=account.used_bytes.to_string()></progress>
                </p>
            }
            .into_any(),
            None if account.used_bytes > 0 => view! { <p class="storage"><span>{t.storage} " · " {used}</span></p> }.into_any(),
            None => ().into_any(),
        }
    };
    view! {
        <div class="account">
            {storage}
            <div class="account-line">
                <span class="account-who">
                    <b dir="auto">{move || store.account.get().name}</b>
                    <span>{move || store.account.get().email}</span>
                </span>
                <Settings />
            </div>
        </div>
    }
    .into_any()
}
