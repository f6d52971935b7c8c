//! Leaving mailing lists.

use serde::{Deserialize, Serialize};

/// How the list of a message is left (RFC 2369 §3.2, RFC 8058).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Unsubscribe {
    /// `POST /v1/messages/{id}/unsubscribe` asks this host (`host:port`, unless it is 443) for it. Only where the list has signed that this is enough.
    OneClick { host: String },
    /// The same request sends a mail to this address, in the reader's name.
    Mail { address: String },
    /// On this page, which a person has to open.
    Page { url: String },
}
