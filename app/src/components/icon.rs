//! The icons: one outline set, drawn on a grid of 24, in the colour of the text around them.

use leptos::prelude::*;

/// Those there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Icon {
    Alert,
    Archive,
    Attach,
    Back,
    Bin,
    Check,
    ChevronDown,
    ChevronUp,
    Clock,
    Close,
    Dock,
    Download,
    Draft,
    File,
    Folder,
    Forward,
    Image,
    Inbox,
    Mail,
    MailOpen,
    Menu,
    Minimise,
    More,
    Move,
    Pen,
    People,
    Plus,
    Refresh,
    Reply,
    ReplyAll,
    Search,
    Send,
    Settings,
    Shield,
    Spam,
    Star,
}

impl Icon {
    const fn path(self) -> &'static str {
        match self {
            Self::Alert => "M12 8v5M12 16.5v.01M12 3 2.5 20h19z",
            Self::Archive => "M3 4h18v4H3zM5 8v12h14V8M10 12h4",
            Self::Attach => {
                "m20.5 11.5-8.6 8.6a5.2 5.2 0 0 1-7.4-7.4l9-9a3.5 3.5 0 0 1 5 5l-9 9a1.8 1.8 0 0 1-2.5-2.5l8.1-8.1"
            }
            Self::Back => "M19 12H5M11 6l-6 6 6 6",
            Self::Bin => "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
            Self::Check => "m5 12.5 4.5 4.5L19 7.5",
            Self::ChevronDown => "m6 9.5 6 6 6-6",
            Self::ChevronUp => "m6 14.5 6-6 6 6",
            Self::Clock => "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7.5V12l3 2",
            Self::Close => "M6 6l12 12M18 6 6 18",
            Self::Dock => "M9 4H4v16h16v-5M13 4h7v7M20 4l-9 9",
            Self::Download => "M12 4v11M7 10.5l5 5 5-5M5 20h14",
            Self::Draft => "M14 3H6v18h12V7zM14 3v4h4M9 12h6M9 16h4",
            Self::File => "M14 3H6v18h12V7zM14 3v4h4",
            Self::Folder => "M3 6h6l2 2.5h10V19H3z",
            Self::Forward => "m14 7 5.5 5.5L14 18M19 12.5H9.5A5.5 5.5 0 0 0 4 18v1",
            Self::Image => "M4 5h16v14H4zM4 16l4.5-4.5 3.5 3.5 3-3 5 5M9 9.010v-.01",
            Self::Inbox => "M4 13 6.5 5h11L20 13v6H4zM4 13h4.5l1.5 2.5h4l1.5-2.5H20",
            Self::Mail => "M3 5h18v14H3zM3.5 6l8.5 7 8.5-7",
            Self::MailOpen => "M3 10l9-7 9 7v10H3zM3.5 10.5 12 16l8.5-5.5",
            Self::Menu => "M4 6.5h16M4 12h16M4 17.5h16",
            Self::Minimise => "M5 18h14",
            Self::More => "M11.2 5.5h1.6M11.2 12h1.6M11.2 18.5h1.6",
            Self::Move => "M3 6h6l2 2.5h10V19H3zM10 14h6M13.5 11.5 16 14l-2.5 2.5",
            Self::Pen => "M4 20l1-4.5L16 4.5l3.5 3.5-11 11zM14 6.5l3.5 3.5",
            Self::People => {
                "M9 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM2.5 20c0-3.3 2.9-5.5 6.5-5.5s6.5 2.2 6.5 5.5M15.5 5a3.5 3.5 0 0 1 0 6.2M18 15c2.1.7 3.5 2.600 3.5 5"
            }
            Self::Plus => "M12 5v14M5 12h14",
            Self::Refresh => "M20 11a8 8 0 1 0-2 6.5M20 5v6h-6",
            Self::Reply => "M10 7l-5.5 5.5L10 18M5 12.5h9.5A5.5 5.5 0 0 1 20 18v1",
            Self::ReplyAll => {
                "M7.5 7 2 12.5 7.5 18M12.5 7 7 12.5l5.5 5.5M7.5 12.5H16a5.5 5.5 0 0 1 5.5 5.5v1"
            }
            Self::Search => "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l4.5 4.5",
            Self::Send => "M4 12 3 4l18 8-18 8zM4 12h9",
            Self::Settings => {
                "M4 7h9M17 7h3M4 17h3M11 17h9M15 5a2 2 0 1 0 0 4 2 2 0 0 0 0-4zM9 15a2 2 0 1 0 0 4 2 2 0 0 0 0-4z"
            }
            Self::Shield => {
                "M12 3l7.5 2.5V11c0 5-3.2 8.3-7.5 10-4.3-1.7-7.5-5-7.5-10V5.5zM8.5 12l2.5 2.5 4.5-5"
            }
            Self::Spam => "M8.3 3h7.4L21 8.3v7.4L15.7 21H8.3L3 15.7V8.3zM12 8v5M12 16v.01",
            Self::Star => "m12 3.5 2.6 5.4 5.9.8-4.3 4.1 1 5.9-5.2-2.8-5.2 2.8 1-5.9-4.3-4.1 5.9-.8z",
        }
    }
}

/// Draws one. It says nothing by itself: what it stands for is the label of its button, or a text beside it.
#[component]
pub(crate) fn Draw(#[prop(into)] icon: Signal<Icon>) -> AnyView {
    view! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
            <path d=move || icon.get().path() />
        </svg>
    }
    .into_any()
}
