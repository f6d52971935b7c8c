//! The messages of a mailbox in order of their UIDs: the first has the message sequence number 1 (RFC 9051 §2.3.1.2).
//!
//! Kept in pieces that lists of one mailbox share: what changes a few messages copies the pieces that they are in, and
//! what compares two lists passes over those that both have. So a change costs the same in a mailbox of a thousand
//! messages and of a million, but for a pointer for each piece.
//!
//! **Invariant:** UIDs ascend strictly, and no piece is empty.

use std::{fmt, iter::FusedIterator, ops::Range, slice, sync::Arc};

use crate::{ModSeq, Uid};

/// What a [`Sequence`] is of.
pub trait Sequenced: Clone {
    /// What is to be known of many messages without looking at each.
    type Digest: fmt::Debug;

    fn uid(&self) -> Uid;
    /// When it last changed.
    fn modseq(&self) -> ModSeq;
    fn digest(messages: &[Self]) -> Self::Digest;
}

/// Messages of a piece at most.
const PIECE: usize = 512;

#[derive(Debug)]
pub struct Sequence<T: Sequenced> {
    pieces: Arc<[Piece<T>]>,
}

#[derive(Debug)]
struct Piece<T: Sequenced> {
    /// The place of its first message.
    start: usize,
    first: Uid,
    body: Arc<Body<T>>,
}

#[derive(Debug)]
struct Body<T: Sequenced> {
    messages: Box<[T]>,
    newest: ModSeq,
    digest: T::Digest,
}

impl<T: Sequenced> Clone for Sequence<T> {
    fn clone(&self) -> Self {
        Self { pieces: Arc::clone(&self.pieces) }
    }
}

impl<T: Sequenced> Default for Sequence<T> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<T: Sequenced + PartialEq> PartialEq for Sequence<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Sequenced + Eq> Eq for Sequence<T> {}

impl<T: Sequenced> From<Vec<T>> for Sequence<T> {
    /// Of messages in order of their UIDs.
    fn from(messages: Vec<T>) -> Self {
        let mut build = Build::default();
        build.add(messages);
        build.finish()
    }
}

