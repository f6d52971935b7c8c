//! What [`Door`](crate::Door) promises.

use std::{net::IpAddr, time::Duration};

use types::{AccountId, EmailAddress, Network, Secret, Timestamp};

use super::directory::{NOW, add, email};
use crate::{Ban, Directory, Error, Group};

pub(super) async fn run(directory: &dyn Directory) {
    operators_are_made(directory).await;
    keys_belong_to_a_password(directory).await;
    secrets_are_made_once(directory).await;
    groups_are_addresses(directory).await;
    the_smallest_limit_counts(directory).await;
    bans_end(directory).await;
}

async fn operators_are_made(directory: &dyn Directory) {
    let operator = add(directory, "operator@demo.test").await;
    let admins =
        async || -> Vec<_> { directory.admins().await.unwrap().into_iter().map(|admin| admin.id).collect() };
    assert!(!operator.admin && !directory.is_admin(operator.id).await.unwrap());
    assert_eq!(admins().await, []);
    assert!(directory.set_admin(operator.id, true).await.unwrap());
    assert!(directory.is_admin(operator.id).await.unwrap());
    assert!(directory.account(operator.id).await.unwrap().unwrap().admin);
    let second = add(directory, "second.operator@demo.test").await;
    assert!(directory.set_admin(second.id, true).await.unwrap());
    assert_eq!(admins().await, [operator.id, second.id]);
    directory.set_enabled(operator.id, false).await.unwrap();
    assert!(!directory.is_admin(operator.id).await.unwrap(), "nobody who cannot log in");
    assert_eq!(admins().await, [second.id]);
    assert!(directory.remove_account(second.id).await.unwrap());
    assert_eq!(admins().await, []);
    directory.set_enabled(operator.id, true).await.unwrap();
    assert!(directory.set_admin(operator.id, false).await.unwrap());
    assert!(!directory.is_admin(operator.id).await.unwrap());
    assert!(!directory.set_admin(AccountId(i64::MAX), true).await.unwrap());
    assert!(!directory.is_admin(AccountId(i64::MAX)).await.unwrap());
    assert!(directory.remove_account(operator.id).await.unwrap());
}

async fn keys_belong_to_a_password(directory: &dyn Directory) {
    let owner = add(directory, "keys@demo.test").await;
    let secret = |text: &str| Secret::new(text.to_owned());
    assert_eq!(directory.password_keys(owner.id).await.unwrap(), None);
    assert!(!directory.keep_password_keys(owner.id, &secret("old"), &secret("k")).await.unwrap());
    assert!(directory.keep_password_keys(owner.id, &owner.password_hash, &secret("k")).await.unwrap());
    assert_eq!(directory.password_keys(owner.id).await.unwrap(), Some(secret("k")));
    directory.set_password(owner.id, secret("new")).await.unwrap();
    assert_eq!(directory.password_keys(owner.id).await.unwrap(), None, "those of the old password");
    assert_eq!(directory.password_keys(AccountId(i64::MAX)).await.unwrap(), None);
}

async fn secrets_are_made_once(directory: &dyn Directory) {
    assert_eq!(directory.secret("one", [1; 32]).await.unwrap(), [1; 32]);
    assert_eq!(directory.secret("one", [2; 32]).await.unwrap(), [1; 32]);
    assert_eq!(directory.secret("two", [2; 32]).await.unwrap(), [2; 32]);
}

async fn groups_are_addresses(directory: &dyn Directory) {
    let owner = add(directory, "chair@demo.test").await;
    let targets =
        |targets: &[&str]| targets.iter().map(|target| email(target)).collect::<Vec<EmailAddress>>();
    let team = Group {
        address: email("Team@demo.test"),
        owner: owner.id,
        targets: targets(&["z@elsewhere.test", "chair@demo.test"]),
    };
    assert_eq!(directory.group(&email("team@demo.test")).await.unwrap(), None);
    assert!(directory.set_group(&team).await.unwrap());
    assert_eq!(directory.group(&email("TEAM@demo.test")).await.unwrap(), Some(team.clone()));
    assert_eq!(directory.resolve(&team.address).await.unwrap(), Some(owner.id), "it answers for the group");
    let smaller = Group { targets: targets(&["a@elsewhere.test"]), ..team.clone() };
    assert!(directory.set_group(&smaller).await.unwrap());
    assert_eq!(directory.groups().await.unwrap(), std::slice::from_ref(&smaller));

    let taken = Group { address: owner.email.clone(), ..smaller.clone() };
    assert!(matches!(directory.set_group(&taken).await, Err(Error::Exists(_))));
    let taken = directory.add_alias(owner.id, &team.address).await;
    assert!(matches!(taken, Err(Error::Exists(_))));
    let foreign = Group { address: email("team@elsewhere.test"), ..smaller.clone() };
    assert!(!directory.set_group(&foreign).await.unwrap());
    let nobodys = Group { owner: AccountId(i64::MAX), address: email("x@demo.test"), ..smaller };
    assert!(!directory.set_group(&nobodys).await.unwrap());

    assert!(directory.remove_alias(&team.address).await.unwrap());
    assert_eq!(directory.group(&team.address).await.unwrap(), None);
    assert!(directory.set_group(&team).await.unwrap());
    assert!(directory.remove_account(owner.id).await.unwrap());
    assert_eq!(directory.group(&team.address).await.unwrap(), None, "nobody answers for it");
    assert!(directory.groups().await.unwrap().is_empty());
}

