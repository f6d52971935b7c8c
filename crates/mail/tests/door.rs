//! Who is let in: by proof, by token, not when banned, not at once when unknown.

#![cfg(test)]

use std::{net::IpAddr, time::Duration};

use mail::{Client, DoorConfig, Error, Offence, Rate};
use sasl::{Exchange, Mechanism, Question, Step};
use testkit::{House, house::PASSWORD};
use tokio_util::sync::CancellationToken;
use types::{EmailAddress, Network, Secret};

const ALICE: &str = "alice@demo.test";

fn from(ip: &str) -> Client {
    Client { ip: Some(ip.parse().unwrap()), name: "test".to_owned() }
}

fn email(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// The client's side of RFC 5802 §3, over the same keys as a server has.
async fn scram(house: &House, user: &str, password: &str) -> mail::Result<mail::Access> {
    let challenge = house.mail.challenge(user, &from("192.0.2.1")).await?;
    let mut exchange = Exchange::new(Mechanism::ScramSha256, None);
    let bare = format!("n={user},r=client");
    let first = exchange.respond(format!("n,,{bare}").as_bytes());
    assert!(matches!(first, Step::Ask(Question::Keys { .. })));
    let Step::Challenge(said) = exchange.keys(challenge.keys(), &challenge.nonce) else { panic!() };
    let last = sasl_client::last(std::str::from_utf8(&said).unwrap(), &bare, password);
    let Step::Challenge(_) = exchange.respond(last.as_bytes()) else { return Err(Error::Credentials) };
    match exchange.respond(b"") {
        Step::Ask(Question::Proven { which }) => house.mail.proven(challenge, which).await,
        other => panic!("{other:?}"),
    }
}

mod sasl_client {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ring::{digest, hmac, pbkdf2};

    pub(super) fn last(server_first: &str, bare: &str, password: &str) -> String {
        let part = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
        let sign = |key: &[u8], text: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
        };
        let (salt, cost) = (STANDARD.decode(part("s=")).unwrap(), part("i=").parse().unwrap());
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, cost, &salt, password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let without_proof = format!("c=biws,r={}", part("r="));
        let message = format!("{bare},{server_first},{without_proof}");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let signature = sign(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<_> = client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
        format!("{without_proof},p={}", STANDARD.encode(proof))
    }
}

#[tokio::test]
async fn proof_of_the_password_lets_in() {
    let house = House::open().await.unwrap();
    assert_eq!(scram(&house, ALICE, PASSWORD).await.unwrap().email().to_string(), ALICE);
    assert!(matches!(scram(&house, ALICE, "wrong-password").await, Err(Error::Credentials)));
    assert!(matches!(scram(&house, "nobody@demo.test", PASSWORD).await, Err(Error::Credentials)));
    let admin = house.mail.admin();
    admin.set_password(&email(ALICE), secret("another-one")).await.unwrap();
    assert!(scram(&house, ALICE, PASSWORD).await.is_err(), "the old password");
    assert!(scram(&house, ALICE, "another-one").await.is_ok());
    admin.set_enabled(&email(ALICE), false).await.unwrap();
    assert!(scram(&house, ALICE, "another-one").await.is_err());
}

#[tokio::test]
async fn nobody_learns_who_is_here() {
    let house = House::open().await.unwrap();
    let salt = async |user: &str| {
        let challenge = house.mail.challenge(user, &from("192.0.2.1")).await.unwrap();
        let text = challenge.keys()[0].to_string();
        text.split('$').nth(1).unwrap().to_owned()
    };
    let (unknown, known) = (salt("nobody@demo.test").await, salt(ALICE).await);
    assert_eq!(unknown, salt("Nobody@demo.test").await, "the same each time");
    assert_ne!(unknown, salt("nobody2@demo.test").await);
    assert_eq!(unknown.split(':').next(), known.split(':').next(), "as hard to try");
    assert_eq!(unknown.len(), known.len());
}

#[tokio::test]
async fn tokens_let_in_whom_they_belong_to() {
    let house = House::open().await.unwrap();
    let client = from("192.0.2.1");
    let (_, token) = house.mail.login(ALICE, &secret(PASSWORD), &client).await.unwrap();
    assert!(house.mail.access_as(None, &token, &client).await.is_ok());
    assert!(house.mail.access_as(Some(ALICE), &token, &client).await.is_ok());
    let others = house.mail.access_as(Some("bob@demo.test"), &token, &client).await;
    assert!(matches!(others, Err(Error::Credentials)));
    assert!(matches!(house.mail.access_as(None, &secret("x"), &client).await, Err(Error::Credentials)));
    // What began with a token ends with the password that the token was got by.
    let access = house.mail.access_as(Some(ALICE), &token, &client).await.unwrap();
    assert!(access.is_still_theirs().await);
    let address = ALICE.parse().unwrap();
    house.mail.admin().set_password(&address, secret("another password")).await.unwrap();
    house.clock.advance(Duration::from_secs(120));
    assert!(!access.is_still_theirs().await);
    let old = house.mail.access_as(Some(ALICE), &token, &client).await;
    assert!(matches!(old, Err(Error::Credentials)), "{:?}", old.map(drop));
    let (_, token) = house.mail.login(ALICE, &secret("another password"), &client).await.unwrap();
    assert!(house.mail.access_as(Some(ALICE), &token, &client).await.is_ok());
    house.mail.logout(&token).await.unwrap();
    assert!(house.mail.access_as(Some(ALICE), &token, &client).await.is_err());
}

/// The same as for a password: who came by something that has ended has to go, and nobody else.
#[tokio::test]
async fn a_program_goes_with_the_session_or_app_password_that_let_it_in() {
    let house = House::open().await.unwrap();
    let client = from("192.0.2.1");
    let connect = async |password: &Secret| house.mail.authenticate(ALICE, password, &client).await;
    let (alice, token) = house.mail.login(ALICE, &secret(PASSWORD), &client).await.unwrap();
    let (_, other) = house.mail.login(ALICE, &secret(PASSWORD), &client).await.unwrap();
    let own = secret(PASSWORD);
    let (phone, by_phone) = alice.add_app_password(" 전화기 ", &own, &client).await.unwrap();
    let (desk, by_desk) = alice.add_app_password("desk", &own, &client).await.unwrap();
    assert_eq!((phone.name.as_str(), phone.used_at), ("전화기", None));
    let by_token = house.mail.access_as(Some(ALICE), &token, &client).await.unwrap();
    let by_other = house.mail.access_as(None, &other, &client).await.unwrap();
    let by_password = connect(&own).await.unwrap();
    let on_phone = connect(&by_phone).await.unwrap();
    let proven = scram(&house, ALICE, by_phone.expose()).await.unwrap();
    let on_desk = connect(&by_desk).await.unwrap();
    let all = [&by_token, &by_other, &by_password, &on_phone, &proven, &on_desk];
    let here = async || {
        let mut here = Vec::new();
        for access in all {
            here.push(access.is_still_theirs().await);
        }
        here
    };
    assert_eq!(here().await, [true; 6]);
    house.clock.advance(Duration::from_secs(60));
    house.mail.logout(&token).await.unwrap();
    assert_eq!(here().await, [false, true, true, true, true, true]);
    alice.remove_app_password(phone.id).await.unwrap();
    assert_eq!(here().await, [false, true, true, false, false, true]);
    assert!(matches!(connect(&by_phone).await, Err(Error::Credentials)));
    assert!(scram(&house, ALICE, by_phone.expose()).await.is_err());
    assert!(matches!(alice.remove_app_password(phone.id).await, Err(Error::NotFound(_))));
    // Who is known to be in is not asked for again with each command.
    house.clock.advance(Duration::from_secs(60));
    assert!(here().await[5] && !on_desk.may_have_ended());
    let listed = alice.app_passwords().await.unwrap();
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [desk.id]);
    // Noted while nobody waits for it.
    house.mail.finish_writes().await;
    assert!(alice.app_passwords().await.unwrap()[0].used_at.is_some());
    // Whoever knew the password may have made them.
    house.mail.admin().set_password(&email(ALICE), secret("another password")).await.unwrap();
    assert_eq!(here().await, [false; 6]);
    assert!(connect(&by_desk).await.is_err());
    assert_eq!(house.mail.admin().app_passwords(&email(ALICE)).await.unwrap(), []);
}

