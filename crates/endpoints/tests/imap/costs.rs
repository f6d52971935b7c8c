//! What of others' mailboxes is read, and how often.

use std::collections::BTreeSet;
use std::sync::Arc;

use testkit::{House, Observer, Seen, house::PASSWORD};
use types::{AccountId, EmailAddress, Secret};

use super::client::{Client, Site};

const OWNERS: usize = 6;
const MAILBOXES: usize = 5;

/// Owners who share their mailboxes with bob, and what is asked of the shards.
struct Street {
    site: Site,
    observer: Arc<Observer>,
    owners: Vec<(AccountId, Client)>,
    bob: Client,
}

async fn ok(client: &mut Client, command: &str) {
    let lines = client.ask(command).await;
    assert!(lines.last().unwrap().starts_with("t OK"), "{command}: {lines:?}");
}

impl Street {
    async fn open() -> Self {
        let observer = Arc::new(Observer::default());
        let house = House::open_on(|shards| observer.before(shards)).await.unwrap();
        let site = Site::at(house).await;
        let mut owners = Vec::new();
        for number in 0..OWNERS {
            let email: EmailAddress = format!("owner{number}@demo.test").parse().unwrap();
            let password = Secret::new(PASSWORD.to_owned());
            site.house.mail.admin().add_account(&email, "Owner", password, None).await.unwrap();
            let mut owner = site.who(&format!("owner{number}")).await;
            for name in 0..MAILBOXES {
                ok(&mut owner, &format!("CREATE M{name}")).await;
                ok(&mut owner, &format!("SETACL M{name} bob@demo.test lr")).await;
                ok(&mut owner, &format!("SETMETADATA M{name} (/shared/comment \"{name}\")")).await;
            }
            let id = site.house.access(&email.to_string()).await.unwrap().id();
            owners.push((id, owner));
        }
        // Where nothing is found it is asked whether that is elsewhere by now: he has a note, too.
        ok(&mut site.who("bob").await, "SETMETADATA INBOX (/private/comment \"own\")").await;
        let bob = site.who("bob").await;
        Self { site, observer, owners, bob }
    }

    /// What bob's command has the shards asked.
    async fn asked(&mut self, command: &str) -> (Vec<String>, Seen) {
        self.observer.take();
        let lines = self.bob.ask(command).await;
        (lines, self.observer.take())
    }

    /// What is looked for until bob is told this.
    async fn until_told(&mut self, told: &str) -> BTreeSet<AccountId> {
        assert_eq!(self.bob.line().await, told);
        self.observer.take().accounts
    }
}

/// RFC 5465: news of one owner's mailboxes have nothing read of the others'.
#[tokio::test(flavor = "multi_thread")]
async fn news_of_one_owner_cost_nothing_for_the_others() {
    let mut street = Street::open().await;
    let bob = street.site.house.access("bob@demo.test").await.unwrap().id();
    let events = "(MessageNew MessageExpunge MailboxName MailboxMetadataChange)";
    let (lines, seen) = street.asked(&format!("NOTIFY SET (subtree \"Other Users\" {events})")).await;
    assert_eq!(lines, ["t OK It will be told"]);
    // Grants and mailboxes; grants and notes; and bob's own mailboxes and notes.
    assert!(seen.calls <= 4 * OWNERS + 2, "{seen:?}");

    street.observer.take();
    let (owner, client) = &mut street.owners[2];
    let owner = *owner;
    ok(client, "SETMETADATA M1 (/shared/comment \"new\")").await;
    let told = "* METADATA \"Other Users/owner2@demo.test/M1\" \"/shared/comment\"";
    assert_eq!(street.until_told(told).await, BTreeSet::from([bob, owner]));

    ok(&mut street.owners[2].1, "RENAME M4 M9").await;
    let theirs = "Other Users/owner2@demo.test";
    let told = format!("* LIST (\\HasNoChildren) \"/\" \"{theirs}/M9\" (\"OLDNAME\" (\"{theirs}/M4\"))");
    assert_eq!(street.until_told(&told).await, BTreeSet::from([bob, owner]));

    // Nor do bob's own.
    let mut other = street.site.who("bob").await;
    let note = "SETMETADATA \"Other Users/owner3@demo.test/M2\" (/private/comment \"mine\")";
    ok(&mut other, note).await;
    let told = "* METADATA \"Other Users/owner3@demo.test/M2\" \"/private/comment\"";
    let third = street.owners[3].0;
    assert_eq!(street.until_told(told).await, BTreeSet::from([bob, third]), "which the note needs itself");
    ok(&mut other, "CREATE Mine").await;
    ok(&mut street.owners[3].1, "DELETEACL M2 bob@demo.test").await;
    let told = "* LIST (\\NonExistent) \"/\" \"Other Users/owner3@demo.test/M2\"";
    assert_eq!(street.until_told(told).await, BTreeSet::from([bob, third]));
}

/// RFC 9590: however many of an owner's mailboxes are listed, what is noted with them is read once.
#[tokio::test(flavor = "multi_thread")]
async fn notes_are_listed_by_one_look_at_each_owner() {
    let mut street = Street::open().await;
    let list = "LIST \"\" \"*\" RETURN (METADATA (/shared/comment))";
    let (lines, plain) = street.asked("LIST \"\" \"*\"").await;
    let (listed, noted) = street.asked(list).await;
    let notes = listed.iter().filter(|line| line.starts_with("* METADATA \"Other Users/")).count();
    assert_eq!((notes, lines.len() > notes), (OWNERS * MAILBOXES, true));
    // Its grants and notes for each owner; and bob's own notes.
    assert!(noted.calls <= plain.calls + 2 * OWNERS + 1, "{plain:?} {noted:?}");

    // Where only one's own mailboxes are listed, and where one owner's, nothing is read of others' notes.
    let (_, own) = street.asked("LIST \"\" \"%\" RETURN (METADATA (/shared/comment))").await;
    assert!(own.calls <= plain.calls + 1, "{plain:?} {own:?}");
    let list = "LIST \"\" \"Other Users/owner1@demo.test/*\" RETURN (METADATA (/shared/comment))";
    let (listed, one) = street.asked(list).await;
    assert_eq!(listed.len(), 2 * MAILBOXES + 1);
    assert!(one.calls <= plain.calls + 3, "{plain:?} {one:?}");
}
