//! Runs the files in `transcripts/`: `C:` is said, `S:` must come, in this order. A number or letter before it names the
//! connection, which is alice's unless it is `?` (nobody's), `b` or `c` (bob's) or `x` (another's); `=` delivers a mail with
//! this subject to alice. `…` stands for anything, `\r\n` for a line break in a literal.

use std::collections::HashMap;

use testkit::{House, PostgresCluster, fixtures};

use super::client::{Client, Site};

macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            run(include_str!(concat!("transcripts/", stringify!($name), ".txt"))).await;
        }
    )*};
}

transcripts!(
    acl,
    append_and_fetch,
    catenate,
    condstore,
    contexts,
    copy_and_move,
    depths,
    expunge_waits,
    idle,
    login,
    mailboxes,
    metadata,
    metadata_shared,
    multisearch,
    notes,
    notify,
    notify_shared,
    qresync,
    savedate,
    searches,
    shared,
    sorts,
    store,
    threads,
    uidonly,
);

/// The same with databases in PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn mailboxes_are_shared_on_postgres() {
    for script in [
        include_str!("transcripts/acl.txt"),
        include_str!("transcripts/shared.txt"),
        include_str!("transcripts/notify_shared.txt"),
        include_str!("transcripts/metadata_shared.txt"),
    ] {
        let cluster = PostgresCluster::start().await.unwrap();
        run_at(&Site::at(House::open_on_postgres(&cluster).await.unwrap()).await, script).await;
    }
}

async fn run(script: &str) {
    run_at(&Site::start().await, script).await;
}

async fn run_at(site: &Site, script: &str) {
    let mut clients: HashMap<String, Client> = HashMap::new();
    for (number, line) in script.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if line.starts_with('#') {
            continue;
        }
        if let Some(subject) = line.strip_prefix("= ") {
            deliver(site, subject).await;
            continue;
        }
        let (who, text) = line.split_once(": ").unwrap_or_else(|| panic!("line {}: {line}", number + 1));
        let (side, name) = who.split_at(1);
        if !clients.contains_key(name) {
            let client = match name.chars().next() {
                Some('?') => site.client().await,
                Some('b' | 'c') => site.who("bob").await,
                Some('x') => site.who("admin").await,
                _ => site.alice().await,
            };
            clients.insert(name.to_owned(), client);
        }
        let client = clients.get_mut(name).unwrap();
        match side {
            "C" => client.send(&bytes(text)).await,
            "S" => {
                let line = client.line().await;
                assert!(matches(text, &line), "line {}:\nwanted: {text}\n   got: {line}", number + 1);
            }
            _ => panic!("line {}: {line}", number + 1),
        }
    }
}

/// A line, in which `\r\n` and bytes like `\xFF` are written so.
fn bytes(text: &str) -> Vec<u8> {
    let text = format!("{}\r\n", text.replace("\\r\\n", "\r\n"));
    let mut pieces = text.split("\\x");
    let mut bytes = pieces.next().unwrap().as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        bytes.extend(&piece.as_bytes()[2..]);
    }
    bytes
}

fn matches(pattern: &str, line: &str) -> bool {
    let mut pieces = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap()) else { return false };
    let mut last = "";
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = if piece.is_empty() { rest } else { after };
        last = piece;
    }
    rest.is_empty() || (pattern.ends_with('…') && last.is_empty())
}

async fn deliver(site: &Site, subject: &str) {
    let to = site.house.access("alice@demo.test").await.unwrap().id();
    let raw = fixtures::mail("x@elsewhere.test", "alice@demo.test", subject, "Some text");
    let incoming = mail::Incoming {
        id: site.house.mail.new_id(),
        return_path: None,
        recipients: vec![("alice@demo.test".parse::<types::EmailAddress>().unwrap(), to).into()],
        terms: types::Terms::default(),
        raw: raw.into(),
    };
    site.house.mail.deliver(incoming).await.unwrap();
}
