//! LIST, LSUB, NAMESPACE, STATUS, CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE.

use std::collections::BTreeSet;

use imap::wire::{List, ListReturn, MailboxName, Pattern, Selection, SpecialUse, StatusItem};
use imap::{Code, Status, Writer};
use mail::{Mailbox, Named, OTHER_USERS, Reach};
use types::{Flags, Rights};

use super::session::{Answer, Session};
use super::{acl, answers, metadata};

const SEPARATOR: char = '/';

/// What is told of a mailbox that matches.
pub(super) struct Line<'a> {
    pub(super) named: &'a Named,
    /// RFC 5258 §3.5: it does not match itself, but something in it is subscribed.
    pub(super) only_child: bool,
    /// RFC 5465 §5.4: the name that it had.
    pub(super) was: Option<&'a str>,
}

impl Session {
    /// RFC 9051 §6.3.9
    pub(super) async fn list(&mut self, list: List) -> Answer {
        let access = self.access()?;
        let List { selection, reference, patterns, mut returns, basic } = list;
        if basic && patterns.iter().all(|pattern| pattern.0.is_empty()) {
            // It asks for the separator.
            let mut out = self.writer();
            out.line(format_args!("LIST (\\Noselect) \"/\" \"\""));
            self.send(out);
            return Ok(Status::ok("Listed"));
        }
        // RFC 9051 §6.3.9.5: what was selected by is told; RFC 3348: children are told in the basic form.
        returns.subscribed |= selection.subscribed;
        returns.special_use |= selection.special_use || basic;
        returns.children |= basic;
        let patterns: Vec<_> =
            patterns.into_iter().map(|pattern| Pattern(format!("{}{}", reference.0, pattern.0))).collect();
        let all = self.listed(&patterns).await?;
        let lines = lines(&all, &patterns, selection);
        let notes = match &returns.metadata {
            Some(_) => Some(metadata::noted(&access, &lines).await?),
            None => None,
        };
        let mut out = self.writer();
        for line in lines {
            write_line(&mut out, "LIST", &line, &returns);
            if let Some(items) = &returns.status
                && !line.only_child
                && line.named.rights.contains(Rights::READ)
                && let Ok(reach) = self.reach_to(&line.named.mailbox).await
            {
                status_line(&mut out, &reach, line.named, items).await?;
            }
            if returns.my_rights {
                acl::write_rights(&mut out, &line.named.name, line.named.rights);
            }
            if let Some(wanted) = &returns.metadata
                && line.named.rights.contains(Rights::READ)
                && let Some(noted) = notes.as_ref().and_then(|notes| notes.of(line.named))
            {
                metadata::write(&mut out, &line.named.name, &noted, wanted);
            }
        }
        if selection == Selection::default() {
            for level in levels(&all, |_| true).iter().filter(|level| is_any(&patterns, level)) {
                let children = if returns.children { " \\HasChildren" } else { "" };
                out.format(format_args!("* LIST (\\Noselect{children}) \"/\" ")).mailbox(level).end();
            }
        }
        self.send(out);
        Ok(Status::ok("Listed"))
    }

    /// The mailboxes that may be told, and may match: whose others are is only asked if it must be.
    async fn listed(&mut self, patterns: &[Pattern]) -> Result<Vec<Named>, Status> {
        let access = self.access()?;
        let all = match patterns.iter().any(may_match_others) {
            true => access.all_named().await,
            false => access.named().await,
        };
        let mut all = all.map_err(answers::refusal)?;
        all.retain(|named| named.rights.contains(Rights::LOOKUP));
        Ok(all)
    }

    /// RFC 3501 §6.3.9
    pub(super) async fn lsub(&mut self, reference: &Pattern, pattern: &Pattern) -> Answer {
        let pattern = Pattern(format!("{}{}", reference.0, pattern.0));
        let all = self.listed(std::slice::from_ref(&pattern)).await?;
        let mut out = self.writer();
        if pattern.0.ends_with('%') {
            let above = levels(&all, |named| named.mailbox.subscribed);
            for level in above.iter().filter(|level| matches(&pattern, level)) {
                out.text("* LSUB (\\Noselect) \"/\" ").mailbox(level).end();
            }
        }
        for named in all.iter().filter(|named| matches(&pattern, &named.name)) {
            let is_above =
                || all.iter().any(|other| other.mailbox.subscribed && is_in(&other.name, &named.name));
            if named.mailbox.subscribed {
                out.text("* LSUB () \"/\" ").mailbox(&named.name).end();
            } else if pattern.0.ends_with('%') && is_above() {
                out.text("* LSUB (\\Noselect) \"/\" ").mailbox(&named.name).end();
            }
        }
        self.send(out);
        Ok(Status::ok("Listed"))
    }

