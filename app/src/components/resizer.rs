//! The line between list and reading pane, to be dragged, or moved with the arrow keys.

use leptos::{
    ev::{KeyboardEvent, PointerEvent},
    prelude::*,
};
use wasm_bindgen::JsCast;

use super::menu::choose;
use crate::{
    Preferences,
    i18n::texts,
    preferences::{LIST_WIDTHS, list_width},
};

#[component]
pub(crate) fn Resizer() -> AnyView {
    let width = RwSignal::new(expect_context::<Preferences>().list_width);
    let (narrowest, widest, step) = LIST_WIDTHS;
    let set = move |wanted: u16| {
        let wanted = list_width(wanted);
        if wanted != width.get_untracked() {
            width.set(wanted);
            choose("list", "data-list", &wanted.to_string());
        }
    };
    // Where the pointer and the width were when the dragging began.
    let grip = StoredValue::new(None::<(i32, u16)>);
    let grab = move |event: PointerEvent| {
        grip.set_value(Some((event.client_x(), width.get_untracked())));
        if let Some(line) = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok()) {
            let _ = line.set_pointer_capture(event.pointer_id());
        }
    };
    let drag = move |event: PointerEvent| {
        if let Some((x, before)) = grip.get_value() {
            set(u16::try_from(i32::from(before) + event.client_x() - x).unwrap_or(0));
        }
    };
    let on_key = move |event: KeyboardEvent| match event.key().as_str() {
        "ArrowLeft" => set(width.get_untracked().saturating_sub(step)),
        "ArrowRight" => set(width.get_untracked() + step),
        _ => {}
    };
    view! {
        <div
            class="resizer"
            role="separator"
            tabindex="0"
            aria-orientation="vertical"
            aria-label=texts().resize_list
            aria-valuemin=narrowest.to_string()
            aria-valuemax=widest.to_string()
            aria-valuenow=move || width.get().to_string()
            on:pointerdown=grab
            on:pointermove=drag
            on:pointerup=move |_| grip.set_value(None)
            on:pointercancel=move |_| grip.set_value(None)
            on:keydown=on_key
        ></div>
    }
    .into_any()
}
