//! What senders ask for (RFC 3461, RFC 2852), and what they are told on the way.

use std::time::Duration;

use anyhow::{Context, Result};
use storage::{NewQueueEntry, NewRecipient, Origin, QueueBody};
use types::{
    Clock, DeliverBy, EmailAddress, Late, Notify, OriginalRecipient, QueueId, RecipientTerms, Ret, Role,
    Terms,
};

use crate::desk::Desk;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn the_sender_is_told_once_that_it_takes_long() -> Result<()> {
    let desk = Desk::open().await?;
    desk.courier.says("carol@there.test", 452, "4.2.2 The mailbox is full");
    desk.send(&["carol@there.test", "bob@demo.test"], &[]).await?;
    let start = desk.house.clock.now();
    let mut told_after = None;
    desk.work().await?;
    for _ in 0..12 {
        desk.turn().await?;
        desk.work().await?;
        let told = desk.subjects("alice@demo.test").await?;
        assert!(told.len() <= 1, "{told:?}");
        if told_after.is_none() && !told.is_empty() {
            told_after = Some(desk.house.clock.now().since(start));
        }
    }
    let told_after = told_after.context("nothing was told")?;
    assert!((4 * HOUR..9 * HOUR).contains(&told_after), "{told_after:?}");
    let told = desk.newest("alice@demo.test").await?;
    for expected in [
        "Subject: ",
        "Final-Recipient: rfc822; carol@there.test\r\nAction: delayed\r\nStatus: 4.2.2\r\n",
        "Diagnostic-Code: smtp; 452 4.2.2 The mailbox is full\r\n",
        "Will-Retry-Until: ",
    ] {
        assert!(told.contains(expected), "{expected}\n---\n{told}");
    }
    assert!(!told.contains("bob@demo.test\r\nAction"), "{told}");
    Ok(())
}

/// A mail of alice's for whom such is asked.
async fn ask(desk: &Desk, terms: Terms, recipients: &[(&str, RecipientTerms)]) -> Result<()> {
    let alice = desk.house.access("alice@demo.test").await?;
    desk.send(&["bob@demo.test"], &[]).await?;
    desk.work().await?;
    let shard = desk.house.mail.shards().shard_of(alice.id());
    let sent = desk.house.list("alice@demo.test", Role::Sent).await?[0].id;
    let body = desk.house.mail.shards().snapshot(shard).await?.messages(alice.id(), &[sent]).await?[0].body;
    let now = desk.house.mail.now();
    let recipient = |(address, terms): &(&str, RecipientTerms)| {
        anyhow::Ok(NewRecipient { address: address.parse()?, terms: terms.clone() })
    };
    let entry = NewQueueEntry {
        account: alice.id(),
        id: QueueId::at(now, [7; 10]),
        message: None,
        body: QueueBody::Shared(body),
        return_path: Some("alice@demo.test".parse()?),
        recipients: recipients.iter().map(recipient).collect::<Result<_>>()?,
        terms,
        origin: Origin::Submission,
        created_at: now,
        not_before: now,
        expires_at: now.plus(24 * HOUR),
    };
    desk.house.mail.write(shard, crate::fates::Enqueue(entry)).await?;
    desk.work().await
}

fn notify(success: bool, failure: bool, delay: bool) -> RecipientTerms {
    RecipientTerms { notify: Some(Notify { success, failure, delay }), original: None }
}

#[tokio::test]
async fn senders_are_told_what_they_asked_for() -> Result<()> {
    let desk = Desk::open().await?;
    desk.courier.says("nobody@there.test", 550, "5.1.1 No such user");
    desk.courier.says("nothing@there.test", 550, "5.1.1 No such user");
    let original = OriginalRecipient { kind: "rfc822".to_owned(), address: "list@demo.test".to_owned() };
    let terms = Terms { ret: Some(Ret::Full), envelope_id: Some("QQ 314159".to_owned()), ..Terms::default() };
    let recipients = [
        ("nobody@there.test", RecipientTerms { original: Some(original), ..notify(false, true, false) }),
        ("nothing@there.test", notify(false, false, false)),
        ("carol@there.test", notify(true, false, false)),
        ("bob@demo.test", notify(true, false, false)),
        ("dave@there.test", notify(false, true, true)),
    ];
    ask(&desk, terms, &recipients).await?;
    let told = desk.house.list("alice@demo.test", Role::Inbox).await?;
    assert_eq!(told.len(), 2, "of failures, and of what arrived");
    let mut texts = Vec::new();
    for mail in &told {
        texts.push(desk.house.raw("alice@demo.test", mail.id).await?);
    }
    texts.sort_by_key(|text| !text.contains("Action: failed"));
    let [failed, arrived] = texts.try_into().map_err(|_| anyhow::anyhow!("two"))?;
    for expected in [
        "Original-Envelope-Id: QQ 314159\r\n",
        "Original-Recipient: rfc822; list@demo.test\r\nFinal-Recipient: rfc822; nobody@there.test\r\n",
        "Content-Type: message/rfc822\r\n",
        "At noon?",
    ] {
        assert!(failed.contains(expected), "{expected}\n---\n{failed}");
    }
    assert!(!failed.contains("nothing@there.test"), "{failed}");
    for expected in [
        "Final-Recipient: rfc822; carol@there.test\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
        "Final-Recipient: rfc822; bob@demo.test\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
        "Content-Type: text/rfc822-headers",
    ] {
        assert!(arrived.contains(expected), "{expected}\n---\n{arrived}");
    }
    assert!(!arrived.contains("dave@there.test"), "{arrived}");
    let asked = desk.courier.sent().pop().context("a mail")?;
    assert_eq!(asked.terms.envelope_id.as_deref(), Some("QQ 314159"));
    assert_eq!(asked.wishes.len(), 4);
    Ok(())
}

