//! Measures an index: `measure tantivy:FOLDER|meilisearch://... [DOCUMENTS] [BATCH]` adds so many documents (100,000) of
//! 100 accounts in batches (of 1,000), then searches.
//!
//! Texts are made up: words and their frequencies as in a natural language, a tenth of them Korean.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool for developers")]

use std::{env, path::Path, time::Instant};

use search::{Document, MeiliSearch, Op, Search, TantivySearch};
use types::{AccountId, MessageId, Timestamp, query::Query};

const ACCOUNTS: u64 = 100;
const WORDS: u64 = 120;
const VOCABULARY: u64 = 50_000;
const SEARCHES: usize = 200;

#[tokio::main]
async fn main() {
    let url = env::args().nth(1).unwrap();
    let documents: u64 = env::args().nth(2).map_or(100_000, |number| number.parse().unwrap());
    let batch: u64 = env::args().nth(3).map_or(1_000, |number| number.parse().unwrap());
    let search: Box<dyn Search> = match url.strip_prefix("tantivy:") {
        Some(folder) => {
            let opened = TantivySearch::open(Path::new(folder)).unwrap();
            if opened.fresh {
                opened.search.accept().unwrap();
            }
            Box::new(opened.search)
        }
        None => {
            let opened = MeiliSearch::open(&url.parse().unwrap()).await.unwrap();
            if opened.fresh {
                opened.search.accept().await.unwrap();
            }
            Box::new(opened.search)
        }
    };
    let there = search.size().await.unwrap().documents;
    let mut random = Random(there);
    let begin = Instant::now();
    let mut slowest = 0.0_f64;
    for (index, first) in (0..documents).step_by(usize::try_from(batch).unwrap()).enumerate() {
        let one = Instant::now();
        let last = documents.min(first + batch);
        search
            .apply((there + first..there + last).map(|number| put(number, &mut random)).collect())
            .await
            .unwrap();
        slowest = slowest.max(one.elapsed().as_secs_f64());
        if (index + 1).is_multiple_of(10) {
            println!("{last} documents: {:.0}/s", last as f64 / begin.elapsed().as_secs_f64());
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "indexed {documents} in {seconds:.1} s, {:.0}/s; slowest batch {slowest:.2} s",
        documents as f64 / seconds
    );
    println!("{:?}", search.size().await.unwrap());
    let word = |rank| latin(rank);
    for (what, query) in [
        ("common word", word(3)),
        ("rare word", word(20_000)),
        ("beginning", word(3)[..2].to_owned()),
        ("two words", format!("{} {}", word(5), word(300))),
        ("phrase of two", format!("\"{} {}\"", word(1), word(2))),
        ("Korean", hangul(7)),
        ("without", format!("{} -{}", word(4), word(30))),
        ("either", format!("{} OR {}", word(400), word(500))),
        ("common word, unread", format!("{} is:unread", word(3))),
    ] {
        let parsed = Query::parse(&query, Timestamp::default());
        let mut times = Vec::new();
        let mut total = 0;
        for number in 0..SEARCHES {
            let account = AccountId(i64::try_from(number as u64 % ACCOUNTS).unwrap() + 1);
            let one = Instant::now();
            total += search.find(account, &parsed, None, 50).await.unwrap().total;
            times.push(one.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("{what}: p50 {p50:.2} ms, p99 {p99:.2} ms, {:.0} hits", total as f64 / SEARCHES as f64);
    }
}

fn put(number: u64, random: &mut Random) -> Op {
    let id = MessageId::at(Timestamp::from_seconds(1_700_000_000 + i64::try_from(number).unwrap()), [1; 10]);
    let mut text = |words: u64| (0..words).map(|_| word(random)).collect::<Vec<_>>().join(" ");
    let document = Document {
        subject: text(6),
        body: text(WORDS),
        from: format!("{} <{}@example.com>", text(2), text(1)),
        to: "alice@demo.test".into(),
        filenames: Vec::new(),
    };
    Op::Put { account: AccountId(i64::try_from(number % ACCOUNTS).unwrap() + 1), id, document }
}

fn word(random: &mut Random) -> String {
    // Zipf's law, nearly: the logarithm of the rank is even.
    let even = random.next() as f64 / u64::MAX as f64;
    let rank = (VOCABULARY as f64).powf(even) as u64;
    if random.next().is_multiple_of(10) { hangul(rank) } else { latin(rank) }
}

fn latin(rank: u64) -> String {
    let mut seed = Random(rank + 77);
    (0..3 + seed.next() % 7).map(|_| char::from(b'a' + u8::try_from(seed.next() % 26).unwrap())).collect()
}

fn hangul(rank: u64) -> String {
    let mut seed = Random(rank + 99);
    (0..2 + seed.next() % 4)
        .map(|_| char::from_u32(0xac00 + u32::try_from(seed.next() % 2_000).unwrap()).unwrap())
        .collect()
}

/// A sequence that is the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
