//! Work that one of all nodes does at a time. Who does it keeps the turn as long as it takes; who dies loses it soon.

use std::time::Duration;

use tokio::time::sleep;

use crate::{Result, Service};

/// The turn at some work.
pub struct Turn {
    service: Service,
    name: &'static str,
    holder: String,
    lease: Duration,
}

/// In the time of a lease: two renewals may fail.
const RENEWALS: u32 = 3;

impl Service {
    /// Takes the turn, unless another node has it. Not renewed, it ends after the lease. The holder's name is this
    /// node's alone.
    pub async fn turn(&self, name: &'static str, holder: &str, lease: Duration) -> Result<Option<Turn>> {
        let turn = Turn { service: self.clone(), name, holder: holder.to_owned(), lease };
        Ok(turn.take(lease).await?.then_some(turn))
    }
}

impl Turn {
    /// Works, and holds the turn meanwhile. `None` if it was lost all the same, since the directory was away for long:
    /// the work is broken off then, for another may be at it.
    pub async fn keep<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let lost = async {
            let wait = self.lease / RENEWALS;
            let mut ends_at = self.service.now().plus(self.lease);
            loop {
                sleep(wait).await;
                match self.take(self.lease).await {
                    Ok(true) => ends_at = self.service.now().plus(self.lease),
                    Ok(false) => break,
                    Err(error) => {
                        tracing::info!(work = self.name, %error, "the turn is not renewed");
                        // The next renewal would come too late.
                        if self.service.now().plus(wait) >= ends_at {
                            break;
                        }
                    }
                }
            }
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = lost => {
                tracing::warn!(work = self.name, "the turn was lost, and the work is broken off");
                None
            }
        }
    }

    /// Lets others have it, but not before this has passed.
    pub async fn pass_on(self, rest: Duration) {
        if let Err(error) = self.take(rest).await {
            tracing::info!(work = self.name, %error, "the turn ends by itself");
        }
    }

    async fn take(&self, time: Duration) -> Result<bool> {
        let now = self.service.now();
        Ok(self.service.parts.directory.take_turn(self.name, &self.holder, now, now.plus(time)).await?)
    }
}
