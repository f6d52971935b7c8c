//! Reads conversations from their text files.

use std::time::Duration;

use anyhow::{Context as _, bail};
use message::compose::{Outgoing, OutgoingAttachment};
use types::{Address, Flags, Timestamp};

use super::{Item, files, people::person};

/// Alice's mail of people.
pub(super) fn of_alice(now: Timestamp) -> anyhow::Result<Vec<Item>> {
    read(include_str!("conversations.txt"), "alice", now)
}

/// Bob's.
pub(super) fn of_bob(now: Timestamp) -> anyhow::Result<Vec<Item>> {
    read(include_str!("bob.txt"), "bob", now)
}

fn read(text: &str, owner: &str, now: Timestamp) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    for (number, conversation) in text.split("\n## ").skip(1).enumerate() {
        let mails =
            Conversation::read(conversation, owner, now).with_context(|| format!("conversation {number}"))?;
        items.extend(mails.items(owner, number)?);
    }
    Ok(items)
}

/// A conversation's head, and its mails as text.
struct Conversation<'t> {
    begins_at: Timestamp,
    folder: &'t str,
    labels: Vec<String>,
    subject: &'t str,
    mails: Vec<&'t str>,
    owner: Address,
    now: Timestamp,
}

impl<'t> Conversation<'t> {
    fn read(text: &'t str, owner: &str, now: Timestamp) -> anyhow::Result<Self> {
        let (head, rest) = text.split_once('\n').context("only a head")?;
        let mut parts = head.splitn(4, '|').map(str::trim);
        let (Some(days), Some(folder), Some(labels), Some(subject)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            bail!("the head `{head}` has fewer than four parts");
        };
        Ok(Self {
            begins_at: now.minus(hours(days.parse::<f64>()? * 24.0)),
            folder: if folder == "-" { "Inbox" } else { folder },
            labels: labels.split_whitespace().map(str::to_owned).collect(),
            subject,
            mails: rest.trim_start_matches("> ").split("\n> ").collect(),
            owner: person(owner).context("the owner")?,
            now,
        })
    }

    fn items(&self, owner: &str, number: usize) -> anyhow::Result<Vec<Item>> {
        let mut items: Vec<Item> = Vec::new();
        let mut ids: Vec<String> = Vec::new();
        let mut last_sender: Option<Address> = None;
        for (nth, text) in self.mails.iter().enumerate() {
            let (line, body) = text.split_once('\n').unwrap_or((text, ""));
            let marks = Marks::read(line)?;
            let is_own = marks.sender == owner;
            let from =
                person(marks.sender).with_context(|| format!("nobody is called `{}`", marks.sender))?;
            let to = match (&marks.to[..], is_own) {
                ([], true) => last_sender.clone().into_iter().collect(),
                ([], false) => vec![self.owner.clone()],
                (named, _) => named.to_vec(),
            };
            if !is_own {
                last_sender = Some(from.clone());
            }
            let at = self.begins_at.plus(hours(marks.hours)).min(self.now);
            let message_id =
                format!("{owner}.{number}.{nth}@{}", from.email.split('@').next_back().unwrap_or_default());
            let is_reply = !ids.is_empty() && !self.subject.starts_with("Re:");
            let mail = Outgoing {
                from,
                to,
                cc: marks.cc,
                subject: if is_reply { format!("Re: {}", self.subject) } else { self.subject.to_owned() },
                date: at,
                message_id: message_id.clone(),
                in_reply_to: ids.last().cloned().into_iter().collect(),
                references: ids.clone(),
                text: Some(format!("{}\n", body.trim())),
                attachments: marks.files,
                ..Outgoing::default()
            };
            ids.push(message_id);
            let (folder, flags) =
                if is_own { ("Sent", marks.flags | Flags::SEEN) } else { (self.folder, marks.flags) };
            items.push(Item { folder: folder.to_owned(), at, mail, flags, labels: self.labels.clone() });
        }
        Ok(items)
    }
}

/// What stands after a `> `.
struct Marks<'t> {
    sender: &'t str,
    hours: f64,
    flags: Flags,
    to: Vec<Address>,
    cc: Vec<Address>,
    files: Vec<OutgoingAttachment>,
}

impl<'t> Marks<'t> {
    fn read(line: &'t str) -> anyhow::Result<Self> {
        let mut words = line.split_whitespace();
        let sender = words.next().context("a mail without sender")?;
        let hours = words.next().context("a mail without time")?.parse()?;
        let mut marks =
            Self { sender, hours, flags: Flags::SEEN, to: Vec::new(), cc: Vec::new(), files: Vec::new() };
        for word in words {
            match word {
                "unread" => marks.flags = marks.flags.changed(Flags::NONE, Flags::SEEN),
                "star" => marks.flags = marks.flags | Flags::FLAGGED,
                "answered" => marks.flags = marks.flags | Flags::ANSWERED,
                _ => marks.value(word)?,
            }
        }
        Ok(marks)
    }

    fn value(&mut self, word: &str) -> anyhow::Result<()> {
        let people = |names: &str| {
            let found = names
                .split(',')
                .map(|name| person(name).with_context(|| format!("nobody is called `{name}`")));
            found.collect::<anyhow::Result<Vec<_>>>()
        };
        if let Some(names) = word.strip_prefix("to=") {
            self.to = people(names)?;
        } else if let Some(names) = word.strip_prefix("cc=") {
            self.cc = people(names)?;
        } else if let Some((kind, name)) = word.strip_prefix('+').and_then(|file| file.split_once(':')) {
            self.files.push(
                files::file(kind, name).with_context(|| format!("no kind of file is called `{kind}`"))?,
            );
        } else {
            bail!("`{word}` is no mark");
        }
        Ok(())
    }
}

fn hours(hours: f64) -> Duration {
    Duration::from_secs_f64((hours * 3_600.0).max(0.0))
}
