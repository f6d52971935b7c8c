//! Searching a full mailbox: how soon it is indexed, and how long a search takes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use types::api::Found;

use crate::{
    Options,
    client::Client,
    http, mail,
    stats::{Times, round},
};

const SEARCHES: usize = 300;
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Value> {
    let mut rows = Vec::new();
    for &messages in &options.messages {
        rows.push(mailbox(options, messages).await?);
        eprintln!("{}", rows.last().unwrap_or(&Value::Null));
    }
    Ok(Value::Array(rows))
}

async fn mailbox(options: &Options, messages: usize) -> anyhow::Result<Value> {
    let server = http::filled(options, messages)?;
    let client = Client::login(&server.web, 0).await?;
    let begin = Instant::now();
    // Every mail carries a word of its own; the index takes them in order.
    for number in [0, messages / 2, messages.saturating_sub(1)] {
        while found(&client, &format!("number{number}")).await? == 0 {
            anyhow::ensure!(begin.elapsed() < PATIENCE, "number{number} is not indexed after {PATIENCE:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    let indexed = begin.elapsed();
    let mut times = Times::default();
    let mut hits = 0;
    for n in 0..SEARCHES {
        let begin = Instant::now();
        hits += found(&client, &mail::query(n, messages)).await?;
        times.push(begin.elapsed());
    }
    Ok(json!({
        "messages": messages,
        "indexed_after_start_s": round(indexed.as_secs_f64()),
        "search": times.figures(),
        "hits_in_all": hits,
    }))
}

async fn found(client: &Client, query: &str) -> anyhow::Result<u64> {
    let found: Found = client.ask("/v1/search", &[("q", query), ("limit", "50")]).await?.json().await?;
    Ok(found.total)
}
