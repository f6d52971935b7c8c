//! The files that go with the mail, each a chip with its progress inside.

use leptos::prelude::*;

use crate::{
    components::icon::{Draw, Icon},
    i18n::texts,
    state::{Attached, AttachedState, Draft},
    text::size,
};

#[component]
pub(crate) fn AttachedList(draft: Draft) -> AnyView {
    let t = texts();
    let keys =
        Memo::new(move |_| draft.attachments.with(|all| all.iter().map(|one| one.key).collect::<Vec<_>>()));
    view! {
        <ul class="attached" aria-label=t.attachments>
            <For each=move || keys.get() key=|key| *key children=move |key| view! { <One draft key /> } />
        </ul>
    }
    .into_any()
}

#[component]
fn One(draft: Draft, key: u64) -> AnyView {
    let t = texts();
    let attached =
        Memo::new(move |_| draft.attachments.with(|all| all.iter().find(|one| one.key == key).cloned()));
    let with =
        move |read: fn(&Attached) -> String| attached.with(|one| one.as_ref().map(read).unwrap_or_default());
    let progress = move || {
        attached.with(|one| match one.as_ref().map(|one| &one.state) {
            Some(AttachedState::Uploading(part)) => Some(*part),
            _ => None,
        })
    };
    let problem = move || {
        attached.with(|one| match one.as_ref().map(|one| &one.state) {
            Some(AttachedState::Failed(problem)) => {
                Some(format!("{}: {}", t.upload_failed, t.problem(problem)))
            }
            _ => None,
        })
    };
    let remove_label = move || format!("{}: {}", t.remove, with(|one| one.name.clone()));
    view! {
        <li class="chip attached-file" class:failed=move || problem().is_some() data-testid="attached-file">
            <Draw icon=Icon::Attach />
            <bdi>{move || with(|one| one.name.clone())}</bdi>
            <span class="quiet">{move || with(|one| size(one.size))}</span>
            {move || {
                progress()
                    .map(|part| {
                        view! { <progress max="1" value=part.to_string() aria-label=t.uploading></progress> }
                    })
            }}
            {move || problem().map(|text| view! { <span class="problem" role="alert">{text}</span> })}
            <button
                type="button"
                aria-label=remove_label
                on:click=move |_| draft.attachments.update(|all| all.retain(|one| one.key != key))
            >
                <Draw icon=Icon::Close />
            </button>
        </li>
    }
    .into_any()
}
