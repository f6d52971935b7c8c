//! A line of the list.

use leptos::{ev::MouseEvent, prelude::*};
use types::{
    Address, MessageId, Rights, Role,
    api::{DeliveryState, Summary},
};

use super::{head::Mark, swipe};
use crate::{
    browser,
    components::{avatar::Avatar, button::IconButton, icon::Icon, time::Time},
    i18n::{Texts, texts},
    state::Store,
    text::snippet,
};

#[component]
pub(crate) fn Row(id: MessageId, height: Memo<usize>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let last = StoredValue::new(None::<Summary>);
    // A row that goes away keeps its face until it is gone.
    let message = Memo::new(move |_| {
        let now = store.with_list(|list| list.get(id).cloned()).flatten();
        if now.is_some() {
            last.set_value(now.clone());
        }
        now.or_else(|| last.get_value())
    });
    let is = move |read: fn(&Summary) -> bool| message.with(|message| message.as_ref().is_some_and(read));
    let current = Memo::new(move |_| store.place.with(|place| place.message() == Some(id)));
    let checked = Memo::new(move |_| store.selection.with(|selection| selection.contains(&id)));
    let href = move || store.place.with(|place| place.with_message(Some(id)).href());
    let position = move || store.with_list(|list| list.position(id).map(|at| (at + 1).to_string())).flatten();
    let swiped = swipe::Swipe::new(store, id);
    let press = move |event: MouseEvent| {
        if swiped.just_swiped() {
            event.prevent_default();
        } else if message
            .with_untracked(|message| message.as_ref().is_some_and(|message| store.is_draft(message)))
            && untrack(|| store.is_own())
        {
            event.prevent_default();
            store.edit_draft(id);
        }
    };
    view! {
        <li
            class="row"
            id=format!("row-{id}")
            data-testid="message-row"
            class:unread=move || is(|message| message.unread)
            class:current=current
            class:checked=checked
            aria-posinset=position
            aria-setsize=move || height.get().to_string()
            on:pointerdown=move |event| swiped.begin(&event)
            on:pointermove=move |event| swiped.follow(&event)
            on:pointerup=move |event| swiped.end(&event)
            on:pointercancel=move |event| swiped.cancel(&event)
        >
            <a
                class="row-link"
                href=href
                aria-current=move || current.get().then_some("true")
                draggable="false"
                on:click=press
            >
                {move || is(|message| message.unread).then(|| view! { <span class="sr-only">{t.unread}</span> })}
                <Face message />
            </a>
            <Check id checked message />
            <Actions id message />
        </li>
    }
    .into_any()
}

/// What the line says.
#[component]
fn Face(message: Memo<Option<Summary>>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let at = Signal::derive(move || {
        message.with(|message| message.as_ref().map(|message| message.received_at).unwrap_or_default())
    });
    let who = move || {
        message.with(|message| {
            message.as_ref().map(|message| who(message, outgoing(store, message), t)).unwrap_or_default()
        })
    };
    let face = Signal::derive(move || {
        message.with(|message| {
            let Some(message) = message else { return Address::default() };
            if outgoing(store, message) {
                message.to.first().cloned().unwrap_or_default()
            } else {
                message.from.clone()
            }
        })
    });
    let subject = move || {
        message.with(|message| message.as_ref().map(|m| t.subject_or_none(&m.subject)).unwrap_or_default())
    };
    let preview = move || {
        message.with(|message| {
            let Some(message) = message else { return ().into_any() };
            match &message.snippet {
                Some(hits) => snippet(hits)
                    .into_iter()
                    .map(
                        |(hit, text)| {
                            if hit { view! { <mark>{text}</mark> }.into_any() } else { text.into_any() }
                        },
                    )
                    .collect_view()
                    .into_any(),
                None => message.preview.clone().into_any(),
            }
        })
    };
    view! {
        <Avatar address=face />
        <span class="row-who">
            {move || message.with(|m| m.as_ref().is_some_and(|m| m.draft)).then(|| view! { <i class="row-draft">{t.draft}</i> " " })}
            <bdi>{who}</bdi>
        </span>
        <Time at />
        <span class="row-text">
            <bdi class="row-subject">{subject}</bdi>
            <bdi class="row-preview">{preview}</bdi>
        </span>
        <Marks message />
    }
    .into_any()
}