#[tokio::test]
async fn app_passwords_are_for_programs_and_their_owner() {
    let house = House::open().await.unwrap();
    let node =
        house.node_with(mail::Config { app_passwords: 2, ..house.mail.config().clone() }).await.unwrap();
    let client = from("192.0.2.1");
    let (alice, _) = node.login(ALICE, &secret(PASSWORD), &client).await.unwrap();
    let (_, password) = alice.add_app_password("phone", &secret(PASSWORD), &client).await.unwrap();
    let spaced = password.expose().as_bytes().chunks(4).map(|part| std::str::from_utf8(part).unwrap());
    let spaced = secret(&spaced.collect::<Vec<_>>().join(" "));
    for typed in [&password, &spaced] {
        assert_eq!(node.authenticate(ALICE, typed, &client).await.unwrap().id(), alice.id());
        assert!(matches!(node.login(ALICE, typed, &client).await, Err(Error::Credentials)), "not to the API");
        assert!(node.authenticate("bob@demo.test", typed, &client).await.is_err());
        assert!(node.authenticate("nobody@demo.test", typed, &client).await.is_err());
        let by_itself = alice.add_app_password("more", typed, &client).await;
        assert!(
            matches!(&by_itself, Err(Error::Invalid { field, .. }) if field.as_deref() == Some("password"))
        );
    }
    for name in ["", "  ", "two\nlines", &"x".repeat(101)] {
        let refused = alice.add_app_password(name, &secret(PASSWORD), &client).await;
        assert!(matches!(&refused, Err(Error::Invalid { field, .. }) if field.as_deref() == Some("name")));
    }
    alice.add_app_password("desk", &secret(PASSWORD), &client).await.unwrap();
    let more = alice.add_app_password("more", &secret(PASSWORD), &client).await;
    assert!(matches!(&more, Err(Error::Conflict(why)) if why.contains("at most 2")), "{more:?}");
    let admin = node.admin();
    admin.set_enabled(&email(ALICE), false).await.unwrap();
    assert!(node.authenticate(ALICE, &password, &client).await.is_err(), "the account is closed");
    admin.set_enabled(&email(ALICE), true).await.unwrap();
    assert!(node.authenticate(ALICE, &password, &client).await.is_ok());
}

