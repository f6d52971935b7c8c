//! Random commands on several connections, and the webmail beside them, against a naive model: everybody converges, and
//! nobody is told of an EXPUNGE where it is not allowed.

use std::collections::BTreeMap;

use mail::Access;
use testkit::fixtures;
use types::{Role, api};

use super::client::{Client, Site};

const CLIENTS: usize = 5;
const STEPS: usize = 250;
const FLAGS: [&str; 3] = ["\\Flagged", "\\Deleted", "\\Seen"];

/// UIDs, each with its flags as bits by their places in [`FLAGS`].
type Mailbox = BTreeMap<u32, u8>;

/// What a client was told.
struct Believer {
    client: Client,
    believes: Vec<(u32, u8)>,
    /// Results that are kept up to date (RFC 5267): those of [`UNREAD`] and [`NEWEST`].
    unread: Vec<u32>,
    newest: Vec<u32>,
}

const UNREAD: &str = "UNSEEN UNDELETED";
const NEWEST: &str = "(REVERSE ARRIVAL) UTF-8 UNFLAGGED";

impl Believer {
    /// Says a command and takes in what is told; gives the tagged answer.
    async fn say(&mut self, command: &str) -> String {
        let may_expunge = !["FETCH", "STORE", "SEARCH"].iter().any(|word| command.starts_with(word));
        let lines = self.client.ask(command).await;
        let (last, told) = lines.split_last().unwrap();
        for line in told {
            if let Some(update) = line.strip_prefix("* ESEARCH (TAG \"unread\") UID ") {
                updated(&mut self.unread, update);
            } else if let Some(update) = line.strip_prefix("* ESEARCH (TAG \"newest\") UID ") {
                updated(&mut self.newest, update);
            }
            let mut words = line.trim_start_matches("* ").split(' ');
            let (number, what) = (words.next().unwrap(), words.next().unwrap_or_default());
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "EXPUNGE" => {
                    assert!(may_expunge, "{command}: {line}");
                    self.believes.remove(number - 1);
                }
                "EXISTS" => {
                    assert!(number > self.believes.len(), "{command}: {line}");
                    self.believes.resize(number, (0, 0));
                }
                "FETCH" => {
                    let uid = after(line, "UID ").split([' ', ')']).next().unwrap().parse().unwrap();
                    let flags = after(line, "FLAGS (").split(')').next().unwrap().to_owned();
                    let believed = &mut self.believes[number - 1];
                    assert!(believed.0 == 0 || believed.0 == uid, "{command}: {line}");
                    *believed = (uid, bits(&flags));
                }
                _ => {}
            }
        }
        // Of new messages a client asks itself.
        if let Some(first) = self.believes.iter().position(|(uid, _)| *uid == 0) {
            Box::pin(self.say(&format!("FETCH {}:* (UID FLAGS)", first + 1))).await;
        }
        last.clone()
    }
}

impl Believer {
    /// What a search finds now.
    async fn found(&mut self, search: &str) -> Vec<u32> {
        let all = self.client.ask(search).await;
        let (_, names) = all[0].split_once(if search.contains("SORT") { "SORT" } else { "SEARCH" }).unwrap();
        names.split_whitespace().map(|uid| uid.parse().unwrap()).collect()
    }
}

/// Does what RFC 5267 §4.3.3 and §4.3.4 say.
fn updated(result: &mut Vec<u32>, update: &str) {
    for item in update.trim_end_matches(')').split(") ") {
        let (what, pairs) = item.split_once(" (").unwrap();
        let words: Vec<_> = pairs.split(' ').collect();
        for pair in words.chunks(2) {
            let mut at: usize = pair[0].parse().unwrap();
            for uid in uids(pair[1]) {
                match (what, at) {
                    ("REMOVEFROM", 0) => {
                        let place = result.iter().position(|one| *one == uid).expect("it is in the result");
                        result.remove(place);
                    }
                    ("REMOVEFROM", at) => assert_eq!(result.remove(at - 1), uid, "{update}"),
                    ("ADDTO", 0) => {
                        let place = result.binary_search(&uid).expect_err("it is not in the result");
                        result.insert(place, uid);
                    }
                    ("ADDTO", _) => {
                        assert!(!result.contains(&uid), "{update}");
                        result.insert(at - 1, uid);
                        at += 1;
                    }
                    _ => panic!("{update}"),
                }
            }
        }
    }
}

fn uids(set: &str) -> Vec<u32> {
    let range = |range: &str| {
        let (start, end) = range.split_once(':').unwrap_or((range, range));
        start.parse::<u32>().unwrap()..=end.parse().unwrap()
    };
    set.split(',').flat_map(range).collect()
}

fn after<'a>(line: &'a str, word: &str) -> &'a str {
    line.split_once(word).unwrap_or_else(|| panic!("{line}")).1
}

