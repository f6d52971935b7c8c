//! The door. A plain form: it works before, and without, WebAssembly.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use crate::{
    components::Logo,
    i18n::{Lang, Texts, texts},
};

#[component]
pub(crate) fn Login() -> AnyView {
    let t = texts();
    let query = use_query_map();
    let error = move || query.read().get_str("error").map(|error| message(error, t));
    // Who mistypes a password need not type the address again.
    let typed = query.read_untracked().get("email").unwrap_or_default();
    Effect::new(move |_| crate::browser::mark_hydrated());
    view! {
        <main class="login">
            <form class="login-card" method="post" action="/login">
                <Logo />
                <h1>"Magpie"</h1>
                <p class="login-tagline">{t.tagline}</p>
                {move || {
                    error().map(|text| view! { <p class="problem" role="alert" id="login-problem">{text}</p> })
                }}
                <label class="field">
                    <span>{t.email}</span>
                    <input
                        name="email"
                        type="email"
                        value=typed
                        autocomplete="username"
                        required
                        autofocus
                        spellcheck="false"
                        autocapitalize="off"
                        data-testid="login-email"
                    />
                </label>
                <label class="field">
                    <span>{t.password}</span>
                    <input
                        name="password"
                        type="password"
                        autocomplete="current-password"
                        required
                        data-testid="login-password"
                    />
                </label>
                <button class="button primary" type="submit" data-testid="login-submit">
                    {t.log_in}
                </button>
            </form>
            <Languages />
        </main>
    }
    .into_any()
}

/// The other languages, one click away.
#[component]
fn Languages() -> impl IntoView {
    let current = texts().lang;
    let choice = move |lang: Lang| {
        view! {
            <button
                class="link"
                type="button"
                lang=lang.name()
                aria-pressed=(lang == current).to_string()
                on:click=move |_| {
                    crate::browser::set_cookie("lang", lang.name());
                    crate::browser::reload();
                }
            >
                {lang.label()}
            </button>
        }
    };
    view! { <footer class="login-languages">{Lang::ALL.map(choice).into_iter().collect_view()}</footer> }
}

fn message(error: &str, t: &Texts) -> &'static str {
    match error {
        "invalid-credentials" => t.wrong_credentials,
        "rate-limited" => t.too_many_logins,
        "unauthenticated" => t.session_ended,
        _ => t.login_failed,
    }
}
