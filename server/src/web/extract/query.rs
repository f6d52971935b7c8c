//! The query string. What is wrong with it names the parameter, what it takes and what it got, in our own words.

use std::{fmt, marker::PhantomData};

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::{
    Deserializer,
    de::{self, DeserializeOwned, IntoDeserializer, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};
use types::{ProblemKind, queue::QueuedState};

use crate::web::failure::Failure;

/// The query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let axum::extract::Query(pairs) = pairs.map_err(|_| {
            Failure::new(ProblemKind::InvalidRequest, "What follows the ? is not like limit=10&cursor=x.")
        })?;
        read(pairs).map(Self).map_err(Wrong::failure)
    }
}

fn read<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, Wrong> {
    let pairs = pairs.into_iter().map(|(name, text)| (name.clone(), Value { name, text }));
    T::deserialize(MapDeserializer::new(pairs))
}

/// A parameter's value: a text of a documented form.
pub(crate) trait Parameter: Sized {
    /// What it takes.
    const TAKES: &'static str;

    fn read(text: &str) -> Option<Self>;
}

/// How many there are on a page at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) u32);

impl Parameter for Limit {
    const TAKES: &'static str = "a whole number from 1 to 500";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|limit| (1..=500).contains(limit)).map(Self)
    }
}

impl Parameter for bool {
    const TAKES: &'static str = "true or false";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Parameter for QueuedState {
    const TAKES: &'static str = "waiting, sending or held";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Parameter for String {
    const TAKES: &'static str = "a text";

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// For members of a query: `?cursor=` is as good as none.
pub(crate) fn blank_is_none<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Parameter,
{
    deserializer.deserialize_str(Reading(PhantomData))
}

struct Reading<T>(PhantomData<T>);

impl<T: Parameter> Visitor<'_> for Reading<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::TAKES)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<T>, E> {
        if text.is_empty() {
            return Ok(None);
        }
        T::read(text).map(Some).ok_or_else(|| E::custom(T::TAKES))
    }
}

/// A value with the name of its parameter, for what is said of it.
struct Value {
    name: String,
    text: String,
}

impl Value {
    fn wrong(name: String, text: &str, wrong: &Wrong) -> Wrong {
        // Long enough to be recognised.
        let cut: String = text.chars().take(SHOWN_CHARS).collect();
        let more = if cut.len() < text.len() { "…" } else { "" };
        let detail = format!("{name} takes {}, but got {cut:?}{more}.", wrong.detail);
        Wrong { field: Some(name), detail }
    }
}

const SHOWN_CHARS: usize = 40;

impl IntoDeserializer<'_, Wrong> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Self { name, text } = self;
        visitor.visit_str(&text).map_err(|wrong: Wrong| Self::wrong(name, &text, &wrong))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        enumeration: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let Self { name, text } = self;
        let deserializer: de::value::StrDeserializer<'_, Wrong> = text.as_str().into_deserializer();
        let value = deserializer.deserialize_enum(enumeration, variants, visitor);
        value.map_err(|wrong| Self::wrong(name, &text, &wrong))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// What is wrong with a query string.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong {
    field: Option<String>,
    detail: String,
}

impl Wrong {
    fn failure(self) -> Failure {
        let Failure(problem) = Failure::new(ProblemKind::InvalidRequest, self.detail);
        Failure(match self.field {
            Some(field) => problem.in_field(field),
            None => problem,
        })
    }

    fn of(field: &str, detail: String) -> Self {
        Self { field: Some(field.to_owned()), detail }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(detail: T) -> Self {
        Self { field: None, detail: detail.to_string() }
    }

    /// Of an enumeration, whose name the value adds.
    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Self {
        Self::custom(variants.join(" or "))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let cut: String = field.chars().take(SHOWN_CHARS).collect();
        Self::of(&cut, format!("There is no parameter {cut:?} here; there are: {}.", known.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of(field, format!("{field} is missing."))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::of(field, format!("{field} is there more than once."))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Images {
        Hold,
        Show,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[serde(default)]
        q: String,
        #[serde(default, deserialize_with = "blank_is_none")]
        limit: Option<Limit>,
        #[serde(default, deserialize_with = "blank_is_none")]
        unread: Option<bool>,
        #[serde(default, deserialize_with = "blank_is_none")]
        state: Option<QueuedState>,
        images: Images,
    }

    fn query(query: &str) -> Result<Wanted, Wrong> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        read(pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
    }

    #[test]
    fn what_is_of_the_documented_form_is_read() {
        let wanted = query("q=a b&limit=500&unread=true&state=&images=show").unwrap();
        let expected = Wanted {
            q: "a b".into(),
            limit: Some(Limit(500)),
            unread: Some(true),
            state: None,
            images: Images::Show,
        };
        assert_eq!(wanted, expected);
    }

    #[test]
    fn what_is_wrong_is_said_in_our_words() {
        let limit = |got: &str| format!("limit takes a whole number from 1 to 500, but got {got}.");
        let long = format!("limit={}", "9".repeat(50));
        for (text, field, detail) in [
            ("limit=99999999999", "limit", limit("\"99999999999\"")),
            (&*long, "limit", limit(&format!("\"{}\"…", "9".repeat(40)))),
            ("limit=0", "limit", limit("\"0\"")),
            ("limit=-1", "limit", limit("\"-1\"")),
            ("limit=ten\n", "limit", limit("\"ten\\n\"")),
            ("unread=perhaps", "unread", "unread takes true or false, but got \"perhaps\".".into()),
            ("state=lost", "state", "state takes waiting, sending or held, but got \"lost\".".into()),
            ("images=x", "images", "images takes hold or show, but got \"x\".".into()),
            ("q=a&q=b", "q", "q is there more than once.".into()),
            ("q=a", "images", "images is missing.".into()),
            (
                "colour=red",
                "colour",
                "There is no parameter \"colour\" here; there are: q, limit, unread, state, images.".into(),
            ),
        ] {
            assert_eq!(query(text).unwrap_err(), Wrong::of(field, detail), "{text}");
        }
        let Failure(problem) = query("limit=0").unwrap_err().failure();
        assert_eq!((problem.status, problem.field.as_deref()), (400, Some("limit")));
    }
}
