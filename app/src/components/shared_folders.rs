//! In the side bar: what others share, under their names.

use leptos::prelude::*;

use super::{
    avatar::Avatar,
    folder_link::{Count, DEEPEST, folder_icon},
    icon::Draw,
};
use crate::{
    api::SharedId,
    i18n::texts,
    state::{Group, Line, Place, Store, groups},
};

#[component]
pub(crate) fn SharedFolders() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let all = Memo::new(move |_| store.shared.with(|folders| groups(folders, t)));
    let group = move |Group { owner, name, email, .. }: Group| {
        let lines = move || {
            all.with(|all| all.iter().find(|group| group.owner == owner).map(|group| group.lines.clone()))
        };
        let heading = format!("shared-by-{owner}");
        let address = types::Address { name: name.clone(), email: email.clone() };
        view! {
            <h3 id=heading.clone() class="shared-owner" title=email>
                <Avatar address />
                <bdi>{name}</bdi>
            </h3>
            <ul aria-labelledby=heading>
                <For each=move || lines().unwrap_or_default() key=Line::clone children=|line| view! { <SharedLink line /> } />
            </ul>
        }
    };
    view! {
        <Show when=move || all.with(|all| !all.is_empty())>
            <section class="shared-folders" aria-labelledby="shared-with-me" data-testid="shared-folders">
                <div class="folders-title">
                    <h2 id="shared-with-me">{t.shared_with_me}</h2>
                </div>
                <For each=move || all.get() key=|group| (group.owner, group.name.clone()) children=group />
            </section>
        </Show>
    }
    .into_any()
}

#[component]
fn SharedLink(line: Line) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let Line { id, label, role, depth } = line;
    let unread = Memo::new(move |_| {
        store.shared.with(|folders| {
            folders
                .iter()
                .find(|folder| SharedId::of(folder) == id)
                .and_then(|folder| folder.unread)
                .unwrap_or(0)
        })
    });
    view! {
        <li class="folder" data-depth=depth.min(DEEPEST).to_string() class:has-unread=move || unread.get() != 0>
            <a
                class="folder-link"
                data-testid="shared-link"
                href=Place::shared(id).href()
                aria-current=move || (store.shared_id() == Some(id)).then_some("page")
            >
                <Draw icon=folder_icon(role) />
                <span class="folder-name" dir="auto">
                    {label}
                </span>
                <Count n=unread said=move |n| t.unread_count(n) />
            </a>
        </li>
    }
    .into_any()
}
