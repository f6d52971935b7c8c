//! Where in the webmail the reader is: the address of the page, read and written.

use types::{MailboxId, MessageId, Role, api::Folder};

use crate::{
    api::{Filter, SharedId},
    text::encode,
};

/// What an address of the page stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// `/mail/inbox`, `/mail/17/<message>?unread=true`, `/shared/5/17/<message>`.
    Folder { folder: Named, filter: Filter, message: Option<MessageId> },
    /// `/search?q=<words>&m=<message>`.
    Search { query: String, message: Option<MessageId> },
    /// `/compose`.
    Compose,
}

/// A folder as an address names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// One's own, by its role or id.
    Own(String),
    /// Somebody else's.
    Shared(SharedId),
}

impl Place {
    /// From the path and what `?` says, decoded.
    pub(crate) fn parse(path: &str, param: impl Fn(&str) -> Option<String>) -> Self {
        let mut parts = path.trim_matches('/').split('/');
        let param = |name: &str| param(name).unwrap_or_default();
        let filter = || Filter {
            unread: param("unread") == "true",
            flagged: param("flagged") == "true",
            attachments: param("attachments") == "true",
        };
        match parts.next() {
            Some("compose") => Self::Compose,
            Some("search") => {
                Self::Search { query: param("q").trim().to_owned(), message: param("m").parse().ok() }
            }
            Some("mail") => Self::Folder {
                folder: Named::Own(parts.next().unwrap_or("inbox").to_owned()),
                filter: filter(),
                message: parts.next().and_then(|id| id.parse().ok()),
            },
            Some("shared") => {
                let owner = parts.next().and_then(|id| id.parse().ok());
                let folder = parts.next().and_then(|id| id.parse().ok());
                let (Some(owner), Some(folder)) = (owner, folder) else { return Self::folder("inbox") };
                Self::Folder {
                    folder: Named::Shared(SharedId { owner, folder }),
                    filter: filter(),
                    message: parts.next().and_then(|id| id.parse().ok()),
                }
            }
            _ => Self::folder("inbox"),
        }
    }

    /// A folder, all of it, with nothing opened.
    pub(crate) fn folder(folder: &str) -> Self {
        Self::all_of(Named::Own(folder.to_owned()))
    }

    pub(crate) fn shared(folder: SharedId) -> Self {
        Self::all_of(Named::Shared(folder))
    }

    fn all_of(folder: Named) -> Self {
        Self::Folder { folder, filter: Filter::default(), message: None }
    }

    /// How a folder is named in addresses: by its role, where it has one.
    pub(crate) fn of(folder: &Folder) -> Self {
        Self::folder(&folder.role.map_or_else(|| folder.id.to_string(), |role| role_name(role).to_owned()))
    }

    pub(crate) fn href(&self) -> String {
        match self {
            Self::Compose => "/compose".to_owned(),
            Self::Search { query, message } => {
                let message = message.map(|id| format!("&m={id}")).unwrap_or_default();
                format!("/search?q={}{message}", encode(query))
            }
            Self::Folder { folder, filter, message } => {
                let message = message.map(|id| format!("/{id}")).unwrap_or_default();
                let filters = [
                    ("unread", filter.unread),
                    ("flagged", filter.flagged),
                    ("attachments", filter.attachments),
                ];
                let filters: Vec<_> =
                    filters.iter().filter(|(_, on)| *on).map(|(name, _)| format!("{name}=true")).collect();
                let mark = if filters.is_empty() { "" } else { "?" };
                let folder = match folder {
                    Named::Own(name) => format!("/mail/{name}"),
                    Named::Shared(SharedId { owner, folder }) => format!("/shared/{owner}/{folder}"),
                };
                format!("{folder}{message}{mark}{}", filters.join("&"))
            }
        }
    }

    /// The folder, if it is somebody else's.
    pub(crate) fn shared_id(&self) -> Option<SharedId> {
        match self {
            Self::Folder { folder: Named::Shared(folder), .. } => Some(*folder),
            Self::Folder { folder: Named::Own(_), .. } | Self::Search { .. } | Self::Compose => None,
        }
    }

    pub(crate) fn message(&self) -> Option<MessageId> {
        match self {
            Self::Folder { message, .. } | Self::Search { message, .. } => *message,
            Self::Compose => None,
        }
    }

    /// The same list with another message opened, or none.
    pub(crate) fn with_message(&self, id: Option<MessageId>) -> Self {
        let mut place = self.clone();
        match &mut place {
            Self::Folder { message, .. } | Self::Search { message, .. } => *message = id,
            Self::Compose => place = Self::folder("inbox").with_message(id),
        }
        place
    }

    /// The same folder under another filter.
    pub(crate) fn with_filter(&self, filter: Filter) -> Self {
        match self {
            Self::Folder { folder, .. } => Self::Folder { folder: folder.clone(), filter, message: None },
            Self::Search { .. } | Self::Compose => self.clone(),
        }
    }

    pub(crate) fn filter(&self) -> Filter {
        match self {
            Self::Folder { filter, .. } => *filter,
            Self::Search { .. } | Self::Compose => Filter::default(),
        }
    }
}

/// The folder that a part of an address names, by role or id.
pub(crate) fn find_folder<'a>(folders: &'a [Folder], name: &str) -> Option<&'a Folder> {
    let id = name.parse::<MailboxId>().ok();
    folders.iter().find(|folder| Some(folder.id) == id || folder.role.map(role_name) == Some(name))
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Inbox => "inbox",
        Role::Drafts => "drafts",
        Role::Sent => "sent",
        Role::Archive => "archive",
        Role::Junk => "junk",
        Role::Trash => "trash",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let id = "0190a1b2c3d4e5f60718293a4b5c6d7e";
        let cases: [(String, &[(&str, &str)]); 7] = [
            ("/mail/inbox".to_owned(), &[]),
            (
                "/mail/17?unread=true&attachments=true".to_owned(),
                &[("unread", "true"), ("attachments", "true")],
            ),
            (format!("/mail/sent/{id}?flagged=true"), &[("flagged", "true")]),
            (format!("/shared/5/17/{id}?unread=true"), &[("unread", "true")]),
            ("/search?q=from%3Abob%20%ED%9A%8C%EC%9D%98".to_owned(), &[("q", "from:bob 회의")]),
            (format!("/search?q=x&m={id}"), &[("q", "x"), ("m", id)]),
            ("/compose".to_owned(), &[]),
        ];
        for (address, pairs) in cases {
            let path = address.split('?').next().unwrap();
            let param = |name: &str| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(Place::parse(path, param).href(), address);
        }
    }
}
