//! What the message says: as text, or as HTML in a frame.

use std::sync::Arc;

use leptos::prelude::*;
use types::api::Message;

use super::frame::Frame;
use crate::{
    i18n::texts,
    text::{Piece, linkify, sections},
};

#[component]
pub(crate) fn Body(message: Arc<Message>) -> impl IntoView {
    if message.html.is_some() {
        view! { <Frame id=message.summary.id has_remote_images=message.has_remote_images /> }.into_any()
    } else {
        view! { <Text text=message.text.clone() /> }.into_any()
    }
}

#[component]
fn Text(text: String) -> AnyView {
    let t = texts();
    let parts = sections(&text);
    let last = parts.len().saturating_sub(1);
    let parts = parts
        .into_iter()
        .enumerate()
        .map(|(at, section)| {
            let body = linked(&section.text);
            // What is answered line by line is shown; what only trails behind is folded.
            if section.quoted && at + 1 >= last {
                view! {
                    <details class="quoted">
                        <summary>
                            <span aria-hidden="true">"•••"</span>
                            <span class="sr-only">{t.quoted}</span>
                        </summary>
                        <blockquote>{body}</blockquote>
                    </details>
                }
                .into_any()
            } else if section.quoted {
                view! { <blockquote>{body}</blockquote> }.into_any()
            } else {
                view! { <p>{body}</p> }.into_any()
            }
        })
        .collect_view();
    view! {
        <div class="message-text" dir="auto" data-testid="message-text">
            {parts}
        </div>
    }
    .into_any()
}

fn linked(text: &str) -> impl IntoView + use<> {
    linkify(text)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.into_any(),
            Piece::Link { text, href } => view! {
                <a href=href target="_blank" rel="noopener noreferrer">
                    {text}
                </a>
            }
            .into_any(),
        })
        .collect_view()
}
