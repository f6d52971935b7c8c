//! The index as its users see it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use search::{Document, Hits, Op, Search, TantivySearch, decide};
use tempfile::TempDir;
use types::{
    AccountId, MessageId, Timestamp,
    query::{Field, Query},
};

const ALICE: AccountId = AccountId(1);
/// In hexadecimal, alice's number is the beginning of this one.
const BOB: AccountId = AccountId(0x1a);

struct Index {
    folder: TempDir,
    search: TantivySearch,
}

impl Index {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opened = TantivySearch::open(&folder.path().join("index")).unwrap();
        assert!(opened.fresh);
        opened.search.accept().unwrap();
        Self { folder, search: opened.search }
    }

    async fn put(&self, account: AccountId, documents: &[(u32, Document)]) {
        let put = |(number, document): &(u32, Document)| Op::Put {
            account,
            id: id(*number),
            document: document.clone(),
        };
        self.search.apply(documents.iter().map(put).collect()).await.unwrap();
    }

    async fn find(&self, account: AccountId, query: &Query) -> Vec<u32> {
        let found = self.search.find(account, query, None, 100).await.unwrap();
        assert_eq!(found.total, found.hits.len() as u64);
        numbers(&found)
    }

    async fn check(&self, query: &str, expected: &[u32]) {
        let parsed = Query::parse(query, Timestamp::default());
        assert_eq!(self.find(ALICE, &parsed).await, expected, "{query}");
    }
}

fn id(number: u32) -> MessageId {
    MessageId::at(Timestamp::from_seconds(1_700_000_000 + i64::from(number)), [7; 10])
}

fn numbers(found: &Hits) -> Vec<u32> {
    let all = 0..20_000_u32;
    found.hits.iter().map(|hit| all.clone().find(|number| id(*number) == hit.id).unwrap()).collect()
}

fn body(text: &str) -> Document {
    Document { body: text.into(), ..Document::default() }
}

async fn filled() -> Index {
    let index = Index::new();
    let report = Document {
        from: "김민수 <minsu@example.kr>".into(),
        to: "Alice Smith <alice@demo.test>, bob@demo.test".into(),
        subject: "월간보고서를 보냅니다".into(),
        body: "첨부 파일을 확인하세요. 会議の資料 和 会议纪要".into(),
        filenames: vec!["2026년_예산안(최종).xlsx".into(), "Invoice-4711.pdf".into()],
    };
    let meeting = Document {
        from: "Zoë Müller <zoe@example.com>".into(),
        to: "alice@demo.test".into(),
        subject: "Meeting notes".into(),
        body: "The annual report is late. مرحبا بالعالم 🎉".into(),
        filenames: vec![],
    };
    index.put(ALICE, &[(1, report), (2, meeting), (3, body("report annual, reported annually"))]).await;
    index
}

#[tokio::test]
async fn finds_words_in_every_script() {
    let index = filled().await;
    for (query, expected) in [
        ("보고서", &[1][..]),
        ("보고", &[1]),
        ("서", &[1]),
        ("월간보고서를", &[1]),
        ("보서", &[]),
        ("会議", &[1]),
        ("会议", &[1]),
        ("議", &[1]),
        ("料", &[1]),
        ("مرحبا", &[2]),
        ("🎉", &[2]),
        ("👍", &[]),
        ("meet", &[2]),
        ("MEETING", &[2]),
        ("eeting", &[]),
        ("zoe", &[2]),
        ("muller", &[2]),
        ("Müller", &[2]),
        ("report", &[3, 2]),
        ("", &[3, 2, 1]),
        ("!?", &[3, 2, 1]),
    ] {
        index.check(query, expected).await;
    }
}

