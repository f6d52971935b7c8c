//! The first connection: what stops a node, and what does not.

use cluster::{Cache as _, Redis, RedisError, RedisOptions};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use types::Secret;

use crate::{cache_of, node, until};

async fn connect(url: &str) -> Result<Redis, RedisError> {
    Redis::connect(&Secret::new(url.to_owned()), RedisOptions { prefix: "test".into(), node: 1 }).await
}

/// One line that says what is wrong, without the password.
async fn refused(url: &str, words: &str) {
    let error = connect(url).await.expect_err(url).to_string();
    assert!(error.contains(words), "{url}: {error}");
    assert!(!error.contains("s3cret") && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn passwords_and_databases() {
    let server = testkit::Redis::with(&["--requirepass", "right-s3cret/?"]).await.unwrap();
    let at = server.address();
    refused(&format!("redis://{at}"), "it wants a password").await;
    refused(&format!("redis://:wrong-s3cret@{at}"), "wrong user or password").await;
    refused(&format!("redis://nobody:right-s3cret@{at}"), "wrong user or password").await;
    refused(&format!("redis://:right-s3cret%2F%3F@{at}/99"), "database").await;
    let redis = connect(&format!("redis://:right-s3cret%2F%3F@{at}/1")).await.unwrap();
    assert!(redis.is_there());
    assert!(!format!("{redis:?} {:?}", cache_of(&redis)).contains("s3cret"));
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let user = ["--user", "mail", "on", ">s3cret", "~test:*", "&*", "+@all", "-eval", "-evalsha"];
    let server = testkit::Redis::with(&user).await.unwrap();
    refused(&format!("redis://mail:s3cret@{}", server.address()), "lacks a right").await;
}

#[tokio::test]
async fn what_is_no_redis() {
    for greeting in ["220 mail.example.org ESMTP\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://:s3cret@{}", listener.local_addr().unwrap());
        let answer = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            peer.write_all(greeting.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = refused(&url, "does not speak Redis' protocol") => {}
            () = answer => {}
        }
    }
}

#[tokio::test]
async fn certificates_are_checked() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let (certificate, key, port) = (certificate.to_str().unwrap(), key.to_str().unwrap(), port.to_string());
    let options = ["--tls-port", &port, "--tls-cert-file", certificate, "--tls-key-file", key];
    let _server =
        testkit::Redis::with(&[&options[..], &["--tls-auth-clients", "no"]].concat()).await.unwrap();
    refused(&format!("rediss://:s3cret@localhost:{port}"), "no TLS").await;
}

#[tokio::test]
async fn one_that_is_down_stops_nobody() {
    let mut server = testkit::Redis::start().await.unwrap();
    server.stop().await.unwrap();
    let node = node(&server, 1).await;
    assert!(!node.is_there());
    let cache = cache_of(&node);
    assert_eq!(cache.get("key").await, None);
    server.again().await.unwrap();
    until("it is found", async || node.is_there()).await;
}

#[tokio::test]
async fn prefixes_are_checked() {
    for prefix in ["", "two words", "a:b", "*", &"x".repeat(41)] {
        let options = RedisOptions { prefix: prefix.to_owned(), node: 1 };
        let error =
            Redis::connect(&Secret::new("redis://127.0.0.1:1".to_owned()), options).await.unwrap_err();
        assert!(matches!(error, RedisError::Prefix(_)), "{prefix}");
    }
}
