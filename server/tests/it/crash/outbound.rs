//! The same for mail on its way to other servers: all of it arrives, and only what was in flight may arrive twice.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use testkit::{Script, Sink};

use super::{
    load::{self, Acknowledged},
    node::{self, Node},
};

const ROUNDS: u64 = 15;
const CONNECTIONS: u32 = 2;
const CAROL: &str = "carol@far.test";

#[test]
fn mail_on_its_way_out_is_not_lost_and_only_what_was_in_flight_is_repeated() {
    let rounds = std::env::var("CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let folder = tempfile::tempdir().unwrap();
    node::create_accounts(folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let sink = runtime.block_on(Sink::start(Script::default())).unwrap();
    let relay = sink.address().to_string();
    // One at a time is in flight.
    let settings = [("MAGPIE_SMTP__RELAY", relay.as_str()), ("MAGPIE_QUEUE__WORKERS", "1")];
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    for round in 0..rounds {
        let node = Node::start_with(folder.path(), &settings);
        let load = |n| load::rest(&node, CAROL, round, n, Arc::clone(&acknowledged));
        let loads: Vec<_> = (0..CONNECTIONS).map(load).collect();
        load::run_for(Duration::from_millis(60 + round * 37 % 400));
        node.kill();
        loads.into_iter().for_each(|load| load.join().unwrap());
    }
    let _node = Node::start_with(folder.path(), &settings);
    let sent = &acknowledged.lock().unwrap().sent;
    assert!(sent.len() as u64 > rounds, "too little was sent to mean anything");
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut counts = arrived(&sink);
    while !sent.iter().all(|subject| counts.contains_key(subject)) && Instant::now() < deadline {
        load::run_for(Duration::from_millis(200));
        counts = arrived(&sink);
    }
    let lost: HashSet<_> = sent.iter().filter(|subject| !counts.contains_key(*subject)).collect();
    assert!(lost.is_empty(), "{} of {} lost, e.g. {:?}", lost.len(), sent.len(), lost.iter().next());
    let repeated: u64 = counts.values().map(|count| count - 1).sum();
    assert!(repeated <= rounds, "{repeated} repeated over {rounds} crashes");
    println!("{} sent, {repeated} repeated over {rounds} crashes", sent.len());
}

/// How often each subject arrived.
fn arrived(sink: &Sink) -> HashMap<String, u64> {
    let mut counts = HashMap::new();
    for mail in sink.received() {
        let text = String::from_utf8_lossy(&mail.data).into_owned();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default();
        *counts.entry(subject.to_owned()).or_default() += 1;
    }
    counts
}
