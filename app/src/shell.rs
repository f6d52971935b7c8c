//! The document around the page: head, icons, where styles and WebAssembly are.

use leptos::{nonce::use_nonce, prelude::*};

use crate::{App, Preferences};

/// Where the built files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assets {
    pub css: &'static str,
    /// A module that fetches the WebAssembly and starts it.
    pub js: &'static str,
    pub wasm: &'static str,
}

/// The whole document. Without assets it is the plain page: readable, but without styles and life.
#[must_use]
pub fn shell(assets: Option<Assets>, preferences: Preferences) -> impl IntoView {
    let nonce = use_nonce();
    view! {
        <!DOCTYPE html>
        <html
            lang=preferences.lang.name()
            data-theme=preferences.theme.name()
            data-density=preferences.density.name()
            data-list=preferences.list_width.to_string()
            data-undo=preferences.undo_seconds.to_string()
        >
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover" />
                <meta name="color-scheme" content="light dark" />
                <meta name="theme-color" content="#f3f6f8" media="(prefers-color-scheme: light)" />
                <meta name="theme-color" content="#0f1418" media="(prefers-color-scheme: dark)" />
                <title>"Magpie"</title>
                <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
                <link rel="apple-touch-icon" href="/icons/192.png" />
                <link rel="manifest" href="/manifest.webmanifest" />
                {assets
                    .map(|assets| {
                        view! {
                            <link rel="stylesheet" href=assets.css />
                            <link rel="modulepreload" href=assets.js />
                            <link
                                rel="preload"
                                href=assets.wasm
                                r#as="fetch"
                                r#type="application/wasm"
                                crossorigin="anonymous"
                            />
                            <script type="module" src=assets.js nonce=nonce></script>
                        }
                    })}
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}
