//! MESSAGELIMIT (RFC 9738): how many messages a command is carried out for, where the operator has set a limit.
//!
//! What can be done for the last messages alone is done for those, and the client is told how far down that was. What
//! means all messages or none (COPY, SORT, THREAD, APPEND) is refused.

use imap::wire::Search;
use imap::{Code, Status};
use mail::Listed;
use types::Uid;

use super::session::Session;

impl Session {
    /// Leaves the last of these messages, which are in order; gives the lowest UID that is left, if there were more.
    pub(super) fn cut(&self, messages: &mut Vec<(u32, Listed)>) -> Option<Uid> {
        let over = messages.len().checked_sub(self.most()?).filter(|over| *over > 0)?;
        messages.drain(..over);
        messages.first().map(|(_, message)| message.uid)
    }

    /// Refuses to do something for so many messages.
    pub(super) fn check_limit(&self, count: usize) -> Result<(), Status> {
        if self.most().is_some_and(|most| count > most) { Err(self.too_many()) } else { Ok(()) }
    }

    /// All that a search finds, for those who have no use for a part of it.
    pub(super) async fn find_all(&mut self, search: &Search) -> Result<Vec<(u32, Listed)>, Status> {
        let found = self.find(search).await?;
        if found.lowest.is_some() { Err(self.too_many()) } else { Ok(found.messages) }
    }

    /// Tells with the status how far down a command got, if it did not get to all.
    pub(super) fn limited(&self, status: Status, lowest: Option<Uid>) -> Status {
        let (Some(limit), Some(lowest)) = (self.settings.message_limit, lowest) else { return status };
        let code = Code::MessageLimit { limit: limit.get(), lowest: Some(lowest.0) };
        Status { text: "That was done for the last messages only".into(), ..status.with(code) }
    }

    fn most(&self) -> Option<usize> {
        self.settings.message_limit.map(|limit| usize::try_from(limit.get()).unwrap_or(usize::MAX))
    }

    fn too_many(&self) -> Status {
        let status = Status::no("These are too many messages at once");
        match self.settings.message_limit {
            Some(limit) => status.with(Code::MessageLimit { limit: limit.get(), lowest: None }),
            None => status,
        }
    }
}
