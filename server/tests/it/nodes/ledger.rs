//! What was acknowledged, and whether it is there.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    client::Rest,
    town::{Person, Town},
};

/// Subjects of mails that a node said it has, by where they must be.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) received: HashMap<Person, HashSet<String>>,
    pub(crate) sent: HashMap<Person, HashSet<String>>,
}

/// The queue goes on by itself; this is how long it may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl Ledger {
    /// Every acknowledged mail is in its place, and nothing is in any place twice.
    pub(crate) async fn check(&self, town: &Town) {
        let deadline = Instant::now() + PATIENCE;
        for person in &town.people {
            let rest = Rest::login(&town.addresses, &person.email).await.expect("everything runs");
            for (role, wanted) in [("inbox", self.received.get(person)), ("sent", self.sent.get(person))] {
                let Some(wanted) = wanted else { continue };
                loop {
                    let found = rest.subjects(role, usize::MAX).await.expect("everything runs");
                    let there: HashSet<_> = found.iter().collect();
                    assert_eq!(
                        there.len(),
                        found.len(),
                        "{} has mail twice: {:?}",
                        person.email,
                        twice(&found)
                    );
                    let missing: Vec<_> = wanted.iter().filter(|subject| !there.contains(subject)).collect();
                    if missing.is_empty() {
                        break;
                    }
                    let lost = format!(
                        "{}'s {role} lacks {} of {}, e.g. {}",
                        person.email,
                        missing.len(),
                        wanted.len(),
                        missing[0]
                    );
                    assert!(Instant::now() < deadline, "{lost}");
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

fn twice(subjects: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    subjects.iter().find(|subject| !seen.insert(*subject))
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |of: &HashMap<Person, HashSet<String>>| of.values().map(HashSet::len).sum::<usize>();
        write!(f, "{} mails received and {} sent were acknowledged", count(&self.received), count(&self.sent))
    }
}
