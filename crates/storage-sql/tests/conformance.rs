//! The suites of `storage::conformance` on SQLite files and on databases of a PostgreSQL server.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::sync::Arc;

use sea_orm::ConnectionTrait as _;
use storage::{
    BucketMap, Directory as _, DomainLimits, DomainUse, Door as _, Error, Group, NewAccount, Quotas as _,
    UNLIMITED, conformance,
};
use storage_sql::{DatabaseUrl, Options, Schema, SqlDirectory, SqlShards, pending_migrations};
use testkit::PostgresCluster;
use types::{EmailAddress, Secret, ShardId, Timestamp};

async fn shards(urls: Vec<DatabaseUrl>, options: &Options) -> Arc<SqlShards> {
    let urls: Vec<_> = (0..).map(ShardId).zip(urls).collect();
    let ids: Vec<_> = urls.iter().map(|(id, _)| *id).collect();
    Arc::new(SqlShards::open(&urls, Arc::new(BucketMap::even(&ids)), options).await.unwrap())
}

fn files(folder: &tempfile::TempDir) -> Vec<DatabaseUrl> {
    (0..3).map(|id| DatabaseUrl::sqlite(folder.path().join(format!("shard-{id}.db")))).collect()
}

async fn databases(cluster: &PostgresCluster) -> Vec<DatabaseUrl> {
    let mut urls = Vec::new();
    for id in 0..2 {
        let name = format!("shard{id}");
        cluster.create_database(&name).await.unwrap();
        urls.push(cluster.url(&name).parse().unwrap());
    }
    urls
}

async fn check_shards(urls: Vec<DatabaseUrl>, options: &Options) {
    let shards = shards(urls, options).await;
    conformance::shards::run(shards.clone()).await;
    shards.close().await;
}

