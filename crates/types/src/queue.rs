//! The operators' part of the REST API: mail on its way out.

use serde::{Deserialize, Serialize};

use crate::{AccountId, QueueId, Timestamp};

/// A page of `GET /v1/admin/queue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueuePage {
    pub entries: Vec<QueuedMail>,
    /// For the next page; null: there is none. A page may be short, even empty, and have one all the same, when only a part
    /// of a long queue was looked at.
    pub next: Option<String>,
    /// Numbers of the shards that did not answer: what is queued there is missing on this page or one before.
    #[serde(default)]
    pub away: Vec<u16>,
}

/// A mail on its way out: the envelope, never what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueuedMail {
    pub id: QueueId,
    /// Who answers for it.
    pub account: AccountId,
    pub state: QueuedState,
    /// Null for notifications, which have no return path.
    pub sender: Option<String>,
    pub size: u64,
    pub created_at: Timestamp,
    /// After this, what is not delivered has failed.
    pub expires_at: Timestamp,
    /// The earliest attempt for any recipient that is still to get it.
    pub next_attempt_at: Timestamp,
    /// The host that an operator sends it by, like `relay.example.com:25`.
    pub via: Option<String>,
    /// From -9 to 9 (RFC 6710).
    pub priority: i8,
    /// Never in clear text (RFC 8689).
    pub require_tls: bool,
    pub recipients: Vec<QueuedRecipient>,
}

/// How a queued mail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum QueuedState {
    /// It waits for its next attempt.
    Waiting,
    /// A worker has it in hand.
    Sending,
    /// Not tried until it is released.
    Held,
}

/// How a recipient of a queued mail fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueuedRecipient {
    pub address: String,
    pub state: QueuedRecipientState,
    pub attempts: u32,
    /// For pending ones.
    pub next_attempt_at: Option<Timestamp>,
    /// What the other side said last, or why nothing was said.
    pub reply: Option<String>,
}

/// What became of a recipient so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum QueuedRecipientState {
    Pending,
    Delivered,
    Failed,
}

/// `POST /v1/admin/queue/{id}/reroute`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Reroute {
    /// Like `relay.example.com:25`, one that the configuration sends mail by (403 for others); null: as the recipients'
    /// domains say. It must be there.
    #[serde(deserialize_with = "Option::deserialize")]
    pub host: Option<String>,
}

impl std::str::FromStr for QueuedState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "waiting" => Ok(Self::Waiting),
            "sending" => Ok(Self::Sending),
            "held" => Ok(Self::Held),
            _ => Err("the state must be waiting, sending or held".to_owned()),
        }
    }
}
