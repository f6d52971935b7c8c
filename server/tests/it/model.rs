//! Random commands of five mail programs and of the webmail, on every node there is, against a naive model: everybody
//! sees the same in the end, and nobody is told of an EXPUNGE where it is not allowed.

use std::collections::BTreeMap;

use crate::support::{self, Client, PASSWORD, Plane, Server, mail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

support::on_both_planes!(everybody_converges);

const PROGRAMS: usize = 5;
const STEPS: usize = 200;
const FLAGS: [&str; 4] = ["\\Flagged", "\\Seen", "\\Deleted", "work"];
const FLAGGED: u8 = 0b1;
const SEEN: u8 = 0b10;
const DELETED: u8 = 0b100;
const WORK: u8 = 0b1000;

/// UIDs, each with its flags as bits by their places in [`FLAGS`].
type Mailbox = BTreeMap<u32, u8>;

/// A mail program with the inbox open, and what it was told.
struct Program {
    stream: BufReader<TcpStream>,
    believes: Vec<(u32, u8)>,
}

impl Program {
    async fn open(server: &Server) -> Self {
        let stream = TcpStream::connect(server.node.addresses.imap.unwrap()).await.unwrap();
        let mut program = Self { stream: BufReader::new(stream), believes: Vec::new() };
        program.line().await;
        program.say(&format!("LOGIN alice@demo.test \"{PASSWORD}\"")).await;
        let selected = program.say("SELECT INBOX").await;
        assert!(selected.starts_with("t OK"), "{selected}");
        program
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.stream.read_line(&mut line).await.unwrap() > 0, "hung up");
        line.trim_end().to_owned()
    }

    /// Says a command and takes in what is told; gives the tagged answer.
    async fn say(&mut self, command: &str) -> String {
        let may_expunge = !["FETCH", "STORE", "SEARCH"].iter().any(|word| command.starts_with(word));
        self.stream.write_all(format!("t {command}\r\n").as_bytes()).await.unwrap();
        let last = loop {
            let line = self.line().await;
            if line.starts_with("t ") {
                break line;
            }
            self.hear(command, &line, may_expunge);
        };
        // Of new messages a program asks itself.
        if let Some(first) = self.believes.iter().position(|(uid, _)| *uid == 0) {
            Box::pin(self.say(&format!("FETCH {}:* (UID FLAGS)", first + 1))).await;
        }
        last
    }

    fn hear(&mut self, command: &str, line: &str, may_expunge: bool) {
        let mut words = line.trim_start_matches("* ").split(' ');
        let (number, what) = (words.next().unwrap(), words.next().unwrap_or_default());
        let Ok(number) = number.parse::<usize>() else { return };
        match what {
            "EXPUNGE" => {
                assert!(may_expunge, "{command}: {line}");
                self.believes.remove(number - 1);
            }
            "EXISTS" => {
                assert!(number >= self.believes.len(), "{command}: {line}");
                self.believes.resize(number, (0, 0));
            }
            "FETCH" => {
                let uid = after(line, "UID ").split([' ', ')']).next().unwrap().parse().unwrap();
                let flags = bits(after(line, "FLAGS (").split(')').next().unwrap());
                let believed = &mut self.believes[number - 1];
                assert!(believed.0 == 0 || believed.0 == uid, "{command}: {line}");
                *believed = (uid, flags);
            }
            _ => {}
        }
    }
}

fn after<'a>(line: &'a str, word: &str) -> &'a str {
    line.split_once(word).unwrap_or_else(|| panic!("{line}")).1
}

