//! Who a folder is shared with, over the page: somebody is added, may do more or less, or is taken out.

use leptos::{ev::SubmitEvent, html, prelude::*};
use types::{
    Problem, ProblemKind,
    api::{Folder, Granted},
};

use super::{
    avatar::Avatar,
    folder_link::folder_name,
    icon::{Draw, Icon},
    looked::{LookedList, LookedProblem},
};
use crate::{
    i18n::{Texts, texts},
    state::{Level, Sharing, Store},
};

#[component]
pub(crate) fn SharingDialog(folder: Memo<Option<Folder>>, is_open: RwSignal<bool>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let Some(shared) = folder.get_untracked() else { return ().into_any() };
    let sharing = Sharing::new(shared.id);
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        if let Some(dialog) = dialog.get()
            && !dialog.open()
        {
            let _ = dialog.show_modal();
            sharing.load(store);
        }
    });
    view! {
        <dialog
            node_ref=dialog
            class="dialog sharing"
            aria-labelledby="sharing-title"
            data-testid="sharing"
            on:close=move |_| is_open.set(false)
        >
            <h2 id="sharing-title">{t.share_folder_named(&folder_name(&shared, t))}</h2>
            <Invite sharing />
            <LookedProblem problem=sharing.people.problem testid="sharing-problem" said=move |problem| said(problem, t) />
            <LookedList
                looked=sharing.people
                label=t.shared_with
                nothing=t.shared_with_nobody
                testid_nothing="sharing-nobody"
                line=move |person| view! { <Person sharing person /> }
            />
            <div class="dialog-buttons">
                <button type="button" class="button" data-testid="sharing-done" on:click=move |_| is_open.set(false)>
                    {t.done}
                </button>
            </div>
        </dialog>
    }
    .into_any()
}

/// Why something could not be done. That an address is nobody's is what mostly goes wrong.
fn said(problem: &Problem, t: &Texts) -> String {
    match (problem.kind(), problem.field.as_deref()) {
        (ProblemKind::InvalidRequest, Some("address")) => t.no_such_account.to_owned(),
        _ => t.problem(problem),
    }
}

/// A line for somebody new.
#[component]
fn Invite(sharing: Sharing) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let address = NodeRef::<html::Input>::new();
    let level = NodeRef::<html::Select>::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let (Some(address), Some(level)) = (address.get_untracked(), level.get_untracked()) else { return };
        let email = address.value().trim().to_owned();
        let level = Level::from_name(&level.value()).unwrap_or(Level::Read);
        if !email.is_empty() && !sharing.people.busy.get_untracked() {
            sharing.give(store, email, level, move || {
                address.set_value("");
                let _ = address.focus();
            });
        }
    };
    view! {
        <form class="sharing-invite" on:submit=submit>
            <label class="field">
                <span>{t.share_address}</span>
                <input
                    node_ref=address
                    type="email"
                    required
                    maxlength="320"
                    autocomplete="off"
                    autofocus
                    data-testid="sharing-address"
                />
            </label>
            <select node_ref=level aria-label=t.rights_of_new data-testid="sharing-level">
                <Choices level=Level::Read />
            </select>
            <button type="submit" class="button primary" data-testid="sharing-add" disabled=sharing.people.busy>
                {t.share}
            </button>
        </form>
    }
    .into_any()
}

#[component]
fn Choices(level: Level) -> impl IntoView {
    let t = texts();
    let other = (level == Level::Other).then_some(Level::Other);
    Level::OFFERED
        .into_iter()
        .chain(other)
        .map(|one| {
            let label = match one {
                Level::Read => t.may_read,
                Level::Write => t.may_write,
                Level::Other => t.may_other,
            };
            view! {
                <option value=one.name() selected=one == level>
                    {label}
                </option>
            }
        })
        .collect_view()
}

#[component]
fn Person(sharing: Sharing, person: Granted) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let Granted { email, rights } = person;
    let address = types::Address { name: String::new(), email: email.clone() };
    let (changed, ended) = (email.clone(), email.clone());
    let choose = move |event| {
        if let Some(level) = Level::from_name(&event_target_value(&event)) {
            sharing.give(store, changed.clone(), level, || {});
        }
    };
    view! {
        <li class="sharing-person" data-testid="sharing-person">
            <Avatar address />
            <bdi title=email.clone()>{email.clone()}</bdi>
            <select aria-label=t.rights_of(&email) on:change=choose>
                <Choices level=Level::of(&rights) />
            </select>
            <button
                type="button"
                class="icon-button"
                aria-label=t.stop_sharing_with(&email)
                title=t.stop_sharing_with(&email)
                data-testid="sharing-stop"
                on:click=move |_| sharing.take_back(store, ended.clone())
            >
                <Draw icon=Icon::Close />
            </button>
        </li>
    }
    .into_any()
}
