//! Delivery status notifications (RFC 3464): what a sender is told of a mail that cannot be delivered, takes long, or has
//! arrived, in words for people (English and Korean) and in fields for programs.

use std::fmt::Write as _;

use types::{Address, EmailAddress, OriginalRecipient, Timestamp};

use crate::{
    compose::{self, base64_lines, canonical},
    header::{self, Header},
};

/// What is reported.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Our host name.
    pub reporting_mta: String,
    /// The mailer-daemon.
    pub from: Address,
    /// The envelope sender of the original.
    pub to: Address,
    pub date: Timestamp,
    pub message_id: String,
    pub envelope_id: Option<String>,
    /// When the original came to us.
    pub arrival_date: Timestamp,
    pub recipients: Vec<Recipient>,
    /// The header of the original, as received.
    pub original_header: Vec<u8>,
    /// The whole original, where that is wanted back (RFC 3461 §4.3).
    pub original: Option<Vec<u8>>,
}

impl Report {
    /// A report of this host's that says nothing yet. The id is one of the host's own.
    #[must_use]
    pub fn by(host: &str, to: &EmailAddress, id: &str, now: Timestamp) -> Self {
        Self {
            reporting_mta: host.to_owned(),
            from: Address { name: "Mail Delivery System".to_owned(), email: format!("mailer-daemon@{host}") },
            to: Address { name: String::new(), email: to.to_string() },
            date: now,
            message_id: format!("{id}@{host}"),
            ..Self::default()
        }
    }
}

/// What became of the mail for one recipient.
#[derive(Debug, Clone, Default)]
pub struct Recipient {
    pub address: String,
    /// ORCPT (RFC 3461 §4.2): whom the sender meant.
    pub original: Option<OriginalRecipient>,
    pub action: Action,
    /// RFC 3463, e.g. `5.1.1`.
    pub status: String,
    /// The other side's words, e.g. `smtp; 550 5.1.1 no such user`.
    pub diagnostic: Option<String>,
    pub remote_mta: Option<String>,
    pub last_attempt: Option<Timestamp>,
    /// Until when it is tried, if it is delayed.
    pub will_retry_until: Option<Timestamp>,
}

/// RFC 3464 §2.3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    #[default]
    Failed,
    Delayed,
    Delivered,
    /// To a server that tells no more of it.
    Relayed,
    /// Sent on to several others, of whom nothing more will be told.
    Expanded,
}

/// What a notification is about, as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Failed,
    Delayed,
    Arrived,
}

impl Kind {
    fn of(report: &Report) -> Self {
        let has = |action| report.recipients.iter().any(|recipient| recipient.action == action);
        match () {
            () if has(Action::Failed) => Self::Failed,
            () if has(Action::Delayed) => Self::Delayed,
            () => Self::Arrived,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Failed => "Your mail could not be delivered / 메일을 전달하지 못했습니다",
            Self::Delayed => "Your mail is delayed / 메일 전달이 늦어지고 있습니다",
            Self::Arrived => "Your mail was delivered / 메일을 전달했습니다",
        }
    }
}

/// The longest original header that is sent back.
const MAX_HEADER: usize = 64 * 1_024;

