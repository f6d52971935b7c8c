//! The window in which a mail is written.

mod attachments;
mod files;
mod foot;
mod later;
mod recipients;

use leptos::{
    ev::{DragEvent, KeyboardEvent},
    html,
    prelude::*,
};

use self::{attachments::AttachedList, files::add_files, foot::Foot, recipients::RecipientLine};
use super::{button::IconButton, icon::Icon};
use crate::{
    browser,
    i18n::texts,
    state::{Draft, Place, Store, Written},
};

#[component]
pub(crate) fn ComposeWindow() -> impl IntoView {
    let store = expect_context::<Store>();
    move || store.draft.get().map(|draft| view! { <Window draft /> })
}

#[component]
fn Window(draft: Draft) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    Effect::new(move |before: Option<Written>| draft.watch(before, store));
    let is_page = move || draft.full.get() || store.place.get() == Place::Compose;
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
            event.prevent_default();
            draft.send(store, t);
        } else if event.key() == "Escape" && !event.default_prevented() {
            event.stop_propagation();
            store.put_draft_aside(draft);
        }
    };
    let dragging = RwSignal::new(false);
    let over = move |event: DragEvent| {
        event.prevent_default();
        dragging.set(true);
    };
    let drop = move |event: DragEvent| {
        event.prevent_default();
        dragging.set(false);
        if let Some(files) = event.data_transfer().and_then(|data| data.files()) {
            add_files(draft, store, &files);
        }
    };
    view! {
        <div
            class="compose"
            class:full=is_page
            class:minimised=draft.minimised
            class:dragging=dragging
            role="dialog"
            aria-label=t.new_message
            data-testid="compose"
            on:keydown=on_key
            on:dragover=over
            on:dragleave=move |_| dragging.set(false)
            on:drop=drop
        >
            <Head draft />
            <div class="compose-fields">
                <Addresses draft />
                <Subject draft />
                <Text draft />
                <AttachedList draft />
            </div>
            <Foot draft />
            <p class="drop-hint" aria-hidden="true">
                {t.drop_files}
            </p>
        </div>
    }
    .into_any()
}

#[component]
fn Head(draft: Draft) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let title = move || {
        let subject = draft.subject.get();
        if subject.trim().is_empty() { t.new_message.to_owned() } else { subject }
    };
    let full_label = move || if draft.full.get() { t.dock } else { t.full_page };
    view! {
        <header class="compose-head">
            <button type="button" class="compose-title" on:click=move |_| draft.minimised.update(|on| *on = !*on)>
                <bdi>{title}</bdi>
            </button>
            <IconButton
                label=t.minimise
                icon=Icon::Minimise
                class="wide-only"
                press=move |_| draft.minimised.update(|on| *on = !*on)
            />
            <IconButton
                label=Signal::derive(full_label)
                icon=Icon::Dock
                class="wide-only"
                press=move |_| {
                    draft.minimised.set(false);
                    draft.full.update(|on| *on = !*on);
                }
            />
            <IconButton
                label=t.close
                icon=Icon::Close
                testid="compose-close"
                press=move |_| store.put_draft_aside(draft)
            />
        </header>
    }
    .into_any()
}

#[component]
fn Addresses(draft: Draft) -> AnyView {
    let t = texts();
    let has_more = move || {
        draft.cc.chips.with_untracked(|chips| !chips.is_empty())
            || draft.bcc.chips.with_untracked(|chips| !chips.is_empty())
    };
    let more = RwSignal::new(has_more());
    view! {
        <div class="compose-to">
            <RecipientLine label=t.to line=draft.to testid="compose-to" focus=true />
            {move || {
                (!more.get())
                    .then(|| {
                        view! {
                            <button
                                type="button"
                                class="link"
                                data-testid="compose-more-recipients"
                                on:click=move |_| more.set(true)
                            >
                                {t.cc}
                                " / "
                                {t.bcc}
                            </button>
                        }
                    })
            }}
        </div>
        {move || {
            more.get()
                .then(|| {
                    view! {
                        <RecipientLine label=t.cc line=draft.cc testid="compose-cc" />
                        <RecipientLine label=t.bcc line=draft.bcc testid="compose-bcc" />
                    }
                })
        }}
    }
    .into_any()
}

#[component]
fn Subject(draft: Draft) -> AnyView {
    let t = texts();
    view! {
        <label class="compose-line">
            <span>{t.subject}</span>
            <input
                dir="auto"
                data-testid="compose-subject"
                maxlength="900"
                autocomplete="off"
                prop:value=draft.subject
                on:input:target=move |event| draft.subject.set(event.target().value())
            />
        </label>
    }
    .into_any()
}

#[component]
fn Text(draft: Draft) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let text = NodeRef::<html::Textarea>::new();
    Effect::new(move |_| {
        let Some(text) = text.get() else { return };
        // An answer begins above what it quotes; a new mail with whom it goes to.
        let is_answer = draft.to.chips.with_untracked(|chips| !chips.is_empty());
        request_animation_frame(move || {
            if is_answer {
                let _ = text.focus();
                let _ = text.set_selection_range(0, 0);
                text.set_scroll_top(0);
            } else {
                browser::focus("[data-testid=compose-to]");
            }
        });
    });
    let paste = move |event: web_sys::Event| {
        let event: web_sys::ClipboardEvent = wasm_bindgen::JsCast::unchecked_into(event);
        if let Some(files) = event.clipboard_data().and_then(|data| data.files())
            && files.length() > 0
        {
            event.prevent_default();
            add_files(draft, store, &files);
        }
    };
    view! {
        <textarea
            node_ref=text
            class="compose-text"
            dir="auto"
            data-testid="compose-text"
            aria-label=t.text
            placeholder=t.write_here
            prop:value=draft.text
            on:input:target=move |event| draft.text.set(event.target().value())
            on:paste=move |event| paste(event.into())
        ></textarea>
    }
    .into_any()
}
