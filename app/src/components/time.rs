//! A moment: as the server sees it (UTC) until the browser knows better.

use leptos::prelude::*;
use types::Timestamp;

use crate::{
    browser,
    i18n::texts,
    state::Store,
    text::{Civil, date_and_time, day_or_time},
};

#[component]
pub(crate) fn Time(
    #[prop(into)] at: Signal<Timestamp>,
    /// In full, rather than as short as a list wants it.
    #[prop(optional)]
    full: bool,
) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let local = move |at: Timestamp| {
        let hydrated = store.hydrated.get();
        let offset = if hydrated { browser::utc_offset_minutes(at.millis()) } else { 0 };
        (Civil::new(at, offset), hydrated)
    };
    let text = move || {
        let (civil, hydrated) = local(at.get());
        if full {
            return date_and_time(civil, t.lang);
        }
        let now = hydrated.then(|| {
            let now = browser::now();
            Civil::new(Timestamp::from_millis(now), browser::utc_offset_minutes(now))
        });
        day_or_time(civil, now, t)
    };
    let title = move || date_and_time(local(at.get()).0, t.lang);
    view! {
        <time class="time" datetime=move || at.get().to_string() title=title>
            {text}
        </time>
    }
    .into_any()
}
