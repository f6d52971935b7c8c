//! The routes.

use leptos::prelude::*;
use leptos_router::{
    SsrMode,
    components::{ParentRoute, Redirect, Route, Router, Routes},
    path,
};

use crate::{
    Preferences,
    pages::{Login, Mail, NotFound},
};

/// The webmail. Wants [`Preferences`] and, on the server, an `Arc<dyn Api>` in the context.
#[component]
pub fn App() -> AnyView {
    let preferences = use_context::<Preferences>().unwrap_or_else(|| {
        if cfg!(feature = "hydrate") { Preferences::from_document() } else { Preferences::default() }
    });
    provide_context(preferences);
    provide_context(preferences.lang.texts());
    view! {
        <Router>
            <Routes fallback=NotFound>
                <Route path=path!("/login") view=Login />
                <Route path=path!("/") view=|| view! { <Redirect path="/mail/inbox" /> } />
                <ParentRoute path=path!("") view=Mail ssr=SsrMode::Async>
                    <Route path=path!("/mail/:folder") view=|| () ssr=SsrMode::Async />
                    <Route path=path!("/mail/:folder/:message") view=|| () ssr=SsrMode::Async />
                    <Route path=path!("/shared/:owner/:folder") view=|| () ssr=SsrMode::Async />
                    <Route path=path!("/shared/:owner/:folder/:message") view=|| () ssr=SsrMode::Async />
                    <Route path=path!("/search") view=|| () ssr=SsrMode::Async />
                    <Route path=path!("/compose") view=|| () ssr=SsrMode::Async />
                </ParentRoute>
            </Routes>
        </Router>
    }
    .into_any()
}
