//! Who is let in, and that nobody reads what isn't theirs.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use cluster::LocalCache;
use mail::{Access, Client, Error, Images, Recipient};
use testkit::{House, fixtures, house::PASSWORD};
use types::{MessageId, Role, Secret, api};

const ALICE: &str = "alice@demo.test";
const BOB: &str = "bob@demo.test";

async fn deliver(house: &House, to: &str, raw: Vec<u8>) -> MessageId {
    let access = house.access(to).await.unwrap();
    let id = house.mail.new_id();
    let recipients = vec![(to.parse::<types::EmailAddress>().unwrap(), access.id()).into()];
    let mail =
        mail::Incoming { id, return_path: None, recipients, terms: types::Terms::default(), raw: raw.into() };
    house.mail.deliver(mail).await.unwrap();
    id
}

async fn login(house: &House, email: &str, password: &str) -> mail::Result<(Access, Secret)> {
    house.mail.login(email, &Secret::new(password.to_owned()), &Client::default()).await
}

#[tokio::test]
async fn another_accounts_ids_are_not_found() {
    let house = House::open().await.unwrap();
    let id =
        deliver(&house, ALICE, fixtures::mail_with_attachment("x@y.test", ALICE, "Secret", &[7; 100_000]))
            .await;
    let alice = house.access(ALICE).await.unwrap();
    let bob = house.access(BOB).await.unwrap();
    let thread = alice.message(id).await.unwrap().summary.thread_id;
    let read = api::Patch { unread: Some(false), ..api::Patch::default() };
    let forward = api::Compose {
        to: vec![types::Address { name: String::new(), email: BOB.into() }],
        attachments: vec![format!("{id}/2")],
        ..api::Compose::default()
    };
    assert!(matches!(bob.message(id).await, Err(Error::NotFound(_))));
    assert!(matches!(bob.html(id, Images::Held).await, Err(Error::NotFound(_))));
    assert!(matches!(bob.raw(id).await.map(|_| ()), Err(Error::NotFound(_))));
    assert!(matches!(bob.attachment(id, "2").await.map(|_| ()), Err(Error::NotFound(_))));
    assert!(matches!(bob.thread(thread).await, Err(Error::NotFound(_))));
    assert!(matches!(bob.patch_one(id, &read).await, Err(Error::NotFound(_))));
    assert!(matches!(bob.delete(&[id]).await, Err(Error::NotFound(_))));
    assert!(matches!(bob.compose(forward).await, Err(Error::Invalid { .. })));
    assert!(alice.message(id).await.unwrap().summary.unread);
    house.mail.index_all().await.unwrap();
    assert_eq!(alice.search("Secret", None, None).await.unwrap().total, 1);
    assert_eq!(bob.search("Secret", None, None).await.unwrap().total, 0);
}

#[tokio::test]
async fn only_the_right_password_opens_a_session() {
    let house = House::open().await.unwrap();
    for (email, password) in [(ALICE, "wrong"), ("nobody@demo.test", PASSWORD), ("", ""), ("alice", PASSWORD)]
    {
        assert!(matches!(login(&house, email, password).await, Err(Error::Credentials)), "{email}");
    }
    let (_, token) = login(&house, "Alice@Demo.Test ", PASSWORD).await.unwrap();
    assert_eq!(house.mail.access(&token).await.unwrap().email().to_string(), ALICE);
    assert!(matches!(house.mail.access(&Secret::new("x".into())).await, Err(Error::Unauthenticated)));
    house.mail.logout(&token).await.unwrap();
    assert!(matches!(house.mail.access(&token).await, Err(Error::Unauthenticated)));
}

#[tokio::test]
async fn sessions_end_by_time_by_password_and_by_disabling() {
    let house = House::open().await.unwrap();
    let alice = ALICE.parse().unwrap();
    let admin = house.mail.admin();
    let (_, token) = login(&house, ALICE, PASSWORD).await.unwrap();
    house.clock.advance(house.mail.config().session_lifetime + Duration::from_secs(1));
    assert!(matches!(house.mail.access(&token).await, Err(Error::Unauthenticated)));

    let (_, token) = login(&house, ALICE, PASSWORD).await.unwrap();
    admin.set_password(&alice, Secret::new("another password".into())).await.unwrap();
    assert!(matches!(house.mail.access(&token).await, Err(Error::Unauthenticated)));
    assert!(matches!(login(&house, ALICE, PASSWORD).await, Err(Error::Credentials)));

    let (_, token) = login(&house, ALICE, "another password").await.unwrap();
    admin.set_enabled(&alice, false).await.unwrap();
    assert!(matches!(house.mail.access(&token).await, Err(Error::Unauthenticated)));
    assert!(matches!(login(&house, ALICE, "another password").await, Err(Error::Credentials)));
}

