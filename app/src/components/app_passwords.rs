//! Passwords for mail programs, over the page: one is made and shown once, others are taken away.

use leptos::{ev::SubmitEvent, html, prelude::*};
use types::{
    Problem, ProblemKind,
    api::{AppPassword, MadeAppPassword},
};

use super::{
    icon::{Draw, Icon},
    looked::{LookedList, LookedProblem},
    time::Time,
};
use crate::{
    browser,
    i18n::{Texts, texts},
    state::{AppPasswords, Store},
};

#[component]
pub(crate) fn AppPasswordsDialog(is_open: RwSignal<bool>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let passwords = AppPasswords::new();
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        if let Some(dialog) = dialog.get()
            && !dialog.open()
        {
            let _ = dialog.show_modal();
            passwords.load(store);
        }
    });
    view! {
        <dialog
            node_ref=dialog
            class="dialog sharing app-passwords"
            aria-labelledby="app-passwords-title"
            data-testid="app-passwords"
            on:close=move |_| is_open.set(false)
        >
            <h2 id="app-passwords-title">{t.app_passwords}</h2>
            <p class="quiet">{t.app_passwords_note}</p>
            {move || passwords.made.get().map(|made| view! { <Made made /> })}
            <New passwords />
            <LookedProblem
                problem=passwords.all.problem
                testid="app-password-problem"
                said=move |problem| said(problem, t)
            />
            <LookedList
                looked=passwords.all
                label=t.app_passwords
                nothing=t.no_app_passwords
                testid_nothing="app-passwords-none"
                line=move |one| view! { <One passwords one /> }
            />
            <div class="dialog-buttons">
                <button type="button" class="button" data-testid="app-passwords-done" on:click=move |_| is_open.set(false)>
                    {t.done}
                </button>
            </div>
        </dialog>
    }
    .into_any()
}

/// Why something could not be done.
fn said(problem: &Problem, t: &Texts) -> String {
    match (problem.kind(), problem.field.as_deref()) {
        (ProblemKind::InvalidRequest, Some("password")) => t.wrong_own_password.to_owned(),
        (ProblemKind::Conflict, _) => t.too_many_app_passwords.to_owned(),
        _ => t.problem(problem),
    }
}

#[component]
fn Made(made: MadeAppPassword) -> AnyView {
    let t = texts();
    let MadeAppPassword { app_password, password } = made;
    let password = password.expose().clone();
    let copied = RwSignal::new(false);
    let copy = {
        let password = password.clone();
        move |_| browser::copy(&password, move || copied.set(true))
    };
    view! {
        <div class="app-password-made" role="status" data-testid="app-password-made">
            <p>{t.app_password_made(&app_password.name)}</p>
            <div class="app-password-line">
                <code translate="no">{password}</code>
                {browser::can_copy()
                    .then(|| {
                        view! {
                            <button type="button" class="button" data-testid="app-password-copy" on:click=copy>
                                {move || if copied.get() { t.copied } else { t.copy }}
                            </button>
                        }
                    })}
            </div>
        </div>
    }
    .into_any()
}

#[component]
fn New(passwords: AppPasswords) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let (name, own) = (NodeRef::<html::Input>::new(), NodeRef::<html::Input>::new());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let (Some(name), Some(own)) = (name.get_untracked(), own.get_untracked()) else { return };
        let (called, password) = (name.value().trim().to_owned(), own.value());
        if !called.is_empty() && !password.is_empty() && !passwords.all.busy.get_untracked() {
            passwords.add(store, called, password, move || {
                name.set_value("");
                own.set_value("");
            });
        }
    };
    view! {
        <form class="sharing-invite" on:submit=submit>
            <label class="field">
                <span>{t.app_password_name}</span>
                <input
                    node_ref=name
                    required
                    maxlength="100"
                    autocomplete="off"
                    autofocus
                    data-testid="app-password-name"
                />
            </label>
            <label class="field">
                <span>{t.own_password}</span>
                <input
                    node_ref=own
                    type="password"
                    required
                    maxlength="1024"
                    autocomplete="current-password"
                    data-testid="app-password-own"
                />
            </label>
            <button type="submit" class="button primary" data-testid="app-password-add" disabled=passwords.all.busy>
                {t.create}
            </button>
        </form>
    }
    .into_any()
}

#[component]
fn One(passwords: AppPasswords, one: AppPassword) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let AppPassword { id, name, used_at, .. } = one;
    let used = match used_at {
        Some(at) => view! { <span class="quiet">{t.last_used} " " <Time at=at /></span> }.into_any(),
        None => view! { <span class="quiet">{t.never_used}</span> }.into_any(),
    };
    view! {
        <li class="sharing-person" data-testid="app-password">
            <Draw icon=Icon::Shield />
            <span class="app-password-name">
                <bdi title=name.clone()>{name.clone()}</bdi>
                {used}
            </span>
            <button
                type="button"
                class="icon-button"
                aria-label=t.remove_app_password(&name)
                title=t.remove_app_password(&name)
                data-testid="app-password-remove"
                on:click=move |_| passwords.remove(store, id)
            >
                <Draw icon=Icon::Close />
            </button>
        </li>
    }
    .into_any()
}
