//! The REST API as one account sees it.

use anyhow::Context;
use serde::de::DeserializeOwned;
use types::{
    Role,
    api::{Folder, Folders, Session},
};

use crate::server::{PASSWORD, address};

pub(crate) struct Client {
    http: reqwest::Client,
    web: String,
    pub(crate) token: String,
}

impl Client {
    pub(crate) async fn login(web: &str, account: usize) -> anyhow::Result<Self> {
        let http = reqwest::Client::new();
        let login = serde_json::json!({ "email": address(account), "password": PASSWORD });
        let answer = http.post(format!("{web}/v1/session")).json(&login).send().await?.error_for_status()?;
        let session: Session = answer.json().await?;
        Ok(Self { http, web: web.to_owned(), token: session.token.context("a login gives a token")? })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        Ok(self.ask(path, &[]).await?.json().await?)
    }

    /// Asks, reads the whole answer, and does nothing with it.
    pub(crate) async fn read(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<()> {
        self.ask(path, query).await?.bytes().await?;
        Ok(())
    }

    pub(crate) async fn ask(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<reqwest::Response> {
        let request = self.http.get(format!("{}{path}", self.web)).query(query).bearer_auth(&self.token);
        Ok(request.send().await?.error_for_status()?)
    }

    pub(crate) async fn inbox(&self) -> anyhow::Result<Folder> {
        let folders: Folders = self.get("/v1/folders").await?;
        folders.folders.into_iter().find(|folder| folder.role == Some(Role::Inbox)).context("no inbox")
    }
}