#[tokio::test]
async fn finds_phrases_fields_and_parts() {
    let index = filled().await;
    for (query, expected) in [
        ("\"annual report\"", &[2][..]),
        ("\"report annual\"", &[3]),
        ("\"annual rep\"", &[]),
        ("alice@demo.test", &[2, 1]),
        ("bob@demo.te", &[1]),
        ("bob@demo.example", &[]),
        ("from:example", &[2, 1]),
        ("from:example.kr", &[1]),
        ("to:bob", &[1]),
        ("from:bob", &[]),
        ("subject:보고서", &[1]),
        ("subject:meeting", &[2]),
        ("subject:annual", &[]),
        ("filename:invoice", &[1]),
        ("filename:4711.pdf", &[1]),
        ("예산안", &[1]),
        ("2026년", &[1]),
        ("\"2026년 예산\"", &[1]),
        ("Invoice-4711", &[1]),
    ] {
        index.check(query, expected).await;
    }
    assert_eq!(index.find(ALICE, &Query::Text(Field::Body, "annual".into())).await, [3, 2]);
}

#[tokio::test]
async fn combines_conditions_and_relaxes_what_it_does_not_know() {
    let index = filled().await;
    for (query, expected) in [
        ("annual -meeting", &[3][..]),
        ("-annual", &[1]),
        ("-annual -보고서", &[]),
        ("meeting OR 보고서", &[2, 1]),
        ("-annual OR meeting", &[2, 1]),
        ("(meeting OR reported) annual", &[3, 2]),
        ("-(meeting OR reported)", &[1]),
        // Not texts: they rule nothing out by themselves.
        ("is:unread", &[3, 2, 1]),
        ("-is:unread", &[3, 2, 1]),
        ("annual is:unread", &[3, 2]),
        ("annual -is:unread", &[3, 2]),
        ("meeting OR is:unread", &[3, 2, 1]),
        ("-(annual is:unread)", &[3, 2, 1]),
        ("-(annual OR is:unread)", &[1]),
        ("-(annual OR -is:unread)", &[1]),
        ("-(-annual is:unread) in:inbox", &[3, 2, 1]),
        ("annual -!!", &[3, 2]),
        ("meeting OR !!", &[2]),
    ] {
        index.check(query, expected).await;
    }
}

#[tokio::test]
async fn says_which_texts_each_hit_has() {
    let index = filled().await;
    let query = Query::parse("(annual is:unread) OR -(report OR meeting) OR 서", Timestamp::default());
    let found = index.search.find(ALICE, &query, None, 10).await.unwrap();
    let texts: Vec<_> = found.hits.iter().map(|hit| hit.texts.as_slice()).collect();
    assert_eq!(texts, [[true, true, false, false], [true, true, true, false], [false, false, false, true]]);
    let read: Vec<_> = found.hits.iter().filter(|hit| decide(&query, &hit.texts, &mut |_| false)).collect();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].id, id(1));
}

#[tokio::test]
async fn accounts_never_meet() {
    let index = filled().await;
    index.put(BOB, &[(2, body("secret annual report 보고서")), (9, body("a:secret 1a:annual"))]).await;
    let queries = [
        "",
        "secret",
        "annual",
        "\"annual report\"",
        "보고서",
        "보",
        "-secret",
        "-annual",
        "a",
        "1a",
        "is:unread",
        "a:secret",
        "secret OR annual",
        "annual@repo",
        "-is:unread",
        "-(secret is:unread)",
        "!!",
    ];
    for query in queries {
        let parsed = Query::parse(query, Timestamp::default());
        let own = index.find(ALICE, &parsed).await;
        assert!(own.iter().all(|number| [1, 2, 3].contains(number)), "{query}: {own:?}");
        assert!(index.find(BOB, &parsed).await.iter().all(|number| [2, 9].contains(number)), "{query}");
        assert_eq!(index.find(AccountId(2), &parsed).await, [0; 0], "{query}");
    }
    index.check("secret", &[]).await;
    // The same id in another account is another message.
    index.search.apply(vec![Op::Remove { account: BOB, id: id(2) }]).await.unwrap();
    index.check("annual", &[3, 2]).await;
    index.search.forget(ALICE).await.unwrap();
    index.check("", &[]).await;
    assert_eq!(index.find(BOB, &Query::And(vec![])).await, [9]);
}

