//! What [`Shards`], [`Snapshot`] and [`Transaction`] promise, by topic. Call [`run`] with empty shards.

mod batches;
mod changes;
mod fences;
mod kit;
mod listed;
mod mailboxes;
mod messages;
mod model;
mod programs;
mod queue;
mod replica;
mod uploads;

use std::sync::Arc;

use crate::Shards;
#[cfg(doc)]
use crate::{Snapshot, Transaction};

/// Runs the whole suite. It makes its own accounts, on whatever shards there are.
pub async fn run(shards: Arc<dyn Shards>) {
    for shard in shards.all() {
        shards.ping(shard).await.unwrap();
    }
    mailboxes::run(&shards).await;
    messages::run(&shards).await;
    changes::run(&shards).await;
    programs::run(&shards).await;
    listed::run(&shards).await;
    uploads::run(&shards).await;
    queue::run(&shards).await;
    batches::run(&shards).await;
    model::run(&shards).await;
    replica::run(&shards).await;
    fences::run(&shards).await;
}
