//! Send, attach, discard; and what is in the way.

use leptos::{html, prelude::*};

use super::{files::add_files, later::SendLater};
use crate::{
    components::{
        button::IconButton,
        icon::{Draw, Icon},
    },
    i18n::texts,
    state::{Draft, Kept, Store},
};

#[component]
pub(crate) fn Foot(draft: Draft) -> AnyView {
    let t = texts();
    let store = expect_context::<Store>();
    let picker = NodeRef::<html::Input>::new();
    let picked = move |_| {
        let Some(picker) = picker.get_untracked() else { return };
        if let Some(files) = picker.files() {
            add_files(draft, store, &files);
        }
        picker.set_value("");
    };
    let label = move || match (draft.sending.get(), draft.later.get()) {
        (true, _) => t.sending,
        (false, Some(_)) => t.send_later_yes,
        (false, None) => t.send,
    };
    view! {
        <footer class="compose-foot">
            <p class="problem" role="alert" data-testid="compose-problem">
                {move || draft.problem.get()}
            </p>
            <div class="compose-buttons">
                <button
                    type="button"
                    class="button primary"
                    data-testid="compose-send"
                    aria-keyshortcuts="Control+Enter"
                    disabled=draft.sending
                    on:click=move |_| draft.send(store, t)
                >
                    <Draw icon=Icon::Send />
                    <span>{label}</span>
                    <kbd aria-hidden="true">"Ctrl ↵"</kbd>
                </button>
                <SendLater draft />
                <label class="icon-button attach" title=t.attach>
                    <Draw icon=Icon::Attach />
                    <span class="sr-only">{t.attach}</span>
                    <input
                        node_ref=picker
                        type="file"
                        multiple
                        class="sr-only"
                        data-testid="attach-input"
                        on:change=picked
                    />
                </label>
                <Saved draft />
                <IconButton
                    label=t.discard
                    icon=Icon::Bin
                    testid="compose-discard"
                    press=move |_| store.discard_draft(draft, t)
                />
            </div>
        </footer>
    }
    .into_any()
}

/// Whether what was typed is safe.
#[component]
fn Saved(draft: Draft) -> AnyView {
    let t = texts();
    let text = move || match draft.saving.get() {
        Kept::Untouched => "",
        Kept::Changed => t.not_saved,
        Kept::Saving => t.saving,
        Kept::Saved if draft.is_unfinished() => t.saved_but_address,
        Kept::Saved => t.saved,
        Kept::Failed => t.save_failed,
    };
    view! {
        <span class="saved" role="status" data-testid="compose-saved">
            {text}
        </span>
    }
    .into_any()
}
