//! Backups of services on both planes.

mod away;
mod chains;
mod damage;
mod history;
mod meanwhile;
mod plane;
mod world;

use std::path::Path;

use types::EmailAddress;

use super::{At, Ports, Restored, Target, Verified, Watch, verify};

fn verified(folder: &Path) -> Verified {
    verify(folder, &Watch::nobody()).unwrap()
}

async fn restore_account(
    ports: &Ports,
    at: &At,
    address: &EmailAddress,
    target: Target,
    with_queue: bool,
    watch: &Watch,
) -> anyhow::Result<Restored> {
    at.one(ports, address).await?.restore(ports, target, with_queue, watch).await
}