fn small_batches() -> Options {
    Options { max_batch: 1, max_waiting: 1, readers: 2, writers: 3, defer_from: 1, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_keep_their_promises_on_sqlite() {
    check_shards(files(&tempfile::tempdir().unwrap()), &Options::default()).await;
}

#[tokio::test]
async fn shards_keep_their_promises_on_sqlite_in_small_batches_too() {
    check_shards(files(&tempfile::tempdir().unwrap()), &small_batches()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_keep_their_promises_on_postgres() {
    let cluster = PostgresCluster::start().await.unwrap();
    check_shards(databases(&cluster).await, &Options::default()).await;
}

#[tokio::test]
async fn shards_keep_their_promises_on_postgres_in_small_batches_too() {
    let cluster = PostgresCluster::start().await.unwrap();
    check_shards(databases(&cluster).await, &small_batches()).await;
}

async fn check_directory(url: DatabaseUrl) {
    let steps = pending_migrations(&url, Schema::Directory).await.unwrap();
    assert!(steps[0].sql[0].starts_with("CREATE TABLE domain"), "{steps:?}");
    let directory = SqlDirectory::open(&url, &Options::default()).await.unwrap();
    assert!(pending_migrations(&url, Schema::Directory).await.unwrap().is_empty());
    let directory = Arc::new(directory);
    conformance::directory::run(directory.clone()).await;
    let again = SqlDirectory::open(&url, &Options::default()).await.unwrap();
    assert_eq!(again.domains().await.unwrap().len(), 6, "a second start keeps everything");
    what_another_node_changes_is_seen_now(&directory, &again).await;
}

async fn what_another_node_changes_is_seen_now(here: &SqlDirectory, there: &SqlDirectory) {
    let account = here.accounts(None, 1).await.unwrap().remove(0);
    let known = here.account(account.id).await.unwrap();
    assert!(there.set_password(account.id, Secret::new("another".into())).await.unwrap());
    assert_eq!(here.account(account.id).await.unwrap(), known, "from its cache");
    let now = here.account_now(account.id).await.unwrap().unwrap();
    assert_eq!(now.password_hash.expose(), "another");
    assert_eq!(here.account(account.id).await.unwrap(), Some(now), "what was asked is known");
}

#[tokio::test]
async fn the_directory_keeps_its_promises_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/directory.db");
    check_directory(DatabaseUrl::sqlite(&path)).await;
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn the_directory_keeps_its_promises_on_postgres() {
    let cluster = PostgresCluster::start().await.unwrap();
    cluster.create_database("directory").await.unwrap();
    check_directory(cluster.url("directory").parse().unwrap()).await;
}

/// Earlier versions kept names as they were typed, and let a domain be added in either form.
#[tokio::test]
async fn directories_of_earlier_versions_are_found_by_either_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.db");
    let directory = SqlDirectory::open(&DatabaseUrl::sqlite(&path), &Options::default()).await.unwrap();
    let other = sea_orm::Database::connect(format!("sqlite:{}", path.display())).await.unwrap();
    for statement in [
        "INSERT INTO domain (id, name, created_at) VALUES (7, '한국.test', 0), (8, '메일.test', 0), (9, 'xn--h32bq4v.test', 0)",
        "INSERT INTO account (id, email, name, password_hash, enabled, created_at, admin) VALUES \
         (1, '김@한국.test', '', '', TRUE, 0, FALSE), (2, 'a@메일.test', '', '', TRUE, 0, FALSE), \
         (3, 'a@xn--h32bq4v.test', '', '', TRUE, 0, FALSE)",
        "INSERT INTO address (address_key, address, account_id, main) VALUES ('김@한국.test', '김@한국.test', 1, TRUE), \
         ('all@한국.test', 'all@한국.test', 1, FALSE), ('a@메일.test', 'a@메일.test', 2, TRUE), \
         ('a@xn--h32bq4v.test', 'a@xn--h32bq4v.test', 3, TRUE)",
        "INSERT INTO group_target (address_key, position, target) VALUES ('all@한국.test', 0, 'x@far.test')",
    ] {
        other.execute_unprepared(statement).await.unwrap();
    }
    let email = |text: &str| text.parse::<EmailAddress>().unwrap();
    let group = Group {
        address: email("all@xn--3e0b707e.test"),
        owner: types::AccountId(1),
        targets: vec![email("y@far.test")],
    };
    for form in ["한국.test", "xn--3e0b707e.test"] {
        assert_eq!(directory.domain(form).await.unwrap().unwrap().id.0, 7, "{form}");
        assert!(matches!(directory.add_domain(form, Timestamp::from_millis(1)).await, Err(Error::Exists(_))));
        let found = directory.resolve(&email(&format!("김@{form}"))).await.unwrap();
        assert_eq!(found.map(|id| id.0), Some(1), "{form}");
        let found = directory.group(&email(&format!("all@{form}"))).await.unwrap().unwrap();
        assert_eq!(found.targets, [email("x@far.test")], "{form}");
        let new = NewAccount {
            email: email(&format!("김@{form}")),
            name: String::new(),
            password_hash: Secret::default(),
            own_quota_bytes: None,
            created_at: Timestamp::from_millis(1),
        };
        assert!(matches!(directory.add_account(new).await, Err(Error::Exists(_))), "{form}");
    }
    let limit = "INSERT INTO domain_limit (domain, max_bytes, max_accounts, used_bytes, used_at) \
                 VALUES ('한국.test', 9, 1, 3, 0)";
    other.execute_unprepared(limit).await.unwrap();
    limits_of_earlier_versions_hold(&directory).await;
    assert!(directory.set_group(&group).await.unwrap());
    let changed = directory.group(&email("all@한국.test")).await.unwrap();
    assert_eq!(changed, Some(group), "changed, not added beside the old one");
    // Two that were added as two go on as two.
    for (form, domain, account) in [("메일.test", 8, 2), ("xn--h32bq4v.test", 9, 3)] {
        assert_eq!(directory.domain(form).await.unwrap().unwrap().id.0, domain);
        let found = directory.resolve(&email(&format!("a@{form}"))).await.unwrap();
        assert_eq!(found.map(|id| id.0), Some(account), "{form}");
    }
}

async fn limits_of_earlier_versions_hold(directory: &SqlDirectory) {
    let forms = ["한국.test", "xn--3e0b707e.test", "한국。TEST"];
    let limits = DomainLimits { max_bytes: Some(9), max_accounts: Some(1) };
    for form in forms {
        let known = DomainUse { limits, used_bytes: 3 };
        assert_eq!(directory.domain_use(form).await.unwrap(), known, "{form}");
        assert_eq!(directory.count_accounts(form).await.unwrap(), 1, "{form}");
        assert_eq!(directory.domain_accounts(form, None, 9).await.unwrap(), [types::AccountId(1)], "{form}");
    }
    assert_eq!(directory.measured_domains().await.unwrap(), ["xn--3e0b707e.test"]);
    let new = NewAccount {
        email: "new@한국.test".parse().unwrap(),
        name: String::new(),
        password_hash: Secret::default(),
        own_quota_bytes: None,
        created_at: Timestamp::from_millis(1),
    };
    assert!(matches!(directory.add_account(new).await, Err(Error::Reached(_))));
    for (used, form) in (4..).zip(forms) {
        directory.note_domain_use(form, used, Timestamp::from_millis(1)).await.unwrap();
        let limits = DomainLimits { max_bytes: Some(used + 100), max_accounts: None };
        directory.set_domain_limits(form, limits).await.unwrap();
        for form in forms {
            let known = directory.domain_use(form).await.unwrap();
            assert_eq!(known, DomainUse { limits, used_bytes: used }, "{form}");
        }
    }
    assert_eq!(directory.measured_domains().await.unwrap(), ["xn--3e0b707e.test"], "one row is left");
}

/// What all accounts may have is said each time the directory is opened; what one has of its own is kept there.
#[tokio::test]
async fn accounts_have_the_quota_of_all_or_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::sqlite(folder.path().join("directory.db"));
    let open = async |quota_bytes| {
        SqlDirectory::open(&url, &Options { quota_bytes, ..Options::default() }).await.unwrap()
    };
    let directory = open(None).await;
    directory.add_domain("demo.test", Timestamp::from_millis(1)).await.unwrap();
    let mut ids = Vec::new();
    for (name, own_quota_bytes) in [("all", None), ("own", Some(5)), ("free", Some(UNLIMITED))] {
        let new = NewAccount {
            email: format!("{name}@demo.test").parse().unwrap(),
            name: String::new(),
            password_hash: Secret::default(),
            own_quota_bytes,
            created_at: Timestamp::from_millis(1),
        };
        ids.push(directory.add_account(new).await.unwrap().unwrap().id);
    }
    for of_all in [None, Some(9), Some(3), None] {
        let directory = open(of_all).await;
        for (id, wanted) in ids.iter().zip([of_all, Some(5), None]) {
            assert_eq!(directory.account(*id).await.unwrap().unwrap().quota_bytes, wanted);
        }
    }
    let directory = open(Some(9)).await;
    for (own, wanted) in [(Some(7), Some(7)), (Some(UNLIMITED), None), (None, Some(9))] {
        assert!(directory.set_quota(ids[1], own).await.unwrap());
        let account = directory.account(ids[1]).await.unwrap().unwrap();
        assert_eq!((account.own_quota_bytes, account.quota_bytes), (own, wanted));
    }
    assert!(!directory.set_quota(types::AccountId(99), None).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_may_make_the_same_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::sqlite(folder.path().join("new/directory.db"));
    let opening = (0..8).map(|_| {
        let url = url.clone();
        tokio_util::task::TaskTracker::new()
            .spawn(async move { SqlDirectory::open(&url, &Options::default()).await.map(drop) })
    });
    for opened in futures::future::join_all(opening).await {
        opened.unwrap().unwrap();
    }
}
