//! Messages as documents, and queries as filters.
//!
//! Each word of a field becomes a value: the account, the field, the word and the two words after it. Whatever is
//! looked for is then the beginning of values, and MeiliSearch keeps values in order: a word is `7.s.annual.`, its
//! beginning `7.s.ann`, a phrase `7.s.annual.report.`. A phrase of up to three words is found exactly, so are four
//! characters in a row of a script without spaces; for longer ones, each three words that follow each other have to be
//! there, and the message itself decides. Values begin with the account, so that the values of an account lie together
//! and those of another are never read.
//!
//! **Invariant:** values and filters consist of ASCII letters, digits and `. _ ~ -`, which MeiliSearch neither folds
//! nor takes for its own syntax: whatever is searched for cannot leave its quotes.

use std::{collections::HashSet, fmt::Write};

use serde::Serialize;
use types::{AccountId, MessageId, query::Field};
use uuid::Uuid;

use crate::{
    Document,
    relax::{Terms, Text},
    words::{self, Wanted},
};

/// To be raised whenever what is written here, the settings, the rules of `words`, or what of a mail is given to them change: a
/// new index is made then.
pub(super) const VERSION: u32 = 3;

/// Words in a value.
const WORDS: usize = 3;
/// MeiliSearch cuts values after 468 bytes.
const MAX_BYTES: usize = 460;
/// Words that are further from each other than this are not told apart.
const MAX_STEP: usize = 4;

/// A message as MeiliSearch keeps it.
#[derive(Debug, Serialize)]
pub(super) struct MessageDocument {
    id: String,
    account: String,
    pub(super) words: Vec<String>,
}

impl MessageDocument {
    pub(super) fn new(account: AccountId, id: MessageId, document: &Document) -> Self {
        let filenames = document.filenames.join("\n");
        let mut words = HashSet::new();
        for (field, text) in [
            (Field::From, &document.from),
            (Field::To, &document.to),
            (Field::Subject, &document.subject),
            (Field::Body, &document.body),
            (Field::Filename, &filenames),
        ] {
            values(&begin(account, field), text, &mut words);
        }
        Self { id: key(account, id), account: hex(account), words: words.into_iter().collect() }
    }
}

/// What a document is known by. Keys of an account have the order of its ids.
pub(super) fn key(account: AccountId, id: MessageId) -> String {
    format!("{}-{}", hex(account), id.0.simple())
}

/// The message whose key this is.
pub(super) fn message_id(key: &str) -> Option<MessageId> {
    key.split_once('-')?.1.parse().ok().map(MessageId)
}

fn hex(account: AccountId) -> String {
    format!("{:016x}", account.0)
}

/// What all values of the field begin with.
fn begin(account: AccountId, field: Field) -> String {
    let letter = match field {
        Field::Any => "",
        Field::From => "f",
        Field::To => "t",
        Field::Subject => "s",
        Field::Body => "b",
        Field::Filename => "n",
    };
    format!("{:x}.{letter}.", account.0)
}

fn values(begin: &str, text: &str, into: &mut HashSet<String>) {
    let words: Vec<_> = words::tokens(text).map(|token| (safe(&token.word), token.position)).collect();
    for index in 0..words.len() {
        let window = words.get(index..).unwrap_or_default().iter().take(WORDS);
        into.insert(cut(join(begin, window.map(|(word, position)| (word.as_str(), *position)))));
    }
}

/// The words one after the other, each with a dot for every step to the next, and one at the end.
fn join<'w>(begin: &str, words: impl Iterator<Item = (&'w str, usize)>) -> String {
    let mut value = begin.to_owned();
    let mut last = None;
    for (word, position) in words {
        if let Some(last) = last.replace(position) {
            value.extend(std::iter::repeat_n('.', (position - last).min(MAX_STEP)));
        }
        value.push_str(word);
    }
    value.push('.');
    value
}

fn cut(mut value: String) -> String {
    value.truncate(MAX_BYTES);
    value
}

/// The word in letters that MeiliSearch leaves alone; beginnings stay beginnings.
fn safe(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        let code = u32::from(c);
        // Writing to a string cannot fail.
        let _ = match c {
            'a'..='z' | '0'..='9' => out.write_char(c),
            _ if code <= 0xffff => write!(out, "_{code:04x}"),
            _ => write!(out, "~{code:06x}"),
        };
    }
    out
}

/// Makes filters for the messages of one account.
pub(super) struct AccountFilters(pub(super) AccountId);

impl AccountFilters {
    /// All messages.
    pub(super) fn all(&self) -> String {
        format!("account = '{}'", hex(self.0))
    }

    /// Messages that come after this one, newest first.
    pub(super) fn before(&self, id: MessageId) -> String {
        match id.0.as_u128().checked_sub(1) {
            Some(last) => {
                let key = |id: u128| key(self.0, MessageId(Uuid::from_u128(id)));
                format!("id '{}' TO '{}'", key(0), key(last))
            }
            None => "id = '-'".to_owned(),
        }
    }

    /// These messages.
    pub(super) fn among(&self, ids: &[MessageId]) -> String {
        let keys: Vec<_> = ids.iter().map(|id| format!("'{}'", key(self.0, *id))).collect();
        format!("id IN [{}]", keys.join(","))
    }

