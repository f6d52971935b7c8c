//! What [`Directory`] promises. Call [`run`] with an empty one.

use std::{sync::Arc, time::Duration};

use types::{AccountId, EmailAddress, Secret, ShardId, Timestamp};

use crate::{Account, BucketMap, Directory, Ending, Error, NewAccount, NewAppPassword, Session};

/// Runs the whole suite.
pub async fn run(directory: Arc<dyn Directory>) {
    let directory = directory.as_ref();
    directory.ping().await.unwrap();
    domains_are_added_once(directory).await;
    accounts_have_one_address_each(directory).await;
    accounts_change(directory).await;
    aliases_lead_to_their_account(directory).await;
    sessions_end(directory).await;
    app_passwords_are_an_accounts(directory).await;
    what_is_removed_is_gone(directory).await;
    accounts_come_back_as_they_were(directory).await;
    super::dkim::keys_take_turns(directory, NOW).await;
    the_bucket_map_is_kept(directory).await;
    nodes_hold_their_names(directory).await;
    super::door::run(directory).await;
    super::reports::run(directory, NOW).await;
    super::quotas::run(directory, NOW).await;
}

async fn domains_are_added_once(directory: &dyn Directory) {
    assert_eq!(directory.domain("demo.test").await.unwrap(), None);
    let added = directory.add_domain("Demo.TEST", NOW).await.unwrap();
    assert_eq!((added.name.as_str(), added.created_at), ("demo.test", NOW));
    assert_eq!(directory.domain("DEMO.test").await.unwrap(), Some(added.clone()));
    let again = directory.add_domain("demo.test", NOW).await;
    assert!(matches!(again, Err(Error::Exists(_))), "{again:?}");
    let other = directory.add_domain("메일.한국", NOW).await.unwrap();
    assert_eq!(other.name, "xn--h32bq4v.xn--3e0b707e");
    for form in ["메일.한국", "xn--h32bq4v.xn--3e0b707e", "XN--H32BQ4V.한국.", "메일。한국"] {
        assert_eq!(directory.domain(form).await.unwrap(), Some(other.clone()), "{form}");
        let again = directory.add_domain(form, NOW).await;
        assert!(matches!(again, Err(Error::Exists(_))), "{form}: {again:?}");
    }
    let mut all = directory.domains().await.unwrap();
    all.sort_by_key(|domain| domain.id);
    assert_eq!(all, [added, other]);
}

async fn accounts_have_one_address_each(directory: &dyn Directory) {
    assert_eq!(directory.resolve(&email("alice@demo.test")).await.unwrap(), None);
    assert!(directory.add_account(new("alice@elsewhere.test")).await.unwrap().is_none(), "not our domain");
    let alice = add(directory, "Alice@demo.test").await;
    assert_eq!(alice.email.to_string(), "Alice@demo.test", "kept as written");
    assert!(alice.enabled);
    assert_eq!(directory.account(alice.id).await.unwrap(), Some(alice.clone()));
    for spelling in ["alice@demo.test", "ALICE@Demo.Test"] {
        assert_eq!(directory.resolve(&email(spelling)).await.unwrap(), Some(alice.id), "{spelling}");
    }
    assert_eq!(directory.resolve(&email("alice+tag@demo.test")).await.unwrap(), None);
    let again = directory.add_account(new("ALICE@demo.test")).await;
    assert!(matches!(again, Err(Error::Exists(_))), "{again:?}");
    let bob = add(directory, "bob@demo.test").await;
    assert!(bob.id > alice.id);
    an_account_has_its_address_in_either_form(directory).await;
    assert_eq!(
        directory.accounts(None, 10).await.unwrap(),
        [alice.clone(), bob.clone()],
        "nothing half-added"
    );
    assert_eq!(directory.accounts(None, 1).await.unwrap().len(), 1);
    assert_eq!(directory.accounts(Some(alice.id), 10).await.unwrap(), [bob]);
    assert_eq!(directory.account(AccountId(i64::MAX)).await.unwrap(), None);
}

