//! "Move to…": the folders to choose from.

use leptos::prelude::*;
use types::MessageId;

use super::{
    folder_link::{folder_icon, folder_name},
    icon::Icon,
    menu::{Menu, MenuItem},
};
use crate::{i18n::texts, state::Store};

#[component]
pub(crate) fn MoveMenu(#[prop(into)] targets: Signal<Vec<MessageId>>) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let choices = move || {
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
            .map(|folder| {
                let id = folder.id;
                let press = move |()| store.move_to(targets.get_untracked(), id, t);
                view! { <MenuItem label=folder_name(&folder, t) icon=folder_icon(folder.role) press testid="move-target" /> }
            })
            .collect_view()
    };
    view! {
        <Menu label=t.move_to icon=Icon::Move testid="move">
            {choices}
        </Menu>
    }
    .into_any()
}
