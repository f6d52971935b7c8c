//! `/v1/shared`: folders that others share, to be read.

use axum::{Json as Answer, http::HeaderMap, response::Response};
use types::{
    AccountId, MailboxId, MessageId,
    api::{Message, Page, SharedFolders},
};

use super::folders::Wanted;
use crate::web::{
    caller::Caller,
    docs::Problems,
    download::attached,
    extract::{Path, Query},
    failure::Result,
};

/// All folders that others share with you
#[utoipa::path(
    get, path = "/v1/shared", tag = "shared",
    responses((status = 200, description = "The folders, owner by owner", body = SharedFolders), Problems)
)]
pub(crate) async fn list(caller: Caller) -> Result<Answer<SharedFolders>> {
    Ok(Answer(caller.access.shared_folders().await?))
}

/// A shared folder's messages, newest first
#[utoipa::path(
    get, path = "/v1/shared/{owner}/{folder}/messages", tag = "shared",
    params(
        ("owner" = AccountId, Path, description = "`owner_id` of the folder"),
        ("folder" = MailboxId, Path, description = "The folder"),
        Wanted,
    ),
    responses((status = 200, description = "A page of messages", body = Page), Problems)
)]
pub(crate) async fn messages(
    caller: Caller,
    Path((owner, folder)): Path<(AccountId, MailboxId)>,
    Query(wanted): Query<Wanted>,
) -> Result<Answer<Page>> {
    Ok(Answer(caller.access.shared_page(owner, folder, &wanted.into_query()).await?))
}

/// A whole message of a shared folder; its `html` is already safe. It is not marked as read
#[utoipa::path(
    get, path = "/v1/shared/{owner}/{folder}/messages/{id}", tag = "shared",
    params(
        ("owner" = AccountId, Path, description = "`owner_id` of the folder"),
        ("folder" = MailboxId, Path, description = "The folder"),
        ("id" = MessageId, Path, description = "The message"),
    ),
    responses((status = 200, description = "The message", body = Message), Problems)
)]
pub(crate) async fn show(
    caller: Caller,
    Path((owner, folder, id)): Path<(AccountId, MailboxId, MessageId)>,
) -> Result<Answer<Message>> {
    Ok(Answer(caller.access.shared_message(owner, folder, id).await?))
}

/// An attachment of a message of a shared folder, decoded
#[utoipa::path(
    get, path = "/v1/shared/{owner}/{folder}/messages/{id}/attachments/{part}", tag = "shared",
    params(
        ("owner" = AccountId, Path, description = "`owner_id` of the folder"),
        ("folder" = MailboxId, Path, description = "The folder"),
        ("id" = MessageId, Path, description = "The message"),
        ("part" = String, Path, description = "The attachment's id"),
        ("Range" = Option<String>, Header, description = "A part of the bytes"),
    ),
    responses(
        (status = 200, description = "All of it", body = Vec<u8>, content_type = "*/*"),
        (status = 206, description = "The part that was asked for", body = Vec<u8>, content_type = "*/*"),
        (status = 304, description = "You have it"),
        (status = 416, description = "There is no such part"),
        Problems
    )
)]
pub(crate) async fn attachment(
    caller: Caller,
    Path((owner, folder, id, part)): Path<(AccountId, MailboxId, MessageId, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    let (attachment, download) = caller.access.shared_attachment(owner, folder, id, &part).await?;
    Ok(attached(&headers, id, &attachment, download))
}
