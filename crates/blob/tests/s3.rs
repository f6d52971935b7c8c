//! The store in a bucket, over a real S3 server in this process, with the faults of a network.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use blob::{S3Blobs, S3Keys, S3Limits};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};
use storage::{Blobs, Error, conformance};
use testkit::{
    S3Server,
    s3::{ACCESS_KEYS, SECRET_KEY, Treat},
};
use types::{BlobId, Secret, ShardId, Timestamp};

const SHARD: ShardId = ShardId(3);
const BUCKET: &str = "mail";
const ACCESS_KEY: &str = ACCESS_KEYS[0];
const LARGE: usize = 20 << 20;

fn keys(id: &str) -> S3Keys {
    S3Keys {
        id: id.to_owned(),
        secret: Secret::new(SECRET_KEY.to_owned()),
        session_token: None,
        region: None,
    }
}

/// Short pauses, and times that a busy machine keeps.
fn limits() -> S3Limits {
    S3Limits {
        attempts: 4,
        first_pause: Duration::from_millis(5),
        attempt_time: Duration::from_secs(30),
        request_time: Duration::from_secs(60),
        ..S3Limits::default()
    }
}

/// Removals wait little, and what is slow is put again.
fn quick() -> S3Limits {
    S3Limits { put_time: Duration::from_millis(300), ..limits() }
}

async fn try_open(url: &str, keys: &S3Keys) -> Result<S3Blobs, Error> {
    S3Blobs::open(&url.parse().unwrap(), keys, &limits(), 1).await
}

async fn start() -> (S3Server, S3Blobs) {
    start_with(&limits()).await
}

async fn start_with(limits: &S3Limits) -> (S3Server, S3Blobs) {
    let server = S3Server::start(BUCKET).await.unwrap();
    let blobs = open_with(&server, limits).await;
    (server, blobs)
}

async fn open_with(server: &S3Server, limits: &S3Limits) -> S3Blobs {
    let url = server.url(BUCKET).parse().unwrap();
    let blobs = S3Blobs::open(&url, &keys(ACCESS_KEY), limits, 2).await.unwrap();
    let _ = server.take_asked();
    blobs
}

/// The methods since this was last called, a copy as `COPY`.
fn asked(server: &S3Server) -> String {
    let asked = server.take_asked().into_iter().map(|asked| {
        match (asked.copies, asked.target.contains("list-type")) {
            (true, _) => "COPY".to_owned(),
            (_, true) => "LIST".to_owned(),
            _ => asked.method,
        }
    });
    asked.collect::<Vec<_>>().join(" ")
}

/// The one line that is shown.
fn line(error: &Error) -> String {
    let source = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    assert!(!source.contains('\n'), "{source}");
    source
}

fn keys_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries
        .flat_map(|path| if path.is_dir() { keys_in(&path) } else { vec![path.to_str().unwrap().to_owned()] })
        .collect();
    all.sort();
    all
}

