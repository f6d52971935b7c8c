//! Mail addresses: parsed once at the edge, normal form for looking up.

use std::{fmt, str::FromStr};

use idna::{AsciiDenyList, uts46};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::UnicodeNormalization;

/// An address as people write it: a display name, possibly empty, and where mail goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Address {
    #[serde(default)]
    pub name: String,
    pub email: String,
}

impl Address {
    /// The name, or the address where there is none.
    #[must_use]
    pub fn display(&self) -> &str {
        if self.name.trim().is_empty() { &self.email } else { &self.name }
    }
}

/// RFC 5321 §4.1.2 `Mailbox` with the internationalised parts of RFC 6531 §3.3, e.g. `alice@demo.test`.
///
/// Kept as written, but with no more quotes than it needs (§4.1.2: what they mean is the same); [`EmailAddress::key`] is
/// the form in which two spellings of one address are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EmailAddress {
    local: String,
    domain: String,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an email address: {reason}")]
pub struct InvalidAddress {
    pub text: String,
    pub reason: &'static str,
}

impl EmailAddress {
    /// The part before the last `@`, with quotes if it needs them.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The part after the last `@`, as written.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Equal for all spellings of an address: the local part in lower case and composed (NFC), the domain as
    /// [`domain_key`] has it. Local parts are taken as case-insensitive, as every large service does.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}@{}", fold(&self.local), domain_key(&self.domain))
    }

    /// The domain in the form of [`EmailAddress::key`].
    #[must_use]
    pub fn domain_key(&self) -> String {
        domain_key(&self.domain)
    }

    /// As it is kept of somebody of ours: the name before the `@` as it was written, which is how people know it, the
    /// domain in lower case.
    #[must_use]
    pub fn with_domain_folded(&self) -> Self {
        Self { local: self.local.clone(), domain: fold(&self.domain) }
    }

    /// Every form in which a directory may know the address, the one to prefer first: see [`domain_keys`].
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let local = fold(&self.local);
        domain_keys(&self.domain).into_iter().map(|domain| format!("{local}@{domain}")).collect()
    }

    /// Without its `+tag` (RFC 5233), if it has one.
    #[must_use]
    pub fn without_tag(&self) -> Option<Self> {
        self.split_tag('+').map(|(untagged, _)| untagged)
    }

    /// Without its tag, and the tag, if it has one behind this separator.
    #[must_use]
    pub fn split_tag(&self, separator: char) -> Option<(Self, &str)> {
        let (user, tag) = self.local.split_once(separator)?;
        (!user.is_empty() && !user.starts_with('"'))
            .then(|| (Self { local: user.to_owned(), domain: self.domain.clone() }, tag))
    }

    /// The address that stands for all others of the domain: `*@demo.test`.
    #[must_use]
    pub fn catch_all(&self) -> Self {
        Self { local: "*".to_owned(), domain: self.domain.clone() }
    }

    /// Whether it can travel without SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
    }
}

/// The form in which names of one mailbox or domain are equal: lower case, composed, no final dot.
#[must_use]
pub fn fold(text: &str) -> String {
    text.trim_end_matches('.').nfc().flat_map(char::to_lowercase).collect()
}

/// The form in which names of one domain are equal: lower case, A-labels (RFC 5890) by the rules of UTS #46, no final dot.
/// A text that cannot be a name there is only folded.
#[must_use]
pub fn domain_key(domain: &str) -> String {
    let folded = fold(domain);
    if !is_international(&folded) {
        return folded;
    }
    let Ok(ascii) =
        UTS46.to_ascii(domain.as_bytes(), DENIED, uts46::Hyphens::Allow, uts46::DnsLength::Ignore)
    else {
        return folded;
    };
    let ascii = ascii.trim_end_matches('.');
    if is_domain(ascii) { ascii.to_owned() } else { folded }
}

/// Every form in which a directory may hold the domain: [`domain_key`], and those of versions that kept names as they were
/// typed. As it is written here comes first, so that two domains of then that are one name stay apart.
#[must_use]
pub fn domain_keys(domain: &str) -> Vec<String> {
    let mut keys = vec![fold(domain)];
    for key in [domain_key(domain), fold(&shown_domain(domain))] {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// The domain as people read it: in U-labels.
#[must_use]
pub fn shown_domain(domain: &str) -> String {
    let key = domain_key(domain);
    if !is_international(&key) {
        return key;
    }
    let (shown, outcome) = UTS46.to_unicode(key.as_bytes(), DENIED, uts46::Hyphens::Allow);
    if outcome.is_ok() { shown.into_owned() } else { key }
}

/// [`EmailAddress::key`] of a text that says it is an address.
#[must_use]
pub fn key_of(text: &str) -> String {
    text.parse::<EmailAddress>().map_or_else(|_| fold(text), |address| address.key())
}

const UTS46: uts46::Uts46 = uts46::Uts46::new();
const DENIED: AsciiDenyList = AsciiDenyList::URL;

fn is_international(folded: &str) -> bool {
    !folded.is_ascii() || folded.split('.').any(|label| label.starts_with("xn--"))
}

impl FromStr for EmailAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = |reason| InvalidAddress { text: shortened(text), reason };
        if text.len() > 320 {
            return Err(invalid("it is longer than 320 bytes"));
        }
        let Some((local, domain)) = text.rsplit_once('@') else {
            return Err(invalid("it has no @"));
        };
        if local.is_empty() || local.len() > 64 * 4 {
            return Err(invalid("the part before the @ is empty or too long"));
        }
        if domain.is_empty() {
            return Err(invalid("the domain is missing"));
        }
        let local = match local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) {
            Some(inner) => unquoted(inner).map(|text| if is_dot_atom(&text) { text } else { quoted(&text) }),
            None => is_dot_atom(local).then(|| local.to_owned()),
        };
        let Some(local) = local else {
            return Err(invalid("the part before the @ has a character that must not be there"));
        };
        if !is_domain(domain) {
            return Err(invalid("the domain is not a domain name or address literal"));
        }
        Ok(Self { local, domain: domain.to_owned() })
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).filter(|c| !c.is_control()).collect()
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