fn bits(flags: &str) -> u8 {
    FLAGS
        .iter()
        .enumerate()
        .filter(|(_, flag)| flags.split(' ').any(|one| one == **flag))
        .map(|(at, _)| 1 << at)
        .sum()
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_converges() {
    for seed in 1..=4 {
        play(seed).await;
    }
}

async fn play(seed: u64) {
    let site = Site::start().await;
    let webmail = site.house.access("alice@demo.test").await.unwrap();
    let mut dice = Dice(seed);
    let (mut truth, mut next) = (Mailbox::new(), 1);
    let mut believers = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = site.alice().await;
        client.ask("SELECT INBOX").await;
        let search = format!("UID SEARCH RETURN (ALL UPDATE) {UNREAD}");
        assert_eq!(client.ask_as("unread", &search).await.len(), 2);
        let sort = format!("UID SORT RETURN (ALL UPDATE) {NEWEST}");
        assert_eq!(client.ask_as("newest", &sort).await.len(), 2);
        believers.push(Believer { client, believes: Vec::new(), unread: Vec::new(), newest: Vec::new() });
    }
    for _ in 0..STEPS {
        match dice.roll(10) {
            0 | 1 => {
                deliver(&site, &webmail).await;
                truth.insert(next, 0);
                next += 1;
            }
            2 => webmail_acts(&webmail, &mut dice, &mut truth).await,
            _ => {
                let at = dice.roll(CLIENTS);
                act(&mut believers[at], &mut dice, &mut truth, &mut next).await;
            }
        }
    }
    let wanted: Vec<_> = truth.into_iter().collect();
    for believer in &mut believers {
        believer.say("NOOP").await;
        assert_eq!(believer.believes, wanted, "seed {seed}");
        let uids = wanted.iter().map(|(uid, _)| *uid).collect::<Vec<_>>();
        assert_eq!(believer.found("UID SEARCH ALL").await, uids);
        assert_eq!(believer.found(&format!("UID SEARCH {UNREAD}")).await, believer.unread, "seed {seed}");
        assert_eq!(believer.found(&format!("UID SORT {NEWEST}")).await, believer.newest, "seed {seed}");
    }
}

async fn deliver(site: &Site, webmail: &Access) {
    let raw = fixtures::mail("x@y.test", "alice@demo.test", "One more", "Text");
    let incoming = mail::Incoming {
        id: site.house.mail.new_id(),
        return_path: None,
        recipients: vec![("alice@demo.test".parse::<types::EmailAddress>().unwrap(), webmail.id()).into()],
        terms: types::Terms::default(),
        raw: raw.into(),
    };
    site.house.mail.deliver(incoming).await.unwrap();
}

/// Stars, or throws away, a message; the webmail knows no UIDs, so the list tells which it is.
async fn webmail_acts(webmail: &Access, dice: &mut Dice, truth: &mut Mailbox) {
    let all = webmail.named().await.unwrap();
    let inbox = all.iter().find(|named| named.mailbox.role == Some(Role::Inbox)).unwrap().mailbox.id;
    let roll = webmail.roll(inbox).await.unwrap().unwrap();
    let uids: Vec<_> = roll.messages.iter().map(|message| message.uid.0).collect();
    assert_eq!(uids, truth.keys().copied().collect::<Vec<_>>());
    if roll.messages.is_empty() {
        return;
    }
    let message = roll.messages.get(dice.roll(roll.messages.len())).unwrap();
    if dice.roll(2) == 0 {
        webmail.delete(&[message.id]).await.unwrap();
        truth.remove(&message.uid.0);
    } else {
        let star = api::Patch { flagged: Some(true), unread: Some(false), ..api::Patch::default() };
        webmail.patch_one(message.id, &star).await.unwrap();
        *truth.get_mut(&message.uid.0).unwrap() |= 0b101;
    }
}

async fn act(believer: &mut Believer, dice: &mut Dice, truth: &mut Mailbox, next: &mut u32) {
    let count = believer.believes.len();
    if count == 0 {
        believer.say("NOOP").await;
        return assert_eq!(believer.believes.len(), truth.len());
    }
    let at = dice.roll(count);
    let (number, uid) = (at + 1, believer.believes[at].0);
    let flag = dice.roll(FLAGS.len());
    match dice.roll(9) {
        0 => {
            let answer = believer.say(&format!("STORE {number} +FLAGS ({})", FLAGS[flag])).await;
            let is_there = truth.get_mut(&uid).map(|flags| *flags |= 1 << flag).is_some();
            assert_eq!(answer.starts_with("t OK"), is_there, "{answer}");
        }
        1 => {
            believer.say(&format!("UID STORE {uid} -FLAGS.SILENT ({})", FLAGS[flag])).await;
            if let Some(flags) = truth.get_mut(&uid) {
                *flags &= !(1 << flag);
            }
            // What it was not told it knows.
            let mask = !(1 << flag);
            believer.believes.iter_mut().filter(|(one, _)| *one == uid).for_each(|(_, flags)| *flags &= mask);
        }
        2 => {
            believer.say("EXPUNGE").await;
            truth.retain(|_, flags| *flags & 0b10 == 0);
            assert_eq!(believer.believes, truth.clone().into_iter().collect::<Vec<_>>());
        }
        3 => {
            believer.say(&format!("UID COPY {uid} INBOX")).await;
            if let Some(flags) = truth.get(&uid).copied() {
                truth.insert(*next, flags);
                *next += 1;
            }
        }
        4 => {
            believer.say(&format!("MOVE {number} Archive")).await;
            truth.remove(&uid);
        }
        5 => {
            believer.say(&format!("MOVE {number} INBOX")).await;
            if let Some(flags) = truth.remove(&uid) {
                truth.insert(*next, flags);
                *next += 1;
            }
        }
        6 => {
            let answer = believer.say("SEARCH ALL").await;
            assert!(answer.starts_with("t OK"), "{answer}");
        }
        7 => {
            let answer = believer.say(&format!("FETCH {number} (UID FLAGS)")).await;
            assert!(answer.starts_with("t OK"), "{answer}");
        }
        _ => {
            believer.say("NOOP").await;
            assert_eq!(believer.believes, truth.clone().into_iter().collect::<Vec<_>>());
        }
    }
}