/// The bytes of the notification. It is to be sent with an empty envelope sender (RFC 3464 §2).
#[must_use]
pub fn dsn(report: &Report) -> Vec<u8> {
    let kind = Kind::of(report);
    let mut out = Vec::new();
    let original = Header::scan(&report.original_header, 0, |_| false);
    let subject = original.get("Subject").map(|value| header::text(value, 300)).unwrap_or_default();
    compose::notification_fields(&mut out, report, kind.title(), original.get("Message-ID"));
    let hash = blake3::hash(format!("{}\0{}", report.message_id, report.date.millis()).as_bytes()).to_hex();
    let boundary = format!("=_{}_dsn", hash.get(..32).unwrap_or_default());
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put(&format!(
        "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"{boundary}\"\r\n\r\n\
         --{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    ));
    base64_lines(canonical(&words(report, &subject, kind)).as_bytes(), &mut out);
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put(&format!("\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n"));
    put(&status_fields(report));
    bring_back(report, &boundary, &mut out);
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    out
}

/// The original, or its header.
fn bring_back(report: &Report, boundary: &str, out: &mut Vec<u8>) {
    if let Some(original) = &report.original {
        let is_global = !report.original_header.is_ascii();
        // RFC 6533 §6: what has a header in UTF-8 is not of the old kind.
        let kind = if is_global { "message/global" } else { "message/rfc822" };
        let encoding = if original.is_ascii() { "7bit" } else { "8bit" };
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(original);
        return;
    }
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put(&format!("\r\n--{boundary}\r\nContent-Type: text/rfc822-headers; charset=utf-8\r\n"));
    let original = canonical(&String::from_utf8_lossy(
        report.original_header.get(..report.original_header.len().min(MAX_HEADER)).unwrap_or_default(),
    ));
    let original = original.trim_end();
    if original.is_ascii() && original.lines().all(|line| line.len() <= 998) {
        put(&format!("\r\n{original}\r\n"));
    } else {
        put("Content-Transfer-Encoding: base64\r\n\r\n");
        base64_lines(format!("{original}\r\n").as_bytes(), out);
    }
}

/// What a person reads.
fn words(report: &Report, subject: &str, kind: Kind) -> String {
    let mut out = String::new();
    let about = if subject.is_empty() { String::new() } else { format!(" \"{subject}\"") };
    let english = match kind {
        Kind::Failed => format!(
            "your mail{about} could not be delivered to everybody you sent it to.\nNothing more will be tried; what you can do is said below."
        ),
        Kind::Delayed => format!(
            "your mail{about} has not been delivered to everybody yet. We keep trying; you need not do anything."
        ),
        Kind::Arrived => format!("you wanted to know when your mail{about} is delivered. It is."),
    };
    let _ = writeln!(out, "Hello,\n\n{english}\n");
    for recipient in &report.recipients {
        let _ = writeln!(out, "  {}\n    {}", line(&recipient.address), Reason::of(recipient).english());
        quote_other_side(&mut out, recipient, "The other mail server said:");
    }
    let korean = match kind {
        Kind::Failed => format!(
            "보내신 메일{about}을(를) 일부 받는 사람에게 전달하지 못했습니다.\n더 이상 다시 시도하지 않습니다. 아래 안내를 확인해 주세요."
        ),
        Kind::Delayed => format!(
            "보내신 메일{about}이(가) 아직 전달되지 않았습니다. 계속 다시 시도하고 있으니 따로 하실 일은 없습니다."
        ),
        Kind::Arrived => format!("요청하신 대로 알려 드립니다. 보내신 메일{about}이(가) 전달되었습니다."),
    };
    let _ = writeln!(out, "\n----\n\n안녕하세요.\n\n{korean}\n");
    for recipient in &report.recipients {
        let _ = writeln!(out, "  {}\n    {}", line(&recipient.address), Reason::of(recipient).korean());
        quote_other_side(&mut out, recipient, "상대 메일 서버의 답변:");
    }
    let _ = writeln!(out, "\n{}", line(&report.reporting_mta));
    out
}

fn quote_other_side(out: &mut String, recipient: &Recipient, introduction: &str) {
    if let Some(diagnostic) = &recipient.diagnostic {
        let said = line(diagnostic);
        let said = said.strip_prefix("smtp;").unwrap_or(&said).trim();
        let _ = writeln!(out, "    {introduction}\n      \"{said}\"");
        if let Some(mta) = &recipient.remote_mta {
            let _ = writeln!(out, "      ({})", line(mta));
        }
    }
    out.push('\n');
}

/// What a status code (RFC 3463) means to somebody who has never heard of one.
#[derive(Clone, Copy)]
enum Reason {
    NoSuchUser,
    GroupTooLarge,
    NeedsUtf8,
    NoSuchDomain,
    MailboxFull,
    TooLarge,
    Refused,
    Unreachable,
    PutOff,
    Delayed,
    Delivered,
    Relayed,
    Expanded,
    Unknown,
}

impl Reason {
    fn of(recipient: &Recipient) -> Self {
        match recipient.action {
            Action::Failed => {}
            Action::Delayed => return Self::Delayed,
            Action::Delivered => return Self::Delivered,
            Action::Relayed => return Self::Relayed,
            Action::Expanded => return Self::Expanded,
        }
        match recipient.status.split_once('.').map_or("", |(_, detail)| detail) {
            "1.1" | "1.3" | "1.6" | "2.1" => Self::NoSuchUser,
            "2.4" => Self::GroupTooLarge,
            "6.7" | "6.9" => Self::NeedsUtf8,
            "1.2" | "1.10" | "4.4" => Self::NoSuchDomain,
            "2.2" => Self::MailboxFull,
            "2.3" | "3.4" => Self::TooLarge,
            detail if detail.starts_with("7.") => Self::Refused,
            // What the other side said last, it was there to say.
            "4.7" if recipient.diagnostic.is_some() => Self::PutOff,
            detail if detail.starts_with("4.") => Self::Unreachable,
            _ => Self::Unknown,
        }
    }

    const fn english(self) -> &'static str {
        match self {
            Self::NoSuchUser => "This address does not exist. Please check its spelling.",
            Self::GroupTooLarge => {
                "The group has more members than the mail could be sent to. Nobody has received it."
            }
            Self::NeedsUtf8 => {
                "The recipient's mail server takes only English letters in addresses and subjects."
            }
            Self::NoSuchDomain => {
                "The part behind the @ does not exist or takes no mail. Please check its spelling."
            }
            Self::MailboxFull => {
                "The mailbox is full. Please try again later, or reach the person in another way."
            }
            Self::TooLarge => {
                "The mail is too large for the recipient. Please send it with fewer or smaller attachments."
            }
            Self::Refused => "The recipient's mail server refused the mail under its rules.",
            Self::Unreachable => {
                "The recipient's mail server could not be reached for a long time, so we gave up."
            }
            Self::PutOff => {
                "The recipient's mail server asked to come again later each time, so we gave up in the end."
            }
            Self::Delayed => {
                "The recipient's mail server does not take the mail at the moment. We try again."
            }
            Self::Delivered => "The mail is in the mailbox.",
            Self::Relayed => {
                "The recipient's mail server took the mail. It does not tell what becomes of it."
            }
            Self::Expanded => "The mail has been sent on to the members of this group.",
            Self::Unknown => "The recipient's mail server did not accept the mail.",
        }
    }

    const fn korean(self) -> &'static str {
        match self {
            Self::NoSuchUser => "없는 주소입니다. 철자를 확인해 주세요.",
            Self::GroupTooLarge => "그룹의 구성원이 너무 많아 아무에게도 보내지 못했습니다.",
            Self::NeedsUtf8 => "받는 쪽 메일 서버가 주소와 제목에 영문자만 받습니다.",
            Self::NoSuchDomain => "@ 뒤의 도메인이 없거나 메일을 받지 않습니다. 철자를 확인해 주세요.",
            Self::MailboxFull => {
                "받는 사람의 메일함이 가득 찼습니다. 나중에 다시 보내거나 다른 방법으로 연락해 주세요."
            }
            Self::TooLarge => "메일이 너무 큽니다. 첨부 파일을 줄여서 다시 보내 주세요.",
            Self::Refused => "받는 쪽 메일 서버가 자체 규칙에 따라 메일을 거부했습니다.",
            Self::Unreachable => "받는 쪽 메일 서버에 오랫동안 연결되지 않아 전달을 중단했습니다.",
            Self::PutOff => "받는 쪽 메일 서버가 계속 나중에 다시 보내 달라고 해서 전달을 중단했습니다.",
            Self::Delayed => "받는 쪽 메일 서버가 지금은 메일을 받지 않습니다. 다시 시도하겠습니다.",
            Self::Delivered => "받는 사람의 메일함에 도착했습니다.",
            Self::Relayed => {
                "받는 쪽 메일 서버가 메일을 받았습니다. 그 뒤의 결과는 알려 주지 않는 서버입니다."
            }
            Self::Expanded => "이 그룹의 구성원들에게 전달했습니다.",
            Self::Unknown => "받는 쪽 메일 서버가 메일을 받지 않았습니다.",
        }
    }
}

