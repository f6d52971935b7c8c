//! An address that leads nowhere.

use leptos::prelude::*;

use crate::{components::Logo, i18n::texts};

#[component]
pub(crate) fn NotFound() -> AnyView {
    let t = texts();
    view! {
        <main class="lone">
            <Logo />
            <h1>{t.page_not_found}</h1>
            <a class="button" href="/mail/inbox">
                {t.to_inbox}
            </a>
        </main>
    }
    .into_any()
}
