//! What a session believes of its mailbox: sequence numbers, held still while they must not change.
//!
//! RFC 9051 §7.5.1: an EXPUNGE shifts all numbers above, so it is told only where the client expects it. Until then a
//! message that is gone keeps its number. The list itself is shared with whoever has the same; it is copied only while
//! something is held back.

use types::{ModSeq, Sequence, Sequenced, Uid};

use crate::wire::SequenceSet;

/// Whether the client may be told now that messages are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expunges {
    Told,
    Held,
}

/// What the client is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Updates {
    /// Numbers and UIDs that are gone, the highest first: so each number is right when it is told.
    pub expunged: Vec<(u32, Uid)>,
    /// How many there are now, if there are new ones.
    pub exists: Option<u32>,
    /// The numbers, as they are after all this, of messages that are new or have changed.
    pub changed: Vec<u32>,
}

/// The messages of a selected mailbox, in order of their UIDs.
#[derive(Debug)]
pub struct View<T: Sequenced> {
    list: Sequence<T>,
    /// How many in the list are gone, but not told.
    held: usize,
}

impl<T: Sequenced> View<T> {
    #[must_use]
    pub const fn new(list: Sequence<T>) -> Self {
        Self { list, held: 0 }
    }

    /// How many messages the client believes in.
    #[must_use]
    pub fn len(&self) -> u32 {
        number(self.list.len())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether messages are gone that the client has not been told of.
    #[must_use]
    pub const fn holds_back(&self) -> bool {
        self.held > 0
    }

    /// All messages, the first having number 1.
    #[must_use]
    pub const fn messages(&self) -> &Sequence<T> {
        &self.list
    }

    /// The message with this number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&T> {
        self.list.get(index(number.checked_sub(1)?))
    }

    /// The messages with numbers from the first to the second, with their numbers.
    pub fn range(&self, first: u32, last: u32) -> impl Iterator<Item = (u32, &T)> {
        let first = first.max(1);
        (first..).zip(self.list.range(index(first - 1)..index(last)))
    }

    /// Those that have changed since, with their numbers.
    pub fn changed_since(&self, since: ModSeq) -> impl Iterator<Item = (u32, &T)> {
        self.list.changed_since(since).map(|(place, message)| (number(place).saturating_add(1), message))
    }

    /// The number of the message with this UID.
    #[must_use]
    pub fn number(&self, uid: Uid) -> Option<u32> {
        self.list.place(uid).map(|place| number(place).saturating_add(1))
    }

    /// The messages with these UIDs that are here, with their numbers; fast where the UIDs are in order.
    pub fn with_uids(&self, uids: impl Iterator<Item = Uid>) -> impl Iterator<Item = (u32, &T)> {
        let found = uids.filter_map(self.list.finder());
        found.map(|(place, message)| (number(place).saturating_add(1), message))
    }

    /// The numbers that a set of UIDs, or of numbers, means, as ascending ranges. `None`: it names a number that no
    /// message has.
    #[must_use]
    pub fn resolve(&self, set: &SequenceSet, uid: bool) -> Option<Vec<(u32, u32)>> {
        if !uid {
            let last = self.len();
            if last > 0 && set.highest().is_some_and(|highest| highest > last) {
                return None;
            }
            return Some(set.resolve((last > 0).then_some(last)));
        }
        let last = self.list.last().map(|message| message.uid().0);
        let below = |uid: u32| number(self.list.below(Uid(uid)));
        let upto = |uid: u32| uid.checked_add(1).map_or(self.len(), below);
        let ranges =
            set.resolve(last).into_iter().map(|(start, end)| (below(start).saturating_add(1), upto(end)));
        Some(ranges.filter(|(start, end)| start <= end).collect())
    }

