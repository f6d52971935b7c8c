//! Passwords: argon2id in the PHC string format, hashed and compared off the async threads, a few at a time.

use std::time::Duration;

use argon2::{Argon2, PasswordHash, PasswordHasher as _, PasswordVerifier as _, password_hash::SaltString};
use tokio::sync::{Semaphore, SemaphorePermit};
use types::Secret;

use crate::{Error, Random, Result, random};

/// Compared with when there is no such account, so that the answer takes as long: a hash that nothing matches.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bWFncGllbWFncGllbWFncA$9NqTYCMJx2sQfXxEcGC4Wvq0G3rLcnSJYgVxDbqMPJo";

/// How long a login waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hashes passwords: each takes 19 MiB and some 30 ms, so only as many run at once as there are processors.
pub(crate) struct Passwords {
    places: Semaphore,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self { places: Semaphore::new(processors) }
    }

    /// The hash to keep of a password.
    pub(crate) async fn hash(&self, password: Secret, random: &dyn Random) -> Result<Secret> {
        let salt = SaltString::encode_b64(&random::bytes::<16>(random)).map_err(failed)?;
        let _place = self.place().await?;
        blocking(move || {
            let hash =
                Argon2::default().hash_password(password.expose().as_bytes(), &salt).map_err(failed)?;
            Ok(Secret::new(hash.to_string()))
        })
        .await
    }

    /// Whether the password is the one that was hashed. Takes as long without a hash.
    pub(crate) async fn matches(&self, password: Secret, hash: Option<Secret>) -> Result<bool> {
        let _place = self.place().await?;
        blocking(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| Secret::new(NOBODY.to_owned()));
            let parsed = PasswordHash::new(hash.expose()).map_err(failed)?;
            let same = Argon2::default().verify_password(password.expose().as_bytes(), &parsed).is_ok();
            Ok(same && known)
        })
        .await
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>> {
        match tokio::time::timeout(PATIENCE, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Error::Limited { retry_after: PATIENCE }),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("password task: {error}")))?
}

fn failed(error: argon2::password_hash::Error) -> Error {
    Error::Internal(format!("password hash: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Random for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let passwords = Passwords::new();
        let kept = passwords.hash("비밀번호 🔑".to_owned().into(), &Fixed).await.unwrap();
        assert!(passwords.matches("비밀번호 🔑".to_owned().into(), Some(kept.clone())).await.unwrap());
        assert!(!passwords.matches("wrong".to_owned().into(), Some(kept)).await.unwrap());
        assert!(!passwords.matches("anything".to_owned().into(), None).await.unwrap());
    }
}
