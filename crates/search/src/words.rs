//! From text to the words that are indexed and searched for.
//!
//! - Letters and digits make words, compared without case, width, and the marks of Latin, Greek, Arabic and Hebrew.
//!   Everything else separates, so addresses, hosts and case numbers fall into parts that follow each other.
//! - Scripts that do not put spaces between words (or, like Korean, glue endings to them) become overlapping pairs of
//!   characters, each at its own position, and the last character alone. Any part of a run is then a phrase of pairs,
//!   and a single character is the beginning of a pair: `보고서` is found in `월간보고서를`, and so is `서`.
//!   (Whole words beside them would find nothing more.)
//! - An emoji is a word.

use std::{iter, ops::Range, vec};

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// Longer words are cut: they are rather encoded data than words.
const MAX_BYTES: usize = 64;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) word: String,
    pub(crate) position: usize,
    /// Where it stands in the text, in bytes.
    pub(crate) range: Range<usize>,
    /// Where its first character ends; of a pair, the second is the beginning of the next.
    pub(crate) first_end: usize,
}

/// A word that is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) word: String,
    /// After the first word.
    pub(crate) offset: usize,
    /// Whether words that begin with it will do.
    pub(crate) prefix: bool,
}

/// The words of a text.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = Token> + '_ {
    let mut words = Words::new(text);
    iter::from_fn(move || {
        let mut word = String::new();
        let Place { position, range, first_end } = words.next_into(&mut word)?;
        Some(Token { word, position, range, first_end })
    })
}

/// The words of a text, one after the other, written where they are wanted.
pub(crate) struct Words<'t> {
    text: &'t str,
    /// Where the next run begins.
    at: usize,
    /// The position of the next word.
    next: usize,
    /// Of a run that has more words.
    dense: vec::IntoIter<(char, Range<usize>)>,
}

/// Where a word is: as in [`Token`].
pub(crate) struct Place {
    pub(crate) position: usize,
    pub(crate) range: Range<usize>,
    first_end: usize,
}

impl<'t> Words<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0, next: 0, dense: Vec::new().into_iter() }
    }

    /// Adds the next word to `out`.
    pub(crate) fn next_into(&mut self, out: &mut String) -> Option<Place> {
        while self.dense.len() == 0 {
            match run(self.text, &mut self.at)? {
                Run::Word(range, kind) => {
                    write_word(self.text.get(range.clone())?, kind, out);
                    let position = self.next;
                    self.next += 1;
                    return Some(Place { position, first_end: range.end, range });
                }
                // A run takes one position more than it has characters, so that the next does not look like its continuation.
                Run::Dense(chars) => {
                    self.next += 1;
                    self.dense = chars.into_iter();
                }
            }
        }
        let (one, range) = self.dense.next()?;
        // The one more was counted before.
        let position = self.next - 1;
        self.next += 1;
        out.push(one);
        let mut end = range.end;
        if let Some((other, after)) = self.dense.as_slice().first() {
            out.push(*other);
            end = after.end;
        }
        Some(Place { position, range: range.start..end, first_end: range.end })
    }
}

/// The words that a searched text stands for, which must follow each other just so.
///
/// The last one may be a beginning (`meet` finds `meeting`), unless the text has spaces: then it was quoted.
pub(crate) fn wanted(text: &str) -> Vec<Wanted> {
    let open = !text.trim().contains(char::is_whitespace);
    let mut all: Vec<Wanted> = tokens(text)
        .map(|token| Wanted { word: token.word, offset: token.position, prefix: false })
        .collect();
    let mut at = 0;
    let last = iter::from_fn(|| run(text, &mut at)).last();
    // The last character alone is where a run ends: the runs before the last have to, the last may go on.
    if let Some(Run::Dense(chars)) = &last
        && chars.len() > 1
    {
        all.pop();
    }
    let goes_on = match last {
        Some(Run::Dense(chars)) => chars.len() == 1,
        Some(Run::Word(..)) => open,
        None => false,
    };
    if let Some(last) = all.last_mut() {
        last.prefix = goes_on;
    }
    all
}

/// Whether there is anything to search for.
pub(crate) fn has_words(text: &str) -> bool {
    run(text, &mut 0).is_some()
}

/// A stretch of text that is a word, or has words without spaces between them.
enum Run {
    Word(Range<usize>, Kind),
    /// Characters, each with where it stands.
    Dense(Vec<(char, Range<usize>)>),
}

/// The next run that begins at `at` or later; then `at` is where it ends.
fn run(text: &str, at: &mut usize) -> Option<Run> {
    loop {
        let start = *at;
        let (kind, first) = cluster(text, start)?;
        *at = first;
        match kind {
            Kind::Separator => {}
            Kind::Emoji => return Some(Run::Word(start..first, kind)),
            Kind::Letter | Kind::Dense => {
                if kind == Kind::Letter {
                    *at = ascii_letters(text, first);
                }
                while let Some((next, end)) = cluster(text, *at)
                    && next == kind
                {
                    *at = end;
                }
                let range = start..*at;
                return Some(match kind {
                    Kind::Dense => Run::Dense(dense(text, range)),
                    _ => Run::Word(range, kind),
                });
            }
        }
    }
}

