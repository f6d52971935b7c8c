//! Passwords: argon2id in the PHC string format, hashed and compared off the async threads, a few at a time. What was
//! right lately is known again without that: mail programs log in all day, with several connections each.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::{self, Output, ParamsString, Salt, SaltString},
};
use moka::sync::Cache as Memory;
use tokio::sync::{Semaphore, SemaphorePermit};
use types::{EmailAddress, Secret, client_network};

use crate::{Error, Random, Result, random};

/// Compared with when there is no such account, so that the answer takes as long: a hash that nothing matches.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bWFncGllbWFncGllbWFncA$9NqTYCMJx2sQfXxEcGC4Wvq0G3rLcnSJYgVxDbqMPJo";

/// Blocks of a room that the system's allocator always gives back to the system: it keeps what is up to 32 MiB, once for
/// each thread that ever hashed. What is not used of a room is not there.
const GIVEN_BACK: usize = 33 << 10;

/// How long a login waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hashes passwords: each takes 19 MiB and some 30 ms, so only as many run at once as there are processors.
pub(crate) struct Passwords {
    places: Semaphore,
    /// Marks of what was right: each of a hash and the password that made it, under a key that this process alone has
    /// and never writes down. A new password has another hash, so an old one is forgotten with it.
    right: Memory<[u8; 32], ()>,
    /// Marks of what was wrong, under the same key, and how often: programs try what they have by each mechanism.
    wrong: Memory<[u8; 32], Arc<AtomicU32>>,
    key: [u8; 32],
}

/// So many marks, for so long: now and then the hash is asked again, and what is kept beside it is made where it is missing.
const MARKS: u64 = 100_000;
const MARKS_LAST: Duration = Duration::from_secs(3600);
const WRONG_LAST: Duration = Duration::from_secs(600);
/// So many times the same mistake is one.
const PATIENT: u32 = 10;

/// How a password compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    Wrong,
    Right,
    /// It was right before.
    Again,
}

impl Passwords {
    pub(crate) fn new(random: &dyn Random) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let right = Memory::builder().max_capacity(MARKS).time_to_live(MARKS_LAST).build();
        let wrong = Memory::builder().max_capacity(MARKS).time_to_live(WRONG_LAST).build();
        Self { places: Semaphore::new(processors), right, wrong, key: random::bytes(random) }
    }

    /// The hash to keep of a password.
    pub(crate) async fn hash(&self, password: Secret, random: &dyn Random) -> Result<Secret> {
        let salt = SaltString::encode_b64(&random::bytes::<16>(random)).map_err(failed)?;
        let _place = self.place().await?;
        blocking(move || {
            let hash = hashed(password.expose().as_bytes(), salt.as_salt()).map_err(failed)?;
            Ok(Secret::new(hash.to_string()))
        })
        .await
    }

    /// Whether the password is the one that was hashed. What is wrong takes as long as it does without a hash.
    pub(crate) async fn compare(&self, password: Secret, hash: Option<Secret>) -> Result<Match> {
        let mark = hash.as_ref().map(|hash| self.mark(&password, hash));
        if mark.is_some_and(|mark| self.right.get(&mark).is_some()) {
            return Ok(Match::Again);
        }
        let place = self.place().await?;
        let same = blocking(move || {
            let password = password.expose().as_bytes();
            let same = hash.map(|hash| is_of(password, hash.expose())).transpose().unwrap_or_else(|error| {
                tracing::error!(%error, "the hash of a password is damaged");
                None
            });
            match same {
                Some(same) => Ok(same),
                None => is_of(password, NOBODY).map(|_| false).map_err(failed),
            }
        })
        .await?;
        drop(place);
        match mark {
            Some(mark) if same => {
                self.right.insert(mark, ());
                Ok(Match::Right)
            }
            _ => Ok(Match::Wrong),
        }
    }

    /// Whether this client has not come with this wrong password for this address lately, or has come with it a whole
    /// [`PATIENT`] times more. Who tries the same again, or by another mechanism, guesses nothing; but not for ever.
    pub(crate) fn is_new_mistake(
        &self,
        address: &EmailAddress,
        password: &Secret,
        client: Option<IpAddr>,
    ) -> bool {
        let mut mark = blake3::Hasher::new_keyed(&self.key);
        let client = client.map(|client| client_network(client).to_string()).unwrap_or_default();
        // Neither a client nor an address has a NUL.
        for part in ["wrong", &client, &address.key()] {
            mark.update(part.as_bytes()).update(&[0]);
        }
        let mark = mark.update(password.expose().as_bytes()).finalize().into();
        let times = self.wrong.get_with(mark, Arc::default);
        times.fetch_add(1, Ordering::Relaxed).is_multiple_of(PATIENT)
    }

    fn mark(&self, password: &Secret, hash: &Secret) -> [u8; 32] {
        // The hash has no NUL, so that each pair has bytes of its own.
        let mut mark = blake3::Hasher::new_keyed(&self.key);
        mark.update(hash.expose().as_bytes()).update(&[0]).update(password.expose().as_bytes());
        mark.finalize().into()
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

/// The password's hash, by the parameters of today.
fn hashed<'a>(password: &[u8], salt: Salt<'a>) -> password_hash::Result<PasswordHash<'a>> {
    let argon2 = Argon2::default();
    let hash = output(&argon2, password, salt, Params::DEFAULT_OUTPUT_LEN)?;
    Ok(PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params())?,
        salt: Some(salt),
        hash: Some(hash),
    })
}