async fn an_account_has_its_address_in_either_form(directory: &dyn Directory) {
    let (unicode, ascii) = ("메일.한국", "xn--h32bq4v.xn--3e0b707e");
    let kim = add(directory, &format!("김@{unicode}")).await;
    assert!(directory.add_alias(kim.id, &email(&format!("kim@{ascii}"))).await.unwrap());
    for domain in [unicode, ascii] {
        for local in ["김", "kim"] {
            let address = email(&format!("{local}@{domain}"));
            assert_eq!(directory.resolve(&address).await.unwrap(), Some(kim.id), "{address}");
            let taken = directory.add_account(new(&address.to_string())).await;
            assert!(matches!(taken, Err(Error::Exists(_))), "{taken:?}");
        }
    }
    assert!(directory.remove_alias(&email(&format!("kim@{unicode}"))).await.unwrap());
    assert!(directory.remove_account(kim.id).await.unwrap());
}

async fn accounts_change(directory: &dyn Directory) {
    let carol = add(directory, "carol@demo.test").await;
    assert!(directory.set_password(carol.id, Secret::new("another".to_owned())).await.unwrap());
    assert!(directory.set_enabled(carol.id, false).await.unwrap());
    let changed = directory.account(carol.id).await.unwrap().unwrap();
    assert_eq!(changed.password_hash.expose(), "another");
    assert!(!changed.enabled);
    assert_eq!(changed, Account { password_hash: changed.password_hash.clone(), enabled: false, ..carol });
    assert!(!directory.set_enabled(AccountId(i64::MAX), true).await.unwrap());
    assert!(!directory.set_password(AccountId(i64::MAX), Secret::default()).await.unwrap());
}

async fn aliases_lead_to_their_account(directory: &dyn Directory) {
    let dave = add(directory, "dave@demo.test").await;
    assert!(directory.add_alias(dave.id, &email("zoe@demo.test")).await.unwrap());
    assert!(directory.add_alias(dave.id, &email("Info@demo.test")).await.unwrap());
    assert!(!directory.add_alias(dave.id, &email("dave@elsewhere.test")).await.unwrap());
    assert!(!directory.add_alias(AccountId(i64::MAX), &email("no@demo.test")).await.unwrap());
    let taken = directory.add_alias(dave.id, &email("info@demo.test")).await;
    assert!(matches!(taken, Err(Error::Exists(_))), "{taken:?}");
    assert_eq!(directory.resolve(&email("INFO@demo.test")).await.unwrap(), Some(dave.id));
    let addresses = directory.addresses(dave.id).await.unwrap();
    assert_eq!(addresses[0].to_string(), "dave@demo.test", "the main one is first");
    assert_eq!(addresses.len(), 3);
    assert!(directory.remove_alias(&email("info@demo.test")).await.unwrap());
    assert!(!directory.remove_alias(&email("info@demo.test")).await.unwrap());
    assert!(!directory.remove_alias(&email("dave@demo.test")).await.unwrap(), "main addresses stay");
    assert_eq!(directory.resolve(&email("info@demo.test")).await.unwrap(), None);
}

