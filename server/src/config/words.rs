//! What is wrong with a value, in words that never repeat it: it may be a password, or a URL with one.

use figment::error::{Actual, Kind, OneOf};

/// What is wrong with a value of the wrong type.
///
/// Our own types never repeat what they were given ([`Kind::Message`]).
pub(super) fn of(kind: &Kind) -> String {
    match kind {
        Kind::Message(text) => text.clone(),
        Kind::InvalidType(actual, wanted) | Kind::InvalidValue(actual, wanted) => {
            format!("it is {}, but should be {}", noun(actual), expected(wanted))
        }
        Kind::UnknownVariant(_, known) => format!("it should be {}", OneOf(known)),
        Kind::MissingField(_) => "it is missing".to_owned(),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => {
            "the number is too small or too large".to_owned()
        }
        Kind::InvalidLength(..)
        | Kind::UnknownField(..)
        | Kind::DuplicateField(_)
        | Kind::Unsupported(_)
        | Kind::UnsupportedKey(..) => "it cannot be read; see config.default.toml".to_owned(),
    }
}

fn noun(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a whole number",
        Actual::Float(_) => "a number with a point",
        Actual::Char(_) | Actual::Str(_) => "a text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}

/// Serde's names of types, for people.
fn expected(wanted: &str) -> &str {
    match wanted {
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a sequence" => "a list in brackets",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number from 0",
        other => other,
    }
}

/// Why a text is no TOML: the parser's words, but for what they repeat of the text.
pub(super) fn of_toml(message: &str) -> String {
    let mut said = String::new();
    for (number, part) in message.replace("`\"`", "a quote").split(['`', '"']).enumerate() {
        // Every second part stood in quotes; a single one is a sign that is wanted.
        match number % 2 {
            0 => said.push_str(part),
            _ if part.chars().count() <= 1 => said.push_str(&format!("`{part}`")),
            _ => said.push_str("..."),
        }
    }
    let said = said.trim().replace('\n', ", ");
    format!("it is no TOML: {said}; write KEY = VALUE, texts in quotes, and each key once")
}
