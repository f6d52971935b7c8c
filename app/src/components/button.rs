//! A button that is an icon, with its label for those who cannot see it.

use leptos::{ev::MouseEvent, prelude::*};

use super::icon::{Draw, Icon};

#[component]
pub(crate) fn IconButton(
    #[prop(into)] label: Signal<&'static str>,
    #[prop(into)] icon: Signal<Icon>,
    #[prop(into)] press: Callback<MouseEvent>,
    #[prop(optional)] testid: &'static str,
    #[prop(optional)] class: &'static str,
    #[prop(optional, into)] pressed: Option<Signal<bool>>,
    /// The key that does the same.
    #[prop(optional)]
    key: Option<&'static str>,
) -> AnyView {
    view! {
        <button
            type="button"
            class=format!("icon-button {class}")
            data-testid=(!testid.is_empty()).then_some(testid)
            aria-label=label
            title=label
            aria-pressed=move || pressed.map(|pressed| pressed.get().to_string())
            aria-keyshortcuts=key
            on:click=move |event| press.run(event)
        >
            <Draw icon />
        </button>
    }
    .into_any()
}
