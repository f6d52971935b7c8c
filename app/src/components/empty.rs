//! Nothing here: one sentence and one action.

use leptos::prelude::*;

use super::icon::{Draw, Icon};

#[component]
pub(crate) fn Empty(
    icon: Icon,
    #[prop(into)] text: String,
    /// Where the action leads, and what it is called.
    #[prop(optional_no_strip)]
    action: Option<(String, &'static str)>,
) -> AnyView {
    view! {
        <div class="empty">
            <span class="empty-icon">
                <Draw icon />
            </span>
            <p>{text}</p>
            {action.map(|(href, label)| view! { <a class="button" href=href>{label}</a> })}
        </div>
    }
    .into_any()
}
