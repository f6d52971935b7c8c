//! What stands in for a picture of a person: initials on a colour of their own.

use unicode_segmentation::UnicodeSegmentation;

/// One or two graphemes: of the first and last word, or one for scripts that are written without spaces.
pub(crate) fn initials(name: &str) -> String {
    let mut words = name
        .split(|c: char| c.is_whitespace() || "._-@".contains(c))
        .filter(|word| word.chars().next().is_some_and(char::is_alphanumeric));
    let Some(first) = words.next().and_then(|word| word.graphemes(true).next()) else {
        return "?".to_owned();
    };
    if !first.chars().all(|c| c < '\u{2e80}') || name.contains('@') {
        return first.to_uppercase();
    }
    let last = words.next_back().and_then(|word| word.graphemes(true).next()).unwrap_or_default();
    format!("{}{}", first.to_uppercase(), last.to_uppercase())
}

/// One of twelve colours, the same for an address wherever it appears.
pub(crate) fn hue(email: &str) -> u8 {
    let sum = email
        .bytes()
        .fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte.to_ascii_lowercase())));
    u8::try_from(sum % 12).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_are_whole_graphemes() {
        let cases = [
            ("Alice Liddell", "AL"),
            ("김민수", "김"),
            ("bob@demo.test", "B"),
            ("Ann Mary Smith", "AS"),
            ("e\u{301}lodie", "E\u{301}"),
            ("", "?"),
            ("\"!\"", "?"),
        ];
        for (name, shown) in cases {
            assert_eq!(initials(name), shown, "{name}");
        }
        assert_eq!(hue("Alice@demo.test"), hue("alice@demo.test"));
    }
}
