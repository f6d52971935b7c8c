//! The reading pane.

mod actions;
mod attachments;
mod body;
mod conversation;
mod details;
mod frame;
mod sender;
mod unsubscribe;

use std::sync::Arc;

use leptos::prelude::*;
use types::{
    MessageId,
    api::{Message, Summary},
};

use self::{
    actions::{Answers, Toolbar},
    attachments::Attachments,
    body::Body,
    conversation::{Others, Side},
    sender::Sender,
};
use super::{empty::Empty, icon::Icon};
use crate::{
    i18n::texts,
    state::{Opened, Place, Store},
};

#[component]
pub(crate) fn Reader() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    // Which message, and how far it is: not what it says, so that a star does not draw it anew.
    let stage = Memo::new(move |_| {
        let id = store.place.with(Place::message)?;
        Some((
            id,
            store.messages.with(|messages| match messages.get(&id) {
                Some(Opened::Ready(_)) => Stage::Ready,
                Some(Opened::Failed(problem)) => Stage::Failed(t.problem(problem)),
                Some(Opened::Loading) | None => Stage::Loading,
            }),
        ))
    });
    view! {
        <section class="reader" aria-label=t.message_body>
            {move || match stage.get() {
                None => view! { <Empty icon=Icon::MailOpen text=t.choose_message action=None /> }.into_any(),
                Some((id, Stage::Loading)) => view! { <Loading id /> }.into_any(),
                Some((id, Stage::Failed(text))) => view! { <Failed id text /> }.into_any(),
                Some((id, Stage::Ready)) => {
                    let message = store
                        .messages
                        .with_untracked(|messages| match messages.get(&id) {
                            Some(Opened::Ready(message)) => Some(Arc::clone(message)),
                            _ => None,
                        });
                    message.map(|message| view! { <Shown message /> }).into_any()
                }
            }}
        </section>
    }
    .into_any()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Loading,
    Ready,
    Failed(String),
}

#[component]
fn Shown(message: Arc<Message>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let first = message.summary.clone();
    let id = first.id;
    let summary = Memo::new(move |_| store.summary(id).unwrap_or_else(|| first.clone()));
    let subject = t.subject_or_none(&message.summary.subject);
    let thread = message.summary.thread_id;
    view! {
        <Toolbar summary />
        <div class="reader-scroll" tabindex="0" role="region" aria-label=t.conversation>
            <article class="message">
                <h2 class="message-subject">
                    <bdi title=subject.clone()>{subject.clone()}</bdi>
                    <Labels summary />
                </h2>
                <Others thread id side=Side::Before />
                <div class="message-card">
                    <Sender message=Arc::clone(&message) summary />
                    <Body message=Arc::clone(&message) />
                    <Attachments message=Arc::clone(&message) />
                </div>
                <Others thread id side=Side::After />
                <Answers message />
            </article>
        </div>
    }
    .into_any()
}

#[component]
fn Labels(summary: Memo<Summary>) -> impl IntoView {
    move || {
        summary.with(|summary| {
            let own = summary.labels.iter().filter(|label| !label.starts_with(['$', '\\']));
            own.map(|label| view! { <span class="label"><bdi>{label.clone()}</bdi></span> }).collect_view()
        })
    }
}

/// What is known already, and bars for the rest.
#[component]
fn Loading(id: MessageId) -> AnyView {
    let store = expect_context::<Store>();
    let subject = store.summary(id).map(|message| message.subject).unwrap_or_default();
    view! {
        <div class="toolbar"></div>
        <div class="reader-scroll" aria-busy="true">
            <div class="message">
                <h2 class="message-subject">
                    <bdi>{subject}</bdi>
                </h2>
                <div class="message-card skeleton">
                    <span class="bar short"></span>
                    <span class="bar"></span>
                    <span class="bar"></span>
                    <span class="bar short"></span>
                </div>
            </div>
        </div>
    }
    .into_any()
}

#[component]
fn Failed(id: MessageId, text: String) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let list = move || store.place.with(|place| place.with_message(None).href());
    view! {
        <div class="empty" role="alert">
            <p>{text}</p>
            <button type="button" class="button" on:click=move |_| store.open(id)>
                {t.retry}
            </button>
            <a class="link" href=list>
                {t.back}
            </a>
        </div>
    }
    .into_any()
}
