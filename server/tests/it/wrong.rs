//! What is wrong with the parts of a cluster stops the start with one line that names the key, and what to do.

use std::{collections::HashMap, process::Stdio, time::Duration};

use tempfile::TempDir;
use testkit::{PostgresCluster, Redis, Services};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::{Child, Command},
    time::timeout,
};
use tokio_util::task::TaskTracker;

/// The program with these variables over those of the service; an empty one is taken away.
fn magpie(folder: &TempDir, services: &Services, service: &str, changed: &[(&str, &str)]) -> Command {
    let mut variables: HashMap<_, _> = services.variables(service).into_iter().collect();
    for listener in ["HTTP", "SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "POP3", "POP3S"] {
        variables.insert(format!("MAGPIE_{listener}__LISTEN"), "127.0.0.1:0".to_owned());
    }
    variables.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut command = command(folder, variables.into_iter().collect());
    command.arg("serve");
    command
}

/// The program with these variables.
fn command(folder: &TempDir, variables: Vec<(String, String)>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
    command.current_dir(folder.path()).env("MAGPIE_DATA_DIR", folder.path().join("data"));
    command.envs(variables).env("MAGPIE_LOG__LEVEL", "error").kill_on_drop(true);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// What is wrong with what it says when it gives up: it must be one line, with nothing secret.
async fn refused(mut command: Command, wanted: &[&str]) -> Option<String> {
    let output = timeout(Duration::from_secs(60), command.output()).await.expect("it gives up").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("magpie: ")).collect();
    let names_it = |line: &str| wanted.iter().all(|wanted| line.contains(wanted));
    let is_safe = ["a-password-of-tests", "the secret of the tests", "geheim"]
        .iter()
        .all(|secret| !said.contains(secret));
    let fine =
        !output.status.success() && lines.len() == 1 && lines.iter().all(|line| names_it(line)) && is_safe;
    (!fine).then(|| format!("{said}  is not about {wanted:?}\n"))
}

