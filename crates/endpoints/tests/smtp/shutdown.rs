//! Stopping without losing anything.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::client::Client;
use crate::store::{Options, Site};

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn transactions_end_and_the_idle_are_told() {
    let site = Site::start(Options::default()).await;
    let mut idle = Client::greeted(site.mx).await;
    let mut busy = Client::greeted(site.mx).await;
    busy.say("MAIL FROM:<a@far.test>", "250").await;
    busy.say("RCPT TO:<bob@demo.test>", "250").await;
    busy.say("DATA", "354").await;

    let server = site.server.clone();
    let shutdown = tokio_util::task::TaskTracker::new().spawn(async move { server.shutdown(LONG).await });
    idle.expect("421 4.3.2").await;
    idle.expect_end().await;
    busy.send(b"x\r\n.\r\n").await;
    busy.expect("250 2.0.0").await;
    busy.expect("421 4.3.2").await;
    busy.expect_end().await;
    shutdown.await.unwrap();
    assert!(TcpStream::connect(site.mx).await.is_err());
    assert_eq!(site.store.mails().len(), 1);
}

#[tokio::test]
async fn a_mail_that_is_being_stored_is_waited_for() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    client.say("MAIL FROM:<slow@far.test>", "250").await;
    client.say("RCPT TO:<bob@demo.test>", "250").await;
    client.say("DATA", "354").await;
    client.send(b"x\r\n.\r\n").await;
    let server = site.server.clone();
    let shutdown = tokio_util::task::TaskTracker::new().spawn(async move { server.shutdown(LONG).await });
    tokio::task::yield_now().await;
    site.store.permits.add_permits(1);
    client.expect("250 2.0.0").await;
    client.expect("421").await;
    shutdown.await.unwrap();
}

#[tokio::test]
async fn after_the_grace_time_everybody_is_let_go() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    client.say("MAIL FROM:<a@far.test>", "250").await;
    site.server.shutdown(Duration::ZERO).await;
    client.expect_end().await;
}
