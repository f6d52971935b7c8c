//! Programs that people read and write in: NeoMutt at a terminal, and imapflow, which programs are built of.

use std::fs;
use std::path::Path;

use super::{missing, run, server, succeeded};
use crate::support::{PASSWORD, Plane, Server, eventually, mail};

/// How many are in a mailbox, and how many of those are unread.
async fn counts(server: &Server, who: &str, mailbox: &str) -> (u64, u64) {
    let named = server.access(who).await.by_name(mailbox).await.unwrap();
    named.map_or((0, 0), |named| (named.mailbox.total, named.mailbox.unread))
}

pub(crate) async fn neomutt_reads_files_and_sends(plane: &Plane<'_>) {
    let server = server(plane).await;
    for number in 0..5 {
        server.deliver("alice", &mail(&format!("wanted {number}"))).await;
        server.deliver("alice", &mail(&format!("other {number}"))).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings");
    fs::write(&settings, neomutt(&server, folder.path())).unwrap();
    // Somebody opens one, files those that they wanted, and throws one away.
    let filed = "<limit>all<enter><tag-pattern>~s wanted<enter><tag-prefix><save-message>=Work<enter>\
                 <limit>~s other<enter><first-entry><display-message><exit><last-entry><delete-message>\
                 <limit>all<enter><sync-mailbox><quit>";
    if !at_a_terminal(folder.path(), &settings, filed).await {
        return server.stop().await;
    }
    assert_eq!(counts(&server, "alice", "Work").await.0, 5);
    assert_eq!(counts(&server, "alice", "INBOX").await, (4, 3), "one was read, one was thrown away");

    // A mail goes out by submission, and a copy into Sent by IMAP.
    let sent = "<mail>bob@demo.test<enter>Hi from a terminal<enter><send-message><quit>";
    assert!(at_a_terminal(folder.path(), &settings, sent).await);
    assert_eq!(counts(&server, "alice", "Sent").await.0, 1);
    // From a script, with something attached; there NeoMutt keeps no copy by IMAP.
    let (settings, note) = (settings.display().to_string(), folder.path().join("note.txt"));
    fs::write(&note, "A note\n").unwrap();
    let (note, none) = (note.display().to_string(), "unset record");
    let arguments = ["-n", "-F", &settings, "-e", none, "-s", "안녕 Bob", "-a", &note, "--", "bob@demo.test"];
    succeeded(&run("neomutt", &arguments, "Hello from a script\n").await.unwrap());
    let arrived = async || (counts(&server, "bob", "INBOX").await.0 == 2).then_some(());
    eventually("the mails that NeoMutt sent", arrived).await;
    let mut subjects = Vec::new();
    for mail in server.login("bob").await.messages("inbox").await {
        subjects.push(mail["subject"].as_str().unwrap().to_owned());
    }
    subjects.sort();
    assert_eq!(subjects, ["Hi from a terminal", "안녕 Bob"]);
    server.stop().await;
}

/// Presses these keys, the last of which ends it; false where it is not installed.
async fn at_a_terminal(folder: &Path, settings: &Path, pressed: &str) -> bool {
    let keys = folder.join("keys");
    let text = format!(
        "source {}\nset editor=true abort_unmodified=no abort_nosubject=no\npush \"{pressed}\"\n",
        settings.display()
    );
    fs::write(&keys, text).unwrap();
    let command = format!("neomutt -n -F {}", keys.display());
    let Some(output) = run("script", &["-qec", &command, "/dev/null"], "").await else { return false };
    if output.status.code() == Some(127) {
        missing("neomutt", &"not installed");
        return false;
    }
    succeeded(&output);
    true
}

fn neomutt(server: &Server, folder: &Path) -> String {
    let addresses = &server.node.addresses;
    let (imap, submission) = (addresses.imap.unwrap().port(), addresses.submission.unwrap().port());
    format!(
        "set folder=\"imap://127.0.0.1:{imap}/\" spoolfile=\"+INBOX\" record=\"+Sent\" postponed=\"+Drafts\"\n\
         set imap_user=\"alice@demo.test\" imap_pass=\"{PASSWORD}\" imap_authenticators=\"login\"\n\
         set smtp_url=\"smtp://alice@demo.test@127.0.0.1:{submission}\" smtp_pass=\"{PASSWORD}\"\n\
         set smtp_authenticators=\"plain\" ssl_starttls=no ssl_force_tls=no\n\
         set from=\"alice@demo.test\" realname=\"Alice\" use_from=yes hostname=\"client.test\" copy=yes\n\
         set quit=yes delete=yes move=no confirmappend=no confirmcreate=no wait_key=no pager_stop=yes\n\
         set tmpdir=\"{folder}\" header_cache=\"\" message_cachedir=\"\" sort=date timeout=5 net_inc=0\n\
         set charset=utf-8 assumed_charset=utf-8\n",
        folder = folder.display()
    )
}

/// The folder of the lock file, in which the packages are.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/programs/npm");

pub(crate) async fn imapflow_reads_and_writes(plane: &Plane<'_>) {
    let server = server(plane).await;
    if !Path::new(PACKAGES).join("node_modules/imapflow").is_dir() {
        missing("imapflow", &"not installed");
        return server.stop().await;
    }
    server.deliver("alice", &mail("Before")).await;
    let addresses = &server.node.addresses;
    let script = format!("{PACKAGES}/imapflow.js");
    let ports = [addresses.imap.unwrap(), addresses.imaps.unwrap()].map(|address| address.port().to_string());
    let arguments = [&*script, &ports[0], &ports[1], "alice@demo.test", PASSWORD];
    if let Some(output) = run("node", &arguments, "").await {
        succeeded(&output);
    }
    server.stop().await;
}
