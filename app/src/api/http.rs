//! [`Api`] over HTTP, with the session cookie of the browser.

use async_trait::async_trait;
use gloo_net::http::{Method, RequestBuilder, Response};
use send_wrapper::SendWrapper;
use serde::{Serialize, de::DeserializeOwned};
use types::{
    AppPasswordId, MailboxId, MessageId, Problem, ProblemKind, ThreadId,
    api::{
        AppPasswords, Changed, Compose, Composed, Folder, FolderAccess, Folders, Found, GrantAccess, Granted,
        MadeAppPassword, Message, NewAppPassword, NewFolder, Page, Patch, PatchMany, RenameFolder, Session,
        SharedFolders, Summary, Thread,
    },
};

use super::{Answer, Api, Filter, SharedId};

/// Sent with everything that changes something: no other site can send it without being asked first (CORS).
pub(crate) const CSRF: (&str, &str) = ("x-magpie-csrf", "1");

/// The API of the server that the page came from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Http;

#[async_trait]
impl Api for Http {
    async fn session(&self) -> Answer<Session> {
        get("/v1/session").await
    }

    async fn logout(&self) -> Answer<()> {
        delete("/v1/session").await
    }

    async fn app_passwords(&self) -> Answer<AppPasswords> {
        get("/v1/app-passwords").await
    }

    async fn add_app_password(&self, new: NewAppPassword) -> Answer<MadeAppPassword> {
        call(Method::POST, "/v1/app-passwords", &new).await
    }

    async fn remove_app_password(&self, id: AppPasswordId) -> Answer<()> {
        delete(&format!("/v1/app-passwords/{id}")).await
    }

    async fn folders(&self) -> Answer<Folders> {
        get("/v1/folders").await
    }

    async fn create_folder(&self, folder: NewFolder) -> Answer<Folder> {
        call(Method::POST, "/v1/folders", &folder).await
    }

    async fn rename_folder(&self, id: MailboxId, name: String) -> Answer<Folder> {
        call(Method::PATCH, &format!("/v1/folders/{id}"), &RenameFolder { name }).await
    }

    async fn delete_folder(&self, id: MailboxId) -> Answer<()> {
        delete(&format!("/v1/folders/{id}")).await
    }

    async fn page(
        &self,
        folder: MailboxId,
        cursor: Option<String>,
        limit: u32,
        filter: Filter,
    ) -> Answer<Page> {
        page(format!("/v1/folders/{folder}/messages"), cursor, limit, filter).await
    }

    async fn search(&self, query: String, cursor: Option<String>, limit: u32) -> Answer<Found> {
        let path = format!("/v1/search?q={}&limit={limit}", crate::text::encode(&query));
        get(&with_cursor(path, cursor.as_deref())).await
    }

    async fn message(&self, id: MessageId) -> Answer<Message> {
        get(&format!("/v1/messages/{id}")).await
    }

    async fn thread(&self, id: ThreadId) -> Answer<Thread> {
        get(&format!("/v1/threads/{id}")).await
    }

    async fn patch(&self, id: MessageId, patch: Patch) -> Answer<Changed> {
        call(Method::PATCH, &format!("/v1/messages/{id}"), &patch).await
    }

    async fn patch_many(&self, patch: PatchMany) -> Answer<Changed> {
        call(Method::PATCH, "/v1/messages", &patch).await
    }

    async fn delete(&self, id: MessageId) -> Answer<()> {
        delete(&format!("/v1/messages/{id}")).await
    }

    async fn unsubscribe(&self, id: MessageId) -> Answer<()> {
        SendWrapper::new(send(Method::POST, &format!("/v1/messages/{id}/unsubscribe"), None)).await.map(drop)
    }

    async fn compose(&self, message: Compose) -> Answer<Composed> {
        call(Method::POST, "/v1/messages", &message).await
    }

    async fn recall(&self, id: MessageId) -> Answer<Summary> {
        SendWrapper::new(async move {
            read(&send(Method::POST, &format!("/v1/messages/{id}/recall"), None).await?)
        })
        .await
    }

    async fn shared(&self) -> Answer<SharedFolders> {
        get("/v1/shared").await
    }

    async fn shared_page(
        &self,
        folder: SharedId,
        cursor: Option<String>,
        limit: u32,
        filter: Filter,
    ) -> Answer<Page> {
        page(folder.messages(), cursor, limit, filter).await
    }

