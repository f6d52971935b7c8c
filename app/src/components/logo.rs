//! The mark: a magpie, sitting.

use leptos::prelude::*;

#[component]
pub(crate) fn Logo() -> AnyView {
    view! {
        <svg class="logo" viewBox="0 0 64 64" aria-hidden="true">
            <path class="logo-tail" d="M27 41 8 61h9l20-15z" />
            <path class="logo-body" d="M44 10a13 13 0 0 0-13 11C21 25 14 33 14 45h16c13 0 23-9 23-22l9-4-8-3a13 13 0 0 0-10-6z" />
            <path class="logo-belly" d="M47 30c-1 9-8 15-18 15h-4c2-8 9-14 22-15z" />
            <path class="logo-wing" d="M20 45c1-9 8-16 19-18-1 8-6 15-14 18z" />
            <circle class="logo-eye" cx="45" cy="19" r="2.2" />
        </svg>
    }
    .into_any()
}
