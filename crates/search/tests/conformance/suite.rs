//! The tests. Each is given an empty index.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use search::{Document, Hits, Op, Search, decide, texts};
use types::{
    AccountId, MessageId, Timestamp,
    query::{Field, Query},
};

use crate::model;

pub(crate) const ALICE: AccountId = AccountId(1);
/// In hexadecimal, alice's number is the beginning of this one.
const BOB: AccountId = AccountId(0x1a);

pub(crate) fn id(number: u32) -> MessageId {
    MessageId::at(Timestamp::from_seconds(1_700_000_000 + i64::from(number)), [7; 10])
}

pub(crate) fn body(text: &str) -> Document {
    Document { body: text.into(), ..Document::default() }
}

pub(crate) fn put_ops(account: AccountId, documents: &[(u32, Document)]) -> Vec<Op> {
    let put = |(number, document): &(u32, Document)| Op::Put {
        account,
        id: id(*number),
        document: document.clone(),
    };
    documents.iter().map(put).collect()
}

pub(crate) async fn put(search: &dyn Search, account: AccountId, documents: &[(u32, Document)]) {
    search.apply(put_ops(account, documents)).await.unwrap();
}

fn numbers(found: &Hits) -> Vec<u32> {
    let all: BTreeMap<_, _> = (0..10_000).map(|number| (id(number), number)).collect();
    found.hits.iter().map(|hit| all[&hit.id]).collect()
}

fn parsed(query: &str) -> Query {
    Query::parse(query, Timestamp::default())
}

async fn find(search: &dyn Search, account: AccountId, query: &Query) -> Vec<u32> {
    let found = search.find(account, query, None, 100).await.unwrap();
    assert_eq!(found.total, found.hits.len() as u64);
    assert!(!found.more);
    numbers(&found)
}

async fn check(search: &dyn Search, query: &str, expected: &[u32]) {
    assert_eq!(find(search, ALICE, &parsed(query)).await, expected, "{query}");
}

/// What is found and stays once the messages were asked where the index was not sure.
async fn decided(
    search: &dyn Search,
    account: AccountId,
    query: &Query,
    documents: &BTreeMap<u32, Document>,
    unread: impl Fn(u32) -> bool,
) -> Vec<u32> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = search.find(account, query, before, 4).await.unwrap();
        for (hit, number) in page.hits.iter().zip(numbers(&page)) {
            before = Some(hit.id);
            let read = || texts(&documents[&number], query);
            let texts = hit.texts.clone().unwrap_or_else(read);
            if decide(query, &texts, &mut |_| unread(number)) {
                all.push(number);
            }
        }
        if !page.more {
            return all;
        }
    }
}

async fn fill(search: &dyn Search) {
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
    put(search, ALICE, &[(1, report), (2, meeting), (3, body("report annual, reported annually"))]).await;
}

pub(crate) async fn finds_words_in_every_script(search: &dyn Search) {
    fill(search).await;
    for (query, expected) in [
        ("보고서", &[1][..]),
        ("보고", &[1]),
        ("서", &[1]),
        ("월간보고", &[1]),
        ("보서", &[]),
        ("会議", &[1]),
        ("会议", &[1]),
        ("議", &[1]),
        ("料", &[1]),
        ("مرحبا", &[2]),
        ("بالعا", &[2]),
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
        check(search, query, expected).await;
    }
}

pub(crate) async fn finds_phrases_fields_and_parts(search: &dyn Search) {
    fill(search).await;
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
        check(search, query, expected).await;
    }
    assert_eq!(find(search, ALICE, &Query::Text(Field::Body, "annual".into())).await, [3, 2]);
}

pub(crate) async fn finds_phrases_of_any_length(search: &dyn Search) {
    let documents = BTreeMap::from([
        (1, body("one two three four five six seven eight nine ten eleven twelve thirteen")),
        // Each three words that follow each other are there, but not all in a row.
        (2, body("one two three. two three four. three four five")),
        (3, body("가나다라마바사아자차카타파하")),
        (4, body("가나다라 나다라마 다라마바")),
    ]);
    let all: Vec<_> = documents.clone().into_iter().collect();
    put(search, ALICE, &all).await;
    for (query, expected) in [
        ("\"one two three four five six seven eight nine ten eleven twelve thirteen\"", &[1][..]),
        ("\"one two three four\"", &[1]),
        ("\"two three four\"", &[2, 1]),
        ("-\"one two three four\"", &[4, 3, 2]),
        ("\"one two three four\" OR 하", &[3, 1]),
        ("one.two.three.fo", &[1]),
        ("가나다라마바사아자차카타파하", &[3]),
        ("가나다라마", &[3]),
        ("나다라마", &[4, 3]),
        ("-가나다라마", &[4, 2, 1]),
    ] {
        assert_eq!(decided(search, ALICE, &parsed(query), &documents, |_| false).await, expected, "{query}");
    }
}

pub(crate) async fn combines_conditions_and_relaxes_what_it_does_not_know(search: &dyn Search) {
    fill(search).await;
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
        check(search, query, expected).await;
    }
}

