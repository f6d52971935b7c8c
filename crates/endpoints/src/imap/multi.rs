//! ESEARCH (RFC 7377): a search in several mailboxes, one after another, each told as soon as it was searched.

use imap::wire::{MultiSearch, Options, Search, Source};
use imap::{Status, View};
use mail::{Mailbox, Named};
use types::{Rights, Role};

use super::answers;
use super::names::is_same;
use super::progress::Progress;
use super::search::{matching, write_esearch};
use super::session::{Answer, Session};

impl Session {
    pub(super) async fn multi_search(&mut self, search: MultiSearch) -> Answer {
        if search.is_of_selected() {
            return self.search(search.search, true).await;
        }
        let MultiSearch { sources, search } = search;
        let options = search.options.unwrap_or_default();
        if options.save || matching::uses_numbers(&search.key) || matching::uses_saved(&search.key) {
            // RFC 7377 §2.2: what is saved, and numbers, are of the selected mailbox.
            return Err(Status::bad("Only the selected mailbox has saved messages and sequence numbers"));
        }
        matching::check(&search)?;
        if let Some(tag) = self.engine.tag().filter(|_| options.update) {
            let tag = tag.to_owned();
            self.refuse_update(tag);
        }
        let all = self.access()?.all_named().await.map_err(answers::refusal)?;
        let selected = self.selected.as_ref().map(|selected| selected.mailbox.clone());
        let is_meant = |named: &&Named| {
            let is_in = |source| is_in(source, named, selected.as_ref());
            named.rights.contains(Rights::LOOKUP | Rights::READ) && sources.iter().any(is_in)
        };
        for named in all.iter().filter(is_meant) {
            self.search_in(named, &search, options).await?;
        }
        Ok(Status::ok("Searched"))
    }

    /// As the mailbox is now, selected or not.
    async fn search_in(&mut self, named: &Named, search: &Search, options: Options) -> Result<(), Status> {
        let reach = self.access()?.reach(named.mailbox.account, named.mailbox.id).await;
        // One that was deleted meanwhile, or may not be read any more, has nothing.
        let Some(reach) =
            reach.map_err(answers::refusal)?.filter(|reach| reach.rights().contains(Rights::READ))
        else {
            return Ok(());
        };
        let Some(roll) = reach.roll().await.map_err(answers::refusal)? else {
            return Ok(());
        };
        let view = View::new(roll.messages.clone());
        let plan = matching::Plan::new(search, &view, &[], self.mail.now())?;
        let progress = Progress::default();
        let all = view.messages().iter().zip(1..).map(|(message, number)| (number, message));
        let work = super::search::decide(&reach, &plan, all, None, &progress);
        let (found, _) = self.patiently(&progress, work).await?;
        if found.is_empty() {
            return Ok(());
        }
        let modseq = found.iter().map(|(_, message)| message.modseq).max();
        let modseq = modseq.filter(|_| matching::mentions_modseq(&search.key));
        let names: Vec<u32> = found.iter().map(|(_, message)| message.uid.0).collect();
        let mut out = self.writer();
        if let Some(tag) = self.engine.tag() {
            let of = Some((named.name.as_str(), roll.mailbox.uid_validity.0));
            write_esearch(&mut out, tag, of, &names, options, true, modseq);
        }
        self.send(out);
        Ok(())
    }
}

pub(super) fn is_in(source: &Source, named: &Named, selected: Option<&Mailbox>) -> bool {
    let below = |above: &str| named.name.strip_prefix(above).and_then(|rest| rest.strip_prefix('/'));
    match source {
        Source::Selected => selected.is_some_and(|selected| is_same(selected, &named.mailbox)),
        Source::Inboxes => named.mailbox.role == Some(Role::Inbox),
        Source::Personal => !named.shared,
        Source::Subscribed => named.mailbox.subscribed,
        Source::Subtree(names) => names.iter().any(|name| name.0 == named.name || below(&name.0).is_some()),
        Source::SubtreeOne(names) => names
            .iter()
            .any(|name| name.0 == named.name || below(&name.0).is_some_and(|rest| !rest.contains('/'))),
        Source::Mailboxes(names) => names.iter().any(|name| name.0 == named.name),
    }
}