impl<'a, T: Sequenced> IntoIterator for &'a Sequence<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Sequenced> Sequence<T> {
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.start + piece.body.messages.len())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The message at a place, which is its number less one.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&T> {
        let piece =
            self.pieces.get(self.pieces.partition_point(|piece| piece.start <= place).checked_sub(1)?)?;
        piece.body.messages.get(place - piece.start)
    }

    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.pieces.last()?.body.messages.last()
    }

    /// How many messages have a UID below this: the place of the first that has not.
    #[must_use]
    pub fn below(&self, uid: Uid) -> usize {
        let at = self.pieces.partition_point(|piece| piece.first < uid).checked_sub(1);
        let within =
            |piece: &Piece<T>| piece.start + piece.body.messages.partition_point(|one| one.uid() < uid);
        at.and_then(|at| self.pieces.get(at)).map_or(0, within)
    }

    /// The place of the message with this UID.
    #[must_use]
    pub fn place(&self, uid: Uid) -> Option<usize> {
        self.finder()(uid).map(|(place, _)| place)
    }

    /// Looks for messages by their UIDs: their places, and what is there. It costs next to nothing to find the one that comes
    /// next after the last.
    pub fn finder<'a>(&'a self) -> impl FnMut(Uid) -> Option<(usize, &'a T)> {
        let (mut place, mut rest) = (0, self.iter());
        move |uid| {
            if rest.clone().next().is_none_or(|next| next.uid() != uid) {
                place = self.below(uid);
                rest = self.range(place..self.len());
            }
            let found = rest.clone().next().filter(|message| message.uid() == uid)?;
            rest.next();
            place += 1;
            Some((place - 1, found))
        }
    }

    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { pieces: self.pieces.iter(), within: [].iter(), left: self.len() }
    }

    /// Those from the first place to before the second, as far as there are such.
    #[must_use]
    pub fn range(&self, places: Range<usize>) -> Iter<'_, T> {
        let end = places.end.min(self.len());
        let left = end.saturating_sub(places.start);
        let at = self.pieces.partition_point(|piece| piece.start <= places.start).saturating_sub(1);
        let mut pieces = self.pieces.get(at..).unwrap_or_default().iter();
        let rest =
            pieces.next().and_then(|piece| piece.body.messages.get(places.start.checked_sub(piece.start)?..));
        Iter { pieces, within: rest.unwrap_or_default().iter(), left }
    }

    /// Those that have changed since, with their places.
    pub fn changed_since(&self, since: ModSeq) -> impl Iterator<Item = (usize, &T)> {
        self.pieces
            .iter()
            .filter(move |piece| piece.body.newest > since)
            .flat_map(|piece| (piece.start..).zip(&piece.body.messages))
            .filter(move |(_, message)| message.modseq() > since)
    }

    /// Those in the pieces that may have what is looked for, with their places.
    pub fn among(&self, may_have: impl Fn(&T::Digest) -> bool) -> impl Iterator<Item = (usize, &T)> {
        self.pieces
            .iter()
            .filter(move |piece| may_have(&piece.body.digest))
            .flat_map(|piece| (piece.start..).zip(&piece.body.messages))
    }

    pub fn digests(&self) -> impl Iterator<Item = &T::Digest> {
        self.pieces.iter().map(|piece| &piece.body.digest)
    }

    /// Whether both are the same list, not only alike.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pieces, &other.pieces)
    }

    /// With these in place of those that have their UIDs, or behind all others, and without those of the UIDs `removed`.
    /// Both in order of UIDs; new UIDs are higher than all that are there.
    #[must_use]
    pub fn with(&self, news: Vec<T>, removed: &[Uid]) -> Self {
        if news.is_empty() && removed.is_empty() {
            return self.clone();
        }
        let mut build = Build::default();
        let mut news = news.into_iter().peekable();
        let mut removed = removed.iter().copied().peekable();
        for (at, piece) in self.pieces.iter().enumerate() {
            // Whether what is new comes into this piece.
            let is_open = at + 1 == self.pieces.len() && piece.body.messages.len() < PIECE;
            let Some(end) = piece.body.messages.last().map(Sequenced::uid) else { continue };
            while removed.next_if(|uid| *uid < piece.first).is_some() {}
            let is_changed = news.peek().is_some_and(|new| is_open || new.uid() <= end)
                || removed.peek().is_some_and(|uid| *uid <= end);
            if !is_changed {
                build.share(piece);
                continue;
            }
            let mut messages = Vec::with_capacity(piece.body.messages.len());
            for old in &piece.body.messages {
                // One that is not here any more is not what was meant by a change.
                while news.next_if(|new| new.uid() < old.uid()).is_some() {}
                let now = news.next_if(|new| new.uid() == old.uid());
                while removed.next_if(|uid| *uid < old.uid()).is_some() {}
                if removed.next_if(|uid| *uid == old.uid()).is_none() {
                    messages.push(now.unwrap_or_else(|| old.clone()));
                }
            }
            if is_open {
                messages.extend(news.by_ref());
            }
            build.add(messages);
        }
        build.add(news.collect());
        build.finish()
    }

    /// The places in which two lists of one mailbox may differ: there, and in the other. Between them both have the same
    /// messages, unchanged.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<(Range<usize>, Range<usize>)> {
        let mut found = Vec::new();
        let (mut here, mut there) = (self.pieces.iter().peekable(), other.pieces.iter().peekable());
        let (mut from, mut other_from) = (0, 0);
        let mut note = |range: Range<usize>, other: Range<usize>| {
            if !range.is_empty() || !other.is_empty() {
                found.push((range, other));
            }
        };
        while let (Some(mine), Some(theirs)) = (here.peek(), there.peek()) {
            if mine.first == theirs.first && Arc::ptr_eq(&mine.body, &theirs.body) {
                note(from..mine.start, other_from..theirs.start);
                from = mine.start + mine.body.messages.len();
                other_from = theirs.start + theirs.body.messages.len();
            }
            let (first, other_first) = (mine.first, theirs.first);
            if first <= other_first {
                here.next();
            }
            if other_first <= first {
                there.next();
            }
        }
        note(from..self.len(), other_from..other.len());
        found
    }
}

