//! Damaged folders: all damage is found, and what it costs is told exactly.

use std::{
    fs,
    path::{Path, PathBuf},
};

use types::EmailAddress;

use super::{
    history::Step,
    plane::{Ground, Seen, rows_with},
    verified,
    world::{World, backed_up},
};
use crate::backup::{Ports, RunName, Verified, Watch, everything, find};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Every byte that matters is covered by a checksum.
#[tokio::test]
async fn damage_is_found_and_named() {
    let world = backed_up(&Ground::Files).await;
    let folder = world.backups();
    let all = files(&folder);
    let kinds = ["directory", "accounts", "rows-0001", "manifest", "blobs"];
    for kind in kinds {
        assert!(all.iter().any(|path| path.to_string_lossy().contains(kind)), "{kind}");
    }
    for path in all {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let whole = fs::read(&path).unwrap();
        if name == "lock" || name == "magpie-backup" {
            continue;
        }
        let step = (whole.len() / 7).max(1);
        for at in (0..whole.len() - 1).step_by(step) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            fs::write(&path, damaged).unwrap();
            let faults = verified(&folder).faults;
            assert!(faults.iter().any(|fault| fault.contains(&name)), "{name} at {at}: {faults:?}");
        }
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(!verified(&folder).faults.is_empty(), "{name} cut");
        fs::remove_file(&path).unwrap();
        // A chain's last manifest is not missed by itself: then there was no such run.
        let missed = verified(&folder);
        assert!(!missed.faults.is_empty() || missed.runs == 1, "{name} gone");
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(verified(&folder).faults, [""; 0]);
    assert_eq!(verified(&folder).losses, []);
}

/// What a run loses, by what `verify` says of it.
fn told(found: &Verified, run: &RunName, with_queue: bool) -> Vec<String> {
    let lost = found.losses.iter().filter(|loss| loss.runs.contains(run) && (with_queue || !loss.queued));
    let mut lost: Vec<_> = lost.map(|loss| format!("{}: {}", loss.who, loss.what)).collect();
    lost.sort();
    lost
}

/// Restores every run, and compares.
async fn restoring_loses_what_is_told(world: &World<'_>, damaged: &str) {
    let found = verified(&world.backups());
    assert!(!found.faults.is_empty(), "{damaged}: nothing is found");
    for (run, whole) in &world.runs {
        let unusable = found.faults.iter().any(|fault| is_about(fault, run, world));
        for with_queue in [true, false] {
            let fresh = world.ground.plane().await;
            let watch = Watch::nobody();
            let restored = match find(&world.backups(), Some(run.as_str())) {
                Ok(at) => everything(&fresh.ports, &at, with_queue, &watch).await,
                Err(error) => Err(error),
            };
            let Ok(mut restored) = restored else {
                assert!(
                    unusable,
                    "{damaged}: {run} cannot be restored, which nobody told: {restored:?} {found:?}"
                );
                continue;
            };
            assert!(!unusable, "{damaged}: {run} can be restored after all: {found:?}");
            restored.faults.sort();
            assert_eq!(restored.faults, told(&found, run, with_queue), "{damaged}: {run}, {with_queue}");
            if with_queue {
                others_have_all(&fresh.ports, whole, &restored.faults).await;
            }
        }
    }
}

/// Whoever is not named has lost nothing, and whoever has lost attachments has all the mail that they were in.
async fn others_have_all(ports: &Ports, whole: &Seen, faults: &[String]) {
    for (email, lines) in whole {
        let Ok(email) = email.parse::<EmailAddress>() else { continue };
        let account = ports.directory.resolve(&email).await.unwrap().unwrap();
        let lost: Vec<_> = faults.iter().filter(|fault| fault.starts_with(&format!("{email}: "))).collect();
        if lost.iter().all(|fault| fault.contains("/blobs/")) {
            let rows = rows_with(ports, account, lost.is_empty()).await;
            assert!(lines.ends_with(&rows), "{email}");
        }
    }
}

/// Whether a fault says that the run cannot be restored.
fn is_about(fault: &str, run: &RunName, world: &World<'_>) -> bool {
    if fault.starts_with(&format!("run {run} cannot be restored")) {
        return true;
    }
    world.runs.iter().any(|(first, _)| {
        first <= run && fault.starts_with(&format!("run {first} and those after it cannot be restored"))
    })
}

/// Three accounts whose mail shares attachments, in three runs.
async fn several() -> World<'static> {
    let mut world = World::new(&Ground::Files).await;
    for _ in 0..2 {
        world.apply(&Step::Account).await;
    }
    for round in 0..3 {
        for seed in 0..12_u8 {
            let blob = (seed % 2 == 0).then_some((seed + round) % 6);
            world.apply(&Step::Mail { blob, queued: seed % 3 == 0 }).await;
        }
        for step in [Step::Expunge, Step::Expunge, Step::Unqueue, Step::Upload(round)] {
            world.apply(&step).await;
        }
        world.run(false).await;
    }
    world
}

/// Changes a byte in the middle of a file, or takes it away; what it was before.
fn damage(path: &Path, gone: bool) -> Vec<u8> {
    let whole = fs::read(path).unwrap();
    if gone {
        fs::remove_file(path).unwrap();
    } else {
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x40;
        fs::write(path, damaged).unwrap();
    }
    whole
}

#[tokio::test]
async fn restoring_loses_exactly_what_verify_says() {
    let world = several().await;
    let is = |path: &Path, part: &str| path.to_string_lossy().contains(part);
    let all: Vec<_> = files(&world.backups()).into_iter().filter(|path| !is(path, ".manifest")).collect();
    let rows: Vec<_> = all.iter().filter(|path| is(path, "rows-")).collect();
    let blobs: Vec<_> = all.iter().filter(|path| is(path, "/blobs/")).collect();
    let lists: Vec<_> = all.iter().filter(|path| is(path, "/accounts") || is(path, "/directory")).collect();
    assert_eq!((rows.len(), blobs.len() > 3, lists.len()), (3, true, 4));
    let mut cases: Vec<Vec<&PathBuf>> = Vec::new();
    cases.extend(rows.iter().map(|path| vec![*path]));
    cases.extend(blobs.iter().map(|path| vec![*path]));
    cases.extend(lists.iter().map(|path| vec![*path]));
    cases.extend(rows.iter().zip(&blobs).map(|(rows, blob)| vec![*rows, *blob]));
    cases.push(rows.iter().chain(&blobs).copied().collect());
    cases.push(vec![rows[1], lists[3], blobs[0]]);
    for (number, case) in cases.iter().enumerate() {
        let gone = number % 3 == 2;
        let whole: Vec<_> = case.iter().map(|path| damage(path, gone)).collect();
        restoring_loses_what_is_told(&world, &format!("{case:?} gone: {gone}")).await;
        for (path, whole) in case.iter().zip(whole) {
            fs::write(path, whole).unwrap();
        }
    }
    let well = verified(&world.backups());
    assert_eq!((well.faults, well.losses), (Vec::new(), Vec::new()));
}
