//! Sets of messages: `sequence-set` (RFC 9051 §9), and `$` for the last search's result (RFC 5182).

use std::fmt;

use super::cursor::{Cursor, Parsed, SyntaxError};

/// A number, or the largest there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Number(u32),
    /// `*`
    Last,
}

/// Sequence numbers or UIDs, as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SequenceSet {
    Ranges(Vec<(Bound, Bound)>),
    /// `$`: what the last search saved.
    Saved,
}

/// Clients name what they want by ranges; nobody needs more of them in a command.
const MAX_RANGES: usize = 20_000;

impl SequenceSet {
    /// `sequence-set = (seq-number / seq-range) ["," sequence-set] / "$"`
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        if cursor.eat(b'$') {
            return Ok(Self::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            let start = bound(cursor)?;
            let end = if cursor.eat(b':') { bound(cursor)? } else { start };
            if ranges.len() >= MAX_RANGES {
                return Err(SyntaxError("the set has too many ranges"));
            }
            ranges.push((start, end));
            if !cursor.eat(b',') {
                return Ok(Self::Ranges(ranges));
            }
        }
    }

    /// The numbers as ascending ranges that do not touch, with `last` for `*`. Nothing, where nothing is last.
    #[must_use]
    pub fn resolve(&self, last: Option<u32>) -> Vec<(u32, u32)> {
        let (Self::Ranges(ranges), Some(last)) = (self, last) else { return Vec::new() };
        let number = |bound: Bound| match bound {
            Bound::Number(number) => number,
            Bound::Last => last,
        };
        let ordered = ranges.iter().map(|(start, end)| {
            let (start, end) = (number(*start), number(*end));
            (start.min(end), start.max(end))
        });
        merge(ordered.collect())
    }

    /// The highest number that is written out, if the set has one; `*` counts for nothing.
    #[must_use]
    pub fn highest(&self) -> Option<u32> {
        let Self::Ranges(ranges) = self else { return None };
        let numbers = ranges.iter().flat_map(|(start, end)| [*start, *end]);
        numbers
            .filter_map(|bound| match bound {
                Bound::Number(number) => Some(number),
                Bound::Last => None,
            })
            .max()
    }
}

fn bound(cursor: &mut Cursor<'_>) -> Parsed<Bound> {
    if cursor.eat(b'*') { Ok(Bound::Last) } else { cursor.nz_number().map(Bound::Number) }
}

/// The ranges in order, overlapping and touching ones as one.
pub(crate) fn merge(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match merged.last_mut() {
            Some((_, before)) if start <= before.saturating_add(1) => *before = (*before).max(end),
            Some(_) | None => merged.push((start, end)),
        }
    }
    merged
}

/// Ascending numbers as a set: `1:3,7`.
pub(crate) struct Ranges<I>(pub(crate) I);

impl<I: Iterator<Item = u32> + Clone> fmt::Display for Ranges<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut open: Option<(u32, u32)> = None;
        let mut first = true;
        let mut write = |f: &mut fmt::Formatter<'_>, (start, end): (u32, u32)| {
            if !std::mem::take(&mut first) {
                f.write_str(",")?;
            }
            if start == end { write!(f, "{start}") } else { write!(f, "{start}:{end}") }
        };
        for number in self.0.clone() {
            open = match open {
                Some((start, end)) if number == end.wrapping_add(1) => Some((start, number)),
                Some(range) => {
                    write(f, range)?;
                    Some((number, number))
                }
                None => Some((number, number)),
            };
        }
        open.map_or(Ok(()), |range| write(f, range))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(text: &str) -> Parsed<SequenceSet> {
        let mut cursor = Cursor::new(text.as_bytes(), false);
        let set = SequenceSet::parse(&mut cursor)?;
        cursor.end().map(|()| set)
    }

    #[test]
    fn sets_are_resolved_against_the_last_number() {
        let check = |text, last, ranges: &[(u32, u32)]| {
            assert_eq!(set(text).unwrap().resolve(last), ranges, "{text} of {last:?}");
        };
        check("2,4:7,9,12:*", Some(15), &[(2, 2), (4, 7), (9, 9), (12, 15)]);
        check("*:4,7", Some(5), &[(4, 5), (7, 7)]);
        check("5:2,1,3:9", Some(9), &[(1, 9)]);
        check("4294967295:*", Some(3), &[(3, u32::MAX)]);
        check("*", Some(3), &[(3, 3)]);
        check("1:*", None, &[]);
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for bad in ["", "0", "1:0", "1,", ",1", "1:2:3", "4294967296", "a", "1 2", "-1", "**"] {
            assert!(set(bad).is_err(), "{bad}");
        }
        assert_eq!(set("$"), Ok(SequenceSet::Saved));
        assert!(set(&vec!["1"; MAX_RANGES + 1].join(",")).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(numbers in proptest::collection::btree_set(1_u32..60, 1..30)) {
            let text = Ranges(numbers.iter().copied()).to_string();
            let ranges = set(&text).unwrap().resolve(Some(u32::MAX));
            let again: Vec<u32> = ranges.into_iter().flat_map(|(start, end)| start..=end).collect();
            prop_assert_eq!(again, numbers.into_iter().collect::<Vec<_>>());
        }
    }
}
