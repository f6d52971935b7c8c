//! Whoever watches what others share asks those who changed something, and nobody else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster::LocalCache;
use mail::{Access, NewLetter, Sharers};
use testkit::{House, Observer, Seen, house::PASSWORD};
use types::{AccountId, EmailAddress, Flags, MailboxId, Role, Secret};

use super::of_role;

/// Owners who share something with bob.
const OWNERS: usize = 12;
const MINUTE: Duration = Duration::from_secs(60);

/// A house, owners who share their inboxes with bob, and what is asked there.
struct Street {
    house: House,
    observer: Arc<Observer>,
    owners: Vec<Access>,
    bob: Access,
}

impl Street {
    async fn open() -> Self {
        let observer = Arc::new(Observer::default());
        let house = House::open_on(|shards| observer.before(shards)).await.unwrap();
        let bob = house.access("bob@demo.test").await.unwrap();
        let mut street = Self { house, observer, owners: Vec::new(), bob };
        for number in 0..OWNERS {
            let owner = street.add(number).await;
            share(&owner).await;
            street.owners.push(owner);
        }
        street
    }

    async fn add(&self, number: usize) -> Access {
        let email: EmailAddress = format!("owner{number}@demo.test").parse().unwrap();
        let password = Secret::new(PASSWORD.to_owned());
        self.house.mail.admin().add_account(&email, "Owner", password, None).await.unwrap();
        self.house.access(&email.to_string()).await.unwrap()
    }

    fn ids(&self) -> Vec<AccountId> {
        self.owners.iter().map(Access::id).collect()
    }

    /// Who has answered, and what that took.
    async fn ask(&self, sharers: &mut Sharers) -> (Vec<AccountId>, Seen) {
        self.observer.take();
        let asked = self.bob.ask_sharers(sharers).await.unwrap();
        (asked, self.observer.take())
    }
}

async fn share(owner: &Access) {
    let inbox = of_role(owner, Role::Inbox).await;
    owner.share_folder(inbox, "bob@demo.test", "lr").await.unwrap();
}

async fn receive(owner: &Access, mailbox: MailboxId) {
    let raw = b"Subject: x\r\n\r\ny".to_vec().into();
    let letter = NewLetter { raw, flags: Flags::NONE, keywords: Vec::new(), received_at: None };
    owner.append(mailbox, vec![letter]).await.unwrap().unwrap();
}

/// How many messages are in what this owner shares, as it is known.
fn known(sharers: &Sharers, owner: &Access) -> Vec<u64> {
    let theirs = sharers.named().filter(|named| named.mailbox.account == owner.id());
    theirs.map(|named| named.mailbox.total).collect()
}

#[tokio::test]
async fn who_changed_nothing_is_not_asked() {
    let street = Street::open().await;
    let mut sharers = Sharers::default();
    let (asked, all) = street.ask(&mut sharers).await;
    assert_eq!(asked, street.ids());
    assert_eq!(sharers.named().count(), OWNERS);
    assert_eq!(street.ask(&mut sharers).await, (vec![], Seen::default()), "nothing has happened");

    // One gets mail.
    let one = &street.owners[3];
    receive(one, of_role(one, Role::Inbox).await).await;
    sharers.next().await;
    let (asked, seen) = street.ask(&mut sharers).await;
    assert_eq!((asked, &seen.accounts), (vec![one.id()], &BTreeSet::from([one.id()])));
    assert!(seen.calls > 0 && seen.calls * OWNERS <= all.calls, "{seen:?} of {all:?}");
    assert_eq!((known(&sharers, one), known(&sharers, &street.owners[4])), (vec![1], vec![0]));

    // Two others do, and one more in a mailbox that is not shared.
    for number in [5, 7] {
        receive(&street.owners[number], of_role(&street.owners[number], Role::Inbox).await).await;
    }
    receive(&street.owners[9], of_role(&street.owners[9], Role::Archive).await).await;
    assert!(sharers.heard() && !sharers.heard());
    let (asked, ..) = street.ask(&mut sharers).await;
    assert_eq!(asked, [5, 7, 9].map(|number| street.owners[number].id()));
    assert_eq!(known(&sharers, &street.owners[9]), [0]);
    assert_eq!(street.ask(&mut sharers).await.1, Seen::default());

    // What could not be used is asked for again.
    sharers.ask_again(&[one.id()]);
    assert!(!sharers.heard());
    assert_eq!(street.ask(&mut sharers).await.0, [one.id()]);
}

