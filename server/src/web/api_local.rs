//! The pages' [`app::Api`] while they are rendered here: the same use-cases that the REST API calls, without HTTP.

use app::api::{Answer, Filter, SharedId};
use async_trait::async_trait;
use mail::{Access, Client, PageQuery};
use types::{
    AppPasswordId, MailboxId, MessageId, Problem, ProblemKind, ThreadId,
    api::{
        AppPasswords, Changed, Compose, Composed, Folder, FolderAccess, Folders, Found, Granted,
        MadeAppPassword, Message, NewAppPassword, NewFolder, Page, Patch, PatchMany, Session, SharedFolders,
        Summary, Thread,
    },
};

use super::failure::Failure;

/// The API as the account that asks for the page sees it; nobody's on the login page.
pub(crate) struct Local(pub(crate) Option<Access>);

impl Local {
    fn access(&self) -> Answer<&Access> {
        let nobody = || Problem::new(ProblemKind::Unauthenticated, "This needs a session.");
        self.0.as_ref().ok_or_else(nobody)
    }
}

fn problem(error: mail::Error) -> Problem {
    Failure::from(error).0
}

fn query(cursor: Option<String>, limit: u32, filter: Filter) -> PageQuery {
    let only = |wanted: bool| wanted.then_some(true);
    let filter = storage::Filter {
        unread: only(filter.unread),
        flagged: only(filter.flagged),
        attachments: only(filter.attachments),
    };
    PageQuery { filter, cursor, limit: Some(limit) }
}

#[async_trait]
impl app::Api for Local {
    async fn session(&self) -> Answer<Session> {
        Ok(Session { token: None, account: self.access()?.account().await.map_err(problem)? })
    }

    async fn logout(&self) -> Answer<()> {
        // Ending a session takes its cookie away, which a page that is being rendered cannot do any more.
        Err(Problem::new(ProblemKind::Conflict, "Log out with POST /logout."))
    }

    async fn folders(&self) -> Answer<Folders> {
        self.access()?.folders().await.map_err(problem)
    }

    async fn create_folder(&self, folder: NewFolder) -> Answer<Folder> {
        self.access()?.create_folder(&folder).await.map_err(problem)
    }

    async fn rename_folder(&self, id: MailboxId, name: String) -> Answer<Folder> {
        self.access()?.rename_folder(id, &name).await.map_err(problem)
    }

    async fn delete_folder(&self, id: MailboxId) -> Answer<()> {
        self.access()?.delete_folder(id).await.map_err(problem)
    }

    async fn page(
        &self,
        folder: MailboxId,
        cursor: Option<String>,
        limit: u32,
        filter: Filter,
    ) -> Answer<Page> {
        self.access()?.page(folder, &query(cursor, limit, filter)).await.map_err(problem)
    }

    async fn search(&self, query: String, cursor: Option<String>, limit: u32) -> Answer<Found> {
        self.access()?.search(&query, cursor.as_deref(), Some(limit)).await.map_err(problem)
    }

    async fn message(&self, id: MessageId) -> Answer<Message> {
        self.access()?.message(id).await.map_err(problem)
    }

    async fn thread(&self, id: ThreadId) -> Answer<Thread> {
        self.access()?.thread(id).await.map_err(problem)
    }

    async fn patch(&self, id: MessageId, patch: Patch) -> Answer<Changed> {
        let changed = self.access()?.patch_one(id, &patch).await.map_err(problem)?;
        Ok(Changed { messages: vec![changed] })
    }

    async fn patch_many(&self, patch: PatchMany) -> Answer<Changed> {
        let (ids, patch) = patch.split();
        Ok(Changed { messages: self.access()?.patch(&ids, &patch).await.map_err(problem)? })
    }

    async fn delete(&self, id: MessageId) -> Answer<()> {
        self.access()?.delete(&[id]).await.map_err(problem)
    }

    async fn unsubscribe(&self, _: MessageId) -> Answer<()> {
        // A page that is being rendered does nothing to others.
        Err(Problem::new(ProblemKind::Conflict, "Leave lists with POST /v1/messages/{id}/unsubscribe."))
    }

    async fn compose(&self, message: Compose) -> Answer<Composed> {
        self.access()?.compose(message).await.map_err(problem)
    }

    async fn recall(&self, id: MessageId) -> Answer<Summary> {
        self.access()?.recall(id).await.map_err(problem)
    }

    async fn shared(&self) -> Answer<SharedFolders> {
        self.access()?.shared_folders().await.map_err(problem)
    }

    async fn shared_page(
        &self,
        SharedId { owner, folder }: SharedId,
        cursor: Option<String>,
        limit: u32,
        filter: Filter,
    ) -> Answer<Page> {
        let query = query(cursor, limit, filter);
        self.access()?.shared_page(owner, folder, &query).await.map_err(problem)
    }

    async fn shared_message(&self, SharedId { owner, folder }: SharedId, id: MessageId) -> Answer<Message> {
        self.access()?.shared_message(owner, folder, id).await.map_err(problem)
    }

    async fn patch_shared(&self, SharedId { owner, folder }: SharedId, patch: PatchMany) -> Answer<Changed> {
        let (ids, patch) = patch.split();
        let messages = self.access()?.shared_patch(owner, folder, &ids, &patch).await.map_err(problem)?;
        Ok(Changed { messages })
    }

    async fn delete_shared(&self, SharedId { owner, folder }: SharedId, id: MessageId) -> Answer<()> {
        self.access()?.shared_delete(owner, folder, &[id]).await.map_err(problem)
    }

    async fn app_passwords(&self) -> Answer<AppPasswords> {
        let app_passwords = self.access()?.app_passwords().await.map_err(problem)?;
        Ok(AppPasswords { app_passwords })
    }

    async fn add_app_password(&self, new: NewAppPassword) -> Answer<MadeAppPassword> {
        let NewAppPassword { name, password } = new;
        let made = self.access()?.add_app_password(&name, &password, &Client::default()).await;
        let (app_password, password) = made.map_err(problem)?;
        Ok(MadeAppPassword { app_password, password })
    }

    async fn remove_app_password(&self, id: AppPasswordId) -> Answer<()> {
        self.access()?.remove_app_password(id).await.map_err(problem)
    }

    async fn folder_access(&self, id: MailboxId) -> Answer<FolderAccess> {
        self.access()?.folder_access(id).await.map_err(problem)
    }

    async fn grant(&self, id: MailboxId, email: String, rights: String) -> Answer<Granted> {
        self.access()?.share_folder(id, &email, &rights).await.map_err(problem)
    }

    async fn revoke(&self, id: MailboxId, email: String) -> Answer<()> {
        self.access()?.unshare_folder(id, &email).await.map_err(problem)
    }
}