fn is_dot_atom(local: &str) -> bool {
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// What is between the quotes of a local part; none if that is no `Quoted-string`.
fn unquoted(inner: &str) -> Option<String> {
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '"' => return None,
            '\\' => chars.next()?,
            c => c,
        };
        if c.is_control() {
            return None;
        }
        text.push(c);
    }
    Some(text)
}

/// The shortest `Quoted-string` of a text.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// RFC 5321 §4.1.2 `Domain` (with U-labels) or §4.1.3 `address-literal`.
#[must_use]
pub fn is_domain(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
        let literal = literal.strip_prefix("IPv6:").unwrap_or(literal);
        return literal.parse::<std::net::IpAddr>().is_ok();
    }
    let name = domain.strip_suffix('.').unwrap_or(domain);
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| {
                    c.is_ascii_alphanumeric()
                        || c == '-'
                        || c == '_'
                        || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
                })
        })
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl Serialize for EmailAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_parse_and_show_as_written() {
        for text in [
            "alice@demo.test",
            "a.b+tag@x.y",
            "\"John Smith\"@example.com",
            "\"a\\\"b\"@example.com",
            "用户@例子.测试",
            "한글@메일.한국",
            "x@[127.0.0.1]",
            "x@[IPv6:::1]",
            "o'hara@example.co.uk",
        ] {
            assert_eq!(text.parse::<EmailAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn quotes_that_need_not_be_say_nothing() {
        for (written, plain) in [
            ("\"alice\"@demo.test", "alice@demo.test"),
            ("\"a\\b\"@x.y", "ab@x.y"),
            ("\"a.b+tag\"@x.y", "a.b+tag@x.y"),
            ("\"\\한글\"@x.y", "한글@x.y"),
            ("\"a\\ \\b\"@x.y", "\"a b\"@x.y"),
            ("\"\\\\\"@x.y", "\"\\\\\"@x.y"),
            ("\".a\"@x.y", "\".a\"@x.y"),
            ("\"a@b\"@x.y", "\"a@b\"@x.y"),
            ("\"\"@x.y", "\"\"@x.y"),
        ] {
            let address: EmailAddress = written.parse().unwrap();
            assert_eq!(address.to_string(), plain, "{written}");
            assert_eq!(address.to_string().parse::<EmailAddress>().unwrap(), address, "{written}");
        }
        for wrong in ["\"a\\\"@x.y", "\"a\"b\"@x.y", "\"a\n\"@x.y", "\"@x.y"] {
            assert!(wrong.parse::<EmailAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn bad_addresses_are_named() {
        for text in [
            "",
            "alice",
            "@x",
            "a@",
            "a b@x.y",
            ".a@x.y",
            "a..b@x.y",
            "a@-x.y",
            "a@x..y",
            "a@x y",
            "a\r\n@x.y",
            "\"a\"b\"@x.y",
            "a@[300.1.1.1]",
        ] {
            assert!(text.parse::<EmailAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_ignore_case_composition_and_the_final_dot() {
        let a: EmailAddress = "Alice@Demo.TEST.".parse().unwrap();
        assert_eq!(a.key(), "alice@demo.test");
        let decomposed: EmailAddress = "\u{1112}\u{1161}\u{11ab}@x.y".parse().unwrap();
        assert_eq!(decomposed.key(), "한@x.y");
        for written in [
            "한국.test",
            "xn--3e0b707e.test",
            "XN--3E0B707E.Test.",
            "한국。ＴＥＳＴ",
            "\u{1112}\u{1161}\u{11ab}국.TEST。",
        ] {
            let address: EmailAddress = format!("Kim@{written}").parse().unwrap();
            assert_eq!(address.key(), "kim@xn--3e0b707e.test", "{written}");
            assert_eq!(shown_domain(written), "한국.test", "{written}");
            let keys = address.keys();
            assert_eq!(keys.first(), Some(&format!("kim@{}", fold(written))), "as it is written: {written}");
            for known in ["kim@한국.test", "kim@xn--3e0b707e.test"] {
                assert!(keys.iter().any(|key| key == known), "{written}: {keys:?}");
            }
        }
        for (text, key) in [
            ("a@Straße.test", "a@xn--strae-oqa.test"),
            ("한@[IPv6:::1]", "한@[ipv6:::1]"),
            ("a@_x.Y", "a@_x.y"),
        ] {
            assert_eq!(text.parse::<EmailAddress>().unwrap().key(), key);
        }
        for odd in ["xn--a.test", "a\u{2100}b.test", "\u{5d0}a.test"] {
            assert_eq!(domain_key(odd), fold(odd), "no name by UTS #46 is left alone");
        }
        assert_eq!("a@demo.test".parse::<EmailAddress>().unwrap().keys(), ["a@demo.test"]);
        assert_eq!(
            "bob+news@x.y".parse::<EmailAddress>().unwrap().without_tag().unwrap().to_string(),
            "bob@x.y"
        );
    }
}
