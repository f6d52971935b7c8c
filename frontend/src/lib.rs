//! The browser's entry: hydrates the page that the server rendered.
