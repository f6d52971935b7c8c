//! Copies and moves between mailboxes, which may be of different accounts.

use storage::Snapshot;
use types::{MessageId, Rights};

use crate::bulk::{Copied, NewLetter, Target};
use crate::{Reach, Result};

/// Messages, and bytes of them, that are on their way at once; one that has more is alone.
const AT_ONCE: usize = 100;
const BYTES_AT_ONCE: u64 = 8 << 20;

impl Reach {
    /// Copies messages to another mailbox, all or none; `None` if there is no such mailbox.
    pub async fn copy(&self, targets: &[Target], to: &Self) -> Result<Option<Copied>> {
        self.check(Rights::READ)?;
        to.check(Rights::INSERT)?;
        if self.owner() == to.owner() && to.keeps_flags() {
            return self.door().copy(self.mailbox(), targets, to.mailbox()).await;
        }
        let (outcome, there) = self.carry(targets, to, false).await;
        if outcome.is_err() && !there.is_empty() {
            // RFC 9051 §6.4.7: as if it had not been begun.
            to.door().remove(to.mailbox(), &there).await?;
        }
        outcome
    }

    /// Moves messages to another mailbox; `None` if there is no such mailbox. Where it is another account's, none
    /// vanishes here before it is there.
    pub async fn move_all(&self, targets: &[Target], to: &Self) -> Result<Option<Copied>> {
        self.check(Rights::READ | Rights::DELETED | Rights::EXPUNGE)?;
        to.check(Rights::INSERT)?;
        if self.owner() == to.owner() && to.keeps_flags() {
            return self.door().move_all(self.mailbox(), targets, to.mailbox()).await;
        }
        self.carry(targets, to, true).await.0
    }

    /// Piece by piece: what has come about, and the copies that are there, also if it was broken off.
    async fn carry(
        &self,
        targets: &[Target],
        to: &Self,
        moves: bool,
    ) -> (Result<Option<Copied>>, Vec<Target>) {
        let mut there = Vec::new();
        let outcome = self.carry_all(targets, to, moves, &mut there).await;
        (outcome, there)
    }

    async fn carry_all(
        &self,
        targets: &[Target],
        to: &Self,
        moves: bool,
        there: &mut Vec<Target>,
    ) -> Result<Option<Copied>> {
        let mut targets = targets.to_vec();
        targets.sort_unstable_by_key(|target| target.uid);
        let ids: Vec<_> = targets.iter().map(|target| target.id).collect();
        let rows = self.rows(&ids).await?;
        // What is not there any more under its UID is left alone.
        targets.retain(|target| {
            rows.get(&target.id).is_some_and(|row| row.uid == target.uid && row.mailbox == self.mailbox())
        });
        let size = |target: &Target| rows.get(&target.id).map_or(0, |row| row.size_bytes);
        to.door().check_room(targets.iter().map(size).sum()).await?;
        let (owner, mailbox) = (to.owner(), to.mailbox());
        let look = |mut shard: Box<dyn Snapshot>| async move { shard.mailbox(owner, mailbox).await };
        let Some(there_now) = to.door().service.look(owner, look).await? else { return Ok(None) };
        let mut copied = Copied { uid_validity: there_now.uid_validity, pairs: Vec::new() };
        let mut rest = targets.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take(AT_ONCE).take_while(|target| {
                bytes += size(target);
                bytes <= BYTES_AT_ONCE
            });
            let (piece, after) = rest.split_at(fits.count().clamp(1, rest.len()));
            rest = after;
            let Some((some, arrived)) = self.carried(piece, to).await? else { return Ok(None) };
            there.extend(arrived);
            if moves {
                let gone = |target: &&Target| some.pairs.iter().any(|(from, _)| *from == target.uid);
                let gone: Vec<_> = piece.iter().filter(gone).cloned().collect();
                self.door().remove(self.mailbox(), &gone).await?;
            }
            copied.pairs.extend(some.pairs);
        }
        Ok(Some(copied))
    }

    /// One piece, by one commit.
    async fn carried(&self, piece: &[Target], to: &Self) -> Result<Option<(Copied, Vec<Target>)>> {
        let ids: Vec<MessageId> = piece.iter().map(|target| target.id).collect();
        let rows = self.rows(&ids).await?;
        let letters = self.letters(&ids).await?;
        let (mut from, mut new) = (Vec::new(), Vec::new());
        for target in piece {
            let (Some(row), Some(letter)) = (rows.get(&target.id), letters.get(&target.id)) else { continue };
            from.push(target.uid);
            new.push(NewLetter {
                raw: letter.collect(0..letter.size_bytes(), letter.size_bytes()).await?,
                flags: row.flags,
                keywords: row.keywords.clone(),
                received_at: Some(row.received_at),
            });
        }
        let Some((uid_validity, there)) = to.add(new).await? else { return Ok(None) };
        let pairs = from.into_iter().zip(there.iter().map(|there| there.uid)).collect();
        Ok(Some((Copied { uid_validity, pairs }, there)))
    }
}
