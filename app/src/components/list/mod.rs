//! The message list: its head, its rows, what is selected.

mod head;
mod notice;
mod pull;
mod row;
mod rows;
mod swipe;

use leptos::prelude::*;

use self::{head::ListHead, rows::Rows};
use super::search_box::SearchBox;
use crate::{i18n::texts, state::Store};

#[component]
pub(crate) fn ListPane() -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    view! {
        <section class="list-pane" aria-label=t.messages>
            <div class="list-top">
                <super::button::IconButton
                    label=t.menu
                    icon=super::icon::Icon::Menu
                    class="sidebar-button"
                    testid="menu"
                    press=move |_| store.sidebar_open.update(|open| *open = !*open)
                />
                <SearchBox />
            </div>
            <ListHead />
            <Rows />
        </section>
    }
    .into_any()
}
