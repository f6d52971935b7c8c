//! FETCH (RFC 9051 §6.4.5, RFC 3516, RFC 7162, RFC 8474, RFC 8970): answered batch by batch, so that it needs the same
//! memory however much is asked for.

mod items;
pub(super) mod sections;

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use futures::TryStreamExt as _;
use imap::wire::{Fetch, Item};
use imap::{Code, Expunges, Status, Writer};
use mail::{Change, Letter, Listed, Portrait, Reach, Row};
use message::Structure;
use tokio::task::{JoinSet, yield_now};
use types::{Flags, MessageId, ModSeq, Rights};

use super::answers;
use super::news::Own;
use super::select::{target, write_vanished};
use super::session::Session;
use items::{Needs, needs};

/// A FETCH that is being answered.
pub(super) struct Fetching {
    /// With the rights that were found last; `None`: they are asked for when it begins.
    reach: Option<Reach>,
    /// Some was read by them.
    used: bool,
    items: Vec<Item>,
    needs: Needs,
    left: VecDeque<(u32, Listed)>,
    /// The next batch, which is read while the one before is sent. It changes nothing, so it may end with the session.
    ahead: JoinSet<mail::Result<Batch>>,
    ready: VecDeque<Piece>,
    uid: bool,
    /// No command is ended by it (RFC 5465 §5.2).
    unasked: bool,
    /// RFC 9586: answers name messages by their UIDs.
    uid_only: bool,
    utf8: bool,
    /// Some of the messages are gone, or some of what was asked for cannot be had.
    status: Status,
}

/// What is ready to be sent.
pub(super) enum Piece {
    Bytes(Bytes),
    /// The rest of a literal, which must be so many bytes.
    Stream {
        stream: mail::ByteStream,
        remaining: u64,
    },
}

/// Messages that are answered together, with their numbers, and what is known of them.
struct Batch {
    messages: Vec<(u32, Listed)>,
    known: Known,
}

#[derive(Default)]
struct Known {
    rows: HashMap<MessageId, Row>,
    portraits: HashMap<MessageId, Portrait>,
    structures: HashMap<MessageId, Structure>,
    headers: HashMap<MessageId, Bytes>,
    letters: HashMap<MessageId, Letter>,
}

/// Messages of one batch, by what has to be read of them.
const FROM_MEMORY: usize = 2_000;
const WITH_PORTRAITS: usize = 500;
const WITH_STRUCTURES: usize = 200;
const WITH_HEADERS: usize = 100;
const WITH_LETTERS: usize = 64;
/// What an answer of flags and numbers takes.
const LINE_BYTES: usize = 64;
/// Bytes of the messages whose bodies are in memory at once; one that has more is alone.
const LETTER_BYTES: u64 = 4 << 20;

/// The conversation cannot go on: within a literal nothing else can be said.
pub(super) struct Broken;

impl Session {
    /// Begins; what follows is sent by [`Session::fetch_on`].
    pub(super) async fn fetch(&mut self, fetch: Fetch, uid: bool) -> Result<(), Status> {
        let Fetch { set, mut items, changed_since, vanished, partial } = fetch;
        if vanished && !(uid && self.enabled.qresync) {
            return Err(Status::bad("VANISHED is for UID FETCH, once QRESYNC is switched on"));
        }
        let reach = self.reach().await?;
        let since = changed_since.map(|since| ModSeq(i64::try_from(since).unwrap_or(i64::MAX)));
        let mut messages = self.messages_changed_since(since, &set, uid)?;
        self.enabled.condstore |= since.is_some() || items.contains(&Item::ModSeq);
        if let Some(since) = since {
            if vanished {
                self.tell_vanished(&reach, since, &set).await?;
            }
            // RFC 7162 §3.1.4.1
            items.push(Item::ModSeq);
        }
        if let Some((start, end)) = partial {
            messages = super::search::partial(&messages, start, end).to_vec();
        }
        let lowest = self.cut(&mut messages);
        let seen = self.mark_seen(&reach, &items, &mut messages).await?;
        if seen {
            items.push(Item::Flags);
        }
        if uid && !self.enabled.uid_only {
            items.insert(0, Item::Uid);
        }
        let items = items::each_once(items);
        self.fetching = Some(Box::new(Fetching {
            reach: Some(reach),
            used: false,
            needs: needs(&items),
            items,
            left: messages.into(),
            ahead: JoinSet::new(),
            ready: VecDeque::new(),
            uid,
            unasked: false,
            uid_only: self.enabled.uid_only,
            utf8: self.engine.uses_utf8(),
            status: self.limited(Status::ok("Fetched"), lowest),
        }));
        Ok(())
    }