#[tokio::test]
async fn guessing_is_slowed_down_for_the_guesser_alone() {
    let house = House::open().await.unwrap();
    let guesser = Client { ip: Some("203.0.113.7".parse().unwrap()), name: String::new() };
    let wrong = Secret::new("wrong".to_owned());
    let mut refused = 0;
    while !matches!(house.mail.authenticate(ALICE, &wrong, &guesser).await, Err(Error::Limited { .. })) {
        refused += 1;
        assert!(refused <= house.mail.config().login_attempts_per_minute, "no limit");
    }
    let owner = Client { ip: Some("203.0.113.8".parse().unwrap()), name: String::new() };
    let right = Secret::new(PASSWORD.to_owned());
    assert!(house.mail.authenticate(ALICE, &right, &owner).await.is_ok());
    house.clock.advance(Duration::from_secs(60));
    assert!(house.mail.authenticate(ALICE, &right, &guesser).await.is_ok());
}

#[tokio::test]
async fn whoever_knows_the_password_is_let_in_as_often_as_they_like() {
    let house = House::open().await.unwrap();
    let client = Client { ip: Some("203.0.113.7".parse().unwrap()), name: String::new() };
    let limit = house.mail.config().login_attempts_per_minute;
    let (right, wrong) = (Secret::new(PASSWORD.to_owned()), Secret::new("wrong".to_owned()));
    for _ in 0..limit * 2 {
        assert!(house.mail.authenticate(ALICE, &right, &client).await.is_ok());
    }
    // Their own logins buy nobody more guesses.
    for _ in 0..limit {
        let refused = house.mail.authenticate(BOB, &wrong, &client).await;
        assert!(matches!(refused, Err(Error::Credentials)));
        assert!(house.mail.authenticate(ALICE, &right, &client).await.is_ok());
    }
    assert!(matches!(house.mail.authenticate(BOB, &wrong, &client).await, Err(Error::Limited { .. })));
}

#[tokio::test]
async fn people_send_under_their_own_addresses_only() {
    let house = House::open().await.unwrap();
    house.mail.admin().add_alias(&"sales@demo.test".parse().unwrap(), &ALICE.parse().unwrap()).await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    for (address, may) in [
        (ALICE, true),
        ("ALICE@demo.test", true),
        ("\"alice\"@demo.test", true),
        ("\"\\Ali\\ce+news\"@demo.test", true),
        ("alice+news@demo.test", true),
        ("sales@demo.test", true),
        ("bob@demo.test", false),
        ("alice@elsewhere.test", false),
    ] {
        assert_eq!(alice.may_send_as(&address.parse().unwrap()).await.unwrap(), may, "{address}");
    }
}

#[tokio::test]
async fn a_removed_account_leaves_nothing_behind() {
    let house = House::open().await.unwrap();
    deliver(&house, BOB, fixtures::mail("x@y.test", BOB, "Going", "away")).await;
    house.mail.index_all().await.unwrap();
    let bob = house.access(BOB).await.unwrap();
    house.mail.admin().remove_account(&BOB.parse().unwrap()).await.unwrap();
    assert!(house.access(BOB).await.is_err());
    assert_eq!(bob.search("Going", None, None).await.unwrap().total, 0);
    assert!(bob.modseq().await.unwrap().0 == 0);
    assert!(house.list(ALICE, Role::Inbox).await.unwrap().is_empty());
}

/// Another node removes an account; what this one looked up of it before is not yet forgotten all at once.
#[tokio::test]
async fn mail_for_who_was_removed_just_now_comes_again() {
    let house = House::open().await.unwrap();
    let command = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    let bob = BOB.parse().unwrap();
    let access = house.access(BOB).await.unwrap();
    assert_eq!(house.mail.recipient(&bob).await.unwrap(), Recipient::Local(access.id()));
    command.admin().remove_account(&bob).await.unwrap();
    assert!(!access.is_valid().await.unwrap());
    assert_eq!(house.mail.recipient(&bob).await.unwrap(), Recipient::Changing);
}

#[tokio::test]
async fn a_full_mailbox_takes_no_more() {
    let house = House::open().await.unwrap();
    let carol = "carol@demo.test".parse().unwrap();
    let password = Secret::new(PASSWORD.to_owned());
    house.mail.admin().add_account(&carol, "Carol", password, Some(2_000)).await.unwrap();
    let access = house.access("carol@demo.test").await.unwrap();
    assert!(matches!(house.mail.recipient(&carol).await.unwrap(), Recipient::Local(_)));
    let long = api::Compose { text: Some("x".repeat(3_000)), draft: true, ..api::Compose::default() };
    assert!(matches!(access.compose(long).await, Err(Error::Quota)));
    deliver(
        &house,
        "carol@demo.test",
        fixtures::mail("x@y.test", "carol@demo.test", "Big", &"x".repeat(2_000)),
    )
    .await;
    assert_eq!(house.mail.recipient(&carol).await.unwrap(), Recipient::Full);
    let short = api::Compose { text: Some("x".into()), draft: true, ..api::Compose::default() };
    assert!(matches!(access.compose(short).await, Err(Error::Quota)));
}

