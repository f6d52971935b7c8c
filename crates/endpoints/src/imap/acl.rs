//! MYRIGHTS, GETACL, LISTRIGHTS, SETACL, DELETEACL (RFC 4314).
//!
//! Identifiers are addresses of accounts. There are no rights of groups or of everybody, and none that are taken away
//! from who has them otherwise.

use imap::Status;
use imap::wire::{MailboxName, Rights as Wanted};
use mail::{Reach, RightsChange};
use types::Rights;

use super::answers;
use super::session::{Answer, Session};

impl Session {
    /// RFC 4314 §3.5
    pub(super) async fn my_rights(&mut self, mailbox: &MailboxName) -> Answer {
        let named = self.known(mailbox).await?;
        let mut out = self.writer();
        write_rights(&mut out, &named.name, named.rights);
        self.send(out);
        Ok(Status::ok("Done"))
    }

    /// RFC 4314 §3.3
    pub(super) async fn get_acl(&mut self, mailbox: &MailboxName) -> Answer {
        let (name, reach) = self.administered(mailbox).await?;
        let everybody = reach.everybody().await.map_err(answers::refusal)?;
        let mut out = self.writer();
        out.text("* ACL ").mailbox(&name);
        for (email, rights) in everybody {
            out.text(" ").string(email.to_string().as_bytes()).text(" ").text(&rights.with_obsolete());
        }
        out.end();
        self.send(out);
        Ok(Status::ok("Done"))
    }

    /// RFC 4314 §3.4
    pub(super) async fn list_rights(&mut self, mailbox: &MailboxName, identifier: &str) -> Answer {
        let (name, reach) = self.administered(mailbox).await?;
        let is_owner = reach.is_of_owner(identifier).await.map_err(answers::refusal)?;
        let mut out = self.writer();
        out.text("* LISTRIGHTS ").mailbox(&name).text(" ").string(identifier.as_bytes());
        let all = Rights::ALL.with_obsolete();
        if is_owner {
            out.text(" ").text(&all);
        } else {
            out.text(" \"\"");
            for letter in all.chars() {
                out.format(format_args!(" {letter}"));
            }
        }
        out.end();
        self.send(out);
        Ok(Status::ok("Done"))
    }

    /// RFC 4314 §3.1
    pub(super) async fn set_acl(&mut self, wanted: Wanted) -> Answer {
        let Wanted { mailbox, identifier, rights } = wanted;
        let unknown = || Status::bad("Some of these letters stand for no right");
        let parse = |letters| Rights::parse(letters).ok_or_else(unknown);
        let change = match rights.strip_prefix('+') {
            Some(letters) => RightsChange::Add(parse(letters)?),
            None => match rights.strip_prefix('-') {
                Some(letters) => RightsChange::Remove(parse(letters)?),
                None => RightsChange::Replace(parse(&rights)?),
            },
        };
        let (_, reach) = self.administered(&mailbox).await?;
        reach.grant(&identifier, change).await.map_err(answers::refusal)?;
        Ok(Status::ok("Done"))
    }

    /// RFC 4314 §3.2
    pub(super) async fn delete_acl(&mut self, mailbox: &MailboxName, identifier: &str) -> Answer {
        let (_, reach) = self.administered(mailbox).await?;
        let change = RightsChange::Replace(Rights::NONE);
        reach.grant(identifier, change).await.map_err(answers::refusal)?;
        Ok(Status::ok("Done"))
    }

    async fn administered(&mut self, mailbox: &MailboxName) -> Result<(String, Reach), Status> {
        let named = self.named(mailbox).await?;
        let reach = self.reach_to(&named.mailbox).await?;
        reach.check(Rights::ADMINISTER).map_err(answers::refusal)?;
        Ok((named.name, reach))
    }
}

pub(super) fn write_rights(out: &mut imap::Writer, name: &str, rights: Rights) {
    out.text("* MYRIGHTS ").mailbox(name).text(" ").text(&rights.with_obsolete()).end();
}
