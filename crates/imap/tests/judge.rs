//! Commands that imap-codec makes are commands here too, and mean the same.

#![cfg(test)]

use arbitrary::{Arbitrary as _, Unstructured};
use imap::wire::{self, Command, SequenceSet};
use imap_codec::CommandCodec;
use imap_codec::encode::Encoder as _;
use imap_codec::imap_types::command::{Command as Theirs, CommandBody as Body};
use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet as TheirSet};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn their_commands_are_ours(bytes in vec(any::<u8>(), 0..2_000)) {
        if let Ok(command) = Theirs::arbitrary(&mut Unstructured::new(&bytes)) {
            check(&command);
        }
    }
}

fn check(theirs: &Theirs<'_>) {
    let mut bytes = CommandCodec::default().encode(theirs).dump();
    assert_eq!(bytes.split_off(bytes.len() - 2), b"\r\n");
    let shown = String::from_utf8_lossy(&bytes).into_owned();
    match wire::parse(&bytes, false) {
        Ok((tag, ours)) => {
            assert_eq!(tag.as_str(), theirs.tag.inner(), "{shown:?}");
            assert!(is_same(&ours, &theirs.body), "{shown:?}\n{ours:?}\n{:?}", theirs.body);
        }
        Err(error) => {
            let why = error.syntax.map(|error| error.to_string()).unwrap_or_default();
            assert!(REFUSED.contains(&&*why), "{shown:?}: {error:?}");
        }
    }
}

/// What we refuse on purpose, though it fits their types.
const REFUSED: &[&str] = &[
    "the name of the mailbox is not modified UTF-7",
    "a string is not UTF-8",
    // RFC 7162 §7: 63 bits.
    "the number is too large",
    // RFC 5464 §5: names begin by /private or /shared.
    "that is not the name of an entry",
    "an option is not known",
    // Their lists may be empty; those of the RFCs are not.
    "nothing is asked for",
    "VANISHED goes with CHANGEDSINCE",
    "a status item is not known",
    "the threading algorithm is not known",
    // RFC 4422 §3.1: no mechanism has a bracket in its name.
    "the name of the mechanism is missing",
    "something follows the command",
];

/// Whether both mean the same, as far as that can be compared without repeating the parser.
fn is_same(ours: &Command, theirs: &Body<'_>) -> bool {
    match (ours, theirs) {
        (Command::Capability, Body::Capability)
        | (Command::Noop, Body::Noop)
        | (Command::Logout, Body::Logout)
        | (Command::Unselect, Body::Unselect)
        | (Command::Check, Body::Check)
        | (Command::Close, Body::Close)
        | (Command::Expunge, Body::Expunge)
        | (Command::Idle, Body::Idle)
        | (Command::Compress, Body::Compress { .. })
        | (Command::Namespace, Body::Namespace)
        | (Command::Enable(_), Body::Enable { .. })
        | (Command::Id(_), Body::Id { .. })
        | (Command::SetQuota, Body::SetQuota { .. })
        | (Command::GetQuota(_), Body::GetQuota { .. })
        | (Command::List(_), Body::List { .. })
        | (Command::Lsub { .. }, Body::Lsub { .. })
        | (Command::SetMetadata { .. }, Body::SetMetadata { .. })
        | (Command::GetMetadata { .. }, Body::GetMetadata { .. }) => true,
        (Command::Login { user, password }, Body::Login { username, password: theirs }) => {
            user.as_bytes() == username.as_ref()
                && password.expose().as_bytes() == theirs.declassify().as_ref()
        }
        (
            Command::Authenticate { mechanism, initial },
            Body::Authenticate { mechanism: theirs, initial_response },
        ) => {
            mechanism.eq_ignore_ascii_case(theirs.as_ref()) && initial.is_some() == initial_response.is_some()
        }
        (Command::Select(select), Body::Select { mailbox, .. }) => {
            !select.read_only && is_same_name(&select.mailbox, mailbox)
        }
        (Command::Select(select), Body::Examine { mailbox, .. }) => {
            select.read_only && is_same_name(&select.mailbox, mailbox)
        }
        (Command::Create { mailbox: ours, .. }, Body::Create { mailbox })
        | (Command::Delete(ours), Body::Delete { mailbox })
        | (Command::Subscribe(ours), Body::Subscribe { mailbox })
        | (Command::Unsubscribe(ours), Body::Unsubscribe { mailbox })
        | (Command::GetQuotaRoot(ours), Body::GetQuotaRoot { mailbox }) => is_same_name(ours, mailbox),
        (Command::Rename { from, to }, Body::Rename { from: theirs, to: mailbox }) => {
            is_same_name(from, theirs) && is_same_name(to, mailbox)
        }
        (Command::Status { mailbox: ours, items }, Body::Status { mailbox, item_names }) => {
            is_same_name(ours, mailbox) && items.len() <= item_names.len()
        }
        (Command::Append { mailbox: ours, messages }, Body::Append { mailbox, .. }) => {
            is_same_name(ours, mailbox) && messages.len() == 1
        }
        (Command::UidExpunge(ours), Body::ExpungeUid { sequence_set }) => is_same_set(ours, sequence_set),
        (Command::Search { uid: ours, .. }, Body::Search { uid, .. })
        | (Command::Thread { uid: ours, .. }, Body::Thread { uid, .. }) => ours == uid,
        (Command::Sort { sort, uid: ours }, Body::Sort { sort_criteria, uid, .. }) => {
            ours == uid && sort.keys.len() == sort_criteria.as_ref().len()
        }
        (Command::Fetch { fetch, uid: ours }, Body::Fetch { sequence_set, uid, .. }) => {
            ours == uid && is_same_set(&fetch.set, sequence_set)
        }
        (Command::Store { store, uid: ours }, Body::Store { sequence_set, uid, .. }) => {
            ours == uid && is_same_set(&store.set, sequence_set)
        }
        (Command::Copy { set, mailbox: name, uid: ours }, Body::Copy { sequence_set, mailbox, uid })
        | (Command::Move { set, mailbox: name, uid: ours }, Body::Move { sequence_set, mailbox, uid }) => {
            ours == uid && is_same_set(set, sequence_set) && is_same_name(name, mailbox)
        }
        _ => false,
    }
}

fn is_same_name(ours: &wire::MailboxName, theirs: &Mailbox<'_>) -> bool {
    match theirs {
        Mailbox::Inbox => ours.0 == "INBOX",
        Mailbox::Other(name) => {
            let name = String::from_utf8_lossy(name.as_ref()).into_owned();
            // Names that are no modified UTF-7 are taken as they are, and the inbox is one in any spelling.
            ours.0 == wire::decode_utf7(&name).unwrap_or(name.clone()) || ours.0.eq_ignore_ascii_case(&name)
        }
    }
}

fn is_same_set(ours: &SequenceSet, theirs: &TheirSet) -> bool {
    let number = |bound: &SeqOrUid| match bound {
        SeqOrUid::Value(value) => wire::Bound::Number(value.get()),
        SeqOrUid::Asterisk => wire::Bound::Last,
    };
    let ranges = theirs.0.as_ref().iter().map(|sequence| match sequence {
        Sequence::Single(one) => (number(one), number(one)),
        Sequence::Range(start, end) => (number(start), number(end)),
    });
    *ours == SequenceSet::Ranges(ranges.collect())
}
