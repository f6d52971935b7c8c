//! Random histories against a model that is too simple to be wrong.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use types::{Flags, MailboxId, MessageId, Role};

use super::kit::{Kit, NOW};
use crate::{Filter, FlagChange, Shards, Source};

#[derive(Debug, Clone)]
pub(super) enum Step {
    Add {
        number: u64,
        role: usize,
        seen: bool,
    },
    /// The messages are named by their place among those that exist, modulo their number.
    Flags {
        which: Vec<usize>,
        seen: bool,
        flagged: bool,
    },
    Move {
        which: Vec<usize>,
        role: usize,
    },
    Expunge {
        which: Vec<usize>,
    },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let which = || vec(any::<usize>(), 1..5);
    let role = || 0..Role::ALL.len();
    prop_oneof![
        4 => (0..10_000_u64, role(), any::<bool>()).prop_map(|(number, role, seen)| Step::Add { number, role, seen }),
        2 => (which(), any::<bool>(), any::<bool>())
            .prop_map(|(which, seen, flagged)| Step::Flags { which, seen, flagged }),
        2 => (which(), role()).prop_map(|(which, role)| Step::Move { which, role }),
        1 => which().prop_map(|which| Step::Expunge { which }),
    ]
}

/// What the model knows of a message.
pub(super) type Known = BTreeMap<MessageId, (MailboxId, Flags)>;

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    for _ in 0..8 {
        let history = vec(step(), 1..40).new_tree(&mut runner).unwrap().current();
        let kit = Kit::new(shards).await;
        let mut model = Known::new();
        for step in &history {
            apply(&kit, &mut model, step).await;
        }
        compare(&kit, &model, &history).await;
    }
}

pub(super) async fn apply(kit: &Kit, model: &mut Known, step: &Step) {
    let account = kit.account;
    let pick = |model: &Known, which: &[usize]| -> Vec<MessageId> {
        let all: Vec<_> = model.keys().copied().collect();
        which.iter().filter_map(|place| all.get(place.checked_rem(all.len())?).copied()).collect()
    };
    match step {
        Step::Add { number, role, seen } => {
            let mailbox = kit.mailbox(Role::ALL[*role]).await.id;
            let mut message = kit.message(*number);
            message.mailbox = Source::Mailbox(mailbox);
            message.flags = if *seen { Flags::SEEN } else { Flags::NONE };
            model.insert(message.id, (mailbox, message.flags));
            kit.append(message).await;
        }
        Step::Flags { which, seen, flagged } => {
            let ids = pick(model, which);
            let add = if *seen { Flags::SEEN } else { Flags::NONE };
            let remove = if *flagged { Flags::NONE } else { Flags::FLAGGED };
            let add = if *flagged { add | Flags::FLAGGED } else { add };
            for id in &ids {
                let known = model.get_mut(id).unwrap();
                known.1 = known.1.changed(add, remove);
            }
            kit.write(move |tx| {
                let (ids, change) = (ids.clone(), FlagChange { add, remove, ..FlagChange::default() });
                Box::pin(async move { tx.change_flags(account, &ids, &change).await })
            })
            .await
            .unwrap();
        }
        Step::Move { which, role } => {
            let ids = pick(model, which);
            let to = kit.mailbox(Role::ALL[*role]).await.id;
            for id in &ids {
                model.get_mut(id).unwrap().0 = to;
            }
            kit.write(move |tx| {
                let ids = ids.clone();
                Box::pin(async move { tx.move_messages(account, &ids, to, NOW).await })
            })
            .await
            .unwrap();
        }
        Step::Expunge { which } => {
            let ids = pick(model, which);
            for id in &ids {
                model.remove(id);
            }
            kit.write(move |tx| {
                let ids = ids.clone();
                Box::pin(async move { tx.expunge(account, &ids).await })
            })
            .await
            .unwrap();
        }
    }
}

async fn compare(kit: &Kit, model: &Known, history: &[Step]) {
    kit.check_counts().await;
    let mailboxes = kit.read().await.mailboxes(kit.account).await.unwrap();
    for mailbox in mailboxes.iter().map(|mailbox| Some(mailbox.id)).chain([None]) {
        for unread in [None, Some(true), Some(false)] {
            let filter = Filter { unread, ..Filter::default() };
            let paged: Vec<_> = kit.all(mailbox, filter).await;
            let paged: Vec<_> =
                paged.iter().map(|message| (message.id, message.mailbox, message.flags)).collect();
            let expected: Vec<_> = model
                .iter()
                .rev()
                .filter(|(_, (place, flags))| {
                    mailbox.is_none_or(|mailbox| mailbox == *place)
                        && unread.is_none_or(|unread| unread == flags.is_unread())
                })
                .map(|(id, (place, flags))| (*id, *place, *flags))
                .collect();
            assert_eq!(paged, expected, "after {history:?}");
        }
    }
}
