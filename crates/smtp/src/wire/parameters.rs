//! The parameters of MAIL and RCPT. Each is taken once, and each says what is wrong with it.
//!
//! ```text
//! ret       = "RET=" ("FULL" / "HDRS")                       ; RFC 3461 §4.3
//! notify    = "NOTIFY=" ("NEVER" / 1#("SUCCESS" / "FAILURE" / "DELAY"))
//! by        = "BY=" ["-" / "+"] 1*9DIGIT ";" ("N" / "R") ["T"] ; RFC 2852 §4
//! priority  = "MT-PRIORITY=" ["-"] 1DIGIT                    ; RFC 6710 §4.1
//! hold      = "HOLDFOR=" 1*9DIGIT / "HOLDUNTIL=" date-time   ; RFC 4865 §4
//! ```

use types::{Late, Notify, Priority, Ret};

use super::command::{BodyType, By, Hold, Mail, Rcpt, SyntaxError};
use super::parse::number;
use super::xtext;

type Result<T = ()> = std::result::Result<T, SyntaxError>;

pub(super) fn mail(mail: &mut Mail, parameter: &str) -> Result {
    let (keyword, value) = split(parameter);
    let wrong = |why| Err(SyntaxError::Arguments(why));
    match (keyword.to_ascii_uppercase().as_str(), value) {
        ("SIZE", Some(value)) => {
            once(&mut mail.size, number(value).ok_or(SyntaxError::Arguments("SIZE is a number"))?)
        }
        ("BODY", Some(value)) => once(&mut mail.body, body(value)?),
        ("SMTPUTF8", None) => flag(&mut mail.smtputf8),
        ("RET", Some(value)) => match value.to_ascii_uppercase().as_str() {
            "FULL" => once(&mut mail.ret, Ret::Full),
            "HDRS" => once(&mut mail.ret, Ret::Headers),
            _ => wrong("RET is FULL or HDRS"),
        },
        ("ENVID", Some(value)) => match xtext::envelope_id(value) {
            Some(id) => once(&mut mail.envelope_id, id),
            None => wrong("ENVID is not xtext of at most 100 letters"),
        },
        ("REQUIRETLS", None) => flag(&mut mail.require_tls),
        ("MT-PRIORITY", Some(value)) => match priority(value) {
            Some(priority) => once(&mut mail.priority, priority),
            None => wrong("MT-PRIORITY is a number from -9 to 9"),
        },
        ("BY", Some(value)) => match by(value) {
            Some(by) => once(&mut mail.by, by),
            None => wrong("BY is seconds;N or seconds;R"),
        },
        ("HOLDFOR", Some(value)) => match hold_for(value) {
            Some(hold) => once(&mut mail.hold, hold),
            None => wrong("HOLDFOR is a number of seconds"),
        },
        ("HOLDUNTIL", Some(value)) => match value.parse() {
            Ok(until) => once(&mut mail.hold, Hold::Until(until)),
            Err(_) => wrong("HOLDUNTIL is a time like 2026-11-22T09:30:00Z"),
        },
        // RFC 4954 §5: who first submitted it. Nobody here trusts another server's word for it.
        ("AUTH", Some(value)) if !value.is_empty() => Ok(()),
        (
            "SIZE" | "BODY" | "RET" | "ENVID" | "MT-PRIORITY" | "BY" | "HOLDFOR" | "HOLDUNTIL" | "AUTH",
            None,
        ) => wrong("The parameter needs a value"),
        ("SMTPUTF8" | "REQUIRETLS", Some(_)) => wrong("The parameter has no value"),
        _ => Err(SyntaxError::Parameter),
    }
}

pub(super) fn rcpt(rcpt: &mut Rcpt, parameter: &str) -> Result {
    let (keyword, value) = split(parameter);
    match (keyword.to_ascii_uppercase().as_str(), value) {
        ("NOTIFY", Some(value)) => match notify(value) {
            Some(notify) => once(&mut rcpt.notify, notify),
            None => Err(SyntaxError::Arguments("NOTIFY is NEVER, or some of SUCCESS, FAILURE and DELAY")),
        },
        ("ORCPT", Some(value)) => match xtext::original_recipient(value) {
            Some(original) => once(&mut rcpt.original, original),
            None => Err(SyntaxError::Arguments("ORCPT is a type, a semicolon and an address as xtext")),
        },
        ("NOTIFY" | "ORCPT", None) => Err(SyntaxError::Arguments("The parameter needs a value")),
        _ => Err(SyntaxError::Parameter),
    }
}

