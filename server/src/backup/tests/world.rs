//! A service with a folder of backups.

use std::path::PathBuf;

use storage::{DkimKey, DomainLimits, KeyPhase, NewAccount, NewAppPassword};
use tempfile::TempDir;
use types::{AccountId, DkimAlgorithm, EmailAddress, Secret};

use super::{
    history::{Act, Step, bytes},
    plane::{Ground, Plane, Seen, seen},
};
use crate::backup::{Ran, RunName, Watch, run};

pub(super) struct World<'a> {
    pub(super) ground: &'a Ground,
    pub(super) plane: Plane,
    folder: TempDir,
    pub(super) accounts: Vec<AccountId>,
    /// What each run should bring back.
    pub(super) runs: Vec<(RunName, Seen)>,
    chance: u64,
}

impl<'a> World<'a> {
    pub(super) async fn new(ground: &'a Ground) -> Self {
        let plane = ground.plane().await;
        let now = plane.ports.clock.now();
        let domain = plane.ports.directory.add_domain("demo.test", now).await.unwrap().id;
        let limits = DomainLimits { max_bytes: Some(1 << 40), max_accounts: Some(10_000) };
        plane.ports.directory.set_domain_limits("demo.test", limits).await.unwrap();
        plane.ports.directory.set_message_limit("demo.test", Some(9_999_999)).await.unwrap();
        let key = |selector: &str, phase| DkimKey {
            domain,
            selector: selector.to_owned(),
            algorithm: DkimAlgorithm::Ed25519,
            private_key: Secret::new(selector.repeat(2)),
            public_key: vec![0, 255],
            phase,
            created_at: now,
            since: now,
        };
        let keys = [key("new", KeyPhase::Waiting), key("old", KeyPhase::Retired)];
        plane.ports.directory.add_dkim_keys(&keys).await.unwrap();
        for seed in 0..6 {
            for shard in plane.ports.shards.all() {
                plane.ports.blobs.put(shard, bytes(seed)).await.unwrap();
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self { ground, plane, folder, accounts: Vec::new(), runs: Vec::new(), chance: 0 };
        world.apply(&Step::Account).await;
        world
    }

    pub(super) fn backups(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    pub(super) async fn run(&mut self, full: bool) -> Ran {
        let ports = &self.plane.ports;
        let seen = seen(ports).await;
        let ran = run(ports, &self.backups(), full, &Watch::nobody()).await.unwrap();
        assert_eq!(ran.faults, [""; 0]);
        self.runs.push((ran.run.clone(), seen));
        ran
    }

    pub(super) async fn apply(&mut self, step: &Step) {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let chance = self.chance >> 33;
        let directory = &self.plane.ports.directory;
        let now = self.plane.ports.clock.now();
        match step {
            Step::Run { full } => {
                self.run(*full).await;
                return;
            }
            Step::Account => {
                let new = NewAccount {
                    email: format!("Person{chance}@demo.test").parse().unwrap(),
                    name: "누구".into(),
                    password_hash: Secret::new("hash".into()),
                    own_quota_bytes: Some(chance),
                    created_at: now,
                };
                let account = directory.add_account(new).await.unwrap().unwrap().id;
                self.accounts.push(account);
                let (name, keys) = (format!("앱 {chance}"), Some(Secret::new("keys".into())));
                let password_hash = Secret::new("hash".into());
                let new =
                    NewAppPassword { account, password_hash, name, digest: [7; 32], keys, created_at: now };
                directory.add_app_password(new, 9).await.unwrap();
            }
            _ => {}
        }
        let account = match step {
            Step::Account => self.accounts.last().copied(),
            _ => self.accounts.get(usize::try_from(chance).unwrap() % self.accounts.len().max(1)).copied(),
        };
        let Some(account) = account else { return };
        match step {
            Step::Alias => {
                let alias: EmailAddress = format!("alias{chance}@demo.test").parse().unwrap();
                directory.add_alias(account, &alias).await.unwrap();
            }
            Step::Remove => {
                directory.remove_account(account).await.unwrap();
                self.accounts.retain(|other| *other != account);
            }
            _ => {}
        }
        self.plane.write(account, Act { account, step: step.clone(), chance, now }).await;
    }
}

/// A service with some mail that is backed up in two runs.
pub(super) async fn backed_up(ground: &Ground) -> World<'_> {
    let mut world = World::new(ground).await;
    for blob in [None, Some(1), Some(2)] {
        world.apply(&Step::Mail { blob, queued: blob == Some(2) }).await;
    }
    assert!(world.run(false).await.full);
    world.apply(&Step::Mail { blob: Some(3), queued: false }).await;
    assert!(!world.run(false).await.full);
    world
}