    /// Tells what was wished for of messages that are new.
    pub(super) fn tell_fresh(&mut self) {
        let mut items = self.items_of_new().to_vec();
        let left = std::mem::take(&mut self.fresh);
        if self.selected.is_none() || items.is_empty() {
            return;
        }
        items.retain(|item| *item != Item::Uid);
        if !self.enabled.uid_only {
            items.insert(0, Item::Uid);
        }
        let items = items::each_once(items);
        self.fetching = Some(Box::new(Fetching {
            reach: None,
            used: false,
            needs: needs(&items),
            items,
            left: left.into(),
            ahead: JoinSet::new(),
            ready: VecDeque::new(),
            uid: true,
            unasked: true,
            uid_only: self.enabled.uid_only,
            utf8: self.engine.uses_utf8(),
            status: Status::ok("Fetched"),
        }));
    }

    async fn tell_vanished(
        &mut self,
        reach: &Reach,
        since: ModSeq,
        set: &imap::wire::SequenceSet,
    ) -> Result<(), Status> {
        let roll = self.roll_of(reach).await?;
        let ranges = self.vanished(reach, &roll, since, Some(set)).await?;
        let mut out = self.writer();
        write_vanished(&mut out, &ranges);
        self.send(out);
        Ok(())
    }

    /// Reading a text marks it as read (RFC 9051 §6.4.5), unless it is only peeked at.
    async fn mark_seen(
        &mut self,
        reach: &Reach,
        items: &[Item],
        messages: &mut [(u32, Listed)],
    ) -> Result<bool, Status> {
        let selected = self.selected()?;
        let may = !selected.read_only && reach.rights().contains(Rights::SEEN);
        if !may || !items.iter().any(items::marks_seen) {
            return Ok(false);
        }
        let unread = messages.iter().filter(|(_, message)| message.flags.is_unread());
        let targets: Vec<_> = unread.map(|(_, message)| target(message)).collect();
        if targets.is_empty() {
            return Ok(false);
        }
        let change = Change::Add { flags: Flags::SEEN, keywords: Vec::new() };
        let stored = reach.store(&targets, &change, None).await.map_err(answers::refused)?;
        self.tell_news_but(Expunges::Held, Own::Told(&stored.uids)).await?;
        let selected = self.selected()?;
        for (number, message) in messages {
            if let Some(now) = selected.view.get(*number).filter(|now| now.uid == message.uid) {
                *message = now.clone();
            }
        }
        Ok(true)
    }

    /// Sends some more; ends the command when everything was sent.
    pub(super) async fn fetch_on(&mut self) -> Result<(), Broken> {
        let Some(mut fetching) = self.fetching.take() else { return Ok(()) };
        let mut reach = match fetching.reach.take() {
            Some(reach) => reach,
            None => match self.reach().await {
                Ok(reach) => reach,
                Err(_) if fetching.unasked => return Ok(()),
                Err(refusal) => {
                    self.finish(Err(refusal));
                    return Ok(());
                }
            },
        };
        let some = fetching.some(&mut reach).await?;
        fetching.reach = Some(reach);
        match some {
            Some(bytes) => {
                self.engine.write(&bytes);
                self.fetching = Some(fetching);
            }
            None if fetching.unasked => {}
            None => {
                let expunges = if fetching.uid { Expunges::Told } else { Expunges::Held };
                let answer = self.tell_news(expunges).await.map(|()| fetching.status);
                self.finish(answer);
            }
        }
        Ok(())
    }
}

