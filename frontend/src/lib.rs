//! The browser's entry: hydrates the page that the server rendered.

use wasm_bindgen::prelude::wasm_bindgen;

/// Takes over the page. Called by the loader once the WebAssembly is there.
#[wasm_bindgen]
pub fn hydrate() {
    std::panic::set_hook(Box::new(|info| leptos::logging::error!("{info}")));
    leptos::mount::hydrate_body(app::App);
}
