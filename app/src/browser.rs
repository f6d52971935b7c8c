//! Small things that only the browser can do. Called from effects and event handlers, so never while rendering on
//! the server.

use std::time::Duration;

use leptos::prelude::{document, set_timeout, window};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlElement};

/// Says on `<html data-hydrated>` that the page answers from now on.
pub fn mark_hydrated() {
    set_root("data-hydrated", "true");
}

/// Sets an attribute of `<html>`.
pub(crate) fn set_root(name: &str, value: &str) {
    if let Some(root) = document().document_element() {
        let _ = root.set_attribute(name, value);
    }
}

/// An attribute of `<html>`.
pub(crate) fn root(name: &str) -> Option<String> {
    document().document_element()?.get_attribute(name)
}

/// Keeps a choice for a year, where the server sees it too.
pub(crate) fn set_cookie(name: &str, value: &str) {
    if let Ok(document) = document().dyn_into::<web_sys::HtmlDocument>() {
        let _ = document.set_cookie(&format!("{name}={value}; path=/; max-age=31536000; samesite=lax"));
    }
}

/// Loads the page anew.
pub(crate) fn reload() {
    let _ = window().location().reload();
}

/// Goes to another page, by loading it.
pub(crate) fn leave_to(path: &str) {
    let _ = window().location().set_href(path);
}

/// Now, in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    // Whole milliseconds far below 2^53.
    #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds, far below 2^53")]
    let now = js_sys::Date::now() as i64;
    now
}

/// What HTML calls a local date and time, in milliseconds since 1970.
pub(crate) fn local_time(text: &str) -> Option<i64> {
    let millis = js_sys::Date::parse(text);
    #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds, far below 2^53")]
    let at = millis.is_finite().then_some(millis as i64);
    at
}

/// Minutes by which the reader's clock is ahead of UTC at a moment.
pub(crate) fn utc_offset_minutes(millis: i64) -> i32 {
    #[expect(clippy::cast_precision_loss, reason = "years 0 to 9999 stay below 2^53 milliseconds")]
    let date = js_sys::Date::new(&JsValue::from_f64(millis as f64));
    #[expect(clippy::cast_possible_truncation, reason = "minutes of a day")]
    let minutes = -date.get_timezone_offset() as i32;
    minutes
}

/// Whether there is a clipboard: browsers give none to pages that came without TLS, but from this machine.
pub(crate) fn can_copy() -> bool {
    window().is_secure_context()
}

/// Puts a text on the clipboard; `done` if the browser let us.
pub(crate) fn copy(text: &str, done: impl FnOnce() + 'static) {
    let written = window().navigator().clipboard().write_text(text);
    leptos::task::spawn_local(async move {
        if wasm_bindgen_futures::JsFuture::from(written).await.is_ok() {
            done();
        }
    });
}

/// Waits.
pub(crate) async fn sleep(millis: f64) {
    let (done, finished) = futures::channel::oneshot::channel();
    set_timeout(
        move || {
            let _ = done.send(());
        },
        Duration::from_secs_f64((millis / 1000.0).max(0.0)),
    );
    let _ = finished.await;
}

/// Waits while the browser knows that it has no network.
pub(crate) async fn until_online() {
    while !is_online() {
        sleep(1_000.0).await;
    }
}

fn is_online() -> bool {
    window().navigator().on_line()
}

/// Whether a media query holds.
pub(crate) fn matches(query: &str) -> bool {
    window().match_media(query).ok().flatten().is_some_and(|list| list.matches())
}

/// Whether there is one column only; the same width as in `style/`.
pub(crate) fn is_phone() -> bool {
    matches("(max-width: 719.98px)")
}

/// Puts the keyboard on the element that a selector finds.
pub(crate) fn focus(selector: &str) {
    if let Some(element) = find(selector) {
        let _ = element.focus();
    }
}

/// The first element that a selector finds.
pub(crate) fn find(selector: &str) -> Option<HtmlElement> {
    document().query_selector(selector).ok().flatten()?.dyn_into().ok()
}

/// Whether keys typed here are text.
pub(crate) fn is_typing(target: Option<web_sys::EventTarget>) -> bool {
    let Some(element) = target.and_then(|target| target.dyn_into::<Element>().ok()) else { return false };
    let kind = element.get_attribute("type").unwrap_or_default();
    match element.tag_name().as_str() {
        "TEXTAREA" | "SELECT" | "IFRAME" => true,
        "INPUT" => kind != "checkbox",
        _ => element.has_attribute("contenteditable"),
    }
}

/// Sets a custom property of an element, which a strict content policy allows from a script.
pub(crate) fn set_property(element: &HtmlElement, name: &str, value: &str) {
    let _ = element.style().set_property(name, value);
}

/// Lets those who measure the page measure it again.
pub(crate) fn announce_resize() {
    if let Ok(event) = web_sys::Event::new("resize") {
        let _ = window().dispatch_event(&event);
    }
}

/// What a tab keeps until it is closed.
pub(crate) mod session {
    use leptos::prelude::window;

    fn storage() -> Option<web_sys::Storage> {
        window().session_storage().ok().flatten()
    }

    pub(crate) fn get(key: &str) -> Option<String> {
        storage()?.get_item(key).ok().flatten()
    }

    pub(crate) fn set(key: &str, value: &str) {
        if let Some(storage) = storage() {
            let _ = storage.set_item(key, value);
        }
    }

    pub(crate) fn remove(key: &str) {
        if let Some(storage) = storage() {
            let _ = storage.remove_item(key);
        }
    }
}
