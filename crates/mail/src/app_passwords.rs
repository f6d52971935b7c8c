//! App passwords: one for each mail program, so that none of them knows the account's own password, and one that is lost
//! is taken away by itself. They let in to IMAP, POP3 and submission, not to the webmail nor to the API.
//!
//! They are made here, of a hundred random bits: nobody can guess one, so a plain hash of it will do, and whoever has one
//! is let in without the work that people's passwords take.

use std::time::Duration;

use storage::{Account, AppPassword, Ending, NewAppPassword};
use types::{AccountId, AppPasswordId, Secret, Timestamp, api};

use crate::{Access, Client, Error, Result, Service, login::hash};

/// Those that look like others are missing.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const LENGTH: usize = 20;
const NAME_CHARS: usize = 100;
/// When one was used is noted as exactly as this.
const USE_NOTED: Duration = Duration::from_secs(3_600);

impl Access {
    /// The account's, the oldest first.
    pub async fn app_passwords(&self) -> Result<Vec<api::AppPassword>> {
        self.service.app_passwords(self.id).await
    }

    /// Makes one for the program of this name, if `own` is the account's own password. The new one is told here once and kept
    /// nowhere.
    pub async fn add_app_password(
        &self,
        name: &str,
        own: &Secret,
        client: &Client,
    ) -> Result<(api::AppPassword, Secret)> {
        checked(name)?;
        let account = self.service.confirm(self, own, client).await.map_err(|error| match error {
            Error::Credentials => Error::invalid("password", "that is not the password of your account"),
            other => other,
        })?;
        self.service.add_app_password(&account, name).await
    }

    /// Takes one away; whoever came by it has to go.
    pub async fn remove_app_password(&self, id: AppPasswordId) -> Result<()> {
        self.service.remove_app_password(self.id, id).await
    }
}

impl Service {
    pub(crate) async fn app_passwords(&self, account: AccountId) -> Result<Vec<api::AppPassword>> {
        Ok(self.parts.directory.app_passwords(account).await?.into_iter().map(shown).collect())
    }

    /// Makes one, if the account's password is still what it was.
    pub(crate) async fn add_app_password(
        &self,
        account: &Account,
        name: &str,
    ) -> Result<(api::AppPassword, Secret)> {
        let name = checked(name)?;
        let password = made(self.random_bytes());
        let keys = match self.iterations() {
            Some(iterations) => Some(self.derived(account.id, &password, iterations).await?),
            None => None,
        };
        let (digest, created_at) = (hash(password.expose()), self.now());
        let (name, password_hash) = (name.to_owned(), account.password_hash.clone());
        let new = NewAppPassword { account: account.id, password_hash, name, digest, keys, created_at };
        let most = self.config().app_passwords;
        let added = self.parts.directory.add_app_password(new, most).await.map_err(|error| match error {
            storage::Error::Reached(_) => Error::Conflict(format!(
                "an account has at most {most} app passwords; remove one that is not used any more"
            )),
            other => other.into(),
        })?;
        let changed = || Error::Conflict("the password of the account was changed just now".to_owned());
        Ok((shown(added.ok_or_else(changed)?), password))
    }

    pub(crate) async fn remove_app_password(&self, account: AccountId, id: AppPasswordId) -> Result<()> {
        let removed = self.parts.directory.remove_app_password(account, id).await?;
        let number = removed.ok_or(Error::NotFound("app password"))?;
        self.endings.note(Ending { number, account, whole: false }, self.now());
        Ok(())
    }

    /// Which of the account's app passwords this is. Takes the same for nobody's account.
    pub(crate) async fn app_password(
        &self,
        account: Option<&Account>,
        password: &Secret,
    ) -> Result<Option<AppPasswordId>> {
        let Some(typed) = typed(password.expose()) else { return Ok(None) };
        let account = account.map(|account| account.id).unwrap_or_default();
        // Compared in constant time.
        let digest = blake3::Hash::from_bytes(hash(&typed));
        let all = self.parts.directory.app_passwords(account).await?;
        let Some(found) = all.into_iter().find(|one| blake3::Hash::from_bytes(one.digest) == digest) else {
            return Ok(None);
        };
        self.note_use(account, found.id, found.used_at);
        Ok(Some(found.id))
    }

    /// Notes, while nobody waits for it, that one was used, if that was not noted lately. It is for its owner alone to see.
    pub(crate) fn note_use(&self, account: AccountId, id: AppPasswordId, used_at: Option<Timestamp>) {
        let now = self.now();
        if used_at.is_some_and(|used_at| now <= used_at.plus(USE_NOTED)) {
            return;
        }
        let service = self.clone();
        self.spawn(async move {
            if let Err(error) = service.parts.directory.use_app_password(account, id, now).await {
                tracing::debug!(%account, %error, "the use of an app password is not noted");
            }
        });
    }
}

fn shown(one: AppPassword) -> api::AppPassword {
    let AppPassword { id, name, created_at, used_at, .. } = one;
    api::AppPassword { id, name, created_at, used_at }
}

fn checked(name: &str) -> Result<&str> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS || name.chars().any(char::is_control) {
        let wanted = format!("name the program or device, on one line of at most {NAME_CHARS} characters");
        return Err(Error::invalid("name", wanted));
    }
    Ok(name)
}

fn made(random: [u8; LENGTH]) -> Secret {
    let letters = random.iter().filter_map(|byte| LETTERS.get(usize::from(byte % 32)));
    Secret::new(letters.map(|letter| char::from(*letter)).collect())
}

/// As it was made, if it may be one: people and programs put blanks and dashes between.
fn typed(password: &str) -> Option<String> {
    let letters = password.chars().filter(|letter| !matches!(letter, ' ' | '-')).take(LENGTH + 1);
    let letters: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    let is_one = letters.len() == LENGTH && letters.bytes().all(|letter| LETTERS.contains(&letter));
    is_one.then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_typed_as_people_like() {
        let password = made(std::array::from_fn(|at| u8::try_from(at * 13).unwrap()));
        let password = password.expose().as_str();
        assert_eq!(password.len(), LENGTH);
        let (start, end) = password.split_at(7);
        for text in [password.to_owned(), format!(" {start}-{end}"), password.to_ascii_uppercase()] {
            assert_eq!(typed(&text).as_deref(), Some(password), "{text}");
        }
        for text in [
            "",
            "magpie-demo",
            &format!("{password}a"),
            &password[1..],
            &password.replace(&password[..1], "0"),
        ] {
            assert_eq!(typed(text), None, "{text}");
        }
    }
}