impl Fetching {
    /// The next bytes; `None`: that was all.
    async fn some(&mut self, reach: &mut Reach) -> Result<Option<Bytes>, Broken> {
        loop {
            match self.ready.pop_front() {
                Some(Piece::Bytes(bytes)) => return Ok(Some(bytes)),
                Some(Piece::Stream { remaining: 0, .. }) => {}
                Some(Piece::Stream { mut stream, remaining }) => {
                    let bytes = match stream.try_next().await {
                        Ok(Some(bytes)) if bytes.len() as u64 <= remaining => bytes,
                        outcome => {
                            let error = outcome.err();
                            tracing::error!(
                                ?error,
                                remaining,
                                "a message has not the bytes that it should have"
                            );
                            return Err(Broken);
                        }
                    };
                    let remaining = remaining - bytes.len() as u64;
                    self.ready.push_front(Piece::Stream { stream, remaining });
                    return Ok(Some(bytes));
                }
                None if self.left.is_empty() && self.ahead.is_empty() => return Ok(None),
                None => {
                    if let Err(refusal) = self.batch(reach).await {
                        self.left.clear();
                        self.ahead = JoinSet::new();
                        self.status = refusal;
                    }
                }
            }
        }
    }

    /// Reads the next messages, and makes their answers ready. A client may take its time over what it is sent, so the
    /// rights are asked for anew.
    async fn batch(&mut self, reach: &mut Reach) -> Result<(), Status> {
        if std::mem::replace(&mut self.used, true) {
            *reach = reach.anew().await.map_err(answers::refused)?;
        }
        let batch = match self.ahead.join_next().await {
            Some(ahead) => ahead.map_err(|error| {
                tracing::error!(%error, "a batch was not read");
                Status::no("It has been logged, please try again").with(Code::ServerBug)
            })?,
            None => read(self.needs, reach.clone(), self.next_messages()).await,
        };
        let Batch { messages, known } = batch.map_err(answers::refused)?;
        // What others share is read by the rights of then; and what is large is in memory once.
        let is_small = self.left.front().is_some_and(|(_, next)| next.size_bytes <= LETTER_BYTES);
        if self.needs.letters && is_small && !reach.is_shared() {
            let next = read(self.needs, reach.clone(), self.next_messages());
            self.ahead.spawn(next);
            // The new task is begun when this one waits: what it reads comes while the answers are made.
            yield_now().await;
        }
        let room = messages.iter().map(|(_, message)| self.room(message)).sum();
        let mut out = Writer::with_capacity(self.utf8, room);
        for (number, message) in messages {
            if !self.has(&known, &message) {
                // RFC 2180 §4.1.2: it was expunged by another, and cannot be told of any more.
                self.status = Status::no("Some messages are gone").with(Code::ExpungeIssued);
                continue;
            }
            if !self.needs.letters {
                self.begin(&mut out, number, &message);
                write_known(&self.items, &mut out, &message, &known);
                continue;
            }
            let mut begun = Writer::with_capacity(self.utf8, self.room(&message));
            self.begin(&mut begun, number, &message);
            match answer(&self.items, begun, &message, &known).await {
                Ok(mut pieces) => match (pieces.pop_front(), pieces.is_empty()) {
                    (Some(Piece::Bytes(bytes)), true) => {
                        out.raw(&bytes);
                    }
                    (first, _) => {
                        flush(&mut self.ready, &mut out);
                        self.ready.extend(first.into_iter().chain(pieces));
                    }
                },
                // Of this message nothing was said yet.
                Err(refusal) => self.status = refusal,
            }
        }
        flush(&mut self.ready, &mut out);
        Ok(())
    }

