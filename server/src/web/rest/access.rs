//! `/v1/folders/{id}/access`: who a folder is shared with.

use axum::{Json as Answer, http::StatusCode};
use types::{
    MailboxId,
    api::{FolderAccess, GrantAccess, Granted},
};

use crate::web::{
    caller::Caller,
    docs::Problems,
    extract::{Json, Path},
    failure::Result,
};

/// Who a folder is shared with
#[utoipa::path(
    get, path = "/v1/folders/{id}/access", tag = "folders",
    params(("id" = MailboxId, Path, description = "The folder")),
    responses((status = 200, description = "The people, without the owner", body = FolderAccess), Problems)
)]
pub(crate) async fn list(caller: Caller, Path(id): Path<MailboxId>) -> Result<Answer<FolderAccess>> {
    Ok(Answer(caller.access.folder_access(id).await?))
}

/// Share a folder with somebody, or change their rights
#[utoipa::path(
    put, path = "/v1/folders/{id}/access/{email}", tag = "folders",
    params(
        ("id" = MailboxId, Path, description = "The folder"),
        ("email" = String, Path, description = "An address of theirs on this service"),
    ),
    request_body = GrantAccess,
    responses((status = 200, description = "Shared", body = Granted), Problems)
)]
pub(crate) async fn grant(
    caller: Caller,
    Path((id, email)): Path<(MailboxId, String)>,
    Json(GrantAccess { rights }): Json<GrantAccess>,
) -> Result<Answer<Granted>> {
    Ok(Answer(caller.access.share_folder(id, &email, &rights).await?))
}

/// Stop sharing a folder with somebody
#[utoipa::path(
    delete, path = "/v1/folders/{id}/access/{email}", tag = "folders",
    params(
        ("id" = MailboxId, Path, description = "The folder"),
        ("email" = String, Path, description = "An address of theirs on this service"),
    ),
    responses((status = 204, description = "Not shared any more"), Problems)
)]
pub(crate) async fn revoke(
    caller: Caller,
    Path((id, email)): Path<(MailboxId, String)>,
) -> Result<StatusCode> {
    caller.access.unshare_folder(id, &email).await?;
    Ok(StatusCode::NO_CONTENT)
}