pub(crate) async fn says_which_texts_each_hit_has(search: &dyn Search) {
    fill(search).await;
    let query = parsed("(annual is:unread) OR -(report OR meeting) OR 서");
    let found = search.find(ALICE, &query, None, 10).await.unwrap();
    let texts: Vec<_> = found.hits.iter().map(|hit| hit.texts.as_deref().unwrap()).collect();
    assert_eq!(texts, [[true, true, false, false], [true, true, true, false], [false, false, false, true]]);
    let read = |hit: &&search::Hit| decide(&query, hit.texts.as_deref().unwrap(), &mut |_| false);
    let read: Vec<_> = found.hits.iter().filter(read).map(|hit| hit.id).collect();
    assert_eq!(read, [id(1)]);
}

pub(crate) async fn keeps_accounts_apart(search: &dyn Search) {
    fill(search).await;
    put(search, BOB, &[(2, body("secret annual report 보고서")), (9, body("a:secret 1a:annual"))]).await;
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
        let parsed = parsed(query);
        let own = find(search, ALICE, &parsed).await;
        assert!(own.iter().all(|number| [1, 2, 3].contains(number)), "{query}: {own:?}");
        assert!(find(search, BOB, &parsed).await.iter().all(|number| [2, 9].contains(number)), "{query}");
        assert_eq!(find(search, AccountId(2), &parsed).await, [0; 0], "{query}");
        assert_eq!(find(search, AccountId(i64::MAX), &parsed).await, [0; 0], "{query}");
    }
    check(search, "secret", &[]).await;
    // The same id in another account is another message.
    search.apply(vec![Op::Remove { account: BOB, id: id(2) }]).await.unwrap();
    check(search, "annual", &[3, 2]).await;
}

pub(crate) async fn takes_no_text_for_syntax(search: &dyn Search) {
    put(search, ALICE, &[(1, body("mine"))]).await;
    put(search, BOB, &[(2, body("yours account 1a"))]).await;
    for text in [
        "' OR account = '000000000000001a",
        "') OR (account EXISTS",
        "' OR id EXISTS OR words = '",
        "mine' OR 'a' = 'a",
        "\\' OR account != '",
        "\" OR account = \"000000000000001a",
        "yours",
        "1a.b.yours",
        ".b.yours",
        "*",
        "y*",
        "[yours]",
        "account:26",
        "yours\0mine",
        "\u{202e}yours",
    ] {
        for field in [Field::Any, Field::Body, Field::Subject] {
            let query = Query::Or(vec![
                Query::Text(field, text.into()),
                Query::Not(Box::new(Query::Text(field, text.into()))),
            ]);
            assert!(find(search, ALICE, &query).await.iter().all(|number| *number == 1), "{text}");
            let query = Query::Text(field, text.into());
            assert!(find(search, ALICE, &query).await.iter().all(|number| *number == 1), "{text}");
        }
    }
}

pub(crate) async fn replaces_removes_and_adds_again(search: &dyn Search) {
    put(search, ALICE, &[(1, body("one")), (1, body("two")), (2, body("two"))]).await;
    check(search, "one", &[]).await;
    check(search, "two", &[2, 1]).await;
    put(search, ALICE, &[(1, body("three"))]).await;
    check(search, "two", &[2]).await;
    let remove = Op::Remove { account: ALICE, id: id(1) };
    let again = Op::Put { account: ALICE, id: id(1), document: body("four") };
    for _ in 0..2 {
        search.apply(vec![remove.clone()]).await.unwrap();
        check(search, "three OR four", &[]).await;
        search.apply(vec![remove.clone(), again.clone()]).await.unwrap();
        check(search, "four", &[1]).await;
    }
    search.apply(vec![again, remove]).await.unwrap();
    check(search, "", &[2]).await;
    search.apply(Vec::new()).await.unwrap();
    assert_eq!(search.size().await.unwrap().documents, 1);
}

pub(crate) async fn forgets_an_account(search: &dyn Search) {
    put(search, ALICE, &[(1, body("x")), (2, Document::default())]).await;
    put(search, BOB, &[(1, body("x"))]).await;
    search.forget(ALICE).await.unwrap();
    check(search, "", &[]).await;
    check(search, "x", &[]).await;
    assert_eq!(find(search, BOB, &Query::And(vec![])).await, [1]);
    search.forget(ALICE).await.unwrap();
    put(search, ALICE, &[(3, body("x"))]).await;
    check(search, "x", &[3]).await;
}

