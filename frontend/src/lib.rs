//! The browser's entry: hydrates the page that the server rendered.
//!
//! The type of a page is as deep as the page; hence the limit.

#![recursion_limit = "1024"]

use wasm_bindgen::prelude::wasm_bindgen;

/// Takes over the page. Called by the loader once the WebAssembly is there.
#[wasm_bindgen]
pub fn hydrate() {
    std::panic::set_hook(Box::new(|info| leptos::logging::error!("{info}")));
    leptos::mount::hydrate_body(app::App);
}
