//! Accounts with hardly any room left.

use testkit::house::PASSWORD;
use types::Secret;

use super::client::{Client, Site};

/// RFC 8508: what a message takes that is replaced is room for the one that comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_replaced_where_there_is_no_room_for_two() {
    let site = Site::start().await;
    let carol = "carol@demo.test".parse().unwrap();
    let password = Secret::new(PASSWORD.to_owned());
    site.house.mail.admin().add_account(&carol, "Carol", password, Some(1_000)).await.unwrap();
    let mut client = site.who("carol").await;
    let said = async |client: &mut Client, command: &str, size: usize| {
        let head = "Subject: draft\r\n\r\n";
        let mail = format!("{head}{}", "x".repeat(size - head.len()));
        client.ask(&format!("{command} {{{size}+}}\r\n{mail}")).await.pop().unwrap()
    };
    let added = said(&mut client, "APPEND Drafts", 900).await;
    assert!(added.starts_with("t OK"), "{added}");
    client.ask("SELECT Drafts").await;
    let full = "t NO [OVERQUOTA] ";
    for (command, size, wanted) in [
        ("APPEND Drafts", 900, full),
        ("REPLACE 1 Drafts", 1_001, full),
        ("REPLACE 1 Drafts", 900, "t OK"),
        ("REPLACE 1 Drafts", 950, "t OK"),
        ("REPLACE 1 Drafts", 500, "t OK"),
        ("REPLACE 1 Archive", 600, "t OK"),
    ] {
        let answer = said(&mut client, command, size).await;
        assert!(answer.starts_with(wanted), "{command} {size}: {answer}");
    }
    // What goes here makes no room for somebody else.
    let mut bob = site.who("bob").await;
    let letter = format!("APPEND INBOX {{400+}}\r\n{}", "a: b".repeat(100));
    for command in [letter.as_str(), "SELECT INBOX", "SETACL INBOX carol@demo.test lrswitexp"] {
        let answer = bob.ask(command).await.pop().unwrap();
        assert!(answer.starts_with("t OK"), "{command}: {answer}");
    }
    let opened = client.ask("SELECT \"Other Users/bob@demo.test/INBOX\"").await.pop().unwrap();
    assert!(opened.starts_with("t OK"), "{opened}");
    let answer = said(&mut client, "REPLACE 1 Archive", 500).await;
    assert!(answer.starts_with(full), "{answer}");
}
