//! The webmail itself: folders, list and reading pane, whatever of them the width has room for.

use std::sync::Arc;

use leptos::prelude::*;
use leptos_router::{
    components::{Outlet, Redirect},
    hooks::{use_location, use_navigate},
};
use types::{Problem, ProblemKind};

use crate::{
    api::{Api, http::Http},
    browser,
    components::{
        BottomBar, ComposeWindow, ListPane, Logo, Offline, Reader, Resizer, Sidebar, Toasts,
        install_shortcuts,
    },
    i18n::texts,
    state::{Boot, Opened, Place, Store, load},
};

#[component]
pub(crate) fn Mail() -> AnyView {
    let api = use_context::<Arc<dyn Api>>().unwrap_or_else(|| Arc::new(Http));
    let location = use_location();
    let place =
        Memo::new(move |_| Place::parse(&location.pathname.get(), |name| location.query.read().get(name)));
    let loader = Arc::clone(&api);
    let boot = Resource::new_blocking(|| (), move |()| load(Arc::clone(&loader), place.get_untracked()));
    view! {
        <Suspense fallback=|| view! { <main class="lone" aria-busy="true"><Logo /></main> }>
            {move || {
                let api = Arc::clone(&api);
                Suspend::new(async move {
                    match boot.await {
                        Ok(boot) => view! { <Webmail api place boot /> }.into_any(),
                        Err(problem) => view! { <Closed problem /> }.into_any(),
                    }
                })
            }}
        </Suspense>
        // What the routes below would show is shown by the panes; but a way ends only where its outlet is.
        <Outlet />
    }
    .into_any()
}

/// Where there is nothing to show: no session, or no service.
#[component]
fn Closed(problem: Problem) -> impl IntoView {
    let t = texts();
    if problem.kind() == ProblemKind::Unauthenticated {
        return view! { <Redirect path="/login" /> }.into_any();
    }
    view! {
        <main class="lone">
            <Logo />
            <h1>{t.problem(&problem)}</h1>
            <a class="button" href="/mail/inbox" rel="external">
                {t.retry}
            </a>
        </main>
    }
    .into_any()
}

#[component]
fn Webmail(api: Arc<dyn Api>, place: Memo<Place>, boot: Boot) -> AnyView {
    let store = Store::new(api, place, boot);
    provide_context(store);
    come_alive(store);
    follow_place(store);
    name_page(store);
    install_shortcuts(store);
    let shown = move || match place.get() {
        Place::Compose => "compose",
        place if place.message().is_some() => "message",
        Place::Search { .. } => "search",
        Place::Folder { .. } => "list",
    };
    view! {
        <div class="shell" data-view=shown class:sidebar-open=store.sidebar_open>
            <Offline />
            <Sidebar />
            <main class="panes">
                <ListPane />
                <Resizer />
                <Reader />
            </main>
            <BottomBar />
            <ComposeWindow />
            <Toasts />
        </div>
    }
    .into_any()
}

/// From here on the browser answers.
fn come_alive(store: Store) {
    Effect::new(move |_| {
        store.hydrated.set(true);
        browser::mark_hydrated();
        store.listen();
        store.restore_draft();
        // Who begins to share is heard of within a minute; who comes back to look sees it at once.
        let focused = window_event_listener(leptos::ev::focus, move |_| store.load_shared());
        on_cleanup(move || focused.remove());
    });
    let navigate = use_navigate();
    Effect::new(move |_| {
        if let Some(address) = store.going.get() {
            store.going.set(None);
            navigate(&address, leptos_router::NavigateOptions { scroll: false, ..Default::default() });
        }
    });
}

/// Loads what a place shows, and marks as read what is opened.
fn follow_place(store: Store) {
    Effect::new(move |before: Option<Option<_>>| {
        let place = store.place.get();
        store.sidebar_open.set(false);
        let source = store.source();
        if before.as_ref().is_some_and(|before| *before != source) {
            store.selection.update(std::collections::BTreeSet::clear);
        }
        if let Some(source) = &source
            && store.lists.with_untracked(|lists| !lists.get(source).is_some_and(|list| list.begun))
        {
            store.load_more(source.clone());
        }
        if let Some(id) = place.message() {
            store.open(id);
        }
        if place == Place::Compose && store.draft.get_untracked().is_none() {
            store.compose(types::api::Compose::default(), Vec::new(), None);
        }
        source
    });
    let opened = Memo::new(move |_| {
        let id = store.place.with(Place::message)?;
        store.messages.with(|messages| matches!(messages.get(&id), Some(Opened::Ready(_))).then_some(id))
    });
    Effect::new(move |_| {
        if let Some(id) = opened.get()
            && untrack(|| store.summary(id)).is_some_and(|message| message.unread)
        {
            untrack(|| store.set_unread(vec![id], false));
        }
    });
}

/// The title of the tab and its icon: where one is, and how much is unread.
fn name_page(store: Store) {
    let t = store.texts;
    let unread = Memo::new(move |_| store.folder_of(types::Role::Inbox).map_or(0, |inbox| inbox.unread));
    Effect::new(move |_| {
        let title = match store.place.get() {
            Place::Compose => t.new_message.to_owned(),
            Place::Search { query, .. } if query.is_empty() => t.search.to_owned(),
            Place::Search { query, .. } => format!("{}: {query}", t.search),
            Place::Folder { message: Some(id), .. } => {
                store.summary(id).map(|message| t.subject_or_none(&message.subject)).unwrap_or_default()
            }
            Place::Folder { .. } => store.here().map(|here| here.name).unwrap_or_default(),
        };
        document().set_title(&t.page_title(&title, unread.get()));
    });
    Effect::new(move |_| {
        let icon = if unread.get() > 0 { "/favicon-unread.svg" } else { "/favicon.svg" };
        if let Some(link) = browser::find("link[rel=icon]")
            && link.get_attribute("href").as_deref() != Some(icon)
        {
            let _ = link.set_attribute("href", icon);
        }
    });
}
