//! CONTEXT=SEARCH and CONTEXT=SORT (RFC 5267): results of searches that are kept up to date while the mailbox stays
//! selected. With whatever else is told of the mailbox, it is told what joined the result and what left it.

use std::collections::{BTreeSet, HashSet};

use imap::wire::{Bound, Key, Search, SequenceSet, SortKey};
use imap::{Code, Status, Writer};
use mail::Listed;
use types::Uid;

use super::progress::Progress;
use super::search::{decide, matching};
use super::session::{Answer, Session};
use super::sort::{Sortable, compare, sortable};

/// A result that is kept up to date.
pub(super) struct Context {
    tag: String,
    /// Messages are named by their UIDs.
    uid: bool,
    search: Search,
    members: Members,
    /// Messages that have changed or come, and have not been looked at yet.
    open: BTreeSet<Uid>,
}

/// The result as the client knows it.
pub(super) enum Members {
    /// Of SEARCH: in the order of the mailbox.
    Plain(BTreeSet<Uid>),
    /// Of SORT: by these keys.
    Sorted(Vec<(SortKey, bool)>, Vec<Sortable>),
}

/// RFC 5267 §4.3.1 wants one for each client.
const MAX_CONTEXTS: usize = 8;
/// Messages in a result; of what is sorted, which is kept with what it is sorted by, and searched through, fewer.
const MAX_PLAIN: usize = 100_000;
const MAX_SORTED: usize = 2_000;

impl Session {
    /// RFC 5267 §4.3: a tag names one result.
    pub(super) fn check_update(&mut self, search: &Search) -> Result<(), Status> {
        if !search.options.is_some_and(|options| options.update) {
            return Ok(());
        }
        let tag = self.engine.tag().unwrap_or_default().to_owned();
        if self.selected()?.contexts.iter().any(|context| context.tag == tag) {
            return Err(Status::bad("A search of that tag is still kept up to date"));
        }
        Ok(())
    }

    /// Keeps a result up to date from now on, if that was wished for and can be.
    pub(super) fn keep(&mut self, search: Search, uid: bool, members: Members) -> Result<(), Status> {
        if !search.options.is_some_and(|options| options.update) {
            return Ok(());
        }
        let tag = self.engine.tag().unwrap_or_default().to_owned();
        let contexts = &mut self.selected()?.contexts;
        let is_small = match &members {
            Members::Plain(members) => members.len() <= MAX_PLAIN,
            Members::Sorted(_, sorted) => sorted.len() <= MAX_SORTED,
        };
        if contexts.len() < MAX_CONTEXTS && is_small && can_be_kept(&search.key) {
            contexts.push(Context { tag, uid, search, members, open: BTreeSet::new() });
        } else {
            self.refuse_update(tag);
        }
        Ok(())
    }

    pub(super) fn refuse_update(&mut self, tag: String) {
        let mut out = self.writer();
        out.status(&Status::no("It will not be kept up to date").with(Code::NoUpdate(tag)));
        self.send(out);
    }

    pub(super) fn cancel_update(&mut self, tags: &[String]) -> Answer {
        let contexts = &mut self.selected()?.contexts;
        if tags.iter().any(|tag| contexts.iter().all(|context| context.tag != *tag)) {
            return Err(Status::bad("No search of that tag is kept up to date"));
        }
        contexts.retain(|context| !tags.contains(&context.tag));
        Ok(Status::ok("No more will be told"))
    }

    /// Tells how the results have become by messages that are new or have changed, these by their numbers. What cannot
    /// be looked at now is looked at with the next change.
    pub(super) async fn update_contexts(&mut self, changed: &[u32]) {
        let Some(selected) = &mut self.selected else { return };
        if selected.contexts.is_empty() || changed.is_empty() {
            return;
        }
        let uids = changed.iter().filter_map(|number| selected.view.get(*number)).map(|message| message.uid);
        let uids: Vec<_> = uids.collect();
        let mut contexts = std::mem::take(&mut selected.contexts);
        for context in &mut contexts {
            context.open.extend(uids.iter().copied());
            if let Err(refusal) = self.update(context).await {
                tracing::debug!(?refusal, "a search is not kept up to date for now");
            }
        }
        if let Some(selected) = &mut self.selected {
            selected.contexts = contexts;
        }
    }

    async fn update(&mut self, context: &mut Context) -> Result<(), Status> {
        let (now, reach) = (self.mail.now(), self.reach().await?);
        let mut out = self.writer();
        let selected = self.selected()?;
        let plan = matching::Plan::new(&context.search, &selected.view, &[], now)?;
        let number = |uid: Uid| selected.view.number(uid);
        let all = context.open.iter().filter_map(|uid| {
            let number = number(*uid)?;
            Some((number, selected.view.get(number)?.clone()))
        });
        let all: Vec<(u32, Listed)> = all.collect();
        let these = all.iter().map(|(number, message)| (*number, message));
        let (found, _) = decide(&reach, &plan, these, None, &Progress::default()).await?;
        let joined: Vec<_> =
            found.iter().filter(|(_, message)| !context.members.has(message.uid)).cloned().collect();
        let found: HashSet<Uid> = found.iter().map(|(_, message)| message.uid).collect();
        let left = context.open.iter().copied().filter(|uid| !found.contains(uid));
        let left: Vec<_> = left.filter(|uid| context.members.has(*uid)).collect();
        let joined = match &context.members {
            Members::Plain(_) => Joined::Plain(joined),
            Members::Sorted(keys, _) => {
                Joined::Sorted(sortable(&reach, joined, keys, &Progress::default()).await?)
            }
        };
        let name = |uid: Uid| if context.uid { Some(uid.0) } else { number(uid) };
        let left = context.members.leave(&left, name);
        let joined = context.members.join(joined, name);
        write(&mut out, &context.tag, context.uid, &left, &joined);
        context.open.clear();
        self.send(out);
        Ok(())
    }
}