/// Pieces that are put together.
struct Build<T: Sequenced> {
    pieces: Vec<Piece<T>>,
    /// Behind the pieces, fewer than one's worth.
    rest: Vec<T>,
    len: usize,
}

impl<T: Sequenced> Default for Build<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), rest: Vec::new(), len: 0 }
    }
}

impl<T: Sequenced> Build<T> {
    fn add(&mut self, messages: Vec<T>) {
        if self.rest.len() == PIECE {
            self.end();
        }
        if self.rest.is_empty() {
            self.rest = messages;
        } else {
            self.rest.extend(messages);
        }
        if self.rest.len() > PIECE {
            let mut all = std::mem::take(&mut self.rest).into_iter();
            while all.len() > PIECE {
                self.push(all.by_ref().take(PIECE).collect());
            }
            self.rest = all.collect();
        }
    }

    /// Small pieces beside what has changed become one with it.
    fn share(&mut self, piece: &Piece<T>) {
        if !self.rest.is_empty() && self.rest.len() + piece.body.messages.len() <= PIECE / 2 {
            self.rest.extend_from_slice(&piece.body.messages);
            return;
        }
        self.end();
        self.pieces.push(Piece { start: self.len, first: piece.first, body: Arc::clone(&piece.body) });
        self.len += piece.body.messages.len();
    }

    fn end(&mut self) {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.push(rest.into());
        }
    }

    fn push(&mut self, messages: Box<[T]>) {
        let Some(first) = messages.first().map(Sequenced::uid) else { return };
        let (start, count) = (self.len, messages.len());
        debug_assert!(messages.is_sorted_by(|one, next| one.uid() < next.uid()), "UIDs ascend");
        let newest = messages.iter().map(Sequenced::modseq).max().unwrap_or_default();
        let digest = T::digest(&messages);
        self.pieces.push(Piece { start, first, body: Arc::new(Body { messages, newest, digest }) });
        self.len += count;
    }

    fn finish(mut self) -> Sequence<T> {
        self.end();
        Sequence { pieces: self.pieces.into() }
    }
}

/// Over messages in order.
#[derive(Debug)]
pub struct Iter<'a, T: Sequenced> {
    pieces: slice::Iter<'a, Piece<T>>,
    within: slice::Iter<'a, T>,
    left: usize,
}

impl<T: Sequenced> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self { pieces: self.pieces.clone(), within: self.within.clone(), left: self.left }
    }
}