#[tokio::test]
async fn all_are_asked_once_a_minute() {
    let street = Street::open().await;
    let mut sharers = Sharers::default();
    street.ask(&mut sharers).await;

    // What another node writes is not heard here.
    let node = street.house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    let there = node.admin().open(street.owners[0].email()).await.unwrap();
    receive(&there, of_role(&there, Role::Inbox).await).await;
    // Somebody begins to share, and somebody is disabled.
    let new = street.add(OWNERS).await;
    share(&new).await;
    let closed = &street.owners[1];
    street.house.mail.admin().set_enabled(closed.email(), false).await.unwrap();
    street.house.clock.advance(MINUTE / 2);
    assert_eq!(street.ask(&mut sharers).await.1, Seen::default());
    assert_eq!(known(&sharers, &street.owners[0]), [0]);

    street.house.clock.advance(MINUTE / 2);
    let (asked, ..) = street.ask(&mut sharers).await;
    assert_eq!(asked.len(), OWNERS + 1);
    assert_eq!((known(&sharers, &street.owners[0]), known(&sharers, &new)), (vec![1], vec![0]));
    assert_eq!(known(&sharers, closed), [] as [u64; 0]);
    assert_eq!(street.ask(&mut sharers).await.1, Seen::default());

    // A clock that is set back an hour does not stop that.
    street.house.clock.set(street.house.mail.now().minus(MINUTE * 60));
    assert_eq!(street.ask(&mut sharers).await.0.len(), OWNERS + 1);
}

#[tokio::test]
async fn rights_that_end_are_noticed_and_who_is_away_stays() {
    let street = Street::open().await;
    let mut sharers = Sharers::default();
    street.ask(&mut sharers).await;
    let one = &street.owners[2];
    one.unshare_folder(of_role(one, Role::Inbox).await, "bob@demo.test").await.unwrap();
    assert_eq!(street.ask(&mut sharers).await.0, [one.id()]);
    assert_eq!(known(&sharers, one), [] as [u64; 0]);
    share(one).await;
    assert_eq!(street.ask(&mut sharers).await.0, [one.id()], "it is still listened to");
    assert_eq!(known(&sharers, one), [0]);

    receive(one, of_role(one, Role::Inbox).await).await;
    street.observer.set_away(Some(street.house.mail.shards().shard_of(one.id())));
    assert_eq!(street.ask(&mut sharers).await.0, []);
    assert_eq!(known(&sharers, one), [0], "as it was known");
    street.observer.set_away(None);
    assert!(!sharers.heard());
    assert_eq!(street.ask(&mut sharers).await.0, [one.id()], "it is asked again without another hint");
    assert_eq!(known(&sharers, one), [1]);
}

#[tokio::test]
async fn a_damaged_shard_hides_only_what_is_shared_from_it() {
    let street = Street::open().await;
    let home = |owner: AccountId| street.house.mail.shards().shard_of(owner);
    let damaged = home(street.owners[0].id());
    let all = street.bob.shared_folders().await.unwrap();
    assert_eq!((all.folders.len(), all.incomplete), (OWNERS, false));
    let mut left = all.clone();
    left.folders.retain(|folder| home(folder.owner_id) != damaged);
    left.incomplete = true;
    assert!((1..OWNERS).contains(&left.folders.len()));

    street.observer.set_damaged(Some(damaged));
    assert_eq!(street.bob.shared_folders().await.unwrap(), left);
    let mut sharers = Sharers::default();
    let (asked, _) = street.ask(&mut sharers).await;
    assert_eq!(asked.len(), left.folders.len());
    street.observer.set_damaged(None);
    assert_eq!(street.bob.shared_folders().await.unwrap(), all);
    assert_eq!(street.ask(&mut sharers).await.0.len(), OWNERS - asked.len(), "they are asked again");
}