    /// RFC 2342
    pub(super) fn namespace(&mut self) -> Answer {
        let mut out = self.writer();
        out.line(format_args!("NAMESPACE ((\"\" \"/\")) ((\"{OTHER_USERS}\" \"/\")) NIL"));
        self.send(out);
        Ok(Status::ok("Done"))
    }

    /// RFC 9051 §6.3.11
    pub(super) async fn status(&mut self, mailbox: &MailboxName, items: &[StatusItem]) -> Answer {
        let named = self.named(mailbox).await?;
        self.enabled.condstore |= items.contains(&StatusItem::HighestModSeq);
        let reach = self.reach_to(&named.mailbox).await?;
        reach.check(Rights::READ).map_err(answers::refusal)?;
        let mut out = self.writer();
        status_line(&mut out, &reach, &named, items).await?;
        self.send(out);
        Ok(Status::ok("Done"))
    }

    /// RFC 9051 §6.3.4, RFC 6154 §3
    pub(super) async fn create(&mut self, mailbox: &MailboxName, uses: &[SpecialUse]) -> Answer {
        if !uses.is_empty() {
            // Every account has a mailbox of each use that there is here, and no more than one.
            return Err(Status::no("The mailboxes for special uses are there already").with(Code::UseAttr));
        }
        let access = self.access()?;
        let created = access.create_named(&mailbox.0).await.map_err(answers::refusal)?;
        let created = created.map_err(answers::denied)?;
        let is_shared = created.account != access.id();
        Ok(Status::ok("Created").with(Code::MailboxId(mailbox_id(&created, is_shared))))
    }

    /// RFC 9051 §6.3.5
    pub(super) async fn delete(&mut self, mailbox: &MailboxName) -> Answer {
        let access = self.access()?;
        let there = self.named(mailbox).await?.mailbox;
        access.delete_named(&mailbox.0).await.map_err(answers::refusal)?.map_err(answers::denied)?;
        if self.is_selected(&there) {
            self.unselect();
        }
        Ok(Status::ok("Deleted"))
    }

    /// RFC 9051 §6.3.6
    pub(super) async fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Answer {
        let renamed = self.access()?.rename_named(&from.0, &to.0).await.map_err(answers::refusal)?;
        renamed.map_err(answers::denied)?;
        Ok(Status::ok("Renamed"))
    }

    /// RFC 9051 §6.3.7
    pub(super) async fn subscribe(&mut self, mailbox: &MailboxName, yes: bool) -> Answer {
        let is_there = self.access()?.subscribe_named(&mailbox.0, yes).await.map_err(answers::refusal)?;
        // What is not there is not subscribed to: programs say so after they have removed or renamed a mailbox.
        if is_there || !yes { Ok(Status::ok("Done")) } else { Err(answers::non_existent()) }
    }
}

/// Names are compared as they are, but for the inbox, which is one in any capitals.
fn matches(pattern: &Pattern, name: &str) -> bool {
    if pattern.matches(name, SEPARATOR) {
        return true;
    }
    name == "INBOX" && Pattern(pattern.0.to_ascii_uppercase()).matches(name, SEPARATOR)
}

fn is_any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

/// Whether names that begin as those of what others share can match.
fn may_match_others(pattern: &Pattern) -> bool {
    let wild = pattern.0.find(['*', '%']).unwrap_or(pattern.0.len());
    let begun = pattern.0.get(..wild).unwrap_or_default();
    OTHER_USERS.starts_with(begun) || begun.starts_with(OTHER_USERS)
}

