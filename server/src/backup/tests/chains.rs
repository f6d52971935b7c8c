//! Random histories, backed up while they go on: each run brings back what there was then.

use proptest::{
    collection::vec,
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use storage::NewAccount;
use types::{AccountId, Secret};

use super::{
    history::{Act, Step, step},
    plane::{Ground, rows, seen},
    restore_account, verified,
    world::{World, backed_up},
};
use crate::backup::{Target, Watch, everything, find};

/// Random histories on one plane, each run of which is restored on the other.
async fn every_run_comes_back(from: &Ground, to: &Ground, histories: usize) {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..histories {
        let history = vec(step(), 20..70).new_tree(&mut runner).unwrap().current();
        let mut world = World::new(from).await;
        for step in &history {
            world.apply(step).await;
        }
        world.run(false).await;
        let found = verified(&world.backups());
        assert_eq!((found.faults.as_slice(), found.losses.as_slice()), (&[][..], &[][..]), "{history:?}");
        assert_eq!(found.runs, world.runs.len() as u64);
        for (name, expected) in &world.runs {
            let fresh = to.plane().await;
            let at = find(&world.backups(), Some(name.as_str())).unwrap();
            let restored = everything(&fresh.ports, &at, true, &Watch::nobody()).await.unwrap();
            assert_eq!(restored.faults, [""; 0]);
            let seen = seen(&fresh.ports).await;
            assert_eq!(&seen, expected, "{name} of {history:?}");
            let again = everything(&fresh.ports, &at, true, &Watch::nobody()).await.unwrap();
            assert_eq!((again.accounts, again.before), (0, restored.accounts));
        }
    }
}

/// One account where it was, and into a new one beside it.
async fn an_account_comes_back(ground: &Ground) {
    let mut world = backed_up(ground).await;
    let (account, now) = (world.accounts[0], world.plane.ports.clock.now());
    // The bits of `lr`.
    world.plane.write(account, Act { account, step: Step::Share, chance: 3, now }).await;
    world.run(false).await;
    let (ports, grantee) = (&world.plane.ports, AccountId(1 + account.0 % 3));
    let at = find(&world.backups(), None).unwrap();
    let person = ports.directory.account(account).await.unwrap().unwrap();
    let before = rows(ports, account).await;

    let new = NewAccount {
        email: "beside@demo.test".parse().unwrap(),
        name: String::new(),
        password_hash: Secret::new("another".into()),
        own_quota_bytes: None,
        created_at: ports.clock.now(),
    };
    let beside = ports.directory.add_account(new).await.unwrap().unwrap().id;
    let into = Target::Into(beside);
    let restored = restore_account(ports, &at, &person.email, into, true, &Watch::nobody()).await.unwrap();
    assert_eq!((restored.messages, restored.faults.as_slice()), (4, &[][..]));
    assert_eq!(anew(rows(ports, beside).await), anew(before.clone()));
    let grants = async |of: AccountId| {
        let mut shard = ports.shards.latest(ports.shards.shard_of(of)).await.unwrap();
        shard.grants(of, None).await.unwrap().len()
    };
    assert_eq!((grants(account).await, grants(beside).await), (1, 0), "nobody was let into the one beside");
    assert_eq!(rows(ports, account).await, before, "nothing of the other has changed");

    let itself = restore_account(ports, &at, &person.email, Target::Itself, true, &Watch::nobody()).await;
    assert!(itself.unwrap_err().to_string().contains("has 4 messages"));
    ports.directory.remove_account(account).await.unwrap();
    let (step, now) = (Step::Remove, ports.clock.now());
    world.plane.write(account, Act { account, step, chance: 0, now }).await;
    let restored = restore_account(ports, &at, &person.email, Target::Itself, true, &Watch::nobody()).await;
    assert_eq!(restored.unwrap().faults, [""; 0]);
    assert_eq!(rows(ports, account).await, before);
    assert_eq!(ports.directory.sharers(grantee, 9).await.unwrap(), [account]);
    assert_eq!(ports.directory.account(account).await.unwrap().unwrap().email, person.email);
}

/// Rows without what makes mailboxes others than they were.
fn anew(rows: Vec<String>) -> Vec<String> {
    let without = |row: String| {
        let mut row: serde_json::Value = serde_json::from_str(&row).unwrap();
        let inner = row.as_object_mut().unwrap().values_mut().next().unwrap();
        for changed in ["uid_validity", "last_uid_validity", "grants"] {
            inner.as_object_mut().unwrap().remove(changed);
        }
        row.to_string()
    };
    let mut rows: Vec<_> = rows.into_iter().map(without).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn every_run_brings_back_what_there_was() {
    every_run_comes_back(&Ground::Files, &Ground::Files, 6).await;
}

#[tokio::test]
async fn an_account_comes_back_or_gets_another_beside_it() {
    an_account_comes_back(&Ground::Files).await;
}

#[tokio::test]
async fn unchanged_accounts_cost_nothing() {
    nothing_changed(&Ground::Files).await;
}

#[tokio::test]
async fn the_same_on_the_cluster_plane_and_from_one_plane_to_the_other() {
    let engines = Ground::engines().await;
    every_run_comes_back(&engines, &engines, 1).await;
    every_run_comes_back(&engines, &Ground::Files, 1).await;
    every_run_comes_back(&Ground::Files, &engines, 1).await;
    an_account_comes_back(&engines).await;
    nothing_changed(&engines).await;
}

async fn nothing_changed(ground: &Ground) {
    let mut world = backed_up(ground).await;
    // What is queued is in no change log.
    for _ in 0..2 {
        world.apply(&Step::Unqueue).await;
    }
    world.run(false).await;
    let ran = world.run(false).await;
    assert_eq!((ran.full, ran.accounts, ran.changed, ran.messages, ran.blobs), (false, 1, 0, 0, 0));
    assert!(ran.size_bytes < 100, "{ran:?}");
    let ran = world.run(true).await;
    assert_eq!((ran.full, ran.changed, ran.messages, ran.blobs), (true, 1, 4, 0));
}
