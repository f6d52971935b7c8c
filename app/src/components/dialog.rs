//! A question with one line of answer, or none, over the page. The browser's own dialog: it keeps the keyboard inside.

use leptos::{ev::SubmitEvent, html, prelude::*};

use crate::i18n::texts;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) line: Option<Line>,
    pub(crate) yes: &'static str,
    pub(crate) danger: bool,
}

/// The line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) label: &'static str,
    /// What it says at first.
    pub(crate) value: String,
    pub(crate) kind: LineKind,
}

/// What is written on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineKind {
    Text,
    /// A date and a time of the reader's own clock, as HTML writes them.
    Moment,
}

impl LineKind {
    fn html(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Moment => "datetime-local",
        }
    }
}

#[component]
pub(crate) fn Dialog(
    question: RwSignal<Option<Question>>,
    #[prop(into)] answer: Callback<String>,
) -> AnyView {
    view! {
        {move || {
            question.get().map(|asked| view! { <Asking asked question answer /> })
        }}
    }
    .into_any()
}

#[component]
fn Asking(asked: Question, question: RwSignal<Option<Question>>, answer: Callback<String>) -> AnyView {
    let t = texts();
    let dialog = NodeRef::<html::Dialog>::new();
    let line = NodeRef::<html::Input>::new();
    Effect::new(move |_| {
        if let Some(dialog) = dialog.get()
            && !dialog.open()
        {
            let _ = dialog.show_modal();
        }
    });
    let has_line = asked.line.is_some();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let said = line.get_untracked().map(|line| line.value().trim().to_owned()).unwrap_or_default();
        if !has_line || !said.is_empty() {
            question.set(None);
            answer.run(said);
        }
    };
    view! {
        <dialog
            node_ref=dialog
            class="dialog"
            aria-labelledby="dialog-title"
            // What is asked from has keys of its own.
            on:keydown=|event| event.stop_propagation()
            on:close=move |_| question.set(None)
        >
            <form method="dialog" on:submit=submit>
                <h2 id="dialog-title">{asked.title}</h2>
                {(!asked.note.is_empty()).then(|| view! { <p>{asked.note}</p> })}
                {asked
                    .line
                    .map(|asked| {
                        view! {
                            <label class="field">
                                <span>{asked.label}</span>
                                <input
                                    node_ref=line
                                    r#type=asked.kind.html()
                                    value=asked.value
                                    required
                                    maxlength="100"
                                    autofocus
                                />
                            </label>
                        }
                    })}
                <div class="dialog-buttons">
                    <button type="button" class="button" on:click=move |_| question.set(None)>
                        {t.cancel}
                    </button>
                    <button type="submit" class="button primary" class:danger=asked.danger>
                        {asked.yes}
                    </button>
                </div>
            </form>
        </dialog>
    }
    .into_any()
}
