//! What [`crate::DkimKeys`] promises.

use std::time::Duration;

use types::{DkimAlgorithm, DomainId, Secret, Timestamp};

use crate::{Directory, DkimKey, Error, KeyPhase};

pub(super) async fn keys_take_turns(directory: &dyn Directory, now: Timestamp) {
    let later = |seconds| now.plus(Duration::from_secs(seconds));
    let domain = directory.add_domain("signed.test", now).await.unwrap().id;
    let other = directory.add_domain("other.test", now).await.unwrap().id;
    assert!(directory.dkim_keys(domain).await.unwrap().is_empty());
    assert!(!directory.switch_dkim_keys(domain, now).await.unwrap());
    let first = [key(domain, "a1", DkimAlgorithm::Rsa, now), key(domain, "b1", DkimAlgorithm::Ed25519, now)];
    directory.add_dkim_keys(&first).await.unwrap();
    directory.add_dkim_keys(&[key(other, "a1", DkimAlgorithm::Rsa, now)]).await.unwrap();
    assert_eq!(directory.dkim_keys(domain).await.unwrap(), first);
    let again =
        directory.add_dkim_keys(&[key(domain, "a2", DkimAlgorithm::Rsa, now), first[0].clone()]).await;
    assert!(matches!(again, Err(Error::Exists(_))), "{again:?}");
    assert_eq!(directory.dkim_keys(domain).await.unwrap(), first, "all or none");

    assert!(directory.switch_dkim_keys(domain, later(1)).await.unwrap());
    assert_eq!(phases(directory, domain).await, [("a1", KeyPhase::Signing), ("b1", KeyPhase::Signing)]);
    assert!(!directory.switch_dkim_keys(domain, later(2)).await.unwrap(), "none waits");
    directory.add_dkim_keys(&[key(domain, "a2", DkimAlgorithm::Rsa, later(3))]).await.unwrap();
    assert!(directory.switch_dkim_keys(domain, later(4)).await.unwrap());
    let turned = [("a1", KeyPhase::Retired), ("a2", KeyPhase::Signing), ("b1", KeyPhase::Retired)];
    assert_eq!(phases(directory, domain).await, turned);
    assert_eq!(directory.dkim_keys(domain).await.unwrap()[0].since, later(4));
    assert_eq!(phases(directory, other).await, [("a1", KeyPhase::Waiting)], "of its own domain only");

    assert_eq!(directory.remove_dkim_keys(domain, later(4)).await.unwrap(), 0, "not before");
    assert_eq!(directory.remove_dkim_keys(domain, later(5)).await.unwrap(), 2);
    assert_eq!(phases(directory, domain).await, [("a2", KeyPhase::Signing)]);
    assert_eq!(format!("{:?}", first[0].private_key), "[secret]");
}

async fn phases(directory: &dyn Directory, domain: DomainId) -> Vec<(&'static str, KeyPhase)> {
    let known = ["a1", "a2", "b1"];
    let keys = directory.dkim_keys(domain).await.unwrap();
    keys.iter().map(|key| (*known.iter().find(|name| **name == key.selector).unwrap(), key.phase)).collect()
}

fn key(domain: DomainId, selector: &str, algorithm: DkimAlgorithm, now: Timestamp) -> DkimKey {
    DkimKey {
        domain,
        selector: selector.to_owned(),
        algorithm,
        private_key: Secret::new("c2VjcmV0".to_owned()),
        public_key: vec![0, 1, 255],
        phase: KeyPhase::Waiting,
        created_at: now,
        since: now,
    }
}
