//! Groups, catch-alls, tags, and what comes back.

#![cfg(test)]

use std::time::Duration;

use mail::{Addressee, Destination, Error, Recipient};
use storage::{Origin, QueueEntry};
use testkit::{House, fixtures};
use types::{EmailAddress, Notify, OriginalRecipient, RecipientTerms, Role, Terms};

const ALICE: &str = "alice@demo.test";
const BOB: &str = "bob@demo.test";
const TEAM: &str = "team@demo.test";
const FAR: &str = "x@elsewhere.test";

fn email(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

/// Delivers as the door does: what the address is decides where it goes.
async fn deliver(house: &House, to: &str, raw: &[u8], terms: RecipientTerms) -> mail::Result<()> {
    let address = email(to);
    let found = match house.mail.recipient(&address).await.unwrap() {
        Recipient::Local(account) => Destination::Account(account),
        Recipient::Group(group) => Destination::Group(group),
        Recipient::Back(back) => Destination::Back(back),
        other => panic!("{to} is {other:?}"),
    };
    let incoming = mail::Incoming {
        id: house.mail.new_id(),
        return_path: Some(email(FAR)),
        recipients: vec![Addressee { address, to: found, terms }],
        terms: Terms { envelope_id: Some("Q1".to_owned()), ..Terms::default() },
        raw: [b"Return-Path: <x@elsewhere.test>\r\n", raw].concat().into(),
    };
    house.mail.deliver(incoming).await
}

async fn plain(house: &House, to: &str) -> mail::Result<()> {
    let raw = fixtures::mail(FAR, to, "Hello", "text");
    deliver(house, to, &raw, RecipientTerms::default()).await
}

async fn queue(house: &House) -> Vec<QueueEntry> {
    house.mail.admin().queue(10).await.unwrap()
}

async fn inboxes(house: &House) -> (usize, usize) {
    let count = async |address| house.list(address, Role::Inbox).await.unwrap().len();
    (count(ALICE).await, count(BOB).await)
}

/// Accounts of other shards get theirs through the queue: gives what goes elsewhere.
fn elsewhere(entries: Vec<QueueEntry>) -> Vec<QueueEntry> {
    let far = |entry: &QueueEntry| entry.recipients.iter().any(|to| to.address.domain() != "demo.test");
    entries.into_iter().filter(far).collect()
}

#[tokio::test]
async fn a_group_reaches_everybody_once() {
    let house = House::open().await.unwrap();
    let admin = house.mail.admin();
    let members = [email(ALICE), email("others@demo.test"), email("y@far.test"), email("gone@demo.test")];
    admin.set_group(&email(TEAM), &email(ALICE), &members).await.unwrap();
    let others = [email(TEAM), email(ALICE), email("Y@far.test"), email("z@far.test")];
    admin.set_group(&email("others@demo.test"), &email(BOB), &others).await.unwrap();
    plain(&house, TEAM).await.unwrap();
    assert_eq!(inboxes(&house).await, (1, 0));
    let entry = elsewhere(queue(&house).await).remove(0);
    let to: Vec<_> = entry.recipients.iter().map(|to| to.address.to_string()).collect();
    assert_eq!(to, ["Y@far.test", "z@far.test"], "each once, in whatever spelling");
    assert_eq!(entry.origin, Origin::Relay);

    let body = house.mail.body_bytes(entry.account, entry.body).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(body.starts_with("Delivered-To: team@demo.test\r\n") && !body.contains("Return-Path"), "{body}");

    // What the other side sends back finds the sender, and only in time.
    let path = entry.return_path.unwrap();
    assert_eq!(path.domain(), "demo.test");
    let Recipient::Back(back) = house.mail.recipient(&path).await.unwrap() else { panic!("not known") };
    assert_eq!(back.sender, email(FAR));
    let forged = email(&path.to_string().replace("=x@", "=y@"));
    assert_eq!(house.mail.recipient(&forged).await.unwrap(), Recipient::Unknown);
    plain(&house, &path.to_string()).await.unwrap();
    let back = queue(&house).await.into_iter().filter(|entry| entry.recipients[0].address == email(FAR));
    assert_eq!(back.count(), 1);
    house.clock.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(house.mail.recipient(&path).await.unwrap(), Recipient::Unknown);

    admin.remove_group(&email(TEAM)).await.unwrap();
    assert_eq!(house.mail.recipient(&email(TEAM)).await.unwrap(), Recipient::Unknown);
}

#[tokio::test]
async fn a_group_reaches_all_of_its_members_or_takes_nothing() {
    let house = House::open().await.unwrap();
    let config = mail::Config { max_group_members: 3, ..house.mail.config().clone() };
    let node = house.node_with(config).await.unwrap();
    let members = ["w@far.test", "x@far.test", ALICE, "y@far.test"].map(email);
    let refused = node.admin().set_group(&email(TEAM), &email(ALICE), &members).await.unwrap_err();
    assert!(refused.to_string().contains("limits.group_members"), "{refused}");
    node.admin().set_group(&email(TEAM), &email(ALICE), &members[..3]).await.unwrap();
    let Recipient::Group(group) = node.recipient(&email(TEAM)).await.unwrap() else { panic!("it fits") };
    assert_eq!((group.accounts.len(), group.elsewhere.len()), (1, 2));
    // By a group within it, and by an older limit.
    let others = [email(TEAM), email(ALICE), email(BOB)];
    node.admin().set_group(&email("others@demo.test"), &email(BOB), &others).await.unwrap();
    assert_eq!(node.recipient(&email("others@demo.test")).await.unwrap(), Recipient::Crowd);
    assert!(!node.is_nobody(&email("others@demo.test")).await);
    let roomy = house.mail.recipient(&email("others@demo.test")).await.unwrap();
    assert!(matches!(roomy, Recipient::Group(_)), "{roomy:?}");

    let nobodys = [email("gone@demo.test")];
    node.admin().set_group(&email("empty@demo.test"), &email(BOB), &nobodys).await.unwrap();
    assert!(node.is_nobody(&email("empty@demo.test")).await);
}

#[tokio::test]
async fn a_mail_that_comes_around_is_stopped() {
    let house = House::open().await.unwrap();
    let admin = house.mail.admin();
    admin.set_group(&email(TEAM), &email(ALICE), &[email("y@far.test")]).await.unwrap();
    let raw = fixtures::mail(FAR, TEAM, "Again", "text");
    let around = [b"Delivered-To: Team@demo.test\r\n", &raw[..]].concat();
    let outcome = deliver(&house, TEAM, &around, RecipientTerms::default()).await;
    assert!(matches!(outcome, Err(Error::Circle)), "{outcome:?}");
    assert!(queue(&house).await.is_empty());
    deliver(&house, TEAM, &raw, RecipientTerms::default()).await.unwrap();
    assert_eq!(queue(&house).await.len(), 1, "a group of others alone is its owner's to keep");
    let entry: QueueEntry = queue(&house).await.remove(0);
    assert_eq!(entry.account, house.access(ALICE).await.unwrap().id());
}

#[tokio::test]
async fn who_wants_to_know_hears_that_it_arrived() {
    let house = House::open().await.unwrap();
    let admin = house.mail.admin();
    admin.set_group(&email(TEAM), &email(ALICE), &[email("y@far.test")]).await.unwrap();
    let original = OriginalRecipient { kind: "rfc822".to_owned(), address: "Alice@old.test".to_owned() };
    let asks =
        RecipientTerms { notify: Some(Notify { success: true, ..Notify::NEVER }), original: Some(original) };
    let raw = fixtures::mail(FAR, ALICE, "Hello", "text");
    for (to, action) in [(ALICE, "delivered"), (TEAM, "expanded")] {
        deliver(&house, to, &raw, asks.clone()).await.unwrap();
        let entries = queue(&house).await;
        let report = entries.iter().find(|entry| entry.origin == Origin::Notification).unwrap();
        assert_eq!((report.return_path.clone(), report.recipients[0].address.clone()), (None, email(FAR)));
        let body = house.mail.body_bytes(report.account, report.body).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        for field in [
            "Original-Envelope-Id: Q1\r\n",
            "Original-Recipient: rfc822; Alice@old.test\r\n",
            &format!("Final-Recipient: rfc822; {to}\r\nAction: {action}\r\nStatus: 2.1.5\r\n"),
        ] {
            assert!(body.contains(field), "{field} in {body}");
        }
        let onward = entries.iter().find(|entry| entry.origin == Origin::Relay);
        let asked = onward.and_then(|entry| entry.recipients[0].terms.notify);
        assert_eq!(asked, (to == TEAM).then_some(Notify::NEVER), "nobody tells it twice");
        for entry in entries {
            admin.queue_action(entry.id, mail::admin::QueueAction::Drop).await.unwrap();
        }
    }
    plain(&house, ALICE).await.unwrap();
    assert!(queue(&house).await.is_empty(), "nobody asked");
}

#[tokio::test]
async fn other_names_lead_to_an_account() {
    let house = House::open().await.unwrap();
    let bob = house.access(BOB).await.unwrap().id();
    let find = async |address: &str| house.mail.recipient(&email(address)).await.unwrap();
    assert_eq!(find("anybody@demo.test").await, Recipient::Unknown);
    assert_eq!(find("bob+shop@demo.test").await, Recipient::Local(bob));
    house.mail.admin().add_alias(&email("*@demo.test"), &email(BOB)).await.unwrap();
    assert_eq!(find("anybody@demo.test").await, Recipient::Local(bob));
    assert_ne!(find(ALICE).await, Recipient::Local(bob));
    assert_eq!(find("anybody@elsewhere.test").await, Recipient::Elsewhere);
    let own = house.access(BOB).await.unwrap();
    assert!(
        !own.may_send_as(&email("anybody@demo.test")).await.unwrap(),
        "who gets all may not write as all"
    );
}

#[tokio::test]
async fn limits_of_accounts_and_domains() {
    let house = House::open().await.unwrap();
    let (admin, alice) = (house.mail.admin(), house.access(ALICE).await.unwrap().id());
    let everybodys = house.mail.message_limit(alice).await.unwrap();
    admin.limit_domain("demo.test", Some(2_000)).await.unwrap();
    assert_eq!(house.mail.message_limit(alice).await.unwrap(), 2_000);
    admin.limit_account(&email(ALICE), Some(1_000)).await.unwrap();
    assert_eq!(house.mail.message_limit(alice).await.unwrap(), 1_000);
    admin.limit_account(&email(ALICE), None).await.unwrap();
    admin.limit_domain("demo.test", None).await.unwrap();
    assert_eq!(house.mail.message_limit(alice).await.unwrap(), everybodys);
    assert!(matches!(admin.limit_domain("far.test", None).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn tags_file_mail_where_there_is_a_folder() {
    let house = House::open().await.unwrap();
    let node = house
        .node_with(mail::Config { subaddress_folders: true, ..house.mail.config().clone() })
        .await
        .unwrap();
    let bob = node.admin().open(&email(BOB)).await.unwrap();
    let new = types::api::NewFolder { name: "Shop".to_owned(), parent_id: None };
    let shop = bob.create_folder(&new).await.unwrap();
    for to in ["bob+SHOP@demo.test", "bob+other@demo.test", BOB] {
        let address = email(to);
        let recipients = vec![(address, bob.id()).into()];
        let raw = fixtures::mail(FAR, to, "Hello", "text").into();
        let id = node.new_id();
        let mail = mail::Incoming { id, return_path: None, recipients, terms: Terms::default(), raw };
        node.deliver(mail).await.unwrap();
    }
    let page = bob.page(shop.id, &mail::PageQuery::default()).await.unwrap();
    assert_eq!(page.messages.len(), 1);
    assert_eq!(inboxes(&house).await.1, 2);
}
