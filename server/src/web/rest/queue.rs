//! `/v1/admin/queue`: mail on its way out, for operators.

#![expect(unused_qualifications, reason = "the macro that describes parameters writes whole paths")]

use axum::{Json as Answer, http::StatusCode};
use mail::{QueueQuery, admin::QueueAction};
use serde::Deserialize;
use types::{
    QueueId,
    queue::{QueuePage, QueuedMail, QueuedState, Reroute},
};
use utoipa::IntoParams;

use crate::web::{
    caller::Operator,
    docs::Problems,
    extract::{Json, Limit, Path, Query, blank_is_none},
    failure::Result,
};

/// Which of the queue is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// At most this many; 50 if absent.
    #[serde(default, deserialize_with = "blank_is_none")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<Limit>,
    /// `next` of the page before.
    #[serde(default, deserialize_with = "blank_is_none")]
    cursor: Option<String>,
    /// Only mail that somebody at this domain is still to get.
    #[serde(default, deserialize_with = "blank_is_none")]
    domain: Option<String>,
    /// Only mail in this state.
    #[serde(default, deserialize_with = "blank_is_none")]
    state: Option<QueuedState>,
}

/// Mail on its way out
///
/// For administrators: accounts that `magpie account admin` has made so.
#[utoipa::path(
    get, path = "/v1/admin/queue", tag = "admin",
    params(Wanted),
    responses((status = 200, description = "A page of the queue", body = QueuePage), Problems)
)]
pub(crate) async fn list(
    Operator(operator): Operator,
    Query(wanted): Query<Wanted>,
) -> Result<Answer<QueuePage>> {
    let Wanted { limit, cursor, domain, state } = wanted;
    let limit = limit.map(|Limit(limit)| limit);
    Ok(Answer(operator.queue(&QueueQuery { domain, state, cursor, limit }).await?))
}

/// A mail on its way out, and how its recipients fare
#[utoipa::path(
    get, path = "/v1/admin/queue/{id}", tag = "admin",
    params(("id" = QueueId, Path, description = "The queue entry")),
    responses((status = 200, description = "The mail", body = QueuedMail), Problems)
)]
pub(crate) async fn show(
    Operator(operator): Operator,
    Path(id): Path<QueueId>,
) -> Result<Answer<QueuedMail>> {
    Ok(Answer(operator.queue_entry(id).await?))
}

/// Remove a mail from the queue; nobody is told
#[utoipa::path(
    delete, path = "/v1/admin/queue/{id}", tag = "admin",
    params(("id" = QueueId, Path, description = "The queue entry")),
    responses((status = 204, description = "Removed"), Problems)
)]
pub(crate) async fn remove(Operator(operator): Operator, Path(id): Path<QueueId>) -> Result<StatusCode> {
    operator.queue_action(id, QueueAction::Drop).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Try all pending recipients now
#[utoipa::path(
    post, path = "/v1/admin/queue/{id}/retry", tag = "admin",
    params(("id" = QueueId, Path, description = "The queue entry")),
    responses((status = 204, description = "It is tried now"), Problems)
)]
pub(crate) async fn retry(Operator(operator): Operator, Path(id): Path<QueueId>) -> Result<StatusCode> {
    operator.queue_action(id, QueueAction::Retry).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Do not try until released
#[utoipa::path(
    post, path = "/v1/admin/queue/{id}/hold", tag = "admin",
    params(("id" = QueueId, Path, description = "The queue entry")),
    responses((status = 204, description = "Held"), Problems)
)]
pub(crate) async fn hold(Operator(operator): Operator, Path(id): Path<QueueId>) -> Result<StatusCode> {
    operator.queue_action(id, QueueAction::Hold).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let a held mail go
#[utoipa::path(
    post, path = "/v1/admin/queue/{id}/release", tag = "admin",
    params(("id" = QueueId, Path, description = "The queue entry")),
    responses((status = 204, description = "Released"), Problems)
)]
pub(crate) async fn release(Operator(operator): Operator, Path(id): Path<QueueId>) -> Result<StatusCode> {
    operator.queue_action(id, QueueAction::Release).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send a mail by way of another host, now
#[utoipa::path(
    post, path = "/v1/admin/queue/{id}/reroute", tag = "admin",
    params(("id" = QueueId, Path, description = "The queue entry")),
    request_body = Reroute,
    responses((status = 204, description = "It goes another way"), Problems)
)]
pub(crate) async fn reroute(
    Operator(operator): Operator,
    Path(id): Path<QueueId>,
    Json(Reroute { host }): Json<Reroute>,
) -> Result<StatusCode> {
    operator.queue_action(id, QueueAction::Reroute(host)).await?;
    Ok(StatusCode::NO_CONTENT)
}