/// Keys of both are proven by one challenge, whichever came first.
#[tokio::test]
async fn a_program_proves_whichever_password_it_has() {
    let house = House::open().await.unwrap();
    let (before, client) = (house.mail.admin(), from("192.0.2.1"));
    // Without keys of the account's own.
    let bob = email("bob@demo.test");
    let (_, first) = before.add_app_password(&bob, "first").await.unwrap();
    assert!(scram(&house, "bob@demo.test", first.expose()).await.is_ok());
    house.mail.authenticate("bob@demo.test", &secret(PASSWORD), &client).await.unwrap();
    let (_, second) = before.add_app_password(&bob, "second").await.unwrap();
    for password in [PASSWORD, first.expose(), second.expose()] {
        assert!(scram(&house, "bob@demo.test", password).await.is_ok(), "{password}");
    }
    assert!(scram(&house, "bob@demo.test", "wrong").await.is_err());
}

/// Nobody is refused; the limits of an account and of an address are each their own.
#[tokio::test]
async fn commands_wait_where_there_are_too_many() {
    let door = DoorConfig {
        commands_per_minute_per_account: 600,
        commands_per_minute_per_address: 1_200,
        ..DoorConfig::default()
    };
    let (house, node) = guarded(door).await;
    let (alice, bob) =
        (house.access(ALICE).await.unwrap().id(), house.access("bob@demo.test").await.unwrap().id());
    let stop = CancellationToken::new();
    let paced = async |client: &str, account, times| {
        let began = std::time::Instant::now();
        for _ in 0..times {
            assert!(node.pace(client.parse().unwrap(), account, &stop, || {}).await);
        }
        began.elapsed()
    };
    paced("192.0.2.1", Some(alice), 600).await;
    assert!(paced("192.0.2.2", Some(alice), 4).await > Duration::from_millis(250), "from elsewhere, too");
    assert!(paced("192.0.2.1", Some(bob), 4).await < Duration::from_millis(200));
    paced("192.0.2.1", None, 596).await;
    assert!(paced("192.0.2.1", None, 4).await > Duration::from_millis(120), "whoever it is");
    let (mut told, client) = (0, "192.0.2.3".parse().unwrap());
    paced("192.0.2.3", Some(alice), 2).await;
    stop.cancel();
    while node.pace(client, Some(alice), &stop, || told += 1).await {}
    assert_eq!(told, 1, "nothing waits when the service is to stop");
}