/// RFC 3461 §5.2.7.3.
#[tokio::test]
async fn a_group_is_no_mailbox_in_which_the_mail_would_be() -> Result<()> {
    let desk = Desk::open().await?;
    let members = ["bob@demo.test".parse()?, "carol@there.test".parse()?];
    desk.house
        .mail
        .admin()
        .set_group(&"team@demo.test".parse()?, &"bob@demo.test".parse()?, &members)
        .await?;
    let recipients =
        [("team@demo.test", notify(true, true, false)), ("bob@demo.test", notify(true, true, false))];
    ask(&desk, Terms::default(), &recipients).await?;
    desk.work().await?;
    let told = desk.house.list("alice@demo.test", Role::Inbox).await?;
    assert_eq!(told.len(), 1, "once for all");
    let told = desk.house.raw("alice@demo.test", told[0].id).await?;
    for expected in [
        "Final-Recipient: rfc822; team@demo.test\r\nAction: expanded\r\nStatus: 2.0.0\r\n",
        "Final-Recipient: rfc822; bob@demo.test\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
    ] {
        assert!(told.contains(expected), "{expected}\n---\n{told}");
    }
    let onward = desk.courier.sent().pop().context("a mail")?;
    assert_eq!(onward.wishes[0].1.notify.map(|notify| notify.success), Some(false), "nobody tells it twice");
    Ok(())
}

#[tokio::test]
async fn mail_that_is_to_be_there_by_a_time_comes_back_or_is_told_of() -> Result<()> {
    for (late, told) in [(Late::Return, "Action: failed\r\nStatus: 5.4.7"), (Late::Notify, "Action: delayed")]
    {
        let desk = Desk::open().await?;
        desk.courier.says("carol@there.test", 450, "4.3.2 Down");
        let by = DeliverBy { at: desk.house.mail.now().plus(HOUR), late, trace: false };
        let terms = Terms { deliver_by: Some(by), ..Terms::default() };
        ask(&desk, terms, &[("carol@there.test", RecipientTerms::default())]).await?;
        while desk.subjects("alice@demo.test").await?.is_empty() {
            anyhow::ensure!(desk.turn().await?.is_some(), "{late:?}: nothing was told");
            desk.work().await?;
        }
        let after = desk.house.mail.now().since(by.at.minus(HOUR));
        assert!((HOUR..3 * HOUR).contains(&after), "{late:?}: {after:?}");
        let mail = desk.newest("alice@demo.test").await?;
        assert!(mail.contains(told), "{mail}");
    }
    Ok(())
}

#[tokio::test]
async fn an_operator_sends_a_mail_another_way() -> Result<()> {
    let desk = Desk::open().await?;
    desk.courier.says("carol@there.test", 450, "4.3.2 Down");
    desk.send(&["carol@there.test"], &[]).await?;
    desk.work().await?;
    let entry = desk.house.mail.admin().queue(1).await?.remove(0).id;
    let via = Some("relay.test:2525".to_owned());
    desk.house.mail.admin().queue_action(entry, mail::admin::QueueAction::Reroute(via)).await?;
    desk.courier.says("carol@there.test", 250, "2.0.0 Ok");
    desk.work().await?;
    assert_eq!(desk.queued().await?, 0);
    assert_eq!(desk.courier.ways().pop().context("a way")?, ">relay.test:2525");
    Ok(())
}

