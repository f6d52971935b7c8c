//! What others share, as the API shows it.

use mail::{Error, PageQuery};
use testkit::House;
use types::{MailboxId, MessageId, Role, api};

use super::{ALICE, Shared, of_role};

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
        let attachment = self.grantee.shared_attachment(self.owner.id(), mailbox, id, "1").await;
        self.listed().await.iter().all(|folder| folder.id != mailbox)
            && matches!(self.subjects(mailbox).await, Err(Error::NotFound(_)))
            && matches!(self.opened(mailbox, id).await, Err(Error::NotFound(_)))
            && matches!(attachment, Err(Error::NotFound(_)))
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
