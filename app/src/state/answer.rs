//! What an answer begins with: to whom, under which subject, above which quote.

use types::{
    Address,
    api::{Compose, Message},
};

use crate::{
    browser,
    i18n::Texts,
    text::{Civil, date_and_time, prefixed, quote},
};

/// How a mail is begun from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Reply,
    ReplyAll,
    Forward,
}

/// The mail that answers `message`, or passes it on.
pub(super) fn answer(message: &Message, kind: Kind, me: &str, texts: &Texts) -> Compose {
    let summary = &message.summary;
    let at = message.sent_at.unwrap_or(summary.received_at);
    let when = date_and_time(Civil::new(at, browser::utc_offset_minutes(at.millis())), texts.lang);
    let not_me = |address: &&Address| !address.email.eq_ignore_ascii_case(me);
    if kind == Kind::Forward {
        let people = |list: &[Address]| list.iter().map(written).collect::<Vec<_>>().join(", ");
        let text = format!(
            "\n\n---------- {} ----------\n{}: {}\n{}: {when}\n{}: {}\n{}: {}\n\n{}",
            texts.signature_forward,
            texts.from,
            written(&summary.from),
            texts.sent,
            texts.subject,
            summary.subject,
            texts.to,
            people(&summary.to),
            message.text
        );
        let subject = prefixed("Fwd:", &summary.subject);
        return Compose { subject, text: Some(text), forward_of: Some(summary.id), ..Compose::default() };
    }
    let answered =
        if message.reply_to.is_empty() { vec![summary.from.clone()] } else { message.reply_to.clone() };
    // An answer to one's own mail goes to whom that went.
    let is_own = summary.from.email.eq_ignore_ascii_case(me);
    let to = if is_own { summary.to.clone() } else { answered };
    let others = summary.to.iter().chain(&message.cc);
    let cc = match kind {
        Kind::ReplyAll => others
            .filter(not_me)
            .filter(|address| !to.iter().any(|known| known.email.eq_ignore_ascii_case(&address.email)))
            .cloned()
            .collect(),
        Kind::Reply | Kind::Forward => Vec::new(),
    };
    let text = format!("\n\n{}\n{}", texts.wrote(&when, summary.from.display()), quote(&message.text));
    Compose {
        to,
        cc,
        subject: prefixed("Re:", &summary.subject),
        text: Some(text),
        in_reply_to: Some(summary.id),
        ..Compose::default()
    }
}

fn written(address: &Address) -> String {
    if address.name.is_empty() {
        address.email.clone()
    } else {
        format!("{} <{}>", address.name, address.email)
    }
}