async fn guarded(door: DoorConfig) -> (House, mail::Service) {
    let house = House::open().await.unwrap();
    let node = house.node_with(mail::Config { door, ..house.mail.config().clone() }).await.unwrap();
    (house, node)
}

#[tokio::test]
async fn offences_end_in_a_ban_that_ends() {
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
    let door = DoorConfig { ban_after: 3, ban_within: 10 * minute, ban_for: hour, ..DoorConfig::default() };
    let (house, node) = guarded(door).await;
    let bad: IpAddr = "192.0.2.66".parse().unwrap();
    for _ in 0..2 {
        node.blame(bad, Offence::Abuse).await;
        assert!(!node.is_banned(bad).await);
    }
    let wrong = node.authenticate(ALICE, &secret("wrong-password"), &from("192.0.2.66")).await;
    assert!(matches!(wrong, Err(Error::Credentials)));
    assert!(node.is_banned(bad).await);
    let right = node.authenticate(ALICE, &secret(PASSWORD), &from("192.0.2.66")).await;
    assert!(matches!(right, Err(Error::Limited { .. })), "not even with the right password");
    assert!(!node.is_banned("192.0.2.67".parse().unwrap()).await);
    let bans = house.mail.admin().bans().await.unwrap();
    assert_eq!((bans[0].network, bans[0].reason.as_str()), (Network::of_client(bad), "wrong passwords"));

    house.clock.advance(hour);
    assert!(!node.is_banned(bad).await, "it is over");
    for _ in 0..3 {
        node.blame(bad, Offence::Abuse).await;
    }
    assert!(node.is_banned(bad).await);
    node.admin().lift_ban(Network::of_client(bad)).await.unwrap();
    assert!(!node.is_banned(bad).await);
    assert!(matches!(node.admin().lift_ban(Network::of_client(bad)).await, Err(Error::NotFound(_))));
    for near in ["127.0.0.1", "::1", "::ffff:10.0.0.1", "192.168.1.1", "fd00::1"] {
        let near: IpAddr = near.parse().unwrap();
        for _ in 0..4 {
            node.blame(near, Offence::Abuse).await;
        }
        assert!(!node.is_banned(near).await, "{near} may be a load balancer");
    }
}

