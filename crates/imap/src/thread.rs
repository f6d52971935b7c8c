//! Threads by what mails refer to: REFERENCES (RFC 5256 §3), and REFS (draft-ietf-morg-inthread), which is the same
//! without looking at subjects, and with the thread last that got mail last.
//!
//! Nothing here recurses, and every step is bounded: mail can be made to refer to anything.

use std::collections::HashMap;

/// What is known of a mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mail {
    /// What its Message-ID is told from others by.
    pub own: Option<i64>,
    /// Those of References, oldest first; where there are none, the first of In-Reply-To.
    pub ancestors: Vec<i64>,
    pub sent: i64,
    pub received: i64,
    /// RFC 5256 §2.1
    pub base_subject: String,
    /// Whether something was taken from the subject that says so.
    pub is_reply: bool,
}

/// Whether threads of the same subject are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    References,
    Refs,
}

/// Threads of mails, which are meant by their places in the list that they were made of.
#[derive(Debug)]
pub struct Threads<'m> {
    mails: &'m [Mail],
    nodes: Vec<Node>,
    roots: Vec<usize>,
}

/// A mail, or one that others refer to and that is not there.
#[derive(Debug, Default)]
struct Node {
    mail: Option<usize>,
    parent: Option<usize>,
    children: Vec<usize>,
}

/// Ancestors beyond these are not looked at: what lies deeper begins a thread of its own.
const MAX_DEPTH: usize = 2_000;

/// Threads the mails, which are in the order of the mailbox.
#[must_use]
pub fn threads(mails: &[Mail], kind: Kind) -> Threads<'_> {
    let mut threads = Threads { mails, nodes: Vec::with_capacity(mails.len()), roots: Vec::new() };
    threads.link();
    threads.prune();
    threads.sort();
    match kind {
        Kind::References => {
            threads.join_subjects();
            threads.sort();
        }
        Kind::Refs => threads.sort_by_arrival(),
    }
    threads
}

