//! The search query: one tree for the web's search box and, later, IMAP SEARCH; and the box's grammar.
//!
//! ```text
//! query  = or-expr
//! or     = and *("OR" and)
//! and    = 1*( ["-"] term )
//! term   = "(" or ")" / operator ":" value / phrase / word
//! ```
//! What is not an operator we know is searched for as it stands: no input is an error.

use crate::{Role, Timestamp};

/// A condition on messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// All of these; every message if empty.
    And(Vec<Query>),
    /// Any of these.
    Or(Vec<Query>),
    Not(Box<Query>),
    /// The words, in order if there are several, somewhere in this field.
    Text(Field, String),
    Unread,
    Flagged,
    Answered,
    Draft,
    HasAttachment,
    /// In the folder of this name, any case.
    InFolder(String),
    InRole(Role),
    Label(String),
    /// Received at or after.
    Since(Timestamp),
    /// Received before.
    Before(Timestamp),
    LargerThan(u64),
    SmallerThan(u64),
}

/// Where a text is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// Subject, addresses, text and names of attachments.
    Any,
    From,
    /// To, Cc and Bcc.
    To,
    Subject,
    Body,
    Filename,
}

impl Query {
    /// Whether it can be decided without the text of messages, by what a list shows.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().all(Self::is_exact),
            Self::Not(one) => one.is_exact(),
            Self::Text(..) => false,
            Self::Unread
            | Self::Flagged
            | Self::Answered
            | Self::Draft
            | Self::HasAttachment
            | Self::InFolder(_)
            | Self::InRole(_)
            | Self::Label(_)
            | Self::Since(_)
            | Self::Before(_)
            | Self::LargerThan(_)
            | Self::SmallerThan(_) => true,
        }
    }

    /// The texts that hits contain, for marking them in a snippet.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().flat_map(Self::texts).collect(),
            Self::Text(_, text) => vec![text],
            _ => Vec::new(),
        }
    }

    /// Reads what a person typed. `now` anchors `newer_than:` and `older_than:`.
    #[must_use]
    pub fn parse(text: &str, now: Timestamp) -> Self {
        let tokens = tokens(text);
        let mut parser = Parser { tokens: &tokens, now, depth: 0 };
        let mut all = Vec::new();
        while !parser.tokens.is_empty() {
            all.push(parser.or());
            if matches!(parser.tokens.first(), Some(Token::Close)) {
                parser.advance();
            }
        }
        simplify(Self::And(all))
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Or,
    Minus,
    Word(String),
    Phrase(String),
    Operator(String, String),
}

const MAX_DEPTH: usize = 32;
const MAX_TOKENS: usize = 256;

fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if out.len() >= MAX_TOKENS {
            break;
        }
        let (token, after) = match first {
            '(' => (Token::Open, rest.get(1..).unwrap_or("")),
            ')' => (Token::Close, rest.get(1..).unwrap_or("")),
            '-' if rest.chars().nth(1).is_some_and(|c| !c.is_whitespace()) => {
                (Token::Minus, rest.get(1..).unwrap_or(""))
            }
            '"' => {
                let (phrase, after) = quoted(rest);
                (Token::Phrase(phrase), after)
            }
            _ => word(rest),
        };
        out.push(token);
        rest = after.trim_start();
    }
    out
}

/// The inside of a quoted text that `rest` begins with, and what follows it.
fn quoted(rest: &str) -> (String, &str) {
    let inner = rest.strip_prefix('"').unwrap_or(rest);
    match inner.split_once('"') {
        Some((phrase, after)) => (phrase.to_owned(), after),
        None => (inner.to_owned(), ""),
    }
}

fn word(rest: &str) -> (Token, &str) {
    let end =
        rest.find(|c: char| c.is_whitespace() || c == '(' || c == ')' || c == '"').unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    if word == "OR" || word == "|" {
        return (Token::Or, after);
    }
    if let Some((name, value)) = word.split_once(':')
        && !name.is_empty()
    {
        let name = name.to_lowercase();
        if value.is_empty() && after.starts_with('"') {
            let (phrase, after) = quoted(after);
            return (Token::Operator(name, phrase), after);
        }
        if !value.is_empty() {
            return (Token::Operator(name, value.to_owned()), after);
        }
    }
    (Token::Word(word.to_owned()), after)
}