pub(crate) async fn pages_through_thousands(search: &dyn Search) {
    const ALL: u32 = 3_000;
    let documents: Vec<_> = (0..ALL)
        .map(|number| (number * 7_919 % ALL, body(if number % 3 == 0 { "회의록 three" } else { "other" })))
        .collect();
    for batch in documents.chunks(1_100) {
        put(search, ALICE, batch).await;
    }
    let mut expected: Vec<_> = documents
        .iter()
        .filter(|(_, document)| document.body != "other")
        .map(|(number, _)| id(*number))
        .collect();
    expected.sort_by(|one, other| other.cmp(one));
    for query in ["thr", "회의록", "의", "-other", "three OR 회의"] {
        let query = parsed(query);
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let page = search.find(ALICE, &query, before, 300).await.unwrap();
            assert_eq!(page.total, 1_000);
            all.extend(page.hits.iter().map(|hit| hit.id));
            before = all.last().copied();
            if !page.more {
                break;
            }
            assert_eq!(page.hits.len(), 300);
        }
        assert_eq!(all, expected);
    }
    let none = search.find(ALICE, &Query::And(vec![]), None, 0).await.unwrap();
    assert_eq!((none.hits.len(), none.total, none.more), (0, u64::from(ALL), true));
    let oldest = search.find(ALICE, &Query::And(vec![]), Some(id(0)), 10).await.unwrap();
    assert_eq!((oldest.hits.len(), oldest.total, oldest.more), (0, u64::from(ALL), false));
}

pub(crate) async fn takes_long_texts_whole(search: &dyn Search) {
    let long = format!("{} last", "filler ".repeat(300_000));
    let word = "ж".repeat(1_000);
    let words = format!("{word} {word} {word} {word}");
    put(search, ALICE, &[(1, body(&long)), (2, body(&format!("{long} of all"))), (3, body(&words))]).await;
    for (query, expected) in [
        ("last", &[2, 1][..]),
        ("\"last of all\"", &[2]),
        ("\"filler last\"", &[2, 1]),
        (word.as_str(), &[3]),
        ("жжж", &[3]),
        (&format!("\"{word} {word}\""), &[3]),
    ] {
        check(search, query, expected).await;
    }
}

pub(crate) async fn is_rebuilt_while_it_is_used(search: &dyn Search) {
    put(search, ALICE, &[(1, body("old kept")), (2, body("old lost"))]).await;
    // One that was left is thrown away.
    search.rebuild().await.unwrap().apply(put_ops(ALICE, &[(7, body("left"))])).await.unwrap();
    let next = search.rebuild().await.unwrap();
    next.apply(put_ops(ALICE, &[(1, body("new kept")), (5, body("new removed"))])).await.unwrap();
    put(search, ALICE, &[(3, body("old meanwhile"))]).await;
    check(search, "old", &[3, 2, 1]).await;
    check(search, "new", &[]).await;
    next.apply(vec![Op::Remove { account: ALICE, id: id(5) }]).await.unwrap();
    next.take_over().await.unwrap();
    check(search, "", &[1]).await;
    check(search, "new", &[1]).await;
    put(search, ALICE, &[(3, body("new after"))]).await;
    check(search, "new", &[3, 1]).await;
    let next = search.rebuild().await.unwrap();
    next.apply(put_ops(ALICE, &[(4, body("again"))])).await.unwrap();
    next.take_over().await.unwrap();
    check(search, "", &[4]).await;
}

/// Words that share beginnings and characters.
fn text(words: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["[ab]{1,2}", "[가나]{1,3}"], words)
        .prop_map(|words| words.join(" "))
}

fn query() -> impl Strategy<Value = Query> {
    let leaf = prop_oneof![
        4 => text(1..5).prop_map(|text| Query::Text(Field::Any, text)),
        1 => "[가나]{4,7}".prop_map(|text| Query::Text(Field::Body, text)),
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

/// Each case has accounts of its own, so that few commits are enough for all.
pub(crate) async fn agrees_with_a_naive_search(search: &dyn Search) {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let case = (
        proptest::collection::vec(prop_oneof![text(1..4), text(4..9), "[가나]{4,9}"], 1..12),
        proptest::collection::vec(query(), 1..20),
    );
    let accounts = |case: i64| (AccountId(1_000 + case), AccountId(2_000 + case));
    let (mut cases, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..24 {
        let (texts, queries) = case.new_tree(&mut runner).unwrap().current();
        let all: Vec<_> = (0..).zip(texts.iter().map(|text| body(text))).collect();
        let (mine, yours) = accounts(number);
        let (early, late) = all.split_at(all.len() / 2);
        first.extend(put_ops(mine, early));
        second.extend(put_ops(mine, late));
        first.extend(put_ops(yours, &all));
        cases.push((number, BTreeMap::from_iter(all), queries));
    }
    search.apply(first).await.unwrap();
    search.apply(second).await.unwrap();
    let (even, every) = (|number: u32| number.is_multiple_of(2), |_: u32| true);
    for (number, documents, queries) in &cases {
        let (mine, yours) = accounts(*number);
        for query in queries {
            let expected = |unread: &dyn Fn(u32) -> bool| -> Vec<u32> {
                let fits = |number: u32, document: &Document| {
                    model::fulfils(&document.body, unread(number), query).unwrap_or(true)
                };
                let found = documents.iter().filter(|(number, document)| fits(**number, document));
                found.map(|(number, _)| *number).rev().collect()
            };
            let found = decided(search, mine, query, documents, even).await;
            assert_eq!(found, expected(&even), "{query:?} in {documents:?}");
            let found = decided(search, yours, query, documents, every).await;
            assert_eq!(found, expected(&every), "{query:?} in {documents:?}");
        }
    }
}
