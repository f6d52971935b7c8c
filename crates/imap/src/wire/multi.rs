//! ESEARCH (RFC 7377): a search in several mailboxes.

use super::command::MailboxName;
use super::cursor::{Cursor, Parsed, SyntaxError};
use super::search::{Options, Search};

/// Which mailboxes, in the words of RFC 5465 §6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Selected,
    /// Where mail may arrive.
    Inboxes,
    /// All of one's own.
    Personal,
    Subscribed,
    /// These, and what is in them.
    Subtree(Vec<MailboxName>),
    /// These, and what is directly in them.
    SubtreeOne(Vec<MailboxName>),
    Mailboxes(Vec<MailboxName>),
}

/// What is searched in, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiSearch {
    pub sources: Vec<Source>,
    pub search: Search,
}

const MAX_NAMES: usize = 1_000;

impl MultiSearch {
    /// `"ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program`, after `"ESEARCH"`
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut sources = vec![Source::Selected];
        if cursor.eat_text(" IN ") {
            sources = cursor.list(source)?;
            if sources.is_empty() {
                return Err(SyntaxError("there is nothing to search in"));
            }
        }
        let mut search = Search::parse(cursor)?;
        // There is no plain form.
        search.options.get_or_insert(Options { all: true, ..Options::default() });
        let names: usize = sources.iter().map(|source| source.names().len()).sum();
        if names > MAX_NAMES {
            Err(SyntaxError("these are too many mailboxes"))
        } else {
            Ok(Self { sources, search })
        }
    }

    /// Whether nothing but the selected mailbox is searched.
    #[must_use]
    pub fn is_of_selected(&self) -> bool {
        self.sources.iter().all(|source| *source == Source::Selected)
    }
}

impl Source {
    fn names(&self) -> &[MailboxName] {
        match self {
            Self::Subtree(names) | Self::SubtreeOne(names) | Self::Mailboxes(names) => names,
            Self::Selected | Self::Inboxes | Self::Personal | Self::Subscribed => &[],
        }
    }
}

/// `filter-mailboxes`
pub(super) fn source(cursor: &mut Cursor<'_>) -> Parsed<Source> {
    let word = cursor.word()?;
    let names = |cursor: &mut Cursor<'_>| {
        cursor.sp()?;
        if cursor.peek() == Some(b'(') {
            cursor.list(MailboxName::parse)
        } else {
            Ok(vec![MailboxName::parse(cursor)?])
        }
    };
    Ok(match word.as_str() {
        "SELECTED" => Source::Selected,
        "INBOXES" => Source::Inboxes,
        "PERSONAL" => Source::Personal,
        "SUBSCRIBED" => Source::Subscribed,
        "SUBTREE" => Source::Subtree(names(cursor)?),
        "SUBTREE-ONE" => Source::SubtreeOne(names(cursor)?),
        "MAILBOXES" => Source::Mailboxes(names(cursor)?),
        _ => return Err(SyntaxError("what is to be searched in is not known")),
    })
}
