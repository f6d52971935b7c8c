//! What a message must be like, decided by what is known of it so far.

use std::sync::Arc;

use imap::wire::{Date, Field, Key, Order, Search, SequenceSet};
use imap::{Status, View};
use mail::{Listed, Row, Texts};
use message::{Grams, NoText, Plain, Section, Signature, Structure};
use types::{Timestamp, Uid};

use super::{answers, bad_charset};

/// A search with its sets resolved and its strings decoded.
pub(in crate::imap) struct Plan {
    test: Test,
    pub(super) rows: bool,
    pub(super) structures: bool,
    pub(super) texts: Option<Texts>,
    now: Timestamp,
}

/// What was read of a message.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) row: Option<Box<Row>>,
    pub(super) structure: Option<Structure>,
    /// Read by [`message::Signature::read`].
    pub(super) signature: Option<Arc<[u8]>>,
    pub(super) texts: Option<Arc<Plain>>,
}

enum Test {
    All,
    Nothing,
    Numbers(Vec<(u32, u32)>),
    Uids(Vec<(u32, u32)>),
    Key(Key),
    Keyword(String),
    /// In a field of this name.
    Field {
        name: String,
        value: Needle,
        field: Grams,
    },
    Body(Needle),
    Text(Needle),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Box<Self>, Box<Self>),
}

/// A text to be found.
struct Needle {
    text: String,
    grams: Grams,
}

impl Plan {
    pub(in crate::imap) fn new(
        search: &Search,
        view: &View<Listed>,
        saved: &[Uid],
        now: Timestamp,
    ) -> Result<Self, Status> {
        check(search)?;
        let charset = search.charset.as_deref();
        let mut plan = Self { test: Test::All, rows: false, structures: false, texts: None, now };
        plan.test = plan.compile(&search.key, charset, view, saved)?;
        Ok(plan)
    }

    fn compile(
        &mut self,
        key: &Key,
        charset: Option<&str>,
        view: &View<Listed>,
        saved: &[Uid],
    ) -> Result<Test, Status> {
        let mut each = |key: &Key| self.compile(key, charset, view, saved);
        Ok(match key {
            Key::All => Test::All,
            Key::Nothing => Test::Nothing,
            Key::Set(SequenceSet::Saved) | Key::Uid(SequenceSet::Saved) => {
                Test::Uids(saved.iter().map(|uid| (uid.0, uid.0)).collect())
            }
            Key::Set(set) => Test::Numbers(view.resolve(set, false).ok_or_else(answers::no_such_message)?),
            Key::Uid(set) => Test::Uids(set.resolve(view.messages().last().map(|message| message.uid.0))),
            Key::Keyword(keyword) => Test::Keyword(keyword.to_lowercase()),
            Key::Not(key) => Test::Not(Box::new(each(key)?)),
            Key::And(keys) => Test::And(keys.iter().map(each).collect::<Result<_, _>>()?),
            Key::Or(one, other) => Test::Or(Box::new(each(one)?), Box::new(each(other)?)),
            Key::Field(field, value) => {
                self.texts = self.texts.max(Some(Texts::Header));
                in_field(field_name(*field).to_owned(), needle(charset, value)?)
            }
            Key::Header(name, value) => {
                self.texts = self.texts.max(Some(Texts::Header));
                in_field(name.to_ascii_lowercase(), needle(charset, value)?)
            }
            Key::Body(value) => {
                self.texts = Some(Texts::All);
                Test::Body(needle(charset, value)?)
            }
            Key::Text(value) => {
                self.texts = Some(Texts::All);
                Test::Text(needle(charset, value)?)
            }
            Key::Sent(..) => {
                self.structures = true;
                Test::Key(key.clone())
            }
            Key::EmailId(_) | Key::ThreadId(_) | Key::Saved(..) => {
                self.rows = true;
                Test::Key(key.clone())
            }
            Key::Flags(_)
            | Key::Received(..)
            | Key::Larger(_)
            | Key::Smaller(_)
            | Key::Older(_)
            | Key::Younger(_)
            | Key::ModSeq(_) => Test::Key(key.clone()),
        })
    }