/// Tells, while their numbers still count, that messages leave results because they are gone: these, by the numbers that
/// they had, in any order.
pub(super) fn expunged(out: &mut Writer, contexts: &mut [Context], gone: &[(u32, Uid)]) {
    // In order of the numbers, which is that of the UIDs.
    let mut gone: Vec<_> = gone.to_vec();
    gone.sort_unstable();
    let uids: Vec<_> = gone.iter().map(|(_, uid)| *uid).collect();
    let number = |uid: Uid| gone.get(uids.binary_search(&uid).ok()?).map(|(number, _)| *number);
    for context in contexts {
        context.open.retain(|uid| uids.binary_search(uid).is_err());
        let by_uid = context.uid;
        let left = context.members.leave(&uids, |uid| if by_uid { Some(uid.0) } else { number(uid) });
        write(out, &context.tag, by_uid, &left, &[]);
    }
}

enum Joined {
    Plain(Vec<(u32, Listed)>),
    Sorted(Vec<Sortable>),
}

/// A place in a result, and the messages that leave it there, or come there. Zero: wherever they belong.
type Pair = (usize, Vec<u32>);

impl Members {
    fn has(&self, uid: Uid) -> bool {
        match self {
            Self::Plain(members) => members.contains(&uid),
            Self::Sorted(_, members) => members.iter().any(|one| one.message.uid == uid),
        }
    }

    fn leave(&mut self, uids: &[Uid], name: impl Fn(Uid) -> Option<u32>) -> Vec<Pair> {
        match self {
            Self::Plain(members) => {
                let left = uids.iter().filter(|uid| members.remove(*uid));
                let left: Vec<_> = left.filter_map(|uid| name(*uid)).collect();
                if left.is_empty() { Vec::new() } else { vec![(0, left)] }
            }
            Self::Sorted(_, members) => {
                let mut pairs = Vec::new();
                for uid in uids {
                    let Some(at) = members.iter().position(|one| one.message.uid == *uid) else { continue };
                    members.remove(at);
                    pairs.extend(name(*uid).map(|name| (at + 1, vec![name])));
                }
                pairs
            }
        }
    }

    fn join(&mut self, joined: Joined, name: impl Fn(Uid) -> Option<u32>) -> Vec<Pair> {
        match (self, joined) {
            (Self::Plain(members), Joined::Plain(joined)) => {
                members.extend(joined.iter().map(|(_, message)| message.uid));
                let names: Vec<_> = joined.iter().filter_map(|(_, message)| name(message.uid)).collect();
                if names.is_empty() { Vec::new() } else { vec![(0, names)] }
            }
            (Self::Sorted(keys, members), Joined::Sorted(joined)) => {
                let mut pairs = Vec::new();
                for one in joined {
                    let at = members.partition_point(|other| compare(other, &one, keys).is_lt());
                    pairs.extend(name(one.message.uid).map(|name| (at + 1, vec![name])));
                    members.insert(at, one);
                }
                pairs
            }
            (Self::Plain(_), Joined::Sorted(_)) | (Self::Sorted(..), Joined::Plain(_)) => Vec::new(),
        }
    }
}

/// RFC 5267 §4.3.3 and §4.3.4
fn write(out: &mut Writer, tag: &str, uid: bool, left: &[Pair], joined: &[Pair]) {
    if left.is_empty() && joined.is_empty() {
        return;
    }
    out.text("* ESEARCH (TAG ").string(tag.as_bytes()).text(if uid { ") UID" } else { ")" });
    for (what, pairs) in [(" REMOVEFROM (", left), (" ADDTO (", joined)] {
        for (place, (at, names)) in pairs.iter().enumerate() {
            out.text(if place == 0 { what } else { " " }).format(format_args!("{at} "));
            out.set(names.iter().copied());
        }
        if !pairs.is_empty() {
            out.text(")");
        }
    }
    out.end();
}

/// Whether a message alone says if it is in the result: neither its number, nor another search, nor the time, nor which
/// message is the last.
fn can_be_kept(key: &Key) -> bool {
    match key {
        Key::Set(_) | Key::Uid(SequenceSet::Saved) | Key::Older(_) | Key::Younger(_) => false,
        Key::Uid(SequenceSet::Ranges(ranges)) => {
            ranges.iter().all(|range| *range != (Bound::Last, Bound::Last))
        }
        Key::Not(key) => can_be_kept(key),
        Key::And(keys) => keys.iter().all(can_be_kept),
        Key::Or(one, other) => can_be_kept(one) && can_be_kept(other),
        _ => true,
    }
}