async fn until_ready(running: &mut Child) {
    let mut said = String::new();
    let output = running.stdout.as_mut().unwrap();
    while !said.contains("ready\n") {
        let mut piece = [0; 1_000];
        let length = timeout(Duration::from_secs(60), output.read(&mut piece)).await.unwrap().unwrap();
        assert!(length > 0, "it ended: {said}");
        said.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
}

/// What a MeiliSearch says to whoever has a wrong key.
async fn meili_with_another_key() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let (status, body) = if request[..length].starts_with(b"GET /health") {
                ("200 OK", r#"{"status":"available"}"#)
            } else {
                let body = r#"{"message":"The API key is invalid.","code":"invalid_api_key","type":"auth","link":""}"#;
                ("403 Forbidden", body)
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
            let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address.to_string()
}

/// A directory whose server's clock is ahead or behind: what our statement takes for its clock is another function.
async fn clocks_apart(folder: &TempDir, services: &Services, server: &PostgresCluster) -> Vec<String> {
    let mut complaints = Vec::new();
    for (apart, wanted) in
        [("+ interval '1 minute'", "s behind that"), ("- interval '1 minute'", "s ahead of that")]
    {
        let sql = format!(
            "CREATE SCHEMA IF NOT EXISTS apart; CREATE OR REPLACE FUNCTION apart.clock_timestamp() RETURNS timestamptz \
             LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() {apart} $$; \
             ALTER DATABASE town_directory SET search_path = public, apart, pg_catalog"
        );
        server.query("town_directory", &sql).await.unwrap();
        let wanted = ["directory.url: this node's clock is ", wanted, "set the clocks (NTP) and start again"];
        complaints.extend(refused(magpie(folder, services, "town", &[]), &wanted).await);
    }
    server.query("town_directory", "ALTER DATABASE town_directory RESET search_path").await.unwrap();
    complaints
}

/// Shards of another kind than the others, added at run time.
async fn other_kinds(folder: &TempDir, services: &Services, shard: &str) -> Vec<String> {
    let other_kind = ["is not a database of the kind of the other shards"];
    let add = |mut command: Command, url: &str| {
        command.args(["shard", "add", url]);
        command
    };
    let town = add(command(folder, services.variables("town")), "sqlite:a.db");
    let mut complaints: Vec<_> = refused(town, &other_kind).await.into_iter().collect();
    let mut begin = command(folder, Vec::new());
    assert!(begin.arg("migrate").output().await.unwrap().status.success());
    let files = add(command(folder, Vec::new()), shard);
    complaints.extend(refused(files, &other_kind).await);
    let list = format!("[\"sqlite:a.db\", \"{shard}\"]");
    let mut mixed = command(folder, vec![("MAGPIE_SHARDS__URLS".to_owned(), list)]);
    mixed.arg("serve");
    complaints.extend(
        refused(mixed, &["MAGPIE_SHARDS__URLS: shards.urls: ", "either all files, or all in PostgreSQL"])
            .await,
    );
    complaints
}

#[tokio::test]
async fn what_is_wrong_stops_the_start_with_one_line() {
    let services = Services::start(1).await.unwrap();
    let locked = Redis::with(&["--requirepass", "geheim"]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [server] = services.postgres.as_slice() else { panic!("one server") };
    services.create("town").await.unwrap();
    let url = |database: &str| server.url(database);
    let (directory, shards) = (url("town_directory"), [url("town_shard_0"), url("town_shard_1")]);
    let list = |urls: &[&String]| format!("{urls:?}");
    let meili = format!("meilisearch://{}?key=geheim", meili_with_another_key().await);
    let nothing = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let key = |name: &'static str, value: String| (name, value);
    let cases: Vec<((&str, String), &[&str])> = vec![
        (
            key("MAGPIE_DIRECTORY__URL", "postgres://m:geheim@h".into()),
            &["directory.url: it names no database"],
        ),
        (
            key("MAGPIE_DIRECTORY__URL", directory.replace("a-password", "geheim")),
            &["directory.url", "password"],
        ),
        (key("MAGPIE_DIRECTORY__URL", url("nothing")), &["directory.url", "nothing", "does not exist"]),
        (
            key("MAGPIE_DIRECTORY__URL", format!("postgres://m:geheim@{nothing}/d")),
            &["directory.url", "not available", "refused"],
        ),
        (
            key("MAGPIE_SHARDS__URLS", list(&[&shards[0], &shards[0]])),
            &["shards.urls: two shards are the same"],
        ),
        (
            key("MAGPIE_SHARDS__URLS", list(&[&shards[0], &url("nothing")])),
            &["shards.urls", "nothing", "does not exist"],
        ),
        (
            key("MAGPIE_SHARDS__URLS", list(&[&shards[0], &directory])),
            &["directory.url: the directory cannot share"],
        ),
        (
            key("MAGPIE_SHARDS__URLS", list(&[&shards[0], &"sqlite:a.db".to_owned()])),
            &["MAGPIE_SHARDS__URLS: shards.urls: directory and shards are either all files"],
        ),
        (
            key("MAGPIE_DIRECTORY__URL", "sqlite:a.db".into()),
            &["shards.urls: directory and shards are either all files, or all in PostgreSQL"],
        ),
        (key("MAGPIE_BLOBS__URL", services.s3.url("nowhere")), &["blobs.url", "nowhere"]),
        (key("MAGPIE_BLOBS__URL", "s3://UPPER".into()), &["blobs.url: a bucket's name has"]),
        (key("AWS_SECRET_ACCESS_KEY", "geheim".into()), &["blobs.url"]),
        (key("AWS_ACCESS_KEY_ID", String::new()), &["blobs.url: S3 needs AWS_ACCESS_KEY_ID"]),
        (key("MAGPIE_BLOBS__URL", "file:blobs".into()), &["blobs.url: other nodes have no files"]),
        (key("MAGPIE_CACHE__URL", locked.url()), &["cache.url", "password"]),
        (key("MAGPIE_BUS__URL", format!("redis://:wrong@{}/0", locked.address())), &["bus.url", "password"]),
        (key("MAGPIE_CACHE__URL", "redis://".into()), &["cache.url", "not the URL of a Redis"]),
        (key("MAGPIE_SEARCH__URL", meili), &["search.url", "does not accept the key", "?key="]),
        (key("MAGPIE_SEARCH__URL", "tantivy:x".into()), &["search.url: other nodes have no index"]),
    ];
    let mut complaints = Vec::new();
    complaints.extend(clocks_apart(&folder, &services, server).await);
    complaints.extend(other_kinds(&folder, &services, &shards[0]).await);
    for ((name, value), wanted) in cases {
        complaints.extend(refused(magpie(&folder, &services, "town", &[(name, &value)]), wanted).await);
    }

    complaints.extend(what_is_found_in_databases(&folder, &services, server, &shards[0]).await);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// A name that is taken, a shard that is missing, schemas of a later version.
async fn what_is_found_in_databases(
    folder: &TempDir,
    services: &Services,
    server: &PostgresCluster,
    shard: &str,
) -> Vec<String> {
    let mut complaints = Vec::new();
    // It runs, and holds its name.
    let mut running = magpie(folder, services, "town", &[("MAGPIE_NODE__NAME", "one")]);
    let mut running = running.stdout(Stdio::piped()).spawn().unwrap();
    until_ready(&mut running).await;
    let wanted = ["node.name: another running node is called `one`"];
    complaints
        .extend(refused(magpie(folder, services, "town", &[("MAGPIE_NODE__NAME", "one")]), &wanted).await);

    // Accounts on a shard that is not named any more.
    let fewer = format!("[\"{shard}\"]");
    let command = magpie(folder, services, "town", &[("MAGPIE_SHARDS__URLS", &fewer)]);
    complaints.extend(refused(command, &["shards.urls", "shard 1", "in its old place"]).await);
    running.kill().await.unwrap();

    let future = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m99990101_000001_later', 0)";
    for (database, key) in [("town_shard_1", "shards.urls"), ("town_directory", "directory.url")] {
        server.query(database, future).await.unwrap();
        complaints.extend(refused(magpie(folder, services, "town", &[]), &[key, "newer version"]).await);
    }
    complaints
}
