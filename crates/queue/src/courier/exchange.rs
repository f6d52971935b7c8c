//! One mail transaction, RFC 5321 §3.3: MAIL, RCPT for each recipient, and the data; in as few round trips as the host
//! lets us (RFC 2920, RFC 3030).

use message::header_of;
use types::EmailAddress;

use super::{Connection, Envelope, connection::Replies, parameters, pool::Rested};
use crate::{Class, Outcome, Reply, Target, body::with_crlf};

type Outcomes = Vec<(EmailAddress, Outcome)>;

/// What a host did with a transaction's recipients, or why it did nothing.
pub(super) enum Attempt {
    Settled {
        outcomes: Outcomes,
        /// The connection is good for another mail.
        keep: bool,
        /// The host did not want a mail from us now, whoever it is for.
        slower: bool,
    },
    /// Nothing was handed over; another address may be tried with all recipients.
    NotHere(Reply),
    /// The connection had been given up by the other side before.
    Stale,
}

/// How the data goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// After the recipients are known.
    Later,
    /// DATA goes with the recipients.
    Data,
    /// Everything goes at once.
    Everything,
}

/// Mails up to this size go out together with their recipients, at the risk of going in vain.
const SMALL: usize = 48 * 1024;

pub(super) async fn transact(
    connection: &mut Connection,
    envelope: &Envelope,
    target: &Target,
    rested: Rested,
) -> Attempt {
    let (able, mut outcomes) = match able(connection, envelope, target) {
        Ok(parts) => parts,
        Err(reply) => return all(&envelope.recipients, &reply),
    };
    if able.is_empty() {
        return Attempt::Settled { outcomes, keep: true, slower: false };
    }
    let chunk = connection.offers("CHUNKING").then(|| with_crlf(&envelope.body));
    let opening = opening(connection, chunk.as_deref(), rested);
    let commands = commands(connection, envelope, &able, opening, rested);
    let answers = ask(connection, &commands, chunk.as_deref(), opening, rested).await;
    let Some(Replies { replies, lost }) = answers else { return Attempt::Stale };
    if let Some(closing) = replies.iter().find(|reply| reply.code == 421) {
        return Attempt::NotHere(closing.clone());
    }
    if let Some(lost) = lost {
        if opening == Opening::Everything {
            // It may have arrived all the same.
            outcomes.extend(able.into_iter().map(|to| (to, Outcome::Deferred(lost.clone()))));
            return Attempt::Settled { outcomes, keep: false, slower: false };
        }
        return Attempt::NotHere(lost);
    }
    let mut replies = replies.into_iter();
    let Some(mail) = replies.next() else { return Attempt::NotHere(super::lost(&target.host)) };
    let refused = (mail.class() != Class::Positive).then_some(mail);
    let slower = refused.as_ref().is_some_and(|mail| mail.class() == Class::Temporary);
    let mut accepted = Vec::new();
    for (to, reply) in able.into_iter().zip(&mut replies) {
        match (&refused, reply.class()) {
            (Some(mail), _) => outcomes.push((to, mail.clone().into_outcome())),
            (None, Class::Positive) => accepted.push(to),
            (None, _) => outcomes.push((to, reply.into_outcome())),
        }
    }
    let pipelined = replies.next();
    if accepted.is_empty() {
        let keep = wind_up(connection, opening, pipelined).await;
        return Attempt::Settled { outcomes, keep, slower };
    }
    match send_data(connection, envelope, chunk.as_deref(), opening, pipelined).await {
        Ok(Sent { reply, keep }) => {
            outcomes.extend(accepted.into_iter().map(|to| (to, reply.clone().into_outcome())));
            Attempt::Settled { outcomes, keep, slower: reply.code == 421 }
        }
        Err(NoData(reply)) if outcomes.is_empty() => Attempt::NotHere(reply),
        Err(NoData(reply)) => {
            outcomes.extend(accepted.into_iter().map(|to| (to, Outcome::Deferred(reply.clone()))));
            Attempt::Settled { outcomes, keep: false, slower: false }
        }
    }
}

/// The replies to MAIL and what follows; `None` if a connection that was used before is of no use any more.
async fn ask(
    connection: &mut Connection,
    commands: &[String],
    chunk: Option<&[u8]>,
    opening: Opening,
    rested: Rested,
) -> Option<Replies> {
    let mut answers = if connection.offers("PIPELINING") {
        let after = match (opening, chunk) {
            (Opening::Everything, Some(chunk)) => {
                [format!("BDAT {} LAST\r\n", chunk.len()).as_bytes(), chunk].concat()
            }
            _ => Vec::new(),
        };
        connection.at_once(commands, &after).await
    } else {
        connection.in_order(commands).await
    };
    if rested == Rested::New {
        return Some(answers);
    }
    // With the mail under way, what becomes of it is to be seen, whatever the host thinks of RSET.
    let under_way = opening == Opening::Everything;
    match answers.replies.first() {
        None if under_way => return Some(answers),
        Some(reset) if reset.class() == Class::Positive || under_way && reset.code != 421 => {}
        Some(_) | None => return None,
    }
    answers.replies.remove(0);
    Some(answers)
}

