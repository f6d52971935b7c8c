//! Who is logged in, and what lets people and their programs in.

use serde::{Deserialize, Serialize};

use crate::{AccountId, AppPasswordId, Secret, Timestamp};

/// `POST /v1/session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub email: String,
    pub password: Secret,
    /// The six digits of a second factor, where the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp: Option<String>,
}

/// The answer to a login, and of `GET /v1/session` (there without the token).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// For `Authorization: Bearer`. Browsers use the cookie that came with the answer instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    pub account: Account,
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Account {
    pub id: AccountId,
    pub email: String,
    pub name: String,
    /// Bytes that the account's mail takes.
    #[serde(default)]
    pub used_bytes: u64,
    /// Bytes that it may take; none: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
}

/// A password of one mail program (IMAP, POP3, submission).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppPassword {
    pub id: AppPasswordId,
    /// What the program or device is called.
    pub name: String,
    pub created_at: Timestamp,
    /// When somebody logged in with it, to the hour; none: nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
}

/// `GET /v1/app-passwords`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppPasswords {
    pub app_passwords: Vec<AppPassword>,
}

/// `POST /v1/app-passwords`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAppPassword {
    /// What the program or device is called.
    pub name: String,
    /// The account's own, once more.
    pub password: Secret,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MadeAppPassword {
    #[serde(flatten)]
    pub app_password: AppPassword,
    /// What the program logs in with, beside the account's address. It is told here only.
    pub password: Secret,
}
