//! The rows, of which only those in sight are in the page: a list of 100,000 is as quick as one of ten.

use std::collections::HashMap;

use leptos::{ev, html, prelude::*};

use super::{notice::Notice, pull::Pull, row::Row};
use crate::{
    browser,
    i18n::texts,
    state::{Source, Store},
};

/// Rows kept ready above and below what is in sight.
const MARGIN: usize = 12;
/// Rows that the server renders.
const FIRST: usize = 50;
/// How near the end of what is loaded the next page is asked for.
const AHEAD: usize = 30;

/// Which rows are in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: usize,
    count: usize,
}

#[component]
pub(crate) fn Rows() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let scroller = NodeRef::<html::Div>::new();
    let span = RwSignal::new(Span { first: 0, count: FIRST });
    let row_height = RwSignal::new(60_usize);
    let height = Memo::new(move |_| {
        let total = store
            .here()
            .map_or(0, |here| if store.place.with(|p| p.filter().unread) { here.unread } else { here.total });
        let filtered = store.place.with(|place| place.filter().flagged || place.filter().attachments);
        store.with_list(|list| list.height(if filtered { 0 } else { total })).unwrap_or_default()
    });
    let shown = Memo::new(move |_| {
        let Span { first, count } = span.get();
        store
            .with_list(|list| list.rows.iter().skip(first).take(count).map(|row| row.id).collect::<Vec<_>>())
            .unwrap_or_default()
    });
    let missing = Memo::new(move |_| {
        let Span { first, count } = span.get();
        let begun = store.with_list(|list| list.begun).unwrap_or(false);
        let wanted = if begun {
            height.get().saturating_sub(first).min(count)
        } else {
            usize::from(store.source().is_some()) * 12
        };
        wanted.saturating_sub(shown.with(Vec::len))
    });
    let pull = Pull::new(store, scroller);
    measure(store, scroller, span, row_height);
    keep_place(store, scroller, row_height);
    load_ahead(store, span);
    let above = NodeRef::<html::Div>::new();
    let below = NodeRef::<html::Div>::new();
    Effect::new(move |_| {
        let row = row_height.get();
        let first = span.get().first.min(height.get());
        let rows = shown.with(Vec::len) + missing.get();
        let rest = height.get().saturating_sub(first + rows);
        for (space, rows) in [(above, first), (below, rest)] {
            if let Some(space) = space.get() {
                browser::set_property(&space, "height", &format!("{}px", rows * row));
            }
        }
    });
    view! {
        <div
            class="rows"
            node_ref=scroller
            tabindex="-1"
            data-testid="message-list"
            on:touchstart=move |event| pull.begin(&event)
            on:touchmove=move |event| pull.follow(&event)
            on:touchend=move |_| pull.end()
            on:touchcancel=move |_| pull.end()
        >
            <Notice />
            <div node_ref=above></div>
            <ul aria-label=t.messages aria-busy=move || (missing.get() > 0).to_string()>
                <For each=move || shown.get() key=|id| *id children=move |id| view! { <Row id height /> } />
                <For each=move || 0..missing.get() key=|at| *at children=|_| view! { <Skeleton /> } />
            </ul>
            <div node_ref=below></div>
        </div>
    }
    .into_any()
}

/// A row on its way.
#[component]
fn Skeleton() -> AnyView {
    view! {
        <li class="row skeleton" aria-hidden="true">
            <span class="avatar"></span>
            <span class="bar short"></span>
            <span class="bar"></span>
        </li>
    }
    .into_any()
}

/// Follows scrolling and the size of the window.
fn measure(store: Store, scroller: NodeRef<html::Div>, span: RwSignal<Span>, row_height: RwSignal<usize>) {
    let update = move || {
        let Some(scroller) = scroller.get_untracked() else { return };
        let row = row_height.get_untracked().max(1);
        let top = usize::try_from(scroller.scroll_top()).unwrap_or(0) / row;
        let room = usize::try_from(scroller.client_height()).unwrap_or(0) / row + 1;
        // In steps of four rows, so that not every pixel is a change.
        let first = top.saturating_sub(MARGIN) / 4 * 4;
        let wanted = Span { first, count: (room + 2 * MARGIN).max(FIRST) };
        if span.get_untracked() != wanted {
            span.set(wanted);
        }
    };
    let resize = move || {
        let wanted = if browser::is_phone() {
            72
        } else if browser::root("data-density").as_deref() == Some("compact") {
            40
        } else {
            60
        };
        if row_height.get_untracked() != wanted {
            row_height.set(wanted);
        }
        update();
    };
    Effect::new(move |_| {
        let Some(scroller) = scroller.get() else { return };
        resize();
        let scrolled = window_event_listener(ev::resize, move |_| resize());
        on_cleanup(move || scrolled.remove());
        let listener = wasm_bindgen::closure::Closure::<dyn Fn()>::new(update);
        let _ = scroller.add_event_listener_with_callback(
            "scroll",
            wasm_bindgen::JsCast::unchecked_ref(listener.as_ref()),
        );
        // The list lives as long as the page.
        listener.forget();
    });
    // Another list begins at its own place.
    Effect::new(move |_| {
        let _ = store.place.get();
        request_animation_frame(update);
    });
}

/// Comes back to where a list was left, and stays where one reads while mail arrives above.
fn keep_place(store: Store, scroller: NodeRef<html::Div>, row_height: RwSignal<usize>) {
    let left = StoredValue::new(HashMap::<Source, i32>::new());
    Effect::new(move |before: Option<Option<Source>>| {
        let source = Memo::new(move |_| store.source()).get();
        let Some(scroller) = scroller.get() else { return source };
        if let Some(Some(before)) = before.clone()
            && Some(&before) != source.as_ref()
        {
            left.update_value(|left| {
                left.insert(before, scroller.scroll_top());
            });
        }
        if before.is_some_and(|before| before != source) {
            let top = source.as_ref().and_then(|source| left.with_value(|left| left.get(source).copied()));
            request_animation_frame(move || scroller.set_scroll_top(top.unwrap_or(0)));
        }
        source
    });
    Effect::new(move |_| {
        let arrived = store.arrived_above.get();
        let Some(scroller) = scroller.get_untracked() else { return };
        if arrived > 0 {
            store.arrived_above.set(0);
            let row = row_height.get_untracked();
            if scroller.scroll_top() > 4 {
                let by = i32::try_from(arrived * row).unwrap_or(0);
                scroller.set_scroll_top(scroller.scroll_top() + by);
            }
        }
    });
}

/// Asks for the next page before its rows come into sight.
fn load_ahead(store: Store, span: RwSignal<Span>) {
    Effect::new(move |_| {
        let Some(source) = store.source() else { return };
        let Span { first, count } = span.get();
        let wants = store.with_list(|list| {
            list.begun
                && list.has_more()
                && list.status == crate::state::Status::Idle
                && first + count + AHEAD > list.rows.len()
        });
        if wants == Some(true) {
            untrack(|| store.load_more(source));
        }
    });
}
