//! Who is let in.

use std::sync::atomic::Ordering;
use std::time::Duration;

use endpoints::smtp::{HelloCheck, Policy};
use mail::Offence;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::Client;
use crate::store::{Options, Site};

fn asking(policy: Policy) -> Options {
    Options { policy, ..Options::default() }
}

#[tokio::test]
async fn whoever_is_banned_hears_it_at_the_door() {
    let site = Site::start(Options::default()).await;
    site.store.bans.store(true, Ordering::Relaxed);
    for address in [site.mx, site.submission] {
        let mut client = Client::open(address).await;
        client.expect("554 5.7.1").await;
        client.expect_end().await;
    }
    let trusted = asking(Policy { trusted: vec!["127.0.0.0/8".parse().unwrap()], ..Policy::default() });
    let site = Site::start(trusted).await;
    site.store.bans.store(true, Ordering::Relaxed);
    Client::greeted(site.mx).await;
}

#[tokio::test]
async fn whoever_speaks_first_is_turned_away() {
    let site =
        Site::start(asking(Policy { patience: Some(Duration::from_secs(5)), ..Policy::default() })).await;
    let mut stream = TcpStream::connect(site.mx).await.unwrap();
    stream.write_all(b"EHLO early\r\nMAIL FROM:<a@far.test>\r\n").await.unwrap();
    let mut client = Client::over(stream);
    client.expect("554 5.7.1 The greeting comes first").await;
    client.expect_hang_up().await;
    assert_eq!(*site.store.blamed.lock().unwrap(), [Offence::Abuse]);

    let site = Site::start(asking(Policy { patience: Some(Duration::ZERO), ..Policy::default() })).await;
    let mut patient = Client::greeted(site.mx).await;
    patient.mail("a@far.test", &["bob@demo.test"], b"x\r\n", "250").await;
}

#[tokio::test]
async fn too_many_errors_are_an_offence() {
    let limits = smtp::Limits { errors: 2, ..smtp::Limits::default() };
    let site = Site::start(Options { limits, ..Options::default() }).await;
    let mut client = Client::greeted(site.mx).await;
    client.say("X", "500").await;
    client.say("Y", "500").await;
    client.say("Z", "421 4.7.0 Too many errors").await;
    client.expect_end().await;
    assert_eq!(*site.store.blamed.lock().unwrap(), [Offence::Abuse]);
}

#[tokio::test]
async fn errors_are_answered_slowly() {
    let policy = Policy { tarpit_after: 1, tarpit: Duration::from_millis(60), ..Policy::default() };
    let site = Site::start(asking(policy)).await;
    let mut client = Client::greeted(site.mx).await;
    let begun = tokio::time::Instant::now();
    client.say("X", "500").await;
    client.say("Y", "500").await;
    client.say("NOOP", "250").await;
    assert!(begun.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn this_machine_may_call_itself_anything() {
    let site = Site::start(asking(Policy { hello: HelloCheck::FullName, ..Policy::default() })).await;
    let mut client = Client::greeted(site.mx).await;
    client.say("EHLO mx.test", "250").await;
    client.say("MAIL FROM:<a@far.test>", "250").await;
}
