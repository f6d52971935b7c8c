//! How fast mail is accepted and lands: accepted is the 250 after the content, landed is seen over REST.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    Options,
    client::Client,
    load, peer,
    process::{self, Syncs},
    server::{ACCOUNTS, Server},
    stats::round,
};

/// How often, and how long, to look for what is still on its way.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Value> {
    let server = Server::start(&options.binary, ACCOUNTS, |_| Ok(()))?;
    let mut clients = Vec::with_capacity(ACCOUNTS);
    for account in 0..ACCOUNTS {
        clients.push(Client::login(&server.web, account).await?);
    }
    // The first mails pay for what is set up once.
    run(&server, &clients, 10, 200, 2048).await?;
    let mut rows = Vec::new();
    for &size in &options.sizes {
        for &connections in &options.connections {
            rows.push(run(&server, &clients, connections, count(options, connections, size), size).await?);
            eprintln!("{}", rows.last().unwrap_or(&Value::Null));
        }
    }
    drop((clients, server));
    let peer = if options.peer { Some(peer::measure(options, count)?) } else { None };
    Ok(json!({ "magpie": rows, "peer": peer }))
}

/// As many mails as take some seconds.
fn count(options: &Options, connections: usize, size: usize) -> usize {
    let most = if options.count > 0 { options.count } else { 4000 };
    let by_size = match size {
        0..=10_000 => most,
        10_001..=100_000 => most / 2,
        _ => most / 10,
    };
    if connections == 1 { by_size.div_ceil(2) } else { by_size }
}

async fn run(
    server: &Server,
    clients: &[Client],
    connections: usize,
    count: usize,
    size: usize,
) -> anyhow::Result<Value> {
    let mut wanted = Vec::with_capacity(clients.len());
    for (index, client) in clients.iter().enumerate() {
        let arriving = (index..count).step_by(ACCOUNTS).count();
        wanted.push(client.inbox().await?.total + u64::try_from(arriving)?);
    }
    let cpu = process::cpu_seconds(server.pid())?;
    let begin = Instant::now();
    let sent = tokio::task::block_in_place(|| load::send(&server.smtp, connections, count, size));
    let landed = landed(clients, &wanted, begin).await?;
    let cpu = process::cpu_seconds(server.pid())? - cpu;
    let accepted = sent.times.count();
    let mails = as_f64(accepted)?;
    if let Some(error) = sent.errors.first() {
        anyhow::bail!("{} senders failed; the first: {error}", sent.errors.len());
    }
    Ok(json!({
        "connections": connections,
        "size_bytes": size,
        "mails": accepted,
        "accepted_per_s": round(mails / sent.elapsed.as_secs_f64()),
        "landed_per_s": round(mails / landed.as_secs_f64()),
        "accept": sent.times.figures(),
        "cpu_ms_per_mail": round(cpu * 1e3 / mails),
        "syncs_per_mail": syncs(server, connections, size)?,
    }))
}

/// The time until every account shows what was sent to it.
pub(crate) async fn landed(clients: &[Client], wanted: &[u64], begin: Instant) -> anyhow::Result<Duration> {
    for (client, wanted) in clients.iter().zip(wanted) {
        while client.inbox().await?.total < *wanted {
            anyhow::ensure!(begin.elapsed() < PATIENCE, "mail is missing after {PATIENCE:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    Ok(begin.elapsed())
}

/// Waits for the disk per mail, in a run of its own, since counting them slows everything.
fn syncs(server: &Server, connections: usize, size: usize) -> anyhow::Result<Option<f64>> {
    let mails = (connections * 20).clamp(50, 500);
    let Some(syncs) = Syncs::count(server.pid()) else { return Ok(None) };
    let sent = tokio::task::block_in_place(|| load::send(&server.smtp, connections, mails, size));
    let count = syncs.finish()?;
    let sent = as_f64(sent.times.count())?;
    Ok(Some(round(as_f64(usize::try_from(count)?)? / sent)))
}

pub(crate) fn as_f64(count: usize) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(count).context("fewer than four billion mails")?))
}
