//! CATENATE (RFC 4469): messages put together from texts and from pieces of others.

use bytes::{Bytes, BytesMut};
use imap::wire::{CatPart, Url};
use imap::{Code, Status};
use types::{Rights, Uid};

use super::answers;
use super::fetch::sections;
use super::session::Session;

impl Session {
    /// The bytes of all parts; no more than a message may have.
    pub(super) async fn catenated(&mut self, parts: Vec<CatPart>) -> Result<Bytes, Status> {
        let access = self.access()?;
        let limit = access.max_message_bytes();
        let mut all = BytesMut::new();
        for part in parts {
            let room = limit.saturating_sub(all.len() as u64);
            match part {
                CatPart::Text(text) => all.extend_from_slice(&text),
                CatPart::Url(url) => {
                    let bytes = self.named_by(&url, room).await?;
                    all.extend_from_slice(&bytes);
                }
            }
            if all.len() as u64 > limit {
                return Err(too_big());
            }
        }
        Ok(all.freeze())
    }

    async fn named_by(&mut self, text: &str, room: u64) -> Result<Bytes, Status> {
        let bad = || Status::no("That URL names nothing here").with(Code::BadUrl(text.to_owned()));
        let url = Url::read(text).ok_or_else(bad)?;
        let reach = match &url.mailbox {
            Some(name) => {
                let found = self.access()?.by_name(&name.0).await.map_err(answers::refusal)?;
                let mailbox = found.ok_or_else(bad)?.mailbox;
                let reach = self.access()?.reach(mailbox.account, mailbox.id).await;
                reach.map_err(answers::refusal)?.ok_or_else(bad)?
            }
            None if self.selected.is_some() => self.reach().await?,
            None => return Err(bad()),
        };
        if !reach.rights().contains(Rights::READ) {
            return Err(bad());
        }
        let roll = reach.roll().await.map_err(answers::refusal)?.ok_or_else(bad)?;
        if url.uid_validity.is_some_and(|validity| validity != roll.mailbox.uid_validity.0) {
            return Err(bad());
        }
        let at = roll.messages.place(Uid(url.uid));
        let message = at.and_then(|at| roll.messages.get(at)).ok_or_else(bad)?;
        self.charge(message.size_bytes)?;
        let letter = reach.letters(&[message.id]).await.map_err(answers::refusal)?.remove(&message.id);
        let letter = letter.ok_or_else(bad)?;
        let piece = sections::piece(&url.section, url.partial, &letter, room).await;
        piece
            .map_err(|error| match error {
                mail::Error::TooLarge(_) => too_big(),
                error => answers::refusal(error),
            })?
            .ok_or_else(bad)
    }
}

fn too_big() -> Status {
    Status::no("The message would be larger than what is accepted").with(Code::TooBig)
}
