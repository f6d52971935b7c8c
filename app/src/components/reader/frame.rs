//! HTML, in a frame without scripts that comes from a request of its own; as high as what it holds.

use leptos::{html, prelude::*};
use types::MessageId;
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{HtmlElement, HtmlIFrameElement, ResizeObserver};

use crate::{
    browser,
    components::icon::{Draw, Icon},
    i18n::texts,
    state::Store,
};

#[component]
pub(crate) fn Frame(id: MessageId, has_remote_images: bool) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let address = untrack(|| store.address_of(id));
    let images = RwSignal::new(false);
    let frame = NodeRef::<html::Iframe>::new();
    let source = move || {
        let images = if images.get() { "show" } else { "hold" };
        format!("{address}/html?images={images}")
    };
    // The frame may have come with the page, and be loaded already.
    Effect::new(move |_| {
        if let Some(frame) = frame.get() {
            fit(&frame);
        }
    });
    view! {
        {move || {
            (has_remote_images && !images.get())
                .then(|| {
                    view! {
                        <div class="images-held" role="note">
                            <Draw icon=Icon::Image />
                            <p>{t.images_held}</p>
                            <button
                                type="button"
                                class="button"
                                data-testid="show-images"
                                on:click=move |_| images.set(true)
                            >
                                {t.show_images}
                            </button>
                        </div>
                    }
                })
        }}
        <iframe
            node_ref=frame
            class="message-frame"
            data-testid="message-frame"
            title=t.message_body
            sandbox="allow-same-origin allow-popups allow-popups-to-escape-sandbox"
            src=source
            on:load=move |_| {
                if let Some(frame) = frame.get_untracked() {
                    fit(&frame);
                }
            }
        ></iframe>
    }
    .into_any()
}

/// The smallest that a mail is shown, however wide it is.
const SMALLEST: f64 = 0.4;

/// Keeps the frame as high as its content, also while images come in. What is wider than the frame is shown smaller.
fn fit(frame: &HtmlIFrameElement) {
    let Some(document) = frame.content_document() else { return };
    // Unchecked: the frame has classes of its own, of which nothing is an instance out here.
    let Some(root) = document.document_element().map(|root| root.unchecked_into::<HtmlElement>()) else {
        return;
    };
    let Some(body) = document.body() else { return };
    let measured = frame.clone();
    let resize = move || {
        browser::set_property(&body, "zoom", "1");
        let (room, wanted) = (f64::from(measured.client_width()), f64::from(root.scroll_width()));
        let height = if wanted > room + 1.0 {
            browser::set_property(&body, "zoom", &(room / wanted).max(SMALLEST).to_string());
            root.offset_height()
        } else {
            body.scroll_height().max(body.offset_height())
        };
        browser::set_property(&measured, "height", &format!("{}px", height + 1));
    };
    resize();
    let listener = Closure::<dyn Fn()>::new(resize);
    if let Ok(observer) = ResizeObserver::new(listener.as_ref().unchecked_ref())
        && let Some(body) = document.body()
    {
        observer.observe(&body);
    }
    // It goes with the document in the frame.
    listener.forget();
}
