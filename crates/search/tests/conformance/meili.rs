//! The suite on a real MeiliSearch, where there is one.

use std::{
    env, process,
    sync::atomic::{AtomicU32, Ordering},
};

use meilisearch_sdk::client::Client;
use search::{MeiliSearch, MeiliUrl, Search};

use crate::{Fixture, conformance};

pub(crate) struct Meili {
    search: MeiliSearch,
    url: MeiliUrl,
    client: Client,
    index: String,
}

/// Where the MeiliSearch for tests is; says that the test is skipped if there is none.
pub(crate) fn url() -> Option<String> {
    let url = env::var("MAGPIE_TEST_MEILI_URL").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        eprintln!("SKIPPED, NOT TESTED: MeiliSearch (MAGPIE_TEST_MEILI_URL is not set)");
    }
    url
}

impl Meili {
    pub(crate) async fn uids(&self) -> Vec<String> {
        let all = self.client.list_all_indexes().await.unwrap();
        all.results.into_iter().map(|index| index.uid).filter(|uid| uid.starts_with(&self.index)).collect()
    }
}

impl Fixture for Meili {
    async fn open() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let given = url()?;
        let index = format!("test-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let joint = if given.contains('?') { '&' } else { '?' };
        let url: MeiliUrl = format!("{given}{joint}index={index}").parse().unwrap();
        let opened = MeiliSearch::open(&url).await.unwrap();
        assert!(opened.fresh);
        opened.search.accept().await.unwrap();
        // The client that tidies up: the adapter has no use for removing what it searches.
        let (place, key) = given.split_once("?key=").unwrap_or((&given, ""));
        let host = place.replacen("meilisearch", "http", 1);
        let client = Client::new(host, Some(key)).unwrap();
        Some(Self { search: opened.search, url, client, index })
    }

    fn search(&self) -> &dyn Search {
        &self.search
    }

    async fn close(self) {
        for uid in self.uids().await {
            self.client.delete_index(uid).await.unwrap();
        }
    }
}

conformance!(Meili);

/// Its output is shown also when all is well.
#[tokio::test]
async fn is_tested() {
    if let Some(meili) = Meili::open().await {
        eprintln!("TESTED: MeiliSearch {}", meili.client.get_version().await.unwrap().pkg_version);
        meili.close().await;
    }
}

#[tokio::test]
async fn opens_what_was_accepted_and_mends_its_settings() {
    let Some(meili) = Meili::open().await else { return };
    let uid = meili.uids().await.remove(0);
    let index = meili.client.index(&uid);
    let task = index.set_ranking_rules(["words"]).await.unwrap();
    task.wait_for_completion(&meili.client, None, None).await.unwrap();
    let opened = MeiliSearch::open(&meili.url).await.unwrap();
    assert!(!opened.fresh);
    assert_eq!(index.get_ranking_rules().await.unwrap(), ["sort"]);
    // Accepting again, as another node may at the same time, loses nothing.
    crate::suite::put(&opened.search, crate::suite::ALICE, &[(1, crate::suite::body("kept"))]).await;
    opened.search.accept().await.unwrap();
    assert_eq!(opened.search.size().await.unwrap().documents, 1);
    meili.close().await;
}

#[tokio::test]
async fn searches_show_nothing_but_ids() {
    let Some(meili) = Meili::open().await else { return };
    crate::suite::put(&meili.search, crate::suite::ALICE, &[(1, crate::suite::body("secret"))]).await;
    let uid = meili.uids().await.remove(0);
    let index = meili.client.index(&uid);
    let shown = index.search().execute::<serde_json::Value>().await.unwrap();
    assert_eq!(shown.hits.len(), 1);
    for document in shown.hits.iter().map(|hit| &hit.result) {
        let fields: Vec<_> = document.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["id"]);
    }
    meili.close().await;
}

#[tokio::test]
async fn an_index_that_was_lost_is_not_written() {
    let Some(meili) = Meili::open().await else { return };
    let uid = meili.uids().await.remove(0);
    let task = meili.client.delete_index(&uid).await.unwrap();
    task.wait_for_completion(&meili.client, None, None).await.unwrap();
    let put = crate::suite::put_ops(crate::suite::ALICE, &[(1, crate::suite::body("x"))]);
    let error = meili.search.apply(put).await.unwrap_err();
    assert!(format!("{:?}", error).contains("index rebuild"), "{error:?}");
    assert_eq!(meili.uids().await, [""; 0]);
    meili.close().await;
}

#[tokio::test]
async fn a_newer_index_and_a_wrong_key_are_refused() {
    let Some(meili) = Meili::open().await else { return };
    let newer = format!("{}-v99", meili.index);
    let task = meili.client.create_index(&newer, None).await.unwrap();
    task.wait_for_completion(&meili.client, None, None).await.unwrap();
    let error = MeiliSearch::open(&meili.url).await.err().unwrap().to_string();
    assert!(error.contains(&newer) && error.contains("newer version of Magpie"), "{error}");
    let given = url().unwrap();
    let wrong = given.replacen("key=", "key=wrong", 1).parse().unwrap();
    let error = MeiliSearch::open(&wrong).await.err().unwrap().to_string();
    assert!(error.contains("does not accept the key") && !error.contains("wrong"), "{error}");
    let none: MeiliUrl = given.split_once('?').unwrap().0.parse().unwrap();
    let error = MeiliSearch::open(&none).await.err().unwrap().to_string();
    assert!(error.contains("does not accept the key"), "{error}");
    meili.close().await;
}