async fn sessions_end(directory: &dyn Directory) {
    let erin = add(directory, "erin@demo.test").await;
    let later = |seconds| NOW.plus(Duration::from_secs(seconds));
    let session = |token: u8, expires_at| Session {
        token_hash: [token; 32],
        account: erin.id,
        created_at: NOW,
        expires_at,
        client: "a browser".to_owned(),
    };
    for (token, seconds) in [(1, 10), (2, 20), (3, 30)] {
        directory.add_session(session(token, later(seconds))).await.unwrap();
    }
    let found = directory.session(&[1; 32], later(9)).await.unwrap();
    assert_eq!(found, Some((session(1, later(10)), erin.clone())));
    assert_eq!(directory.session(&[1; 32], later(10)).await.unwrap(), None, "expired");
    assert_eq!(directory.session(&[9; 32], NOW).await.unwrap(), None);
    assert_eq!(directory.expire_sessions(later(10)).await.unwrap(), 1);
    let (known, none) = directory.ended_since(None).await.unwrap();
    assert_eq!(none, []);
    let noted = |number, account, whole| Ending { number, account, whole };
    let one = noted(known + 1, erin.id, false);
    assert_eq!(directory.end_session(&[2; 32]).await.unwrap(), Some(one));
    assert_eq!(directory.end_session(&[2; 32]).await.unwrap(), None);
    assert_eq!(directory.ended_since(Some(known)).await.unwrap(), (known + 1, vec![one]));
    assert_eq!(directory.session(&[2; 32], NOW).await.unwrap(), None);
    assert!(directory.session(&[3; 32], NOW).await.unwrap().is_some());
    assert!(directory.set_enabled(erin.id, false).await.unwrap());
    assert!(!directory.session(&[3; 32], NOW).await.unwrap().unwrap().1.enabled);
    let (known, none) = directory.ended_since(None).await.unwrap();
    assert_eq!(none, []);
    assert_eq!(directory.end_sessions(erin.id).await.unwrap(), (known + 1, vec![[3; 32]]));
    assert_eq!(directory.session(&[3; 32], NOW).await.unwrap(), None);
    assert_eq!(
        directory.ended_since(Some(known)).await.unwrap(),
        (known + 1, vec![noted(known + 1, erin.id, true)])
    );
    assert_eq!(directory.end_sessions(erin.id).await.unwrap(), (known + 2, vec![]));
    let other = add(directory, "erika@demo.test").await.id;
    directory.end_sessions(other).await.unwrap();
    let (last, ended) = directory.ended_since(Some(known + 1)).await.unwrap();
    let wanted = vec![noted(known + 2, erin.id, true), noted(known + 3, other, true)];
    assert_eq!((last, ended), (known + 3, wanted), "also those that had none");
    directory.expire_sessions(NOW).await.unwrap();
    assert_eq!(directory.ended_since(Some(last)).await.unwrap(), (last, vec![]));
    assert_eq!(directory.ended_since(None).await.unwrap(), (last, vec![]), "the newest note stays");
}

async fn app_passwords_are_an_accounts(directory: &dyn Directory) {
    let (ella, other) =
        (add(directory, "ella@demo.test").await.id, add(directory, "elmo@demo.test").await.id);
    let new = |account, name: &str, keys: Option<&str>| NewAppPassword {
        account,
        password_hash: Secret::new("hash".to_owned()),
        name: name.to_owned(),
        digest: [name.len() as u8; 32],
        keys: keys.map(|keys| Secret::new(keys.to_owned())),
        created_at: NOW,
    };
    assert_eq!(directory.add_app_password(new(AccountId(i64::MAX), "x", None), 9).await.unwrap(), None);
    let phone = directory.add_app_password(new(ella, "전화기", Some("keys")), 2).await.unwrap().unwrap();
    let desk = directory.add_app_password(new(ella, "desk", None), 2).await.unwrap().unwrap();
    let full = directory.add_app_password(new(ella, "more", None), 2).await;
    assert!(matches!(full, Err(Error::Reached(_))), "{full:?}");
    assert_eq!((phone.name.as_str(), phone.created_at, phone.used_at), ("전화기", NOW, None));
    assert_eq!(directory.app_passwords(ella).await.unwrap(), [phone.clone(), desk.clone()]);
    assert_eq!(directory.app_passwords(other).await.unwrap(), []);
    let theirs = directory.add_app_password(new(other, "theirs", None), 2).await.unwrap().unwrap();
    let all = [(ella, phone.clone()), (ella, desk.clone()), (other, theirs)];
    assert_eq!(directory.all_app_passwords(&[other, ella]).await.unwrap(), all);
    directory.use_app_password(other, desk.id, NOW).await.unwrap();
    directory.use_app_password(ella, phone.id, NOW).await.unwrap();
    let used: Vec<_> =
        directory.app_passwords(ella).await.unwrap().into_iter().map(|one| one.used_at).collect();
    assert_eq!(used, [Some(NOW), None]);
    assert_eq!(directory.remove_app_password(other, phone.id).await.unwrap(), None, "somebody else's");
    let (known, _) = directory.ended_since(None).await.unwrap();
    assert_eq!(directory.remove_app_password(ella, phone.id).await.unwrap(), Some(known + 1));
    let noted = Ending { number: known + 1, account: ella, whole: false };
    assert_eq!(directory.ended_since(Some(known)).await.unwrap(), (known + 1, vec![noted]));
    assert_eq!(directory.remove_app_password(ella, phone.id).await.unwrap(), None);
    assert!(directory.set_password(ella, Secret::new("new".into())).await.unwrap());
    assert_eq!(directory.app_passwords(ella).await.unwrap(), [], "they leave with the password");
    let before = new(ella, "made with the old password", None);
    assert_eq!(directory.add_app_password(before, 2).await.unwrap(), None);
    let with_new = || NewAppPassword { password_hash: Secret::new("new".into()), ..new(ella, "third", None) };
    let third = directory.add_app_password(with_new(), 2).await.unwrap().unwrap();
    assert!(directory.lets_in(ella, third.id).await.unwrap());
    assert!(
        !directory.lets_in(other, third.id).await.unwrap()
            && !directory.lets_in(ella, desk.id).await.unwrap()
    );
    directory.set_enabled(ella, false).await.unwrap();
    assert!(!directory.lets_in(ella, third.id).await.unwrap());
    assert!(directory.remove_app_password(ella, third.id).await.unwrap().is_some());
    let fourth = directory.add_app_password(with_new(), 2).await.unwrap().unwrap();
    assert!(fourth.id > third.id, "ids are not given again");
    assert!(directory.remove_account(ella).await.unwrap());
    assert_eq!(directory.app_passwords(ella).await.unwrap(), []);
}