    async fn shared_message(&self, folder: SharedId, id: MessageId) -> Answer<Message> {
        get(&format!("{}/{id}", folder.messages())).await
    }

    async fn patch_shared(&self, folder: SharedId, patch: PatchMany) -> Answer<Changed> {
        call(Method::PATCH, &folder.messages(), &patch).await
    }

    async fn delete_shared(&self, folder: SharedId, id: MessageId) -> Answer<()> {
        delete(&format!("{}/{id}", folder.messages())).await
    }

    async fn folder_access(&self, id: MailboxId) -> Answer<FolderAccess> {
        get(&format!("/v1/folders/{id}/access")).await
    }

    async fn grant(&self, id: MailboxId, email: String, rights: String) -> Answer<Granted> {
        call(Method::PUT, &access(id, &email), &GrantAccess { rights }).await
    }

    async fn revoke(&self, id: MailboxId, email: String) -> Answer<()> {
        delete(&access(id, &email)).await
    }
}

/// What somebody may do with a folder.
fn access(folder: MailboxId, email: &str) -> String {
    format!("/v1/folders/{folder}/access/{}", crate::text::encode(email))
}

/// A page of the messages under this path.
async fn page(messages: String, cursor: Option<String>, limit: u32, filter: Filter) -> Answer<Page> {
    let mut path = format!("{messages}?limit={limit}");
    for (name, on) in
        [("unread", filter.unread), ("flagged", filter.flagged), ("attachments", filter.attachments)]
    {
        if on {
            path.push_str(&format!("&{name}=true"));
        }
    }
    get(&with_cursor(path, cursor.as_deref())).await
}

fn with_cursor(mut path: String, cursor: Option<&str>) -> String {
    if let Some(cursor) = cursor {
        path.push_str("&cursor=");
        path.push_str(&crate::text::encode(cursor));
    }
    path
}

async fn get<T: DeserializeOwned>(path: &str) -> Answer<T> {
    SendWrapper::new(async move { read(&send(Method::GET, path, None).await?) }).await
}

async fn delete(path: &str) -> Answer<()> {
    SendWrapper::new(send(Method::DELETE, path, None)).await.map(drop)
}

async fn call<T: DeserializeOwned>(method: Method, path: &str, body: &(impl Serialize + Sync)) -> Answer<T> {
    let body = serde_json::to_string(body).map_err(|error| broken(&error))?;
    SendWrapper::new(async move { read(&send(method, path, Some(body)).await?) }).await
}

fn read<T: DeserializeOwned>(body: &str) -> Answer<T> {
    serde_json::from_str(body).map_err(|error| broken(&error))
}

/// Sends, and gives the body of an answer in the 200s.
async fn send(method: Method, path: &str, body: Option<String>) -> Answer<String> {
    let mut request = RequestBuilder::new(path).header("accept", "application/json");
    if method != Method::GET {
        request = request.header(CSRF.0, CSRF.1);
    }
    let request = request.method(method);
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(body),
        None => request.build(),
    };
    let response = request.map_err(|error| unreachable(&error))?.send().await;
    answer(&response.map_err(|error| unreachable(&error))?).await
}

async fn answer(response: &Response) -> Answer<String> {
    let body = response.text().await.map_err(|error| unreachable(&error))?;
    if response.ok() { Ok(body) } else { Err(problem(response.status(), &body)) }
}

/// The problem that an answer's body tells, or one made from its status.
pub(crate) fn problem(status: u16, body: &str) -> Problem {
    serde_json::from_str(body).unwrap_or_else(|_| {
        let kind = match status {
            401 => ProblemKind::Unauthenticated,
            403 => ProblemKind::Forbidden,
            404 => ProblemKind::NotFound,
            413 => ProblemKind::TooLarge,
            429 => ProblemKind::RateLimited,
            502..=504 => ProblemKind::Unavailable,
            _ => ProblemKind::Internal,
        };
        Problem::new(kind, format!("HTTP {status}"))
    })
}

fn unreachable(error: &gloo_net::Error) -> Problem {
    Problem::new(ProblemKind::Unavailable, error.to_string())
}

fn broken(error: &serde_json::Error) -> Problem {
    Problem::new(ProblemKind::Internal, error.to_string())
}
