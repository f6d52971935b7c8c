//! The life of mail: in, read, changed, found, sent, thrown away.

#![cfg(test)]

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use mail::{Access, Error, PageQuery, Target};
use storage::Filter;
use testkit::{House, fixtures};
use types::{Address, Flags, MailboxId, MessageId, ModSeq, Role, api};

const ALICE: &str = "alice@demo.test";
const BOB: &str = "bob@demo.test";

async fn deliver(house: &House, to: &[&str], raw: Vec<u8>) -> MessageId {
    let mut recipients = Vec::new();
    for address in to {
        let account = house.access(address).await.unwrap().id();
        recipients.push((address.parse().unwrap(), account).into());
    }
    let id = house.mail.new_id();
    let return_path = Some("x@elsewhere.test".parse().unwrap());
    house
        .mail
        .deliver(mail::Incoming {
            id,
            return_path,
            recipients,
            terms: types::Terms::default(),
            raw: raw.into(),
        })
        .await
        .unwrap();
    id
}

async fn folder(access: &Access, role: Role) -> api::Folder {
    let folders = access.folders().await.unwrap().folders;
    folders.into_iter().find(|folder| folder.role == Some(role)).unwrap()
}

fn to(email: &str) -> Vec<Address> {
    vec![Address { name: String::new(), email: email.to_owned() }]
}

#[tokio::test]
async fn a_mail_for_many_is_accepted_once_and_queued_for_other_shards() {
    let house = House::open().await.unwrap();
    let all = [ALICE, BOB, "admin@demo.test"];
    deliver(
        &house,
        &[ALICE, BOB, "admin@demo.test", ALICE],
        fixtures::mail("x@y.test", ALICE, "All", "hands"),
    )
    .await;
    let mut here = 0;
    for address in all {
        here += house.list(address, Role::Inbox).await.unwrap().len();
    }
    let queue = house.mail.admin().queue(10).await.unwrap();
    let queued: usize = queue.iter().map(|entry| entry.recipients.len()).sum();
    assert_eq!(here + queued, all.len(), "each account once, at once or through the queue");
    assert_eq!(house.list(ALICE, Role::Inbox).await.unwrap().len(), 1);
}

/// Over REST and by mail programs, by a move and by the copy that those make that cannot move.
#[tokio::test]
async fn what_is_put_into_junk_or_taken_out_is_marked_so() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let id = deliver(&house, &[ALICE], fixtures::mail("x@y.test", ALICE, "Offer", "buy")).await;
    let (inbox, junk, trash, archive) = (
        folder(&alice, Role::Inbox).await.id,
        folder(&alice, Role::Junk).await.id,
        folder(&alice, Role::Trash).await.id,
        folder(&alice, Role::Archive).await.id,
    );
    let put = async |folder| {
        let patch = api::Patch { folder_id: Some(folder), ..api::Patch::default() };
        alice.patch_one(id, &patch).await.unwrap().labels
    };
    assert_eq!(put(archive).await, [""; 0], "nothing was said");
    assert_eq!(put(junk).await, ["$Junk"]);
    assert_eq!(put(junk).await, ["$Junk"]);
    assert_eq!(put(trash).await, ["$Junk"], "thrown away");
    assert_eq!(put(inbox).await, ["$NotJunk"], "taken out of both");
    assert_eq!(put(junk).await, ["$Junk"]);
    assert_eq!(put(inbox).await, ["$NotJunk"]);
    assert_eq!(put(archive).await, ["$NotJunk"]);
    let reach = async |mailbox| alice.reach(alice.id(), mailbox).await.unwrap().unwrap();
    let listed = async |mailbox| {
        let roll = alice.roll(mailbox).await.unwrap().unwrap();
        let one =
            |message: &mail::Listed| (Target { id: message.id, uid: message.uid }, message.keywords.to_vec());
        roll.messages.iter().map(one).collect::<Vec<_>>()
    };
    let there = listed(archive).await;
    reach(archive).await.move_all(&[there[0].0.clone()], &reach(junk).await).await.unwrap();
    let there = listed(junk).await;
    assert_eq!(there[0].1, ["$Junk"]);
    reach(junk).await.copy(&[there[0].0.clone()], &reach(inbox).await).await.unwrap();
    assert_eq!(
        (&listed(inbox).await[0].1[..], &listed(junk).await[0].1[..]),
        (&["$NotJunk".to_owned()][..], &["$Junk".to_owned()][..])
    );
    let there = listed(inbox).await;
    reach(inbox).await.copy(&[there[0].0.clone()], &reach(junk).await).await.unwrap();
    assert_eq!(
        listed(junk).await.iter().map(|(_, keywords)| keywords.clone()).collect::<Vec<_>>(),
        [["$Junk"], ["$Junk"]]
    );
    reach(junk).await.move_all(&[listed(junk).await[0].0.clone()], &reach(archive).await).await.unwrap();
    assert_eq!(listed(archive).await[0].1, ["$NotJunk"]);
}