/// The levels above shared mailboxes that are no mailboxes themselves, or none that may be seen.
fn levels(all: &[Named], is_meant: impl Fn(&Named) -> bool) -> Vec<String> {
    let mut levels = BTreeSet::new();
    for named in all.iter().filter(|named| named.shared && is_meant(named)) {
        levels.extend(named.name.match_indices(SEPARATOR).filter_map(|(at, _)| named.name.get(..at)));
    }
    let is_there = |level: &&str| all.iter().any(|named| named.name == *level);
    levels.into_iter().filter(|level| !is_there(level)).map(str::to_owned).collect()
}

fn is_in(name: &str, above: &str) -> bool {
    name.strip_prefix(above).is_some_and(|rest| rest.starts_with(SEPARATOR))
}

fn lines<'a>(all: &'a [Named], patterns: &[Pattern], selection: Selection) -> Vec<Line<'a>> {
    let is_selected = |named: &Named| {
        let special = named.mailbox.role.and_then(SpecialUse::attribute).is_some();
        (!selection.subscribed || named.mailbox.subscribed) && (!selection.special_use || special)
    };
    let line = |named: &'a Named| {
        if !is_any(patterns, &named.name) {
            return None;
        }
        if is_selected(named) {
            return Some(Line { named, only_child: false, was: None });
        }
        let below = || all.iter().any(|other| is_selected(other) && is_in(&other.name, &named.name));
        (selection.recursive_match && below()).then_some(Line { named, only_child: true, was: None })
    };
    all.iter().filter_map(line).collect()
}

pub(super) fn write_line(out: &mut Writer, response: &str, line: &Line<'_>, returns: &ListReturn) {
    let Line { named, only_child, was } = line;
    let mut attributes = Vec::new();
    if !named.rights.contains(Rights::READ) {
        attributes.push("\\Noselect");
    }
    if returns.subscribed && named.mailbox.subscribed {
        attributes.push("\\Subscribed");
    }
    if returns.children {
        attributes.push(if named.has_children { "\\HasChildren" } else { "\\HasNoChildren" });
    }
    if returns.special_use {
        attributes.extend(named.mailbox.role.and_then(SpecialUse::attribute));
    }
    out.format(format_args!("* {response} ({}) \"/\" ", attributes.join(" "))).mailbox(&named.name);
    if *only_child {
        out.text(" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    }
    if let Some(was) = was {
        out.text(" (\"OLDNAME\" (").mailbox(was).text("))");
    }
    out.end();
}

/// As OBJECTID names it (RFC 8474 §4): for whom it is somebody else's, with that account's number.
pub(super) fn mailbox_id(mailbox: &Mailbox, is_shared: bool) -> String {
    match is_shared {
        true => format!("F{}-{}", mailbox.account, mailbox.id),
        false => format!("F{}", mailbox.id),
    }
}

async fn status_line(
    out: &mut Writer,
    reach: &Reach,
    named: &Named,
    items: &[StatusItem],
) -> Result<(), Status> {
    let mailbox = &named.mailbox;
    out.text("* STATUS ").mailbox(&named.name).text(" (");
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.text(" ");
        }
        match item {
            StatusItem::Messages => out.format(format_args!("MESSAGES {}", mailbox.total)),
            StatusItem::Recent => out.text("RECENT 0"),
            StatusItem::UidNext => out.format(format_args!("UIDNEXT {}", mailbox.uid_next)),
            StatusItem::UidValidity => out.format(format_args!("UIDVALIDITY {}", mailbox.uid_validity)),
            StatusItem::Unseen => out.format(format_args!("UNSEEN {}", mailbox.unread)),
            StatusItem::Deleted => {
                let roll = reach.roll().await.map_err(answers::refusal)?;
                let is_deleted = |message: &&mail::Listed| message.flags.contains(Flags::DELETED);
                let deleted = roll.map_or(0, |roll| roll.messages.iter().filter(is_deleted).count());
                out.format(format_args!("DELETED {deleted}"))
            }
            StatusItem::Size => out.format(format_args!("SIZE {}", mailbox.size_bytes)),
            StatusItem::HighestModSeq => out.format(format_args!("HIGHESTMODSEQ {}", mailbox.modseq)),
            StatusItem::MailboxId => {
                out.format(format_args!("MAILBOXID ({})", mailbox_id(mailbox, named.shared)))
            }
            StatusItem::AppendLimit => out.format(format_args!("APPENDLIMIT {}", reach.max_message_bytes())),
        };
    }
    out.text(")").end();
    Ok(())
}