async fn what_is_removed_is_gone(directory: &dyn Directory) {
    let frank = add(directory, "frank@demo.test").await;
    directory.add_alias(frank.id, &email("f@demo.test")).await.unwrap();
    let session = Session {
        token_hash: [7; 32],
        account: frank.id,
        created_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(60)),
        client: String::new(),
    };
    directory.add_session(session).await.unwrap();
    let friend = add(directory, "friend@demo.test").await.id;
    for (owner, grantee) in [(frank.id, friend), (frank.id, friend), (friend, frank.id), (friend, friend)] {
        directory.add_share(owner, grantee).await.unwrap();
    }
    assert_eq!(directory.sharers(friend, 9).await.unwrap(), [frank.id, friend]);
    assert_eq!(directory.sharers(friend, 1).await.unwrap(), [frank.id]);
    assert_eq!(directory.sharers(frank.id, 9).await.unwrap(), [friend]);
    directory.remove_share(friend, friend).await.unwrap();
    assert_eq!(directory.sharers(friend, 9).await.unwrap(), [frank.id]);
    assert!(directory.remove_account(frank.id).await.unwrap());
    assert_eq!(directory.sharers(friend, 9).await.unwrap(), []);
    assert_eq!(directory.sharers(frank.id, 9).await.unwrap(), []);
    assert!(!directory.remove_account(frank.id).await.unwrap());
    assert_eq!(directory.account(frank.id).await.unwrap(), None);
    assert_eq!(directory.resolve(&email("f@demo.test")).await.unwrap(), None);
    assert_eq!(directory.session(&[7; 32], NOW).await.unwrap(), None);
    let next = add(directory, "frank@demo.test").await;
    assert!(next.id > frank.id, "ids are never used again");
}

