//! What the MeiliSearch adapter makes of a server that fails: one that says what the test wants it to say. (What a
//! MeiliSearch really does is for `conformance`.)

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::VecDeque;

use search::{Document, MeiliSearch, MeiliUrl, Op, Search};
use storage::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use types::{AccountId, MessageId, query::Query};
use uuid::Uuid;

const KEY: &str = "geheim";

/// A server with one answer for each request, by the beginning of "METHOD PATH"; what has none is answered with 404.
struct Fake {
    url: MeiliUrl,
    _tasks: JoinSet<()>,
}

type Answer = (&'static str, u16, &'static str);

impl Fake {
    /// Answers with the first that fits; all but the last that fits are used up.
    async fn new(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("meilisearch://{}?key={KEY}", listener.local_addr().unwrap());
        let answers = std::sync::Arc::new(std::sync::Mutex::new(VecDeque::from(answers.to_vec())));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answers = std::sync::Arc::clone(&answers);
                connections.spawn(async move {
                    let _ = serve(stream, &answers).await;
                });
            }
        });
        Self { url: url.parse().unwrap(), _tasks: tasks }
    }

    async fn opened(answers: &[Answer]) -> (Self, MeiliSearch) {
        let fake = Self::new(&[OPENS, answers].concat()).await;
        let opened = MeiliSearch::open(&fake.url).await.unwrap();
        (fake, opened.search)
    }
}

