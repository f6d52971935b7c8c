//! Memory of a server that nobody uses, and of one that many browsers are connected to.

use std::time::Duration;

use anyhow::Context;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    Options,
    client::Client,
    process,
    server::{ACCOUNTS, Server},
};

const SOCKETS: usize = 1000;
/// What a start has borrowed is given back by then.
const SETTLE: Duration = Duration::from_secs(5);

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Value> {
    let server = Server::start(&options.binary, ACCOUNTS, |_| Ok(()))?;
    tokio::time::sleep(SETTLE).await;
    let idle = process::memory_mb(server.pid())?;
    let mut sockets = Vec::with_capacity(SOCKETS);
    for account in 0..ACCOUNTS {
        let client = Client::login(&server.web, account).await?;
        for _ in 0..SOCKETS / ACCOUNTS {
            sockets.push(socket(&server.web, &client.token).await?);
        }
    }
    tokio::time::sleep(SETTLE).await;
    let busy = process::memory_mb(server.pid())?;
    Ok(json!({
        "idle": { "rss_mb": idle.0, "pss_mb": idle.1 },
        "with_sockets": { "sockets": sockets.len(), "rss_mb": busy.0, "pss_mb": busy.1 },
    }))
}

/// A WebSocket that is live.
async fn socket(web: &str, token: &str) -> anyhow::Result<impl Send + use<>> {
    let mut request = format!("{}/v1/events", web.replacen("http", "ws", 1)).into_client_request()?;
    request.headers_mut().insert("authorization", HeaderValue::from_str(&format!("Bearer {token}"))?);
    let (mut socket, _) = connect_async(request).await?;
    socket.send(Message::text(r#"{"type":"hello"}"#)).await?;
    while let Some(message) = socket.next().await {
        if message?.to_text().is_ok_and(|text| text.contains("\"ready\"")) {
            return Ok(socket);
        }
    }
    Err(anyhow::anyhow!("closed before it was ready")).context("WebSocket")
}