#[tokio::test]
async fn replaces_removes_and_adds_again() {
    let index = Index::new();
    index.put(ALICE, &[(1, body("one")), (1, body("two")), (2, body("two"))]).await;
    index.check("one", &[]).await;
    index.check("two", &[2, 1]).await;
    index.put(ALICE, &[(1, body("three"))]).await;
    index.check("two", &[2]).await;
    let remove = Op::Remove { account: ALICE, id: id(1) };
    let again = Op::Put { account: ALICE, id: id(1), document: body("four") };
    for _ in 0..2 {
        index.search.apply(vec![remove.clone()]).await.unwrap();
        index.check("three OR four", &[]).await;
        index.search.apply(vec![remove.clone(), again.clone()]).await.unwrap();
        index.check("four", &[1]).await;
    }
    index.search.apply(vec![again, remove]).await.unwrap();
    index.check("", &[2]).await;
}

#[tokio::test]
async fn keeps_everything_over_a_restart() {
    let index = filled().await;
    let path = index.folder.path().join("index");
    assert!(TantivySearch::open(&path).is_err(), "it is open already");
    drop(index.search);
    let opened = TantivySearch::open(&path).unwrap();
    assert!(!opened.fresh);
    let index = Index { folder: index.folder, search: opened.search };
    index.check("보고서", &[1]).await;
    index.put(ALICE, &[(4, body("보고서"))]).await;
    index.check("보고서", &[4, 1]).await;
}

#[tokio::test]
async fn an_unusable_index_is_set_aside() {
    type Damage = fn(&std::path::Path);
    let damages: [Damage; 4] = [
        |path| std::fs::write(path.join("magpie-version"), "0\n").unwrap(),
        |path| std::fs::remove_file(path.join("magpie-version")).unwrap(),
        |path| std::fs::write(path.join("meta.json"), "{").unwrap(),
        |path| {
            for file in std::fs::read_dir(path).unwrap().map(|file| file.unwrap().path()) {
                if file.extension().is_some_and(|kind| kind == "term" || kind == "fast") {
                    std::fs::write(file, "x").unwrap();
                }
            }
        },
    ];
    for (case, damage) in damages.into_iter().enumerate() {
        let Index { folder, search } = filled().await;
        drop(search);
        let path = folder.path().join("index");
        damage(&path);
        // It stays fresh until it was accepted.
        for _ in 0..2 {
            assert!(TantivySearch::open(&path).unwrap().fresh, "case {case}");
        }
        assert!(folder.path().join("index.old").exists());
        let opened = TantivySearch::open(&path).unwrap();
        opened.search.accept().unwrap();
        let index = Index { folder, search: opened.search };
        index.check("", &[]).await;
        index.put(ALICE, &[(1, body("new"))]).await;
        drop(index.search);
        assert!(!TantivySearch::open(&path).unwrap().fresh);
    }
}

#[tokio::test]
async fn pages_through_ten_thousand() {
    let index = Index::new();
    let documents: Vec<_> = (0..10_000_u32)
        .map(|number| (number * 7_919 % 10_000, body(if number % 3 == 0 { "회의록 three" } else { "other" })))
        .collect();
    for batch in documents.chunks(1_500) {
        index.put(ALICE, batch).await;
    }
    let mut expected: Vec<_> = documents
        .iter()
        .filter(|(_, document)| document.body != "other")
        .map(|(number, _)| id(*number))
        .collect();
    expected.sort_by(|one, other| other.cmp(one));
    for query in ["thr", "회의록", "의", "-other", "three OR 회의"] {
        let query = Query::parse(query, Timestamp::default());
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let page = index.search.find(ALICE, &query, before, 700).await.unwrap();
            assert_eq!(page.total, 3_334);
            all.extend(page.hits.iter().map(|hit| hit.id));
            before = all.last().copied();
            if !page.more {
                break;
            }
            assert_eq!(page.hits.len(), 700);
        }
        assert_eq!(all, expected);
    }
    let none = index.search.find(ALICE, &Query::And(vec![]), None, 0).await.unwrap();
    assert_eq!((none.hits.len(), none.total, none.more), (0, 10_000, true));
}