/// Waits for what goes on after a caller gave up; on a busy machine parts of 8 MiB take a while.
async fn settled(what: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(tokio::time::Instant::now() < deadline, "it did not settle");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn read(blobs: &S3Blobs, id: BlobId) -> Result<Vec<u8>, Error> {
    let pieces: Vec<Bytes> = blobs.open(SHARD, id, 0..u64::MAX).await?.unwrap().try_collect().await?;
    Ok(pieces.concat())
}

#[expect(clippy::disallowed_methods, reason = "the S3 server of the tests goes by the real clock")]
fn make_older(file: &Path, by: Duration) {
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the S3 server of the tests goes by the real clock")]
fn now() -> Timestamp {
    Timestamp::default().plus(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap())
}

#[tokio::test]
async fn keeps_the_promises_of_the_port() {
    let (server, blobs) = start_with(&quick()).await;
    conformance::blobs::run(Arc::new(blobs)).await;
    assert!(keys_in(&server.folder().join(BUCKET)).iter().all(|key| key.contains("/blobs/")));
}

#[tokio::test]
async fn keeps_them_behind_a_prefix() {
    let (server, _) = start().await;
    let url = format!("{}&prefix=a/b", server.url(BUCKET)).parse().unwrap();
    let blobs = S3Blobs::open(&url, &keys(ACCESS_KEY), &quick(), 1).await.unwrap();
    conformance::blobs::run(Arc::new(blobs)).await;
    assert!(keys_in(&server.folder().join(BUCKET)).iter().all(|key| key.contains("/mail/a/b/blobs/")));
}

#[tokio::test]
async fn what_is_wrong_at_the_start_is_said_in_one_line() {
    let (server, _) = start().await;
    let url = server.url(BUCKET);
    let mut wrong = keys(ACCESS_KEY);
    wrong.secret = Secret::new("geheim".to_owned());
    let dead = "s3://mail?endpoint=http://127.0.0.1:1";
    let no_tls = url.replace("http:", "https:");
    for (url, keys, says) in [
        (&*server.url("other"), keys(ACCESS_KEY), "there is no bucket `other`"),
        (&*url, keys("NOBODY"), "check AWS_ACCESS_KEY_ID"),
        (&*url, wrong, "check AWS_SECRET_ACCESS_KEY"),
        ("s3://mail", keys(ACCESS_KEY), "set AWS_REGION"),
        (dead, keys(ACCESS_KEY), "S3 at http://127.0.0.1:1 cannot be reached"),
        (&*no_tls, keys(ACCESS_KEY), "cannot be reached"),
    ] {
        let Err(error) = try_open(url, &keys).await else { panic!("opened {url}") };
        let line = line(&error);
        assert!(
            line.contains(says) && !line.contains("geheim") && !line.contains(SECRET_KEY),
            "{url}: {line}"
        );
    }
    for (status, code, message, says) in [
        (
            400,
            "AuthorizationHeaderMalformed",
            "expecting 'eu-1'",
            "not in the region `eu-test-1` (expecting 'eu-1')",
        ),
        (301, "PermanentRedirect", "elsewhere", "set `region` in the URL"),
        (403, "AccessDenied", "no", "let it list, read, write and delete there"),
        (403, "RequestTimeTooSkewed", "no", "set the clock"),
        (400, "ExpiredToken", "no", "renew AWS_SESSION_TOKEN"),
    ] {
        server.treat(move |_| Treat::Refuse(status, code, message));
        let Err(error) = try_open(&url, &keys(ACCESS_KEY)).await else { panic!("opened") };
        assert!(line(&error).contains(says), "{error:?}");
        assert!(matches!(error, Error::Backend(_)), "{error:?}");
    }
    // Reading is allowed, writing is not.
    server.treat(|asked| match &*asked.method {
        "PUT" => Treat::Refuse(403, "AccessDenied", "no"),
        _ => Treat::Serve,
    });
    let Err(error) = try_open(&url, &keys(ACCESS_KEY)).await else { panic!("opened") };
    assert!(line(&error).contains("the key may not use the bucket `mail`"), "{error:?}");
}

#[tokio::test]
async fn requests_are_few() {
    let (server, blobs) = start().await;
    let bytes = Bytes::from(vec![1; 100_000]);
    let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
    assert_eq!(asked(&server), "LIST PUT", "the first in a while");
    blobs.put(SHARD, Bytes::from(vec![2; 100_000])).await.unwrap();
    assert_eq!(asked(&server), "PUT", "a new blob");
    blobs.put_stream(SHARD, stream::iter([Ok(bytes)]).boxed()).await.unwrap();
    assert_eq!(asked(&server), "PUT", "one that is there");
    read(&blobs, id).await.unwrap();
    assert_eq!(asked(&server), "GET");
    blobs.size(SHARD, id).await.unwrap();
    assert_eq!(asked(&server), "HEAD");
    let _: Vec<_> = blobs.list(SHARD).await.unwrap().try_collect().await.unwrap();
    assert_eq!(asked(&server), "LIST");
    let collector = open_with(&server, &quick()).await;
    collector.delete(SHARD, &[id], now().plus(Duration::from_secs(60))).await.unwrap();
    assert_eq!(asked(&server), "PUT LIST HEAD POST DELETE", "a removal");
    let mib = Bytes::from(vec![1; 1 << 20]);
    blobs.put(SHARD, mib.clone()).await.unwrap();
    assert_eq!(asked(&server), "HEAD PUT", "one that takes long to send");
    blobs.put(SHARD, mib).await.unwrap();
    assert_eq!(asked(&server), "HEAD COPY", "again");
    let large = Bytes::from(vec![2; LARGE]);
    blobs.put(SHARD, large.clone()).await.unwrap();
    assert_eq!(asked(&server), "HEAD POST PUT PUT PUT POST", "three parts");
    drop(large);
    let pieces = (0..LARGE >> 16).map(|_| Ok(Bytes::from(vec![3; 1 << 16])));
    blobs.put_stream(SHARD, stream::iter(pieces).boxed()).await.unwrap();
    settled(|| keys_in(&server.folder().join(BUCKET)).iter().all(|key| !key.contains("/drafts/"))).await;
    assert_eq!(asked(&server), "POST PUT PUT PUT POST HEAD COPY DELETE", "a stream of three parts");
}

#[tokio::test]
async fn large_blobs_come_back_whole_and_in_pieces() {
    let (server, blobs) = start().await;
    let bytes: Bytes = (0..LARGE).map(|at| (at / 251) as u8).collect();
    let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
    assert!(read(&blobs, id).await.unwrap() == bytes);
    fs::remove_file(server.object(BUCKET, &format!("blobs/3/{id}"))).unwrap();
    let pieces: Vec<_> = bytes.chunks(1_000_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    assert_eq!(blobs.put_stream(SHARD, stream::iter(pieces).boxed()).await.unwrap(), (id, LARGE as u64));
    let stream = blobs.open(SHARD, id, 5..LARGE as u64).await.unwrap().unwrap();
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert!(pieces.iter().all(|piece| piece.len() <= 1 << 20), "a piece at a time");
    assert!(pieces.concat() == bytes[5..]);
}

#[tokio::test]
async fn a_given_up_stream_leaves_nothing() {
    let (server, blobs) = start().await;
    let clean = || {
        let files = keys_in(server.folder());
        files.iter().all(|file| !file.contains("upload_id") && !file.contains("/drafts/"))
    };
    let many = || (0..LARGE >> 16).map(|_| Ok(Bytes::from(vec![3; 1 << 16])));
    // The stream's own error.
    let broken = many().chain([Err(Error::Corrupt("the sender went away".into()))]);
    let error = blobs.put_stream(SHARD, stream::iter(broken).boxed()).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
    settled(clean).await;
    // The caller's.
    let endless = stream::iter(many()).chain(stream::pending()).boxed();
    let (reached, wait) = tokio::sync::oneshot::channel();
    let reached = std::sync::Mutex::new(Some(reached));
    let (arrive, on_its_way) = tokio::sync::watch::channel(false);
    let overtaken = Arc::new(AtomicBool::new(false));
    // A part that is still on its way would be written by this server even after the upload was given up.
    server.treat({
        let overtaken = Arc::clone(&overtaken);
        move |asked| {
            let mut on_its_way = on_its_way.clone();
            if asked.method == "DELETE" && asked.target.contains("uploadId") && !*on_its_way.borrow() {
                overtaken.store(true, Ordering::SeqCst);
            }
            if !asked.target.contains("partNumber=2") {
                return Treat::Serve;
            }
            reached.lock().unwrap().take().map(|reached| reached.send(()));
            Treat::After(Box::pin(async move {
                let _ = on_its_way.wait_for(|arrives| *arrives).await;
            }))
        }
    });
    tokio::select! {
        _ = blobs.put_stream(SHARD, endless) => panic!("it has no end"),
        _ = wait => {}
    }
    // The draft is removed by another request, so by now the upload would be given up, too.
    let removes = |asked: &testkit::s3::Asked| asked.method == "DELETE" && !asked.target.contains("uploadId");
    settled(|| server.take_asked().iter().any(removes)).await;
    arrive.send(true).unwrap();
    settled(clean).await;
    assert!(!overtaken.load(Ordering::SeqCst), "the upload was given up while a part was on its way");
    // And the store's.
    server.treat(|asked| match asked.target.contains("partNumber=2") {
        true => Treat::Refuse(400, "InvalidRequest", "no"),
        false => Treat::Serve,
    });
    let error = blobs.put_stream(SHARD, stream::iter(many()).boxed()).await.unwrap_err();
    assert!(line(&error).contains("InvalidRequest"), "{error:?}");
    settled(clean).await;
}

/// Gives up soon, but not at once on a busy machine.
fn hasty() -> S3Limits {
    S3Limits { attempt_time: Duration::from_secs(1), request_time: Duration::from_secs(2), ..quick() }
}

/// Treats so many requests in this way, then serves.
fn for_a_while(server: &S3Server, times: u32, treat: impl Fn() -> Treat + Send + Sync + 'static) {
    let left = AtomicU32::new(times);
    server.treat(move |_| {
        let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if taken.is_ok() { treat() } else { Treat::Serve }
    });
}

#[tokio::test]
async fn short_faults_are_not_noticed() {
    let (server, blobs) = start().await;
    let faults: [fn() -> Treat; 4] = [
        || Treat::Busy,
        || Treat::Drop,
        || Treat::DropAnswer,
        || Treat::Refuse(500, "InternalError", "oops"),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        for_a_while(&server, 2, fault);
        let bytes = Bytes::from(vec![number as u8; 70_000]);
        let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
        for_a_while(&server, 2, fault);
        assert!(read(&blobs, id).await.unwrap() == bytes);
        for_a_while(&server, 2, fault);
        assert_eq!(blobs.size(SHARD, id).await.unwrap(), Some(70_000));
        for_a_while(&server, 2, fault);
        assert!(blobs.list(SHARD).await.unwrap().try_collect::<Vec<_>>().await.unwrap().len() > number);
    }
    // A connection that breaks while a blob is read.
    let bytes: Bytes = (0..900_000_u32).map(|at| (at / 251) as u8).collect();
    let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
    for_a_while(&server, 3, || Treat::Cut(100_000));
    assert!(read(&blobs, id).await.unwrap() == bytes);
}

#[tokio::test]
async fn long_faults_are_said_to_be_temporary_and_end() {
    let (server, blobs) = start().await;
    let bytes = Bytes::from(vec![9; 70_000]);
    let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
    server.set_busy(true);
    for error in [
        blobs.put(SHARD, bytes.clone()).await.unwrap_err(),
        blobs.size(SHARD, id).await.unwrap_err(),
        read(&blobs, id).await.unwrap_err(),
        blobs.list(SHARD).await.err().unwrap(),
        blobs.delete(SHARD, &[id], now()).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        assert!(line(&error).contains(": 503"), "{error:?}");
    }
    server.set_busy(false);
    assert_eq!(blobs.put(SHARD, bytes.clone()).await.unwrap(), id);
    // One that never answers.
    let hasty = open_with(&server, &hasty()).await;
    server.treat(|_| Treat::After(Box::pin(future::pending())));
    let begun = tokio::time::Instant::now();
    let error = hasty.size(SHARD, id).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)) && line(&error).contains("in time"), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    server.treat(|_| Treat::Serve);
    assert!(read(&blobs, id).await.unwrap() == bytes);
    // Keys that are taken away while the service runs.
    server.treat(|_| Treat::Refuse(403, "InvalidAccessKeyId", "gone"));
    let error = blobs.put(SHARD, bytes).await.unwrap_err();
    assert!(matches!(error, Error::Backend(_)), "{error:?}");
}

#[tokio::test]
async fn nobody_waits_for_one_that_is_away() {
    let limits = S3Limits { away_time: Duration::from_millis(300), ..hasty() };
    let (server, blobs) = start_with(&limits).await;
    let id = blobs.put(SHARD, Bytes::from_static(b"content")).await.unwrap();
    server.treat(|_| Treat::After(Box::pin(future::pending())));
    let sizes = || future::join_all((0..3).map(|_| blobs.size(SHARD, id)));
    assert!(sizes().await.iter().all(Result::is_err));
    let _ = server.take_asked();
    let begun = tokio::time::Instant::now();
    for _ in 0..20 {
        let error = blobs.put(SHARD, Bytes::from_static(b"other")).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        if begun.elapsed() > limits.away_time {
            break;
        }
        assert!(line(&error).contains("tried again soon"), "{error:?}");
        assert_eq!(server.take_asked(), []);
    }
    server.treat(|_| Treat::Serve);
    let deadline = begun + Duration::from_secs(10);
    while blobs.size(SHARD, id).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "it is not found again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(sizes().await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_read_that_stalls_is_taken_up_again() {
    let (server, blobs) = start_with(&hasty()).await;
    let bytes: Bytes = (0..900_000_u32).map(|at| (at / 251) as u8).collect();
    let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
    for_a_while(&server, 1, || Treat::Stall(100_000));
    assert!(read(&blobs, id).await.unwrap() == bytes);
}

#[tokio::test]
async fn damaged_blobs_are_noticed() {
    let (server, blobs) = start().await;
    let bytes = Bytes::from(vec![7; 300_000]);
    let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
    let file = server.object(BUCKET, &format!("blobs/3/{id}"));
    let mut damaged = bytes.to_vec();
    damaged[200_000] ^= 1;
    fs::write(&file, &damaged).unwrap();
    assert!(matches!(read(&blobs, id).await.unwrap_err(), Error::Corrupt(_)));
    // Putting it again mends it.
    blobs.put(SHARD, bytes.clone()).await.unwrap();
    assert!(read(&blobs, id).await.unwrap() == bytes);
    fs::write(&file, &bytes[..100]).unwrap();
    assert!(matches!(read(&blobs, id).await.unwrap_err(), Error::Corrupt(_)));
}

#[tokio::test]
async fn listings_have_pages() {
    let (server, blobs) = start_with(&quick()).await;
    let folder = server.folder().join(BUCKET).join("blobs/3");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..1_500_u32 {
        fs::write(folder.join(format!("{number:064x}")), b"x").unwrap();
    }
    fs::write(folder.join("something else"), b"x").unwrap();
    let listed: Vec<_> = blobs.list(SHARD).await.unwrap().try_collect().await.unwrap();
    assert_eq!(listed.len(), 1_500);
    assert_eq!(asked(&server), "LIST LIST");
    let ids: Vec<_> = listed.iter().map(|info| info.id).collect();
    assert_eq!(blobs.delete(SHARD, &ids, now().plus(Duration::from_secs(60))).await.unwrap(), 1_500);
    assert!(blobs.list(SHARD).await.unwrap().try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_crash_left_goes() {
    let (server, blobs) = start_with(&quick()).await;
    for (key, hours) in [("drafts/old", 30), ("drafts/young", 1), ("marks/3/old", 2), ("marks/3/young", 0)] {
        let file = server.object(BUCKET, key);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        make_older(&file, Duration::from_secs(hours * 3_600));
    }
    blobs.delete(SHARD, &[BlobId([1; 32])], now()).await.unwrap();
    try_open(&server.url(BUCKET), &keys(ACCESS_KEY)).await.unwrap();
    let left: Vec<_> = ["drafts/old", "drafts/young", "marks/3/old", "marks/3/young"]
        .into_iter()
        .filter(|key| server.object(BUCKET, key).exists())
        .collect();
    assert_eq!(left, ["drafts/young", "marks/3/young"]);
}

/// A mark of a collector that died holds up only what it names, and that for an hour.
#[tokio::test]
async fn a_left_over_mark_holds_up_what_it_names() {
    let (server, blobs) = start_with(&hasty()).await;
    let id = blobs.put(SHARD, Bytes::from_static(b"content")).await.unwrap();
    let later = now().plus(Duration::from_secs(60));
    // The removal is not answered by S3 itself: it may still happen.
    for lost in [|| Treat::Drop, || Treat::Refuse(504, "", "")] {
        server.treat(move |asked| if asked.target.contains("?delete") { lost() } else { Treat::Serve });
        let error = blobs.delete(SHARD, &[id], later).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    }
    // This one says that it was not done.
    server.treat(|asked| match asked.target.contains("?delete") {
        true => Treat::Refuse(403, "AccessDenied", "no"),
        false => Treat::Serve,
    });
    assert!(matches!(blobs.delete(SHARD, &[id], later).await.unwrap_err(), Error::Backend(_)));
    server.treat(|_| Treat::Serve);
    let folder = server.object(BUCKET, "marks/3");
    settled(|| keys_in(&folder).len() == 2).await;
    let error = blobs.put(SHARD, Bytes::from_static(b"content")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)) && line(&error).contains("collector"), "{error:?}");
    blobs.put(SHARD, Bytes::from_static(b"other content")).await.unwrap();
    for mark in keys_in(&folder) {
        make_older(Path::new(&mark), Duration::from_secs(3_700));
    }
    blobs.put(SHARD, Bytes::from_static(b"content")).await.unwrap();
}

/// A collector waits before it looks at what it named. What is put meanwhile need not wait for it; and if it is
/// stopped meanwhile, it leaves nothing.
#[tokio::test]
async fn a_put_goes_ahead_of_a_collector_that_waits() {
    let (server, blobs) = start().await;
    let id = blobs.put(SHARD, Bytes::from_static(b"content")).await.unwrap();
    let folder = server.object(BUCKET, "marks/3");
    let collector = open_with(&server, &limits()).await;
    // A node that has not listed yet, so that it sees the mark.
    let other = open_with(&server, &limits()).await;
    let later = now().plus(Duration::from_secs(60));
    let put = async {
        settled(|| folder.exists() && !keys_in(&folder).is_empty()).await;
        other.put(SHARD, Bytes::from_static(b"content")).await
    };
    let ids = [id];
    tokio::select! {
        _ = collector.delete(SHARD, &ids, later) => panic!("it did not wait"),
        put = put => assert_eq!(put.unwrap(), id),
    }
    settled(|| keys_in(&folder).is_empty()).await;
}
