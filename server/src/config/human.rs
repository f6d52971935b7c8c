//! Values as people write them: durations, sizes, addresses to listen on, lists.
//!
//! **Invariant:** no error repeats what it is about; see [`super::words`].

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer as _},
};

/// A duration like `5m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it is not a duration like \"30s\", \"5m\", \"2h\" or \"5d\"".to_owned();
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(millis).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(wrong)
    }
}

/// A number of bytes like `50MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it is not a size like \"64KB\", \"50MB\" or \"2GB\"".to_owned();
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let factor: u64 = match unit.to_ascii_uppercase().as_str() {
            "" | "B" => 1,
            "K" | "KB" | "KIB" => 1 << 10,
            "M" | "MB" | "MIB" => 1 << 20,
            "G" | "GB" | "GIB" => 1 << 30,
            "T" | "TB" | "TIB" => 1 << 40,
            _ => return Err(wrong()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    /// As people read it, with one digit behind the point at the most; what is read again may be a little else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("TB", 1_u64 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)];
        let Some((name, unit)) = units.into_iter().find(|(_, unit)| self.0 >= *unit) else {
            return write!(f, "{} bytes", self.0);
        };
        let tenths = (u128::from(self.0) * 10 + u128::from(unit / 2)) / u128::from(unit);
        match tenths % 10 {
            0 => write!(f, "{} {name}", tenths / 10),
            digit => write!(f, "{}.{digit} {name}", tenths / 10),
        }
    }
}

impl Size {
    /// As a length in memory.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Where to listen; nowhere if empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let address = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        address.as_deref().unwrap_or(text).parse().map(|address| Self(Some(address))).map_err(|_| {
            "it is not an address to listen on like \"127.0.0.1:8080\" or \"[::]:25\"".to_owned()
        })
    }
}

/// Where programs of this site connect: an address of this machine, or a socket in a folder. Nowhere if empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Local {
    #[default]
    Nowhere,
    Address(SocketAddr),
    Socket(PathBuf),
}

impl FromStr for Local {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("`unix:` needs a path".into())
            } else {
                Ok(Self::Socket(path.into()))
            };
        }
        match text.parse::<Listen>()?.0 {
            None => Ok(Self::Nowhere),
            Some(address) if address.ip().is_loopback() => Ok(Self::Address(address)),
            Some(address) => {
                Err(format!("`{address}` is not an address of this machine alone, like \"127.0.0.1:2424\""))
            }
        }
    }
}

/// Under which port others see a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// That which it listens on.
    AsListened,
    /// Nobody is told of it.
    Never,
    At(u16),
}

impl FromStr for Shown {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Ok(Self::AsListened),
            "off" => Ok(Self::Never),
            port => match port.parse() {
                Ok(0) | Err(_) => Err("it is not a port like 993, \"\" or \"off\"".to_owned()),
                Ok(port) => Ok(Self::At(port)),
            },
        }
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim()))
}

/// Texts and whole numbers alike, since the environment has no quotes.
struct Parse<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> de::Visitor<'_> for Parse<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! parsed {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::human::parse(deserializer)
            }
        }
    )*};
}
pub(super) use parsed;

parsed!(Span, Size, Listen, Local, Shown);

/// Reads whatever [`FromStr`] reads, from a text or a whole number.
pub(super) fn parse<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    deserializer.deserialize_any(Parse(std::marker::PhantomData))
}

/// A text, or nothing where it is empty.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = deserializer.deserialize_any(Parse::<Text>(std::marker::PhantomData))?.0;
    Ok((!text.is_empty()).then_some(text))
}

/// A list, or a text with commas, as one writes it in the environment.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(List { split: at_commas, item: std::marker::PhantomData })
}

/// A list, or a text that `split` cuts into the items of one.
pub(super) fn list_by<'de, D, T>(deserializer: D, split: fn(&str) -> Vec<&str>) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(List { split, item: std::marker::PhantomData })
}

fn at_commas(text: &str) -> Vec<&str> {
    text.split(',').collect()
}

struct List<T> {
    split: fn(&str) -> Vec<&str>,
    item: std::marker::PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list in brackets, or a text with commas")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(all)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
        if text.trim_start().starts_with('[') {
            return Err(E::custom("its brackets or quotes do not end; write it like [\"ONE\", \"TWO\"]"));
        }
        let items = (self.split)(text).into_iter().map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| T::deserialize(item.to_owned().into_deserializer())).collect()
    }
}

struct Text(String);

impl FromStr for Text {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_durations_and_sizes() {
        assert_eq!("5m".parse(), Ok(Span(Duration::from_secs(300))));
        assert_eq!("500ms".parse(), Ok(Span(Duration::from_millis(500))));
        assert_eq!("4d".parse(), Ok(Span(Duration::from_secs(345_600))));
        assert_eq!("50MB".parse(), Ok(Size(50 << 20)));
        assert_eq!("64 kb".parse(), Ok(Size(64 << 10)));
        assert_eq!("0".parse(), Ok(Size(0)));
        assert_eq!("".parse(), Ok(Listen(None)));
        for text in ["", "5", "m", "5x", "-5m", "99999999999999999999d", "18446744073709551615d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["", "MB", "5 XB", "18446744073709551615G"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert!("8080".parse::<Listen>().is_err());
        assert_eq!("".parse(), Ok(Local::Nowhere));
        assert_eq!("localhost:24".parse(), Ok(Local::Address("127.0.0.1:24".parse().unwrap())));
        assert_eq!("unix:/run/lmtp".parse(), Ok(Local::Socket("/run/lmtp".into())));
        for text in ["unix:", "192.0.2.1:24", "0.0.0.0:24"] {
            assert!(text.parse::<Local>().is_err(), "{text}");
        }
    }
}
