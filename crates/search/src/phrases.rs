//! Looking for several phrases at once, word by word.
//!
//! Each phrase is a row of places, one for each position from its first word to its last, and all rows lie behind each
//! other as bits. A place's bit is set while the words up to it are those that were read last ("shift and"). So a word
//! costs a look-up and a few operations for each 64 places, whatever the phrases are and however much they repeat
//! themselves.

use std::collections::HashMap;

use crate::words::{Token, Wanted};

/// Phrases that are looked for.
pub(crate) struct Phrases {
    rows: Vec<Option<Row>>,
    /// Where each word is wanted.
    words: HashMap<String, Vec<u64>>,
    /// The same of what words may begin with, and the lengths of these in bytes.
    beginnings: HashMap<String, Vec<u64>>,
    lengths: Vec<usize>,
    /// Places that take any word, or none.
    free: Vec<u64>,
    firsts: Vec<u64>,
    lasts: Vec<u64>,
    /// The first places of those that are looked for now.
    open: Vec<u64>,
    reached: Vec<u64>,
    /// What may be reached by the next position.
    allowed: Vec<u64>,
    /// The position that comes next.
    next: usize,
}

/// The places of a phrase.
#[derive(Clone, Copy)]
struct Row {
    first: usize,
    last: usize,
}

impl Phrases {
    /// Nothing is looked for before [`Self::begin`].
    pub(crate) fn new(phrases: &[Vec<Wanted>]) -> Self {
        let mut places = 0;
        let rows: Vec<_> = phrases
            .iter()
            .map(|phrase| {
                let (begin, end) = (phrase.first()?.offset, phrase.last()?.offset);
                let first = places;
                places += 1 + end - begin;
                Some(Row { first, last: first + end - begin })
            })
            .collect();
        let none = vec![0; places.div_ceil(64)];
        let (mut words, mut beginnings) = (HashMap::new(), HashMap::new());
        let (mut free, mut firsts, mut lasts) = (none.clone(), none.clone(), none.clone());
        for (row, phrase) in rows.iter().zip(phrases) {
            let (Some(row), Some(begin)) = (row, phrase.first().map(|want| want.offset)) else { continue };
            put(&mut firsts, row.first, true);
            put(&mut lasts, row.last, true);
            (row.first..=row.last).for_each(|place| put(&mut free, place, true));
            for want in phrase {
                let place = row.first + want.offset - begin;
                put(&mut free, place, false);
                let whole = if want.prefix { &mut beginnings } else { &mut words };
                put(whole.entry(want.word.clone()).or_insert_with(|| none.clone()), place, true);
            }
        }
        let mut lengths: Vec<_> = beginnings.keys().map(String::len).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let (open, reached, allowed) = (none.clone(), none.clone(), none);
        Self { rows, words, beginnings, lengths, free, firsts, lasts, open, reached, allowed, next: 0 }
    }

    /// Begins a text, in which those that `is_open` says are looked for. Phrases without words never are.
    pub(crate) fn begin(&mut self, is_open: impl Fn(usize) -> bool) {
        self.next = 0;
        self.reached.fill(0);
        self.open.fill(0);
        for (index, row) in self.rows.iter().enumerate() {
            if let Some(row) = row.filter(|_| is_open(index)) {
                put(&mut self.open, row.first, true);
            }
        }
    }

    /// No new occurrence of this one is looked for any more.
    pub(crate) fn close(&mut self, index: usize) {
        if let Some(row) = self.rows.get(index).copied().flatten() {
            put(&mut self.open, row.first, false);
        }
    }

    pub(crate) fn is_any_open(&self) -> bool {
        self.open.iter().any(|block| *block != 0)
    }

    /// Takes the next word of the text; whether any phrase ended with it.
    pub(crate) fn meets(&mut self, token: &Token) -> bool {
        while self.next < token.position && self.reached.iter().any(|block| *block != 0) {
            self.allowed.copy_from_slice(&self.free);
            self.advance();
            self.next += 1;
        }
        self.allowed.copy_from_slice(&self.free);
        allow(&mut self.allowed, self.words.get(token.word.as_str()));
        let beginnings = self.lengths.iter().map_while(|length| token.word.as_bytes().get(..*length));
        for beginning in beginnings.filter_map(|bytes| std::str::from_utf8(bytes).ok()) {
            allow(&mut self.allowed, self.beginnings.get(beginning));
        }
        self.advance();
        self.next = token.position + 1;
        self.reached.iter().zip(&self.lasts).any(|(reached, lasts)| reached & lasts != 0)
    }

