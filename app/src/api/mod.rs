//! The calls that the webmail makes, whoever answers them: over HTTP in the browser, in process on the server.

pub mod http;

pub(crate) mod events;
pub(crate) mod upload;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use types::{
    MailboxId, MessageId, Problem, ThreadId,
    api::{
        Changed, Compose, Composed, Folder, Folders, Found, Message, NewFolder, Page, Patch, PatchMany,
        Session, Thread,
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
    /// `POST /v1/messages`: send, or keep as a draft.
    async fn compose(&self, message: Compose) -> Answer<Composed>;
}
