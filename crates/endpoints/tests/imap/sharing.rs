//! Shared mailboxes over the wire: what answers tell of what is not shared, accounts that are closed, and clients that
//! go away in the middle of a copy.

use std::collections::BTreeSet;
use std::time::Duration;

use mail::NewLetter;
use types::{EmailAddress, Flags, Role};

use super::client::{Client, Site};

const THEIRS: &str = "Other Users/alice@demo.test";
const BYE: &str = "* BYE Please log in again";

fn email(name: &str) -> EmailAddress {
    format!("{name}@demo.test").parse().unwrap()
}

async fn ok(client: &mut Client, command: &str) {
    let lines = client.ask(command).await;
    assert!(lines.last().unwrap().starts_with("t OK"), "{command}: {lines:?}");
}

/// Puts this message into alice's inbox so many times.
async fn fill(site: &Site, count: usize, raw: &str) {
    let alice = site.house.access("alice@demo.test").await.unwrap();
    let folders = alice.folders().await.unwrap().folders;
    let inbox = folders.iter().find(|folder| folder.role == Some(Role::Inbox)).unwrap().id;
    let letter = NewLetter {
        raw: raw.as_bytes().to_vec().into(),
        flags: Flags::NONE,
        keywords: Vec::new(),
        received_at: None,
    };
    alice.append(inbox, vec![letter; count]).await.unwrap().unwrap();
}

/// What a command is answered with, the mailbox's name left out.
async fn said(client: &mut Client, command: &str, name: &str) -> Vec<String> {
    ok(client, "SELECT Archive").await;
    let lines = client.ask(&command.replace("NAME", name)).await;
    lines.into_iter().map(|line| line.replace(name, "NAME")).collect()
}

/// Every command that takes a name.
const COMMANDS: &[&str] = &[
    "SELECT \"NAME\"",
    "EXAMINE \"NAME\"",
    "STATUS \"NAME\" (MESSAGES)",
    "LIST \"\" \"NAME\" RETURN (MYRIGHTS STATUS (MESSAGES))",
    "LSUB \"\" \"NAME\"",
    "SUBSCRIBE \"NAME\"",
    "UNSUBSCRIBE \"NAME\"",
    "CREATE \"NAME\"",
    "CREATE \"NAME/Below\"",
    "DELETE \"NAME\"",
    "RENAME \"NAME\" \"NAME2\"",
    "RENAME \"NAME\" Mine",
    "RENAME Archive \"NAME\"",
    "GETACL \"NAME\"",
    "MYRIGHTS \"NAME\"",
    "LISTRIGHTS \"NAME\" bob@demo.test",
    "SETACL \"NAME\" bob@demo.test lr",
    "DELETEACL \"NAME\" bob@demo.test",
    "GETQUOTAROOT \"NAME\"",
    "GETMETADATA \"NAME\" /private/comment",
    "SETMETADATA \"NAME\" (/private/comment \"x\")",
    "GETMETADATA \"NAME\" /shared/comment",
    "SETMETADATA \"NAME\" (/shared/comment \"x\")",
    "LIST \"\" \"NAME\" RETURN (METADATA (/shared/comment))",
    "APPEND \"NAME\" {4+}\r\na: b",
    "COPY 1 \"NAME\"",
    "MOVE 1 \"NAME\"",
    "REPLACE 1 \"NAME\" {4+}\r\na: b",
    "ESEARCH IN (subtree \"NAME\") ALL",
    "NOTIFY SET (mailboxes \"NAME\" (MessageNew MessageExpunge))",
];

