//! RFC 3461 §4: how parameters carry what must not stand in a command line.
//!
//! ```text
//! xtext   = *( xchar / hexchar )               ; xchar: "!" to "~" without "+" and "="
//! hexchar = "+" 2(%x30-39 / %x41-46)
//! utf-8-addr-xtext = ... "\x{" HEXPOINT "}"    ; RFC 6533 §3
//! ```

use types::OriginalRecipient;

/// Reads an xtext. Also letters beyond ASCII are taken as they are (RFC 6533 §3 `utf-8-addr-unitext`).
#[must_use]
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(hex(rest.next()?)? << 4 | hex(rest.next()?)?),
            b'=' | 0..=b' ' | 0x7f => return None,
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Writes an xtext. Letters beyond ASCII stay as they are.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '+' | '=' | '\0'..=' ' | '\x7f' => out.push_str(&format!("+{:02X}", u32::from(c))),
            other => out.push(other),
        }
    }
    out
}

/// RFC 3461 §4.2 and RFC 6533 §3: `ORCPT=addr-type;xtext`.
pub(super) fn original_recipient(value: &str) -> Option<OriginalRecipient> {
    let (kind, address) = value.split_once(';')?;
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if value.len() > 500 || kind.is_empty() || address.is_empty() || !kind.bytes().all(atom) {
        return None;
    }
    let kind = kind.to_ascii_lowercase();
    let address = decode(address)?;
    let address = if kind == "utf-8" { points(&address)? } else { address };
    printable(&address).then_some(OriginalRecipient { kind, address })
}

/// RFC 3461 §4.4: up to 100 letters, decoded printable.
pub(super) fn envelope_id(value: &str) -> Option<String> {
    let id = (value.len() <= 100).then(|| decode(value))??;
    (!id.is_empty() && id.is_ascii() && printable(&id)).then_some(id)
}

/// As [`OriginalRecipient`] is sent: in ASCII where `utf8` says that the other side has no SMTPUTF8.
#[must_use]
pub fn original_parameter(original: &OriginalRecipient, utf8: bool) -> String {
    let OriginalRecipient { kind, address } = original;
    let address = if kind == "utf-8" && !utf8 { escaped(address) } else { encode(address) };
    format!("{kind};{address}")
}

fn printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// RFC 6533 §3: takes `\x{HEXPOINT}` out.
fn points(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        let (point, after) = after.strip_prefix("x{")?.split_once('}')?;
        if point.len() > 6 || !point.bytes().all(|digit| hex(digit).is_some()) {
            return None;
        }
        out.push_str(before);
        out.push(u32::from_str_radix(point, 16).ok().and_then(char::from_u32)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

fn escaped(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_graphic() && !matches!(c, '+' | '=' | '\\');
    let escape = |c: char| if plain(&c) { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_round_trips() {
        for (text, wire) in [
            ("QQ314159", "QQ314159"),
            ("a+b=c d", "a+2Bb+3Dc+20d"),
            ("한글@메일.한국", "한글@메일.한국"),
            ("", ""),
        ] {
            assert_eq!(encode(text), wire);
            assert_eq!(decode(wire).as_deref(), Some(text));
        }
        for wrong in ["a=b", "a b", "+", "+2", "+2b", "+FF", "a\tb"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn recipients_in_either_form() {
        let check = |wire: &str, kind: &str, address: &str, ascii: &str| {
            let original = original_recipient(wire).unwrap();
            assert_eq!((original.kind.as_str(), original.address.as_str()), (kind, address));
            assert_eq!(original_parameter(&original, false), ascii);
            assert_eq!(original_recipient(ascii), Some(original));
        };
        check("rfc822;Bob+2Btag@x.test", "rfc822", "Bob+tag@x.test", "rfc822;Bob+2Btag@x.test");
        check("UTF-8;\\x{BC25}@x.test", "utf-8", "밥@x.test", "utf-8;\\x{BC25}@x.test");
        check("utf-8;밥@x.test", "utf-8", "밥@x.test", "utf-8;\\x{BC25}@x.test");
        for wrong in
            ["rfc822", "rfc822;", ";a@b", "rf c;a", "rfc822;a+0D+0Ab", "utf-8;\\x{}", "utf-8;\\x{D800}"]
        {
            assert_eq!(original_recipient(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn envelope_ids_are_short_and_printable() {
        assert_eq!(envelope_id("QQ+2B1").as_deref(), Some("QQ+1"));
        for wrong in ["", "a+0Ab", "한", &"x".repeat(101)] {
            assert_eq!(envelope_id(wrong), None, "{wrong}");
        }
    }
}
