//! The directory of a run: domains, and accounts with their addresses.

use std::collections::{HashMap, HashSet};

use super::{ACCOUNTS, Run};
use crate::backup::{
    chain::{Entry, Group, Limits, Person},
    keys,
    manifest::{Manifest, Piece},
};

impl Run<'_> {
    /// Writes the directory down, unless it is as it was.
    pub(super) async fn directory(&mut self, last: Option<&Manifest>) -> anyhow::Result<Piece> {
        let directory = &*self.ports.directory;
        let mut lines = self.files.create("directory")?.part()?;
        for domain in directory.domains().await? {
            let keys = keys::of(directory, &domain).await?;
            let limits = Limits::of(directory, &domain.name).await?;
            lines.push(&Entry::Domain { name: domain.name, created_at: domain.created_at, limits })?;
            for key in keys {
                lines.push(&Entry::Key(key))?;
            }
        }
        // An address of its owner's like an alias, but for where its mail goes.
        let (mut groups, mut grouped) = (HashMap::<_, Vec<_>>::new(), HashSet::new());
        for storage::Group { address, owner, targets } in directory.groups().await? {
            grouped.insert(address.key());
            groups.entry(owner).or_default().push(Group { address, targets });
        }
        let mut after = None;
        loop {
            let accounts = directory.accounts(after, ACCOUNTS).await?;
            let ids: Vec<_> = accounts.iter().map(|account| account.id).collect();
            let Some(id) = ids.last() else { break };
            after = Some(*id);
            let mut aliases: HashMap<_, Vec<_>> = HashMap::new();
            let plain = directory.aliases(&ids).await?;
            for (account, alias) in plain.into_iter().filter(|(_, alias)| !grouped.contains(&alias.key())) {
                aliases.entry(account).or_default().push(alias);
            }
            let mut app_passwords: HashMap<_, Vec<_>> = HashMap::new();
            for (account, one) in directory.all_app_passwords(&ids).await? {
                app_passwords.entry(account).or_default().push(one.into());
            }
            for account in accounts {
                self.people.insert(account.id, account.created_at);
                lines.push(&Entry::Account(Person {
                    id: account.id,
                    email: account.email,
                    name: account.name,
                    password_hash: account.password_hash,
                    enabled: account.enabled,
                    admin: account.admin,
                    quota_bytes: account.own_quota_bytes,
                    created_at: account.created_at,
                    aliases: aliases.remove(&account.id).unwrap_or_default(),
                    groups: groups.remove(&account.id).unwrap_or_default(),
                    app_passwords: app_passwords.remove(&account.id).unwrap_or_default(),
                }))?;
            }
        }
        self.ran.accounts = self.people.len() as u64;
        let piece = lines.finish()?.0.finish(self.files.within("directory"))?;
        match last.map(|last| &last.directory).filter(|old| old.blake3 == piece.blake3) {
            Some(old) => {
                self.files.remove("directory")?;
                Ok(old.clone())
            }
            None => {
                self.ran.size_bytes += piece.size_bytes;
                Ok(piece)
            }
        }
    }
}