#[component]
fn Marks(message: Memo<Option<Summary>>) -> impl IntoView {
    let t = texts();
    let marks = move || {
        let message = message.get()?;
        let worst = worst(&message).map(|(icon, state)| {
            let class = if state == DeliveryState::Failed { "danger" } else { "" };
            view! { <Mark icon label=t.delivery_state(state) class /> }
        });
        Some(view! {
            {message
                .labels
                .iter()
                .filter(|label| !label.starts_with(['$', '\\']))
                .take(2)
                .map(|label| view! { <span class="label"><bdi>{label.clone()}</bdi></span> })
                .collect_view()}
            {worst}
            {message.answered.then(|| view! { <Mark icon=Icon::Reply label=t.replied /> })}
            {message.forwarded.then(|| view! { <Mark icon=Icon::Forward label=t.forwarded /> })}
            {message.has_attachments.then(|| view! { <Mark icon=Icon::Attach label=t.attachments /> })}
            {message.flagged.then(|| view! { <Mark icon=Icon::Star label=t.starred class="starred" /> })}
        })
    };
    view! { <span class="row-marks">{marks}</span> }
}

#[component]
fn Check(id: MessageId, checked: Memo<bool>, message: Memo<Option<Summary>>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let label = move || {
        t.select_message(
            &message
                .with(|message| message.as_ref().map(|m| t.subject_or_none(&m.subject)).unwrap_or_default()),
        )
    };
    let press = move |event: MouseEvent| store.select(id, event.shift_key());
    view! {
        <label class="row-check">
            <input
                type="checkbox"
                data-testid="message-check"
                aria-label=label
                prop:checked=checked
                on:click=press
            />
            <span class="box" aria-hidden="true">
                <crate::components::icon::Draw icon=Icon::Check />
            </span>
        </label>
    }
    .into_any()
}

/// What can be done to a row without opening it; shown while the pointer is on it.
#[component]
fn Actions(id: MessageId, message: Memo<Option<Summary>>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let unread =
        Memo::new(move |_| message.with(|message| message.as_ref().is_some_and(|message| message.unread)));
    let flagged =
        Memo::new(move |_| message.with(|message| message.as_ref().is_some_and(|message| message.flagged)));
    let read_label = move || if unread.get() { t.mark_read } else { t.mark_unread };
    let read_icon = move || if unread.get() { Icon::MailOpen } else { Icon::Mail };
    let star_label = move || if flagged.get() { t.unstar } else { t.star };
    // On a phone these are swipes, and in the menus: buttons that are not seen must not be found either.
    let shown = Memo::new(move |_| store.hydrated.get() && !browser::is_phone() && store.may_anything());
    view! {
        {move || {
            shown
                .get()
                .then(|| {
                    view! {
                        <div class="row-actions">
                            <Show when=move || store.is_own()>
                                <IconButton label=t.archive icon=Icon::Archive press=move |_| store.archive(vec![id], t) />
                            </Show>
                            <Show when=move || store.may_delete()>
                                <IconButton label=t.delete icon=Icon::Bin press=move |_| store.delete(vec![id], t) />
                            </Show>
                            <Show when=move || store.may(Rights::SEEN)>
                                <IconButton
                                    label=Signal::derive(read_label)
                                    icon=Signal::derive(read_icon)
                                    press=move |_| store.set_unread(vec![id], !unread.get_untracked())
                                />
                            </Show>
                            <Show when=move || store.may(Rights::WRITE)>
                                <IconButton
                                    label=Signal::derive(star_label)
                                    icon=Icon::Star
                                    class="star"
                                    pressed=Signal::derive(move || flagged.get())
                                    press=move |_| store.set_flagged(vec![id], !flagged.get_untracked())
                                />
                            </Show>
                        </div>
                    }
                })
        }}
    }
    .into_any()
}

/// Whether a row shows to whom it goes, rather than from whom it comes.
fn outgoing(store: Store, message: &Summary) -> bool {
    store.is_own() && matches!(store.role_of(message.folder_id), Some(Role::Sent | Role::Drafts))
}

fn who(message: &Summary, outgoing: bool, t: &Texts) -> String {
    if outgoing {
        let Some(first) = message.to.first() else { return t.nobody.to_owned() };
        let others = message.to.len() - 1;
        let more = if others > 0 { format!(" {}", t.more_people(others)) } else { String::new() };
        return format!("{}: {}{more}", t.to, first.display());
    }
    let name = message.from.display();
    if name.is_empty() { t.no_sender.to_owned() } else { name.to_owned() }
}

/// The delivery that needs attention most.
fn worst(message: &Summary) -> Option<(Icon, DeliveryState)> {
    let has = |state| message.delivery.iter().any(|delivery| delivery.state == state);
    [
        (Icon::Alert, DeliveryState::Failed),
        (Icon::Clock, DeliveryState::Deferred),
        (Icon::Clock, DeliveryState::Queued),
    ]
    .into_iter()
    .find(|(_, state)| has(*state))
}
