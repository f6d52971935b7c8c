//! GETMETADATA and SETMETADATA (RFC 5464), and METADATA in LIST (RFC 9590).

use imap::wire::{Depth, MailboxName, Wanted};
use imap::{Code, Status, Writer};
use mail::{Annotation, Mailbox, NotNoted, Notes, Reach};
use types::MailboxId;

use super::answers;
use super::session::{Answer, Session};

impl Session {
    pub(super) async fn get_metadata(&mut self, mailbox: &MailboxName, wanted: &Wanted) -> Answer {
        let (name, reach) = self.annotated(mailbox).await?;
        let all = match &reach {
            Some(reach) => reach.annotations().await,
            None => self.access()?.annotations().await,
        };
        let all = all.map_err(answers::refusal)?;
        let mut out = self.writer();
        let longest = write(&mut out, &name, reach.map(|reach| reach.mailbox()), &all, wanted);
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

    /// What is noted with a shared mailbox, if that may be read, and can be now.
    pub(super) async fn noted_with(&mut self, mailbox: &Mailbox) -> Option<Vec<Annotation>> {
        self.reach_to(mailbox).await.ok()?.annotations().await.ok()
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

/// Tells the entries; how long the longest is that was left out for its length.
pub(super) fn write(
    out: &mut Writer,
    name: &str,
    mailbox: Option<MailboxId>,
    all: &[Annotation],
    wanted: &Wanted,
) -> Option<u64> {
    let found = all.iter().filter(|one| one.mailbox == mailbox && wanted.has(&one.name));
    let is_long = |one: &&Annotation| wanted.max_size.is_some_and(|most| one.value.len() as u64 > most);
    let (long, told): (Vec<_>, Vec<_>) = found.partition(is_long);
    // What is asked for by its name and not there is told as NIL.
    let is_missing = |entry: &&String| {
        wanted.depth == Depth::Zero && !all.iter().any(|one| one.mailbox == mailbox && one.name == **entry)
    };
    let missing = wanted.entries.iter().filter(is_missing);
    let told = told.into_iter().map(|one| (&one.name, Some(one.value.as_slice())));
    let lines: Vec<_> = told.chain(missing.map(|entry| (entry, None))).collect();
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
    long.iter().map(|one| one.value.len() as u64).max()
}
