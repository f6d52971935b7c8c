//! Accounts that are closed share nothing and are shared nothing with; who may be named in a grant; how many there are.

use async_trait::async_trait;
use mail::{Access, Denied, Error, RightsChange};
use storage::{Grant, Needs, Transaction, Unit};
use testkit::House;
use types::{AccountId, MailboxId, Rights, Role, Timestamp, api};

use super::{ALICE, Shared, email, of_role};

async fn set_enabled(shared: &Shared, whose: &Access, enabled: bool) {
    shared.house.mail.admin().set_enabled(whose.email(), enabled).await.unwrap();
}

async fn names(access: &Access) -> Vec<String> {
    let all = access.all_named().await.unwrap().into_iter();
    all.filter(|named| named.shared).map(|named| named.name).collect()
}

#[tokio::test]
async fn who_is_closed_shares_nothing_and_is_shared_nothing_with() {
    let shared = Shared::open(House::open().await.unwrap()).await;
    shared.share("lrswipkxtea").await;
    let name = format!("Other Users/{ALICE}/INBOX");
    let (owner, grantee) = (&shared.owner, &shared.grantee);
    for whose in [owner, grantee] {
        assert_eq!(names(grantee).await, [name.as_str()]);
        assert!(grantee.may_post_as(&email(ALICE)).await.unwrap());
        set_enabled(&shared, whose, false).await;
        assert!(shared.reach().await.is_none());
        assert_eq!(names(grantee).await, [""; 0]);
        assert!(grantee.by_name(&name).await.unwrap().is_none());
        assert!(!grantee.may_post_as(&email(ALICE)).await.unwrap());
        assert!(!grantee.may_create(&format!("{name}/New")).await.unwrap());
        let gone = Err(Denied::NonExistent);
        assert_eq!(grantee.create_named(&format!("{name}/New")).await.unwrap().map(drop), gone);
        assert_eq!(grantee.delete_named(&name).await.unwrap(), gone);
        assert!(!grantee.subscribe_named(&name, true).await.unwrap());
        set_enabled(&shared, whose, true).await;
        assert!(shared.reach().await.is_some(), "nothing was taken away");
    }
}

/// Whose an alias is, whether a catch-all takes what nobody has, and what is a group, is told to nobody by sharing.
#[tokio::test]
async fn only_an_accounts_own_address_is_named() {
    let shared = Shared::open(House::open().await.unwrap()).await;
    let admin = shared.house.mail.admin();
    let said = async |address: &str| {
        let added = shared.owner.share_folder(shared.inbox, address, "lr").await;
        let reach = shared.owner.reach(shared.owner.id(), shared.inbox).await.unwrap().unwrap();
        let listed = reach.is_of_owner(address).await;
        let removed = reach.grant(address, RightsChange::Replace(Rights::NONE)).await;
        let detail = |error: Error| match error {
            Error::Invalid { field, detail } => (field, detail),
            other => panic!("{address}: {other}"),
        };
        let all =
            [added.map(drop), listed.map(drop), removed.map(drop)].map(|said| detail(said.unwrap_err()));
        assert!(all.iter().all(|said| *said == all[0]), "{address}: {all:?}");
        all[0].clone()
    };
    let unknown = said("nobody@demo.test").await;
    admin.add_alias(&email("robert@demo.test"), &email("bob@demo.test")).await.unwrap();
    admin.add_alias(&email("me@demo.test"), &email(ALICE)).await.unwrap();
    admin.set_group(&email("team@demo.test"), &email(ALICE), &[email("bob@demo.test")]).await.unwrap();
    for address in [
        "robert@demo.test",
        "me@demo.test",
        "team@demo.test",
        "bob+tag@demo.test",
        "bob@elsewhere.test",
        "anyone",
        "-bob@demo.test",
    ] {
        assert_eq!(said(address).await, unknown, "{address}");
    }
    admin.add_alias(&email("*@demo.test"), &email("bob@demo.test")).await.unwrap();
    assert_eq!(said("nobody@demo.test").await, unknown, "with a catch-all");
    shared.owner.share_folder(shared.inbox, "BOB@demo.test", "lr").await.unwrap();
    let people = shared.owner.folder_access(shared.inbox).await.unwrap().people;
    assert_eq!(people.len(), 1);
    let nowhere = shared.owner.share_folder(MailboxId(999), "bob@demo.test", "lr").await;
    assert!(matches!(nowhere, Err(Error::NotFound(_))));
    let sharers = shared.house.access("bob@demo.test").await.unwrap();
    shared.owner.unshare_folder(shared.inbox, "bob@demo.test").await.unwrap();
    assert_eq!(names(&sharers).await, [""; 0]);
}

/// Grants to people that never were, as many as wanted.
struct Fill {
    owner: AccountId,
    mailbox: MailboxId,
    count: usize,
}

#[async_trait]
impl Unit for Fill {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.owner], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<()> {
        for number in 0..self.count {
            let grantee = AccountId(1_000_000 + i64::try_from(number).unwrap());
            let (mailbox, rights) = (self.mailbox, Rights::parse("lr").unwrap());
            let grantee_since = Timestamp::from_millis(1);
            let grant = Grant { grantee, mailbox, grantee_since, rights, subscribed: false };
            tx.set_grant(self.owner, &grant).await?;
        }
        Ok(())
    }
}

/// Who makes a mailbox in a shared one shares it like that one, and so grants count there, too.
#[tokio::test]
async fn an_account_has_so_many_grants() {
    const MOST: usize = 1_000;
    let shared = Shared::open(House::open().await.unwrap()).await;
    let (owner, grantee) = (&shared.owner, &shared.grantee);
    let archive = of_role(owner, Role::Archive).await;
    shared.share("lrk").await;
    let shard = shared.house.mail.shards().shard_of(owner.id());
    let fill = Fill { owner: owner.id(), mailbox: archive, count: MOST - 3 };
    shared.house.mail.write(shard, fill).await.unwrap();
    let name = |last: &str| format!("Other Users/{ALICE}/INBOX/{last}");
    // Two are left. Each that is made has one more.
    for last in ["One", "Two"] {
        grantee.create_named(&name(last)).await.unwrap().unwrap();
    }
    assert_eq!(grantee.create_named(&name("Three")).await.unwrap().map(drop), Err(Denied::Limit));
    let made = owner.create_folder(&api::NewFolder { name: "Mine".into(), parent_id: None }).await.unwrap();
    let full = owner.share_folder(made.id, &grantee.email().to_string(), "lr").await;
    assert!(matches!(full, Err(Error::Conflict(_))), "{full:?}");
    shared.share("lrki").await;
    owner.delete_folder(find(owner, "INBOX/One").await).await.unwrap();
    owner.share_folder(made.id, &grantee.email().to_string(), "lr").await.unwrap();
}

async fn find(access: &Access, name: &str) -> MailboxId {
    let all = access.named().await.unwrap();
    all.iter().find(|named| named.name == name).unwrap().mailbox.id
}
