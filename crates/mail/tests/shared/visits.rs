//! What others share, as the API shows it.

use mail::{Error, Images, PageQuery};
use testkit::House;
use types::{MailboxId, MessageId, Role, api};

use super::{ALICE, Shared, count, of_role};

impl Shared {
    async fn subjects(&self, mailbox: MailboxId) -> Result<Vec<String>, Error> {
        let page = self.grantee.shared_page(self.owner.id(), mailbox, &PageQuery::default()).await?;
        Ok(page.messages.into_iter().map(|message| message.subject).collect())
    }

    async fn opened(&self, mailbox: MailboxId, id: MessageId) -> Result<api::Message, Error> {
        self.grantee.shared_message(self.owner.id(), mailbox, id).await
    }

    async fn listed(&self) -> Vec<api::SharedFolder> {
        self.grantee.shared_folders().await.unwrap().folders
    }

    /// Whether nothing at all is to be had of the folder and the message in it.
    async fn is_closed(&self, mailbox: MailboxId, id: MessageId) -> bool {
        let (guest, owner) = (&self.grantee, self.owner.id());
        let attachment = guest.shared_attachment(owner, mailbox, id, "1").await;
        let seen = api::Patch { unread: Some(false), ..api::Patch::default() };
        self.listed().await.iter().all(|folder| folder.id != mailbox)
            && matches!(self.subjects(mailbox).await, Err(Error::NotFound(_)))
            && matches!(self.opened(mailbox, id).await, Err(Error::NotFound(_)))
            && matches!(attachment, Err(Error::NotFound(_)))
            && matches!(guest.shared_html(owner, mailbox, id, Images::Held).await, Err(Error::NotFound(_)))
            && matches!(guest.shared_raw(owner, mailbox, id).await, Err(Error::NotFound(_)))
            && matches!(guest.shared_patch(owner, mailbox, &[id], &seen).await, Err(Error::NotFound(_)))
            && matches!(guest.shared_delete(owner, mailbox, &[id]).await, Err(Error::NotFound(_)))
    }

    async fn change(&self, id: MessageId, patch: api::Patch) -> Result<Vec<api::Summary>, Error> {
        self.grantee.shared_patch(self.owner.id(), self.inbox, &[id], &patch).await
    }
}

