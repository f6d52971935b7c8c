//! Copies and moves between mailboxes, which may be of different accounts.

use storage::Snapshot;
use tokio_util::sync::CancellationToken;
use types::{MessageId, Rights};

use crate::bulk::{self, Copied, NewLetter, Target};
use crate::{Error, Reach, Result};

/// Messages, and bytes of them, that are on their way at once; one that has more is alone.
const AT_ONCE: usize = 100;
const BYTES_AT_ONCE: u64 = 8 << 20;

/// What a copy and a move want of where messages are.
const TO_COPY: Rights = Rights::READ;
pub(crate) const TO_MOVE: Rights =
    Rights::from_bits(Rights::READ.bits() | Rights::DELETED.bits() | Rights::EXPUNGE.bits());
/// What they want of where messages come to, if those are to keep their flags.
pub(crate) const WITH_FLAGS: Rights = Rights::from_bits(Rights::INSERT.bits() | Rights::FLAGS.bits());

/// How messages come to where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Copies of one's own share what is stored.
    Shared,
    /// They are read, and written anew.
    Carried,
    /// The same, and then removed where they were.
    Moved,
}

impl Reach {
    /// Copies messages to another mailbox, all or none; `None` if there is no such mailbox.
    pub async fn copy(&self, targets: &[Target], to: &Self) -> Result<Option<Copied>> {
        self.check(TO_COPY)?;
        to.check(Rights::INSERT)?;
        let is_one = self.owner() == to.owner() && to.keeps_flags();
        self.bring(targets, to, if is_one { Way::Shared } else { Way::Carried }).await
    }

    /// Moves messages to a mailbox; `None` if there is no such mailbox. Where it is another account's, none vanishes here
    /// before it is there; where it is this one, they get new UIDs.
    pub async fn move_all(&self, targets: &[Target], to: &Self) -> Result<Option<Copied>> {
        self.check(TO_MOVE)?;
        to.check(Rights::INSERT)?;
        if self.is_same(to) || self.owner() == to.owner() && to.keeps_flags() {
            // Where they stay, they keep their flags whoever moves them.
            let needed = if self.is_same(to) { Rights::INSERT } else { WITH_FLAGS };
            let access = to.writing_with(needed, self, TO_MOVE)?;
            return access.move_all(self.mailbox(), targets, to.mailbox()).await;
        }
        self.bring(targets, to, Way::Moved).await
    }

    /// Piece by piece, so that nobody else waits for it. When who asked for it does not wait any more, it ends with the
    /// piece that is on its way; a copy is taken back then.
    async fn bring(&self, targets: &[Target], to: &Self, way: Way) -> Result<Option<Copied>> {
        let given_up = CancellationToken::new();
        let _waiting = given_up.clone().drop_guard();
        let carrying = Carrying { from: self.clone(), to: to.clone(), way, there: Vec::new(), given_up };
        let mut targets = targets.to_vec();
        targets.sort_unstable_by_key(|target| target.uid);
        self.door().service.to_its_end(Box::pin(carrying.finish(targets))).await
    }
}

/// Messages on their way to another mailbox.
struct Carrying {
    from: Reach,
    to: Reach,
    way: Way,
    /// The copies that are there.
    there: Vec<Target>,
    /// Nobody waits for it any more.
    given_up: CancellationToken,
}

impl Carrying {
    async fn finish(mut self, targets: Vec<Target>) -> Result<Option<Copied>> {
        let outcome = match self.way {
            Way::Shared => self.share_all(&targets).await,
            Way::Carried | Way::Moved => self.carry_all(targets).await,
        };
        if outcome.is_err() && self.way != Way::Moved && !self.there.is_empty() {
            // RFC 9051 §6.4.7: as if it had not been begun.
            self.to.take_back(&self.there).await?;
        }
        outcome
    }

    /// An error if nobody waits for the next piece.
    fn is_wanted(&self) -> Result<()> {
        if self.given_up.is_cancelled() {
            return Err(Error::Internal("nobody waits for it any more".to_owned()));
        }
        Ok(())
    }

