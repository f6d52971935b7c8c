//! Programs that keep a Maildir and an account the same, in both directions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{run, server, succeeded};
use crate::support::{Plane, Server};

const COUNT: usize = 2_000;
/// OfflineIMAP takes its time.
const FEW: usize = 60;

/// Two Maildirs that are synchronised with one account, the first with mail in its folder `work`.
struct Pair {
    folder: tempfile::TempDir,
    one: PathBuf,
    other: PathBuf,
}

impl Pair {
    fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        for maildir in [&one, &other] {
            for inner in ["cur", "new", "tmp"] {
                fs::create_dir_all(maildir.join("work").join(inner)).unwrap();
            }
        }
        let pair = Self { folder, one, other };
        for number in 0..count {
            pair.add(&pair.one, number, if number % 3 == 0 { "S" } else { "" });
        }
        pair
    }

    fn add(&self, maildir: &Path, number: usize, flags: &str) {
        let subject = format!("m{number}");
        let mail = testkit::fixtures::mail("x@y.test", "alice@demo.test", &subject, "Text\n안녕");
        let mail = String::from_utf8(mail).unwrap().replace("\r\n", "\n");
        fs::write(maildir.join(format!("work/cur/{number}.test:2,{flags}")), mail).unwrap();
    }

    /// The other side deletes one, reads one and gets one.
    fn change(&self, count: usize) {
        let find = |number: usize| {
            let subject = format!("Subject: m{number}\n");
            let mut all = files(&self.other.join("work")).into_iter();
            all.find(|path| fs::read_to_string(path).unwrap().contains(&subject)).unwrap()
        };
        fs::remove_file(find(7)).unwrap();
        let unread = find(8);
        let name = unread.file_name().unwrap().to_str().unwrap().split(':').next().unwrap().to_owned();
        fs::rename(&unread, self.other.join(format!("work/cur/{name}:2,FS"))).unwrap();
        self.add(&self.other, count, "");
    }

    /// Both have the same, which is so many; gives it.
    fn same(&self, count: usize) -> BTreeMap<String, String> {
        let one = contents(&self.one.join("work"));
        assert_eq!(one.len(), count);
        assert_eq!(one, contents(&self.other.join("work")));
        one
    }
}

fn files(maildir: &Path) -> Vec<PathBuf> {
    let folders = ["cur", "new"].into_iter().flat_map(|folder| fs::read_dir(maildir.join(folder)).unwrap());
    folders.map(|entry| entry.unwrap().path()).collect()
}

/// Every message by its content, without what these programs add, with its flags.
fn contents(maildir: &Path) -> BTreeMap<String, String> {
    let one = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("X-TUID: "));
        let flags = path.display().to_string().split_once(":2,").map(|(_, flags)| flags.to_owned());
        (lines.collect::<Vec<_>>().join("\n"), flags.unwrap_or_default())
    };
    files(maildir).into_iter().map(one).collect()
}

/// Runs the program for one side and then the other, again and again, with changes on the other in between.
async fn check(
    pair: &Pair,
    count: usize,
    program: &str,
    arguments: impl AsyncFn(&str) -> Vec<String>,
) -> bool {
    let sync = async |side: &str| {
        let arguments = arguments(side).await;
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = run(program, &arguments, "").await;
        output.inspect(succeeded).is_some()
    };
    let both = async |sides: [&str; 2]| sync(sides[0]).await && sync(sides[1]).await;
    if !both(["one", "other"]).await {
        return false;
    }
    let before = pair.same(count);
    assert!(both(["other", "one"]).await);
    assert_eq!(pair.same(count), before, "nothing changed, and nothing is done");
    pair.change(count);
    for sides in [["other", "one"], ["one", "other"]] {
        assert!(both(sides).await);
        let now = pair.same(count);
        assert!(now.keys().all(|text| !text.contains("Subject: m7\n")));
        let read = now.iter().find(|(text, _)| text.contains("Subject: m8\n")).unwrap();
        assert_eq!(read.1, "FS");
    }
    true
}

pub(crate) async fn mbsync_keeps_two_folders_the_same(plane: &Plane<'_>) {
    let server = server(plane).await;
    let pair = Pair::new(COUNT);
    let store = |name: &str, path: &Path| {
        format!(
            "MaildirStore {name}\nPath {path}/\nInbox {path}/inbox\nSubFolders Verbatim\n\n\
             Channel {name}\nFar :far:\nNear :{name}:\nPatterns work\nCreate Far\nSync All\nExpunge Both\n\
             SyncState {path}/state-\n\n",
            path = path.display()
        )
    };
    let text = format!(
        "IMAPAccount far\nHost 127.0.0.1\nPort {}\nUser alice@demo.test\nPass \"{}\"\nTimeout 120\nSSLType None\n\
         AuthMechs LOGIN\n\nIMAPStore far\nAccount far\n\n{}{}",
        server.node.addresses.imap.unwrap().port(),
        crate::support::PASSWORD,
        store("one", &pair.one),
        store("other", &pair.other)
    );
    let config = pair.folder.path().join("mbsyncrc").display().to_string();
    fs::write(&config, text).unwrap();
    check(&pair, COUNT, "mbsync", async |side| vec!["-c".into(), config.clone(), side.into()]).await;
    server.stop().await;
}

pub(crate) async fn offlineimap_keeps_two_folders_the_same(plane: &Plane<'_>) {
    let server = server(plane).await;
    let pair = Pair::new(FEW);
    for side in [&pair.one, &pair.other] {
        fs::write(side.with_extension("conf"), offlineimap(&server, side)).unwrap();
    }
    let folder = pair.folder.path();
    let config = |side: &str| folder.join(format!("{side}.conf")).display().to_string();
    let arguments = async |side: &str| ["-c", &config(side), "-o", "-u", "basic"].map(String::from).to_vec();
    check(&pair, FEW, "offlineimap", arguments).await;
    server.stop().await;
}

fn offlineimap(server: &Server, maildir: &Path) -> String {
    format!(
        "[general]\naccounts = demo\nmetadata = {maildir}.meta\n\n\
         [Account demo]\nlocalrepository = local\nremoterepository = remote\n\n\
         [Repository local]\ntype = Maildir\nlocalfolders = {maildir}\n\n\
         [Repository remote]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {}\nssl = no\nstarttls = no\n\
         remoteuser = alice@demo.test\nremotepass = {}\nfolderfilter = lambda name: name == 'work'\n",
        server.node.addresses.imap.unwrap().port(),
        crate::support::PASSWORD,
        maildir = maildir.display(),
    )
}
