//! Sessions on several nodes: what ends on one has ended on all, and how long it may last where it is not heard.

#![cfg(test)]

use std::{sync::Arc, time::Duration};

use cluster::{Cache, LocalCache, Redis, RedisOptions};
use mail::{Client, Error, Service};
use testkit::{House, PostgresCluster, house::PASSWORD};
use tokio::time::{Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{EmailAddress, Secret};

const ALICE: &str = "alice@demo.test";
const BOB: &str = "bob@demo.test";
/// What ARCHITECTURE.md promises.
const BOUND: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

async fn login(node: &Service, email: &str) -> Secret {
    node.login(email, &Secret::new(PASSWORD.to_owned()), &Client::default()).await.unwrap().1
}

/// Whose session it is, as the node sees it; `None`: nobody's.
async fn who(node: &Service, token: &Secret) -> Option<String> {
    match node.access(token).await {
        Ok(access) => Some(access.email().to_string()),
        Err(Error::Unauthenticated) => None,
        Err(other) => panic!("{other}"),
    }
}

fn alice() -> EmailAddress {
    ALICE.parse().unwrap()
}

/// Ways to end Alice's session.
#[derive(Debug, Clone, Copy)]
enum End {
    Logout,
    Password,
    Disable,
    /// Closed, and opened again at once.
    Reopen,
    Remove,
}

impl End {
    const ALL: [Self; 5] = [Self::Logout, Self::Password, Self::Disable, Self::Reopen, Self::Remove];

    async fn on(self, node: &Service, token: &Secret) {
        let password = Secret::new("another password".to_owned());
        match self {
            Self::Logout => node.logout(token).await.unwrap(),
            Self::Password => node.admin().set_password(&alice(), password).await.unwrap(),
            Self::Disable => node.admin().set_enabled(&alice(), false).await.unwrap(),
            Self::Reopen => {
                node.admin().set_enabled(&alice(), false).await.unwrap();
                node.admin().set_enabled(&alice(), true).await.unwrap();
            }
            Self::Remove => node.admin().remove_account(&alice()).await.unwrap(),
        }
    }
}

/// Two nodes that share a Redis.
async fn two_nodes(house: &House, server: &testkit::Redis) -> [(Service, Redis); 2] {
    let node = async |number| {
        let options = RedisOptions { prefix: "test".into(), node: number };
        let redis = Redis::connect(&Secret::new(server.url()), options).await.unwrap();
        let cache: Arc<dyn Cache> = Arc::new(redis.cache(LocalCache::new(1 << 20)));
        (house.node(cache).await.unwrap(), redis)
    };
    [node(1).await, node(2).await]
}

#[tokio::test]
async fn what_ends_on_one_node_has_ended_on_all() {
    let server = testkit::Redis::start().await.unwrap();
    for end in End::ALL {
        let house = House::open().await.unwrap();
        let [(one, _), (other, _)] = two_nodes(&house, &server).await;
        let (token, bobs) = (login(&one, ALICE).await, login(&one, BOB).await);
        let again = login(&other, ALICE).await;
        for node in [&one, &other] {
            for (token, owner) in [(&token, ALICE), (&again, ALICE), (&bobs, BOB)] {
                for _ in 0..2 {
                    assert_eq!(who(node, token).await.as_deref(), Some(owner), "{end:?}");
                }
            }
        }
        end.on(&other, &token).await;
        let only_one = matches!(end, End::Logout).then(|| ALICE.to_owned());
        for node in [&other, &one] {
            for _ in 0..2 {
                assert_eq!(who(node, &token).await, None, "{end:?}");
                assert_eq!(who(node, &again).await, only_one, "{end:?}");
                assert_eq!(who(node, &bobs).await.as_deref(), Some(BOB), "{end:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_node_does_not_hear_of_ends_in_time() {
    for end in End::ALL {
        let house = House::open().await.unwrap();
        // As a command beside the server does it: with the databases and a memory of its own.
        let command = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
        let token = login(&house.mail, ALICE).await;
        assert!(who(&house.mail, &token).await.is_some());
        end.on(&command, &token).await;
        assert_eq!(who(&command, &token).await, None, "{end:?}");
        assert!(who(&house.mail, &token).await.is_some(), "{end:?}: the directory is not asked each time");
        house.clock.advance(BOUND);
        assert_eq!(who(&house.mail, &token).await, None, "{end:?}");
    }
}

/// A node that listens to the directory's notes knows of it within a moment, and asks no more than before of others.
#[tokio::test]
async fn what_a_command_ends_has_ended_in_a_moment() {
    for end in [End::Password, End::Disable, End::Reopen, End::Remove] {
        let house = House::open().await.unwrap();
        let command = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
        let (token, bobs) = (login(&house.mail, ALICE).await, login(&house.mail, BOB).await);
        for token in [&token, &bobs] {
            assert!(who(&house.mail, token).await.is_some());
        }
        let alice = house.access(ALICE).await.unwrap();
        let stop = CancellationToken::new();
        let node = house.mail.clone();
        let (listens, until) = (node.clone(), stop.clone());
        let listening = TaskTracker::new().spawn(async move { listens.run_endings(until).await });
        end.on(&command, &token).await;
        let deadline = Instant::now() + Duration::from_secs(5);
        while who(&node, &token).await.is_some() {
            assert!(Instant::now() < deadline, "{end:?}: it goes on");
            sleep(Duration::from_millis(20)).await;
        }
        assert!(alice.may_have_ended(), "{end:?}: connections that stay look as well");
        assert!(!house.access(BOB).await.unwrap().may_have_ended());
        assert_eq!(who(&node, &bobs).await.as_deref(), Some(BOB), "{end:?}");
        if matches!(end, End::Password) {
            let secret = Secret::new("another password".to_owned());
            let deadline = Instant::now() + Duration::from_secs(5);
            let (_, again) = loop {
                match node.login(ALICE, &secret, &Client::default()).await {
                    Ok(again) => break again,
                    // For two seconds it knows the old one.
                    Err(error) => assert!(Instant::now() < deadline, "{error}"),
                }
                sleep(Duration::from_millis(100)).await;
            };
            assert_eq!(who(&node, &again).await.as_deref(), Some(ALICE), "who logs in again is in");
        }
        stop.cancel();
        listening.await.unwrap();
    }
}

/// A node that has not heard of the end yet knows the session for a moment; nobody logs in to stay by it.
#[tokio::test]
async fn a_connection_does_not_begin_by_a_session_that_has_ended() {
    for end in End::ALL {
        let house = House::open().await.unwrap();
        let command = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
        let (token, client) = (login(&house.mail, ALICE).await, Client::default());
        assert!(who(&house.mail, &token).await.is_some());
        let connected = house.mail.access_as(Some(ALICE), &token, &client).await.unwrap();
        assert_eq!(connected.email().to_string(), ALICE);
        let bobs = house.mail.access_as(Some(BOB), &token, &client).await;
        assert!(matches!(bobs, Err(Error::Credentials)), "it is not Bob's");
        end.on(&command, &token).await;
        for user in [None, Some(ALICE)] {
            let late = house.mail.access_as(user, &token, &client).await;
            assert!(matches!(late, Err(Error::Credentials)), "{end:?}: {user:?}");
        }
    }
}

/// There is no room for a row of the directory: people get in all the same, and out when they are to.
#[tokio::test]
async fn a_full_disk_keeps_nobody_from_their_mail() {
    let cluster = PostgresCluster::start().await.unwrap();
    let house = House::open_on_postgres(&cluster).await.unwrap();
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
                CREATE TRIGGER full_disk BEFORE INSERT ON session FOR EACH ROW EXECUTE FUNCTION full_disk()";
    cluster.query("directory", full).await.unwrap();
    let node = &house.mail;
    let (token, bobs) = (login(node, ALICE).await, login(node, BOB).await);
    let again = login(node, ALICE).await;
    for _ in 0..2 {
        assert_eq!(who(node, &token).await.as_deref(), Some(ALICE));
        assert_eq!(who(node, &bobs).await.as_deref(), Some(BOB));
    }
    node.logout(&token).await.unwrap();
    assert_eq!(who(node, &token).await, None);
    assert_eq!(who(node, &again).await.as_deref(), Some(ALICE));
    node.admin().set_password(&alice(), Secret::new("another password".to_owned())).await.unwrap();
    assert_eq!(who(node, &again).await, None, "it began with another password");
    node.admin().set_enabled(&BOB.parse().unwrap(), false).await.unwrap();
    assert_eq!(who(node, &bobs).await, None);
    let other = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    assert_eq!(who(&other, &again).await, None, "it is this node's");
    cluster.query("directory", "DROP TRIGGER full_disk ON session").await.unwrap();
    let wrong = node.login(ALICE, &Secret::new(PASSWORD.to_owned()), &Client::default()).await;
    assert!(matches!(wrong, Err(Error::Credentials)), "{wrong:?}");
}

#[tokio::test]
async fn an_outage_of_redis_ends_no_session_and_keeps_none_for_long() {
    let mut server = testkit::Redis::start().await.unwrap();
    let house = House::open().await.unwrap();
    let [(one, _), (other, redis)] = two_nodes(&house, &server).await;
    let (token, bobs) = (login(&one, ALICE).await, login(&one, BOB).await);
    for node in [&one, &other] {
        assert!(who(node, &token).await.is_some() && who(node, &bobs).await.is_some());
    }
    server.stop().await.unwrap();
    one.logout(&token).await.unwrap();
    assert_eq!(who(&one, &token).await, None, "where it ended, at once");
    house.clock.advance(BOUND);
    assert_eq!(who(&other, &token).await, None, "elsewhere in time");
    let new = login(&other, ALICE).await;
    for node in [&one, &other] {
        assert_eq!(who(node, &bobs).await.as_deref(), Some(BOB));
        assert_eq!(who(node, &new).await.as_deref(), Some(ALICE));
    }

    server.again().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !redis.is_there() {
        assert!(Instant::now() < deadline, "Redis is not found again");
        sleep(Duration::from_millis(5)).await;
    }
    for node in [&one, &other] {
        assert_eq!(who(node, &token).await, None);
        assert_eq!(who(node, &bobs).await.as_deref(), Some(BOB));
    }
}

#[tokio::test]
async fn a_session_that_is_known_ends_with_its_time() {
    let house = House::open().await.unwrap();
    let token = login(&house.mail, ALICE).await;
    house.clock.advance(house.mail.config().session_lifetime - SECOND);
    assert!(who(&house.mail, &token).await.is_some());
    house.clock.advance(SECOND);
    assert_eq!(who(&house.mail, &token).await, None);
}

#[tokio::test]
async fn who_is_unknown_now_may_be_known_in_a_moment() {
    let house = House::open().await.unwrap();
    let admin = house.mail.admin();
    admin.set_enabled(&alice(), false).await.unwrap();
    assert_eq!(who(&house.mail, &Secret::new("x".to_owned())).await, None);
    admin.set_enabled(&alice(), true).await.unwrap();
    let token = login(&house.mail, ALICE).await;
    assert!(who(&house.mail, &token).await.is_some());
    house.mail.logout(&token).await.unwrap();
    let token = login(&house.mail, ALICE).await;
    assert!(who(&house.mail, &token).await.is_some());
}

/// Whoever was in when the account was closed is out, though it is open again; whoever logs in then is in, whatever is
/// heard of others' ends later.
#[tokio::test]
async fn a_connection_ends_by_the_notes_after_its_login() {
    let house = House::open().await.unwrap();
    let command = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    let secret = Secret::new(PASSWORD.to_owned());
    let connect =
        async |email: &str| house.mail.authenticate(email, &secret, &Client::default()).await.unwrap();
    let close_and_open = async |node: &Service, email: &str| {
        let email: EmailAddress = email.parse().unwrap();
        node.admin().set_enabled(&email, false).await.unwrap();
        node.admin().set_enabled(&email, true).await.unwrap();
    };
    // On the node itself, where another's end comes right behind.
    let (before, bob) = (connect(ALICE).await, connect(BOB).await);
    close_and_open(&house.mail, ALICE).await;
    let after = connect(ALICE).await;
    close_and_open(&house.mail, BOB).await;
    for (access, wanted) in [(&before, false), (&after, true), (&bob, false)] {
        assert_eq!(access.is_still_theirs().await, wanted);
    }
    // By a command beside it, once the node listens: ends of several are heard at once, each by its own number.
    let stop = CancellationToken::new();
    let (listens, until) = (house.mail.clone(), stop.clone());
    let listening = TaskTracker::new().spawn(async move { listens.run_endings(until).await });
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let before = connect(ALICE).await;
        close_and_open(&command, ALICE).await;
        let after = connect(ALICE).await;
        close_and_open(&command, BOB).await;
        let soon = Instant::now() + Duration::from_secs(3);
        while before.is_still_theirs().await && Instant::now() < soon {
            sleep(Duration::from_millis(20)).await;
        }
        // What was there when it began to listen it takes for known.
        if !before.is_still_theirs().await {
            assert!(after.is_still_theirs().await && after.is_valid().await.unwrap());
            break;
        }
        assert!(Instant::now() < deadline, "it goes on");
    }
    stop.cancel();
    listening.await.unwrap();
}