/// RFC 4314 §4 and §6: what somebody has no rights to, or none that show it, is answered as what is not there.
#[tokio::test(flavor = "multi_thread")]
async fn answers_do_not_tell_what_is_there() {
    let site = Site::start().await;
    let (mut alice, mut bob) = (site.alice().await, site.who("bob").await);
    for name in ["Projects", "Projects/Secret", "Projects/Posting", "Alone"] {
        ok(&mut alice, &format!("CREATE {name}")).await;
    }
    ok(&mut alice, "SETACL Projects/Posting bob@demo.test p").await;
    ok(&mut bob, "APPEND Archive {4+}\r\na: b").await;
    // Once with nothing to see above them, once with as much as shows nothing below.
    for above in [None, Some("lrswipteax")] {
        if let Some(rights) = above {
            ok(&mut alice, &format!("SETACL Projects bob@demo.test {rights}")).await;
        }
        for command in COMMANDS {
            let wanted = said(&mut bob, command, &format!("{THEIRS}/Projects/Nowhere")).await;
            for there in ["Projects/Secret", "Projects/Posting"] {
                let told = said(&mut bob, command, &format!("{THEIRS}/{there}")).await;
                assert_eq!(told, wanted, "{command} of {there}, {above:?}");
            }
            let nobody = said(&mut bob, command, "Other Users/nobody@demo.test/Projects").await;
            let alone = said(&mut bob, command, &format!("{THEIRS}/Alone")).await;
            assert_eq!(alone, nobody, "{command} of a top level, {above:?}");
        }
    }
    assert_eq!(alice.ask("LIST \"\" \"Projects/*\"").await.len(), 3);
    // Who may make mailboxes there learns which names are taken, and who may remove one, that others are in it: nothing
    // else could be said.
    ok(&mut alice, "SETACL Projects bob@demo.test +k").await;
    let taken = said(&mut bob, "CREATE \"NAME\"", &format!("{THEIRS}/Projects/Secret")).await;
    assert_eq!(taken, ["t NO [ALREADYEXISTS] There is a mailbox of that name already"]);
    let full = said(&mut bob, "DELETE \"NAME\"", &format!("{THEIRS}/Projects")).await;
    assert_eq!(full, ["t NO [HASCHILDREN] There are mailboxes in it"]);
}

/// What a closed account shares is not there for others, also not where it is selected.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_closed_shares_nothing() {
    let site = Site::start().await;
    let (mut alice, mut bob, mut other) = (site.alice().await, site.who("bob").await, site.who("bob").await);
    ok(&mut alice, "APPEND INBOX {15+}\r\nSubject: x\r\n\r\ny").await;
    ok(&mut alice, "SETACL INBOX bob@demo.test lrswipkxtea").await;
    let inbox = format!("\"{THEIRS}/INBOX\"");
    ok(&mut bob, &format!("SELECT {inbox}")).await;
    site.house.mail.admin().set_enabled(&email("alice"), false).await.unwrap();

    let barred = "NO [NOPERM] The selected mailbox is not shared with you for reading any more";
    for command in
        ["FETCH 1 BODY.PEEK[]", "SEARCH ALL", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "MOVE 1 Archive"]
    {
        assert_eq!(bob.ask(command).await, [format!("t {barred}")], "{command}");
    }
    assert_eq!(other.ask("LIST \"\" \"Other Users/*\"").await, ["t OK Listed"]);
    let nothing = "t NO [NONEXISTENT] There is no such mailbox";
    for command in ["SELECT", "GETACL", "DELETE", "MYRIGHTS"] {
        assert_eq!(other.ask(&format!("{command} {inbox}")).await, [nothing], "{command}");
    }
    assert_eq!(other.ask(&format!("APPEND {inbox} {{4+}}\r\na: b")).await, [nothing]);
    assert_eq!(alice.ask("NOOP").await[0], BYE);

    site.house.mail.admin().set_enabled(&email("alice"), true).await.unwrap();
    ok(&mut bob, "FETCH 1 BODY.PEEK[]").await;
    ok(&mut other, &format!("SELECT {inbox}")).await;

    // And to whom is shared is out, whatever was selected.
    site.house.mail.admin().set_enabled(&email("bob"), false).await.unwrap();
    assert_eq!(bob.ask("FETCH 1 BODY.PEEK[]").await[0], BYE);
    assert_eq!(other.ask("NOOP").await[0], BYE);
}

/// Whose an alias is, and whether there is a catch-all, is not told to who shares.
#[tokio::test(flavor = "multi_thread")]
async fn identifiers_are_accounts_own_addresses() {
    let site = Site::start().await;
    let admin = site.house.mail.admin();
    let mut alice = site.alice().await;
    admin.add_alias(&email("robert"), &email("bob")).await.unwrap();
    admin.set_group(&email("team"), &email("bob"), &[email("alice")]).await.unwrap();
    for catches_all in [false, true] {
        if catches_all {
            admin.add_alias(&email("*"), &email("bob")).await.unwrap();
        }
        for command in ["SETACL INBOX NAME lr", "DELETEACL INBOX NAME", "LISTRIGHTS INBOX NAME"] {
            let mut all = BTreeSet::new();
            for name in
                ["robert@demo.test", "team@demo.test", "nobody@demo.test", "x@elsewhere.test", "anyone"]
            {
                all.insert(said(&mut alice, command, name).await);
            }
            let all: Vec<_> = all.into_iter().collect();
            assert_eq!(all.len(), 1, "{command}: {all:?}");
            assert!(all[0][0].starts_with("t NO [CANNOT] "), "{all:?}");
        }
    }
    assert_eq!(alice.ask("GETACL INBOX").await[0], "* ACL \"INBOX\" \"alice@demo.test\" lrswipkxteacd");
}