/// Whom the host can take the mail for, and the others with the reason; or why it is nobody.
fn able(
    connection: &Connection,
    envelope: &Envelope,
    target: &Target,
) -> Result<(Vec<EmailAddress>, Outcomes), Reply> {
    parameters::refusal(connection, envelope, target).map_or(Ok(()), Err)?;
    let size = envelope.body.len() as u64;
    if let Some(max) = connection.max_size().filter(|max| size > *max) {
        let text = format!("The mail has {size} bytes, and its server takes at most {max}");
        return Err(Reply::ours("5.3.4", &text));
    }
    let utf8 = connection.offers("SMTPUTF8");
    // What came without SMTPUTF8 goes on as it came, like what other servers take without asking for it.
    if !utf8 && envelope.terms.utf8 && !header_of(&envelope.body).is_ascii() {
        return Err(needs_utf8("5.6.9", "headers", "this mail's"));
    }
    let can_travel = |address: &EmailAddress| utf8 || address.local().is_ascii();
    if !envelope.return_path.as_ref().is_none_or(can_travel) {
        return Err(needs_utf8("5.6.7", "addresses", "the sender's"));
    }
    let (able, unable): (Vec<_>, Vec<_>) = envelope.recipients.iter().cloned().partition(can_travel);
    Ok((
        able,
        unable.into_iter().map(|to| (to, needs_utf8("5.6.7", "addresses", "this").into_outcome())).collect(),
    ))
}

/// A connection that has rested for long may be broken without our knowing: then the data must not be under way, or
/// nobody could say whether it arrived.
fn opening(connection: &Connection, chunk: Option<&[u8]>, rested: Rested) -> Opening {
    match chunk {
        _ if !connection.offers("PIPELINING") => Opening::Later,
        Some(chunk) if chunk.len() <= SMALL && rested != Rested::Long => Opening::Everything,
        Some(_) => Opening::Later,
        None => Opening::Data,
    }
}

fn commands(
    connection: &Connection,
    envelope: &Envelope,
    able: &[EmailAddress],
    opening: Opening,
    rested: Rested,
) -> Vec<String> {
    let mut commands = Vec::with_capacity(able.len() + 3);
    // Whatever the last mail left behind; and whether the other side is still there.
    commands.extend((rested != Rested::New).then(|| "RSET".to_owned()));
    commands.push(parameters::mail(connection, envelope, able));
    commands.extend(able.iter().map(|to| parameters::rcpt(connection, envelope, to)));
    commands.extend((opening == Opening::Data).then(|| "DATA".to_owned()));
    commands
}

/// Nobody was accepted: what was sent ahead is taken back. Whether the connection is as before.
async fn wind_up(connection: &mut Connection, opening: Opening, pipelined: Option<Reply>) -> bool {
    match (opening, pipelined) {
        // RFC 2920 §3.1: data that is expected all the same is none.
        (Opening::Data, Some(reply)) if reply.code == 354 => {
            connection.data(b"").await.is_ok() && connection.data_reply().await.is_ok()
        }
        (Opening::Later | Opening::Data, _) => true,
        // Hosts have been seen that take such a chunk for commands.
        (Opening::Everything, _) => false,
    }
}

/// The data was not begun with.
struct NoData(Reply);

struct Sent {
    reply: Reply,
    keep: bool,
}

/// What the host says to the mail itself. A connection that breaks on the way is deferred.
async fn send_data(
    connection: &mut Connection,
    envelope: &Envelope,
    chunk: Option<&[u8]>,
    opening: Opening,
    pipelined: Option<Reply>,
) -> Result<Sent, NoData> {
    let broken = |reply| Ok(Sent { reply, keep: false });
    match (opening, chunk) {
        (Opening::Everything, _) => {}
        (_, Some(chunk)) => {
            if let Err(lost) = connection.chunk(chunk).await {
                return broken(connection.data_reply().await.ok().filter(is_refusal).unwrap_or(lost));
            }
        }
        (_, None) => {
            let reply = match pipelined {
                Some(reply) => reply,
                None => connection.command("DATA").await.map_err(NoData)?,
            };
            match reply.code {
                354 => {}
                421 => return Err(NoData(reply)),
                // RFC 5321 §4.1.1.4: anything but 354 means that no data is expected.
                _ if reply.class() == Class::Positive => {
                    return broken(Reply::ours("4.5.0", &format!("The server answered DATA with {reply}")));
                }
                _ => return Ok(Sent { reply, keep: true }),
            }
            if let Err(lost) = connection.data(&envelope.body).await {
                return broken(lost);
            }
        }
    }
    let reply = match connection.data_reply().await {
        Ok(reply) => reply,
        Err(lost) => return broken(lost),
    };
    if (300..400).contains(&reply.code) {
        return broken(Reply::ours("4.5.0", &format!("The server answered the data with {reply}")));
    }
    let keep = reply.code != 421;
    Ok(Sent { reply, keep })
}

fn is_refusal(reply: &Reply) -> bool {
    reply.class() != Class::Positive
}

/// RFC 6531 §3.5.
fn needs_utf8(status: &str, what: &str, whose: &str) -> Reply {
    Reply::ours(status, &format!("The server does not take {what} like {whose} (SMTPUTF8)"))
}

fn all(recipients: &[EmailAddress], reply: &Reply) -> Attempt {
    let outcomes = recipients.iter().map(|to| (to.clone(), reply.clone().into_outcome())).collect();
    Attempt::Settled { outcomes, keep: true, slower: false }
}
