//! Changes by a list of the mailbox, of which the rows need not be read: many after one another, with and without somebody
//! who looks in between.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use types::{Flags, ModSeq, Role, Uid};

use super::kit::{Kit, NOW};
use crate::{FlagChange, Listed, Mailbox, Shards};

#[derive(Debug, Clone)]
enum Step {
    /// Every so-manieth message, from this one on.
    Change {
        first: usize,
        every: usize,
        seen: bool,
        keyword: Option<bool>,
    },
    Expunge {
        first: usize,
        every: usize,
    },
    /// By their ids, as the REST interface does.
    ById {
        first: usize,
        every: usize,
        flagged: bool,
    },
    Move {
        first: usize,
    },
    Append,
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    let some = || (0..40_usize, 1..9_usize);
    prop_oneof![
        6 => (some(), any::<bool>(), any::<Option<bool>>())
            .prop_map(|((first, every), seen, keyword)| Step::Change { first, every, seen, keyword }),
        2 => (0..200_usize, 20..90_usize).prop_map(|(first, every)| Step::Expunge { first, every }),
        1 => (some(), any::<bool>()).prop_map(|((first, every), flagged)| Step::ById { first, every, flagged }),
        1 => (0..100_usize).prop_map(|first| Step::Move { first }),
        1 => Just(Step::Append),
        1 => Just(Step::Look),
    ]
}

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..6 {
        let history = vec(step(), 5..40).new_tree(&mut runner).unwrap().current();
        let mut known = Known::new(shards).await;
        for (number, step) in (1_000..).zip(&history) {
            known.apply(number, step).await;
        }
        known.compare(&format!("{history:?}")).await;
        known.kit.check_counts().await;
    }
    nothing_to_change_changes_nothing(shards).await;
}

/// The inbox as it must be.
struct Known {
    kit: Kit,
    messages: Vec<Listed>,
    /// As of when `before` was so.
    since: ModSeq,
    before: Vec<Listed>,
}

impl Known {
    async fn new(shards: &Arc<dyn Shards>) -> Self {
        let kit = Kit::new(shards).await;
        kit.add_many(0..200).await;
        let mut known = Self { kit, messages: Vec::new(), since: ModSeq(0), before: Vec::new() };
        known.look().await;
        (known.since, known.before) = (known.inbox().await.modseq, known.messages.clone());
        known
    }

    /// Only counts and modseqs are looked at, which are never late.
    async fn inbox(&self) -> Mailbox {
        let mut latest = self.kit.shards.latest(self.kit.shard).await.unwrap();
        let mailboxes = latest.mailboxes(self.kit.account).await.unwrap();
        mailboxes.into_iter().find(|mailbox| mailbox.role == Some(Role::Inbox)).unwrap()
    }

    async fn look(&mut self) {
        let (account, inbox) = (self.kit.account, self.inbox().await.id);
        let mut latest = self.kit.shards.latest(self.kit.shard).await.unwrap();
        let listing = latest.listing(account, inbox, ModSeq(0)).await.unwrap().unwrap();
        self.messages = listing.messages.iter().cloned().collect();
    }

    fn some(&self, first: usize, every: usize) -> Vec<Listed> {
        self.messages.iter().skip(first).step_by(every).cloned().collect()
    }

