//! "Move to…": the folders to choose from.

use leptos::prelude::*;
use types::{MailboxId, MessageId};

use super::{
    folder_link::{folder_icon, folder_name},
    icon::Icon,
    menu::{Menu, MenuItem},
};
use crate::{
    i18n::texts,
    state::{Store, shared_name},
};

#[component]
pub(crate) fn MoveMenu(#[prop(into)] targets: Signal<Vec<MessageId>>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let item = move |label: String, icon: Icon, id: MailboxId| {
        let press = move |()| store.move_to(targets.get_untracked(), id, t);
        view! { <MenuItem label icon press testid="move-target" /> }
    };
    let choices = move || {
        if !store.is_own() {
            let folders = store.shared_targets().into_iter();
            return folders
                .map(|folder| item(shared_name(&folder.name, t), Icon::Folder, folder.id))
                .collect_view();
        }
        let here: Vec<_> = targets
            .get()
            .into_iter()
            .filter_map(|id| store.summary(id))
            .map(|message| message.folder_id)
            .collect();
        let elsewhere = move |folder: &types::api::Folder| !here.iter().all(|id| *id == folder.id);
        let folders: Vec<_> = store.folders.get().into_iter().filter(elsewhere).collect();
        folders
            .into_iter()
            .map(|folder| item(folder_name(&folder, t), folder_icon(folder.role), folder.id))
            .collect_view()
    };
    let is_offered = move || store.is_own() || store.may_move() && !store.shared_targets().is_empty();
    view! {
        <Show when=is_offered>
            <Menu label=t.move_to icon=Icon::Move testid="move">
                {choices}
            </Menu>
        </Show>
    }
    .into_any()
}