#[tokio::test]
async fn what_others_share_is_listed_and_read_as_far_as_the_rights_go() {
    let shared = Shared::open(House::open().await.unwrap()).await;
    let (id, inbox) = (shared.deliver("one").await, shared.inbox);
    assert!(shared.is_closed(inbox, id).await, "nothing is shared by itself");

    shared.share("l").await;
    let folder = shared.listed().await.pop().unwrap();
    let rights = |folder: &api::SharedFolder| (folder.rights.clone(), folder.total, folder.unread);
    assert_eq!((folder.owner.as_str(), folder.owner_id), (ALICE, shared.owner.id()));
    assert_eq!((folder.id, folder.name.as_str()), (inbox, "Inbox"));
    assert_eq!(rights(&folder), ("l".into(), None, None));
    assert!(matches!(shared.subjects(inbox).await, Err(Error::Forbidden(_))));
    assert!(matches!(shared.opened(inbox, id).await, Err(Error::Forbidden(_))));

    shared.share("lr").await;
    assert_eq!(rights(&shared.listed().await[0]), ("lr".into(), Some(1), Some(1)));
    assert_eq!(shared.subjects(inbox).await.unwrap(), ["one"]);
    let opened = shared.opened(inbox, id).await.unwrap();
    assert_eq!((opened.summary.subject.as_str(), opened.summary.unread), ("one", true));
    assert_eq!(shared.owner.message(id).await.unwrap().text, opened.text);
    let html = shared.grantee.shared_html(shared.owner.id(), inbox, id, Images::Held).await.unwrap();
    assert_eq!(html, shared.owner.html(id, Images::Held).await.unwrap());
    let raw = shared.grantee.shared_raw(shared.owner.id(), inbox, id).await.unwrap();
    let own = shared.owner.raw(id).await.unwrap();
    let all = u64::from(u32::MAX);
    assert_eq!(raw.content.collect(all).await.unwrap(), own.content.collect(all).await.unwrap());

    // Nobody else's, no other mailbox, and not by the ways to one's own.
    let (bob, owner) = (shared.house.access("bob@demo.test").await.unwrap(), shared.owner.id());
    assert_eq!(bob.shared_folders().await.unwrap().folders, []);
    assert!(matches!(bob.shared_message(owner, inbox, id).await, Err(Error::NotFound(_))));
    let archive = of_role(&shared.owner, Role::Archive).await;
    assert!(shared.is_closed(archive, id).await);
    assert!(matches!(shared.owner.shared_message(owner, inbox, id).await, Err(Error::NotFound(_))));
    assert!(matches!(shared.grantee.message(id).await, Err(Error::NotFound(_))));

    // What its owner puts elsewhere is gone, also where it was just read.
    let elsewhere = api::Patch { folder_id: Some(archive), ..api::Patch::default() };
    shared.owner.patch_one(id, &elsewhere).await.unwrap();
    assert!(matches!(shared.opened(inbox, id).await, Err(Error::NotFound(_))));
    let attachment = shared.grantee.shared_attachment(owner, inbox, id, "1").await;
    assert!(matches!(attachment, Err(Error::NotFound(_))));
    assert!(matches!(shared.grantee.shared_raw(owner, inbox, id).await, Err(Error::NotFound(_))));
    let html = shared.grantee.shared_html(owner, inbox, id, Images::Shown).await;
    assert!(matches!(html, Err(Error::NotFound(_))));
    assert_eq!(shared.subjects(inbox).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn it_ends_with_the_rights_and_with_either_account() {
    let shared = Shared::open(House::open().await.unwrap()).await;
    let (id, inbox) = (shared.deliver("one").await, shared.inbox);
    let grantee = shared.grantee.email().to_string();
    for rights in ["lr", "lrswipkxtea"] {
        shared.share(rights).await;
        assert_eq!(shared.subjects(inbox).await.unwrap(), ["one"]);
        shared.owner.unshare_folder(inbox, &grantee).await.unwrap();
        assert!(shared.is_closed(inbox, id).await, "{rights}");
    }
    shared.share("p").await;
    assert!(shared.is_closed(inbox, id).await, "who may post sees nothing");
    shared.share("lr").await;
    for whose in [&shared.owner, &shared.grantee] {
        assert!(shared.opened(inbox, id).await.is_ok());
        shared.house.mail.admin().set_enabled(whose.email(), false).await.unwrap();
        assert!(shared.is_closed(inbox, id).await);
        shared.house.mail.admin().set_enabled(whose.email(), true).await.unwrap();
    }
    assert!(shared.opened(inbox, id).await.is_ok());
}

#[tokio::test]
async fn each_change_takes_its_right() {
    let shared = Shared::open(House::open().await.unwrap()).await;
    let (id, owner) = (shared.deliver("one").await, shared.owner.id());
    let patch = api::Patch::default;
    let seen = api::Patch { unread: Some(false), ..patch() };
    let starred = api::Patch { flagged: Some(true), ..patch() };
    let labelled = api::Patch { add_labels: vec!["ours".to_owned()], ..patch() };
    let is_refused = |outcome: Result<Vec<api::Summary>, Error>| matches!(outcome, Err(Error::Forbidden(_)));
    shared.share("lr").await;
    for change in [&seen, &starred, &labelled] {
        assert!(is_refused(shared.change(id, change.clone()).await), "{change:?}");
    }
    shared.share("lrs").await;
    assert!(is_refused(shared.change(id, api::Patch { flagged: Some(true), ..seen.clone() }).await));
    assert!(shared.owner.message(id).await.unwrap().summary.unread, "half of a change is none");
    assert!(!shared.change(id, seen).await.unwrap()[0].unread);
    shared.share("lrw").await;
    assert!(shared.change(id, starred).await.unwrap()[0].flagged);
    assert_eq!(shared.change(id, labelled).await.unwrap()[0].labels, ["ours"]);
    let summary = shared.owner.message(id).await.unwrap().summary;
    assert!(!summary.unread && summary.flagged && summary.labels == ["ours"]);

    // Other messages of the owner's are not in the folder, whatever is asked for.
    let archive = of_role(&shared.owner, Role::Archive).await;
    let other = shared.deliver("two").await;
    let elsewhere = api::Patch { folder_id: Some(archive), ..patch() };
    shared.owner.patch_one(other, &elsewhere).await.unwrap();
    shared.share("lrswite").await;
    let untouched = api::Patch { flagged: Some(true), ..patch() };
    assert_eq!(shared.change(other, untouched).await.unwrap(), []);
    let deleted = shared.grantee.shared_delete(owner, shared.inbox, &[other]).await;
    assert!(matches!(deleted, Err(Error::NotFound(_))));
    assert!(!shared.owner.message(other).await.unwrap().summary.flagged);

    // Where to, the rights decide as well; what cannot be seen there is not there.
    let invalid = |outcome| matches!(outcome, Err(Error::Invalid { .. }));
    let grantee = shared.grantee.email().to_string();
    for hidden in [None, Some("p")] {
        if let Some(rights) = hidden {
            shared.owner.share_folder(archive, &grantee, rights).await.unwrap();
        }
        assert!(invalid(shared.change(id, elsewhere.clone()).await));
    }
    shared.owner.share_folder(archive, &grantee, "lri").await.unwrap();
    assert!(is_refused(shared.change(id, elsewhere.clone()).await), "it would lose its flags");
    shared.owner.share_folder(archive, &grantee, "lriswt").await.unwrap();
    shared.share("lrswt").await;
    assert!(is_refused(shared.change(id, elsewhere.clone()).await), "it would not be taken away");
    shared.share("lrte").await;
    assert_eq!(shared.change(id, elsewhere).await.unwrap()[0].folder_id, archive);
    assert!(shared.owner.message(id).await.unwrap().summary.flagged);
}

#[tokio::test]
async fn what_a_guest_deletes_is_in_its_owners_trash() {
    let shared = Shared::open(House::open().await.unwrap()).await;
    let (id, owner) = (shared.deliver("one").await, shared.owner.id());
    let trash = of_role(&shared.owner, Role::Trash).await;
    for rights in ["lr", "lrsw", "lrt", "lre"] {
        shared.share(rights).await;
        let refused = shared.grantee.shared_delete(owner, shared.inbox, &[id]).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{rights}");
    }
    shared.share("lrte").await;
    shared.grantee.shared_delete(owner, shared.inbox, &[id]).await.unwrap();
    assert_eq!(shared.owner.message(id).await.unwrap().summary.folder_id, trash);
    assert!(shared.is_closed(trash, id).await, "the Trash itself is not shared");
    let grantee = shared.grantee.email().to_string();
    shared.owner.share_folder(trash, &grantee, "lrte").await.unwrap();
    shared.grantee.shared_delete(owner, trash, &[id]).await.unwrap();
    assert_eq!(count(&shared.owner, trash).await, 0);
}