    async fn apply(&mut self, number: u64, step: &Step) {
        let (account, inbox) = (self.kit.account, self.inbox().await);
        match step {
            Step::Change { first, every, seen, keyword } => {
                let mut change = FlagChange::default();
                if *seen { &mut change.add } else { &mut change.remove }.clone_from(&Flags::SEEN);
                if let Some(is_added) = keyword {
                    let to = if *is_added { &mut change.add_keywords } else { &mut change.remove_keywords };
                    to.push(format!("k{}", number % 3));
                }
                let some = self.some(*first, *every);
                let changed = self.kit.write(move |tx| {
                    let (some, change) = (some.clone(), change.clone());
                    Box::pin(async move { tx.change_listed(account, inbox.id, some, &change).await })
                });
                for changed in changed.await.unwrap() {
                    let there = self.messages.iter_mut().find(|message| message.uid == changed.uid).unwrap();
                    assert!(*there == changed || there.modseq < changed.modseq);
                    *there = changed;
                }
            }
            Step::Expunge { first, every } => {
                let some = self.some(*first, *every);
                let gone: BTreeSet<Uid> = some.iter().map(|message| message.uid).collect();
                let expunged = self.kit.write(move |tx| {
                    let some = some.clone();
                    Box::pin(async move { tx.expunge_listed(account, inbox.id, &some).await })
                });
                expunged.await.unwrap();
                self.messages.retain(|message| !gone.contains(&message.uid));
            }
            Step::ById { first, every, flagged } => {
                let ids: Vec<_> = self.some(*first, *every).iter().map(|message| message.id).collect();
                let mut change = FlagChange::default();
                if *flagged { &mut change.add } else { &mut change.remove }.clone_from(&Flags::FLAGGED);
                let changed = self.kit.write(move |tx| {
                    let (ids, change) = (ids.clone(), change.clone());
                    Box::pin(async move { tx.change_flags(account, &ids, &change).await })
                });
                for changed in changed.await.unwrap() {
                    let there = self.messages.iter_mut().find(|message| message.id == changed.id).unwrap();
                    assert_eq!((there.uid, &*there.keywords), (changed.uid, &*changed.keywords));
                    (there.flags, there.modseq) = (changed.flags, changed.modseq);
                }
            }
            Step::Move { first } => {
                let trash = self.kit.mailbox(Role::Trash).await.id;
                let Some(moved) = self.messages.get(*first).map(|message| message.id) else { return };
                let done = self.kit.write(move |tx| {
                    Box::pin(async move { tx.move_messages(account, &[moved], trash, NOW).await })
                });
                assert_eq!(done.await.unwrap().len(), 1);
                self.messages.retain(|message| message.id != moved);
            }
            Step::Append => {
                self.kit.add(number).await;
                self.look().await;
            }
            Step::Look => self.compare("a look").await,
        }
        let now = self.inbox().await;
        let unread = self.messages.iter().filter(|message| message.flags.is_unread()).count();
        assert_eq!((now.total, now.unread), (self.messages.len() as u64, unread as u64), "{step:?}");
        assert_eq!(now.size_bytes, self.messages.iter().map(|message| message.size_bytes).sum::<u64>());
        assert!(self.messages.iter().all(|message| message.modseq <= now.modseq));
    }

    async fn compare(&self, when: &str) {
        let (account, inbox) = (self.kit.account, self.inbox().await.id);
        let mut latest = self.kit.shards.latest(self.kit.shard).await.unwrap();
        let all = latest.listing(account, inbox, ModSeq(0)).await.unwrap().unwrap();
        assert_eq!(
            all.messages.iter().collect::<Vec<_>>(),
            self.messages.iter().collect::<Vec<_>>(),
            "{when}"
        );
        let news = latest.listing(account, inbox, self.since).await.unwrap().unwrap();
        let is_new = |message: &&Listed| message.modseq > self.since;
        let changed: Vec<_> = self.messages.iter().filter(is_new).collect();
        assert_eq!(news.messages.iter().collect::<Vec<_>>(), changed, "{when}");
        let there: BTreeSet<_> = self.messages.iter().map(|message| message.uid).collect();
        let gone: Vec<_> =
            self.before.iter().map(|message| message.uid).filter(|uid| !there.contains(uid)).collect();
        let removed: BTreeSet<_> = news.removed.iter().map(|(uid, _)| *uid).collect();
        assert!(gone.iter().all(|uid| removed.contains(uid)), "{when}");
        let ids: Vec<_> = self.messages.iter().map(|message| message.id).collect();
        let mut found = latest.messages(account, &ids).await.unwrap();
        found.sort_unstable_by_key(|message| message.uid);
        let row = |message: &crate::Message| (message.uid, message.modseq, message.flags);
        let listed = |message: &Listed| (message.uid, message.modseq, message.flags);
        assert_eq!(
            found.iter().map(row).collect::<Vec<_>>(),
            self.messages.iter().map(listed).collect::<Vec<_>>(),
            "{when}"
        );
    }
}

async fn nothing_to_change_changes_nothing(shards: &Arc<dyn Shards>) {
    let known = Known::new(shards).await;
    let (account, before) = (known.kit.account, known.inbox().await);
    let (inbox, messages) = (before.id, known.messages.clone());
    let change = FlagChange { remove: Flags::SEEN, ..FlagChange::default() };
    let (same, told) = known
        .kit
        .try_write(move |tx| {
            let (messages, change) = (messages.clone(), change.clone());
            Box::pin(async move {
                let same = tx.change_listed(account, inbox, messages, &change).await?;
                tx.change_listed(account, inbox, Vec::new(), &change).await?;
                tx.expunge_listed(account, inbox, &[]).await?;
                Ok(same)
            })
        })
        .await
        .unwrap();
    assert_eq!((same, told.accounts.len()), (known.messages.clone(), 0));
    assert_eq!(known.inbox().await, before);
}