/// Whether the password has this hash, by whatever parameters it was made.
fn is_of(password: &[u8], hash: &str) -> password_hash::Result<bool> {
    let hash = PasswordHash::new(hash)?;
    let (Some(salt), Some(wanted)) = (hash.salt, hash.hash) else {
        return Err(password_hash::Error::PhcStringField);
    };
    let version = hash.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let argon2 = Argon2::new(Algorithm::try_from(hash.algorithm)?, version, Params::try_from(&hash)?);
    // In constant time.
    Ok(output(&argon2, password, salt, wanted.len())? == wanted)
}

fn output(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: Salt<'_>,
    length: usize,
) -> password_hash::Result<Output> {
    let mut bytes = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut bytes)?;
    let count = argon2.params().block_count();
    let mut room = Vec::with_capacity(count.max(GIVEN_BACK));
    room.resize(count, Block::default());
    Output::init_with(
        length,
        |out| Ok(argon2.hash_password_into_with_memory(password, salt, out, &mut room)?),
    )
}

fn failed(error: password_hash::Error) -> Error {
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
        let passwords = Passwords::new(&Fixed);
        let right = || Secret::from("비밀번호 🔑".to_owned());
        let kept = passwords.hash(right(), &Fixed).await.unwrap();
        assert_eq!(passwords.compare(right(), Some(kept.clone())).await.unwrap(), Match::Right);
        assert_eq!(passwords.compare("wrong".to_owned().into(), Some(kept)).await.unwrap(), Match::Wrong);
        assert_eq!(passwords.compare("anything".to_owned().into(), None).await.unwrap(), Match::Wrong);
    }

    #[tokio::test]
    async fn hashes_of_others_and_damaged_ones_are_understood() {
        let passwords = Passwords::new(&Fixed);
        let compare = async |password: &str, hash: &str| {
            passwords.compare(Secret::from(password.to_owned()), Some(Secret::from(hash.to_owned()))).await
        };
        // By the `argon2` crate alone.
        let known = "$argon2id$v=19$m=19456,t=2,p=1$MdF5TYTRKSEZePVipcTRGQ$iqCWoShrzT809rrkj3itBO/I66NmJMtOZYOIIhHvNZE";
        assert_eq!(compare("passpass", known).await.unwrap(), Match::Right);
        assert_eq!(compare("passpas", known).await.unwrap(), Match::Wrong);
        let (begin, _) = known.rsplit_once('$').unwrap();
        let damaged = ["", "x", begin, &known.replace("v=19", "v=18"), &known.replace("argon2id", "scrypt")];
        for hash in damaged {
            assert_eq!(compare("passpass", hash).await.unwrap(), Match::Wrong, "{hash}");
        }
    }

    #[test]
    fn the_same_mistake_is_one() {
        let passwords = Passwords::new(&Fixed);
        let is_new = |address: &str, password: &str, client: &str| {
            let client = Some(client.parse().unwrap());
            passwords.is_new_mistake(&address.parse().unwrap(), &Secret::from(password.to_owned()), client)
        };
        assert!(is_new("a@a.test", "old", "192.0.2.1"));
        assert!(!is_new("A@A.test", "old", "192.0.2.1"), "by another mechanism");
        assert!(is_new("a@a.test", "older", "192.0.2.1"));
        assert!(is_new("b@a.test", "old", "192.0.2.1"));
        assert!(is_new("a@a.test", "old", "192.0.2.2"));
        let mistakes = (0..25).filter(|_| is_new("c@a.test", "old", "192.0.2.1")).count();
        assert_eq!(mistakes, 3, "whoever does not stop");
    }

    #[tokio::test]
    async fn what_was_right_is_known_again_until_the_password_changes() {
        let passwords = Passwords::new(&Fixed);
        let (old, new) = (|| Secret::from("old".to_owned()), || Secret::from("new".to_owned()));
        let kept = passwords.hash(old(), &Fixed).await.unwrap();
        assert_eq!(passwords.compare(old(), Some(kept.clone())).await.unwrap(), Match::Right);
        assert_eq!(passwords.compare(old(), Some(kept.clone())).await.unwrap(), Match::Again);
        assert_eq!(passwords.compare(new(), Some(kept.clone())).await.unwrap(), Match::Wrong);
        let changed = passwords.hash(new(), &Fixed).await.unwrap();
        assert_eq!(passwords.compare(old(), Some(changed.clone())).await.unwrap(), Match::Wrong);
        assert_eq!(passwords.compare(new(), Some(changed)).await.unwrap(), Match::Right);
        // Wrong ones are never taken for right.
        assert_eq!(passwords.compare(new(), Some(kept)).await.unwrap(), Match::Wrong);
    }
}