impl Threads<'_> {
    /// As `thread-list`s, each mail by its name.
    pub fn write(&self, out: &mut String, name: impl Fn(usize) -> u32) {
        let mut open: Vec<Option<usize>> = self.roots.iter().rev().map(|root| Some(*root)).collect();
        while let Some(next) = open.pop() {
            let Some(mut at) = next else {
                out.push(')');
                continue;
            };
            out.push('(');
            let mut is_first = true;
            while let Some(node) = self.nodes.get(at) {
                if let Some(mail) = node.mail {
                    let space = if std::mem::take(&mut is_first) { "" } else { " " };
                    out.push_str(&format!("{space}{}", name(mail)));
                }
                if let [only] = node.children.as_slice() {
                    at = *only;
                    continue;
                }
                if !node.children.is_empty() && !is_first {
                    out.push(' ');
                }
                open.push(None);
                open.extend(node.children.iter().rev().map(|child| Some(*child)));
                break;
            }
        }
    }

    /// Steps 1 and 2: each mail under the last that it refers to.
    fn link(&mut self) {
        let mut by_id: HashMap<i64, usize> = HashMap::with_capacity(self.mails.len());
        for (place, mail) in self.mails.iter().enumerate() {
            let at = self.place(place, mail.own, &mut by_id);
            let mut before: Option<usize> = None;
            for id in &mail.ancestors {
                let next = *by_id.entry(*id).or_insert_with(|| {
                    self.nodes.push(Node::default());
                    self.nodes.len() - 1
                });
                let is_free = self.nodes.get(next).is_some_and(|node| node.parent.is_none());
                if let Some(before) = before
                    && is_free
                {
                    self.put_under(before, next);
                }
                before = Some(next);
            }
            // What others said of it counts less than what it says itself.
            if let Some(node) = self.nodes.get_mut(at) {
                node.parent = None;
            }
            if let Some(before) = before {
                self.put_under(before, at);
            }
        }
        for at in 0..self.nodes.len() {
            let parent = self.nodes.get(at).and_then(|node| node.parent);
            match parent.and_then(|parent| self.nodes.get_mut(parent)) {
                Some(parent) => parent.children.push(at),
                None => self.roots.push(at),
            }
        }
    }

    /// The node of a mail. A Message-ID that another has already counts for nothing.
    fn place(&mut self, place: usize, own: Option<i64>, by_id: &mut HashMap<i64, usize>) -> usize {
        if let Some(id) = own {
            let known = by_id.get(&id).copied();
            match known.and_then(|at| Some((at, self.nodes.get_mut(at)?))) {
                Some((at, node)) if node.mail.is_none() => {
                    node.mail = Some(place);
                    return at;
                }
                Some(_) => {}
                None => {
                    by_id.insert(id, self.nodes.len());
                }
            }
        }
        self.nodes.push(Node { mail: Some(place), ..Node::default() });
        self.nodes.len() - 1
    }

    /// Makes a node the child of another, unless that goes in a circle, or too deep.
    fn put_under(&mut self, parent: usize, child: usize) {
        let mut above = Some(parent);
        for _ in 0..MAX_DEPTH {
            match above {
                None => {
                    if let Some(node) = self.nodes.get_mut(child) {
                        node.parent = Some(parent);
                    }
                    return;
                }
                Some(at) if at == child => return,
                Some(at) => above = self.nodes.get(at).and_then(|node| node.parent),
            }
        }
    }

    /// Step 3: nobody is under a mail that is not there, but to hold together what has no other top.
    fn prune(&mut self) {
        for at in self.leaves_first() {
            let children = self.children(at);
            let mut kept = Vec::with_capacity(children.len());
            for child in children {
                if self.is_there(child) {
                    kept.push(child);
                } else {
                    kept.extend(self.children(child));
                }
            }
            self.set_children(at, kept);
        }
        let mut roots = Vec::with_capacity(self.roots.len());
        for root in std::mem::take(&mut self.roots) {
            if self.is_there(root) {
                roots.push(root);
                continue;
            }
            let mut children = self.children(root);
            match children.len() {
                0 | 1 => roots.append(&mut children),
                _ => {
                    self.set_children(root, children);
                    roots.push(root);
                }
            }
        }
        self.roots = roots;
    }

    /// Steps 4 and 6: by the date of sending, then by the order of the mailbox.
    fn sort(&mut self) {
        let mut keys = vec![(i64::MAX, usize::MAX); self.nodes.len()];
        for at in self.leaves_first() {
            let mut children = self.children(at);
            children.sort_by_key(|child| keys.get(*child).copied());
            let mail = self.nodes.get(at).and_then(|node| node.mail);
            let key = match mail.and_then(|place| Some((self.mails.get(place)?.sent, place))) {
                Some(key) => Some(key),
                None => children.first().and_then(|first| keys.get(*first).copied()),
            };
            if let (Some(slot), Some(key)) = (keys.get_mut(at), key) {
                *slot = key;
            }
            self.set_children(at, children);
        }
        self.roots.sort_by_key(|root| keys.get(*root).copied());
    }

    /// By the mail of each thread that came last.
    fn sort_by_arrival(&mut self) {
        let mut latest = vec![(i64::MIN, 0); self.nodes.len()];
        for at in self.leaves_first() {
            let mail = self.nodes.get(at).and_then(|node| node.mail);
            let own = mail.and_then(|place| Some((self.mails.get(place)?.received, place)));
            let below = self.nodes.get(at).map(|node| node.children.as_slice()).unwrap_or_default();
            let below = below.iter().filter_map(|child| latest.get(*child).copied());
            let newest = below.chain(own).max();
            if let (Some(slot), Some(newest)) = (latest.get_mut(at), newest) {
                *slot = newest;
            }
        }
        self.roots.sort_by_key(|root| latest.get(*root).copied());
    }

    /// Step 5: threads of one base subject become one.
    fn join_subjects(&mut self) {
        let mut table: HashMap<String, usize> = HashMap::new();
        for root in self.roots.clone() {
            let Some(subject) = self.subject(root) else { continue };
            match table.get(subject).copied() {
                None => {
                    table.insert(subject.to_owned(), root);
                }
                Some(there) => {
                    let is_better = !self.is_there(root) && self.is_there(there)
                        || self.is_there(there) && self.is_reply(there) && !self.is_reply(root);
                    if is_better {
                        table.insert(subject.to_owned(), root);
                    }
                }
            }
        }
        let mut places: HashMap<usize, usize> =
            self.roots.iter().enumerate().map(|(place, root)| (*root, place)).collect();
        let mut roots: Vec<Option<usize>> = self.roots.iter().copied().map(Some).collect();
        for root in self.roots.clone() {
            let Some(subject) = self.subject(root).map(str::to_owned) else { continue };
            let Some(there) = table.get(&subject).copied().filter(|there| *there != root) else { continue };
            let top = self.join(there, root);
            if let Some(slot) = places.get(&root).and_then(|place| roots.get_mut(*place)) {
                *slot = None;
            }
            if top != there
                && let Some(place) = places.remove(&there)
            {
                if let Some(slot) = roots.get_mut(place) {
                    *slot = Some(top);
                }
                places.insert(top, place);
                table.insert(subject, top);
            }
        }
        self.roots = roots.into_iter().flatten().collect();
    }

    /// Puts a thread to another of its subject; what is on top then.
    fn join(&mut self, there: usize, root: usize) -> usize {
        let mut children = self.children(there);
        match (self.is_there(there), self.is_there(root)) {
            (false, false) => children.extend(self.children(root)),
            (false, true) => children.push(root),
            (true, _) if self.is_reply(root) && !self.is_reply(there) => children.push(root),
            (true, _) => {
                self.set_children(there, children);
                self.nodes.push(Node { children: vec![there, root], ..Node::default() });
                return self.nodes.len() - 1;
            }
        }
        self.set_children(there, children);
        there
    }

    /// The nodes under the roots, each before what it is under.
    fn leaves_first(&self) -> Vec<usize> {
        let mut all = self.roots.clone();
        let mut next = 0;
        while let Some(node) = all.get(next).and_then(|at| self.nodes.get(*at)) {
            all.extend(&node.children);
            next += 1;
        }
        all.reverse();
        all
    }

    fn is_there(&self, at: usize) -> bool {
        self.nodes.get(at).is_some_and(|node| node.mail.is_some())
    }

    /// The mail of a node, or the first under it.
    fn first(&self, at: usize) -> Option<&Mail> {
        let node = self.nodes.get(at)?;
        let place = node.mail.or_else(|| self.nodes.get(*node.children.first()?)?.mail)?;
        self.mails.get(place)
    }

    fn subject(&self, root: usize) -> Option<&str> {
        self.first(root).map(|mail| mail.base_subject.as_str()).filter(|subject| !subject.is_empty())
    }

    fn is_reply(&self, at: usize) -> bool {
        self.first(at).is_some_and(|mail| mail.is_reply)
    }

    fn children(&mut self, at: usize) -> Vec<usize> {
        self.nodes.get_mut(at).map(|node| std::mem::take(&mut node.children)).unwrap_or_default()
    }

    fn set_children(&mut self, at: usize, children: Vec<usize>) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.children = children;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// `own < ancestors, subject`; sent in this order.
    fn mails(texts: &[&str]) -> Vec<Mail> {
        let mail = |(place, text): (usize, &&str)| {
            let (ids, subject) = text.split_once(',').unwrap();
            let (own, ancestors) = ids.split_once('<').unwrap();
            let base = subject.trim().strip_prefix("re:");
            Mail {
                own: own.trim().parse().ok(),
                ancestors: ancestors.split_whitespace().map(|id| id.parse().unwrap()).collect(),
                sent: place as i64,
                received: place as i64,
                base_subject: base.unwrap_or(subject).trim().to_owned(),
                is_reply: base.is_some(),
            }
        };
        texts.iter().enumerate().map(mail).collect()
    }

    fn written(mails: &[Mail], kind: Kind) -> String {
        let mut out = String::new();
        threads(mails, kind).write(&mut out, |place| u32::try_from(place).unwrap() + 1);
        out
    }

    fn check(texts: &[&str], references: &str, refs: &str) {
        let mails = mails(texts);
        assert_eq!(written(&mails, Kind::References), references, "{texts:?}");
        assert_eq!(written(&mails, Kind::Refs), refs, "{texts:?}");
    }

    #[test]
    fn mails_are_under_what_they_refer_to() {
        check(&[], "", "");
        check(&["1 <, a"], "(1)", "(1)");
        check(&["1 <, a", "2 < 1, re: a", "3 < 1 2, re: a", "4 < 1, re: a"], "(1 (2 3)(4))", "(1 (2 3)(4))");
        // An answer that came before.
        check(&["2 < 1, re: a", "1 <, a"], "(2 1)", "(2 1)");
        // Who was not there holds together.
        check(&["2 < 1, x", "3 < 1, y"], "((1)(2))", "((1)(2))");
        check(&["2 < 1, x"], "(1)", "(1)");
        check(&["3 < 1 2, x", "4 < 1 2, y", "1 <, z"], "(3 (1)(2))", "(3 (1)(2))");
        // A circle.
        check(&["1 < 2, a", "2 < 1, b"], "(2 1)", "(2 1)");
        check(&["1 < 1, a"], "(1)", "(1)");
        // The same Message-ID twice.
        check(&["1 <, a", "1 <, b", "2 < 1, c"], "(1 3)(2)", "(2)(1 3)");
    }

    #[test]
    fn subjects_join_threads() {
        check(&["1 <, a", "2 <, re: a"], "(1 2)", "(1)(2)");
        check(&["1 <, re: a", "2 <, a"], "(2 1)", "(1)(2)");
        check(&["1 <, a", "2 <, a"], "((1)(2))", "(1)(2)");
        check(&["1 <, re: a", "2 <, re: a", "3 <, re: a"], "((1)(2)(3))", "(1)(2)(3)");
        check(&["2 < 1, a", "3 < 1, b", "4 <, a"], "((1)(2)(3))", "((1)(2))(3)");
        check(&["2 < 1, a", "3 < 1, b", "5 < 4, a", "6 < 4, c"], "((1)(2)(3)(4))", "((1)(2))((3)(4))");
        check(&["1 <, ", "2 <, "], "(1)(2)", "(1)(2)");
    }

    #[test]
    fn the_thread_with_the_newest_mail_is_the_last() {
        check(&["1 <, a", "2 <, b", "3 < 1, c"], "(1 3)(2)", "(2)(1 3)");
    }

    #[test]
    fn long_chains_are_no_danger() {
        let mail = |place: i64| Mail { own: Some(place), ancestors: vec![place - 1], ..Mail::default() };
        let chain: Vec<_> = (1..20_000).map(mail).collect();
        let names = written(&chain, Kind::Refs).matches(|c: char| c.is_ascii_digit()).count();
        assert!(names > 20_000);
    }

    proptest! {
        #[test]
        fn every_mail_is_in_one_thread(
            all in vec((0_i64..12, vec(0_i64..12, 0..5), 0_u8..3, any::<bool>()), 0..40)
        ) {
            let mail = |(place, (own, ancestors, subject, is_reply)): (usize, &(i64, Vec<i64>, u8, bool))| Mail {
                own: Some(*own).filter(|own| *own > 0),
                ancestors: ancestors.clone(),
                sent: i64::from(*subject),
                received: place as i64,
                base_subject: ["", "a", "b"][usize::from(*subject)].to_owned(),
                is_reply: *is_reply,
            };
            let mails: Vec<_> = all.iter().enumerate().map(mail).collect();
            for kind in [Kind::References, Kind::Refs] {
                let text = written(&mails, kind);
                let digits = |c: char| !c.is_ascii_digit();
                let mut names: Vec<usize> =
                    text.split(digits).filter(|name| !name.is_empty()).map(|name| name.parse().unwrap()).collect();
                names.sort_unstable();
                prop_assert_eq!(names, (1..=mails.len()).collect::<Vec<_>>());
                prop_assert_eq!(text.matches('(').count(), text.matches(')').count());
                prop_assert!(!text.contains("()") && !text.contains(" )"));
            }
        }
    }
}
