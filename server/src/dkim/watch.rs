//! Watches DNS for keys that wait, and removes those that nobody needs any more.

use std::{sync::Arc, time::Duration};

use filter::Dns;
use storage::Directory;
use tokio_util::sync::CancellationToken;
use types::Clock;

use super::switch_if_published;

const EVERY: Duration = Duration::from_secs(300);
/// So long a retired key stays published: mails are on their way for days, and are looked at again later.
pub(crate) const GRACE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Switches keys whose records can be read, until told to stop. Several nodes may do it at once.
pub(crate) async fn watch(
    directory: Arc<dyn Directory>,
    dns: Dns,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    loop {
        match stop.run_until_cancelled(round(&*directory, &dns, &*clock)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "the domains' keys were not looked after; trying again later")
            }
            None => return,
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

async fn round(directory: &dyn Directory, dns: &Dns, clock: &dyn Clock) -> anyhow::Result<()> {
    for domain in directory.domains().await? {
        let now = clock.now();
        match switch_if_published(directory, dns, &domain, now).await {
            Ok(true) => tracing::info!(domain = domain.name, "mail is signed with the new keys"),
            Ok(false) => {}
            Err(error) => {
                tracing::info!(domain = domain.name, %error, "the keys' records cannot be read now")
            }
        }
        let removed = directory.remove_dkim_keys(domain.id, now.minus(GRACE)).await?;
        if removed > 0 {
            tracing::info!(domain = domain.name, removed, "retired keys removed; their records may go");
        }
    }
    Ok(())
}
