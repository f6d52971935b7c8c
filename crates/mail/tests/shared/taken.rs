//! Rights that are taken away while something is on its way, and copies whose end nobody waits for.

use std::sync::Arc;

use cluster::LocalCache;
use mail::{Access, Change, Denied, Error, NewLetter, Target};
use testkit::{House, Meddled, fixtures};
use types::{Flags, MailboxId, Role, Uid};

use super::gate::{Gate, Gated};
use super::{ALICE, Shared, count, of_role};

const EVERYTHING: &str = "lrswipkxtea";
/// More than two pieces of what is carried between accounts.
const MANY: usize = 250;
const PIECE: usize = 100;

/// A house whose writes can be held up, and the owner as they are let in on another node, whose writes cannot.
struct Scene {
    shared: Shared,
    gate: Arc<Gate>,
    elsewhere: Access,
    /// The grantee's own.
    own: MailboxId,
}

impl Scene {
    async fn open() -> Self {
        let gate = Gate::new();
        let before = Arc::clone(&gate);
        let house = House::open_on(|inner| Arc::new(Meddled(Gated { inner, gate: before }))).await.unwrap();
        let node = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
        let shared = Shared::open(house).await;
        let elsewhere = node.admin().open(shared.owner.email()).await.unwrap();
        let own = of_role(&shared.grantee, Role::Archive).await;
        Self { shared, gate, elsewhere, own }
    }

    async fn take_away(&self) {
        let grantee = self.shared.grantee.email().to_string();
        self.elsewhere.unshare_folder(self.shared.inbox, &grantee).await.unwrap();
    }

    /// How many there are where they are shared, and with the grantee.
    async fn counts(&self) -> (usize, usize) {
        let Shared { owner, grantee, inbox, .. } = &self.shared;
        (count(owner, *inbox).await, count(grantee, self.own).await)
    }

    fn close(&self, whose: &Access, after: u32) {
        let shard = self.shared.house.mail.shards().shard_of(whose.id());
        self.gate.close(shard, after);
    }
}

fn letters(count: usize) -> Vec<NewLetter> {
    let letter = |number: usize| NewLetter {
        raw: fixtures::mail("x@y.test", ALICE, &format!("m{number}"), "text").into(),
        flags: Flags::DELETED,
        keywords: Vec::new(),
        received_at: None,
    };
    (0..count).map(letter).collect()
}

async fn add(access: &Access, mailbox: MailboxId, count: usize) -> Vec<Target> {
    access.append(mailbox, letters(count)).await.unwrap().unwrap().1
}

fn is_refused<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::NotFound(_) | Error::Forbidden(_)))
}

/// Every write waits at the gate with its rights in its hand, which are taken away there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_its_turn_is_not_written() {
    let scene = Scene::open().await;
    let Shared { owner, inbox, grantee, .. } = &scene.shared;
    let archive = of_role(owner, Role::Archive).await;
    let targets = add(owner, *inbox, 3).await;
    let email = grantee.email().to_string();
    owner.share_folder(archive, &email, EVERYTHING).await.unwrap();
    let seen = Change::Add { flags: Flags::SEEN, keywords: vec!["word".into()] };
    for what in
        ["append", "store", "expunge", "remove", "copy", "move", "sign", "subscribe", "create", "delete"]
    {
        scene.shared.share(EVERYTHING).await;
        let reach = scene.shared.reach().await.unwrap();
        let to = grantee.reach(owner.id(), archive).await.unwrap().unwrap();
        let name = format!("Other Users/{ALICE}/INBOX");
        let before = owner.roll(*inbox).await.unwrap().unwrap();
        scene.close(owner, 0);
        let doing = async {
            match what {
                "append" => is_refused(&reach.append(letters(1)).await),
                "store" => is_refused(&reach.store(&targets, &seen, None).await),
                "expunge" => is_refused(&reach.expunge(&targets).await),
                "remove" => is_refused(&reach.remove(&targets).await),
                "copy" => is_refused(&reach.copy(&targets, &to).await),
                "move" => is_refused(&reach.move_all(&targets, &to).await),
                "sign" => is_refused(&reach.sign(vec![(targets[0].id, vec![0])]).await),
                "subscribe" => !grantee.subscribe_named(&name, true).await.unwrap(),
                "create" => {
                    let made = grantee.create_named(&format!("{name}/New")).await.unwrap();
                    made.map(drop) == Err(Denied::NonExistent)
                }
                _ => grantee.delete_named(&name).await.unwrap() == Err(Denied::NonExistent),
            }
        };
        let taking = async {
            scene.gate.reached().await;
            scene.take_away().await;
            scene.gate.open();
        };
        let (refused, ()) = tokio::join!(doing, taking);
        assert!(refused, "{what} was done without a right");
        assert_eq!(owner.roll(*inbox).await.unwrap().unwrap().messages, before.messages, "{what}");
        assert_eq!(count(owner, archive).await, 0, "{what}");
        assert!(owner.named().await.unwrap().iter().all(|named| named.name != "INBOX/New"), "{what}");
    }
}