    /// About so many bytes does the answer for a message take, without what is streamed.
    fn room(&self, message: &Listed) -> usize {
        let text = if self.needs.letters { message.size_bytes.min(sections::GATHERED) } else { 0 };
        LINE_BYTES + usize::try_from(text).unwrap_or_default()
    }

    /// Writes the beginning of the answer for a message.
    fn begin(&self, out: &mut Writer, number: u32, message: &Listed) {
        match self.uid_only {
            true => out.text("* ").number(message.uid.0.into()).text(" UIDFETCH ("),
            false => out.text("* ").number(number.into()).text(" FETCH ("),
        };
    }

    fn next_messages(&mut self) -> Vec<(u32, Listed)> {
        let length = self.batch_length();
        self.left.drain(..length).collect()
    }

    fn batch_length(&self) -> usize {
        let most = match self.needs {
            Needs { letters: true, .. } => WITH_LETTERS,
            Needs { headers: true, .. } => WITH_HEADERS,
            Needs { structures: true, .. } => WITH_STRUCTURES,
            Needs { rows: true, .. } | Needs { portraits: true, .. } => WITH_PORTRAITS,
            Needs { .. } => FROM_MEMORY,
        };
        if !self.needs.letters && !self.needs.headers {
            return most.min(self.left.len());
        }
        let mut bytes = 0;
        let fits = self.left.iter().take(most).take_while(|(_, message)| {
            bytes += message.size_bytes;
            bytes <= LETTER_BYTES
        });
        fits.count().max(1).min(self.left.len())
    }

    fn has(&self, known: &Known, message: &Listed) -> bool {
        let Needs { rows, portraits, structures, headers, letters } = self.needs;
        let id = &message.id;
        (!rows || known.rows.contains_key(id))
            && (!portraits || known.portraits.contains_key(id))
            && (!structures || known.structures.contains_key(id))
            && (!headers || known.headers.contains_key(id))
            && (!letters || known.letters.contains_key(id))
    }
}

/// Reads what is needed of these messages.
async fn read(needs: Needs, reach: Reach, messages: Vec<(u32, Listed)>) -> mail::Result<Batch> {
    let ids: Vec<_> = messages.iter().map(|(_, message)| message.id).collect();
    let mut known = Known::default();
    if needs.rows {
        known.rows = reach.rows(&ids).await?;
    }
    if needs.portraits {
        known.portraits = reach.portraits(&ids).await?;
    }
    if needs.structures {
        known.structures = reach.structures(&ids).await?;
    }
    if needs.headers {
        known.headers = reach.headers(&ids).await?;
    }
    if needs.letters {
        known.letters = reach.letters(&ids).await?;
    }
    Ok(Batch { messages, known })
}

/// Writes the rest of the answer for one message, whose items are all at hand.
fn write_known(items: &[Item], out: &mut Writer, message: &Listed, known: &Known) {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.text(" ");
        }
        if !items::write(out, item, message, known)
            && let Some(header) = known.headers.get(&message.id)
        {
            sections::write_header(out, item, header);
        }
    }
    out.text(")").end();
}

/// The rest of the answer for one message, parts of which are read.
async fn answer(
    items: &[Item],
    mut out: Writer,
    message: &Listed,
    known: &Known,
) -> Result<VecDeque<Piece>, Status> {
    let mut pieces = VecDeque::new();
    let letter = known.letters.get(&message.id);
    if let Some(letter) = letter.filter(|_| items.iter().any(items::is_drawn)) {
        letter.structure().map_err(answers::refusal)?;
    }
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.text(" ");
        }
        if items::write(&mut out, item, message, known) {
            continue;
        }
        if let Some(letter) = letter {
            sections::write(&mut out, &mut pieces, item, letter).await?;
        }
    }
    out.text(")").end();
    flush(&mut pieces, &mut out);
    Ok(pieces)
}

/// Puts what was gathered behind what is ready.
fn flush(ready: &mut VecDeque<Piece>, out: &mut Writer) {
    if !out.is_empty() {
        ready.push_back(Piece::Bytes(out.take()));
    }
}
