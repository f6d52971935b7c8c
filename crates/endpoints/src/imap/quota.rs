//! GETQUOTA and GETQUOTAROOT (RFC 9208): one root, the account.

use imap::wire::MailboxName;
use imap::{Code, Status};

use super::answers;
use super::session::{Answer, Session};

impl Session {
    pub(super) async fn get_quota(&mut self, root: &str) -> Answer {
        if !root.is_empty() {
            return Err(Status::no("There is no such quota root").with(Code::NonExistent));
        }
        self.tell_quota().await?;
        Ok(Status::ok("Done"))
    }

    pub(super) async fn get_quota_root(&mut self, mailbox: &MailboxName) -> Answer {
        let named = self.named(mailbox).await?;
        if named.shared {
            // How full another's account is, is not told.
            let mut out = self.writer();
            out.text("* QUOTAROOT ").mailbox(&mailbox.0).end();
            self.send(out);
            return Ok(Status::ok("Done"));
        }
        let mut out = self.writer();
        out.text("* QUOTAROOT ").mailbox(&mailbox.0).text(" \"\"").end();
        self.send(out);
        self.tell_quota().await?;
        Ok(Status::ok("Done"))
    }

    /// STORAGE is in units of 1,024 bytes. An account without a limit has a root with nothing in it.
    async fn tell_quota(&mut self) -> Result<(), Status> {
        let account = self.access()?.account().await.map_err(answers::refusal)?;
        let mut out = self.writer();
        match account.quota_bytes {
            Some(limit) => out.line(format_args!(
                "QUOTA \"\" (STORAGE {} {})",
                account.used_bytes.div_ceil(1_024),
                limit / 1_024
            )),
            None => out.line(format_args!("QUOTA \"\" ()")),
        };
        self.send(out);
        Ok(())
    }
}
