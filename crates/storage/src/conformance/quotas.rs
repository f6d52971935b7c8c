//! What [`Quotas`](crate::Quotas) promises.

use types::{AccountId, Secret, Timestamp};

use crate::{Directory, DomainLimits, DomainUse, Error, NewAccount};

pub(super) async fn run(directory: &dyn Directory, now: Timestamp) {
    directory.add_domain("many.test", now).await.unwrap();
    directory.add_domain("notmany.test", now).await.unwrap();
    let add = async |address: &str| {
        let account = NewAccount {
            email: address.parse().unwrap(),
            name: String::new(),
            password_hash: Secret::new("hash".to_owned()),
            own_quota_bytes: None,
            created_at: now,
        };
        directory.add_account(account).await
    };
    let one = add("One@Many.test").await.unwrap().unwrap().id;
    let two = add("\"t@w.o\"@many.test").await.unwrap().unwrap().id;
    add("three@notmany.test").await.unwrap().unwrap();
    directory.add_alias(one, &"alias@many.test".parse().unwrap()).await.unwrap();
    let accounts = async |after: Option<AccountId>, limit| {
        directory.domain_accounts("many.test", after, limit).await.unwrap()
    };
    assert_eq!(accounts(None, 10).await, [one, two]);
    assert_eq!(accounts(None, 1).await, [one]);
    assert_eq!(accounts(Some(one), 10).await, [two]);
    assert_eq!(directory.count_accounts("many.test").await.unwrap(), 2);
    assert_eq!(directory.count_accounts("none.test").await.unwrap(), 0);

    assert_eq!(directory.domain_use("many.test").await.unwrap(), DomainUse::default());
    assert_eq!(directory.measured_domains().await.unwrap(), Vec::<String>::new());
    directory.note_domain_use("many.test", 5, now).await.unwrap();
    assert_eq!(directory.domain_use("many.test").await.unwrap(), DomainUse::default(), "it has no limits");
    let limits = DomainLimits { max_bytes: Some(100), max_accounts: Some(3) };
    directory.set_domain_limits("many.test", limits).await.unwrap();
    directory.note_domain_use("many.test", 7, now).await.unwrap();
    assert_eq!(directory.domain_use("many.test").await.unwrap(), DomainUse { limits, used_bytes: 7 });
    assert_eq!(directory.measured_domains().await.unwrap(), ["many.test"]);
    add("four@many.test").await.unwrap().unwrap();
    let refused = add("five@many.test").await;
    assert!(matches!(refused, Err(Error::Reached(_))), "{refused:?}");
    assert_eq!(
        directory.resolve(&"five@many.test".parse().unwrap()).await.unwrap(),
        None,
        "nothing half-added"
    );
    add("five@notmany.test").await.unwrap().unwrap();

    let limits = DomainLimits { max_bytes: None, max_accounts: Some(4) };
    directory.set_domain_limits("many.test", limits).await.unwrap();
    assert_eq!(directory.domain_use("many.test").await.unwrap(), DomainUse { limits, used_bytes: 7 });
    assert_eq!(directory.measured_domains().await.unwrap(), Vec::<String>::new());
    add("five@many.test").await.unwrap().unwrap();
    directory.set_domain_limits("many.test", DomainLimits::default()).await.unwrap();
    add("six@many.test").await.unwrap().unwrap();
}