/// The parameters that say something, as they are sent, with a space before each.
pub(super) fn mail_text(mail: &Mail) -> String {
    let Mail { reverse_path: _, size, body, smtputf8, ret, envelope_id, require_tls, priority, by, hold } =
        mail;
    let mut line = String::new();
    let mut add = |parameter: String| {
        line.push(' ');
        line.push_str(&parameter);
    };
    if let Some(size) = size {
        add(format!("SIZE={size}"));
    }
    match body {
        Some(BodyType::SevenBit) => add("BODY=7BIT".into()),
        Some(BodyType::EightBitMime) => add("BODY=8BITMIME".into()),
        Some(BodyType::BinaryMime) => add("BODY=BINARYMIME".into()),
        None => {}
    }
    if *smtputf8 {
        add("SMTPUTF8".into());
    }
    match ret {
        Some(Ret::Full) => add("RET=FULL".into()),
        Some(Ret::Headers) => add("RET=HDRS".into()),
        None => {}
    }
    if let Some(id) = envelope_id {
        add(format!("ENVID={}", xtext::encode(id)));
    }
    if *require_tls {
        add("REQUIRETLS".into());
    }
    if let Some(priority) = priority {
        add(format!("MT-PRIORITY={}", priority.value()));
    }
    if let Some(By { seconds, late, trace }) = by {
        let late = match late {
            Late::Return => 'R',
            Late::Notify => 'N',
        };
        add(format!("BY={seconds};{late}{}", if *trace { "T" } else { "" }));
    }
    match hold {
        Some(Hold::For(seconds)) => add(format!("HOLDFOR={seconds}")),
        Some(Hold::Until(at)) => add(format!("HOLDUNTIL={at}")),
        None => {}
    }
    line
}

/// The same for a recipient.
pub(super) fn rcpt_text(rcpt: &Rcpt) -> String {
    let mut line = String::new();
    if let Some(notify) = rcpt.notify {
        let named = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
        let named: Vec<_> = named.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        let value = if notify.is_never() { "NEVER".to_owned() } else { named.join(",") };
        line.push_str(&format!(" NOTIFY={value}"));
    }
    if let Some(original) = &rcpt.original {
        line.push_str(&format!(" ORCPT={}", xtext::original_parameter(original, true)));
    }
    line
}

fn split(parameter: &str) -> (&str, Option<&str>) {
    match parameter.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (parameter, None),
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result {
    if place.is_some() {
        return Err(SyntaxError::Arguments("The parameter is given twice"));
    }
    *place = Some(value);
    Ok(())
}

fn flag(place: &mut bool) -> Result {
    if std::mem::replace(place, true) {
        return Err(SyntaxError::Arguments("The parameter is given twice"));
    }
    Ok(())
}

fn body(value: &str) -> Result<BodyType> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyType::SevenBit),
        "8BITMIME" => Ok(BodyType::EightBitMime),
        "BINARYMIME" => Ok(BodyType::BinaryMime),
        _ => Err(SyntaxError::Arguments("BODY is 7BIT, 8BITMIME or BINARYMIME")),
    }
}

fn notify(value: &str) -> Option<Notify> {
    let mut notify = Notify::NEVER;
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(notify);
    }
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => notify.success = true,
            "FAILURE" => notify.failure = true,
            "DELAY" => notify.delay = true,
            _ => return None,
        }
    }
    Some(notify)
}

fn priority(value: &str) -> Option<Priority> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    (digits.len() == 1).then(|| value.parse().ok().and_then(Priority::new))?
}

fn by(value: &str) -> Option<By> {
    let (seconds, mode) = value.split_once(';')?;
    let unsigned = seconds.strip_prefix(['+', '-']).unwrap_or(seconds);
    let digits = (1..=9).contains(&unsigned.len()) && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: i64 = digits.then(|| seconds.parse().ok())??;
    let (late, trace) = match mode.to_ascii_uppercase().as_str() {
        "N" => (Late::Notify, false),
        "NT" => (Late::Notify, true),
        "R" => (Late::Return, false),
        "RT" => (Late::Return, true),
        _ => return None,
    };
    // RFC 2852 §4: a mail that is late already cannot be wanted back only if it becomes so.
    (late == Late::Notify || seconds > 0).then_some(By { seconds, late, trace })
}

fn hold_for(value: &str) -> Option<Hold> {
    let digits = (1..=9).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().ok().map(Hold::For))?
}
