//! What Tantivy's index does with its folder; what every index promises is in `conformance`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::error::Error as _;

use search::{Document, Op, Search, TantivySearch};
use tempfile::TempDir;
use types::{AccountId, MessageId, Timestamp, query::Query};

const ALICE: AccountId = AccountId(1);

struct Index {
    folder: TempDir,
    search: TantivySearch,
}

impl Index {
    async fn put(&self, number: u8, text: &str) {
        let document = Document { body: text.into(), ..Document::default() };
        self.search.apply(vec![Op::Put { account: ALICE, id: id(number), document }]).await.unwrap();
    }

    async fn check(&self, query: &str, expected: &[u8]) {
        let parsed = Query::parse(query, Timestamp::default());
        let found = self.search.find(ALICE, &parsed, None, 100).await.unwrap();
        let found: Vec<_> = found.hits.iter().map(|hit| hit.id).collect();
        let expected: Vec<_> = expected.iter().map(|number| id(*number)).collect();
        assert_eq!(found, expected, "{query}");
    }
}

fn id(number: u8) -> MessageId {
    MessageId::at(Timestamp::from_seconds(1_700_000_000), [number; 10])
}

async fn filled() -> Index {
    let folder = tempfile::tempdir().unwrap();
    let opened = TantivySearch::open(&folder.path().join("index")).unwrap();
    assert!(opened.fresh);
    opened.search.accept().unwrap();
    let index = Index { folder, search: opened.search };
    index.put(1, "월간보고서를 보냅니다").await;
    index
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
    index.put(4, "보고서").await;
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
        index.put(1, "new").await;
        drop(index.search);
        assert!(!TantivySearch::open(&path).unwrap().fresh);
    }
}

/// What is wrong, in our words and then in Tantivy's.
fn told(error: &storage::Error) -> (String, String) {
    let ours = error.source().unwrap();
    (ours.to_string(), ours.source().unwrap().to_string())
}

#[tokio::test]
async fn what_is_wrong_with_the_folder_is_said_in_our_words() {
    let Index { folder, search } = filled().await;
    drop(search);
    let path = folder.path().join("index");
    let lock = std::fs::File::create(path.join(".tantivy-writer.lock")).unwrap();
    lock.lock().unwrap();
    let error = TantivySearch::open(&path).err().unwrap();
    assert!(matches!(error, storage::Error::Unavailable(_)), "{error:?}");
    let (ours, theirs) = told(&error);
    assert!(ours.contains(path.to_str().unwrap()) && ours.contains("stop it first"), "{ours}");
    assert!(theirs.contains("lock") && !ours.contains(&theirs), "{ours}: {theirs}");
    drop(lock);

    std::fs::write(path.join("meta.json"), "{").unwrap();
    let error = TantivySearch::size_of(&path).await.unwrap_err();
    assert!(matches!(error, storage::Error::Corrupt(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("is damaged") && text.contains("`magpie index rebuild`"), "{text}");
    assert!(text.contains("meta.json"), "{text}");

    // It is not there, which says nothing of what was written.
    std::fs::remove_file(path.join("meta.json")).unwrap();
    let error = TantivySearch::size_of(&path).await.unwrap_err();
    assert!(matches!(error, storage::Error::Backend(_)), "{error:?}");
    let (ours, theirs) = told(&error);
    assert!(ours.contains("cannot be read or written") && !ours.contains("damaged"), "{ours}");
    assert!(!theirs.is_empty() && !ours.contains(&theirs), "{ours}: {theirs}");
}
