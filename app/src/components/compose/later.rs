//! Sending a mail at another time than now.

use leptos::prelude::*;
use types::Timestamp;

use crate::{
    browser,
    components::{
        dialog::{Dialog, Line, LineKind, Question},
        icon::Icon,
        menu::{Menu, MenuItem},
    },
    i18n::texts,
    state::{Draft, Store},
    text::{Civil, Later, date_and_time, suggestions},
};

#[component]
pub(crate) fn SendLater(draft: Draft) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let question = RwSignal::new(None);
    let choices = move || {
        suggestions(browser::now(), browser::utc_offset_minutes)
            .into_iter()
            .map(|(later, at)| {
                let name = match later {
                    Later::InAnHour => t.in_an_hour,
                    Later::Tomorrow => t.tomorrow_morning,
                    Later::Monday => t.monday_morning,
                };
                let civil = Civil::new(at, browser::utc_offset_minutes(at.millis()));
                let label = format!("{name} · {}", date_and_time(civil, t.lang));
                view! {
                    <MenuItem
                        label
                        icon=Icon::Clock
                        testid="send-later-choice"
                        press=move |()| draft.send_at(at, store, t)
                    />
                }
            })
            .collect_view()
    };
    let ask = move |()| {
        question.set(Some(Question {
            title: t.send_later.to_owned(),
            note: String::new(),
            line: Some(Line { label: t.date_and_time, value: String::new(), kind: LineKind::Moment }),
            yes: t.send_later_yes,
            danger: false,
        }));
    };
    let answer = move |said: String| {
        if let Some(at) = browser::local_time(&said) {
            draft.send_at(Timestamp::from_millis(at), store, t);
        }
    };
    view! {
        <Menu label=t.send_later icon=Icon::Clock testid="send-later">
            {move || {
                let is_later = draft.later.get().is_some();
                is_later
                    .then(|| {
                        view! {
                            <MenuItem
                                label=t.send_now
                                icon=Icon::Send
                                testid="send-now"
                                press=move |()| draft.send_now(store, t)
                            />
                        }
                    })
            }}
            {choices}
            <MenuItem label=t.other_time icon=Icon::Clock testid="send-later-other" press=ask />
        </Menu>
        <Dialog question answer />
    }
    .into_any()
}