fn bits(flags: &str) -> u8 {
    let has = |flag: &str| flags.split(' ').any(|one| one == flag);
    (0..FLAGS.len()).filter(|at| has(FLAGS[*at])).map(|at| 1 << at).sum()
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// The nodes, who is there, and how everything is.
struct Town {
    nodes: Vec<Server>,
    programs: Vec<Program>,
    pages: Vec<Client>,
    dice: Dice,
    truth: Mailbox,
    next: u32,
}

async fn everybody_converges(plane: &Plane<'_>) {
    let keys = [("MAGPIE_AUTH__ALLOW_CLEARTEXT", "true"), ("MAGPIE_LIMITS__REQUESTS_PER_MINUTE", "100000")];
    let mut nodes = vec![Server::start_with(plane, &keys).await];
    if matches!(plane, Plane::Cluster(..)) {
        nodes.push(Server::join(plane, &keys).await);
    }
    let (mut programs, mut pages) = (Vec::new(), Vec::new());
    for number in 0..PROGRAMS {
        programs.push(Program::open(&nodes[number % nodes.len()]).await);
    }
    for node in &nodes {
        pages.push(node.login("alice").await);
    }
    let mut town = Town { nodes, programs, pages, dice: Dice(7), truth: Mailbox::new(), next: 1 };
    for step in 0..STEPS {
        match town.dice.roll(10) {
            0 | 1 => {
                let node = town.dice.roll(town.nodes.len());
                town.nodes[node].deliver("alice", &mail(&format!("step {step}"))).await;
                town.truth.insert(town.next, 0);
                town.next += 1;
            }
            2 | 3 => town.page_acts().await,
            _ => town.program_acts().await,
        }
    }
    town.converged().await;
    for node in town.nodes {
        node.stop().await;
    }
}

impl Town {
    /// The UIDs of the inbox with the ids by which pages know its messages.
    async fn ids(&self) -> Vec<(u32, String)> {
        let access = self.nodes[0].access("alice").await;
        let inbox = access.by_name("INBOX").await.unwrap().unwrap().mailbox.id;
        let roll = access.roll(inbox).await.unwrap().unwrap();
        roll.messages.iter().map(|message| (message.uid.0, message.id.to_string())).collect()
    }

    /// Somebody in the browser changes or throws away one message, or some.
    async fn page_acts(&mut self) {
        let ids = self.ids().await;
        assert_eq!(ids.iter().map(|(uid, _)| *uid).collect::<Vec<_>>(), self.uids());
        if ids.is_empty() {
            return;
        }
        let page = self.pages[self.dice.roll(self.pages.len())].clone();
        let (uid, id) = &ids[self.dice.roll(ids.len())];
        let path = format!("/v1/messages/{id}");
        let flags = self.truth.get_mut(uid).unwrap();
        let answer = match self.dice.roll(5) {
            0 => {
                *flags |= FLAGGED | SEEN;
                page.patch(&path, &json!({ "flagged": true, "unread": false })).await
            }
            1 => {
                *flags &= !SEEN;
                *flags |= WORK;
                page.patch(&path, &json!({ "unread": true, "add_labels": ["work"] })).await
            }
            2 => {
                self.truth.remove(uid);
                page.delete(&path).await
            }
            3 => {
                self.truth.remove(uid);
                let archive = page.folder("archive").await;
                page.patch(&path, &json!({ "folder_id": archive })).await
            }
            _ => {
                let many: Vec<_> = ids.iter().step_by(3).collect();
                for (uid, _) in &many {
                    *self.truth.get_mut(uid).unwrap() &= !(WORK | FLAGGED);
                }
                let ids: Vec<_> = many.iter().map(|(_, id)| id).collect();
                let patch = json!({ "ids": ids, "flagged": false, "remove_labels": ["work"] });
                page.patch("/v1/messages", &patch).await
            }
        };
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    async fn program_acts(&mut self) {
        let at = self.dice.roll(PROGRAMS);
        let count = self.programs[at].believes.len();
        if count == 0 {
            self.programs[at].say("NOOP").await;
            return self.agrees(at);
        }
        let place = self.dice.roll(count);
        let (number, flag) = (place + 1, self.dice.roll(FLAGS.len()));
        let program = &mut self.programs[at];
        let uid = program.believes[place].0;
        match self.dice.roll(8) {
            0 => {
                let answer = program.say(&format!("STORE {number} +FLAGS ({})", FLAGS[flag])).await;
                let is_there = self.truth.get_mut(&uid).map(|flags| *flags |= 1 << flag).is_some();
                assert_eq!(answer.starts_with("t OK"), is_there, "{answer}");
            }
            1 => {
                program.say(&format!("UID STORE {uid} -FLAGS.SILENT ({})", FLAGS[flag])).await;
                if let Some(flags) = self.truth.get_mut(&uid) {
                    *flags &= !(1 << flag);
                }
                // What it was not told it knows.
                let own = program.believes.iter_mut().filter(|(one, _)| *one == uid);
                own.for_each(|(_, flags)| *flags &= !(1 << flag));
            }
            2 => {
                program.say("EXPUNGE").await;
                self.truth.retain(|_, flags| *flags & DELETED == 0);
                self.agrees(at);
            }
            3 => {
                program.say(&format!("UID COPY {uid} INBOX")).await;
                if let Some(flags) = self.truth.get(&uid).copied() {
                    self.truth.insert(self.next, flags);
                    self.next += 1;
                }
            }
            4 => {
                program.say(&format!("MOVE {number} Archive")).await;
                self.truth.remove(&uid);
            }
            5 => assert!(program.say("SEARCH ALL").await.starts_with("t OK")),
            6 => assert!(program.say(&format!("FETCH {number} (UID FLAGS)")).await.starts_with("t OK")),
            _ => {
                program.say("NOOP").await;
                self.agrees(at);
            }
        }
    }

    fn uids(&self) -> Vec<u32> {
        self.truth.keys().copied().collect()
    }

    /// Where it could be told everything, it was.
    fn agrees(&self, at: usize) {
        let truth: Vec<_> = self.truth.iter().map(|(uid, flags)| (*uid, *flags)).collect();
        assert_eq!(self.programs[at].believes, truth, "program {at}");
    }

    /// All programs and all pages see the truth.
    async fn converged(&mut self) {
        for at in 0..PROGRAMS {
            self.programs[at].say("NOOP").await;
            self.agrees(at);
        }
        let ids: BTreeMap<String, u32> = self.ids().await.into_iter().map(|(uid, id)| (id, uid)).collect();
        for page in &self.pages {
            let inbox = page.folder("inbox").await;
            let messages = page.read(&format!("/v1/folders/{inbox}/messages?limit=200")).await;
            let messages = messages["messages"].as_array().unwrap();
            let shown = |message: &Value| {
                let labels = message["labels"].as_array().unwrap();
                let flags = [
                    (message["flagged"] == true, FLAGGED),
                    (message["unread"] == false, SEEN),
                    (labels.iter().any(|label| label == "work"), WORK),
                ];
                let flags = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum::<u8>();
                (ids[message["id"].as_str().unwrap()], flags)
            };
            let shown: Mailbox = messages.iter().map(shown).collect();
            let truth: Mailbox = self.truth.iter().map(|(uid, flags)| (*uid, flags & !DELETED)).collect();
            assert_eq!(shown, truth);
            let folders = page.read("/v1/folders").await;
            let folders = folders["folders"].as_array().unwrap();
            let inbox = folders.iter().find(|folder| folder["role"] == "inbox").unwrap();
            let unread = truth.values().filter(|flags| **flags & SEEN == 0).count();
            assert_eq!((&inbox["total"], &inbox["unread"]), (&json!(truth.len()), &json!(unread)));
        }
    }
}
