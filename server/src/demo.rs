//! `serve --demo`: accounts to try, with a believable mailbox.
//!
//! Everything is written as real mail and goes through the same door as any import. Times hang on when alice's account
//! was made, so filling it again after a crash adds nothing twice.

mod conversations;
mod files;
mod letters;
mod newsletters;
mod people;

use std::{collections::HashMap, fs, path::Path};

use anyhow::Context as _;
use mail::{Access, Admin, Import, Service};
use message::compose::Outgoing;
use types::{EmailAddress, Flags, MailboxId, Secret, Timestamp, api::NewFolder};

/// The accounts that people may log in to.
pub(crate) const ADDRESSES: [&str; 3] = ["alice@demo.test", "bob@demo.test", "admin@demo.test"];
/// Everybody's password.
pub(crate) const PASSWORD: &str = "magpie-demo";

const DOMAIN: &str = "demo.test";
/// In the data folder, once everything is there.
const MARK: &str = "demo";

/// A mail of the demo and where it lies.
struct Item {
    /// The name of a folder; `Inbox` and the like are those that every account has.
    folder: String,
    at: Timestamp,
    mail: Outgoing,
    flags: Flags,
    labels: Vec<String>,
}

/// Makes the accounts and their mail, once.
pub(crate) async fn fill(service: &Service, data_dir: &Path) -> anyhow::Result<()> {
    let mark = data_dir.join(MARK);
    if mark.exists() {
        return Ok(());
    }
    let admin = service.admin();
    if !admin.domains().await?.iter().any(|domain| domain.name == DOMAIN) {
        admin.add_domain(DOMAIN).await?;
    }
    let [alice, bob, operator] = ADDRESSES;
    let since = account(&admin, alice, "Alice Kim").await?;
    account(&admin, bob, "Bob Müller").await?;
    account(&admin, operator, "Admin").await?;
    admin.set_admin(&operator.parse()?, true).await?;

    let mut mails = conversations::of_alice(since)?;
    mails.extend(letters::letters(since));
    mails.extend(newsletters::newsletters(since));
    import(&admin, alice, mails).await?;
    import(&admin, bob, conversations::of_bob(since)?).await?;
    fs::write(&mark, "The demo accounts have their mail.\n").with_context(|| mark.display().to_string())
}

/// Makes the account if it is not there; when it was made.
async fn account(admin: &Admin, address: &str, name: &str) -> anyhow::Result<Timestamp> {
    let email: EmailAddress = address.parse()?;
    if let Ok(account) = admin.account(&email).await {
        return Ok(account.created_at);
    }
    Ok(admin.add_account(&email, name, Secret::new(PASSWORD.to_owned()), None).await?.created_at)
}

async fn import(admin: &Admin, address: &str, mut mails: Vec<Item>) -> anyhow::Result<()> {
    let access = admin.open(&address.parse()?).await?;
    // In order of time, so that answers find the mails they answer.
    mails.sort_by_key(|item| item.at);
    let mut folders = HashMap::new();
    let mut imports = Vec::with_capacity(mails.len());
    for Item { folder, at, mail, flags, labels } in mails {
        let id = match folders.get(&folder) {
            Some(id) => *id,
            None => {
                let id = self::folder(&access, &folder).await?;
                folders.insert(folder, id);
                id
            }
        };
        let raw = message::compose(&mail).into();
        imports.push(Import { folder: id, raw, received_at: Some(at), flags, labels });
    }
    access.import(imports).await?;
    Ok(())
}

async fn folder(access: &Access, name: &str) -> anyhow::Result<MailboxId> {
    let folders = access.folders().await?.folders;
    if let Some(folder) = folders.iter().find(|folder| folder.name == name) {
        return Ok(folder.id);
    }
    Ok(access.create_folder(&NewFolder { name: name.to_owned(), parent_id: None }).await?.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mailbox_is_believable_and_always_the_same() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let make = || {
            let mut mails = conversations::of_alice(now).unwrap();
            mails.extend(letters::letters(now));
            mails.extend(newsletters::newsletters(now));
            mails
        };
        let mails = make();
        assert!((300..=420).contains(&mails.len()), "{}", mails.len());
        assert!(mails.iter().all(|item| item.at <= now), "nothing is from the future");
        let count = |wanted: &dyn Fn(&Item) -> bool| mails.iter().filter(|item| wanted(item)).count();
        assert!(count(&|item| !item.flags.contains(Flags::SEEN)) > 10);
        assert!(count(&|item| item.flags.contains(Flags::FLAGGED)) > 5);
        assert!(count(&|item| item.flags.contains(Flags::DRAFT)) >= 3);
        assert!(count(&|item| !item.mail.attachments.is_empty()) > 20);
        assert!(count(&|item| item.mail.html.is_some()) > 50);
        assert!(count(&|item| item.folder == "Sent") > 12);
        let bytes =
            |mails: &[Item]| mails.iter().map(|item| message::compose(&item.mail)).collect::<Vec<_>>();
        assert_eq!(bytes(&mails), bytes(&make()));
        let mut ids: Vec<_> = mails.iter().map(|item| &item.mail.message_id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), mails.len());
        assert!(!conversations::of_bob(now).unwrap().is_empty());
    }
}