#[tokio::test]
async fn what_other_servers_say_later_is_seen_at_the_sent_copy() -> Result<()> {
    let desk = Desk::open().await?;
    let id = desk.send(&["carol@there.test", "dave@there.test"], &[]).await?;
    desk.work().await?;
    let raw = desk.house.raw("alice@demo.test", id).await?;
    let message_id = raw.lines().find_map(|line| line.strip_prefix("Message-ID: ")).context("an id")?;
    let alice = desk.house.access("alice@demo.test").await?;
    let report = |envelope_id: &str, message_id: &str, action: &str, status: &str| {
        format!(
            "From: <mailer-daemon@there.test>\r\nTo: alice@demo.test\r\nSubject: Undelivered\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\
             --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.there.test\r\n{envelope_id}\r\n\
             Final-Recipient: rfc822; Carol@there.test\r\nAction: {action}\r\nStatus: {status}\r\n\
             Remote-MTA: dns; inner.there.test\r\nDiagnostic-Code: smtp; 552 {status} Mailbox full\r\n\r\n\
             --b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: Lunch\r\nMessage-ID: {message_id}\r\n\r\n--b--\r\n"
        )
    };
    let receive = async |raw: String, return_path: Option<&str>| {
        desk.house
            .mail
            .deliver(mail::Incoming {
                id: desk.house.mail.new_id(),
                return_path: return_path.map(str::parse).transpose()?,
                recipients: vec![("alice@demo.test".parse::<EmailAddress>()?, alice.id()).into()],
                terms: Terms::default(),
                raw: raw.into(),
            })
            .await?;
        anyhow::Ok(())
    };
    let delivered = ["carol@there.test Delivered 250 2.0.0 Ok", "dave@there.test Delivered 250 2.0.0 Ok"];
    // Whoever has a return path makes no notifications, and who knows nothing of the mail tells nothing.
    receive(report("", message_id, "failed", "5.2.2"), Some("evil@there.test")).await?;
    receive(report("", "<other@demo.test>", "failed", "5.2.2"), None).await?;
    assert_eq!(desk.delivery(id).await?, delivered);

    receive(report("", message_id, "delayed", "4.2.2"), None).await?;
    let told = "carol@there.test Deferred 552 4.2.2 Mailbox full (inner.there.test)";
    assert_eq!(desk.delivery(id).await?, [told, delivered[1]]);
    let envelope_id = format!("Original-Envelope-Id: {id}\r\n");
    receive(report(&envelope_id, "<unknown@x>", "failed", "5.2.2"), None).await?;
    let told = "carol@there.test Failed 552 5.2.2 Mailbox full (inner.there.test)";
    assert_eq!(desk.delivery(id).await?, [told, delivered[1]]);
    Ok(())
}

#[tokio::test]
async fn a_scheduled_mail_can_be_taken_back_until_its_time() -> Result<()> {
    let desk = Desk::open().await?;
    let alice = desk.house.access("alice@demo.test").await?;
    let at = |minutes: u64| desk.house.clock.now().plus(Duration::from_secs(60 * minutes));
    let compose = |send_at| types::api::Compose {
        to: vec![types::Address { name: String::new(), email: "carol@there.test".to_owned() }],
        subject: "Later".to_owned(),
        send_at: Some(send_at),
        ..types::api::Compose::default()
    };
    let taken_back = alice.compose(compose(at(10))).await?.id;
    let goes = alice.compose(compose(at(10))).await?.id;
    let summary = alice.recall(taken_back).await?;
    assert!(summary.delivery.is_empty());
    let drafts = desk.house.list("alice@demo.test", Role::Drafts).await?;
    assert_eq!(drafts.iter().map(|draft| draft.id).collect::<Vec<_>>(), [taken_back]);
    assert_eq!(alice.recall(taken_back).await?, summary, "somebody else may have done it");

    let refused = alice.delete(&[goes]).await.unwrap_err().to_string();
    assert!(refused.contains("recall"), "{refused}");
    let mailboxes = alice.folders().await?.folders;
    let folder = |role| mailboxes.iter().find(|folder| folder.role == Some(role)).map(|folder| folder.id);
    let moved = |role| types::api::Patch { folder_id: folder(role), ..types::api::Patch::default() };
    assert!(alice.patch_one(goes, &moved(Role::Trash)).await.is_err());
    alice.patch_one(goes, &moved(Role::Archive)).await?;
    alice.delete(&[taken_back]).await?;
    let refused = alice.compose(compose(at(60 * 24 * 31))).await.unwrap_err();
    assert!(matches!(refused, mail::Error::Invalid { .. }), "{refused:?}");

    let scheduled = alice.message(goes).await?;
    assert_eq!(scheduled.summary.delivery[0].next_attempt_at, Some(at(10)));
    assert_eq!(scheduled.sent_at, Some(at(10)), "of the time at which it goes");
    let held = types::api::Compose { send_at: None, hold_for: Some(60), ..compose(at(0)) };
    let held = alice.compose(held).await?.id;
    assert_eq!(alice.message(held).await?.summary.delivery[0].next_attempt_at, Some(at(1)));
    alice.recall(held).await?;

    desk.house.clock.advance(Duration::from_secs(600));
    assert!(alice.recall(goes).await.is_err(), "its time has come");
    desk.work().await?;
    assert_eq!(desk.courier.sent().len(), 1);
    assert!(alice.recall(goes).await.is_err());
    alice.delete(&[goes]).await?;
    let bob = desk.house.access("bob@demo.test").await?;
    let other = alice.compose(compose(at(10))).await?.id;
    assert!(bob.recall(other).await.is_err(), "nobody else's mail");
    Ok(())
}

#[tokio::test]
async fn tls_is_optional_for_mail_that_says_so_and_does_not_require_it() -> Result<()> {
    for (require_tls, expected) in [(false, "lenient.there.test"), (true, "there.test")] {
        let desk = Desk::open().await?;
        let terms = Terms { tls_optional: true, require_tls, ..Terms::default() };
        ask(&desk, terms, &[("carol@there.test", RecipientTerms::default())]).await?;
        assert_eq!(desk.courier.ways(), [expected]);
    }
    Ok(())
}
