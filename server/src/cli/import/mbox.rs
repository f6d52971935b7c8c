//! mbox files (RFC 4155): mails that each begin with a line `From `; `>From ` at the beginning of a line stands for
//! `From ` (mboxrd).

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::Context as _;
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};
use types::Timestamp;

use super::{Found, Mails, flags};

/// The mails of a file, and its size.
pub(super) fn open(path: &Path) -> anyhow::Result<(Mails, u64)> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let about = file.metadata()?;
    let fallback = about.modified().ok().map(|time| Timestamp::from(OffsetDateTime::from(time)));
    Ok((Box::new(Mbox::new(BufReader::with_capacity(1 << 20, file), fallback)), about.len()))
}

struct Mbox<R> {
    reader: R,
    /// The `From ` line of the mail that comes next.
    begins: Option<Vec<u8>>,
    started: bool,
    /// For mails that say nowhere when they are from.
    fallback: Option<Timestamp>,
}

impl<R: BufRead> Mbox<R> {
    fn new(reader: R, fallback: Option<Timestamp>) -> Self {
        Self { reader, begins: None, started: false, fallback }
    }

    fn line(&mut self) -> std::io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        Ok(line)
    }

    fn mail(&mut self) -> anyhow::Result<Option<Found>> {
        if !self.started {
            self.started = true;
            let first = self.line()?;
            if first.is_empty() {
                return Ok(None);
            }
            anyhow::ensure!(
                first.starts_with(b"From "),
                "this is no mbox file: it does not begin with `From `"
            );
            self.begins = Some(first);
        }
        let Some(begins) = self.begins.take() else { return Ok(None) };
        let mut size_bytes = begins.len() as u64;
        let mut raw = Vec::new();
        let mut after_blank = false;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if after_blank && line.starts_with(b"From ") {
                self.begins = Some(line);
                break;
            }
            size_bytes += line.len() as u64;
            after_blank = line == b"\n" || line == b"\r\n";
            raw.extend_from_slice(unquoted(&line));
        }
        // The blank line before the next `From ` belongs to the file, not to the mail.
        for end in [b"\r\n".as_slice(), b"\n"] {
            if after_blank && raw.ends_with(end) {
                raw.truncate(raw.len() - end.len());
                break;
            }
        }
        let received_at = super::files::time(&raw, time_of(&begins), self.fallback);
        Ok(Some(Found {
            flags: flags::of_header(&raw),
            raw: raw.into(),
            received_at,
            below: Vec::new(),
            size_bytes,
        }))
    }
}

impl<R: BufRead> Iterator for Mbox<R> {
    type Item = anyhow::Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        self.mail().transpose()
    }
}

/// `>From ` without its first `>`, however many there are.
fn unquoted(line: &[u8]) -> &[u8] {
    let rest = line.iter().position(|byte| *byte != b'>').and_then(|at| line.get(at..));
    match (line.strip_prefix(b">"), rest) {
        (Some(inner), Some(rest)) if rest.starts_with(b"From ") => inner,
        _ => line,
    }
}

/// `From alice@demo.test Sat Jan  3 01:05:34 2026`: the time at its end, in UTC.
pub(super) fn time_of(line: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(line).ok()?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|word| word.len() == 8 && word.split(':').count() == 3)?;
    let (month, day, clock) = (words.get(at.checked_sub(2)?)?, words.get(at - 1)?, words.get(at)?);
    let year = words.get(at + 1..)?.iter().find(|word| word.len() == 4 && word.parse::<u16>().is_ok())?;
    let format = format_description!("[month repr:short] [day padding:none] [hour]:[minute]:[second] [year]");
    let time = PrimitiveDateTime::parse(&format!("{month} {day} {clock} {year}"), format).ok()?;
    Some(Timestamp::from(time.assume_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mails(text: &str) -> Vec<(String, Option<String>)> {
        Mbox::new(text.as_bytes(), None)
            .map(|found| found.unwrap())
            .map(|found| {
                let raw = String::from_utf8(found.raw.to_vec()).unwrap();
                (raw, found.received_at.map(|time| time.to_string()))
            })
            .collect()
    }

    #[test]
    fn mails_are_cut_apart_and_unquoted() {
        let text = "From a@b Sat Jan  3 01:05:34 2026\nSubject: 1\n\n>From me\n>>From you\n> From\nFrom here\n\n\
                    From c@d  Sun Jan 11 12:00:00 +0000 2026\nSubject: 2\n\nx\n";
        assert_eq!(
            mails(text),
            [
                (
                    "Subject: 1\n\nFrom me\n>From you\n> From\nFrom here\n".to_owned(),
                    Some("2026-01-03T01:05:34Z".to_owned())
                ),
                ("Subject: 2\n\nx\n".to_owned(), Some("2026-01-11T12:00:00Z".to_owned())),
            ]
        );
        assert_eq!(mails(""), []);
        assert!(Mbox::new("Subject: x\n".as_bytes(), None).next().unwrap().is_err());
    }
}