    /// Messages with these words in this field.
    pub(super) fn words(&self, field: Field, words: &[Wanted]) -> Text<String> {
        let fields = match field {
            Field::Any => &[Field::From, Field::To, Field::Subject, Field::Body, Field::Filename][..],
            _ => &[field],
        };
        let words: Vec<_> = words.iter().map(|one| (safe(&one.word), one)).collect();
        let mut exact = words.len() <= WORDS;
        let mut each = Vec::new();
        for field in fields {
            let begin = begin(self.0, *field);
            let windows = words.windows(words.len().min(WORDS)).map(|window| {
                let mut value =
                    join(&begin, window.iter().map(|(word, wanted)| (word.as_str(), wanted.offset)));
                if window.last().is_some_and(|(_, wanted)| wanted.prefix) {
                    value.pop();
                }
                exact &= value.len() < MAX_BYTES;
                format!("words STARTS WITH '{}'", cut(value))
            });
            each.push(format!("({})", windows.collect::<Vec<_>>().join(" AND ")));
        }
        let filter = format!("({})", each.join(" OR "));
        if exact { Text::Exact(filter) } else { Text::Superset(filter) }
    }
}

impl Terms for AccountFilters {
    type Query = String;

    fn text(&self, field: Field, words: &[Wanted]) -> Text<String> {
        self.words(field, words)
    }

    fn everything(&self) -> String {
        self.all()
    }

    fn and(&self, all: Vec<String>, none: Vec<String>) -> String {
        let none = none.into_iter().map(|one| format!("NOT {one}"));
        format!("({})", all.into_iter().chain(none).collect::<Vec<_>>().join(" AND "))
    }

    fn or(&self, any: Vec<String>) -> String {
        format!("({})", any.join(" OR "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: AccountId = AccountId(0x1a);

    fn values_of(text: &str) -> Vec<String> {
        let mut all = HashSet::new();
        values("7.s.", text, &mut all);
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort();
        all
    }

    #[test]
    fn each_word_stands_with_the_next_two() {
        for (text, expected) in [
            ("", &[][..]),
            ("annual", &["7.s.annual."]),
            ("a b c d", &["7.s.a.b.c.", "7.s.b.c.d.", "7.s.c.d.", "7.s.d."]),
            ("a a a a", &["7.s.a.", "7.s.a.a.", "7.s.a.a.a."]),
            ("서 x", &["7.s._c11c..x.", "7.s.x."]),
            ("보고서", &["7.s._bcf4_ace0._ace0_c11c._c11c.", "7.s._ace0_c11c._c11c.", "7.s._c11c."]),
            ("🎉", &["7.s.~01f389."]),
        ] {
            let mut expected: Vec<_> = expected.iter().map(|value| (*value).to_owned()).collect();
            expected.sort();
            assert_eq!(values_of(text), expected, "{text}");
        }
    }

    #[test]
    fn texts_are_beginnings_of_values() {
        for (text, expected, exact) in [
            ("annual", "1a.s.annual", true),
            ("\"annual\" x", "1a.s.annual.x.", true),
            ("annual report", "1a.s.annual.report.", true),
            ("a@b.co", "1a.s.a.b.co", true),
            ("서", "1a.s._c11c", true),
            ("보고서", "1a.s._bcf4_ace0._ace0_c11c.", true),
            ("a b c d", "1a.s.a.b.c.' AND words STARTS WITH '1a.s.b.c.d.", false),
        ] {
            let found = AccountFilters(ACCOUNT).words(Field::Subject, &words::wanted(text));
            let (is_exact, filter) = match found {
                Text::Exact(filter) => (true, filter),
                Text::Superset(filter) => (false, filter),
            };
            assert_eq!(filter, format!("((words STARTS WITH '{expected}'))"), "{text}");
            assert_eq!(is_exact, exact, "{text}");
        }
    }

    #[test]
    fn keys_have_the_order_of_ids() {
        let ids =
            [0, 1, 0xffff_ffff_ffff, u128::MAX >> 1, u128::MAX].map(|id| MessageId(Uuid::from_u128(id)));
        let keys = ids.map(|id| key(ACCOUNT, id));
        assert!(keys.is_sorted());
        for (id, key) in ids.iter().zip(&keys) {
            assert_eq!(message_id(key), Some(*id));
        }
        let newest = "id '000000000000001a-00000000000000000000000000000000' TO \
                      '000000000000001a-fffffffffffffffffffffffffffffffe'";
        assert_eq!(AccountFilters(ACCOUNT).before(ids[4]), newest);
    }

    proptest::proptest! {
        #[test]
        fn nothing_leaves_its_quotes(text in "\\PC{0,80}", field in 0_usize..6) {
            let fields =
                [Field::Any, Field::From, Field::To, Field::Subject, Field::Body, Field::Filename];
            let harmless = |value: &str| {
                value.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '~'))
            };
            for value in values_of(&text) {
                proptest::prop_assert!(harmless(&value) && value.len() <= MAX_BYTES, "{}", value);
            }
            let words = words::wanted(&text);
            if !words.is_empty() {
                let (Text::Exact(filter) | Text::Superset(filter)) =
                    AccountFilters(ACCOUNT).words(fields[field], &words);
                // What lies between quotes is every second piece.
                for (index, piece) in filter.split('\'').enumerate() {
                    let known = ["((words STARTS WITH ", "))", ") OR (words STARTS WITH ", " AND words STARTS WITH "];
                    let fine = if index % 2 == 1 { harmless(piece) } else { known.contains(&piece) };
                    proptest::prop_assert!(fine, "{}", filter);
                }
            }
        }
    }
}