impl<'a, T: Sequenced> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        self.left = self.left.checked_sub(1)?;
        loop {
            if let Some(message) = self.within.next() {
                return Some(message);
            }
            self.within = self.pieces.next()?.body.messages.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T: Sequenced> ExactSizeIterator for Iter<'_, T> {}
impl<T: Sequenced> FusedIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Mail {
        uid: u32,
        modseq: i64,
    }

    impl Sequenced for Mail {
        type Digest = usize;

        fn uid(&self) -> Uid {
            Uid(self.uid)
        }

        fn modseq(&self) -> ModSeq {
            ModSeq(self.modseq)
        }

        fn digest(messages: &[Self]) -> usize {
            messages.len()
        }
    }

    /// A generator of numbers, the same in each run.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
        }
    }

    fn check(list: &Sequence<Mail>, truth: &[Mail], dice: &mut Dice) {
        assert!(list.iter().eq(truth));
        assert_eq!((list.len(), list.is_empty(), list.last()), (truth.len(), truth.is_empty(), truth.last()));
        assert_eq!(list.iter().len(), truth.len());
        assert!(list.pieces.iter().all(|piece| (1..=PIECE).contains(&piece.body.messages.len())));
        for _ in 0..20 {
            let (place, uid) = (dice.below(truth.len() + 3), u32::try_from(dice.below(5_000)).unwrap());
            assert_eq!(list.get(place), truth.get(place));
            assert_eq!(list.below(Uid(uid)), truth.partition_point(|mail| mail.uid < uid));
            assert_eq!(list.place(Uid(uid)), truth.iter().position(|mail| mail.uid == uid));
            let mut find = list.finder();
            for uid in (uid..uid + 5).chain([uid + 2, uid, 0, u32::MAX]) {
                let wanted = truth.iter().enumerate().find(|(_, mail)| mail.uid == uid);
                assert_eq!(find(Uid(uid)), wanted, "{uid}");
            }
            let end = dice.below(truth.len() + 3);
            let wanted = truth.iter().take(end).skip(place);
            assert!(list.range(place..end).eq(wanted.clone()), "{place}..{end}");
            assert_eq!(list.range(place..end).len(), wanted.len());
            let since = ModSeq(i64::try_from(dice.below(300)).unwrap());
            let wanted = truth.iter().enumerate().filter(|(_, mail)| mail.modseq > since.0);
            assert!(list.changed_since(since).eq(wanted));
        }
    }

    #[test]
    fn it_is_as_a_plain_list_would_be_whatever_changes() {
        let mut dice = Dice(7);
        let (mut truth, mut next): (Vec<Mail>, u32) = (Vec::new(), 1);
        let mut list = Sequence::from(Vec::new());
        check(&list, &truth, &mut dice);
        for step in 1..=300 {
            let before = truth.clone();
            let mut news = Vec::new();
            let mut removed = Vec::new();
            let (changes, removals) = (dice.below(4), dice.below(if step % 40 == 0 { 600 } else { 4 }));
            for _ in 0..changes.min(truth.len()) {
                let place = dice.below(truth.len());
                truth[place].modseq = step;
                news.push(truth[place].clone());
            }
            let start = dice.below(truth.len());
            for _ in 0..removals.min(truth.len() - start) {
                let gone = truth.remove(start);
                news.retain(|new| new.uid != gone.uid);
                removed.push(Uid(gone.uid));
            }
            for _ in 0..dice.below(if step % 30 == 0 { 1_500 } else { 3 }) {
                next += 1 + u32::try_from(dice.below(3)).unwrap();
                truth.push(Mail { uid: next, modseq: step });
                news.push(Mail { uid: next, modseq: step });
            }
            // One that was never there.
            removed.push(Uid(next + 1));
            news.sort_by_key(|mail| mail.uid);
            news.dedup();
            let now = list.with(news, &removed);
            check(&now, &truth, &mut dice);
            let (mut at, mut other_at) = (0, 0);
            for (here, there) in list.differences(&now) {
                assert_eq!(
                    before[at..here.start],
                    truth[other_at..there.start],
                    "what is between is the same"
                );
                (at, other_at) = (here.end, there.end);
            }
            assert_eq!(before[at..], truth[other_at..]);
            list = now;
        }
        assert!(list.len() > 3 * PIECE, "{}", list.len());
        assert!(list.pieces.len() < 4 * list.len() / PIECE, "small pieces become one: {}", list.pieces.len());
    }

    #[test]
    fn a_change_copies_the_piece_that_it_is_in() {
        let list = Sequence::from((1..=5_000).map(|uid| Mail { uid, modseq: 1 }).collect::<Vec<_>>());
        assert!(list.differences(&list).is_empty());
        let now = list.with(vec![Mail { uid: 2_600, modseq: 2 }], &[]);
        let [(here, there)] = list.differences(&now).try_into().unwrap();
        assert_eq!((here.clone(), here.contains(&2_599), here.len()), (there, true, PIECE));
        assert_eq!(now.changed_since(ModSeq(1)).map(|(place, _)| place).collect::<Vec<_>>(), [2_599]);
        let now = now.with(vec![Mail { uid: 6_000, modseq: 3 }], &[Uid(1)]);
        assert_eq!(list.differences(&now).len(), 3, "the first, the changed and the last");
        assert_eq!(list.among(|count| *count < PIECE).next().map(|(place, _)| place), Some(4_608));
    }
}
