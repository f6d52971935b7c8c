//! The keys, as people know them from other webmails.

use leptos::{ev, ev::KeyboardEvent, prelude::*};

use crate::{
    browser,
    state::{Kind, Place, Store},
};

/// Listens for as long as the page is open.
pub(crate) fn install_shortcuts(store: Store) {
    Effect::new(move |_| {
        let listener = window_event_listener(ev::keydown, move |event| {
            let modified = event.ctrl_key() || event.meta_key() || event.alt_key();
            let handled = !modified
                && !event.default_prevented()
                && !browser::is_typing(event.target())
                && press(store, &event);
            if handled {
                event.prevent_default();
            }
        });
        on_cleanup(move || listener.remove());
    });
}

/// Whether the key meant something.
fn press(store: Store, event: &KeyboardEvent) -> bool {
    let open = store.place.with_untracked(Place::message);
    match event.key().as_str() {
        "j" | "ArrowDown" => step(store, false, event.key() == "j"),
        "k" | "ArrowUp" => step(store, true, event.key() == "k"),
        "c" => store.begin(),
        "/" => browser::focus("[data-testid=search-box]"),
        "Escape" if store.selection.with_untracked(|selection| !selection.is_empty()) => {
            store.selection.update(std::collections::BTreeSet::clear);
        }
        "u" | "Escape" if open.is_some() => back(store),
        "x" => {
            let Some(id) = focused() else { return false };
            store.select(id, false);
        }
        "o" => {
            let Some(id) = focused() else { return false };
            store.go(&store.place.get_untracked().with_message(Some(id)));
        }
        key => return act(store, key),
    }
    true
}

/// What is done to the selection, the open message, or the row that has the keyboard.
fn act(store: Store, key: &str) -> bool {
    let mut targets = store.targets();
    if targets.is_empty() {
        targets.extend(focused());
    }
    let Some(first) = targets.first().copied() else { return false };
    let first_is =
        |read: fn(&types::api::Summary) -> bool| store.summary(first).is_some_and(|message| read(&message));
    match key {
        "e" => store.archive(targets, store.texts),
        "#" | "Delete" => store.delete(targets, store.texts),
        "s" => store.set_flagged(targets, !first_is(|message| message.flagged)),
        "U" => store.set_unread(targets, true),
        "I" => store.set_unread(targets, false),
        "r" => store.answer(first, Kind::Reply),
        "a" => store.answer(first, Kind::ReplyAll),
        "f" => store.answer(first, Kind::Forward),
        _ => return false,
    }
    true
}

/// To the next message, or the one before: opened where one is open, otherwise only pointed at.
fn step(store: Store, newer: bool, opens: bool) {
    let place = store.place.get_untracked();
    let from = focused().or(place.message());
    let next = match from {
        Some(id) => store.neighbour(id, newer),
        None => store.with_list(|list| list.rows.first().map(|row| row.id)).flatten(),
    };
    let Some(next) = next else { return };
    browser::focus(&format!("#row-{next} .row-link"));
    if opens && place.message().is_some() {
        store.go(&place.with_message(Some(next)));
    }
}

fn back(store: Store) {
    let place = store.place.get_untracked();
    let left = place.message();
    store.go(&place.with_message(None));
    if let Some(left) = left {
        request_animation_frame(move || browser::focus(&format!("#row-{left} .row-link")));
    }
}

/// The row that has the keyboard.
fn focused() -> Option<types::MessageId> {
    let row = document().active_element()?.closest(".row").ok().flatten()?;
    row.id().strip_prefix("row-")?.parse().ok()
}
