//! Waiting for MeiliSearch to do what it said it would.

use std::time::Duration;

use meilisearch_sdk::{client::Client, task_info::TaskInfo, tasks::Task};
use storage::{Error, Result};
use tokio::time::{Instant, sleep};

use super::error::{REQUEST, refused, within};

/// How long a task may take, with those that are before it.
const LIMIT: Duration = Duration::from_secs(600);
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Waits until the task has succeeded. One that failed is not tried again here: whoever asked for it asks again.
pub(super) async fn done(client: &Client, task: &TaskInfo) -> Result<()> {
    let until = Instant::now() + LIMIT;
    let mut pause = FIRST_PAUSE;
    loop {
        match within(REQUEST, client.get_task(task)).await? {
            Task::Succeeded { .. } => return Ok(()),
            Task::Failed { content } => return Err(refused(&content.error)),
            Task::Enqueued { .. } | Task::Processing { .. } if Instant::now() >= until => {
                let late = format!("MeiliSearch has not done task {} in {LIMIT:?}", task.get_task_uid());
                return Err(Error::Unavailable(late.into()));
            }
            Task::Enqueued { .. } | Task::Processing { .. } => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
