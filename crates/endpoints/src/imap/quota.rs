//! GETQUOTA and GETQUOTAROOT (RFC 9208): one root, the account; none where it has no limit.

use imap::wire::MailboxName;
use imap::{Code, Status};

use super::answers;
use super::session::{Answer, Session};

impl Session {
    pub(super) async fn get_quota(&mut self, root: &str) -> Answer {
        match self.quota().await? {
            Some(line) if root.is_empty() => {
                self.engine.write(line.as_bytes());
                Ok(Status::ok("Done"))
            }
            _ => Err(Status::no("There is no such quota root").with(Code::NonExistent)),
        }
    }

    pub(super) async fn get_quota_root(&mut self, mailbox: &MailboxName) -> Answer {
        let named = self.known(mailbox).await?;
        if named.shared {
            // How full another's account is, is not told.
            let mut out = self.writer();
            out.text("* QUOTAROOT ").mailbox(&mailbox.0).end();
            self.send(out);
            return Ok(Status::ok("Done"));
        }
        let quota = self.quota().await?;
        let mut out = self.writer();
        out.text("* QUOTAROOT ").mailbox(&mailbox.0);
        match quota {
            Some(line) => out.text(" \"\"").end().text(&line),
            None => out.end(),
        };
        self.send(out);
        Ok(Status::ok("Done"))
    }

    /// STORAGE is in units of 1,024 bytes. An account without a limit has no root: one has resources (RFC 9208 §6).
    async fn quota(&mut self) -> Result<Option<String>, Status> {
        let account = self.access()?.account().await.map_err(answers::refusal)?;
        let used = account.used_bytes.div_ceil(1_024);
        let line = |limit: u64| format!("* QUOTA \"\" (STORAGE {used} {})\r\n", limit / 1_024);
        Ok(account.quota_bytes.map(line))
    }
}