/// A word in the form in which words are compared.
fn write_word(word: &str, kind: Kind, out: &mut String) {
    let start = out.len();
    if word.is_ascii() {
        out.push_str(word.get(..MAX_BYTES).unwrap_or(word));
        if let Some(word) = out.get_mut(start..) {
            word.make_ascii_lowercase();
        }
        return;
    }
    out.push_str(&fold(word));
    if kind == Kind::Letter {
        out.truncate(out.floor_char_boundary(start + MAX_BYTES));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Separator,
    Letter,
    Dense,
    Emoji,
}

/// What the user-perceived character at `at` is, and where it ends.
fn cluster(text: &str, at: usize) -> Option<(Kind, usize)> {
    let rest = text.get(at..)?;
    let bytes = rest.as_bytes();
    let first = bytes.first()?;
    // Between two ASCII characters there is always a boundary (but in CR LF, where it does not matter).
    if first.is_ascii() && bytes.get(1).is_none_or(u8::is_ascii) {
        return Some((if first.is_ascii_alphanumeric() { Kind::Letter } else { Kind::Separator }, at + 1));
    }
    let cluster = rest.graphemes(true).next()?;
    Some((kind(cluster.chars().next()?), at + cluster.len()))
}

/// Where the letters and digits of ASCII end that begin at `at`; before the last one if a mark may follow it.
fn ascii_letters(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let count = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let is_marked = rest.get(count).is_some_and(|byte| !byte.is_ascii());
    at + if is_marked { count.saturating_sub(1) } else { count }
}

fn kind(c: char) -> Kind {
    match c {
        '\u{e00}'..='\u{eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Myanmar
        | '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97f}' | '\u{d7b0}'..='\u{d7ff}' // Hangul jamo
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '々' | '〇'
        | '\u{3041}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' // Kana
        | '\u{3105}'..='\u{312f}' // Bopomofo
        | '\u{3131}'..='\u{318e}' // Hangul letters
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' // Han
        | '\u{ac00}'..='\u{d7a3}' // Hangul syllables
        | '\u{ff66}'..='\u{ffdc}' // half-width Kana and Hangul
        | '\u{20000}'..='\u{323af}' // more Han
            => if c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c) { Kind::Dense } else { Kind::Separator },
        '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{2300}'..='\u{23ff}' => Kind::Emoji,
        _ if c.is_alphanumeric() => Kind::Letter,
        _ => Kind::Separator,
    }
}

fn dense(text: &str, range: Range<usize>) -> Vec<(char, Range<usize>)> {
    let mut chars = Vec::new();
    let mut start = range.start;
    for cluster in text.get(range).unwrap_or_default().graphemes(true) {
        let end = start + cluster.len();
        chars.extend(cluster.nfkc().filter(|c| !is_ignored(*c)).map(|c| (c, start..end)));
        start = end;
    }
    chars
}

/// Without case, width and marks.
fn fold(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut bare = false;
    for c in word.nfkd().flat_map(char::to_lowercase) {
        match c {
            '\u{300}'..='\u{36f}' if bare => continue,
            'ß' => out.push_str("ss"),
            'æ' => out.push_str("ae"),
            'œ' => out.push_str("oe"),
            'þ' => out.push_str("th"),
            'ø' => out.push('o'),
            'đ' | 'ð' => out.push('d'),
            'ł' => out.push('l'),
            'ı' => out.push('i'),
            'ħ' => out.push('h'),
            'ς' => out.push('σ'),
            c if is_ignored(c) => continue,
            c => out.push(c),
        }
        bare = matches!(c, 'a'..='z' | '\u{df}'..='\u{24f}' | '\u{370}'..='\u{3ff}')
            || (bare && !c.is_alphanumeric());
    }
    // Marks that stayed go back to their letters.
    out.nfc().collect()
}