/// What lets the index be opened, as one that is not there yet.
const OPENS: &[Answer] = &[
    ("GET /health", 200, r#"{"status":"available"}"#),
    ("GET /version", 200, r#"{"commitSha":"","commitDate":"","pkgVersion":"1.50.0"}"#),
    ("GET /indexes?", 200, r#"{"results":[],"offset":0,"limit":10000,"total":0}"#),
    ("GET /indexes/magpie-v3", 200, r#"{"uid":"magpie-v3"}"#),
];

const ADDED: Answer = (
    "POST /indexes/magpie-v3/documents",
    202,
    r#"{"taskUid":7,"indexUid":"magpie-v3","status":"enqueued","type":"documentAdditionOrUpdate","enqueuedAt":"2026-01-01T00:00:00Z"}"#,
);

async fn serve(stream: TcpStream, answers: &std::sync::Mutex<VecDeque<Answer>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        let (mut length, mut chunked) = (0, false);
        if stream.read_line(&mut request).await? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            length = header.strip_prefix("content-length: ").map_or(length, |value| value.parse().unwrap());
            chunked |= header == "transfer-encoding: chunked";
        }
        if chunked {
            loop {
                let mut size = String::new();
                stream.read_line(&mut size).await?;
                let size = u64::from_str_radix(size.trim(), 16).unwrap();
                tokio::io::copy(&mut (&mut stream).take(size + 2), &mut tokio::io::sink()).await?;
                if size == 0 {
                    break;
                }
            }
        }
        tokio::io::copy(&mut (&mut stream).take(length), &mut tokio::io::sink()).await?;
        let (status, body) = answer(&request, answers);
        if status == 0 {
            // It never answers.
            std::future::pending::<()>().await;
        }
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
    }
}

fn answer(request: &str, answers: &std::sync::Mutex<VecDeque<Answer>>) -> (u16, &'static str) {
    let mut answers = answers.lock().unwrap();
    let fitting: Vec<_> = (0..answers.len()).filter(|index| request.starts_with(answers[*index].0)).collect();
    match fitting.as_slice() {
        [] => (404, "no"),
        [only] => (answers[*only].1, answers[*only].2),
        [first, ..] => answers.remove(*first).map_or((404, "no"), |answer| (answer.1, answer.2)),
    }
}

async fn refused(answers: &[Answer], expected: &str) {
    let fake = Fake::new(answers).await;
    let error = MeiliSearch::open(&fake.url).await.err().unwrap().to_string();
    assert!(error.contains(expected), "{error}");
    assert!(error.contains("127.0.0.1:") && !error.contains('\n') && !error.contains(KEY), "{error}");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_what_to_do() {
    let healthy = OPENS[0];
    refused(&[("GET /", 200, "<html>Welcome</html>")], "is no MeiliSearch; see that host and port").await;
    refused(&[("GET /", 404, "nothing here")], "is no MeiliSearch").await;
    let key =
        r#"{"message":"The provided API key is invalid.","code":"invalid_api_key","type":"auth","link":""}"#;
    refused(&[healthy, ("GET /", 403, key)], "does not accept the key; give the URL `?key=`").await;
    let old = r#"{"commitSha":"","commitDate":"","pkgVersion":"1.9.0"}"#;
    refused(&[healthy, ("GET /version", 200, old)], "is version 1.9.0; 1.15 or a newer one is needed").await;
    let newer = r#"{"results":[{"uid":"other-v9"},{"uid":"magpie-v4"}],"offset":0,"limit":1,"total":2}"#;
    refused(&[healthy, OPENS[1], ("GET /indexes?", 200, newer)], "`magpie-v4` of a newer version").await;
    refused(&[healthy, OPENS[1], ("GET /indexes?", 503, "busy")], "failed: ").await;
    // A port that nobody listens on.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("meilisearch://{}?key={KEY}", listener.local_addr().unwrap());
    drop(listener);
    let error = MeiliSearch::open(&url.parse().unwrap()).await.err().unwrap().to_string();
    assert!(error.starts_with("no MeiliSearch answers at http://127.0.0.1:"), "{error}");
    assert!(!error.contains('\n') && !error.contains(KEY), "{error}");
}

fn put() -> Vec<Op> {
    let document = Document { body: "words".into(), ..Document::default() };
    vec![Op::Put { account: AccountId(1), id: MessageId(Uuid::from_u128(1)), document }]
}

/// What the adapter says of a change, as it ends up in the log.
async fn change_fails(answers: &[Answer], temporary: bool, expected: &str) {
    let (_fake, search) = Fake::opened(answers).await;
    let error = search.apply(put()).await.unwrap_err();
    assert_eq!(error.is_temporary(), temporary, "{error:?}");
    let said = format!("{error:?}");
    assert!(said.contains(expected) && !said.contains(KEY), "{said}");
}

macro_rules! task {
    ($status:literal, $error:literal) => {
        concat!(
            r#"{"uid":7,"indexUid":"magpie-v3","type":"documentAdditionOrUpdate","canceledBy":null,"details":{"receivedDocuments":1,"indexedDocuments":0},"duration":"PT0.1S","enqueuedAt":"2026-01-01T00:00:00Z","startedAt":"2026-01-01T00:00:00Z","finishedAt":"2026-01-01T00:00:00Z","status":""#,
            $status,
            r#"","error":"#,
            $error,
            "}"
        )
    };
}

#[tokio::test]
async fn changes_that_fail_are_explained() {
    const SPACE: &str = task!(
        "failed",
        r#"{"message":"There is no more space","code":"no_space_left_on_device","type":"internal","link":""}"#
    );
    const INTERNAL: &str =
        task!("failed", r#"{"message":"MDB_BAD_TXN","code":"internal","type":"internal","link":""}"#);
    const DOCUMENT: &str = task!(
        "failed",
        r#"{"message":"not a good document","code":"invalid_document_id","type":"invalid_request","link":""}"#
    );
    const LARGE: &str =
        r#"{"message":"too large","code":"payload_too_large","type":"invalid_request","link":""}"#;
    const GONE: &str =
        r#"{"message":"no magpie-v3","code":"index_not_found","type":"invalid_request","link":""}"#;
    change_fails(&[ADDED, ("GET /tasks/7", 200, SPACE)], true, "There is no more space").await;
    change_fails(&[ADDED, ("GET /tasks/7", 200, INTERNAL)], true, "MDB_BAD_TXN").await;
    change_fails(&[ADDED, ("GET /tasks/7", 200, DOCUMENT)], false, "not a good document").await;
    change_fails(&[ADDED, ("GET /tasks/7", 503, "busy")], true, "503").await;
    change_fails(&[("POST /indexes", 413, LARGE)], false, "raise its http-payload-size-limit").await;
    change_fails(&[("POST /indexes", 503, "")], true, "503").await;
    change_fails(&[("POST /indexes", 404, GONE)], false, "magpie index rebuild").await;
}

#[tokio::test]
async fn a_change_returns_once_its_task_is_done() {
    const WAITS: &str = task!("enqueued", "null");
    const WORKS: &str = task!("processing", "null");
    const DONE: &str = task!("succeeded", "null");
    let tasks = [WAITS, WAITS, WORKS, WORKS, DONE].map(|body| -> Answer { ("GET /tasks/7", 200, body) });
    let (_fake, search) = Fake::opened(&[&[ADDED][..], &tasks].concat()).await;
    search.apply(put()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_may_be_tried_again() {
    let (_fake, search) = Fake::opened(&[("POST /", 0, "")]).await;
    let error = search.apply(put()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    let error = search.find(AccountId(1), &Query::And(vec![]), None, 10).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn what_is_down_may_be_tried_again() {
    let (fake, search) = Fake::opened(&[]).await;
    drop(fake);
    for _ in 0..2 {
        let error = search.apply(put()).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        let error = search.find(AccountId(1), &Query::And(vec![]), None, 10).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn answers_of_somebody_else_are_no_results() {
    for body in ["{}", "[]", "<html>", r#"{"results":[]}"#] {
        let body: &'static str = body;
        let (_fake, search) = Fake::opened(&[("POST /multi-search", 200, body)]).await;
        let error = search.find(AccountId(1), &Query::And(vec![]), None, 10).await.unwrap_err();
        assert!(matches!(error, Error::Backend(_)), "{body}: {error:?}");
    }
}
