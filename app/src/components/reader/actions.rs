//! What can be done to the opened message.

use std::sync::Arc;

use leptos::prelude::*;
use types::{
    MessageId, Rights, Role,
    api::{Message, Summary},
};

use crate::{
    components::{
        button::IconButton,
        icon::{Draw, Icon},
        menu::{Menu, MenuItem, MenuLink},
        move_menu::MoveMenu,
    },
    i18n::texts,
    state::{Kind, Store},
};

#[component]
pub(crate) fn Toolbar(summary: Memo<Summary>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let id = summary.with_untracked(|summary| summary.id);
    let flagged = Memo::new(move |_| summary.with(|summary| summary.flagged));
    let unread = Memo::new(move |_| summary.with(|summary| summary.unread));
    let role = Memo::new(move |_| {
        let own = store.is_own().then(|| summary.with(|summary| summary.folder_id));
        own.and_then(|folder| store.role_of(folder))
    });
    let list = move || store.place.with(|place| place.with_message(None).href());
    let star_label = move || if flagged.get() { t.unstar } else { t.star };
    let read_label = move || if unread.get() { t.mark_read } else { t.mark_unread };
    let delete_label = move || if role.get() == Some(Role::Trash) { t.delete_for_good } else { t.delete };
    let mark_unread = move |_| {
        let unread = !unread.get_untracked();
        store.set_unread(vec![id], unread);
        if unread {
            store.go(&store.place.get_untracked().with_message(None));
        }
    };
    view! {
        <div class="toolbar" role="toolbar" aria-label=t.message_body>
            <a class="icon-button toolbar-back" href=list aria-label=t.back title=t.back data-testid="back">
                <Draw icon=Icon::Back />
            </a>
            {move || {
                (store.is_own() && role.get() != Some(Role::Archive))
                    .then(|| {
                        view! {
                            <IconButton
                                label=t.archive
                                icon=Icon::Archive
                                testid="archive"
                                key="e"
                                press=move |_| store.archive(vec![id], t)
                            />
                        }
                    })
            }}
            <Show when=move || store.may_delete()>
                <IconButton
                    label=Signal::derive(delete_label)
                    icon=Icon::Bin
                    testid="delete"
                    key="#"
                    press=move |_| store.delete(vec![id], t)
                />
            </Show>
            <MoveMenu targets=Signal::derive(move || vec![id]) />
            <Show when=move || store.may(Rights::SEEN)>
                <IconButton label=Signal::derive(read_label) icon=Icon::Mail testid="mark-unread" press=mark_unread />
            </Show>
            <Show when=move || store.may(Rights::WRITE)>
                <IconButton
                    label=Signal::derive(star_label)
                    icon=Icon::Star
                    testid="star"
                    class="star"
                    key="s"
                    pressed=Signal::derive(move || flagged.get())
                    press=move |_| store.set_flagged(vec![id], !flagged.get_untracked())
                />
            </Show>
            <span class="spacer"></span>
            <Neighbours id />
            <More id role />
        </div>
    }
    .into_any()
}

/// To the next message of the list, and the one before.
#[component]
fn Neighbours(id: MessageId) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let link = move |newer: bool, label: &'static str, icon: Icon| {
        let next = Memo::new(move |_| store.neighbour(id, newer));
        view! {
            <a
                class="icon-button neighbour"
                href=move || next.get().map(|next| store.place.with(|place| place.with_message(Some(next)).href()))
                aria-disabled=move || next.get().is_none().then_some("true")
                role=move || next.get().is_none().then_some("link")
                aria-label=label
                title=label
            >
                <Draw icon />
            </a>
        }
    };
    view! {
        {link(true, t.newer, Icon::ChevronUp)}
        {link(false, t.older, Icon::ChevronDown)}
    }
    .into_any()
}

#[component]
fn More(id: MessageId, role: Memo<Option<Role>>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let spam = move || {
        let (wanted, label) = match role.get() {
            Some(Role::Junk) => (Role::Inbox, t.not_spam),
            _ => (Role::Junk, t.spam),
        };
        let target = store.folder_of(wanted)?.id;
        Some(
            view! { <MenuItem label icon=Icon::Spam testid="spam" press=move |()| store.move_to(vec![id], target, t) /> },
        )
    };
    let source = move || format!("{}/raw", untrack(|| store.address_of(id)));
    view! {
        <Menu label=t.more icon=Icon::More testid="more">
            <MenuItem label=t.reply icon=Icon::Reply press=move |()| store.answer(id, Kind::Reply) />
            <MenuItem label=t.reply_all icon=Icon::ReplyAll press=move |()| store.answer(id, Kind::ReplyAll) />
            <MenuItem label=t.forward icon=Icon::Forward press=move |()| store.answer(id, Kind::Forward) />
            <Show when=move || store.is_own()>{spam}</Show>
            <MenuLink label=t.show_source icon=Icon::File href=source() />
        </Menu>
    }
    .into_any()
}

/// The quiet row below the message.
#[component]
pub(crate) fn Answers(message: Arc<Message>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let id = message.summary.id;
    let others = message.summary.to.len() + message.cc.len();
    let answer =
        move |kind: Kind, label: &'static str, icon: Icon, testid: &'static str, key: &'static str| {
            view! {
                <button
                    type="button"
                    class="button"
                    data-testid=testid
                    aria-keyshortcuts=key
                    on:click=move |_| store.answer(id, kind)
                >
                    <Draw icon />
                    <span>{label}</span>
                </button>
            }
        };
    view! {
        <div class="answers">
            {answer(Kind::Reply, t.reply, Icon::Reply, "reply", "r")}
            {(others > 1).then(|| answer(Kind::ReplyAll, t.reply_all, Icon::ReplyAll, "reply-all", "a"))}
            {answer(Kind::Forward, t.forward, Icon::Forward, "forward", "f")}
        </div>
    }
    .into_any()
}