/// What words are compared without: vowel points, joiners, and how an emoji is to be drawn.
fn is_ignored(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{200b}'..='\u{200c}' | '\u{2060}' | '\u{feff}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}'
        | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' // Arabic
        | '\u{591}'..='\u{5bd}' | '\u{5bf}'..='\u{5c7}') // Hebrew
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text).map(|token| token.word).collect()
    }

    #[test]
    fn text_falls_into_words() {
        for (text, expected) in [
            ("", ""),
            ("  …!? -- ", ""),
            ("Hello, WORLD!", "hello world"),
            ("Alice@Demo.test", "alice demo test"),
            ("https://x.example/a_b?c=1", "https x example a b c 1"),
            ("INV-2024-001 1,234.56", "inv 2024 001 1 234 56"),
            ("Ｆｕｌｌ Ｗｉｄｔｈ １２３ ﬁn", "full width 123 fin"),
            (
                "Café CRÈME naïve Straße Łódź Åse Ærø İstanbul",
                "cafe creme naive strasse lodz ase aero istanbul",
            ),
            ("Cafe\u{301}", "cafe"),
            ("Việt Nam Đà Nẵng", "viet nam da nang"),
            ("ΟΔΟΣ οδός", "οδοσ οδοσ"),
            ("Съешь йод", "съешь йод"),
            ("مُحَمَّد العَرَبِيَّة إلى", "محمد العربية الى"),
            ("שָׁלוֹם", "שלום"),
            ("हिन्दी में", "हिन्दी में"),
            ("보고서", "보고 고서 서"),
            ("월간보고서를 보냅니다.", "월간 간보 보고 고서 서를 를 보냅 냅니 니다 다"),
            ("2026년 예산안v2", "2026 년 예산 산안 안 v2"),
            ("会議の資料", "会議 議の の資 資料 料"),
            ("ｶﾞｲﾄﾞ", "ガイ イド ド"),
            ("会议・纪要", "会议 议 纪要 要"),
            ("สวัสดี", "สว วั ัส สด ดี ี"),
            ("party 🎉 at 👍🏽👩‍💻", "party 🎉 at 👍 👩\u{200d}💻"),
        ] {
            let expected: Vec<_> = expected.split_whitespace().map(str::to_owned).collect();
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn decomposed_hangul_is_the_same() {
        let decomposed: String = UnicodeNormalization::nfd("보고서").collect();
        assert_ne!(decomposed, "보고서");
        assert_eq!(words(&decomposed), words("보고서"));
    }

    #[test]
    fn ranges_are_those_of_the_text() {
        let text = "¡Straße, 보고서🎉";
        let shown: Vec<_> = tokens(text).map(|token| &text[token.range]).collect();
        assert_eq!(shown, ["Straße", "보고", "고서", "서", "🎉"]);
        let positions: Vec<_> = tokens(text).map(|token| token.position).collect();
        assert_eq!(positions, [0, 1, 2, 3, 5]);
    }

    #[test]
    fn what_is_wanted() {
        for (text, expected) in [
            ("meet", "0meet*"),
            ("alice@demo.te", "0alice 1demo 2te*"),
            ("annual report", "0annual 1report"),
            ("보고서", "0보고 1고서"),
            ("서", "0서*"),
            ("2026년 예산", "02026 1년 3예산"),
            ("년도 a", "0년도 1도 3a"),
            ("가 나", "0가 2나*"),
            ("👩", "0👩*"),
            ("party 🎉", "0party 1🎉"),
            ("!", ""),
        ] {
            let shown = wanted(text)
                .into_iter()
                .map(|one| format!("{}{}{}", one.offset, one.word, if one.prefix { "*" } else { "" }))
                .collect::<Vec<_>>();
            assert_eq!(shown.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(words(&"x".repeat(1_000)), ["x".repeat(64)]);
        assert_eq!(words(&"é".repeat(1_000)), ["e".repeat(64)]);
        assert_eq!(words(&"ж".repeat(1_000)), ["ж".repeat(32)]);
    }

    /// Character by character, as [`run`] would without looking ahead.
    fn plain_runs(text: &str) -> Vec<(Kind, Range<usize>)> {
        let (mut all, mut at): (Vec<(Kind, Range<usize>)>, _) = (Vec::new(), 0);
        while let Some((kind, end)) = cluster(text, at) {
            match all.last_mut() {
                Some((before, range)) if *before == kind && kind != Kind::Emoji => range.end = end,
                Some(_) | None => all.push((kind, at..end)),
            }
            at = end;
        }
        all.retain(|(kind, _)| *kind != Kind::Separator);
        all
    }

    proptest::proptest! {
        #[test]
        fn ascii_letters_are_passed_over_as_others_are(text in "[a-zB0-9 \u{301}\u{600}\u{200d}\u{fe0f}é가🎉-]{0,40}") {
            let mut at = 0;
            let runs = iter::from_fn(|| Some((run(&text, &mut at)?, at))).map(|(run, end)| match run {
                Run::Word(range, kind) => (kind, range.end),
                Run::Dense(_) => (Kind::Dense, end),
            });
            let plain = plain_runs(&text).into_iter().map(|(kind, range)| (kind, range.end));
            proptest::prop_assert_eq!(runs.collect::<Vec<_>>(), plain.collect::<Vec<_>>());
        }

        #[test]
        fn any_text_has_words_in_order(text in "\\PC{0,60}") {
            let all: Vec<_> = tokens(&text).collect();
            proptest::prop_assert!(all.is_sorted_by(|one, next| one.position < next.position));
            for token in &all {
                proptest::prop_assert!(text.get(token.range.clone()).is_some());
                proptest::prop_assert!(token.word.len() <= MAX_BYTES + 8);
            }
            proptest::prop_assert_eq!(has_words(&text), !all.is_empty());
        }
    }
}
