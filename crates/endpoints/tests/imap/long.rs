//! Commands that take long, or are carried out for many messages: they say that they go on (RFC 9585), stop at the
//! operator's limit (RFC 9738), and need the same memory however much there is to read.

use std::num::NonZeroU32;
use std::time::Duration;

use super::client::{Client, Site};

async fn filled(site: &Site, count: usize) -> Client {
    let mut client = site.alice().await;
    for number in 0..count {
        let raw = format!("Subject: m{number}\r\n\r\nText {number} zq\r\n");
        let lines = client.ask(&format!("APPEND Archive {{{}+}}\r\n{raw}", raw.len())).await;
        assert!(lines.last().unwrap().starts_with("t OK"), "{lines:?}");
    }
    client.ask("SELECT Archive").await;
    client
}

/// The answers beside those that only say that it goes on; and how far it was by those.
fn parted(lines: Vec<String>) -> (Vec<String>, Vec<(u64, u64)>) {
    let (mut answers, mut progress) = (Vec::new(), Vec::new());
    for line in lines {
        match line.strip_prefix("* OK [INPROGRESS (\"t\" ") {
            Some(rest) => {
                let numbers: Vec<_> = rest.split(')').next().unwrap().split(' ').collect();
                if numbers != ["NIL", "NIL"] {
                    progress.push((numbers[0].parse().unwrap(), numbers[1].parse().unwrap()));
                }
            }
            None => answers.push(line),
        }
    }
    (answers, progress)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_says_so() {
    let site = Site::start_with(|settings| settings.progress_every = Duration::ZERO).await;
    let mut client = filled(&site, 400).await;
    let mut said = 0;
    for command in
        ["SEARCH BODY zq", "UID SORT (SUBJECT) UTF-8 BODY z", "THREAD REFERENCES UTF-8 TEXT \"zq\""]
    {
        let lines = client.ask(command).await;
        said += lines.iter().filter(|line| line.contains("[INPROGRESS (\"t\" ")).count();
        let (answers, progress) = parted(lines);
        assert_eq!(answers.len(), 2, "{command}: {answers:?}");
        assert!(answers[1].starts_with("t OK"), "{answers:?}");
        assert!(progress.iter().all(|(done, of)| done <= of), "{progress:?}");
    }
    assert!(said > 0, "it was never said that it goes on");
    let (answers, _) = parted(client.ask("UID COPY 1:* INBOX").await);
    assert!(answers.last().unwrap().starts_with("t OK [COPYUID"), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_limit_counts_from_the_end() {
    let limit = NonZeroU32::new(10);
    let site = Site::start_with(|settings| settings.message_limit = limit).await;
    let mut client = filled(&site, 25).await;
    let last = |lines: Vec<String>| lines.last().unwrap().clone();
    let capabilities = client.ask("CAPABILITY").await;
    assert!(capabilities[0].contains(" MESSAGELIMIT=10"), "{capabilities:?}");

    let fetched = client.ask("FETCH 1:* UID").await;
    assert_eq!((fetched.len(), &*fetched[0]), (11, "* 16 FETCH (UID 16)"));
    assert!(last(fetched).starts_with("t OK [MESSAGELIMIT 10 16] "));
    assert_eq!(last(client.ask("FETCH 1:10 UID").await), "t OK Fetched");
    let stored = client.ask("UID STORE 1:20 +FLAGS (\\Flagged)").await;
    assert_eq!(stored.len(), 11);
    assert!(last(stored).starts_with("t OK [MESSAGELIMIT 10 11] "));
    let found = client.ask("SEARCH ALL").await;
    assert_eq!(found[0], "* SEARCH 16 17 18 19 20 21 22 23 24 25");
    assert!(found[1].starts_with("t OK [MESSAGELIMIT 10 16] "));
    // What is certainly not meant counts for nothing, and so one gets on.
    assert_eq!(
        client.ask("SEARCH UIDBEFORE 16 UIDAFTER 5 TEXT zq").await,
        ["* SEARCH 6 7 8 9 10 11 12 13 14 15", "t OK Searched"]
    );
    assert!(last(client.ask("SEARCH UIDBEFORE 1").await).starts_with("t OK Searched"));
    for command in [
        "COPY 1:11 INBOX",
        "SORT (SUBJECT) UTF-8 ALL",
        "THREAD REFS UTF-8 BODY zq",
        "UID SORT (DATE) UTF-8 BODY x",
    ] {
        let answer = last(client.ask(command).await);
        assert!(answer.starts_with("t NO [MESSAGELIMIT 10] "), "{command}: {answer}");
    }
    assert!(last(client.ask("COPY 1:10 INBOX").await).starts_with("t OK [COPYUID"));
    client.ask("STORE 16:25 +FLAGS.SILENT (\\Deleted)").await;
    client.ask("STORE 6:15 +FLAGS.SILENT (\\Deleted)").await;
    let moved = last(client.ask("UID MOVE 1:* Trash").await);
    assert!(moved.starts_with("t OK [MESSAGELIMIT 10 16] "), "{moved}");
    client.ask("STORE 1:5 +FLAGS.SILENT (\\Deleted)").await;
    let expunged = last(client.ask("UID EXPUNGE 1:*").await);
    assert!(expunged.starts_with("t OK [MESSAGELIMIT 10 6] "), "{expunged}");
    assert_eq!(client.ask("EXPUNGE").await.len(), 6);
}

/// What a process has used most since it was last asked.
#[cfg(target_os = "linux")]
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    kilobytes << 10
}

/// A needle of fewer than three bytes is in no signature, so every message is read.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_short_needle_needs_no_more_memory_in_a_larger_mailbox() {
    const MAILS: usize = 24;
    let site = Site::start_with(|settings| settings.max_message_bytes = 4 << 20).await;
    let mut client = site.alice().await;
    let line = format!("{}\r\n", "lorem ipsum ".repeat(6));
    let text = line.repeat((2 << 20) / line.len());
    for number in 0..MAILS {
        let raw = format!("Subject: m{number}\r\n\r\n{text}{}\r\n", if number % 8 == 7 { "zq" } else { "" });
        client.send(format!("a APPEND Archive {{{}}}\r\n", raw.len()).as_bytes()).await;
        assert_eq!(client.line().await, "+ go on");
        client.send(format!("{raw}\r\n").as_bytes()).await;
        let answer = client.line().await;
        assert!(answer.starts_with("a OK"), "{answer}");
    }
    client.ask("SELECT Archive").await;
    client.ask("SEARCH BODY zq 1").await;
    peak_bytes();
    let before = peak_bytes();
    let (found, _) = parted(client.ask("SEARCH BODY zq").await);
    let grown = peak_bytes().saturating_sub(before);
    assert_eq!(found[0], "* SEARCH 8 16 24");
    assert!(grown < 24 << 20, "{} MiB more for {} MiB of mail", grown >> 20, MAILS * 2);
}

/// The system of whoever sends a mail in two pieces holds the second back until the first is acknowledged.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_in_pieces_does_not_wait_for_the_clock() {
    let site = Site::start().await;
    let mut client = site.alice().await;
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..60 {
        let raw = format!("Subject: m{number}\r\n\r\nText\r\n");
        let command = format!("t APPEND INBOX {{{}+}}\r\n{raw}", raw.len());
        for (pieces, times) in
            [vec![format!("{command}\r\n")], vec![command, "\r\n".to_owned()]].into_iter().zip(&mut times)
        {
            let begun = std::time::Instant::now();
            for piece in pieces {
                client.send(piece.as_bytes()).await;
            }
            let answer = client.line().await;
            assert!(answer.starts_with("t OK"), "{answer}");
            times.push(begun.elapsed());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    // Linux acknowledges after 40 ms what nothing is said to.
    assert!(times[1][30] < times[0][30] + Duration::from_millis(20), "{times:?}");
}
