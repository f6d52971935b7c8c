//! What mail programs note in a mail's own header or in its file's name about its state.

use types::Flags;

/// `Status:` and `X-Status:` of mbox files (mutt, Thunderbird's exports, Dovecot).
pub(super) fn of_header(raw: &[u8]) -> Flags {
    let mut flags = Flags::NONE;
    for line in raw.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"status") || name.eq_ignore_ascii_case(b"x-status") {
            for letter in value {
                flags = flags
                    | match letter {
                        b'R' => Flags::SEEN,
                        b'A' => Flags::ANSWERED,
                        b'F' => Flags::FLAGGED,
                        b'T' => Flags::DRAFT,
                        _ => Flags::NONE,
                    };
            }
        }
    }
    flags
}

/// The part after `:2,` of a Maildir file's name; `None` for a mail that is marked as deleted.
pub(super) fn of_name(name: &str) -> Option<Flags> {
    let Some((_, letters)) = name.rsplit_once(":2,") else {
        return Some(Flags::NONE);
    };
    let mut flags = Flags::NONE;
    for letter in letters.chars() {
        flags = flags
            | match letter {
                'S' => Flags::SEEN,
                'R' => Flags::ANSWERED,
                'F' => Flags::FLAGGED,
                'D' => Flags::DRAFT,
                'P' => Flags::FORWARDED,
                'T' => return None,
                _ => Flags::NONE,
            };
    }
    Some(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read() {
        assert_eq!(of_header(b"From: x\r\nStatus: RO\r\nX-Status: AF\r\n\r\nStatus: T\r\n"), {
            Flags::SEEN | Flags::ANSWERED | Flags::FLAGGED
        });
        assert_eq!(of_header(b"no header"), Flags::NONE);
        assert_eq!(of_name("1.x.host:2,FS"), Some(Flags::SEEN | Flags::FLAGGED));
        assert_eq!(of_name("1.x.host"), Some(Flags::NONE));
        assert_eq!(of_name("1.x.host:2,ST"), None);
    }
}