/// RFC 3464 §2.2 and §2.3.
fn status_fields(report: &Report) -> String {
    let mut out = String::new();
    let mut field = |name: &str, value: &str| {
        let _ = write!(out, "{name}: {value}\r\n");
    };
    if let Some(id) = &report.envelope_id {
        field("Original-Envelope-Id", &ascii(id));
    }
    field("Reporting-MTA", &format!("dns; {}", ascii(&report.reporting_mta)));
    field("Arrival-Date", &compose::date(report.arrival_date));
    for recipient in &report.recipients {
        let _ = write!(out, "\r\n");
        if let Some(OriginalRecipient { kind, address }) = &recipient.original {
            let _ = write!(out, "Original-Recipient: {}\r\n", typed(kind, address));
        }
        let address = typed("rfc822", &recipient.address);
        let action = match recipient.action {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
        };
        let _ = write!(
            out,
            "Final-Recipient: {address}\r\nAction: {action}\r\nStatus: {}\r\n",
            status(recipient)
        );
        let mut field = |name: &str, value: &str| {
            let _ = write!(out, "{name}: {value}\r\n");
        };
        if let Some(mta) = &recipient.remote_mta {
            field("Remote-MTA", &format!("dns; {}", ascii(mta)));
        }
        if let Some(diagnostic) = &recipient.diagnostic {
            let diagnostic = ascii(diagnostic);
            field(
                "Diagnostic-Code",
                &if diagnostic.contains(';') { diagnostic } else { format!("smtp; {diagnostic}") },
            );
        }
        if let Some(at) = recipient.last_attempt {
            field("Last-Attempt-Date", &compose::date(at));
        }
        if let Some(at) = recipient.will_retry_until {
            field("Will-Retry-Until", &compose::date(at));
        }
    }
    out
}