async fn the_smallest_limit_counts(directory: &dyn Directory) {
    let of = |subjects: &[&str]| subjects.iter().map(|subject| (*subject).to_owned()).collect::<Vec<_>>();
    let both = of(&["a@demo.test", "demo.test"]);
    assert_eq!(directory.message_limit(&both).await.unwrap(), None);
    directory.set_message_limit("demo.test", Some(2_000)).await.unwrap();
    assert_eq!(directory.message_limit(&both).await.unwrap(), Some(2_000));
    directory.set_message_limit("a@demo.test", Some(3_000)).await.unwrap();
    assert_eq!(directory.message_limit(&both).await.unwrap(), Some(2_000));
    directory.set_message_limit("a@demo.test", Some(1_000)).await.unwrap();
    assert_eq!(directory.message_limit(&both).await.unwrap(), Some(1_000));
    directory.set_message_limit("a@demo.test", None).await.unwrap();
    directory.set_message_limit("demo.test", None).await.unwrap();
    assert_eq!(directory.message_limit(&both).await.unwrap(), None);
}

async fn bans_end(directory: &dyn Directory) {
    let later = |seconds| NOW.plus(Duration::from_secs(seconds));
    let ban = |network: &str, from: Timestamp, until| Ban {
        network: network.parse().unwrap(),
        reason: "wrong passwords".to_owned(),
        created_at: from,
        expires_at: until,
    };
    let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "2001:db8::".parse().unwrap());
    assert_eq!(directory.banned(v4, NOW).await.unwrap(), None);
    directory.ban(&ban("192.0.2.1", NOW, later(10))).await.unwrap();
    directory.ban(&ban("2001:db8::/64", later(1), later(20))).await.unwrap();
    assert_eq!(directory.banned(v4, NOW).await.unwrap(), Some(ban("192.0.2.1", NOW, later(10))));
    assert_eq!(directory.banned(v4, later(10)).await.unwrap(), None, "it is over");
    let networks: Vec<_> = directory.bans(NOW).await.unwrap().iter().map(|ban| ban.network).collect();
    assert_eq!(networks, [Network::of_client(v6), Network::of_client(v4)], "the newest first");
    directory.ban(&ban("192.0.2.1", later(5), later(30))).await.unwrap();
    assert!(directory.banned(v4, later(20)).await.unwrap().is_some(), "for longer");
    directory.ban(&ban("192.0.2.1", later(6), later(7))).await.unwrap();
    assert!(directory.banned(v4, later(20)).await.unwrap().is_some(), "never for less");
    assert_eq!(directory.bans(later(25)).await.unwrap().len(), 1);
    assert_eq!(directory.expire_bans(later(25)).await.unwrap(), 1);
    assert!(directory.lift(Network::of_client(v4)).await.unwrap());
    assert!(!directory.lift(Network::of_client(v4)).await.unwrap());
    assert_eq!(directory.banned(v4, NOW).await.unwrap(), None);
    bans_hold_for_all_of_a_network(directory).await;
}

async fn bans_hold_for_all_of_a_network(directory: &dyn Directory) {
    let until = |seconds| NOW.plus(Duration::from_secs(seconds));
    for (network, expires_at) in
        [("198.51.100.0/24", until(50)), ("198.51.100.7/32", until(9)), ("2001:db8:1::/48", until(50))]
    {
        let ban =
            Ban { network: network.parse().unwrap(), reason: "spam".to_owned(), created_at: NOW, expires_at };
        directory.ban(&ban).await.unwrap();
    }
    let out = async |client: &str| directory.banned(client.parse().unwrap(), NOW).await.unwrap();
    assert_eq!(out("198.51.100.7").await.unwrap().expires_at, until(50), "the one that lasts longest");
    assert!(out("198.51.100.200").await.is_some());
    assert!(out("2001:db8:1:ffff::1").await.is_some());
    assert_eq!(out("198.51.101.7").await, None);
    assert_eq!(out("2001:db8:2::1").await, None);
    assert!(directory.lift("198.51.100.0/24".parse().unwrap()).await.unwrap());
    assert_eq!(out("198.51.100.200").await, None);
    assert_eq!(out("198.51.100.7").await.unwrap().expires_at, until(9), "its own is left");
    assert_eq!(directory.expire_bans(until(60)).await.unwrap(), 2);
}
