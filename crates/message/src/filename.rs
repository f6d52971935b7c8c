//! File names that are safe to save under, whatever the sender wrote.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;

use crate::{Part, header};

/// The longest file name, in characters.
const MAX_CHARS: usize = 200;

/// The longest extension that is kept when a name is cut.
const MAX_EXTENSION: usize = 16;

/// `name` without folders, control and direction characters, leading dots and what some file systems refuse; at most
/// 200 characters, keeping the extension. None if nothing is left.
#[must_use]
pub fn sanitize(name: &str) -> Option<String> {
    let composed: String = name.nfc().collect();
    let last = composed.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last
        .chars()
        .filter(|c| !c.is_control() && !header::is_direction(*c) && !is_invisible(*c))
        .map(|c| if matches!(c, ':' | '*' | '?' | '"' | '<' | '>' | '|') { '_' } else { c })
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .collect();
    let kept = kept.trim_start_matches(['.', ' ']).trim_end_matches(['.', ' ']);
    if kept.is_empty() {
        return None;
    }
    let kept = if is_device(kept) { format!("_{kept}") } else { kept.to_owned() };
    Some(shortened(&kept))
}

const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200D}' | '\u{2060}'..='\u{2065}' | '\u{FEFF}' | '\u{FFFD}' | '\u{00AD}' | '\u{2028}' | '\u{2029}')
}

/// Names that mean a device on Windows, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || stem.len() == 4
            && (stem.starts_with("COM") || stem.starts_with("LPT"))
            && stem.ends_with(|c: char| c.is_ascii_digit())
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= MAX_CHARS {
        return name.to_owned();
    }
    let extension = (name.rsplit_once('.')).map(|(_, extension)| extension).unwrap_or_default();
    let extension = if (1..=MAX_EXTENSION).contains(&extension.chars().count()) { extension } else { "" };
    let room = MAX_CHARS - extension.chars().count() - usize::from(!extension.is_empty());
    let stem: String = name.chars().take(room).collect();
    if extension.is_empty() { stem } else { format!("{}.{extension}", stem.trim_end()) }
}

/// The safe file name of a part: the sender's, else the subject of an attached message, else one made from the type.
pub(crate) fn of(part: &Part, next: Option<&Part>) -> String {
    if let Some(name) = part.sent_filename().as_deref().and_then(sanitize) {
        return name;
    }
    let subject = next.filter(|next| part.is_message() && next.depth == part.depth + 1);
    let subject = subject.and_then(|message| crate::imap::subject_in(message.envelope.as_deref()?));
    if let Some(name) =
        subject.and_then(|subject| sanitize(&format!("{}.eml", subject.replace(['/', '\\'], "_"))))
    {
        return name;
    }
    let (stem, extension) = match (part.kind(), part.subtype()) {
        ("message", "rfc822" | "global") => ("message", "eml"),
        ("message", "delivery-status") => ("delivery-status", "txt"),
        ("text", "plain") => ("text", "txt"),
        ("text", "calendar") => ("invite", "ics"),
        ("text", "rfc822-headers") => ("headers", "txt"),
        ("text", "vcard" | "x-vcard") => ("contact", "vcf"),
        ("image", "jpeg" | "jpg" | "pjpeg") => ("image", "jpg"),
        ("image", "svg+xml") => ("image", "svg"),
        ("application", "pgp-signature") => ("signature", "asc"),
        ("application", "pkcs7-signature" | "x-pkcs7-signature") => ("smime", "p7s"),
        (kind @ ("image" | "audio" | "video" | "text" | "font"), subtype) if is_plain(subtype) => {
            (kind, subtype)
        }
        ("application", subtype @ ("pdf" | "zip" | "json" | "xml" | "rtf")) => ("attachment", subtype),
        _ => ("attachment", "bin"),
    };
    format!("{stem}.{extension}")
}

fn is_plain(subtype: &str) -> bool {
    (1..=8).contains(&subtype.len()) && subtype.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A content type that can stand in an HTTP header.
pub(crate) fn content_type(part: &Part) -> String {
    let value = part.content_type.value.as_str();
    let token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match value.split_once('/') {
        Some((kind, subtype)) if kind != "multipart" && token(kind) && token(subtype) => value.to_owned(),
        _ => "application/octet-stream".to_owned(),
    }
}

/// Gives each name once: `a.txt`, `a (2).txt`.
#[derive(Debug, Default)]
pub(crate) struct Names {
    used: HashSet<String>,
}

impl Names {
    pub(crate) fn unique(&mut self, name: String) -> String {
        if self.used.insert(name.to_lowercase()) {
            return name;
        }
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name.as_str(), String::new()),
        };
        // Starting at how many there are keeps a thousand equal names from being tried in turn.
        let first = if self.used.len() > 50 { self.used.len() } else { 2 };
        let numbered = (first..).map(|number| format!("{stem} ({number}){extension}"));
        numbered.into_iter().find(|candidate| self.used.insert(candidate.to_lowercase())).unwrap_or(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<&str>) {
        assert_eq!(sanitize(name).as_deref(), expected, "{name:?}");
    }

    #[test]
    fn names_become_safe() {
        check("report.pdf", Some("report.pdf"));
        check("보고서 2026.pdf", Some("보고서 2026.pdf"));
        check("../../etc/passwd", Some("passwd"));
        check("C:\\Windows\\system32\\cmd.exe", Some("cmd.exe"));
        check("/", None);
        check("..", None);
        check("", None);
        check(".bashrc", Some("bashrc"));
        check("a\0b\r\n.txt", Some("ab.txt"));
        check("invoice\u{202E}fdp.exe", Some("invoicefdp.exe"));
        check("a\u{2066}b\u{2069}.txt", Some("ab.txt"));
        check("con.txt", Some("_con.txt"));
        check("a:b?.txt", Some("a_b_.txt"));
        check("trailing. ", Some("trailing"));
        check("x\u{FEFF}.txt", Some("x.txt"));
        let long = sanitize(&format!("{}.docx", "가".repeat(500))).unwrap();
        assert_eq!(long.chars().count(), 200);
        assert!(long.ends_with("가.docx"));
    }

    #[test]
    fn equal_names_are_numbered() {
        let mut names = Names::default();
        let given: Vec<String> = (0..3).map(|_| names.unique("a.txt".into())).collect();
        assert_eq!(given, ["a.txt", "a (2).txt", "a (3).txt"]);
    }
}