    async fn share_all(&mut self, targets: &[Target]) -> Result<Option<Copied>> {
        let access = self.to.writing_with(WITH_FLAGS, &self.from, TO_COPY)?;
        if access.quota_bytes.is_some() {
            let mut size_bytes = 0;
            for piece in targets.chunks(bulk::AT_ONCE) {
                let ids: Vec<_> = piece.iter().map(|target| target.id).collect();
                size_bytes += access.rows(&ids).await?.values().map(|row| row.size_bytes).sum::<u64>();
            }
            access.check_room(size_bytes).await?;
        }
        let mut all: Option<Copied> = None;
        // None at all is a question, too: whether there is such a mailbox.
        let mut rest = targets;
        while all.is_none() || !rest.is_empty() {
            self.is_wanted()?;
            let (piece, after) = rest.split_at(rest.len().min(bulk::AT_ONCE));
            rest = after;
            let copied = access.copy(self.from.mailbox(), piece.to_vec(), self.to.mailbox()).await?;
            let Some((copied, there)) = copied else { return Ok(None) };
            self.there.extend(there);
            match &mut all {
                Some(all) => all.pairs.extend(copied.pairs),
                none => *none = Some(copied),
            }
        }
        Ok(all)
    }

    async fn carry_all(&mut self, mut targets: Vec<Target>) -> Result<Option<Copied>> {
        let ids: Vec<_> = targets.iter().map(|target| target.id).collect();
        let rows = self.from.rows(&ids).await?;
        // What is not there any more under its UID is left alone.
        let mailbox = self.from.mailbox();
        targets.retain(|target| {
            rows.get(&target.id).is_some_and(|row| row.uid == target.uid && row.mailbox == mailbox)
        });
        let size = |target: &Target| rows.get(&target.id).map_or(0, |row| row.size_bytes);
        self.to.door().check_room(targets.iter().map(size).sum()).await?;
        let (owner, mailbox) = (self.to.owner(), self.to.mailbox());
        let look = |mut shard: Box<dyn Snapshot>| async move { shard.mailbox(owner, mailbox).await };
        let Some(there_now) = self.to.door().service.look(owner, look).await? else { return Ok(None) };
        let mut copied = Copied { uid_validity: there_now.uid_validity, pairs: Vec::new() };
        let mut rest = targets.as_slice();
        while !rest.is_empty() {
            self.is_wanted()?;
            let mut bytes = 0;
            let fits = rest.iter().take(AT_ONCE).take_while(|target| {
                bytes += size(target);
                bytes <= BYTES_AT_ONCE
            });
            let (piece, after) = rest.split_at(fits.count().clamp(1, rest.len()));
            rest = after;
            let Some(some) = self.piece(piece).await? else { return Ok(None) };
            copied.pairs.extend(some.pairs);
        }
        Ok(Some(copied))
    }

    /// One piece, by one commit where it comes to, with the rights as they are now.
    async fn piece(&mut self, piece: &[Target]) -> Result<Option<Copied>> {
        (self.from, self.to) = (self.from.anew().await?, self.to.anew().await?);
        self.from.check(if self.way == Way::Moved { TO_MOVE } else { TO_COPY })?;
        let ids: Vec<MessageId> = piece.iter().map(|target| target.id).collect();
        let rows = self.from.rows(&ids).await?;
        let letters = self.from.letters(&ids).await?;
        let (mut carried, mut new) = (Vec::new(), Vec::new());
        for target in piece {
            let (Some(row), Some(letter)) = (rows.get(&target.id), letters.get(&target.id)) else { continue };
            carried.push(target.clone());
            new.push(NewLetter {
                raw: letter.collect(0..letter.size_bytes(), letter.size_bytes()).await?,
                flags: row.flags,
                keywords: row.keywords.clone(),
                received_at: Some(row.received_at),
            });
        }
        let Some((uid_validity, there)) = self.to.add(new, 0).await? else { return Ok(None) };
        carried.truncate(there.len());
        if self.way == Way::Moved {
            self.remove(&carried, &there).await?;
        }
        let pairs = carried.iter().zip(&there).map(|(from, there)| (from.uid, there.uid)).collect();
        self.there.extend(there);
        Ok(Some(Copied { uid_validity, pairs }))
    }

    /// Removes what has been moved. Where that is refused, it has not been moved; where it is not known what became of
    /// it, it is rather there twice than not at all.
    async fn remove(&self, carried: &[Target], there: &[Target]) -> Result<()> {
        let removed = self.from.remove(carried).await;
        if let Err(Error::Forbidden(_) | Error::NotFound(_)) = &removed {
            self.to.take_back(there).await?;
        }
        removed
    }
}