    /// Whether the message is as wished; `None`: more must be known.
    pub(super) fn decide(&self, number: u32, message: &Listed, facts: &Facts) -> Option<bool> {
        self.test_one(&self.test, number, message, facts)
    }

    fn test_one(&self, test: &Test, number: u32, message: &Listed, facts: &Facts) -> Option<bool> {
        let each = |test: &Test| self.test_one(test, number, message, facts);
        match test {
            Test::All => Some(true),
            Test::Nothing => Some(false),
            Test::Numbers(ranges) => Some(is_among(ranges, number)),
            Test::Uids(ranges) => Some(is_among(ranges, message.uid.0)),
            Test::Keyword(wanted) => {
                Some(message.keywords.iter().any(|keyword| keyword.to_lowercase() == *wanted))
            }
            Test::Key(key) => self.key(key, message, facts),
            Test::Field { .. } | Test::Body(_) | Test::Text(_) => match &facts.texts {
                Some(texts) => Some(has(test, texts)),
                None => {
                    let signature = Signature::read(facts.signature.as_deref()?)?;
                    // That it may have it says nothing.
                    (!may_have(test, &signature)).then_some(false)
                }
            },
            Test::Not(test) => each(test).map(|yes| !yes),
            Test::And(tests) => {
                let mut all = Some(true);
                for test in tests {
                    match each(test) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => all = None,
                    }
                }
                all
            }
            Test::Or(one, other) => match (each(one), each(other)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }

    fn key(&self, key: &Key, message: &Listed, facts: &Facts) -> Option<bool> {
        let ago = |seconds: u32| self.now.minus(std::time::Duration::from_secs(seconds.into()));
        Some(match key {
            Key::Flags(flags) => message.flags.contains(*flags),
            Key::Received(order, date) => is_ordered(*order, Date::of(message.received_at), *date),
            Key::Sent(order, date) => {
                let sent = sent_on(facts.structure.as_ref()?.envelope());
                let sent = sent.unwrap_or_else(|| Date::of(message.received_at));
                is_ordered(*order, sent, *date)
            }
            Key::Saved(order, date) => {
                // RFC 8514 §4.3: where it is not known, when it arrived.
                let saved = facts.row.as_ref()?.saved_at.unwrap_or(message.received_at);
                is_ordered(*order, Date::of(saved), *date)
            }
            Key::Larger(bytes) => message.size_bytes > *bytes,
            Key::Smaller(bytes) => message.size_bytes < *bytes,
            Key::Older(seconds) => message.received_at <= ago(*seconds),
            Key::Younger(seconds) => message.received_at >= ago(*seconds),
            Key::ModSeq(modseq) => u64::try_from(message.modseq.0).is_ok_and(|now| now >= *modseq),
            Key::EmailId(id) => format!("M{}", facts.row.as_ref()?.body).eq_ignore_ascii_case(id),
            Key::ThreadId(id) => format!("T{}", facts.row.as_ref()?.thread).eq_ignore_ascii_case(id),
            _ => return None,
        })
    }
}

/// Whether a key of the search is as wished.
fn mentions(key: &Key, is_it: &mut dyn FnMut(&Key) -> bool) -> bool {
    match key {
        Key::Not(key) => mentions(key, is_it),
        Key::And(keys) => keys.iter().any(|key| mentions(key, is_it)),
        Key::Or(one, other) => mentions(one, is_it) || mentions(other, is_it),
        key => is_it(key),
    }
}

/// Whether the search names sequence numbers.
pub(in crate::imap) fn uses_numbers(key: &Key) -> bool {
    mentions(key, &mut |key| matches!(key, Key::Set(SequenceSet::Ranges(_))))
}

/// Whether it names what another search saved.
pub(in crate::imap) fn uses_saved(key: &Key) -> bool {
    mentions(key, &mut |key| matches!(key, Key::Set(SequenceSet::Saved) | Key::Uid(SequenceSet::Saved)))
}

/// Whether the search asks for modseqs: then its answer tells the highest (RFC 7162 §3.1.5).
pub(in crate::imap) fn mentions_modseq(key: &Key) -> bool {
    mentions(key, &mut |key| matches!(key, Key::ModSeq(_)))
}

fn in_field(name: String, value: Needle) -> Test {
    let field = Grams::of(&format!("{name}:"));
    Test::Field { name, value, field }
}

/// Whether texts have what is looked for in them.
fn has(test: &Test, texts: &Plain) -> bool {
    let in_bodies = |value: &Needle| texts.bodies.iter().any(|text| text.contains(&value.text));
    match test {
        Test::Field { name, value, .. } => {
            texts.fields.iter().any(|(field, text)| field == name && text.contains(&value.text))
        }
        Test::Body(value) => in_bodies(value),
        Test::Text(value) => {
            let in_field = |(name, text): &(String, String)| {
                text.contains(&value.text) || format!("{name}: {text}").contains(&value.text)
            };
            texts.fields.iter().any(in_field) || in_bodies(value)
        }
        _ => false,
    }
}

/// False where a message with this signature certainly has not what is looked for.
fn may_have(test: &Test, signature: &Signature<'_>) -> bool {
    match test {
        Test::Field { name, value, field } => {
            let section = Section::of(name);
            signature.may_have(section, field) && signature.may_have(section, &value.grams)
        }
        Test::Body(value) => signature.may_have(Section::Bodies, &value.grams),
        Test::Text(value) => signature.may_have_anywhere(&value.grams),
        _ => true,
    }
}

fn needle(charset: Option<&str>, value: &[u8]) -> Result<Needle, Status> {
    let text = message::folded(&message::with_lf(text(charset, value)?.into()));
    Ok(Needle { grams: Grams::of(&text), text })
}

/// RFC 9051 §6.4.4: without a charset, strings are UTF-8.
fn text(charset: Option<&str>, value: &[u8]) -> Result<String, Status> {
    message::charset_text(charset.unwrap_or("UTF-8"), value).map_err(|reason| match reason {
        NoText::Charset => bad_charset(),
        NoText::Bytes => Status::bad("A string of the search has bytes that are no text in its charset"),
    })
}

/// Refuses a search in a charset that is not known, or with strings that are no text in it, before anything is read.
pub(in crate::imap) fn check(search: &Search) -> Result<(), Status> {
    let charset = search.charset.as_deref();
    text(charset, b"")?;
    let mut checked = Ok(());
    mentions(&search.key, &mut |key| {
        if let Key::Field(_, value) | Key::Header(_, value) | Key::Body(value) | Key::Text(value) = key {
            checked = text(charset, value).map(drop);
        }
        checked.is_err()
    });
    checked
}

const fn field_name(field: Field) -> &'static str {
    match field {
        Field::Bcc => "bcc",
        Field::Cc => "cc",
        Field::From => "from",
        Field::Subject => "subject",
        Field::To => "to",
    }
}

