//! What is noted with mailboxes that others share (RFC 5464).

use mail::{Error, NotNoted, Notes};
use testkit::House;

use super::Shared;

fn note(name: &str, value: &str) -> Notes {
    vec![(name.to_owned(), Some(value.as_bytes().to_vec()))]
}

async fn names(shared: &Shared) -> Vec<String> {
    let notes = shared.reach().await.unwrap().annotations().await.unwrap();
    notes.into_iter().map(|note| note.name).collect()
}

#[tokio::test]
async fn private_notes_are_each_ones_own_and_go_when_there_is_no_room_for_them() {
    let shared = Shared::open(House::open().await.unwrap()).await;
    shared.owner.annotate(Some(shared.inbox), note("/private/comment", "owner's")).await.unwrap().unwrap();
    shared.owner.annotate(Some(shared.inbox), note("/shared/comment", "for all")).await.unwrap().unwrap();
    shared.share("lr").await;
    assert_eq!(names(&shared).await, ["/shared/comment"]);
    let many: Notes = (0..500).map(|n| (format!("/private/n{n}"), Some(b"x".to_vec()))).collect();
    let reach = shared.reach().await.unwrap();
    reach.annotate(many).await.unwrap().unwrap();
    assert_eq!(names(&shared).await.len(), 501);
    assert_eq!(shared.owner.annotations().await.unwrap().len(), 2, "they are not the owner's");
    assert_eq!(shared.grantee.annotations().await.unwrap(), [], "nor of the grantee's own mailboxes");
    assert_eq!(reach.annotate(note("/private/more", "x")).await.unwrap(), Err(NotNoted::TooMany));
    assert!(matches!(reach.annotate(note("/shared/more", "x")).await, Err(Error::Forbidden(_))));

    // A mailbox that is not shared any more makes room for others, and not before it must.
    let grantee = shared.grantee.email().to_string();
    shared.owner.unshare_folder(shared.inbox, &grantee).await.unwrap();
    assert!(reach.anew().await.is_err());
    let archive = super::of_role(&shared.owner, types::Role::Archive).await;
    shared.owner.share_folder(archive, &grantee, "lrw").await.unwrap();
    let other = shared.grantee.reach(shared.owner.id(), archive).await.unwrap().unwrap();
    other.annotate(note("/private/more", "x")).await.unwrap().unwrap();
    other.annotate(note("/shared/more", "x")).await.unwrap().unwrap();
    assert_eq!(other.annotations().await.unwrap().len(), 2);
    shared.share("lr").await;
    assert_eq!(names(&shared).await, ["/shared/comment"]);

    // Rights that were there when somebody reached are asked for once more when it is written.
    shared.owner.share_folder(archive, &grantee, "lr").await.unwrap();
    assert!(matches!(other.annotate(note("/shared/more", "y")).await, Err(Error::Forbidden(_))));
}