#[tokio::test]
async fn bytes_come_out_as_they_went_in() {
    let house = House::open().await.unwrap();
    let attachment: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
    let raw = fixtures::mail_with_attachment("x@y.test", ALICE, "File", &attachment);
    let id = deliver(&house, &[ALICE], raw.clone()).await;
    let alice = house.access(ALICE).await.unwrap();
    let message = alice.message(id).await.unwrap();
    assert_eq!(message.attachments.len(), 1);
    assert_eq!(house.raw(ALICE, id).await.unwrap().into_bytes(), raw);
    let (_, download) = alice.attachment(id, &message.attachments[0].id).await.unwrap();
    assert_eq!(download.size_bytes, attachment.len() as u64);
    let pieces: Vec<bytes::Bytes> = download.content.bytes(1_000..200_001).try_collect().await.unwrap();
    assert_eq!(pieces.concat(), attachment[1_000..200_001]);
}

#[tokio::test]
async fn pages_go_on_where_the_last_ended() {
    let house = House::open().await.unwrap();
    for n in 0..25 {
        house.clock.advance(Duration::from_secs(1));
        deliver(&house, &[ALICE], fixtures::mail("x@y.test", ALICE, &format!("n{n}"), "text")).await;
    }
    let alice = house.access(ALICE).await.unwrap();
    let inbox = folder(&alice, Role::Inbox).await;
    assert_eq!((inbox.total, inbox.unread), (25, 25));
    let (mut subjects, mut cursor) = (Vec::new(), None);
    loop {
        let query = PageQuery { cursor, limit: Some(10), filter: Filter::default() };
        let page = alice.page(inbox.id, &query).await.unwrap();
        subjects.extend(page.messages.into_iter().map(|message| message.subject));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let newest_first: Vec<_> = (0..25).rev().map(|n| format!("n{n}")).collect();
    assert_eq!(subjects, newest_first);
    let unknown = alice.page(MailboxId(999), &PageQuery::default()).await;
    assert!(matches!(unknown, Err(Error::NotFound(_))));
    let broken = PageQuery { cursor: Some("nonsense".into()), ..PageQuery::default() };
    assert!(matches!(alice.page(inbox.id, &broken).await, Err(Error::Cursor)));
}

/// A page is kept until the folder changes, and after each kind of change the page is what the folder is.
#[tokio::test]
async fn pages_are_never_older_than_their_folder() {
    let house = House::open().await.unwrap();
    let (first, second) = (
        deliver(&house, &[ALICE], fixtures::mail("x@y.test", ALICE, "First", "text")).await,
        deliver(&house, &[ALICE], fixtures::mail("x@y.test", ALICE, "Second", "text")).await,
    );
    deliver(&house, &[BOB], fixtures::mail("x@y.test", BOB, "Bob's", "text")).await;
    let (alice, bob) = (house.access(ALICE).await.unwrap(), house.access(BOB).await.unwrap());
    let inbox = folder(&alice, Role::Inbox).await.id;
    let unread =
        PageQuery { filter: Filter { unread: Some(true), ..Filter::default() }, ..PageQuery::default() };
    let subjects = async |query: &PageQuery| {
        let page = alice.page(inbox, query).await.unwrap();
        // Again, as it was kept; told by the mailbox alone.
        assert_eq!(alice.page(inbox, query).await.unwrap(), page);
        let mut subjects: Vec<_> = page.messages.into_iter().map(|message| message.subject).collect();
        subjects.sort();
        subjects
    };
    let (all, bobs) = (PageQuery::default(), folder(&bob, Role::Inbox).await.id);
    assert_eq!(subjects(&all).await, ["First", "Second"]);
    assert_eq!(subjects(&unread).await, ["First", "Second"]);
    assert_eq!(inbox, bobs, "folders of two accounts may have one number");
    assert_eq!(bob.page(bobs, &all).await.unwrap().messages[0].subject, "Bob's");

    let read = api::Patch { unread: Some(false), ..api::Patch::default() };
    alice.patch_one(first, &read).await.unwrap();
    assert_eq!(subjects(&unread).await, ["Second"]);
    assert_eq!(subjects(&all).await, ["First", "Second"]);
    alice.delete(&[second]).await.unwrap();
    assert_eq!(subjects(&all).await, ["First"]);
    assert!(subjects(&unread).await.is_empty());
    deliver(&house, &[ALICE], fixtures::mail("x@y.test", ALICE, "Third", "text")).await;
    assert_eq!(subjects(&all).await, ["First", "Third"]);
    let one = PageQuery { limit: Some(1), ..PageQuery::default() };
    assert_eq!(subjects(&one).await.len(), 1);
    assert_eq!(subjects(&all).await.len(), 2);
}

#[tokio::test]
async fn changes_are_told_from_any_point_on() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let start = alice.modseq().await.unwrap();
    let mut hints = alice.subscribe();
    let id = deliver(&house, &[ALICE], fixtures::mail("x@y.test", ALICE, "New", "text")).await;
    hints.next().await;
    let created = alice.changes(start).await.unwrap().change;
    assert_eq!(created.created.len(), 1);
    assert_eq!(created.folders.iter().map(|folder| folder.unread).max(), Some(1));

    let read = api::Patch { unread: Some(false), flagged: Some(true), ..api::Patch::default() };
    assert!(alice.patch_one(id, &read).await.unwrap().flagged);
    let updated = alice.changes(created.modseq()).await.unwrap().change;
    assert_eq!((updated.created.len(), updated.updated.len()), (0, 1));

    alice.delete(&[id]).await.unwrap();
    let moved = alice.changes(updated.modseq()).await.unwrap().change;
    assert_eq!(moved.updated[0].folder_id, folder(&alice, Role::Trash).await.id);
    assert!(moved.removed.is_empty(), "it is only in another folder");

    alice.delete(&[id]).await.unwrap();
    let gone = alice.changes(moved.modseq()).await.unwrap().change;
    assert_eq!(gone.removed, [id]);
    assert!(matches!(alice.message(id).await, Err(Error::NotFound(_))));
    assert!(alice.changes(ModSeq(gone.modseq + 1)).await.unwrap().reset, "nobody can be ahead of the log");
}

