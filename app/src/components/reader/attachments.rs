//! What came with the message, to be saved.

use std::sync::Arc;

use leptos::prelude::*;
use types::api::{Attachment, Message};

use crate::{
    components::icon::{Draw, Icon},
    i18n::texts,
    state::Store,
    text::size,
};

#[component]
pub(crate) fn Attachments(message: Arc<Message>) -> impl IntoView {
    let t = texts();
    let store = expect_context::<Store>();
    let address = untrack(|| store.address_of(message.summary.id));
    let shown: Vec<_> = message
        .attachments
        .iter()
        .filter(|attachment| !attachment.inline || message.html.is_none())
        .cloned()
        .collect();
    (!shown.is_empty()).then(|| {
        let cards = shown
            .into_iter()
            .map(|attachment| {
                let href = format!("{address}/attachments/{}", attachment.id);
                view! { <Card attachment href /> }
            })
            .collect_view();
        view! {
            <ul class="attachments" aria-label=t.attachments>
                {cards}
            </ul>
        }
    })
}

#[component]
fn Card(attachment: Attachment, href: String) -> AnyView {
    let t = texts();
    let Attachment { filename, content_type, size: bytes, .. } = attachment;
    let is_image = content_type.starts_with("image/");
    let kind = filename.rsplit_once('.').map(|(_, end)| end.to_uppercase()).filter(|end| end.len() <= 5);
    let kind = kind.unwrap_or_else(|| content_type.rsplit('/').next().unwrap_or_default().to_uppercase());
    view! {
        <li>
            <a
                class="attachment"
                data-testid="attachment-card"
                href=href
                download=filename.clone()
                rel="external"
                aria-label=format!("{}: {filename}, {}", t.download, size(bytes))
            >
                <span class="attachment-kind" class:image=is_image>
                    <Draw icon=if is_image { Icon::Image } else { Icon::File } />
                </span>
                <span class="attachment-name">
                    <bdi>{filename.clone()}</bdi>
                    <span class="quiet">{kind} " · " {size(bytes)}</span>
                </span>
                <Draw icon=Icon::Download />
            </a>
        </li>
    }
    .into_any()
}
