//! A button that opens a list of choices: below it on a wide screen, from the bottom edge on a phone.

use leptos::{ev::KeyboardEvent, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::icon::{Draw, Icon};
use crate::browser;

/// Whether the menu around is open.
#[derive(Clone, Copy)]
struct Open(RwSignal<bool>);

#[component]
pub(crate) fn Menu(
    label: &'static str,
    icon: Icon,
    #[prop(optional)] testid: &'static str,
    #[prop(optional)] class: &'static str,
    /// What the button says beside its icon.
    #[prop(optional)]
    caption: Option<&'static str>,
    children: ChildrenFn,
) -> AnyView {
    let open = RwSignal::new(false);
    provide_context(Open(open));
    let button = NodeRef::<leptos::html::Button>::new();
    let popup = NodeRef::<leptos::html::Div>::new();
    Effect::new(move |_| {
        if let Some(popup) = popup.get() {
            step(&popup, 1);
        }
    });
    let close = move || {
        open.set(false);
        if let Some(button) = button.get_untracked() {
            let _ = button.focus();
        }
    };
    let on_key = move |event: KeyboardEvent| {
        let Some(popup) = popup.get_untracked() else { return };
        match event.key().as_str() {
            "Escape" => close(),
            "ArrowDown" => step(&popup, 1),
            "ArrowUp" => step(&popup, -1),
            "Tab" => open.set(false),
            _ => return,
        }
        if event.key() != "Tab" {
            event.prevent_default();
        }
        event.stop_propagation();
    };
    view! {
        <div class="menu" on:keydown=on_key>
            <button
                node_ref=button
                type="button"
                class=format!("{} {class}", if caption.is_some() { "button" } else { "icon-button" })
                data-testid=(!testid.is_empty()).then_some(testid)
                aria-label=label
                title=label
                aria-haspopup="menu"
                aria-expanded=move || open.get().to_string()
                on:click=move |_| open.update(|open| *open = !*open)
            >
                <Draw icon />
                {caption.map(|caption| view! { <span>{caption}</span> })}
            </button>
            <Show when=move || open.get()>
                <div class="menu-backdrop" on:click=move |_| close()></div>
                <div class="menu-popup" role="menu" aria-label=label node_ref=popup>
                    {children()}
                </div>
            </Show>
        </div>
    }
    .into_any()
}

/// Moves the keyboard to the next choice, or the one before.
fn step(popup: &HtmlElement, by: i32) {
    let Ok(items) = popup.query_selector_all("[role^=menuitem]") else { return };
    let length: i32 = i32::try_from(items.length()).unwrap_or(0);
    let focused = document().active_element();
    let at = (0..length).find(|at: &i32| items.get(at.cast_unsigned()).as_ref() == focused.as_deref());
    let next = at.map_or(0, |at| (at + by).rem_euclid(length.max(1)));
    if let Some(item) = items.get(next.cast_unsigned()).and_then(|item| item.dyn_into::<HtmlElement>().ok()) {
        let _ = item.focus();
    }
}

#[component]
pub(crate) fn MenuItem(
    #[prop(into)] label: String,
    icon: Icon,
    #[prop(into)] press: Callback<()>,
    #[prop(optional)] danger: bool,
    #[prop(optional)] testid: &'static str,
) -> AnyView {
    let Open(open) = expect_context();
    view! {
        <button
            type="button"
            role="menuitem"
            class="menu-item"
            class:danger=danger
            data-testid=(!testid.is_empty()).then_some(testid)
            on:click=move |_| {
                open.set(false);
                press.run(());
            }
        >
            <Draw icon />
            <span>{label}</span>
        </button>
    }
    .into_any()
}

/// A choice that leads to another page, in a tab of its own.
#[component]
pub(crate) fn MenuLink(#[prop(into)] label: String, icon: Icon, #[prop(into)] href: String) -> AnyView {
    let Open(open) = expect_context();
    view! {
        <a
            role="menuitem"
            class="menu-item"
            href=href
            target="_blank"
            rel="noopener"
            on:click=move |_| open.set(false)
        >
            <Draw icon />
            <span>{label}</span>
        </a>
    }
    .into_any()
}

/// One of several choices of which one holds.
#[component]
pub(crate) fn MenuChoice(
    #[prop(into)] label: String,
    #[prop(into)] chosen: Signal<bool>,
    #[prop(into)] press: Callback<()>,
) -> AnyView {
    view! {
        <button
            type="button"
            role="menuitemradio"
            class="menu-item"
            aria-checked=move || chosen.get().to_string()
            on:click=move |_| press.run(())
        >
            <span class="menu-check">
                {move || chosen.get().then(|| view! { <Draw icon=Icon::Check /> })}
            </span>
            <span>{label}</span>
        </button>
    }
    .into_any()
}

/// Text above a group of choices.
#[component]
pub(crate) fn MenuTitle(label: &'static str) -> AnyView {
    view! {
        <p class="menu-title" role="presentation">
            {label}
        </p>
    }
    .into_any()
}

/// Keeps a choice where the server finds it, and shows it at once.
pub(crate) fn choose(cookie: &str, attribute: &str, value: &str) {
    browser::set_cookie(cookie, value);
    browser::set_root(attribute, value);
}
