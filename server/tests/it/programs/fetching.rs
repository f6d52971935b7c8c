//! Programs that fetch mail and leave nothing behind: by POP3 and by IMAP, with TLS and without.

use std::fs;
use std::path::Path;

use super::{run, server, succeeded};
use crate::support::{PASSWORD, Plane, Server};

const COUNT: usize = 40;

/// How a program comes in.
#[derive(Clone, Copy)]
struct Way {
    imap: bool,
    tls: bool,
}

const WAYS: [Way; 4] = [
    Way { imap: false, tls: false },
    Way { imap: false, tls: true },
    Way { imap: true, tls: false },
    Way { imap: true, tls: true },
];

impl Way {
    fn port(self, server: &Server) -> u16 {
        let addresses = &server.node.addresses;
        let address = match (self.imap, self.tls) {
            (false, false) => addresses.pop3,
            (false, true) => addresses.pop3s,
            (true, false) => addresses.imap,
            (true, true) => addresses.imaps,
        };
        address.unwrap().port()
    }
}

/// For every way: mail is there, the program takes it to a folder, all of it is in the folder and none in the account.
async fn check(plane: &Plane<'_>, fetch: impl AsyncFn(&Server, Way, &Path) -> Option<Vec<String>>) {
    let server = server(plane).await;
    for way in WAYS {
        for number in 0..COUNT {
            let raw =
                format!("From: x@elsewhere.test\nTo: alice@demo.test\nSubject: n{number}\n\n.\n..dots\n.\n");
            server.deliver("alice", &raw).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let Some(mut mails) = fetch(&server, way, folder.path()).await else { break };
        mails.sort();
        assert_eq!(mails.len(), COUNT);
        for number in 0..COUNT {
            let subject = format!("Subject: n{number}\n");
            let mail = mails.iter().find(|mail| mail.contains(&subject)).unwrap();
            assert!(mail.ends_with("\n\n.\n..dots\n.\n"), "{mail}");
        }
        let access = server.access("alice").await;
        let inbox = access.by_name("INBOX").await.unwrap().unwrap();
        assert_eq!(inbox.mailbox.total, 0, "everything was fetched");
    }
    server.stop().await;
}

/// What the files of a folder say, their lines ending as here.
fn read(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    files.map(|text| text.replace("\r\n", "\n")).collect()
}

pub(crate) async fn fetchmail_fetches(plane: &Plane<'_>) {
    check(plane, async |server, way, folder| {
        use std::os::unix::fs::PermissionsExt as _;
        let mails = folder.join("mails");
        fs::create_dir(&mails).unwrap();
        // The certificate is our own, and nobody's authority signed it.
        let tls = if way.tls { "ssl no sslcertck" } else { "sslproto \"\"" };
        let text = format!(
            "set no bouncemail\nset invisible\npoll 127.0.0.1 service {} protocol {} auth password\n\
             user \"alice@demo.test\" password \"{PASSWORD}\" {tls} fetchall nokeep no rewrite\n\
             mda \"sh -c 'cat > $(mktemp {}/XXXXXXXX)'\"\n",
            way.port(server),
            if way.imap { "imap" } else { "pop3" },
            mails.display()
        );
        let config = folder.join("fetchmailrc");
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
        let (config, pid) = (config.display().to_string(), folder.join("pid").display().to_string());
        let output = run("fetchmail", &["-f", &config, "--pidfile", &pid, "-v"], "").await?;
        succeeded(&output);
        Some(read(&mails))
    })
    .await;
}

pub(crate) async fn getmail_fetches(plane: &Plane<'_>) {
    check(plane, async |server, way, folder| {
        let mails = folder.join("mails");
        fs::create_dir(&mails).unwrap();
        let kind = match (way.imap, way.tls) {
            (false, false) => "SimplePOP3Retriever",
            (false, true) => "SimplePOP3SSLRetriever",
            (true, false) => "SimpleIMAPRetriever",
            (true, true) => "SimpleIMAPSSLRetriever",
        };
        let text = format!(
            "[retriever]\ntype = {kind}\nserver = 127.0.0.1\nport = {}\nusername = alice@demo.test\n\
             password = {PASSWORD}\n\n[destination]\ntype = MDA_external\npath = /bin/sh\nunixfrom = false\n\
             allow_root_commands = true\narguments = (\"-c\", \"cat > $(mktemp {}/XXXXXXXX)\")\n\n\
             [options]\ndelete = true\nread_all = true\ndelivered_to = false\nreceived = false\nverbose = 2\n",
            way.port(server),
            mails.display()
        );
        fs::write(folder.join("getmailrc"), text).unwrap();
        let arguments = [format!("--getmaildir={}", folder.display()), "--rcfile=getmailrc".to_owned()];
        let output = run("getmail", &arguments.each_ref().map(String::as_str), "").await?;
        succeeded(&output);
        Some(read(&mails))
    })
    .await;
}
