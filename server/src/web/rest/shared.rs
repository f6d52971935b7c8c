//! `/v1/shared`: folders that others share, as far as they let you.

use axum::{
    Json as Answer,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use types::{
    AccountId, MailboxId, MessageId,
    api::{Changed, Message, Page, Patch, PatchMany, SharedFolders},
};

use super::{
    folders::Wanted,
    messages::bytes::{Look, framed, original},
};
use crate::web::{
    caller::Caller,
    docs::Problems,
    download::attached,
    extract::{Json, Path, Query},
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

/// The safe HTML of a message of a shared folder as a document of its own, to be shown in a frame
#[utoipa::path(
    get, path = "/v1/shared/{owner}/{folder}/messages/{id}/html", tag = "shared",
    params(
        ("owner" = AccountId, Path, description = "`owner_id` of the folder"),
        ("folder" = MailboxId, Path, description = "The folder"),
        ("id" = MessageId, Path, description = "The message"),
        Look,
    ),
    responses((status = 200, description = "An HTML document", body = String, content_type = "text/html"), Problems)
)]
pub(crate) async fn html(
    caller: Caller,
    Path((owner, folder, id)): Path<(AccountId, MailboxId, MessageId)>,
    Query(Look { images }): Query<Look>,
) -> Result<Response> {
    let images = images.into();
    let html = caller.access.shared_html(owner, folder, id, images).await?;
    // The browser asks each time whether it may still be seen.
    Ok(framed(html, images, "private, no-cache"))
}

/// A mail of a shared folder as it was received, byte for byte
#[utoipa::path(
    get, path = "/v1/shared/{owner}/{folder}/messages/{id}/raw", tag = "shared",
    params(
        ("owner" = AccountId, Path, description = "`owner_id` of the folder"),
        ("folder" = MailboxId, Path, description = "The folder"),
        ("id" = MessageId, Path, description = "The message"),
        ("Range" = Option<String>, Header, description = "A part of the bytes"),
    ),
    responses(
        (status = 200, description = "All of it", body = Vec<u8>, content_type = "message/rfc822"),
        (status = 206, description = "The part that was asked for", body = Vec<u8>, content_type = "message/rfc822"),
        (status = 304, description = "You have it"),
        (status = 416, description = "There is no such part"),
        Problems
    )
)]
pub(crate) async fn raw(
    caller: Caller,
    Path((owner, folder, id)): Path<(AccountId, MailboxId, MessageId)>,
    headers: HeaderMap,
) -> Result<Response> {
    Ok(original(&headers, id, caller.access.shared_raw(owner, folder, id).await?))
}

/// Change a message of a shared folder: read, starred, labels; also to another folder that its owner shares with you
///
/// Each change takes its right: `s` for `unread`, `w` for stars and labels. Moving takes `t` and `e` where the message
/// is, and `i`, `s`, `w` and `t` where it goes.
#[utoipa::path(
    patch, path = "/v1/shared/{owner}/{folder}/messages/{id}", tag = "shared",
    params(
        ("owner" = AccountId, Path, description = "`owner_id` of the folder"),
        ("folder" = MailboxId, Path, description = "The folder"),
        ("id" = MessageId, Path, description = "The message"),
    ),
    request_body = Patch,
    responses((status = 200, description = "The message as it is now", body = Changed), Problems)
)]
pub(crate) async fn patch(
    caller: Caller,
    Path((owner, folder, id)): Path<(AccountId, MailboxId, MessageId)>,
    Json(patch): Json<Patch>,
) -> Result<Answer<Changed>> {
    let messages = caller.access.shared_patch(owner, folder, &[id], &patch).await?;
    if messages.is_empty() {
        return Err(mail::Error::NotFound("message").into());
    }
    Ok(Answer(Changed { messages }))
}

/// Change many messages of a shared folder alike
#[utoipa::path(
    patch, path = "/v1/shared/{owner}/{folder}/messages", tag = "shared",
    params(
        ("owner" = AccountId, Path, description = "`owner_id` of the folder"),
        ("folder" = MailboxId, Path, description = "The folder"),
    ),
    request_body = PatchMany,
    responses((status = 200, description = "Those that are in the folder, as they are now", body = Changed), Problems)
)]
pub(crate) async fn patch_many(
    caller: Caller,
    Path((owner, folder)): Path<(AccountId, MailboxId)>,
    Json(patch): Json<PatchMany>,
) -> Result<Answer<Changed>> {
    let (ids, patch) = patch.split();
    Ok(Answer(Changed { messages: caller.access.shared_patch(owner, folder, &ids, &patch).await? }))
}

/// Delete a message of a shared folder: to its owner's Trash, from a shared Trash for good; takes `t` and `e`
#[utoipa::path(
    delete, path = "/v1/shared/{owner}/{folder}/messages/{id}", tag = "shared",
    params(
        ("owner" = AccountId, Path, description = "`owner_id` of the folder"),
        ("folder" = MailboxId, Path, description = "The folder"),
        ("id" = MessageId, Path, description = "The message"),
    ),
    responses((status = 204, description = "Deleted"), Problems)
)]
pub(crate) async fn remove(
    caller: Caller,
    Path((owner, folder, id)): Path<(AccountId, MailboxId, MessageId)>,
) -> Result<StatusCode> {
    caller.access.shared_delete(owner, folder, &[id]).await?;
    Ok(StatusCode::NO_CONTENT)
}