async fn accounts_come_back_as_they_were(directory: &dyn Directory) {
    let fiona = add(directory, "Fiona@demo.test").await;
    let aliases = [email("A.Fiona@demo.test"), email("fifi@demo.test")];
    for alias in &aliases {
        assert!(directory.add_alias(fiona.id, alias).await.unwrap());
    }
    directory.set_enabled(fiona.id, false).await.unwrap();
    let fiona = directory.account(fiona.id).await.unwrap().unwrap();
    let found = directory.aliases(&[AccountId(i64::MAX), fiona.id]).await.unwrap();
    assert_eq!(found, aliases.clone().map(|alias| (fiona.id, alias)));
    let there = directory.restore_account(&fiona, &aliases).await;
    assert!(matches!(there, Err(Error::Exists(_))), "{there:?}");
    assert!(directory.remove_account(fiona.id).await.unwrap());
    assert_eq!(directory.aliases(&[fiona.id]).await.unwrap(), []);
    let strange = directory.restore_account(&fiona, &[email("fiona@elsewhere.test")]).await.unwrap();
    assert!(!strange, "not our domain");
    assert_eq!(directory.account(fiona.id).await.unwrap(), None, "nothing half-added");
    assert!(directory.restore_account(&fiona, &aliases).await.unwrap());
    assert_eq!(directory.account(fiona.id).await.unwrap(), Some(fiona.clone()));
    assert_eq!(directory.aliases(&[fiona.id]).await.unwrap().len(), 2);
    assert_eq!(directory.resolve(&email("fifi@demo.test")).await.unwrap(), Some(fiona.id));
    let ahead =
        Account { id: AccountId(fiona.id.0 + 1_000), email: email("grace@demo.test"), admin: true, ..fiona };
    assert!(directory.restore_account(&ahead, &[]).await.unwrap());
    assert!(add(directory, "heidi@demo.test").await.id > ahead.id, "ids are not given twice");
}

async fn the_bucket_map_is_kept(directory: &dyn Directory) {
    let two = [ShardId(0), ShardId(1)];
    let map = directory.bucket_map(&two).await.unwrap();
    assert_eq!(*map, BucketMap::even(&two));
    let three = [ShardId(0), ShardId(1), ShardId(2)];
    assert_eq!(directory.bucket_map(&three).await.unwrap(), map, "a new shard takes no buckets by itself");
}

async fn nodes_hold_their_names(directory: &dyn Directory) {
    let (long, over) = (Duration::from_secs(600), Duration::ZERO);
    let before = directory.server_time().await.unwrap();
    assert!(directory.nodes().await.unwrap().is_empty());
    assert!(directory.claim_node("one", "a", long).await.unwrap());
    assert!(directory.claim_node("two", "b", long).await.unwrap());
    let claimed = directory.nodes().await.unwrap();
    let named: Vec<_> = claimed.iter().map(|node| (node.name.as_str(), node.instance.as_str())).collect();
    assert_eq!(named, [("one", "a"), ("two", "b")]);
    let now = directory.server_time().await.unwrap();
    assert!(before <= claimed[0].claimed_at && claimed[0].claimed_at <= now, "by the directory's clock");
    assert!(claimed[0].expires_at >= before.plus(long) && claimed[0].expires_at <= now.plus(long));

    assert!(!directory.claim_node("one", "c", long).await.unwrap(), "it lives");
    assert!(directory.claim_node("one", "a", over).await.unwrap(), "its own name");
    assert_eq!(directory.nodes().await.unwrap()[0].name, "two", "the claim is over");
    assert!(directory.claim_node("one", "c", long).await.unwrap(), "a dead one's name is free");
    assert!(!directory.claim_node("one", "a", long).await.unwrap(), "and lost");
    let renewed = directory.nodes().await.unwrap()[0].clone();
    assert!(directory.claim_node("one", "c", long).await.unwrap());
    assert_eq!(
        directory.nodes().await.unwrap()[0].claimed_at,
        renewed.claimed_at,
        "renewing is no new claim"
    );

    directory.release_node("one", "a").await.unwrap();
    assert_eq!(directory.nodes().await.unwrap().len(), 2, "not its own");
    directory.release_node("one", "c").await.unwrap();
    directory.release_node("two", "b").await.unwrap();
    assert!(directory.nodes().await.unwrap().is_empty());
}

pub(super) async fn add(directory: &dyn Directory, address: &str) -> Account {
    directory.add_account(new(address)).await.unwrap().unwrap()
}

fn new(address: &str) -> NewAccount {
    NewAccount {
        email: email(address),
        name: "A Name".to_owned(),
        password_hash: Secret::new("hash".to_owned()),
        own_quota_bytes: Some(1 << 30),
        created_at: NOW,
    }
}

pub(super) fn email(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
