//! One component a file.

mod app_passwords;
mod avatar;
mod bottom_bar;
mod button;
mod compose;
mod dialog;
mod empty;
mod folder_link;
mod icon;
mod list;
mod logo;
mod looked;
mod menu;
mod move_menu;
mod offline;
mod reader;
mod resizer;
mod search_box;
mod settings;
mod shared_folders;
mod sharing;
mod shortcuts;
mod sidebar;
mod time;
mod toast;

pub(crate) use bottom_bar::BottomBar;
pub(crate) use compose::ComposeWindow;
pub(crate) use list::ListPane;
pub(crate) use logo::Logo;
pub(crate) use offline::Offline;
pub(crate) use reader::Reader;
pub(crate) use resizer::Resizer;
pub(crate) use shortcuts::install_shortcuts;
pub(crate) use sidebar::Sidebar;
pub(crate) use toast::Toasts;
