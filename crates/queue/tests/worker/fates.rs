//! What becomes of each recipient, and what the sender is told.

use anyhow::Result;
use storage::{NewQueueEntry, NewRecipient, Origin, QueueBody};
use types::{QueueId, Role};

use crate::desk::Desk;

#[tokio::test]
async fn every_recipient_gets_an_own_outcome_and_the_failed_ones_a_notification() -> Result<()> {
    let desk = Desk::open().await?;
    desk.courier.says("nobody@there.test", 550, "5.1.1 No such\nuser");
    desk.courier.says("busy@there.test", 450, "4.2.1 Later");
    let to = ["bob@demo.test", "ghost@demo.test", "carol@there.test", "nobody@there.test", "busy@there.test"];
    let (admin, ghost) = (desk.house.mail.admin(), "ghost@demo.test".parse()?);
    admin.add_account(&ghost, "", types::Secret::new("long enough".into()), None).await?;
    let id = desk.send(&to, &[]).await?;
    admin.remove_account(&ghost).await?;
    desk.work().await?;

    assert_eq!(
        desk.delivery(id).await?,
        [
            "bob@demo.test Delivered 250 2.1.5 Delivered",
            "ghost@demo.test Failed 550 5.1.1 There is no such user here",
            "carol@there.test Delivered 250 2.0.0 Ok",
            "nobody@there.test Failed 550 5.1.1 No such\nuser",
            "busy@there.test Deferred 450 4.2.1 Later (again)",
        ]
    );
    assert_eq!(desk.subjects("bob@demo.test").await?, ["Lunch"]);
    let remote = desk.courier.sent();
    assert_eq!(remote.len(), 1, "one transaction for the domain");
    assert_eq!(remote[0].recipients.len(), 3);
    assert_eq!(desk.subjects("alice@demo.test").await?.len(), 1);
    assert_eq!(desk.queued().await?, 1, "busy is still waiting");

    let told = desk.newest("alice@demo.test").await?;
    for expected in [
        "Return-Path: <>\r\n",
        "From: Mail Delivery System <mailer-daemon@mx.demo.test>\r\n",
        "To: alice@demo.test\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "Content-Type: multipart/report; report-type=delivery-status;",
        "Reporting-MTA: dns; mx.demo.test\r\n",
        "Final-Recipient: rfc822; nobody@there.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         Remote-MTA: dns; mx.there.test\r\nDiagnostic-Code: smtp; 550 5.1.1 No such user\r\n",
        "Final-Recipient: rfc822; ghost@demo.test\r\nAction: failed\r\nStatus: 5.1.1\r\nLast-Attempt",
        "Subject: Lunch\r\n",
    ] {
        assert!(told.contains(expected), "{expected}\n---\n{told}");
    }
    for other in ["carol@there.test\r\nAction", "busy@there.test\r\nAction", "bob@demo.test\r\nAction"] {
        assert!(!told.contains(other), "{other}\n---\n{told}");
    }
    Ok(())
}

#[tokio::test]
async fn blind_copies_stay_blind() -> Result<()> {
    let desk = Desk::open().await?;
    let id = desk.send(&["carol@there.test"], &["bob@demo.test", "dave@there.test"]).await?;
    desk.work().await?;
    let sent = desk.courier.sent();
    let sent = String::from_utf8(sent[0].body.to_vec())?;
    assert!(sent.contains("Subject: Lunch\r\n") && !sent.contains("Bcc"), "{sent}");
    let received = desk.newest("bob@demo.test").await?;
    assert_eq!(received, format!("Return-Path: <alice@demo.test>\r\n{sent}"));
    let kept = desk.house.raw("alice@demo.test", id).await?;
    assert!(kept.contains("Bcc:"), "{kept}");
    Ok(())
}

#[tokio::test]
async fn a_notification_that_fails_causes_no_other() -> Result<()> {
    let desk = Desk::open().await?;
    let alice = desk.house.access("alice@demo.test").await?;
    let now = desk.house.mail.now();
    let shard = desk.house.mail.shards().shard_of(alice.id());
    for (origin, return_path) in [
        (Origin::Notification, None),
        (Origin::Submission, None),
        (Origin::Notification, Some("alice@demo.test")),
    ] {
        desk.send(&["bob@demo.test"], &[]).await?;
        let body = desk.house.list("alice@demo.test", Role::Sent).await?[0].id;
        let body =
            desk.house.mail.shards().snapshot(shard).await?.messages(alice.id(), &[body]).await?[0].body;
        let entry = NewQueueEntry {
            account: alice.id(),
            id: QueueId::at(now, [u8::try_from(origin as usize)?; 10]),
            message: None,
            body: QueueBody::Shared(body),
            return_path: return_path.map(str::parse).transpose()?,
            recipients: vec![NewRecipient::from("ghost@demo.test".parse::<types::EmailAddress>()?)],
            terms: types::Terms::default(),
            origin,
            created_at: now,
            not_before: now,
            expires_at: now.plus(std::time::Duration::from_secs(60)),
        };
        desk.house.mail.write(shard, Enqueue(entry)).await?;
        desk.work().await?;
        assert_eq!(desk.queued().await?, 0);
    }
    assert!(desk.subjects("alice@demo.test").await?.is_empty());
    Ok(())
}

pub(crate) struct Enqueue(pub(crate) NewQueueEntry);

#[async_trait::async_trait]
impl storage::Unit for Enqueue {
    type Output = ();

    fn needs(&self) -> storage::Needs {
        storage::Needs::default()
    }

    async fn run(&self, tx: &mut dyn storage::Transaction) -> storage::Result<()> {
        tx.enqueue(self.0.clone()).await
    }
}
