//! The other messages of the conversation: a line each, opened in its place.

use leptos::prelude::*;
use types::{MessageId, ThreadId, api::Summary};

use crate::{
    components::{avatar::Avatar, time::Time},
    i18n::texts,
    state::Store,
};

/// Which of them: those before the opened message, or those after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

#[component]
pub(crate) fn Others(thread: ThreadId, id: MessageId, side: Side) -> impl IntoView {
    let t = texts();
    let store = expect_context::<Store>();
    let others = Memo::new(move |_| {
        store.threads.with(|threads| {
            let all = threads.get(&thread).into_iter().flatten();
            let wanted = all.filter(|message| match side {
                Side::Before => message.id < id,
                Side::After => message.id > id,
            });
            wanted.cloned().collect::<Vec<_>>()
        })
    });
    move || {
        let others = others.get();
        (!others.is_empty()).then(|| {
            view! {
                <ul class="others" aria-label=t.conversation data-testid="conversation">
                    {others.into_iter().map(|message| view! { <Other message /> }).collect_view()}
                </ul>
            }
        })
    }
}

#[component]
fn Other(message: Summary) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let id = message.id;
    let href = move || store.place.with(|place| place.with_message(Some(id)).href());
    let is_draft = store.is_draft(&message);
    let who = if is_draft { t.draft.to_owned() } else { message.from.display().to_owned() };
    view! {
        <li>
            <a
                class="other"
                class:unread=message.unread
                href=href
                on:click=move |event| {
                    if is_draft {
                        event.prevent_default();
                        store.edit_draft(id);
                    }
                }
            >
                <Avatar address=message.from.clone() />
                <b>
                    <bdi>{who}</bdi>
                </b>
                <span class="other-preview">
                    <bdi>{message.preview}</bdi>
                </span>
                <Time at=message.received_at />
            </a>
        </li>
    }
    .into_any()
}