/// What is copied from there ends between two pieces, and what is there of it goes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_ends_when_its_rights_do() {
    for outwards in [true, false] {
        let scene = Scene::open().await;
        let Shared { owner, inbox, grantee, .. } = &scene.shared;
        scene.shared.share(EVERYTHING).await;
        let (shared, mine) = (
            scene.shared.reach().await.unwrap(),
            grantee.reach(grantee.id(), scene.own).await.unwrap().unwrap(),
        );
        let (targets, from, to, whose) = match outwards {
            true => (add(owner, *inbox, MANY).await, shared, mine, grantee),
            false => (add(grantee, scene.own, MANY).await, mine, shared, owner),
        };
        let before = scene.counts().await;
        scene.close(whose, 1);
        let taking = async {
            scene.gate.reached().await;
            let there = if outwards { scene.counts().await.1 } else { scene.counts().await.0 };
            assert_eq!(there, PIECE, "one piece is there");
            scene.take_away().await;
            scene.gate.open();
        };
        let (copied, ()) = tokio::join!(from.copy(&targets, &to), taking);
        assert!(is_refused(&copied), "{outwards}: {copied:?}");
        assert_eq!(scene.counts().await, before, "{outwards}: it is undone");
    }
}

/// What was moved has been moved; the rest is where it was, and nothing is in two places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_ends_when_its_rights_do() {
    let scene = Scene::open().await;
    let Shared { owner, inbox, grantee, .. } = &scene.shared;
    scene.shared.share(EVERYTHING).await;
    let targets = add(owner, *inbox, MANY).await;
    let from = scene.shared.reach().await.unwrap();
    let to = grantee.reach(grantee.id(), scene.own).await.unwrap().unwrap();
    // The second time that something is removed there.
    scene.close(owner, 1);
    let taking = async {
        scene.gate.reached().await;
        scene.take_away().await;
        scene.gate.open();
    };
    let (moved, ()) = tokio::join!(from.move_all(&targets, &to), taking);
    assert!(is_refused(&moved), "{moved:?}");
    assert_eq!(scene.counts().await, (MANY - PIECE, PIECE));
}

/// Nobody waits for it any more: it ends with the piece that is on its way, and then is whole or undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_without_its_client_is_whole_or_undone() {
    for (piece, wanted) in [(0, 0), (1, 0), (2, MANY)] {
        let scene = Scene::open().await;
        let Shared { house, owner, inbox, grantee } = &scene.shared;
        scene.shared.share("lr").await;
        let targets = add(owner, *inbox, MANY).await;
        let from = scene.shared.reach().await.unwrap();
        let to = grantee.reach(grantee.id(), scene.own).await.unwrap().unwrap();
        scene.close(grantee, piece);
        tokio::select! {
            copied = from.copy(&targets, &to) => panic!("it was held up: {copied:?}"),
            () = scene.gate.reached() => {}
        }
        scene.gate.open();
        house.mail.finish_writes().await;
        assert_eq!(scene.counts().await, (MANY, wanted), "held up at piece {piece}");
    }
}

/// A message that its owner puts elsewhere meanwhile is none of theirs to remove.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_any_more_is_left_alone() {
    let scene = Scene::open().await;
    let Shared { owner, inbox, .. } = &scene.shared;
    scene.shared.share(EVERYTHING).await;
    let targets = add(owner, *inbox, 2).await;
    let reach = scene.shared.reach().await.unwrap();
    let archive = of_role(owner, Role::Archive).await;
    scene.close(owner, 0);
    let elsewhere = async {
        scene.gate.reached().await;
        scene.elsewhere.move_all(*inbox, &targets[..1], archive).await.unwrap();
        scene.gate.open();
    };
    let (removed, ()) = tokio::join!(reach.remove(&targets), elsewhere);
    removed.unwrap();
    assert_eq!((count(owner, *inbox).await, count(owner, archive).await), (0, 1));
    assert_eq!(targets[0].uid, Uid(1));
}

/// One's own are copied piece by piece, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_copied_in_pieces_all_or_none() {
    let scene = Scene::open().await;
    let Shared { house, owner, inbox, .. } = &scene.shared;
    let archive = of_role(owner, Role::Archive).await;
    let few = add(owner, *inbox, 600).await;
    let from = owner.reach(owner.id(), *inbox).await.unwrap().unwrap();
    let to = owner.reach(owner.id(), archive).await.unwrap().unwrap();
    for _ in 0..3 {
        from.copy(&few, &from).await.unwrap().unwrap();
    }
    let roll = owner.roll(*inbox).await.unwrap().unwrap();
    let all: Vec<_> =
        roll.messages.iter().map(|message| Target { id: message.id, uid: message.uid }).collect();
    // The second of three pieces, and the last.
    for (piece, wanted) in [(1, 0), (2, all.len())] {
        scene.close(owner, piece);
        tokio::select! {
            copied = from.copy(&all, &to) => panic!("it was held up: {copied:?}"),
            () = scene.gate.reached() => {}
        }
        // Others write meanwhile.
        add(&scene.elsewhere, *inbox, 1).await;
        scene.gate.open();
        house.mail.finish_writes().await;
        assert_eq!(count(owner, archive).await, wanted, "held up at piece {piece}");
    }
    let copied = from.copy(&all, &to).await.unwrap().unwrap();
    assert_eq!(copied.pairs.len(), all.len());
    assert!(copied.pairs.is_sorted());
    assert_eq!(count(owner, archive).await, all.len() * 2);
}