fn is_ordered(order: Order, date: Date, wanted: Date) -> bool {
    match order {
        Order::Before => date < wanted,
        Order::On => date == wanted,
        Order::Since => date >= wanted,
    }
}

fn is_among(ranges: &[(u32, u32)], number: u32) -> bool {
    let at = ranges.partition_point(|(_, end)| *end < number);
    ranges.get(at).is_some_and(|(start, _)| *start <= number)
}

/// The day that the Date field names, whatever its time zone: the first string of an ENVELOPE.
fn sent_on(envelope: &[u8]) -> Option<Date> {
    let text =
        std::str::from_utf8(envelope.strip_prefix(b"(\"")?.split(|byte| *byte == b'"').next()?).ok()?;
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let year = match year.len() {
        // RFC 5322 §4.3
        2 => format!("{}{year}", if year < "50" { "20" } else { "19" }),
        3 => (1_900 + year.parse::<u32>().ok()?).to_string(),
        _ => year.to_owned(),
    };
    let month = month.get(..3)?;
    Date::read(&format!("{day}-{month}-{year}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_of_a_date_field_needs_no_time_zone() {
        let day = |text: &str| sent_on(format!("(\"{text}\" NIL)").as_bytes());
        let wanted = Date::read("1-Feb-1994");
        assert!(wanted.is_some());
        assert_eq!(day("Tue, 1 Feb 1994 23:59:59 -1200"), wanted);
        assert_eq!(day("01 February 94 00:00 +0000"), wanted);
        assert_eq!(day("nonsense"), None);
        assert_eq!(sent_on(b"(NIL NIL)"), None);
    }
}
