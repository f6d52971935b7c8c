//! GETMETADATA and SETMETADATA (RFC 5464), and METADATA in LIST (RFC 9590).

use std::collections::BTreeSet;

use imap::wire::{Depth, MailboxName, Wanted};
use imap::{Code, Status, Writer};
use mail::{Access, Named, NotNoted, Note, Notebook, Notes, Reach};
use types::Rights;

use super::answers;
use super::mailboxes::Line;
use super::session::{Answer, Session};

impl Session {
    pub(super) async fn get_metadata(&mut self, mailbox: &MailboxName, wanted: &Wanted) -> Answer {
        let (name, reach) = self.annotated(mailbox).await?;
        let all = match &reach {
            Some(reach) => reach.annotations().await,
            None => self.access()?.annotations().await,
        };
        let mut all = all.map_err(answers::refusal)?;
        let mailbox = reach.map(|reach| reach.mailbox());
        all.retain(|one| one.mailbox == mailbox);
        let all: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.value.as_slice())).collect();
        let mut out = self.writer();
        let longest = write(&mut out, &name, &all, wanted);
        self.send(out);
        let status = Status::ok("Done");
        Ok(match longest {
            Some(bytes) => status.with(Code::MetadataLongEntries(bytes)),
            None => status,
        })
    }

    pub(super) async fn set_metadata(&mut self, mailbox: &MailboxName, entries: Notes) -> Answer {
        let (_, reach) = self.annotated(mailbox).await?;
        let noted = match reach {
            Some(reach) => reach.annotate(entries).await,
            // RFC 5464 §3.1: what all see of the server is the operator's to say.
            None if entries.iter().any(|(name, _)| !name.starts_with("/private/")) => {
                return Err(answers::no_perm());
            }
            None => self.access()?.annotate(None, entries).await,
        };
        noted.map_err(answers::refusal)?.map_err(|refused| match refused {
            NotNoted::NonExistent => answers::non_existent(),
            NotNoted::TooLong(limit) => {
                Status::no("A value is too long").with(Code::MetadataMaxSize(limit as u64))
            }
            NotNoted::TooMany => Status::no("There is too much noted already").with(Code::MetadataTooMany),
            NotNoted::Mixed => Status::no(
                "Of somebody else's mailbox set what is private and what is shared one after the other",
            )
            .with(Code::Cannot),
        })?;
        Ok(Status::ok("Noted"))
    }

    /// The mailbox that is meant; without a name, the account.
    async fn annotated(&mut self, mailbox: &MailboxName) -> Result<(String, Option<Reach>), Status> {
        if mailbox.0.is_empty() {
            return Ok((String::new(), None));
        }
        let named = self.known(mailbox).await?;
        let reach = self.reach_to(&named.mailbox).await?;
        Ok((named.name, Some(reach)))
    }
}

/// What is noted with one's own mailboxes, and with others' that are in these lines, if it can be read now.
pub(super) async fn noted(access: &Access, lines: &[Line<'_>]) -> Result<Notebook, Status> {
    let mut book = access.notebook().await.map_err(answers::refusal)?;
    let is_wanted = |named: &&Named| named.shared && named.rights.contains(Rights::READ);
    let theirs = lines.iter().map(|line| line.named).filter(is_wanted);
    let owners: BTreeSet<_> = theirs.map(|named| named.mailbox.account).collect();
    for owner in owners {
        if let Err(error) = access.read_notes(owner, &mut book).await {
            tracing::debug!(%owner, error = &error as &dyn std::error::Error, "notes are not listed");
        }
    }
    Ok(book)
}

/// Tells the entries; how long the longest is that was left out for its length.
pub(super) fn write(out: &mut Writer, name: &str, all: &[Note<'_>], wanted: &Wanted) -> Option<u64> {
    let found = all.iter().filter(|(entry, _)| wanted.has(entry));
    let is_long = |(_, value): &&Note<'_>| wanted.max_size.is_some_and(|most| value.len() as u64 > most);
    let (long, told): (Vec<_>, Vec<_>) = found.partition(is_long);
    // What is asked for by its name and not there is told as NIL.
    let is_missing =
        |entry: &&String| wanted.depth == Depth::Zero && !all.iter().any(|(there, _)| there == *entry);
    let missing = wanted.entries.iter().filter(is_missing);
    let told = told.into_iter().map(|(entry, value)| (entry, Some(value)));
    let lines: Vec<_> = told.chain(missing.map(|entry| (entry.as_str(), None))).collect();
    if !lines.is_empty() {
        out.text("* METADATA ").mailbox(name).text(" (");
        for (place, (entry, value)) in lines.into_iter().enumerate() {
            out.text(if place == 0 { "" } else { " " }).string(entry.as_bytes()).text(" ");
            match value {
                Some(value) if value.contains(&0) => out.literal8_start(value.len() as u64).raw(value),
                value => out.nstring(value),
            };
        }
        out.text(")").end();
    }
    long.iter().map(|(_, value)| value.len() as u64).max()
}