    /// Takes in how the mailbox is now. `now` is later than all that was taken in before.
    pub fn update(&mut self, now: &Sequence<T>, expunges: Expunges) -> Updates {
        if self.list.is(now) {
            return Updates::default();
        }
        let mut updates = Updates::default();
        let (mut gone, mut news, mut new) = (Vec::new(), Vec::new(), 0);
        for (before, after) in self.list.differences(now) {
            let mut at = number(after.start);
            let mut fresh = now.range(after).peekable();
            for (was, old) in (number(before.start).saturating_add(1)..).zip(self.list.range(before)) {
                let Some(current) = fresh.next_if(|current| current.uid() == old.uid()) else {
                    gone.push((was, old.uid()));
                    continue;
                };
                at += 1;
                if current.modseq() != old.modseq() {
                    // What is gone and held keeps its number, and so does all behind it.
                    updates.changed.push(if expunges == Expunges::Told { at } else { was });
                    news.push(current.clone());
                }
            }
            debug_assert_eq!(new, 0, "new UIDs are higher than all others");
            new = fresh.len();
            news.extend(fresh.cloned());
        }
        self.held = if expunges == Expunges::Held { gone.len() } else { 0 };
        self.list = if self.held > 0 { self.list.with(news, &[]) } else { now.clone() };
        if expunges == Expunges::Told {
            updates.expunged = gone;
            updates.expunged.reverse();
        }
        if new > 0 {
            updates.exists = Some(self.len());
            updates.changed.extend(number(self.list.len() - new).saturating_add(1)..=self.len());
        }
        updates
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Mail {
        uid: u32,
        modseq: i64,
    }

    impl Sequenced for Mail {
        type Digest = ();

        fn uid(&self) -> Uid {
            Uid(self.uid)
        }

        fn modseq(&self) -> ModSeq {
            ModSeq(self.modseq)
        }

        fn digest(_messages: &[Self]) {}
    }

    fn list(uids: &[u32]) -> Sequence<Mail> {
        uids.iter().map(|uid| Mail { uid: *uid, modseq: 1 }).collect::<Vec<_>>().into()
    }

    fn ranges(view: &View<Mail>, text: &str, uid: bool) -> Option<Vec<(u32, u32)>> {
        let command = format!("a {}FETCH {text} UID", if uid { "UID " } else { "" });
        match crate::wire::parse(command.as_bytes(), false).unwrap().1 {
            crate::Command::Fetch { fetch, .. } => view.resolve(&fetch.set, uid),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn expunges_wait_until_they_may_be_told() {
        let mut view = View::<Mail>::new(list(&[3, 5, 8, 9]));
        let now = list(&[3, 9, 12]);
        let updates = view.update(&now, Expunges::Held);
        assert_eq!(updates, Updates { expunged: vec![], exists: Some(5), changed: vec![5] });
        assert_eq!((view.number(Uid(9)), view.number(Uid(5)), view.holds_back()), (Some(4), Some(2), true));
        assert_eq!(view.update(&now, Expunges::Held), Updates::default());
        let updates = view.update(&now, Expunges::Told);
        assert_eq!(updates.expunged, [(3, Uid(8)), (2, Uid(5))]);
        assert_eq!((updates.exists, view.len(), view.holds_back()), (None, 3, false));
        assert!(view.list.is(&now), "the list is shared again");
    }

    #[test]
    fn sets_mean_numbers() {
        let view = View::<Mail>::new(list(&[3, 5, 8, 9]));
        assert_eq!(ranges(&view, "2:*", false), Some(vec![(2, 4)]));
        assert_eq!(ranges(&view, "5", false), None);
        assert_eq!(ranges(&view, "4:8,100:200", true), Some(vec![(2, 3)]));
        assert_eq!(ranges(&view, "4294967295:*", true), Some(vec![(4, 4)]));
        let empty = View::<Mail>::new(list(&[]));
        assert_eq!((ranges(&empty, "1:*", false), ranges(&empty, "1:*", true)), (Some(vec![]), Some(vec![])));
    }

    /// What a client does with what it is told, beside the truth.
    #[derive(Default)]
    struct Client {
        believes: Vec<(u32, i64)>,
    }

    impl Client {
        fn hear(&mut self, view: &View<Mail>, updates: &Updates) {
            for (number, uid) in &updates.expunged {
                assert_eq!(self.believes.remove(*number as usize - 1).0, uid.0);
            }
            if let Some(exists) = updates.exists {
                assert!(exists as usize > self.believes.len(), "EXISTS never tells of fewer");
                self.believes.resize(exists as usize, (0, 0));
            }
            for number in &updates.changed {
                let mail = view.get(*number).unwrap();
                self.believes[*number as usize - 1] = (mail.uid, mail.modseq);
            }
        }
    }

    proptest! {
        #[test]
        fn a_client_that_hears_all_knows_all(
            start in prop_oneof![Just(0_u32), Just(1_300)],
            steps in vec((vec((0_u8..6, 0_usize..2_000), 0..6), any::<bool>(), any::<bool>()), 1..30)
        ) {
            let mut truth: Vec<Mail> = (1..=start).map(|uid| Mail { uid, modseq: 1 }).collect();
            let (mut next, mut modseq) = (start + 1, 1);
            let mut now = Sequence::from(truth.clone());
            let mut view = View::<Mail>::new(now.clone());
            let mut client = Client { believes: truth.iter().map(|mail| (mail.uid, mail.modseq)).collect() };
            for (actions, may_expunge, is_anew) in steps {
                let before = truth.clone();
                for (action, at) in actions {
                    modseq += 1;
                    match action {
                        0 => { truth.push(Mail { uid: next, modseq }); next += 1 + at as u32 % 3; }
                        1 => for _ in 0..at { truth.push(Mail { uid: next, modseq }); next += 1; },
                        2 if !truth.is_empty() => { let at = at % truth.len(); truth[at].modseq = modseq; }
                        3 => { truth.drain(truth.len().saturating_sub(at)..); }
                        4 => { truth.drain(at.min(truth.len())..(at + 600).min(truth.len())); }
                        _ if !truth.is_empty() => { truth.remove(at % truth.len()); }
                        _ => {}
                    }
                }
                // As lists come: with pieces of the one before, or all new.
                let find = |list: &[Mail], uid| list.binary_search_by_key(&uid, |mail: &Mail| mail.uid).ok();
                let is_same = |mail: &Mail| find(&before, mail.uid).is_some_and(|at| before[at] == *mail);
                let news = truth.iter().filter(|mail| !is_same(mail)).cloned().collect();
                let gone = before.iter().filter(|mail| find(&truth, mail.uid).is_none());
                now = now.with(news, &gone.map(|mail| Uid(mail.uid)).collect::<Vec<_>>());
                if is_anew {
                    now = Sequence::from(truth.clone());
                }
                let count = client.believes.len();
                let expunges = if may_expunge { Expunges::Told } else { Expunges::Held };
                let updates = view.update(&now, expunges);
                client.hear(&view, &updates);
                prop_assert!(may_expunge || client.believes.len() >= count);
                prop_assert_eq!(client.believes.len(), view.len() as usize);
                for (index, (uid, _)) in client.believes.iter().enumerate() {
                    prop_assert_eq!(view.number(Uid(*uid)), Some(index as u32 + 1));
                }
                let known: Vec<_> =
                    client.believes.iter().filter(|(uid, _)| find(&truth, *uid).is_some()).copied().collect();
                let wanted: Vec<_> = truth.iter().map(|mail| (mail.uid, mail.modseq)).collect();
                prop_assert_eq!(known, wanted);
                prop_assert_eq!(view.holds_back(), client.believes.len() > truth.len());
            }
        }
    }
}
