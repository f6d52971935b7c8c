//! A quiet line at the top while there is no connection.

use leptos::prelude::*;

use crate::{i18n::texts, state::Store};

#[component]
pub(crate) fn Offline() -> AnyView {
    let store = expect_context::<Store>();
    view! {
        <div class="offline" role="status">
            {move || (!store.online.get()).then(|| view! { <p>{texts().offline}</p> })}
        </div>
    }
    .into_any()
}
