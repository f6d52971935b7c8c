//! The calls that the webmail makes, whoever answers them: over HTTP in the browser, in process on the server.

pub mod http;

pub(crate) mod events;
pub(crate) mod upload;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
pub use types::api::SharedId;
use types::{
    AppPasswordId, MailboxId, MessageId, Problem, ThreadId,
    api::{
        AppPasswords, Changed, Compose, Composed, Folder, FolderAccess, Folders, Found, Granted,
        MadeAppPassword, Message, NewAppPassword, NewFolder, Page, Patch, PatchMany, Session, SharedFolders,
        Summary, Thread,
    },
};

/// What a call gives.
pub type Answer<T> = Result<T, Problem>;

/// Which messages of a folder are listed; all of them by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Filter {
    /// Only those not yet read.
    pub unread: bool,
    /// Only those with a star.
    pub flagged: bool,
    /// Only those with attachments.
    pub attachments: bool,
}

/// The REST API of the account that is logged in, one method a call.
#[async_trait]
pub trait Api: Send + Sync {
    /// `GET /v1/session`.
    async fn session(&self) -> Answer<Session>;
    /// `DELETE /v1/session`.
    async fn logout(&self) -> Answer<()>;
    /// `GET /v1/app-passwords`.
    async fn app_passwords(&self) -> Answer<AppPasswords>;
    /// `POST /v1/app-passwords`.
    async fn add_app_password(&self, new: NewAppPassword) -> Answer<MadeAppPassword>;
    /// `DELETE /v1/app-passwords/{id}`.
    async fn remove_app_password(&self, id: AppPasswordId) -> Answer<()>;
    /// `GET /v1/folders`.
    async fn folders(&self) -> Answer<Folders>;
    /// `POST /v1/folders`.
    async fn create_folder(&self, folder: NewFolder) -> Answer<Folder>;
    /// `PATCH /v1/folders/{id}`.
    async fn rename_folder(&self, id: MailboxId, name: String) -> Answer<Folder>;
    /// `DELETE /v1/folders/{id}`.
    async fn delete_folder(&self, id: MailboxId) -> Answer<()>;
    /// `GET /v1/folders/{id}/messages`, newest first, after `cursor`.
    async fn page(
        &self,
        folder: MailboxId,
        cursor: Option<String>,
        limit: u32,
        filter: Filter,
    ) -> Answer<Page>;
    /// `GET /v1/search`.
    async fn search(&self, query: String, cursor: Option<String>, limit: u32) -> Answer<Found>;
    /// `GET /v1/messages/{id}`.
    async fn message(&self, id: MessageId) -> Answer<Message>;
    /// `GET /v1/threads/{id}`.
    async fn thread(&self, id: ThreadId) -> Answer<Thread>;
    /// `PATCH /v1/messages/{id}`.
    async fn patch(&self, id: MessageId, patch: Patch) -> Answer<Changed>;
    /// `PATCH /v1/messages`.
    async fn patch_many(&self, patch: PatchMany) -> Answer<Changed>;
    /// `DELETE /v1/messages/{id}`: to Trash; from Trash for good.
    async fn delete(&self, id: MessageId) -> Answer<()>;
    /// `POST /v1/messages/{id}/unsubscribe`: leaves the list that the message came from.
    async fn unsubscribe(&self, id: MessageId) -> Answer<()>;
    /// `POST /v1/messages`: send, or keep as a draft.
    async fn compose(&self, message: Compose) -> Answer<Composed>;
    /// `POST /v1/messages/{id}/recall`: makes a draft again of what has not left yet.
    async fn recall(&self, id: MessageId) -> Answer<Summary>;
    /// `GET /v1/shared`.
    async fn shared(&self) -> Answer<SharedFolders>;
    /// `GET /v1/shared/{owner}/{folder}/messages`, newest first, after `cursor`.
    async fn shared_page(
        &self,
        folder: SharedId,
        cursor: Option<String>,
        limit: u32,
        filter: Filter,
    ) -> Answer<Page>;
    /// `GET /v1/shared/{owner}/{folder}/messages/{id}`.
    async fn shared_message(&self, folder: SharedId, id: MessageId) -> Answer<Message>;
    /// `PATCH /v1/shared/{owner}/{folder}/messages`.
    async fn patch_shared(&self, folder: SharedId, patch: PatchMany) -> Answer<Changed>;
    /// `DELETE /v1/shared/{owner}/{folder}/messages/{id}`: to its owner's Trash; from there for good.
    async fn delete_shared(&self, folder: SharedId, id: MessageId) -> Answer<()>;
    /// `GET /v1/folders/{id}/access`.
    async fn folder_access(&self, id: MailboxId) -> Answer<FolderAccess>;
    /// `PUT /v1/folders/{id}/access/{email}`.
    async fn grant(&self, id: MailboxId, email: String, rights: String) -> Answer<Granted>;
    /// `DELETE /v1/folders/{id}/access/{email}`.
    async fn revoke(&self, id: MailboxId, email: String) -> Answer<()>;
}
