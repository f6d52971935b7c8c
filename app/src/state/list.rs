//! A list of messages as far as it is loaded, kept in order while mail comes and goes.

use serde::{Deserialize, Serialize};
use types::{
    AccountId, MailboxId, MessageId, Problem,
    api::{Found, Page, Summary},
};

use crate::api::{Filter, SharedId};

/// What a list is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Source {
    Folder { id: MailboxId, filter: Filter },
    Shared { folder: SharedId, filter: Filter },
    Search { query: String },
}

impl Source {
    /// Whose messages it is of, if they are not the reader's own: folders of several people may have the same id.
    pub(crate) fn owner(&self) -> Option<AccountId> {
        match self {
            Self::Shared { folder, .. } => Some(folder.owner),
            Self::Folder { .. } | Self::Search { .. } => None,
        }
    }

    /// Whether a message of its owner's belongs here that was not here before. What a search finds, only the server knows.
    fn wants(&self, message: &Summary) -> bool {
        match self {
            Self::Folder { id, filter } | Self::Shared { folder: SharedId { folder: id, .. }, filter } => {
                message.folder_id == *id
                    && (!filter.unread || message.unread)
                    && (!filter.flagged || message.flagged)
                    && (!filter.attachments || message.has_attachments)
            }
            Self::Search { .. } => false,
        }
    }

    /// Whether a message may stay: filters do not take away what is being looked at.
    fn keeps(&self, message: &Summary) -> bool {
        match self {
            Self::Folder { id, .. } | Self::Shared { folder: SharedId { folder: id, .. }, .. } => {
                message.folder_id == *id
            }
            Self::Search { .. } => true,
        }
    }
}

/// What is being done about the rest of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Status {
    #[default]
    Idle,
    Loading,
    Failed(Problem),
}

/// The loaded beginning of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct List {
    pub(crate) rows: Vec<Summary>,
    /// Where the next page begins.
    next: Option<String>,
    /// Whether every row is older than the one before it, as those of folders are.
    sorted: bool,
    /// Whether the first page is there.
    pub(crate) begun: bool,
    pub(crate) status: Status,
    /// How many there are in all, where the server said so.
    pub(crate) found: Option<(u64, bool)>,
}

impl List {
    pub(crate) fn of_page(page: Page) -> Self {
        let mut list = Self { sorted: true, ..Self::default() };
        list.add_page(page);
        list
    }

    pub(crate) fn of_found(found: Found) -> Self {
        let mut list = Self { sorted: true, ..Self::default() };
        list.add_found(found);
        list
    }

    pub(crate) fn next(&self) -> Option<&String> {
        self.next.as_ref()
    }

    pub(crate) fn has_more(&self) -> bool {
        !self.begun || self.next.is_some()
    }

    pub(crate) fn add_page(&mut self, page: Page) {
        if !self.begun {
            self.sorted = true;
        }
        for message in page.messages {
            if self.position(message.id).is_none() {
                self.sorted &= self.rows.last().is_none_or(|last| last.id > message.id);
                self.rows.push(message);
            }
        }
        self.next = page.next;
        self.begun = true;
        self.status = Status::Idle;
    }

    pub(crate) fn add_found(&mut self, found: Found) {
        self.found = Some((found.total, found.total_is_estimate));
        self.add_page(Page { messages: found.messages, next: found.next });
    }

    /// How many rows the list is high: what is loaded, and what is known to follow.
    pub(crate) fn height(&self, total: u64) -> usize {
        let total = usize::try_from(self.found.map_or(total, |(found, _)| found)).unwrap_or(usize::MAX);
        if self.has_more() { total.max(self.rows.len() + usize::from(self.begun)) } else { self.rows.len() }
    }

    /// Takes in what changed about a message. Says at which row one was added.
    pub(crate) fn upsert(&mut self, source: &Source, message: &Summary) -> Option<usize> {
        if let Some(at) = self.position(message.id) {
            if source.keeps(message) {
                if let Some(row) = self.rows.get_mut(at) {
                    let snippet = row.snippet.take();
                    *row = Summary { snippet, ..message.clone() };
                }
            } else {
                self.rows.remove(at);
            }
            return None;
        }
        if !self.begun || !source.wants(message) {
            return None;
        }
        let at = if self.sorted {
            self.rows.partition_point(|row| row.id > message.id)
        } else {
            self.rows.iter().position(|row| row.id < message.id).unwrap_or(self.rows.len())
        };
        // Beyond the last loaded row it comes with its page.
        if at == self.rows.len() && self.next.is_some() {
            return None;
        }
        self.rows.insert(at, message.clone());
        Some(at)
    }

    pub(crate) fn remove(&mut self, id: MessageId) {
        self.rows.retain(|row| row.id != id);
    }

    pub(crate) fn position(&self, id: MessageId) -> Option<usize> {
        if self.sorted {
            self.rows.binary_search_by(|row| id.cmp(&row.id)).ok()
        } else {
            self.rows.iter().position(|row| row.id == id)
        }
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<&Summary> {
        self.rows.get(self.position(id)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use types::{Address, ThreadId, Timestamp};

    use super::*;

    pub(crate) fn message(second: i64, folder: i64) -> Summary {
        let at = Timestamp::from_seconds(second);
        Summary {
            id: MessageId::at(at, [0; 10]),
            thread_id: ThreadId::at(at, [0; 10]),
            folder_id: MailboxId(folder),
            from: Address::default(),
            to: Vec::new(),
            subject: second.to_string(),
            preview: String::new(),
            received_at: at,
            size: 0,
            unread: true,
            flagged: false,
            answered: false,
            forwarded: false,
            draft: false,
            labels: Vec::new(),
            has_attachments: false,
            snippet: None,
            delivery: Vec::new(),
        }
    }

    fn list(next: Option<&str>) -> (Source, List) {
        let messages = [9, 7, 5].map(|second| message(second, 1)).to_vec();
        let source =
            Source::Folder { id: MailboxId(1), filter: Filter { unread: true, ..Filter::default() } };
        (source, List::of_page(Page { messages, next: next.map(str::to_owned) }))
    }

    fn subjects(list: &List) -> Vec<&str> {
        list.rows.iter().map(|row| row.subject.as_str()).collect()
    }

    #[test]
    fn new_mail_goes_where_it_belongs() {
        let (source, mut loaded) = list(Some("more"));
        assert_eq!(loaded.upsert(&source, &message(10, 1)), Some(0));
        assert_eq!(loaded.upsert(&source, &message(6, 1)), Some(3));
        assert_eq!(loaded.upsert(&source, &message(11, 2)), None);
        // Older than what is loaded: it will come with its page.
        assert_eq!(loaded.upsert(&source, &message(1, 1)), None);
        assert_eq!(subjects(&loaded), ["10", "9", "7", "6", "5"]);
        let (source, mut whole) = list(None);
        assert_eq!(whole.upsert(&source, &message(1, 1)), Some(3));
    }

    #[test]
    fn what_is_read_stays_and_what_moves_goes() {
        let (source, mut list) = list(None);
        list.upsert(&source, &Summary { unread: false, ..message(7, 1) });
        assert_eq!(subjects(&list), ["9", "7", "5"]);
        list.upsert(&source, &message(7, 2));
        assert_eq!(subjects(&list), ["9", "5"]);
    }

    #[test]
    fn a_page_that_overlaps_adds_nothing_twice() {
        let (_, mut list) = list(Some("more"));
        list.add_page(Page { messages: vec![message(5, 1), message(3, 1)], next: None });
        assert_eq!(subjects(&list), ["9", "7", "5", "3"]);
        assert_eq!(list.height(100), 4);
    }
}
