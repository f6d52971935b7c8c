//! `/v1/search`.

#![expect(unused_qualifications, reason = "the macro that describes parameters writes whole paths")]

use axum::Json as Answer;
use serde::Deserialize;
use types::api::Found;
use utoipa::IntoParams;

use crate::web::{
    caller::Caller,
    docs::Problems,
    extract::{Limit, Query, blank_is_none},
    failure::Result,
};

/// What is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Words and operators: `from:bob "annual report" has:attachment after:2026-01-31 -in:trash`.
    #[serde(default)]
    q: String,
    /// At most this many messages; 50 if absent.
    #[serde(default, deserialize_with = "blank_is_none")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<Limit>,
    /// `next` of the page before.
    #[serde(default, deserialize_with = "blank_is_none")]
    cursor: Option<String>,
}

/// Find mail, newest first
#[utoipa::path(
    get, path = "/v1/search", tag = "search",
    params(Wanted),
    responses((status = 200, description = "Messages with the words around the first hit", body = Found), Problems)
)]
pub(crate) async fn search(caller: Caller, Query(wanted): Query<Wanted>) -> Result<Answer<Found>> {
    let Wanted { q, limit, cursor } = wanted;
    let limit = limit.map(|Limit(limit)| limit);
    Ok(Answer(caller.access.search(&q, cursor.as_deref(), limit).await?))
}
