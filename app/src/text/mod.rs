//! Pure functions from values to what is shown.

mod address;
mod avatar;
mod body;
mod later;
mod size;
mod snippet;
mod time;

pub(crate) use address::addresses;
pub(crate) use avatar::{hue, initials};
pub(crate) use body::{Piece, linkify, prefixed, quote, sections};
pub(crate) use later::{Later, suggestions};
pub(crate) use size::{grouped, size};
pub(crate) use snippet::snippet;
pub(crate) use time::{Civil, date_and_time, day_or_time};

/// Percent-encodes everything but unreserved characters (RFC 3986 §2.3).
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
