//! A person, as initials on a colour of their own.

use leptos::prelude::*;
use types::Address;

use crate::text::{hue, initials};

#[component]
pub(crate) fn Avatar(#[prop(into)] address: Signal<Address>) -> AnyView {
    view! {
        <span class="avatar" aria-hidden="true" data-hue=move || address.with(|who| hue(&who.email).to_string())>
            {move || address.with(|who| initials(who.display()))}
        </span>
    }
    .into_any()
}