struct Parser<'t> {
    tokens: &'t [Token],
    now: Timestamp,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn advance(&mut self) -> Option<&'t Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn or(&mut self) -> Query {
        let mut any = vec![self.and()];
        while matches!(self.tokens.first(), Some(Token::Or)) {
            self.advance();
            any.push(self.and());
        }
        any.retain(|query| *query != Query::And(Vec::new()));
        if any.len() == 1 { any.remove(0) } else { Query::Or(any) }
    }

    fn and(&mut self) -> Query {
        let mut all = Vec::new();
        while let Some(token) = self.tokens.first() {
            match token {
                Token::Or | Token::Close => break,
                Token::Minus => {
                    self.advance();
                    if let Some(query) = self.term() {
                        all.push(Query::Not(Box::new(query)));
                    }
                }
                _ => all.extend(self.term()),
            }
        }
        if all.len() == 1 { all.remove(0) } else { Query::And(all) }
    }

    fn term(&mut self) -> Option<Query> {
        match self.advance()? {
            Token::Open if self.depth < MAX_DEPTH => {
                self.depth += 1;
                let inner = self.or();
                self.depth -= 1;
                if matches!(self.tokens.first(), Some(Token::Close)) {
                    self.advance();
                }
                Some(inner)
            }
            Token::Open | Token::Close | Token::Or | Token::Minus => None,
            Token::Word(text) | Token::Phrase(text) => {
                (!text.trim().is_empty()).then(|| Query::Text(Field::Any, text.clone()))
            }
            Token::Operator(name, value) => Some(self.operator(name, value)),
        }
    }

    fn operator(&self, name: &str, value: &str) -> Query {
        let text = |field| Some(Query::Text(field, value.to_owned()));
        let known = match name {
            "from" => text(Field::From),
            "to" | "cc" | "bcc" => text(Field::To),
            "subject" => text(Field::Subject),
            "body" | "text" => text(Field::Body),
            "filename" => text(Field::Filename),
            "has" if value.eq_ignore_ascii_case("attachment") => Some(Query::HasAttachment),
            "is" => state(value),
            "in" | "folder" => {
                Some(role(value).map_or_else(|| Query::InFolder(value.to_owned()), Query::InRole))
            }
            "label" | "tag" => Some(Query::Label(value.to_owned())),
            "before" | "end" => day(value).map(Query::Before),
            "after" | "since" | "start" => day(value).map(Query::Since),
            "newer_than" => age(value).map(|age| Query::Since(self.now.minus(age))),
            "older_than" => age(value).map(|age| Query::Before(self.now.minus(age))),
            "larger" => size(value).map(Query::LargerThan),
            "smaller" => size(value).map(Query::SmallerThan),
            _ => None,
        };
        known.unwrap_or_else(|| Query::Text(Field::Any, format!("{name}:{value}")))
    }
}

fn state(value: &str) -> Option<Query> {
    Some(match value.to_lowercase().as_str() {
        "unread" => Query::Unread,
        "read" => Query::Not(Box::new(Query::Unread)),
        "starred" | "flagged" => Query::Flagged,
        "unstarred" | "unflagged" => Query::Not(Box::new(Query::Flagged)),
        "answered" => Query::Answered,
        "draft" => Query::Draft,
        _ => return None,
    })
}

fn role(value: &str) -> Option<Role> {
    let value = value.to_lowercase();
    let value = if value == "spam" { "junk" } else { &value };
    Role::ALL.into_iter().find(|role| role.name().to_lowercase() == value)
}

/// `2026-11-22` or `2026/11/22`: its first moment in UTC.
fn day(value: &str) -> Option<Timestamp> {
    let mut parts = value.split(['-', '/']);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    format!("{year:0>4}-{month:0>2}-{day:0>2}T00:00:00Z").parse().ok()
}

/// `3d`, `2w`, `6m`, `1y`.
fn age(value: &str) -> Option<std::time::Duration> {
    let unit = value.chars().last()?;
    let number: u64 = value.strip_suffix(unit)?.parse().ok()?;
    let days = match unit {
        'd' => 1,
        'w' => 7,
        'm' => 30,
        'y' => 365,
        _ => return None,
    };
    Some(std::time::Duration::from_secs(number.checked_mul(days)?.checked_mul(86_400)?))
}

/// `500`, `20K`, `5M`, `1G`, in bytes of 1,024 to the K.
fn size(value: &str) -> Option<u64> {
    let lower = value.to_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (number, factor) = match lower.chars().last()? {
        'k' => (lower.strip_suffix('k')?, 1 << 10),
        'm' => (lower.strip_suffix('m')?, 1 << 20),
        'g' => (lower.strip_suffix('g')?, 1 << 30),
        _ => (lower, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn simplify(query: Query) -> Query {
    match query {
        Query::And(mut all) if all.len() == 1 => all.remove(0),
        Query::Or(any) if any.is_empty() => Query::And(Vec::new()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Query {
        Query::parse(text, "2026-11-22T00:00:00Z".parse().unwrap())
    }

    fn any(text: &str) -> Query {
        Query::Text(Field::Any, text.into())
    }

    #[test]
    fn words_phrases_and_operators() {
        assert_eq!(parse(""), Query::And(vec![]));
        assert_eq!(parse("보고서"), any("보고서"));
        assert_eq!(
            parse("from:bob \"annual report\" has:attachment"),
            Query::And(vec![
                Query::Text(Field::From, "bob".into()),
                any("annual report"),
                Query::HasAttachment
            ])
        );
        assert_eq!(parse("subject:\"two words\""), Query::Text(Field::Subject, "two words".into()));
        assert_eq!(parse("in:spam"), Query::InRole(Role::Junk));
        assert_eq!(parse("in:Projects"), Query::InFolder("Projects".into()));
        assert_eq!(parse("larger:5M"), Query::LargerThan(5 << 20));
        assert_eq!(parse("newer_than:1d"), Query::Since("2026-11-21T00:00:00Z".parse().unwrap()));
        assert_eq!(parse("before:2026-1-2"), Query::Before("2026-01-02T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn or_not_and_groups() {
        assert_eq!(parse("a OR b"), Query::Or(vec![any("a"), any("b")]));
        assert_eq!(parse("a -b"), Query::And(vec![any("a"), Query::Not(Box::new(any("b")))]));
        assert_eq!(parse("(a OR b) c"), Query::And(vec![Query::Or(vec![any("a"), any("b")]), any("c")]));
    }

    #[test]
    fn nothing_typed_is_an_error() {
        for text in [
            "(",
            ")",
            "((((",
            "OR OR",
            "-",
            "--",
            "\"",
            "before:soon",
            "is:",
            ":x",
            "a:b:c",
            "- - -(",
            "from:",
        ] {
            let _ = parse(text);
        }
        assert_eq!(parse("https://x.y/z"), any("https://x.y/z"));
        let _ = parse(&"(".repeat(100_000));
    }
}