/// A client hangs up while its messages are carried from one account to another: they are there, or none of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_without_its_client_is_whole_or_undone() {
    const MANY: usize = 220;
    let site = Site::start_with(|settings| settings.progress_every = Duration::ZERO).await;
    let (mut alice, mut bob) = (site.alice().await, site.who("bob").await);
    ok(&mut alice, "SETACL INBOX bob@demo.test lr").await;
    fill(&site, MANY, "Subject: x\r\n\r\ny").await;
    ok(&mut bob, &format!("SELECT \"{THEIRS}/INBOX\"")).await;
    bob.send(b"c COPY 1:* Archive\r\n").await;
    // Then it is on its way.
    let line = bob.line().await;
    assert!(line.starts_with("* OK [INPROGRESS (\"c\" "), "{line}");
    drop(bob);
    site.house.mail.finish_writes().await;
    let mut again = site.who("bob").await;
    let status = again.ask("STATUS Archive (MESSAGES)").await.remove(0);
    let whole = format!("* STATUS \"Archive\" (MESSAGES {MANY})");
    assert!([&*whole, "* STATUS \"Archive\" (MESSAGES 0)"].contains(&&*status), "{status}");
}

/// NOTIFY and searches that are kept up to date tell nothing of what came after the right was taken away.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_unasked_ends_with_the_right() {
    let site = Site::start().await;
    let (mut alice, mut bob) = (site.alice().await, site.who("bob").await);
    ok(&mut alice, "SETACL INBOX bob@demo.test lr").await;
    ok(&mut bob, &format!("SELECT \"{THEIRS}/INBOX\"")).await;
    ok(&mut bob, "UID SEARCH RETURN (ALL UPDATE) ALL").await;
    let items = "UID PREVIEW BODY.PEEK[TEXT]";
    ok(&mut bob, &format!("NOTIFY SET (selected (MessageNew ({items}) MessageExpunge FlagChange))")).await;
    ok(&mut alice, "APPEND INBOX {19+}\r\nSubject: x\r\n\r\nfirst").await;
    while !bob.line().await.contains("first") {}
    ok(&mut alice, "SETACL INBOX bob@demo.test l").await;
    let barred = "* NO [NOPERM] The selected mailbox is not shared with you for reading any more";
    assert_eq!(bob.line().await, barred);
    ok(&mut alice, "APPEND INBOX {20+}\r\nSubject: x\r\n\r\nsecret").await;
    for (command, wanted) in [("NOOP", "t OK Done"), ("NOTIFY NONE", "t OK Nothing will be told")] {
        assert_eq!(bob.ask(command).await, [wanted]);
    }
}

/// Who reads slowly is sent no more than what was under way when the right was taken away.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_fetch_ends_with_the_right() {
    const MANY: usize = 60;
    let site = Site::start().await;
    let (mut alice, mut bob) = (site.alice().await, site.who("bob").await);
    ok(&mut alice, "SETACL INBOX bob@demo.test lr").await;
    let line = format!("{}\r\n", "y".repeat(70));
    fill(&site, MANY, &format!("Subject: x\r\n\r\n{}", line.repeat(7_000))).await;
    ok(&mut bob, &format!("SELECT \"{THEIRS}/INBOX\"")).await;
    bob.send(b"f FETCH 1:* BODY.PEEK[]\r\n").await;
    assert!(bob.line().await.starts_with("* 1 FETCH "));
    ok(&mut alice, "DELETEACL INBOX bob@demo.test").await;
    let mut told = 1;
    let end = loop {
        let line = bob.line().await;
        match line.contains(" FETCH ") {
            true => told += 1,
            false => break line,
        }
    };
    let barred = "NO [NOPERM] The selected mailbox is not shared with you for reading any more";
    assert!(end == format!("f {barred}") || end == format!("* {barred}"), "{end}");
    assert!(told < MANY, "all was sent");
}
