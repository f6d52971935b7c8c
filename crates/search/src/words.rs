//! From text to the words that are indexed and searched for.
//!
//! - Letters and digits make words, compared without case, width, and the marks of Latin, Greek, Arabic and Hebrew.
//!   Everything else separates, so addresses, hosts and case numbers fall into parts that follow each other.
//! - Scripts that do not put spaces between words (or, like Korean, glue endings to them) become overlapping pairs of
//!   characters, each at its own position, and the last character alone. Any part of a run is then a phrase of pairs,
//!   and a single character is the beginning of a pair: `보고서` is found in `월간보고서를`, and so is `서`.
//!   (Whole words beside them would find nothing more.)
//! - An emoji is a word.

use std::{iter, ops::Range};

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
    let mut next = 0;
    runs(text).flat_map(move |run| {
        let first = next;
        next += run.positions();
        run.tokens(first)
    })
}

/// The words that a searched text stands for, which must follow each other just so.
///
/// The last one may be a beginning (`meet` finds `meeting`), unless the text has spaces: then it was quoted.
pub(crate) fn wanted(text: &str) -> Vec<Wanted> {
    let open = !text.trim().contains(char::is_whitespace);
    let runs: Vec<Run> = runs(text).collect();
    let last = runs.len().saturating_sub(1);
    let mut next = 0;
    let mut all = Vec::new();
    for (index, run) in runs.into_iter().enumerate() {
        let (first, kind) = (next, run.kind());
        next += run.positions();
        let tokens: Vec<Token> = run.tokens(first).collect();
        // The last character alone is where a run ends: the runs before the last have to, the last may go on.
        let (count, prefix) = match kind {
            Kind::Dense if index == last => (tokens.len().saturating_sub(1).max(1), tokens.len() == 1),
            _ => (tokens.len(), index == last && kind == Kind::Letter && open),
        };
        all.extend(tokens.into_iter().take(count).map(|token| Wanted {
            word: token.word,
            offset: token.position,
            prefix,
        }));
    }
    all
}

/// Whether there is anything to search for.
pub(crate) fn has_words(text: &str) -> bool {
    runs(text).next().is_some()
}

/// A stretch of text that is a word, or has words without spaces between them.
enum Run {
    Word(String, Range<usize>),
    /// Characters, each with where it stands.
    Dense(Vec<(char, Range<usize>)>),
}

impl Run {
    fn kind(&self) -> Kind {
        match self {
            Self::Word(..) => Kind::Letter,
            Self::Dense(_) => Kind::Dense,
        }
    }

    /// How many positions it takes; one more than it has characters, so that the next run does not look like its
    /// continuation.
    fn positions(&self) -> usize {
        match self {
            Self::Word(..) => 1,
            Self::Dense(chars) => chars.len() + 1,
        }
    }

    fn tokens(self, first: usize) -> Tokens {
        Tokens { run: self, first, next: 0 }
    }
}

/// The words of a run, the first of which is at position `first`.
struct Tokens {
    run: Run,
    first: usize,
    next: usize,
}

impl Iterator for Tokens {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let index = self.next;
        self.next += 1;
        let position = self.first + index;
        match &mut self.run {
            Run::Word(word, range) => (index == 0).then(|| Token {
                word: std::mem::take(word),
                position,
                range: range.clone(),
                first_end: range.end,
            }),
            Run::Dense(chars) => {
                let (one, range) = chars.get(index)?;
                let (word, end) = match chars.get(index + 1) {
                    Some((other, after)) => (String::from_iter([*one, *other]), after.end),
                    None => (String::from(*one), range.end),
                };
                Some(Token { word, position, range: range.start..end, first_end: range.end })
            }
        }
    }
}

fn runs(text: &str) -> impl Iterator<Item = Run> + '_ {
    let mut at = 0;
    iter::from_fn(move || {
        loop {
            let (kind, first) = cluster(text, at)?;
            let start = at;
            at = first;
            match kind {
                Kind::Separator => {}
                Kind::Emoji => return Some(Run::Word(fold(text.get(start..at)?), start..at)),
                Kind::Letter | Kind::Dense => {
                    if kind == Kind::Letter {
                        at = ascii_letters(text, at);
                    }
                    while let Some((next, end)) = cluster(text, at)
                        && next == kind
                    {
                        at = end;
                    }
                    return Some(match kind {
                        Kind::Dense => Run::Dense(dense(text, start..at)),
                        _ => Run::Word(cut(fold(text.get(start..at)?)), start..at),
                    });
                }
            }
        }
    })
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

/// The form in which words are compared.
fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
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

fn cut(mut word: String) -> String {
    word.truncate(word.floor_char_boundary(MAX_BYTES));
    word
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

    proptest::proptest! {
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
