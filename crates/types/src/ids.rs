//! Newtypes for every id and counter, so that one cannot be passed for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::Timestamp;

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid id")]
pub struct InvalidId(pub String);

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.parse().map(Self).map_err(|_| InvalidId(text.to_owned()))
            }
        }
    };
}

macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The id made at `at` with these random bytes: a UUIDv7 (RFC 9562 §5.7), so ids sort by time.
            #[must_use]
            pub fn at(at: Timestamp, random: [u8; 10]) -> Self {
                let millis = u64::try_from(at.millis()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.simple().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId(text.to_owned()))
            }
        }
    };
}

macro_rules! string_serde {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )*};
}

number! {
    /// An account: a person's mail, whole on one shard. The directory hands them out.
    AccountId(i64)
}
number! {
    /// A domain that mail is received for.
    DomainId(i64)
}
number! {
    /// A password of a mail program; never given again.
    AppPasswordId(i64)
}
number! {
    /// A mailbox (the API says folder), unique within its account and never reused.
    MailboxId(i64)
}
number! {
    /// RFC 9051 §2.3.1.1: ascending within a mailbox, never reused.
    Uid(u32)
}
number! {
    /// RFC 9051 §2.3.1.1: changes only if the UIDs of a mailbox had to be given anew.
    UidValidity(u32)
}
number! {
    /// RFC 7162: the account's change counter. Each write takes the next.
    ModSeq(i64)
}
number! {
    /// A database that holds whole accounts.
    ShardId(u16)
}
number! {
    /// One of [`Bucket::COUNT`] groups of accounts; the bucket map names the shard of each.
    Bucket(u16)
}
uuid! {
    /// A message. Its time is the time of receipt, so ids sort newest last.
    MessageId
}
uuid! {
    /// A conversation: the id of the message that began it.
    ThreadId
}
uuid! {
    /// A stored body: the exact bytes of a mail.
    BodyId
}
uuid! {
    /// An entry of the outbound queue.
    QueueId
}
uuid! {
    /// A file that was uploaded to be attached.
    UploadId
}
string_serde!(
    AccountId,
    AppPasswordId,
    MailboxId,
    MessageId,
    ThreadId,
    BodyId,
    QueueId,
    UploadId,
    BlobId,
    ModSeq
);

impl ModSeq {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Bucket {
    /// How many buckets accounts are spread over; fixed for ever.
    pub const COUNT: u16 = 16_384;

    /// The bucket of an account: a SplitMix64 step over its id.
    #[must_use]
    pub fn of(account: AccountId) -> Self {
        let mut x = account.0.cast_unsigned().wrapping_add(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        Self(u16::try_from(x % u64::from(Self::COUNT)).unwrap_or(0))
    }

    /// Sorted buckets as people write them: `1-3,7`.
    #[must_use]
    pub fn ranges(sorted: &[Self]) -> String {
        let follows = |a: &Self, b: &Self| a.0.checked_add(1) == Some(b.0);
        let range = |run: &[Self]| match run {
            [first, .., last] => format!("{}-{}", first.0, last.0),
            [one] => one.0.to_string(),
            [] => String::new(),
        };
        sorted.chunk_by(follows).map(range).collect::<Vec<_>>().join(",")
    }
}

/// The BLAKE3 hash of a blob's bytes; shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub [u8; 32]);

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({self})")
    }
}

impl FromStr for BlobId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId(text.to_owned());
        if text.len() != 64 || !text.is_ascii() {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_strings_in_json_and_sort_by_time() {
        let early = MessageId::at(Timestamp::from_millis(1_000), [255; 10]);
        let late = MessageId::at(Timestamp::from_millis(1_001), [0; 10]);
        assert!(early < late);
        let json = serde_json::to_string(&early).unwrap();
        assert_eq!(serde_json::from_str::<MessageId>(&json).unwrap(), early);
        assert_eq!(serde_json::to_string(&MailboxId(7)).unwrap(), "\"7\"");
    }

    #[test]
    fn buckets_are_written_as_ranges() {
        for (buckets, text) in [(vec![], ""), (vec![4], "4"), (vec![1, 2, 3, 7, 9, 10], "1-3,7,9-10")] {
            let buckets: Vec<_> = buckets.into_iter().map(Bucket).collect();
            assert_eq!(Bucket::ranges(&buckets), text);
        }
    }

    #[test]
    fn buckets_spread_accounts_evenly() {
        let mut halves = [0_u32; 2];
        for id in 0..10_000 {
            halves[usize::from(Bucket::of(AccountId(id)).0 >= Bucket::COUNT / 2)] += 1;
        }
        assert!(halves[0].abs_diff(halves[1]) < 400, "{halves:?}");
    }

    #[test]
    fn blob_ids_round_trip() {
        let id = BlobId(std::array::from_fn(|i| u8::try_from(i * 7 % 256).unwrap()));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("xyz".parse::<BlobId>().is_err());
    }
}
