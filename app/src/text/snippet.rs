//! The words around a hit, as the API gives them: escaped text with `<mark>`, read without ever being HTML.

/// Runs of text, and whether each is a hit.
pub(crate) fn snippet(text: &str) -> Vec<(bool, String)> {
    let mut out = Vec::new();
    for (at, part) in text.split("<mark>").enumerate() {
        let (hit, rest) = match part.split_once("</mark>") {
            Some((hit, rest)) if at > 0 => (hit, rest),
            _ => ("", part),
        };
        out.extend(
            [(true, unescape(hit)), (false, unescape(rest))].into_iter().filter(|(_, text)| !text.is_empty()),
        );
    }
    out
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_marked_and_nothing_is_markup() {
        let found = snippet("a &lt;b&gt; <mark>회의</mark> &amp;amp; <mark>x");
        assert_eq!(
            found,
            [
                (false, "a <b> ".to_owned()),
                (true, "회의".to_owned()),
                (false, " &amp; ".to_owned()),
                (false, "x".to_owned())
            ]
        );
    }
}