/// Words that share beginnings and characters.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["[ab]{1,2}", "[가나]{1,3}"], 1..4).prop_map(|words| words.join(" "))
}

fn query() -> impl Strategy<Value = Query> {
    let leaf = prop_oneof![
        4 => text().prop_map(|text| Query::Text(Field::Any, text)),
        1 => Just(Query::Unread),
        1 => Just(Query::Text(Field::Any, "!".into())),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Query::And),
            proptest::collection::vec(inner.clone(), 1..3).prop_map(Query::Or),
            inner.prop_map(|one| Query::Not(Box::new(one))),
        ]
    })
}

/// Whether the text is found, by comparing strings.
fn naive_text(document: &str, text: &str) -> bool {
    let quoted = text.contains(' ');
    let words: Vec<&str> = text.split(' ').collect();
    let (haystack, last) = (document.split(' ').collect::<Vec<_>>(), words.len() - 1);
    haystack.windows(words.len()).any(|window| {
        window.iter().zip(&words).enumerate().all(|(index, (have, want))| {
            let latin = want.starts_with(['a', 'b']);
            let (first, end) = (index == 0, index == last);
            match (latin, first, end) {
                (true, _, true) if !quoted => have.starts_with(want),
                (true, ..) => have == want,
                (false, true, true) => have.contains(want),
                (false, true, false) => have.ends_with(want),
                (false, false, true) => have.starts_with(want),
                (false, false, false) => have == want,
            }
        })
    })
}

fn naive(document: &str, unread: bool, query: &Query) -> Option<bool> {
    match query {
        Query::And(all) => {
            let each: Vec<_> = all.iter().filter_map(|one| naive(document, unread, one)).collect();
            (all.is_empty() || !each.is_empty()).then(|| each.iter().all(|held| *held))
        }
        Query::Or(any) => {
            let each: Vec<_> = any.iter().filter_map(|one| naive(document, unread, one)).collect();
            (!each.is_empty()).then(|| each.iter().any(|held| *held))
        }
        Query::Not(one) => naive(document, unread, one).map(|held| !held),
        Query::Text(_, text) => (text != "!").then(|| naive_text(document, text)),
        _ => Some(unread),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hits_that_are_decided_are_those_of_a_naive_search(
        documents in proptest::collection::vec(text(), 1..12),
        queries in proptest::collection::vec(query(), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let index = Index::new();
            let documents_of = |range: std::ops::Range<usize>| -> Vec<_> {
                range.map(|number| (u32::try_from(number).unwrap(), body(&documents[number]))).collect()
            };
            let half = documents.len() / 2;
            index.put(ALICE, &documents_of(0..half)).await;
            index.put(BOB, &documents_of(0..documents.len())).await;
            index.put(ALICE, &documents_of(half..documents.len())).await;
            for query in &queries {
                let unread = |number: u32| number.is_multiple_of(2);
                let mut decided = Vec::new();
                let mut before = None;
                loop {
                    let page = index.search.find(ALICE, query, before, 4).await.unwrap();
                    for (hit, number) in page.hits.iter().zip(numbers(&page)) {
                        before = Some(hit.id);
                        if decide(query, &hit.texts, &mut |_| unread(number)) {
                            decided.push(number);
                        }
                    }
                    if !page.more {
                        break;
                    }
                }
                let mut wanted: Vec<u32> = (0..)
                    .zip(&documents)
                    .filter(|(number, text)| naive(text, unread(*number), query).unwrap_or(true))
                    .map(|(number, _)| number)
                    .collect();
                wanted.reverse();
                assert_eq!(decided, wanted, "{query:?} in {documents:?}");
            }
        });
    }
}
