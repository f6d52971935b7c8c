//! One mail transaction, RFC 5321 §3.3: MAIL, RCPT for each recipient, DATA.

use types::EmailAddress;

use super::{Attempt, Connection, Envelope};
use crate::{Class, Outcome, Reply, route::to_a_labels};

type Outcomes = Vec<(EmailAddress, Outcome)>;

pub(super) async fn transact(connection: &mut Connection, envelope: &Envelope) -> Attempt {
    let recipients = &envelope.recipients;
    let size = envelope.body.len() as u64;
    if let Some(max) = connection.max_size().filter(|max| size > *max) {
        let text = format!("The mail has {size} bytes, and its server takes at most {max}");
        return all(recipients, &Reply::ours("5.3.4", &text));
    }
    let utf8 = connection.offers("SMTPUTF8");
    let can_travel = |address: &EmailAddress| utf8 || address.local().is_ascii();
    if !envelope.return_path.as_ref().is_none_or(can_travel) {
        return all(recipients, &needs_utf8("the sender's"));
    }
    let (able, unable): (Vec<_>, Vec<_>) = recipients.iter().cloned().partition(can_travel);
    let mut outcomes: Outcomes =
        unable.into_iter().map(|to| (to, needs_utf8("this").into_outcome())).collect();
    if able.is_empty() {
        return Attempt::Settled(outcomes);
    }

    let mut commands = vec![mail_command(connection, envelope, &able)];
    commands.extend(able.iter().map(|to| format!("RCPT TO:<{}>", on_the_wire(to))));
    let replies = match connection.commands(&commands).await {
        Ok(replies) => replies,
        Err(lost) => return Attempt::NotHere(lost),
    };
    let mut replies = replies.into_iter();
    let Some(mail) = replies.next().filter(|mail| mail.code != 421) else {
        return Attempt::NotHere(Reply::ours("4.3.2", "The server is closing"));
    };
    if mail.class() != Class::Positive {
        let _ = connection.command("RSET").await;
        outcomes.extend(able.into_iter().map(|to| (to, mail.clone().into_outcome())));
        return Attempt::Settled(outcomes);
    }
    let mut accepted = Vec::new();
    for (to, reply) in able.into_iter().zip(replies) {
        match reply.class() {
            Class::Positive => accepted.push(to),
            Class::Temporary if reply.code == 421 => return Attempt::NotHere(reply),
            Class::Temporary | Class::Permanent => outcomes.push((to, reply.into_outcome())),
        }
    }
    if accepted.is_empty() {
        let _ = connection.command("RSET").await;
        return Attempt::Settled(outcomes);
    }
    match send_data(connection, envelope).await {
        Ok(reply) => outcomes.extend(accepted.into_iter().map(|to| (to, reply.clone().into_outcome()))),
        Err(NoData(reply)) if outcomes.is_empty() => return Attempt::NotHere(reply),
        Err(NoData(reply)) => {
            outcomes.extend(accepted.into_iter().map(|to| (to, Outcome::Deferred(reply.clone()))));
        }
    }
    Attempt::Settled(outcomes)
}

/// The data was not begun with.
struct NoData(Reply);

/// What the host says to the mail itself. A connection that breaks on the way is deferred.
async fn send_data(connection: &mut Connection, envelope: &Envelope) -> Result<Reply, NoData> {
    let reply = connection.command("DATA").await.map_err(NoData)?;
    match reply.code {
        354 => {}
        421 => return Err(NoData(reply)),
        // RFC 5321 §4.1.1.4: anything but 354 means that no data is expected.
        _ if reply.class() == Class::Positive => {
            return Ok(Reply::ours("4.5.0", &format!("The server answered DATA with {reply}")));
        }
        _ => return Ok(reply),
    }
    if let Err(lost) = connection.data(&envelope.body).await {
        return Ok(lost);
    }
    let reply = connection.data_reply().await.unwrap_or_else(|lost| lost);
    Ok(if (300..400).contains(&reply.code) {
        Reply::ours("4.5.0", &format!("The server answered the data with {reply}"))
    } else {
        reply
    })
}

/// Parameters are given only where the host knows them and they say something.
fn mail_command(connection: &Connection, envelope: &Envelope, recipients: &[EmailAddress]) -> String {
    let from = envelope.return_path.as_ref().map(on_the_wire).unwrap_or_default();
    let mut command = format!("MAIL FROM:<{from}>");
    if connection.offers("SIZE") {
        command.push_str(&format!(" SIZE={}", envelope.body.len()));
    }
    if connection.offers("8BITMIME") && !envelope.body.is_ascii() {
        command.push_str(" BODY=8BITMIME");
    }
    let header = header_of(&envelope.body);
    let is_utf8 = !envelope.return_path.as_ref().is_none_or(|from| from.local().is_ascii())
        || recipients.iter().any(|to| !to.local().is_ascii())
        || !header.is_ascii();
    if connection.offers("SMTPUTF8") && is_utf8 {
        command.push_str(" SMTPUTF8");
    }
    command
}

/// The mail's header fields.
fn header_of(mail: &[u8]) -> &[u8] {
    let end = mail.windows(2).position(|pair| pair == b"\n\r" || pair == b"\n\n");
    mail.get(..end.unwrap_or(mail.len())).unwrap_or_default()
}

/// The domain in A-labels wherever the local part does not need SMTPUTF8 anyway.
fn on_the_wire(address: &EmailAddress) -> String {
    if address.local().is_ascii() {
        format!("{}@{}", address.local(), to_a_labels(address.domain()))
    } else {
        address.to_string()
    }
}

/// RFC 6531 §3.5.
fn needs_utf8(whose: &str) -> Reply {
    Reply::ours("5.6.7", &format!("The server does not take addresses like {whose} (SMTPUTF8)"))
}

fn all(recipients: &[EmailAddress], reply: &Reply) -> Attempt {
    Attempt::Settled(recipients.iter().map(|to| (to.clone(), reply.clone().into_outcome())).collect())
}
