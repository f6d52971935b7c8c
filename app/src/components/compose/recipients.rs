//! A line of recipients: chips, what is being typed, and whom it may mean.

use leptos::{
    ev::{FocusEvent, KeyboardEvent},
    html,
    prelude::*,
};
use types::Address;

use crate::{
    components::icon::{Draw, Icon},
    i18n::texts,
    state::{Recipients, Store},
};

#[component]
pub(crate) fn RecipientLine(
    label: &'static str,
    line: Recipients,
    testid: &'static str,
    #[prop(optional)] focus: bool,
) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let input = NodeRef::<html::Input>::new();
    let offers = RwSignal::new(Vec::<Address>::new());
    let chosen = RwSignal::new(0_usize);
    let take = move |address: Address| {
        line.add(vec![address]);
        line.text.set(String::new());
        line.problem.set(false);
        offers.set(Vec::new());
        if let Some(input) = input.get_untracked() {
            let _ = input.focus();
        }
    };
    let typed = move |value: String| {
        chosen.set(0);
        let complete = value.ends_with([',', ';', '\n']);
        offers.set(if complete { Vec::new() } else { store.correspondents(&value) });
        line.text.set(value);
        line.problem.set(false);
        if complete {
            line.commit();
        }
    };
    let leave = move |_: FocusEvent| {
        offers.set(Vec::new());
        line.commit();
    };
    let list_id = format!("{testid}-offers");
    let problem_id = format!("{testid}-problem");
    view! {
        <div class="compose-line recipients">
            <label for=testid>{label}</label>
            <div class="chips">
                <Chips line />
                <input
                    node_ref=input
                    id=testid
                    data-testid=testid
                    type="text"
                    inputmode="email"
                    autocomplete="off"
                    autocapitalize="off"
                    spellcheck="false"
                    role="combobox"
                    aria-autocomplete="list"
                    aria-controls=list_id.clone()
                    aria-expanded=move || offers.with(|offers| !offers.is_empty()).to_string()
                    aria-invalid=move || line.problem.get().to_string()
                    aria-describedby=problem_id.clone()
                    autofocus=focus
                    prop:value=line.text
                    on:input:target=move |event| typed(event.target().value())
                    on:keydown=move |event| keys(&event, line, offers, chosen, &take)
                    on:blur=leave
                />
            </div>
            <ul class="offers" id=list_id role="listbox" aria-label=label>
                {move || offers.get().into_iter().enumerate().map(|(at, address)| {
                    view! { <Offer address selected=Signal::derive(move || chosen.get() == at) take=Callback::new(take) /> }
                }).collect_view()}
            </ul>
            <p class="problem" id=problem_id role="alert">
                {move || line.problem.get().then_some(t.not_an_address)}
            </p>
        </div>
    }
    .into_any()
}

fn keys(
    event: &KeyboardEvent,
    line: Recipients,
    offers: RwSignal<Vec<Address>>,
    chosen: RwSignal<usize>,
    take: &impl Fn(Address),
) {
    let count = offers.with_untracked(Vec::len);
    let offered = || offers.with_untracked(|offers| offers.get(chosen.get_untracked()).cloned());
    match event.key().as_str() {
        "ArrowDown" if count > 0 => chosen.update(|at| *at = (*at + 1) % count),
        "ArrowUp" if count > 0 => chosen.update(|at| *at = (*at + count - 1) % count),
        "Escape" if count > 0 => offers.set(Vec::new()),
        "Enter" if !(event.ctrl_key() || event.meta_key()) => match offered() {
            Some(address) => take(address),
            None => line.commit(),
        },
        "Tab" => {
            if let Some(address) = offered() {
                take(address);
            } else {
                line.commit();
            }
            return;
        }
        "Backspace" if line.text.with_untracked(String::is_empty) => {
            line.chips.update(|chips| drop(chips.pop()));
            return;
        }
        _ => return,
    }
    event.prevent_default();
}

#[component]
fn Chips(line: Recipients) -> impl IntoView {
    let t = texts();
    let chip = move |address: Address| {
        let email = address.email.clone();
        let label = format!("{}: {}", t.remove, address.display());
        view! {
            <span class="chip" title=address.email.clone() data-testid="recipient-chip">
                <bdi>{address.display().to_owned()}</bdi>
                <button
                    type="button"
                    aria-label=label
                    on:click=move |_| line.chips.update(|chips| chips.retain(|known| known.email != email))
                >
                    <Draw icon=Icon::Close />
                </button>
            </span>
        }
    };
    view! { <For each=move || line.chips.get() key=|address| address.email.clone() children=chip /> }
}

#[component]
fn Offer(address: Address, selected: Signal<bool>, take: Callback<Address>) -> AnyView {
    let (name, email) = (address.name.clone(), address.email.clone());
    view! {
        <li
            role="option"
            aria-selected=move || selected.get().to_string()
            // Before the input loses the keyboard.
            on:mousedown=move |event| {
                event.prevent_default();
                take.run(address.clone());
            }
        >
            <bdi>{name}</bdi>
            <span class="quiet">
                <bdi>{email}</bdi>
            </span>
        </li>
    }
    .into_any()
}
