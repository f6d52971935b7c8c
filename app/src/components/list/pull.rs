//! Pulling the list down with a finger, at its beginning, loads it anew.

use leptos::{html, prelude::*};
use web_sys::TouchEvent;

use crate::{browser, state::Store};

/// From here on letting go loads.
const ACTS: i32 = 72;

#[derive(Clone, Copy)]
pub(super) struct Pull {
    store: Store,
    scroller: NodeRef<html::Div>,
    from: StoredValue<Option<i32>>,
    by: StoredValue<i32>,
}

impl Pull {
    pub(super) fn new(store: Store, scroller: NodeRef<html::Div>) -> Self {
        Self { store, scroller, from: StoredValue::new(None), by: StoredValue::new(0) }
    }

    pub(super) fn begin(self, event: &TouchEvent) {
        let at_top = self.scroller.get_untracked().is_some_and(|scroller| scroller.scroll_top() <= 0);
        self.from.set_value(at_top.then(|| height(event)).flatten());
        self.by.set_value(0);
    }

    pub(super) fn follow(self, event: &TouchEvent) {
        let (Some(from), Some(now)) = (self.from.get_value(), height(event)) else { return };
        self.show(((now - from) / 2).clamp(0, ACTS + 16));
    }

    pub(super) fn end(self) {
        if self.from.get_value().is_some() && self.by.get_value() >= ACTS {
            self.store.refresh();
        }
        self.from.set_value(None);
        self.show(0);
    }

    fn show(self, by: i32) {
        if self.by.get_value() == by {
            return;
        }
        self.by.set_value(by);
        if let Some(scroller) = self.scroller.get_untracked() {
            browser::set_property(&scroller, "--pull", &format!("{by}px"));
            let _ = scroller.class_list().toggle_with_force("will-refresh", by >= ACTS);
        }
    }
}

/// Where the finger is.
fn height(event: &TouchEvent) -> Option<i32> {
    event.touches().get(0).map(|touch| touch.client_y())
}