/// RFC 3463 §2: `class "." subject "." detail`.
fn status(recipient: &Recipient) -> String {
    let mut numbers = recipient.status.split('.');
    let valid = matches!(numbers.next(), Some("2" | "4" | "5"))
        && [numbers.next(), numbers.next()].iter().all(|part| {
            part.is_some_and(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
        })
        && numbers.next().is_none();
    match recipient.action {
        _ if valid => recipient.status.clone(),
        Action::Failed => "5.0.0".to_owned(),
        Action::Delayed => "4.0.0".to_owned(),
        Action::Delivered | Action::Relayed | Action::Expanded => "2.0.0".to_owned(),
    }
}

/// RFC 3464 §2.3; RFC 6533 §3: an address that is not ASCII has a type of its own, here in its encoded form.
fn typed(kind: &str, address: &str) -> String {
    let (kind, address) = (ascii(kind), line(address));
    if kind != "utf-8" && address.is_ascii() {
        format!("{kind}; {address}")
    } else {
        format!("utf-8; {}", utf8_xtext(&address))
    }
}

/// One line without control characters.
fn line(text: &str) -> String {
    header::tidy(text, 900)
}

/// [`line`] in ASCII.
fn ascii(text: &str) -> String {
    line(text).chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

/// RFC 6533 §3 `utf-8-addr-xtext`: what is not printable ASCII as `\x{HEX}`.
#[must_use]
pub fn utf8_xtext(address: &str) -> String {
    let mut out = String::new();
    for c in address.chars() {
        match c {
            '+' | '=' | '\\' => {
                let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
            }
            c if c.is_ascii_graphic() => out.push(c),
            c => {
                let _ = write!(out, "\\x{{{:02X}}}", u32::from(c));
            }
        }
    }
    out
}
