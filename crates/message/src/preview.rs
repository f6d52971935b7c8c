//! The first words of a mail: what somebody wrote, without quotes, links and padding.

use unicode_segmentation::UnicodeSegmentation;

/// How many graphemes a preview has at most.
const LENGTH: usize = 200;

/// No preview needs more of the text than this.
pub(crate) const WINDOW: usize = 16 * 1_024;

/// The preview of a plain text; if it is all quotes, of these.
pub(crate) fn of(text: &str) -> String {
    let window = text.get(..text.floor_char_boundary(WINDOW)).unwrap_or_default();
    let own = cut(own_lines(window));
    if own.is_empty() { cut(window.lines()) } else { own }
}

/// The lines up to the first that says that another mail follows, without quotes, what introduces them, and the
/// signature.
fn own_lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut lines = lines.take_while(|line| *line != "--" && !begins_original(line));
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            // `On Monday, Alice` / `<a@b.c> wrote:` in two lines
            let begins = || {
                let mut following = lines.clone();
                following.next().is_some_and(|next| introduces(next, &following))
            };
            let is_theirs =
                is_quoted(line) || introduces(line, &lines) || line.starts_with("On ") && begins();
            if !is_theirs {
                return Some(line);
            }
        }
    })
}

/// Whether the line says whose words the following ones are.
fn introduces<'t>(line: &str, following: &(impl Iterator<Item = &'t str> + Clone)) -> bool {
    is_attribution(line) && following.clone().next().is_none_or(is_quoted)
}

/// `> words`, or with initials: `Tim> words`.
fn is_quoted(line: &str) -> bool {
    let initials = line.bytes().take(12).take_while(u8::is_ascii_alphabetic).count();
    line.get(initials..).is_some_and(|rest| rest.starts_with('>'))
}

fn begins_original(line: &str) -> bool {
    let bare = line.trim_matches(['-', '_', '=', ' ']);
    line.len() > bare.len() + 3
        && [
            "original message",
            "forwarded message",
            "원본 메시지",
            "원본 메세지",
            "전달된 메시지",
            "original appointment",
        ]
        .iter()
        .any(|words| bare.to_lowercase().contains(words))
}

/// `On Monday, Alice <a@b.c> wrote:` and its like.
fn is_attribution(line: &str) -> bool {
    let ends = [
        "wrote:",
        "writes:",
        "write:",
        "said:",
        "작성:",
        "썼습니다:",
        "schrieb:",
        "a écrit :",
        "escribió:",
        "写道：",
        "写道:",
    ];
    line.len() < 300 && ends.iter().any(|end| line.ends_with(end))
}

fn cut<'t>(lines: impl Iterator<Item = &'t str>) -> String {
    let mut out = String::new();
    let mut count = 0;
    for word in lines.flat_map(words) {
        if !out.is_empty() {
            out.push(' ');
            count += 1;
        }
        for grapheme in word.graphemes(true) {
            // A letter with a hundred accents is not a word.
            if count >= LENGTH || grapheme.len() > 64 {
                return out.trim_end().to_owned();
            }
            out.push_str(grapheme);
            count += 1;
        }
    }
    out
}

/// The words of a line that are worth showing, without what is invisible.
fn words(line: &str) -> impl Iterator<Item = String> {
    let line = line.trim_start_matches(['>', ' ']);
    line.split_whitespace().filter(|word| !is_noise(word)).filter_map(|word| {
        let kept: String = word.chars().filter(|c| !is_padding(*c)).collect();
        (!kept.is_empty()).then_some(kept)
    })
}

/// Links, rulers, and what a picture leaves behind in plain text.
fn is_noise(word: &str) -> bool {
    let bare = word.trim_start_matches(['<', '(', '[']);
    bare.starts_with("http://")
        || bare.starts_with("https://")
        || bare.starts_with("cid:")
        || bare.starts_with("[cid:")
        || word.len() >= 3 && word.chars().all(|c| "-=_*~#+.·•─━—|<>".contains(c))
}

/// What newsletters put behind their first words, so that nothing else is shown beside them.
fn is_padding(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180E}'
        | '\u{200B}'..='\u{200C}' | '\u{200E}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{2800}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFFD}')
        || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(of(text), expected, "{text}");
    }

    #[test]
    fn what_somebody_wrote() {
        check("Hello  Bob,\n\nsee you.\n-- \nAlice", "Hello Bob, see you.");
        check("> old\n> words\nNew words", "New words");
        check("Yes!\n\nOn Mon, 2 Nov 2026, Bob <b@c.d> wrote:\n> What?", "Yes!");
        check("Don Newcomer wrote:\n\n> What?\n\nThis.", "This.");
        check("On Mon, 2 Nov 2026, Bob\n<b@c.d> wrote:\n> What?\n\nThis.", "This.");
        check("And then she wrote:\nA poem.", "And then she wrote: A poem.");
        check("This.\n\nDon Newcomer wrote:\n", "This.");
        check("This.\nOn Mon, 2 Nov 2026, Bob\n<b@c.d> wrote:", "This.");
        check("This.\nOn Monday", "This. On Monday");
        check("This.\nBob wrote:\n--\nAlice", "This.");
        check("This.\nBob wrote:\n-----Original Message-----\n> What?", "This.");
        check("Bob wrote:\n\n\n> What?\n\nThis.", "This.");
        check("Tim> People\nNo.", "No.");
        check("네\n\n-----Original Message-----\nFrom: x", "네");
        check("See https://example.com/a?b=c for <https://x.y> more", "See for more");
        check("Sale!\u{200C}\u{A0}\u{200C} \u{34F}\u{34F} \u{2800}", "Sale!");
        check("=====\nTitle\n-----", "Title");
        check("> only\n> quoted", "only quoted");
        check("", "");
        assert_eq!(of(&"가나다 ".repeat(500)).graphemes(true).count(), 199);
        assert_eq!(of(&"👨‍👩‍👧".repeat(500)).graphemes(true).count(), 200);
        check(&format!("a{}", "\u{301}".repeat(1_000)), "");
    }
}
