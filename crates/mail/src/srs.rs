//! The Sender Rewriting Scheme: mail that is sent on comes from an address of ours, so that SPF holds where it goes,
//! and what comes back to that address finds the sender.
//!
//! ```text
//! SRS0=HHHH=TT=domain=local@ours      ; HHHH: keyed hash, TT: the day
//! SRS1=HHHH=other==rest@ours          ; rest@other is another forwarder's SRS0
//! ```
//! Nobody can make such an address but us, and it is good for [`LIFETIME_DAYS`] only.

use types::{EmailAddress, Timestamp, address::fold};

/// How long something may come back.
const LIFETIME_DAYS: i64 = 21;
const DAYS: i64 = 1_024;
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const HASH_CHARS: usize = 8;

/// The address of `domain` that stands for this sender. `None` if it would be too long to be an address.
pub(crate) fn rewritten(
    key: &[u8; 32],
    sender: &EmailAddress,
    domain: &str,
    now: Timestamp,
) -> Option<EmailAddress> {
    let (quote, local) = unquoted(sender.local());
    let (tag, rest) = match split(local) {
        Some((Tag::First, rest)) => ("SRS1", format!("{}=={rest}", sender.domain())),
        // Whoever was before is skipped: it comes back to the first of all at once.
        Some((Tag::Second, rest)) => ("SRS1", rest.split_once('=')?.1.to_owned()),
        None => ("SRS0", format!("{}={}={local}", day_text(day(now)), sender.domain())),
    };
    let hash = hash(key, &rest);
    format!("{quote}{tag}={hash}={rest}{quote}@{domain}").parse().ok()
}

/// Whether the address looks like one of these.
pub(crate) fn is_rewritten(address: &EmailAddress) -> bool {
    split(unquoted(address.local()).1).is_some()
}

/// The sender for whom the address stands, if we made it and not too long ago.
pub(crate) fn sender(key: &[u8; 32], address: &EmailAddress, now: Timestamp) -> Option<EmailAddress> {
    let (tag, rest) = split(unquoted(address.local()).1)?;
    let (hashed, rest) = rest.split_once('=')?;
    if fold(hashed) != hash(key, rest) {
        return None;
    }
    match tag {
        Tag::First => {
            let (made, rest) = rest.split_once('=')?;
            let (domain, local) = rest.split_once('=')?;
            let age = (day(now) - day_of(made)?).rem_euclid(DAYS);
            (age <= LIFETIME_DAYS).then(|| quoted(local, domain))?
        }
        Tag::Second => {
            let (domain, rest) = rest.split_once("==")?;
            quoted(&format!("SRS0={rest}"), domain)
        }
    }
}

/// Quotes that need not be vanish by themselves.
fn quoted(local: &str, domain: &str) -> Option<EmailAddress> {
    format!("\"{local}\"@{domain}").parse().ok()
}

#[derive(Clone, Copy)]
enum Tag {
    First,
    Second,
}

/// The tag, and what follows its separator.
fn split(local: &str) -> Option<(Tag, &str)> {
    let (tag, rest) = (local.get(..4)?, local.get(4..)?);
    let rest = rest.strip_prefix(['=', '-', '+'])?;
    match tag.to_ascii_uppercase().as_str() {
        "SRS0" => Some((Tag::First, rest)),
        "SRS1" => Some((Tag::Second, rest)),
        _ => None,
    }
}

/// A quoted local part stays quoted around what is added.
fn unquoted(local: &str) -> (&str, &str) {
    match local.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
        Some(inner) => ("\"", inner),
        None => ("", local),
    }
}

/// Servers on the way may change the case of letters.
fn hash(key: &[u8; 32], text: &str) -> String {
    let hash = blake3::keyed_hash(key, fold(text).as_bytes());
    hash.as_bytes().iter().take(HASH_CHARS).map(|byte| letter(i64::from(*byte))).collect()
}

fn day(now: Timestamp) -> i64 {
    (now.millis() / 86_400_000).rem_euclid(DAYS)
}

fn day_text(day: i64) -> String {
    [letter(day / 32), letter(day)].iter().collect()
}

fn day_of(text: &str) -> Option<i64> {
    let value = |byte: u8| BASE32.iter().zip(0..).find(|(letter, _)| **letter == byte).map(|(_, at)| at);
    match text.to_ascii_lowercase().as_bytes() {
        [high, low] => Some(value(*high)? * 32 + value(*low)?),
        _ => None,
    }
}

fn letter(value: i64) -> char {
    let at = usize::try_from(value.rem_euclid(32)).unwrap_or_default();
    BASE32.get(at).copied().map_or('a', char::from)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn email(text: &str) -> EmailAddress {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_sent_on_comes_back() {
        let later = |days: u64| NOW.plus(Duration::from_secs(days * 86_400));
        let senders =
            ["alice@far.test", "a+tag=x@far.test", "\"a b\"@far.test", "\".a\"@far.test", "한글@메일.한국"];
        for text in senders {
            let made = rewritten(&KEY, &email(text), "ours.test", NOW).unwrap();
            assert!(is_rewritten(&made) && made.domain() == "ours.test", "{made}");
            assert_eq!(sender(&KEY, &made, NOW), Some(email(text)));
            assert_eq!(sender(&KEY, &made, later(21)), Some(email(text)));
            assert_eq!(sender(&KEY, &made, later(22)), None, "too late");
            assert_eq!(sender(&[8; 32], &made, NOW), None, "not ours");
        }
        let made = rewritten(&KEY, &email("alice@far.test"), "ours.test", NOW).unwrap();
        let shouted = email(&made.to_string().to_uppercase());
        assert_eq!(sender(&KEY, &shouted, NOW).unwrap().key(), "alice@far.test");
        let changed = email(&made.to_string().replace("alice", "mallory"));
        assert_eq!(sender(&KEY, &changed, NOW), None);
    }

    #[test]
    fn chains_of_forwarders_do_not_grow() {
        let first = rewritten(&[1; 32], &email("alice@far.test"), "one.test", NOW).unwrap();
        let second = rewritten(&KEY, &first, "two.test", NOW).unwrap();
        assert!(second.local().starts_with("SRS1="), "{second}");
        assert_eq!(sender(&KEY, &second, NOW), Some(first.clone()));
        let third = rewritten(&[3; 32], &second, "three.test", NOW).unwrap();
        assert_eq!(sender(&[3; 32], &third, NOW), Some(first), "straight back to the first");
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        for text in ["alice@far.test", "srs@far.test", "srs0@far.test", "srs01=x@far.test"] {
            assert!(!is_rewritten(&email(text)), "{text}");
        }
        for text in ["SRS0=@o.test", "SRS0=a=b@o.test", "SRS0=aaaaaaaa=aa=b=c@o.test", "SRS1=x=y==z@o.test"] {
            assert_eq!(sender(&KEY, &email(text), NOW), None, "{text}");
        }
    }
}
