//! Modified UTF-7 (RFC 3501 §5.1.3): how Maildirs and IMAP servers write names of folders.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

/// The name as people read it; as it stands where it is not of this form.
pub(super) fn decode(name: &str) -> String {
    decoded(name).unwrap_or_else(|| name.to_owned())
}

fn decoded(name: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = name;
    while let Some((plain, after)) = rest.split_once('&') {
        out.push_str(plain);
        let (encoded, after) = after.split_once('-')?;
        if encoded.is_empty() {
            out.push('&');
        } else {
            let bytes = STANDARD_NO_PAD.decode(encoded.replace(',', "/")).ok()?;
            let (units, []) = bytes.as_chunks::<2>() else { return None };
            let units = units.iter().map(|unit| u16::from_be_bytes(*unit));
            out.extend(char::decode_utf16(units).collect::<Result<Vec<_>, _>>().ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        for (written, meant) in [
            ("Inbox", "Inbox"),
            ("&1VyuAA-", "한글"),
            ("R&AOk-sum&AOk-", "Résumé"),
            ("A &- B", "A & B"),
            ("&Jjo-!", "☺!"),
            ("broken &1Vy", "broken &1Vy"),
            ("&!!-", "&!!-"),
        ] {
            assert_eq!(decode(written), meant, "{written}");
        }
    }
}
