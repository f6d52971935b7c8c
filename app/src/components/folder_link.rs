//! A folder in the sidebar, with what is unread in it.

use leptos::prelude::*;
use types::{MailboxId, Role, api::Folder};

use super::{
    dialog::{Dialog, Line, LineKind, Question},
    icon::{Draw, Icon},
    menu::{Menu, MenuItem},
    sharing::SharingDialog,
};
use crate::{
    i18n::{Texts, texts},
    state::{Place, Store},
    text::grouped,
};

/// Folders that are nested deeper are not indented further.
pub(crate) const DEEPEST: usize = 5;

/// What a folder is called: by its role in the reader's language, or as the reader named it.
pub(crate) fn folder_name(folder: &Folder, t: &Texts) -> String {
    folder.role.map_or_else(|| folder.name.clone(), |role| t.role(role).to_owned())
}

pub(crate) fn folder_icon(role: Option<Role>) -> Icon {
    match role {
        Some(Role::Inbox) => Icon::Inbox,
        Some(Role::Drafts) => Icon::Draft,
        Some(Role::Sent) => Icon::Send,
        Some(Role::Archive) => Icon::Archive,
        Some(Role::Junk) => Icon::Spam,
        Some(Role::Trash) => Icon::Bin,
        None => Icon::Folder,
    }
}

/// The number beside a folder: what is unread; of drafts, all.
fn count(folder: &Folder) -> u64 {
    match folder.role {
        Some(Role::Drafts) => folder.total,
        Some(Role::Sent | Role::Trash) => 0,
        Some(Role::Inbox | Role::Archive | Role::Junk) | None => folder.unread,
    }
}

#[component]
pub(crate) fn FolderLink(id: MailboxId, depth: usize) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let folder = Memo::new(move |_| {
        store.folders.with(|folders| folders.iter().find(|folder| folder.id == id).cloned())
    });
    let with = move |read: fn(&Folder) -> String| {
        folder.with(|folder| folder.as_ref().map(read).unwrap_or_default())
    };
    let name = move || {
        folder.with(|folder| folder.as_ref().map(|folder| folder_name(folder, t)).unwrap_or_default())
    };
    let role = move || folder.with(|folder| folder.as_ref().and_then(|folder| folder.role));
    let unread = Memo::new(move |_| folder.with(|folder| folder.as_ref().map(count).unwrap_or_default()));
    let is_current = move || store.folder().is_some_and(|folder| folder.id == id);
    view! {
        <li class="folder" data-depth=depth.min(DEEPEST).to_string() class:has-unread=move || unread.get() != 0>
            <a
                class="folder-link"
                data-testid="folder-link"
                data-role=move || role().map(|role| role.name().to_lowercase())
                href=move || with(|folder| Place::of(folder).href())
                aria-current=move || is_current().then_some("page")
            >
                <Draw icon=Signal::derive(move || folder_icon(role())) />
                <span class="folder-name" dir="auto">
                    {name}
                </span>
                <Count
                    n=unread
                    said=move |n| if role() == Some(Role::Drafts) { t.draft_count(n) } else { t.unread_count(n) }
                />
            </a>
            <FolderMenu id folder />
        </li>
    }
    .into_any()
}

/// The number beside a folder, unless it is zero; and what it counts.
#[component]
pub(crate) fn Count(n: Memo<u64>, said: impl Fn(u64) -> String + Send + Sync + 'static) -> impl IntoView {
    move || {
        let n = n.get();
        (n > 0).then(|| {
            view! {
                <span class="folder-count" data-testid="unread-count">
                    <span aria-hidden="true">{grouped(n)}</span>
                    <span class="sr-only">{said(n)}</span>
                </span>
            }
        })
    }
}

#[component]
fn FolderMenu(id: MailboxId, folder: Memo<Option<Folder>>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let question = RwSignal::new(None);
    let is_sharing = RwSignal::new(false);
    let is_named =
        Memo::new(move |_| folder.with(|folder| folder.as_ref().is_some_and(|folder| folder.role.is_none())));
    let name = move || folder.get_untracked().map(|folder| folder.name).unwrap_or_default();
    let rename = move |()| {
        question.set(Some(Question {
            title: t.rename_folder.to_owned(),
            note: String::new(),
            line: Some(Line { label: t.folder_name, value: name(), kind: LineKind::Text }),
            yes: t.rename,
            danger: false,
        }));
    };
    let delete = move |()| {
        question.set(Some(Question {
            title: t.confirm_delete_folder(&name()),
            note: t.confirm_folder.to_owned(),
            line: None,
            yes: t.delete,
            danger: true,
        }));
    };
    let answer = move |said: String| {
        if said.is_empty() {
            store.delete_folder(id);
        } else {
            store.rename_folder(id, said);
        }
    };
    view! {
        <Menu label=t.folder_actions icon=Icon::More class="folder-menu" testid="folder-menu">
            <MenuItem label=t.share_folder icon=Icon::People press=move |()| is_sharing.set(true) testid="share-folder" />
            // What every account has stays as it is.
            <Show when=move || is_named.get()>
                <MenuItem label=t.rename_folder icon=Icon::Pen press=rename />
                <MenuItem label=t.delete_folder icon=Icon::Bin press=delete danger=true />
            </Show>
        </Menu>
        <Dialog question answer />
        <Show when=move || is_sharing.get()>
            <SharingDialog folder is_open=is_sharing />
        </Show>
    }
    .into_any()
}
