//! Mail to send: like what people get in size and shape, the same in every run.

use std::{
    fmt::Write as _,
    io::{BufWriter, Write},
    path::Path,
};

const WORDS: &[&str] = &[
    "project",
    "meeting",
    "invoice",
    "travel",
    "report",
    "budget",
    "review",
    "release",
    "contract",
    "weekend",
    "회의",
    "보고서",
    "일정",
    "여행",
    "예산",
    "검토",
    "안녕하세요",
    "감사합니다",
    "the",
    "and",
    "about",
    "please",
    "tomorrow",
    "attached",
    "question",
    "update",
    "plan",
    "team",
    "customer",
    "question",
    "draft",
    "design",
    "server",
    "garden",
];

/// A mail of about `size` bytes as it stands after DATA, without the closing dot.
pub(crate) fn plain(from: &str, to: &str, number: usize, size: usize) -> Vec<u8> {
    const LINE: &str = "The quick brown fox jumps over the lazy dog and sends one more mail now ok\r\n";
    let mut text = format!(
        "From: Sender <{from}>\r\nTo: <{to}>\r\nSubject: load message {number}\r\n\
         Date: Tue, 14 Nov 2023 22:13:20 +0900\r\nMessage-ID: <{number}.{size}.{pid}@bench.client>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n",
        pid = std::process::id()
    );
    while text.len() + LINE.len() < size {
        text.push_str(LINE);
    }
    text.into_bytes()
}

/// Writes an mbox of `count` mails in threads of three, with the words that [`query`] looks for.
pub(crate) fn mbox(path: &Path, count: usize) -> anyhow::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for number in 0..count {
        let day = number % 28 + 1;
        let (hour, minute) = (number / 60 % 24, number % 60);
        let sender = number * 7 % 200;
        let mut text = format!(
            "From person{sender}@example.org Tue Nov {day:2} {hour:02}:{minute:02}:00 2023\n\
             From: Person {sender} <person{sender}@example.org>\nTo: m00@bench.local\n\
             Date: {day} Nov 2023 {hour:02}:{minute:02}:00 +0900\nMessage-ID: <{number}@example.org>\n"
        );
        let first = number - number % 3;
        if first != number {
            writeln!(text, "In-Reply-To: <{first}@example.org>")?;
        }
        writeln!(text, "Subject: {} {} {}", word(number), word(number / 3), word(first / 5))?;
        text.push_str(
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n",
        );
        for line in 0..12 {
            for place in 0..10 {
                text.push_str(word(number * 31 + line * 17 + place * place * 5));
                text.push(' ');
            }
            text.push('\n');
        }
        writeln!(text, "number{number}\n")?;
        file.write_all(text.as_bytes())?;
    }
    Ok(file.flush()?)
}

/// The `n`th of a run of searches: common words, rare ones, Korean, and one that hits a single mail.
pub(crate) fn query(n: usize, messages: usize) -> String {
    match n % 4 {
        0 => word(n).to_owned(),
        1 => format!("{} {}", word(n * 3), word(n * 5 + 1)),
        2 => format!("subject:{}", word(n * 7)),
        _ => format!("number{}", n * 97 % messages.max(1)),
    }
}

/// Words by a simple mixing of bits, so that they do not come in order.
fn word(seed: usize) -> &'static str {
    let mixed = seed.wrapping_mul(2_654_435_761) >> 7;
    WORDS.get(mixed % WORDS.len()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_has_the_wanted_size() {
        for size in [2048, 51_200, 512_000] {
            let length = plain("a@example.com", "m00@bench.local", 7, size).len();
            assert!((size - 80..=size).contains(&length), "{length} for {size}");
        }
    }

    #[test]
    fn an_mbox_has_the_wanted_mails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mbox");
        mbox(&path, 100).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("From ")).count(), 100);
        assert!(text.contains(&query(3, 100)));
    }
}
