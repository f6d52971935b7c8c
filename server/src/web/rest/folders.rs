//! `/v1/folders`: folders and what is in them.

#![expect(unused_qualifications, reason = "the macro that describes parameters writes whole paths")]

use axum::{Json as Answer, http::StatusCode};
use mail::PageQuery;
use serde::Deserialize;
use types::{
    MailboxId,
    api::{Folder, Folders, NewFolder, Page, RenameFolder},
};
use utoipa::IntoParams;

use crate::web::{
    caller::Caller,
    docs::Problems,
    extract::{Json, Limit, Path, Query, blank_is_none},
    failure::Result,
};

/// All folders with their counts
#[utoipa::path(
    get, path = "/v1/folders", tag = "folders",
    responses((status = 200, description = "The folders", body = Folders), Problems)
)]
pub(crate) async fn list(caller: Caller) -> Result<Answer<Folders>> {
    Ok(Answer(caller.access.folders().await?))
}

/// Make a folder
#[utoipa::path(
    post, path = "/v1/folders", tag = "folders",
    request_body = NewFolder,
    responses((status = 201, description = "Made", body = Folder), Problems)
)]
pub(crate) async fn create(
    caller: Caller,
    Json(new): Json<NewFolder>,
) -> Result<(StatusCode, Answer<Folder>)> {
    Ok((StatusCode::CREATED, Answer(caller.access.create_folder(&new).await?)))
}

/// Rename a folder
#[utoipa::path(
    patch, path = "/v1/folders/{id}", tag = "folders",
    params(("id" = MailboxId, Path, description = "The folder")),
    request_body = RenameFolder,
    responses((status = 200, description = "Renamed", body = Folder), Problems)
)]
pub(crate) async fn rename(
    caller: Caller,
    Path(id): Path<MailboxId>,
    Json(RenameFolder { name }): Json<RenameFolder>,
) -> Result<Answer<Folder>> {
    Ok(Answer(caller.access.rename_folder(id, &name).await?))
}

/// Delete a folder; what is in it goes to Trash
#[utoipa::path(
    delete, path = "/v1/folders/{id}", tag = "folders",
    params(("id" = MailboxId, Path, description = "The folder")),
    responses((status = 204, description = "Deleted"), Problems)
)]
pub(crate) async fn remove(caller: Caller, Path(id): Path<MailboxId>) -> Result<StatusCode> {
    caller.access.delete_folder(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What of a folder is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// At most this many messages; 50 if absent.
    #[serde(default, deserialize_with = "blank_is_none")]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<Limit>,
    /// `next` of the page before.
    #[serde(default, deserialize_with = "blank_is_none")]
    cursor: Option<String>,
    /// Only messages that are (true) or are not (false) unread.
    #[serde(default, deserialize_with = "blank_is_none")]
    unread: Option<bool>,
    /// Only messages with (true) or without (false) a star.
    #[serde(default, deserialize_with = "blank_is_none")]
    flagged: Option<bool>,
    /// Only messages with (true) or without (false) attachments.
    #[serde(default, deserialize_with = "blank_is_none")]
    attachments: Option<bool>,
}

/// A folder's messages, newest first
#[utoipa::path(
    get, path = "/v1/folders/{id}/messages", tag = "folders",
    params(("id" = MailboxId, Path, description = "The folder"), Wanted),
    responses((status = 200, description = "A page of messages", body = Page), Problems)
)]
pub(crate) async fn messages(
    caller: Caller,
    Path(id): Path<MailboxId>,
    Query(wanted): Query<Wanted>,
) -> Result<Answer<Page>> {
    Ok(Answer(caller.access.page(id, &wanted.into_query()).await?))
}

impl Wanted {
    pub(super) fn into_query(self) -> PageQuery {
        let Self { limit, cursor, unread, flagged, attachments } = self;
        let limit = limit.map(|Limit(limit)| limit);
        PageQuery { filter: storage::Filter { unread, flagged, attachments }, cursor, limit }
    }
}
