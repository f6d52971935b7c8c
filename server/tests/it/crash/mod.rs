//! Kill -9 at random moments under SMTP and REST load: what was acknowledged is there, once.
//!
//! `CRASH_ROUNDS` sets how many rounds; each starts the real program on the same data folder, loads it for a
//! moment from several connections, and kills it. After the last one everything is counted.

mod load;
mod node;
mod outbound;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use load::Acknowledged;
use node::{Node, Session};

const ROUNDS: u64 = 50;
const SMTP_CONNECTIONS: u32 = 4;
const REST_CONNECTIONS: u32 = 2;
const BOB: &str = "bob@crash.test";

#[test]
fn nothing_acknowledged_is_lost_or_doubled() {
    let rounds = std::env::var("CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let folder = tempfile::tempdir().unwrap();
    node::create_accounts(folder.path());
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    for round in 0..rounds {
        let node = Node::start(folder.path());
        let loads: Vec<_> = (0..SMTP_CONNECTIONS)
            .map(|n| load::smtp(&node, round, n, Arc::clone(&acknowledged)))
            .chain((0..REST_CONNECTIONS).map(|n| load::rest(&node, BOB, round, n, Arc::clone(&acknowledged))))
            .collect();
        // A different moment each round, early and late; the load itself says when it runs.
        load::run_for(Duration::from_millis(40 + round * 37 % 400));
        node.kill();
        for load in loads {
            load.join().unwrap();
        }
    }
    let node = Node::start(folder.path());
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.received.len() as u64 > rounds, "too little was acknowledged to mean anything");
    assert!(acknowledged.sent.len() as u64 > rounds / 2, "too little was sent to mean anything");
    let alice = node.login("alice@crash.test");
    let bob = node.login("bob@crash.test");
    check("alice's inbox", &acknowledged.received, &alice.subjects("inbox"));
    check("alice's sent mail", &acknowledged.sent, &alice.subjects("sent"));
    wait_until_delivered(&bob, &acknowledged.sent);
    check("bob's inbox", &acknowledged.sent, &bob.subjects("inbox"));
    println!(
        "{} received, {} sent over {rounds} crashes",
        acknowledged.received.len(),
        acknowledged.sent.len()
    );
}

/// Every acknowledged subject is there, and none is there twice.
fn check(place: &str, acknowledged: &HashSet<String>, found: &[String]) {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for subject in found {
        *counts.entry(subject).or_default() += 1;
    }
    let lost: Vec<_> = acknowledged.iter().filter(|subject| !counts.contains_key(subject.as_str())).collect();
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(
        lost.is_empty(),
        "{place}: {} of {} lost, e.g. {:?}",
        lost.len(),
        acknowledged.len(),
        lost.first()
    );
    assert!(doubled.is_empty(), "{place}: {} doubled, e.g. {:?}", doubled.len(), doubled.first());
}

/// The queue goes on by itself after the last start.
fn wait_until_delivered(bob: &Session, sent: &HashSet<String>) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let found: HashSet<String> = bob.subjects("inbox").into_iter().collect();
        if sent.is_subset(&found) || Instant::now() > deadline {
            return;
        }
        load::run_for(Duration::from_millis(200));
    }
}