    /// Those that ended with the last word, each with how many positions it began before.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let rows = self.rows.iter().enumerate().filter_map(|(index, row)| Some((index, (*row)?)));
        rows.filter(|(_, row)| is_set(&self.reached, row.last))
            .map(|(index, row)| (index, row.last - row.first))
    }

    /// One position on, to the places that are allowed.
    fn advance(&mut self) {
        let mut carry = 0;
        let masks = self.firsts.iter().zip(&self.open).zip(&self.allowed);
        for (reached, ((firsts, open), allowed)) in self.reached.iter_mut().zip(masks) {
            let followed = (*reached << 1) | carry;
            carry = *reached >> 63;
            // The last place of a row leads to no other row.
            *reached = ((followed & !firsts) | open) & allowed;
        }
    }
}

fn allow(allowed: &mut [u64], places: Option<&Vec<u64>>) {
    for (allowed, places) in allowed.iter_mut().zip(places.into_iter().flatten()) {
        *allowed |= places;
    }
}

fn put(bits: &mut [u64], place: usize, value: bool) {
    if let Some(block) = bits.get_mut(place / 64) {
        let bit = 1 << (place % 64);
        *block = if value { *block | bit } else { *block & !bit };
    }
}

fn is_set(bits: &[u64], place: usize) -> bool {
    bits.get(place / 64).is_some_and(|block| (block >> (place % 64)) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::words::{tokens, wanted};

    /// Where occurrences begin and end, found by comparing each.
    fn compared(tokens: &[Token], phrase: &[Wanted]) -> Vec<(usize, usize)> {
        let word_at = |position: usize| tokens.iter().find(|token| token.position == position);
        let begins = tokens.iter().map(|token| token.position).filter(|first| {
            phrase.iter().all(|want| {
                let token = word_at(first + want.offset);
                token.is_some_and(|token| {
                    if want.prefix { token.word.starts_with(&want.word) } else { token.word == want.word }
                })
            })
        });
        begins.filter_map(|first| Some((first, first + phrase.last()?.offset))).collect()
    }

    proptest::proptest! {
        #[test]
        fn every_occurrence_is_found(
            text in "[ab가나〸 🎉]{0,80}",
            phrases in proptest::collection::vec("[ab가나 十🎉]{0,6}", 0..40),
        ) {
            let all: Vec<_> = tokens(&text).collect();
            let phrases: Vec<_> = phrases.iter().map(|phrase| wanted(phrase)).collect();
            let mut sought = Phrases::new(&phrases);
            sought.begin(|index| index % 5 > 0);
            let mut found = vec![Vec::new(); phrases.len()];
            for token in &all {
                let any = sought.meets(token);
                proptest::prop_assert_eq!(any, sought.ended().next().is_some());
                for (index, before) in sought.ended() {
                    found[index].push((token.position - before, token.position));
                }
            }
            for (index, phrase) in phrases.iter().enumerate() {
                let expected = if index % 5 > 0 { compared(&all, phrase) } else { Vec::new() };
                proptest::prop_assert_eq!(&found[index], &expected, "{:?}", phrase);
            }
        }
    }

    /// How long the words of a text take, at the best of a few times.
    fn time(all: &[Token], phrases: &[String]) -> Duration {
        let phrases: Vec<_> = phrases.iter().map(|phrase| wanted(phrase)).collect();
        let mut sought = Phrases::new(&phrases);
        let once = |_| {
            let begin = Instant::now();
            sought.begin(|_| true);
            assert!(!all.iter().any(|token| sought.meets(token)));
            begin.elapsed()
        };
        (0..5).map(once).min().unwrap()
    }

    #[test]
    fn phrases_that_nearly_fit_everywhere_cost_little_more_than_a_word() {
        let all: Vec<_> = tokens(&"a ".repeat(50_000)).collect();
        let one = time(&all, &["b".to_owned()]);
        let long = time(&all, &["a ".repeat(499) + "b"]);
        let many: Vec<_> = (0..166).map(|_| "a a b".to_owned()).collect();
        let many = time(&all, &many);
        assert!(long < one * 50 && many < one * 50, "{one:?}, {long:?}, {many:?}");
    }
}