#[tokio::test]
async fn rates_hold_for_addresses_networks_and_domains() {
    let door = DoorConfig {
        connections_per_minute: 2,
        mails_per_hour_per_network: 3,
        mails_per_hour_per_domain: 1,
        ..DoorConfig::default()
    };
    let (_house, node) = guarded(door).await;
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let check = async |client: &str, rate| node.check_rate(ip(client), rate).await.is_ok();
    assert!(check("192.0.2.1", Rate::Connection).await && check("192.0.2.1", Rate::Connection).await);
    assert!(!check("192.0.2.1", Rate::Connection).await);
    assert!(check("192.0.2.2", Rate::Connection).await);
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        assert!(check(client, Rate::Mail).await);
    }
    assert!(!check("192.0.2.4", Rate::Mail).await, "the network has sent enough");
    assert!(check("198.51.100.1", Rate::Mail).await);
    let (alice, bob, other) = (email(ALICE), email("bob@demo.test"), email("x@other.test"));
    assert!(check("192.0.2.1", Rate::To(&alice)).await);
    assert!(!check("198.51.100.1", Rate::To(&bob)).await);
    assert!(check("192.0.2.1", Rate::To(&other)).await);
}

#[tokio::test]
async fn who_comes_back_is_known() {
    let wait = Duration::from_secs(300);
    let (house, node) = guarded(DoorConfig { greylist: Some(wait), ..DoorConfig::default() }).await;
    let (sender, alice) = (email("x@far.test"), email(ALICE));
    let known = async |client: &str, sender: Option<&EmailAddress>| {
        node.is_known(client.parse().unwrap(), sender, &alice).await
    };
    assert!(!known("192.0.2.1", Some(&sender)).await);
    assert!(!known("192.0.2.1", Some(&sender)).await, "too soon");
    house.clock.advance(wait);
    assert!(known("192.0.2.9", Some(&sender)).await, "from a neighbour as well");
    assert!(!known("192.0.2.9", None).await, "another sender");
    assert!(!known("198.51.100.1", Some(&sender)).await, "from elsewhere");
    assert!(house.mail.is_known("192.0.2.1".parse().unwrap(), None, &alice).await, "nobody waits by default");
}

#[tokio::test]
async fn operators_keep_networks_out() {
    let (house, node) = guarded(DoorConfig::default()).await;
    let (admin, hour) = (node.admin(), Duration::from_secs(3_600));
    let network = |text: &str| text.parse::<Network>().unwrap();
    let out = async |client: &str| node.is_banned(client.parse().unwrap()).await;
    let ban = admin.add_ban(network("198.51.100.0/24"), "spam", 2 * hour).await.unwrap();
    assert_eq!((ban.network, ban.reason.as_str()), (network("198.51.100.0/24"), "spam"));
    assert!(out("198.51.100.1").await && out("198.51.100.255").await);
    assert!(!out("198.51.101.1").await);
    let shorter = admin.add_ban(network("198.51.100.0/24"), "again", hour).await.unwrap();
    assert_eq!(shorter, ban, "a ban that lasts longer stays");
    let other = admin.lift_ban(network("198.51.100.7")).await.unwrap_err();
    assert!(other.to_string().contains("198.51.100.0/24"), "{other}");
    admin.lift_ban(network("198.51.100.0/24")).await.unwrap();
    assert!(!out("198.51.100.1").await);

    let ban = admin.add_ban(network("2001:db8::7"), "spam", hour).await.unwrap();
    assert_eq!(ban.network, network("2001:db8::/64"), "that much has one client");
    assert!(out("2001:db8::8").await);
    house.clock.advance(hour);
    assert!(!out("2001:db8::8").await, "it is over");
    for (wide, reason, lasting) in [
        ("0.0.0.0/0", "spam", hour),
        ("10.0.0.0/7", "spam", hour),
        ("2000::/3", "spam", hour),
        ("192.0.2.1", " ", hour),
        ("192.0.2.1", "two\nlines", hour),
        ("192.0.2.1", "spam", Duration::ZERO),
    ] {
        let refused = admin.add_ban(network(wide), reason, lasting).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{wide} {reason}");
    }
}
