//! What a reader waits for: the list, pages further down, opening a mail. One request after another.

use std::time::Instant;

use anyhow::Context;
use serde_json::{Value, json};
use types::api::Page;

use crate::{
    Options,
    client::Client,
    mail,
    server::{Admin, Server, address},
    stats::Times,
};

const REQUESTS: usize = 500;

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Value> {
    let mut rows = Vec::new();
    for &messages in &options.messages {
        rows.push(mailbox(options, messages).await?);
        eprintln!("{}", rows.last().unwrap_or(&Value::Null));
    }
    Ok(Value::Array(rows))
}

/// A server whose first account has `messages` mails.
pub(crate) fn filled(options: &Options, messages: usize) -> anyhow::Result<Server> {
    Server::start(&options.binary, 1, |admin| import(admin, messages))
}

fn import(admin: &Admin<'_>, messages: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("mail.mbox");
    mail::mbox(&path, messages)?;
    let path = path.to_str().context("a path in UTF-8")?;
    admin.run(&["import", &address(0), "--format", "mbox", path], "")
}

async fn mailbox(options: &Options, messages: usize) -> anyhow::Result<Value> {
    let server = filled(options, messages)?;
    let client = Client::login(&server.web, 0).await?;
    let list = format!("/v1/folders/{}/messages", client.inbox().await?.id);
    let mut first = Times::default();
    for _ in 0..REQUESTS {
        first.push(timed(&client, &list, &[("limit", "50")]).await?);
    }
    let (mut further, mut unread, mut open) = (Times::default(), Times::default(), Times::default());
    let mut cursor: Option<String> = None;
    let mut ids = Vec::new();
    // To the very end of the folder where it is small, and far down where it is large.
    for _ in 0..REQUESTS {
        let mut query = vec![("limit", "200")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let begin = Instant::now();
        let page: Page = client.ask(&list, &query).await?.json().await?;
        further.push(begin.elapsed());
        ids.extend(page.messages.iter().step_by(50).map(|message| message.id));
        cursor = page.next;
    }
    for _ in 0..REQUESTS {
        unread.push(timed(&client, &list, &[("limit", "50"), ("unread", "true")]).await?);
    }
    for id in ids.iter().cycle().take(REQUESTS) {
        open.push(timed(&client, &format!("/v1/messages/{id}"), &[]).await?);
    }
    Ok(json!({
        "messages": messages,
        "list_50": first.figures(),
        "list_200_further_down": further.figures(),
        "list_50_unread": unread.figures(),
        "open": open.figures(),
    }))
}

async fn timed(client: &Client, path: &str, query: &[(&str, &str)]) -> anyhow::Result<std::time::Duration> {
    let begin = Instant::now();
    client.read(path, query).await?;
    Ok(begin.elapsed())
}
