//! Theme, density, language, passwords of mail programs, and the way out.

use leptos::prelude::*;

use super::{
    app_passwords::AppPasswordsDialog,
    icon::Icon,
    menu::{Menu, MenuChoice, MenuItem, MenuTitle, choose},
};
use crate::{
    Density, Preferences, Theme, browser,
    i18n::{Lang, texts},
    preferences::UNDO_SECONDS,
};

#[component]
pub(crate) fn Settings() -> AnyView {
    let t = texts();
    let preferences = expect_context::<Preferences>();
    let theme = RwSignal::new(preferences.theme);
    let density = RwSignal::new(preferences.density);
    let undo = RwSignal::new(preferences.undo_seconds);
    let is_asked = RwSignal::new(false);
    view! {
        <Menu label=t.settings icon=Icon::Settings testid="settings">
            <MenuTitle label=t.theme />
            {Theme::ALL
                .map(|one| {
                    let label = match one {
                        Theme::Auto => t.theme_auto,
                        Theme::Light => t.theme_light,
                        Theme::Dark => t.theme_dark,
                    };
                    let press = move |()| {
                        theme.set(one);
                        choose("theme", "data-theme", one.name());
                    };
                    view! { <MenuChoice label chosen=Signal::derive(move || theme.get() == one) press /> }
                })
                .into_iter()
                .collect_view()}
            <MenuTitle label=t.density />
            {Density::ALL
                .map(|one| {
                    let label = match one {
                        Density::Comfortable => t.comfortable,
                        Density::Compact => t.compact,
                    };
                    let press = move |()| {
                        density.set(one);
                        choose("density", "data-density", one.name());
                        browser::announce_resize();
                    };
                    view! { <MenuChoice label chosen=Signal::derive(move || density.get() == one) press /> }
                })
                .into_iter()
                .collect_view()}
            <MenuTitle label=t.undo_send />
            {UNDO_SECONDS
                .map(|one| {
                    let label = if one == 0 { t.undo_send_off.to_owned() } else { t.for_seconds(one) };
                    let press = move |()| {
                        undo.set(one);
                        choose("undo", "data-undo", &one.to_string());
                    };
                    view! { <MenuChoice label chosen=Signal::derive(move || undo.get() == one) press /> }
                })
                .into_iter()
                .collect_view()}
            <MenuTitle label=t.language />
            {Lang::ALL
                .map(|one| {
                    let press = move |()| {
                        browser::set_cookie("lang", one.name());
                        browser::reload();
                    };
                    view! { <MenuChoice label=one.label() chosen=Signal::derive(move || one == t.lang) press /> }
                })
                .into_iter()
                .collect_view()}
            <MenuTitle label=t.mail_programs />
            <MenuItem label=t.app_passwords_open icon=Icon::Shield press=move |()| is_asked.set(true) testid="open-app-passwords" />
            <form method="post" action="/logout" class="menu-form">
                <button type="submit" role="menuitem" class="menu-item" data-testid="logout">
                    <super::icon::Draw icon=Icon::Back />
                    <span>{t.log_out}</span>
                </button>
            </form>
        </Menu>
        <Show when=move || is_asked.get()>
            <AppPasswordsDialog is_open=is_asked />
        </Show>
    }
    .into_any()
}