#[tokio::test]
async fn a_draft_is_replaced_near_the_limit() {
    let house = House::open().await.unwrap();
    let carol = "carol@demo.test".parse().unwrap();
    let password = Secret::new(PASSWORD.to_owned());
    house.mail.admin().add_account(&carol, "Carol", password, Some(10_000)).await.unwrap();
    let access = house.access("carol@demo.test").await.unwrap();
    let keep = async |chars: usize, replaces| {
        let text = Some("x ".repeat(chars / 2));
        access.compose(api::Compose { text, replaces, draft: true, ..api::Compose::default() }).await
    };
    let mut draft = keep(8_000, None).await.unwrap().id;
    assert!(matches!(keep(8_000, None).await, Err(Error::Quota)));
    for chars in [8_000, 8_100, 4_000] {
        draft = keep(chars, Some(draft)).await.unwrap().id;
    }
    assert!(matches!(keep(20_000, Some(draft)).await, Err(Error::Quota)), "there is no room to grow so much");
    deliver(
        &house,
        "carol@demo.test",
        fixtures::mail("x@y.test", "carol@demo.test", "Big", &"x".repeat(9_000)),
    )
    .await;
    assert!(matches!(keep(4_100, Some(draft)).await, Err(Error::Quota)));
    keep(4_000, Some(draft)).await.unwrap();
}

#[tokio::test]
async fn programs_write_and_send_under_their_own_addresses_only() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let submission = |return_path: Option<&str>, author: &str| mail::Submission {
        id: types::QueueId(house.mail.new_id().0),
        return_path: return_path.map(|path| path.parse().unwrap()),
        recipients: vec![("x@elsewhere.test".parse().unwrap(), types::RecipientTerms::default())],
        terms: types::Terms::default(),
        not_before: None,
        raw: fixtures::mail(author, "x@elsewhere.test", "Hello", "text").into(),
    };
    assert!(alice.submit(submission(Some(ALICE), ALICE)).await.is_ok());
    assert!(alice.submit(submission(None, "alice+lists@demo.test")).await.is_ok());
    assert!(matches!(alice.submit(submission(Some(BOB), ALICE)).await, Err(Error::Forbidden(_))));
    let before = house.access(ALICE).await.unwrap();
    let admin = house.mail.admin();
    admin.set_password(&ALICE.parse().unwrap(), Secret::new("another password".to_owned())).await.unwrap();
    let late = before.submit(submission(Some(ALICE), ALICE)).await;
    assert!(matches!(late, Err(Error::Unauthenticated)), "let in by another password: {late:?}");
    let alice = house.access(ALICE).await.unwrap();
    assert!(matches!(alice.submit(submission(Some(ALICE), BOB)).await, Err(Error::Forbidden(_))));
    for header in [
        "From: alice@demo.test, bob@demo.test",
        "From: alice@demo.test\r\nFrom: bob@demo.test",
        "From: alice@demo.test\r\nSender: bob@demo.test",
        "From: \"alice@demo.test\" <bob@demo.test>",
        "From: alice@demo.test\r\nSender: alice@demo.test, bob@demo.test",
        "From:",
        "Subject: nobody",
    ] {
        let raw = format!("{header}\r\nTo: x@elsewhere.test\r\n\r\ntext\r\n").into();
        let sent = alice.submit(mail::Submission { raw, ..submission(Some(ALICE), ALICE) }).await;
        assert!(matches!(sent, Err(Error::Forbidden(_))), "{header}");
    }
    for header in [
        "From: alice",
        "From: <alice@demo.test> <bob@demo.test>",
        "From: bob@demo.test <alice@demo.test>",
        "From: <al ice@demo.test>",
        "From: =?utf-8?q?x=0D=0AFrom:_alice@demo.test?= <bob@demo.test>",
        "From: alice@demo.test\r\nSender: bob@demo.test <alice@demo.test>",
    ] {
        let raw = format!("{header}\r\nTo: x@elsewhere.test\r\n\r\ntext\r\n").into();
        let sent = alice.submit(mail::Submission { raw, ..submission(Some(ALICE), ALICE) }).await;
        assert!(matches!(sent, Err(Error::Invalid { .. })), "{header}");
    }
    for author in
        ["\"bob@demo.test\" <alice@demo.test>", "Alice B. <alice@demo.test> (home)", "\"alice\"@demo.test"]
    {
        let raw = format!("From: {author}\r\nTo: x@elsewhere.test\r\n\r\ntext\r\n").into();
        alice.submit(mail::Submission { raw, ..submission(Some(ALICE), ALICE) }).await.unwrap();
    }
    house.mail.admin().set_enabled(&ALICE.parse().unwrap(), false).await.unwrap();
    assert!(matches!(alice.submit(submission(Some(ALICE), ALICE)).await, Err(Error::Unauthenticated)));
    assert_eq!(house.mail.admin().queue(10).await.unwrap().len(), 5);
}
