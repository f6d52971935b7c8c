//! On a phone: Mail, Search, Compose within reach of the thumb.

use leptos::prelude::*;

use super::icon::{Draw, Icon};
use crate::{
    i18n::texts,
    state::{Place, Store},
};

#[component]
pub(crate) fn BottomBar() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let here = move |is: fn(&Place) -> bool| store.place.with(is).then_some("page");
    view! {
        <nav class="bottom-bar" aria-label=t.menu>
            <a href="/mail/inbox" aria-current=move || here(|place| matches!(place, Place::Folder { .. }))>
                <Draw icon=Icon::Mail />
                <span>{t.mail}</span>
            </a>
            <a href="/search" aria-current=move || here(|place| matches!(place, Place::Search { .. }))>
                <Draw icon=Icon::Search />
                <span>{t.search}</span>
            </a>
            <a href="/compose" aria-current=move || here(|place| matches!(place, Place::Compose))>
                <Draw icon=Icon::Pen />
                <span>{t.compose}</span>
            </a>
        </nav>
    }
    .into_any()
}
