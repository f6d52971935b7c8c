//! The service over PostgreSQL: how fast mail lands and pages are read with more and more shards, and how many
//! statements each of them takes. Directory and shards are servers of their own, with Redis and an S3 server beside.
//!
//! All of it shares this machine: the figures compare numbers of shards and of statements, not machines.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use testkit::{postgres::PostgresCluster, redis::Redis, s3, s3::S3Server};
use types::api::Page;

use crate::{
    Options,
    client::Client,
    load, process,
    server::{ACCOUNTS, Server},
    smtp::{as_f64, landed},
    stats::round,
};

const DATABASE: &str = "magpie";
const BUCKET: &str = "magpie";
const SIZE: usize = 2048;
const CONNECTIONS: usize = 50;
const MAILS: usize = 4_000;
/// Requests at the same time, and in all.
const READERS: usize = 16;
const READS: usize = 4_000;
/// Requests whose statements are counted, one after another.
const COUNTED: usize = 200;

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Value> {
    let mut rows = Vec::new();
    for &shards in &options.shards {
        rows.push(service(options, shards).await?);
        eprintln!("{}", rows.last().unwrap_or(&Value::Null));
    }
    Ok(Value::Array(rows))
}

/// What the nodes share.
struct Plane {
    directory: PostgresCluster,
    shards: Vec<PostgresCluster>,
    redis: Redis,
    s3: S3Server,
}

impl Plane {
    async fn start(shards: usize) -> anyhow::Result<Self> {
        let directory = database().await?;
        let shards = stream::iter(0..shards).then(|_| database()).try_collect().await?;
        Ok(Self { directory, shards, redis: Redis::start().await?, s3: S3Server::start(BUCKET).await? })
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let shards: Vec<_> = self.shards.iter().map(|shard| shard.url(DATABASE)).collect();
        let [key, ..] = s3::ACCESS_KEYS;
        vec![
            ("MAGPIE_DIRECTORY__URL", self.directory.url(DATABASE)),
            ("MAGPIE_SHARDS__URLS", json!(shards).to_string()),
            ("MAGPIE_CACHE__URL", self.redis.url()),
            ("MAGPIE_BUS__URL", self.redis.url()),
            ("MAGPIE_BLOBS__URL", self.s3.url(BUCKET)),
            ("AWS_ACCESS_KEY_ID", key.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY.to_owned()),
            // One node: the index may be its own.
            ("MAGPIE_NODE__ALONE", "true".to_owned()),
        ]
    }

    /// Statements that the databases were given so far, `BEGIN` and `COMMIT` among them: each is a round trip.
    async fn statements(&self) -> anyhow::Result<f64> {
        let mut all = 0.0;
        for database in std::iter::once(&self.directory).chain(&self.shards) {
            let calls = database.query(DATABASE, "SELECT sum(calls) FROM pg_stat_statements").await?;
            all += calls.parse::<f64>().context(calls)?;
        }
        Ok(all)
    }
}

/// A server that counts its statements.
async fn database() -> anyhow::Result<PostgresCluster> {
    let cluster = PostgresCluster::start_with(&["shared_preload_libraries=pg_stat_statements"]).await?;
    cluster.create_database(DATABASE).await?;
    cluster.query(DATABASE, "CREATE EXTENSION pg_stat_statements").await?;
    Ok(cluster)
}

async fn service(options: &Options, shards: usize) -> anyhow::Result<Value> {
    let plane = Plane::start(shards).await?;
    let server = Server::start_with(&options.binary, ACCOUNTS, plane.settings(), |_| Ok(()))?;
    let mut clients = Vec::with_capacity(ACCOUNTS);
    for account in 0..ACCOUNTS {
        clients.push(Client::login(&server.web, account).await?);
    }
    // The first mails pay for what is set up once.
    mail_in(&plane, &server, &clients, 500).await?;
    let smtp = mail_in(&plane, &server, &clients, MAILS).await?;
    let mut lists = Vec::with_capacity(ACCOUNTS);
    let mut mails = Vec::with_capacity(ACCOUNTS);
    for client in &clients {
        let list = format!("/v1/folders/{}/messages", client.inbox().await?.id);
        let page: Page = client.get(&list).await?;
        mails.push(format!("/v1/messages/{}", page.messages.first().context("mail")?.id));
        lists.push(list);
    }
    let list = reads(&plane, &server, &clients, &lists).await?;
    let open = reads(&plane, &server, &clients, &mails).await?;
    Ok(json!({ "shards": shards, "smtp": smtp, "list_50": list, "open": open }))
}

async fn mail_in(plane: &Plane, server: &Server, clients: &[Client], count: usize) -> anyhow::Result<Value> {
    let mut wanted = Vec::with_capacity(clients.len());
    for (index, client) in clients.iter().enumerate() {
        let arriving = (index..count).step_by(ACCOUNTS).count();
        wanted.push(client.inbox().await?.total + u64::try_from(arriving)?);
    }
    let (cpu, statements) = (process::cpu_seconds(server.pid())?, plane.statements().await?);
    let begin = Instant::now();
    let sent = tokio::task::block_in_place(|| load::send(&server.smtp, CONNECTIONS, count, SIZE));
    let statements = plane.statements().await? - statements;
    let landed = landed(clients, &wanted, begin).await?;
    let cpu = process::cpu_seconds(server.pid())? - cpu;
    if let Some(error) = sent.errors.first() {
        anyhow::bail!("{} senders failed; the first: {error}", sent.errors.len());
    }
    let mails = as_f64(sent.times.count())?;
    Ok(json!({
        "connections": CONNECTIONS,
        "size_bytes": SIZE,
        "accepted_per_s": round(mails / sent.elapsed.as_secs_f64()),
        "landed_per_s": round(mails / landed.as_secs_f64()),
        "accept": sent.times.figures(),
        "cpu_ms_per_mail": round(cpu * 1e3 / mails),
        "statements_per_mail": round(statements / mails),
    }))
}

/// Each account's path in turn, from many readers at once; then, one after another, counting statements.
async fn reads(
    plane: &Plane,
    server: &Server,
    clients: &[Client],
    paths: &[String],
) -> anyhow::Result<Value> {
    let next = AtomicUsize::new(0);
    let read = || async {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let (client, path) = clients.iter().zip(paths).nth(number % clients.len()).context("an account")?;
        let begin = Instant::now();
        client.read(path, &[]).await?;
        anyhow::Ok(begin.elapsed())
    };
    let (cpu, begin) = (process::cpu_seconds(server.pid())?, Instant::now());
    let times: Vec<Duration> =
        stream::iter(0..READS).map(|_| read()).buffer_unordered(READERS).try_collect().await?;
    let elapsed = begin.elapsed().as_secs_f64();
    let cpu = process::cpu_seconds(server.pid())? - cpu;
    let statements = plane.statements().await?;
    for _ in 0..COUNTED {
        read().await?;
    }
    let statements = plane.statements().await? - statements;
    let mut figures = crate::stats::Times::default();
    times.iter().for_each(|time| figures.push(*time));
    let (reads, counted) = (as_f64(READS)?, as_f64(COUNTED)?);
    Ok(json!({
        "readers": READERS,
        "per_s": round(reads / elapsed),
        "times": figures.figures(),
        "cpu_ms": round(cpu * 1e3 / reads),
        "statements": round(statements / counted),
    }))
}