#[tokio::test]
async fn folders_are_made_renamed_and_thrown_away_with_their_mail_kept() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let new = |name: &str, parent_id| api::NewFolder { name: name.into(), parent_id };
    let work = alice.create_folder(&new(" 프로젝트 ", None)).await.unwrap();
    assert_eq!(work.name, "프로젝트");
    for (name, parent) in [("프로젝트", None), ("INBOX", None)] {
        assert!(matches!(alice.create_folder(&new(name, parent)).await, Err(Error::Conflict(_))), "{name}");
    }
    for name in ["", "   ", "a/b", "a\nb", "a\u{2028}b", "a\u{2029}b", "..", "\u{202e}evil", &"x".repeat(101)]
    {
        assert!(matches!(alice.create_folder(&new(name, None)).await, Err(Error::Invalid { .. })), "{name}");
    }
    let child = alice.create_folder(&new("2026", Some(work.id))).await.unwrap();
    assert!(matches!(alice.delete_folder(work.id).await, Err(Error::Conflict(_))), "it has a child");
    let id = deliver(&house, &[ALICE], fixtures::mail("x@y.test", ALICE, "Filed", "text")).await;
    alice.patch_one(id, &api::Patch { folder_id: Some(child.id), ..api::Patch::default() }).await.unwrap();
    alice.rename_folder(child.id, "2027").await.unwrap();
    alice.delete_folder(child.id).await.unwrap();
    assert_eq!(house.list(ALICE, Role::Trash).await.unwrap()[0].id, id);
    let inbox = folder(&alice, Role::Inbox).await.id;
    assert!(matches!(alice.delete_folder(inbox).await, Err(Error::Conflict(_))));
    assert!(matches!(alice.rename_folder(inbox, "x").await, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn sending_keeps_a_copy_and_drafts_give_way() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let question = deliver(&house, &[ALICE], fixtures::mail(BOB, ALICE, "Question", "what?")).await;
    let draft =
        api::Compose { to: to(BOB), subject: "Re: Question".into(), draft: true, ..api::Compose::default() };
    let first = alice.compose(draft.clone()).await.unwrap();
    let second = api::Compose { replaces: Some(first.id), text: Some("so".into()), ..draft.clone() };
    let second = alice.compose(second).await.unwrap();
    let drafts = house.list(ALICE, Role::Drafts).await.unwrap();
    assert_eq!(drafts.iter().map(|draft| draft.id).collect::<Vec<_>>(), [second.id]);

    let file = stream::iter([Ok(bytes::Bytes::from_static(b"content"))]).boxed();
    let upload = alice.upload("../../보고서\u{202e}.txt", "text/plain", file).await.unwrap();
    let send = api::Compose {
        draft: false,
        replaces: Some(second.id),
        in_reply_to: Some(question),
        attachments: vec![upload.id.to_string()],
        bcc: to("secret@elsewhere.test"),
        ..draft
    };
    let sent = alice.compose(send).await.unwrap();
    assert!(house.list(ALICE, Role::Drafts).await.unwrap().is_empty());
    let copy = alice.message(sent.id).await.unwrap();
    assert_eq!(copy.attachments[0].filename, "보고서.txt");
    assert_eq!(copy.summary.thread_id, alice.message(question).await.unwrap().summary.thread_id);
    assert_eq!(copy.summary.delivery.len(), 2);
    assert!(alice.message(question).await.unwrap().summary.answered);
    let queue = house.mail.admin().queue(10).await.unwrap();
    assert_eq!(queue[0].recipients.len(), 2);
    assert_eq!(queue[0].message, Some(sent.id));
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_by_name() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let most = house.mail.config().max_recipients;
    let many = (0..=most).map(|n| Address { name: String::new(), email: format!("a{n}@b.test") }).collect();
    let base = api::Compose { to: to(BOB), ..api::Compose::default() };
    let bob = house.access(BOB).await.unwrap();
    let bobs = bob.compose(api::Compose { draft: true, ..base.clone() }).await.unwrap().id;
    let question = deliver(&house, &[ALICE], fixtures::mail(BOB, ALICE, "Question", "what?")).await;
    let place = api::SharedId { owner: bob.id(), folder: folder(&bob, Role::Inbox).await.id };
    for (compose, field) in [
        (api::Compose { to: Vec::new(), ..base.clone() }, "to"),
        (api::Compose { cc: to("not an address"), ..base.clone() }, "cc[0].email"),
        (api::Compose { bcc: to("a@b.test\r\nX: y"), ..base.clone() }, "bcc[0].email"),
        (api::Compose { to: many, ..base.clone() }, "to"),
        (api::Compose { attachments: vec!["nope".into()], ..base.clone() }, "attachments[0]"),
        (api::Compose { in_reply_to: Some(house.mail.new_id()), ..base.clone() }, "in_reply_to"),
        (api::Compose { forward_of: Some(house.mail.new_id()), ..base.clone() }, "forward_of"),
        (api::Compose { replaces: Some(house.mail.new_id()), ..base.clone() }, "replaces"),
        (api::Compose { replaces: Some(house.mail.new_id()), draft: true, ..base.clone() }, "replaces"),
        (api::Compose { replaces: Some(bobs), in_reply_to: Some(question), ..base.clone() }, "replaces"),
        (api::Compose { shared: Some(place), ..base.clone() }, "shared"),
        (
            api::Compose {
                in_reply_to: Some(question),
                forward_of: Some(house.mail.new_id()),
                ..base.clone()
            },
            "forward_of",
        ),
    ] {
        match alice.compose(compose).await {
            Err(Error::Invalid { field: Some(named), .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    assert!(house.mail.admin().queue(10).await.unwrap().is_empty());
    for role in [Role::Sent, Role::Drafts] {
        assert_eq!(house.list(ALICE, role).await.unwrap(), []);
    }
    assert!(!alice.message(question).await.unwrap().summary.answered);
    assert!(bob.message(bobs).await.is_ok());
}

#[tokio::test]
async fn only_drafts_are_replaced() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let mail = api::Compose { to: to(BOB), ..api::Compose::default() };
    let received = deliver(&house, &[ALICE], fixtures::mail(BOB, ALICE, "Question", "what?")).await;
    let sent = alice.compose(mail.clone()).await.unwrap().id;
    for (id, draft) in [(received, true), (received, false), (sent, true), (sent, false)] {
        for in_reply_to in [None, Some(received)] {
            let refused = api::Compose { replaces: Some(id), draft, in_reply_to, ..mail.clone() };
            match alice.compose(refused).await {
                Err(Error::Invalid { field: Some(field), .. }) => assert_eq!(field, "replaces"),
                other => panic!("{other:?}"),
            }
        }
        assert!(alice.message(id).await.is_ok());
    }
    assert_eq!(house.list(ALICE, Role::Drafts).await.unwrap(), []);
    assert_eq!(house.list(ALICE, Role::Sent).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_draft_answers_what_its_own_field_names() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let named = "In-Reply-To: <b@x.test>\r\nReferences: <a@x.test> <b@x.test> <c@x.test>\r\n";
    let raw = format!("From: {ALICE}\r\nTo: {BOB}\r\n{named}\r\nso\r\n");
    let import = mail::Import {
        folder: folder(&alice, Role::Drafts).await.id,
        raw: raw.into(),
        received_at: None,
        flags: Flags::DRAFT,
        labels: Vec::new(),
    };
    let imported = alice.import(vec![import]).await.unwrap();
    let Some(mail::Imported::New(draft)) = imported.first().copied() else { panic!("{imported:?}") };
    let sent = api::Compose { to: to(BOB), replaces: Some(draft), ..api::Compose::default() };
    let sent = alice.compose(sent).await.unwrap().id;
    let raw = house.raw(ALICE, sent).await.unwrap();
    assert!(named.lines().all(|line| raw.contains(&format!("{line}\r\n"))), "{raw}");
    assert!(house.list(ALICE, Role::Drafts).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_draft_outlives_what_it_answers() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let question = deliver(&house, &[ALICE], fixtures::mail(BOB, ALICE, "Question", "what?")).await;
    let mail = api::Compose { to: to(BOB), in_reply_to: Some(question), ..api::Compose::default() };
    let draft = alice.compose(api::Compose { draft: true, ..mail.clone() }).await.unwrap().id;
    for _ in ["to Trash", "for good"] {
        alice.delete(&[question]).await.unwrap();
    }
    assert!(alice.message(question).await.is_err());
    let sent = alice.compose(api::Compose { replaces: Some(draft), ..mail }).await.unwrap().id;
    assert!(house.raw(ALICE, sent).await.unwrap().contains("\r\nIn-Reply-To: <"));
}

#[tokio::test]
async fn a_draft_goes_on_answering_what_it_answered() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let question = deliver(&house, &[ALICE], fixtures::mail(BOB, ALICE, "Question", "what?")).await;
    let mail = |replaces| api::Compose { to: to(BOB), replaces, ..api::Compose::default() };
    let fields = async |id| {
        let raw = house.raw(ALICE, id).await.unwrap();
        let named = |line: &&str| line.starts_with("In-Reply-To:") || line.starts_with("References:");
        raw.lines().filter(named).map(str::to_owned).collect::<Vec<_>>()
    };
    for (begun, lines) in [
        (api::Compose { in_reply_to: Some(question), ..mail(None) }, 2),
        (api::Compose { forward_of: Some(question), ..mail(None) }, 1),
    ] {
        let first = alice.compose(api::Compose { draft: true, ..begun }).await.unwrap().id;
        let wanted = fields(first).await;
        assert_eq!(wanted.len(), lines);
        // What it answers is not known to who goes on with it.
        let second = alice.compose(api::Compose { draft: true, ..mail(Some(first)) }).await.unwrap().id;
        let sent = alice.compose(mail(Some(second))).await.unwrap().id;
        assert_eq!(fields(sent).await, wanted);
    }
}

#[tokio::test]
async fn search_joins_texts_with_what_lists_show() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    deliver(&house, &[ALICE], fixtures::mail("kim@y.test", ALICE, "Report", "월간보고서를 보냅니다")).await;
    let read =
        deliver(&house, &[ALICE], fixtures::mail("lee@y.test", ALICE, "Lunch", "보고서 말고 점심")).await;
    alice.patch_one(read, &api::Patch { unread: Some(false), ..api::Patch::default() }).await.unwrap();
    house.mail.index_all().await.unwrap();
    for (query, count) in [
        ("보고서", 2),
        ("월간", 1),
        ("보고서 is:unread", 1),
        ("from:lee", 1),
        ("is:read", 1),
        ("in:inbox report", 1),
        ("in:trash report", 0),
        ("보고서 -lunch", 1),
        ("report OR lunch", 2),
        ("", 2),
    ] {
        let found = alice.search(query, None, None).await.unwrap();
        assert_eq!((found.messages.len(), found.total), (count, count as u64), "{query}");
    }
    let found = alice.search("월간", None, None).await.unwrap();
    assert!(found.messages[0].snippet.as_ref().unwrap().contains("<mark>월간</mark>"));
    alice.delete(&[read]).await.unwrap();
    alice.delete(&[read]).await.unwrap();
    house.mail.index_all().await.unwrap();
    assert_eq!(alice.search("보고서", None, None).await.unwrap().total, 1);
}

/// A file of this size lies in the blob store, and not beside the mail's own words.
#[tokio::test]
async fn search_finds_texts_in_files_and_in_mails_within() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let rows = "name,value\r\n".repeat(20_000);
    let raw = format!(
        "From: x@y.test\r\nTo: {ALICE}\r\nSubject: Figures\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\n\r\nSee below.\r\n--b\r\nContent-Type: text/csv\r\n\
         Content-Disposition: attachment; filename=figures.csv\r\n\r\n{rows}needle in the last row\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\nFrom: kim@k.test\r\nSubject: Forwarded\r\n\r\nInner words\r\n\
         --b--\r\n"
    );
    let id = deliver(&house, &[ALICE], raw.into_bytes()).await;
    house.mail.index_all().await.unwrap();
    // First by the text as it came in, then by what is stored.
    for _ in 0..2 {
        for query in
            ["needle", "\"needle in the last row\"", "body:forwarded", "kim@k.test", "\"inner words\""]
        {
            let found = alice.search(query, None, None).await.unwrap().messages;
            assert_eq!(found.iter().map(|message| message.id).collect::<Vec<_>>(), [id], "{query}");
        }
        house.mail.admin().rebuild_index(&mut |_| ()).await.unwrap();
    }
    let preview = alice.message(id).await.unwrap().summary.preview;
    assert_eq!(preview, "See below.");
}

/// The log has a message where it was changed last, which may be many pieces after where it was created.
#[tokio::test]
async fn what_was_changed_long_after_it_came_is_indexed() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..450 {
        ids.push(deliver(&house, &[ALICE], fixtures::mail("x@y.test", ALICE, "Hello", "found")).await);
    }
    let read = api::Patch { unread: Some(false), ..api::Patch::default() };
    for id in ids.iter().step_by(9) {
        alice.patch_one(*id, &read).await.unwrap();
    }
    alice.delete(&ids[..10]).await.unwrap();
    alice.delete(&ids[..10]).await.unwrap();
    house.mail.index_all().await.unwrap();
    assert_eq!(alice.search("found", None, None).await.unwrap().total, 440);
    house.mail.admin().rebuild_index(&mut |_| ()).await.unwrap();
    assert_eq!(alice.search("found", None, None).await.unwrap().total, 440);
}

#[tokio::test]
async fn the_index_is_built_anew() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let kept = deliver(&house, &[ALICE], fixtures::mail("x@y.test", ALICE, "Kept", "found")).await;
    let gone = deliver(&house, &[ALICE, BOB], fixtures::mail("x@y.test", ALICE, "Gone", "found")).await;
    house.mail.index_all().await.unwrap();
    let admin = house.mail.admin();
    alice.delete(&[gone]).await.unwrap();
    alice.delete(&[gone]).await.unwrap();
    let behind = async || admin.indexed().await.unwrap().0.iter().map(|shard| shard.behind).sum::<u64>();
    assert_eq!(behind().await, 1);
    let mut done = 0;
    admin.rebuild_index(&mut |so_far| done = so_far).await.unwrap();
    assert!(done >= 1);
    let found = alice.search("found", None, None).await.unwrap().messages;
    assert_eq!(found.iter().map(|message| message.id).collect::<Vec<_>>(), [kept]);
    // The indexer goes on where it was.
    assert_eq!(behind().await, 1);
    deliver(&house, &[ALICE], fixtures::mail("x@y.test", ALICE, "New", "found")).await;
    house.mail.index_all().await.unwrap();
    assert_eq!(behind().await, 0);
    assert_eq!(alice.search("found", None, None).await.unwrap().total, 2);
}

#[tokio::test]
async fn housekeeping_removes_what_nothing_names() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let kept =
        deliver(&house, &[ALICE], fixtures::mail_with_attachment("x@y.test", ALICE, "Keep", &[1; 100_000]))
            .await;
    let gone =
        deliver(&house, &[ALICE], fixtures::mail_with_attachment("x@y.test", ALICE, "Go", &[2; 100_000]))
            .await;
    let file = stream::iter([Ok(bytes::Bytes::from_static(b"content"))]).boxed();
    let upload = alice.upload("a.txt", "text/plain", file).await.unwrap();
    alice.delete(&[gone]).await.unwrap();
    alice.delete(&[gone]).await.unwrap();
    house.clock.advance(house.mail.config().upload_lifetime + house.mail.config().blob_grace);
    house.mail.keep_house().await.unwrap();
    let (_, download) = alice.attachment(kept, "2").await.unwrap();
    assert_eq!(download.size_bytes, 100_000);
    let compose =
        api::Compose { to: to(BOB), attachments: vec![upload.id.to_string()], ..api::Compose::default() };
    assert!(matches!(alice.compose(compose).await, Err(Error::Invalid { .. })), "the upload has expired");
}
