//! On demand: every address, the times, the headers. And what became of a mail that was sent.

use std::sync::Arc;

use leptos::{prelude::*, task::spawn_local};
use types::{
    Address, Timestamp,
    api::{DeliveryState, Message, Summary},
};

use crate::{
    browser,
    components::{
        icon::{Draw, Icon},
        time::Time,
    },
    i18n::texts,
    state::Store,
};

#[component]
pub(crate) fn Details(message: Arc<Message>) -> AnyView {
    let t = texts();
    let summary = &message.summary;
    let people = |label: &'static str, list: &[Address]| {
        (!list.is_empty()).then(|| {
            let list = list.iter().map(person).collect_view();
            view! {
                <dt>{label}</dt>
                <dd>{list}</dd>
            }
        })
    };
    let headers: String = message.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    view! {
        <dl class="details">
            {people(t.from, std::slice::from_ref(&summary.from))}
            {people(t.to, &summary.to)}
            {people(t.cc, &message.cc)}
            {people(t.bcc, &message.bcc)}
            {people(t.reply_to, &message.reply_to)}
            <dt>{t.received}</dt>
            <dd>
                <Time at=summary.received_at full=true />
            </dd>
        </dl>
        <details class="headers">
            <summary>{t.show_headers}</summary>
            <pre tabindex="0">{headers}</pre>
        </details>
    }
    .into_any()
}

fn person(address: &Address) -> impl IntoView + use<> {
    let name = (!address.name.is_empty()).then(|| view! { <bdi>{address.name.clone()}</bdi> " " });
    view! {
        <span class="person">
            {name}
            <span class="quiet">
                <bdi>{address.email.clone()}</bdi>
            </span>
        </span>
    }
}

/// When the mail is to go, where it was said and it has not gone.
fn scheduled(summary: &Summary) -> impl Iterator<Item = Timestamp> {
    let queued = summary.delivery.iter().filter(|delivery| delivery.state == DeliveryState::Queued);
    queued.filter_map(|delivery| delivery.next_attempt_at)
}

/// How each recipient of a sent mail fares. What went well needs no words.
#[component]
pub(crate) fn Delivery(summary: Memo<Summary>) -> impl IntoView {
    let t = texts();
    let store = expect_context::<Store>();
    // When the time has come there is nothing to take back any more.
    let is_over = RwSignal::new(0_u32);
    Effect::new(move |_| {
        let times = summary.with(|summary| scheduled(summary).map(Timestamp::millis).collect::<Vec<_>>());
        for at in times.into_iter().filter(|at| *at > browser::now()) {
            if let Ok(wait) = i32::try_from(at - browser::now()) {
                spawn_local(async move {
                    browser::sleep(f64::from(wait)).await;
                    is_over.try_update(|n| *n += 1);
                });
            }
        }
    });
    let take_back = move |id| {
        view! {
            <li>
                <button type="button" class="button" data-testid="take-back" on:click=move |_| store.take_back(id)>
                    {t.take_back}
                </button>
            </li>
        }
    };
    let line = move |delivery: types::api::Delivery| {
        let (class, icon) = match delivery.state {
            DeliveryState::Delivered => ("delivery good", Icon::Check),
            DeliveryState::Queued | DeliveryState::Deferred => ("delivery", Icon::Clock),
            DeliveryState::Failed => ("delivery bad", Icon::Alert),
        };
        let is_scheduled = delivery.state == DeliveryState::Queued;
        let next = delivery.next_attempt_at.map(|at| {
            let label = if is_scheduled { t.scheduled } else { t.next_try };
            view! { <span>{label} ": " <Time at full=true /></span> }
        });
        view! {
            <li class=class data-testid="delivery">
                <Draw icon />
                <span>{t.delivery_state(delivery.state)}</span>
                <bdi>{delivery.recipient}</bdi>
                {next}
                {delivery.reply.map(|reply| {
                    view! { <span class="delivery-reply"><bdi>{t.delivery_reply(reply)}</bdi></span> }
                })}
            </li>
        }
    };
    move || {
        let (id, deliveries) = summary.with(|summary| (summary.id, summary.delivery.clone()));
        is_over.track();
        let is_scheduled = store.hydrated.get()
            && summary.with(|summary| scheduled(summary).any(|at| at.millis() > browser::now()));
        (!deliveries.is_empty()).then(|| {
            view! {
                <ul class="deliveries" aria-label=t.delivery>
                    {deliveries.into_iter().map(line).collect_view()}
                    {is_scheduled.then(|| take_back(id))}
                </ul>
            }
        })
    }
}
