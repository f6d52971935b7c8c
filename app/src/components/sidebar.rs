//! Compose, the folders, the account.

use leptos::prelude::*;
use types::{MailboxId, Role, api::Folder};

use super::{
    dialog::{Dialog, Line, LineKind, Question},
    folder_link::FolderLink,
    icon::{Draw, Icon},
    logo::Logo,
    settings::Settings,
    shared_folders::SharedFolders,
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
                <SharedFolders />
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

/// A folder, and how many folders it is in.
type Nested = (MailboxId, usize);

/// Those with a role first, in the order of [`Role::ALL`]; then the reader's own, by name. Each is followed by those
/// that are in it.
fn in_order(mut folders: Vec<Folder>) -> (Vec<Nested>, Vec<Nested>) {
    folders.sort_by_cached_key(|folder| {
        let role = folder.role.and_then(|role| Role::ALL.iter().position(|known| *known == role));
        (role.unwrap_or(usize::MAX), folder.name.to_lowercase())
    });
    let is_inside = |folder: &Folder| {
        folder.role.is_none() && folders.iter().any(|known| Some(known.id) == folder.parent_id)
    };
    let (mut known, mut own) = (Vec::new(), Vec::new());
    for folder in folders.iter().filter(|folder| !is_inside(folder)) {
        nest(&folders, folder.id, 0, if folder.role.is_some() { &mut known } else { &mut own });
    }
    (known, own)
}

/// A folder, then those in it.
fn nest(folders: &[Folder], id: MailboxId, depth: usize, order: &mut Vec<Nested>) {
    order.push((id, depth));
    for child in folders.iter().filter(|folder| folder.parent_id == Some(id) && folder.role.is_none()) {
        nest(folders, child.id, depth + 1, order);
    }
}

#[component]
fn FolderList() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let question = RwSignal::new(None);
    let ask = move |_| {
        question.set(Some(Question {
            title: t.new_folder.to_owned(),
            note: String::new(),
            line: Some(Line { label: t.folder_name, value: String::new(), kind: LineKind::Text }),
            yes: t.create,
            danger: false,
        }));
    };
    let known = Memo::new(move |_| in_order(store.folders.get()));
    let link = |(id, depth): Nested| view! { <FolderLink id depth /> };
    view! {
        <ul>
            <For each=move || known.get().0 key=|nested| *nested children=link />
        </ul>
        <div class="folders-title">
            <h2>{t.folders}</h2>
            <super::button::IconButton label=t.new_folder icon=Icon::Plus press=ask testid="new-folder" />
        </div>
        <ul>
            <For each=move || known.get().1 key=|nested| *nested children=link />
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_follow_the_one_they_are_in() {
        let folder = |id: i64, name: &str, role: Option<Role>, parent: Option<i64>| Folder {
            id: MailboxId(id),
            name: name.to_owned(),
            role,
            parent_id: parent.map(MailboxId),
            total: 0,
            unread: 0,
        };
        let (known, own) = in_order(vec![
            folder(5, "2026", None, Some(4)),
            folder(3, "alpha", None, None),
            folder(4, "Work", None, None),
            folder(6, "invoices", None, Some(5)),
            folder(2, "Trash", Some(Role::Trash), None),
            folder(1, "Inbox", Some(Role::Inbox), None),
            folder(7, "lists", None, Some(1)),
            folder(8, "orphan", None, Some(99)),
        ]);
        let plain =
            |nested: Vec<Nested>| nested.into_iter().map(|(id, depth)| (id.0, depth)).collect::<Vec<_>>();
        assert_eq!(plain(known), [(1, 0), (7, 1), (2, 0)]);
        assert_eq!(plain(own), [(3, 0), (8, 0), (4, 0), (5, 1), (6, 2)]);
    }
}
