//! Swiping a row with a finger: to the right archives, to the left deletes.

use leptos::prelude::*;
use types::MessageId;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, PointerEvent};

use crate::{browser, state::Store};

/// From here on it is a swipe, and no longer a tap.
const BEGINS: i32 = 10;
/// From here on letting go acts.
const ACTS: i32 = 96;

#[derive(Clone, Copy)]
pub(super) struct Swipe {
    store: Store,
    id: MessageId,
    /// Where the finger came down.
    from: StoredValue<Option<(i32, i32)>>,
    by: StoredValue<i32>,
}

impl Swipe {
    pub(super) fn new(store: Store, id: MessageId) -> Self {
        Self { store, id, from: StoredValue::new(None), by: StoredValue::new(0) }
    }

    pub(super) fn just_swiped(self) -> bool {
        self.by.get_value().abs() >= BEGINS
    }

    pub(super) fn begin(self, event: &PointerEvent) {
        self.by.set_value(0);
        let is_finger = event.pointer_type() == "touch" && event.is_primary();
        self.from.set_value(is_finger.then(|| (event.client_x(), event.client_y())));
    }

    pub(super) fn follow(self, event: &PointerEvent) {
        let Some((x, y)) = self.from.get_value() else { return };
        let (by, down) = (event.client_x() - x, event.client_y() - y);
        if self.by.get_value() == 0 {
            if down.abs() > BEGINS {
                self.from.set_value(None);
                return;
            }
            if by.abs() < BEGINS {
                return;
            }
        }
        // What the finger would do may not be there to be done.
        if !(if by > 0 { self.store.is_own() } else { self.store.may_delete() }) {
            return;
        }
        self.by.set_value(by);
        let Some(row) = row(event) else { return };
        let _ = row.set_pointer_capture(event.pointer_id());
        browser::set_property(&row, "--swipe", &format!("{by}px"));
        let side = if by > 0 { "archive" } else { "delete" };
        let _ = row.set_attribute("data-swipe", side);
        let _ = row.class_list().toggle_with_force("will-act", by.abs() >= ACTS);
    }

    pub(super) fn end(self, event: &PointerEvent) {
        let by = self.by.get_value();
        let was_swiping = self.from.get_value().is_some();
        self.cancel(event);
        self.by.set_value(by);
        if was_swiping && by >= ACTS {
            self.store.archive(vec![self.id], self.store.texts);
        } else if was_swiping && by <= -ACTS {
            self.store.delete(vec![self.id], self.store.texts);
        }
    }

    pub(super) fn cancel(self, event: &PointerEvent) {
        self.from.set_value(None);
        if let Some(row) = row(event) {
            let _ = row.style().remove_property("--swipe");
            let _ = row.remove_attribute("data-swipe");
            let _ = row.class_list().remove_1("will-act");
        }
    }
}

fn row(event: &PointerEvent) -> Option<HtmlElement> {
    let target = event.target()?.dyn_into::<web_sys::Element>().ok()?;
    target.closest(".row").ok().flatten()?.dyn_into().ok()
}
