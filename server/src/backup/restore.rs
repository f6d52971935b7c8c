//! Restoring: everything into an empty service, or one account.
//!
//! An account's rows come before its entry in the directory, so that nobody writes to it before it is whole. What an
//! earlier attempt has finished is known by its mark (see `take`) and kept, so a restore that broke off is simply
//! started again.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use anyhow::{Context as _, bail, ensure};
use storage::{AccountState, Error, NewAccount, moves::Phase, write};
use types::{AccountId, Bucket, EmailAddress, ModSeq, Timestamp};

use super::{
    Ports, Watch,
    blobs::BlobFolder,
    chain::{Entries, Entry, Group, Person, Rounds},
    folder::{Chain, Folder},
    keys,
    manifest::{Manifest, RunName},
    take::{Goal, Provision, Taker, mark, moving, queues},
};

const PAGE: u32 = 500;

/// A run to restore from.
#[derive(Debug)]
pub struct At {
    folder: Folder,
    chain: Chain,
    /// With it, and those before it.
    runs: usize,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub accounts: u64,
    /// Accounts that an earlier attempt had brought back.
    pub before: u64,
    pub messages: u64,
    /// What could not be brought back, a line each.
    pub faults: Vec<String>,
}

/// Where one account goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Where it was.
    Itself,
    /// This account, which is another and has no mail.
    Into(AccountId),
}

/// The newest run, or the one that `at` names, or the newest at that time.
///
/// # Errors
/// There is none, or `at` is neither a run nor a time.
pub fn find(folder: &Path, at: Option<&str>) -> anyhow::Result<At> {
    let folder = Folder::open(folder)?;
    let chains = folder.chains()?;
    let wanted: Box<dyn Fn(&Manifest) -> bool> = match at {
        None => Box::new(|_| true),
        Some(at) => match (RunName::parse(at), at.parse::<Timestamp>()) {
            (Some(run), _) => Box::new(move |manifest| manifest.run == run),
            (None, Ok(time)) => Box::new(move |manifest| manifest.began_at <= time),
            (None, Err(_)) => {
                bail!(
                    "--at {at}: it is neither a run like 20261122T163038Z nor a time like 2026-11-22T16:30:38Z"
                )
            }
        },
    };
    let mut found = None;
    let mut runs = Vec::new();
    for chain in &chains {
        for (manifest, count) in chain.manifests.iter().zip(1..) {
            runs.push(manifest.run.as_str());
            if wanted(manifest) {
                found = Some((chain, count));
            }
        }
        if let (None, Some(fault)) = (at, &chain.fault) {
            bail!("{fault}; name a run with --at: {}", runs.join(", "));
        }
    }
    let none = || match at {
        Some(at) => {
            format!("{}: no run fits --at {at}; there are {}", folder.path().display(), runs.join(", "))
        }
        None => format!("{}: there is no run in it", folder.path().display()),
    };
    let (chain, runs) = found.with_context(none)?;
    Ok(At { chain: chain.clone(), runs, folder: folder.clone() })
}

impl At {
    /// The run.
    pub fn run(&self) -> anyhow::Result<&RunName> {
        Ok(&self.manifest()?.run)
    }

    fn manifest(&self) -> anyhow::Result<&Manifest> {
        self.runs.checked_sub(1).and_then(|last| self.chain.manifests.get(last)).context("there is no run")
    }

    fn entries(&self) -> anyhow::Result<Entries> {
        Entries::open(&self.chain.folder, self.manifest()?)
    }

    /// The account that had this address. An administrator of then is none for that: they are made one at a time.
    fn person(&self, address: &EmailAddress) -> anyhow::Result<Person> {
        let mut entries = self.entries()?;
        while let Some(person) = entries.next_person()? {
            if person.aliases.iter().chain([&person.email]).any(|known| known.key() == address.key()) {
                return Ok(Person { admin: false, ..person });
            }
        }
        bail!("run {} has no account {address}", self.run()?)
    }

    /// The account that had this address, if it can be brought back now.
    ///
    /// # Errors
    /// There was none, the run cannot be read, or buckets move.
    pub async fn one(&self, ports: &Ports, address: &EmailAddress) -> anyhow::Result<One<'_>> {
        check_moves(ports).await?;
        let person = self.person(address)?;
        let known = Rounds::read(&self.chain, self.runs)?;
        Ok(One { at: self, address: address.clone(), person, known })
    }

    fn taker<'a>(&'a self, ports: &'a Ports, watch: &'a Watch) -> Taker<'a> {
        Taker {
            ports,
            watch,
            chain: &self.chain,
            blobs: BlobFolder::new(self.folder.blobs()),
            put: HashSet::new(),
            bad: HashMap::new(),
            suspects: HashMap::new(),
            messages: 0,
            faults: Vec::new(),
        }
    }
}

/// Brings everything back into a service that is empty, or has only what an earlier attempt brought back.
///
/// # Errors
/// The service is not empty, or something cannot be read or written. Damage of single files is no error, but among
/// [`Restored::faults`].
pub async fn everything(ports: &Ports, at: &At, with_queue: bool, watch: &Watch) -> anyhow::Result<Restored> {
    check_moves(ports).await?;
    let rounds = Rounds::read(&at.chain, at.runs)?;
    let done = empty_but_for(ports, at, &rounds).await?;
    let mut taker = at.taker(ports, watch);
    let manifest = at.manifest()?;
    taker.faults.extend(manifest.absences());
    let (mut accounts, mut before) = (0, 0);
    let mut entries = at.entries()?;
    while let Some(entry) = entries.next()? {
        let person = match entry {
            Entry::Domain { name, created_at, limits } => {
                match ports.directory.add_domain(&name, created_at).await {
                    Ok(_) | Err(Error::Exists(_)) => {}
                    Err(error) => return Err(error).context("the directory"),
                }
                limits.restore(&*ports.directory, &name).await.context("the directory")?;
                continue;
            }
            Entry::Key(key) => {
                keys::restore(&*ports.directory, key).await?;
                continue;
            }
            Entry::Account(person) => person,
        };
        let mut whole = done.contains(&person.id);
        if whole && ports.directory.account(person.id).await?.is_some() {
            before += 1;
            continue;
        }
        if !whole {
            let rounds = rounds.of(person.id, person.created_at);
            let goal = Goal { account: person.id, found: None, renewed: None, with_queue };
            whole = taker.account(&person.email.to_string(), rounds, goal).await?;
        }
        if !whole {
            provision(ports, person.id).await?;
        }
        enter(ports, &person, &mut taker.faults).await?;
        accounts += 1;
        watch.step();
    }
    Ok(Restored { accounts, before, messages: taker.messages, faults: taker.faults })
}

/// An account of a run.
#[derive(Debug)]
pub struct One<'a> {
    at: &'a At,
    /// One of its addresses, by which it was asked for.
    address: EmailAddress,
    person: Person,
    known: Rounds,
}

impl One<'_> {
    #[must_use]
    pub const fn own_quota_bytes(&self) -> Option<u64> {
        self.person.quota_bytes
    }

    /// Brings it back.
    ///
    /// # Errors
    /// There is mail where it should go, or something cannot be read or written. Damage of single files is no error, but
    /// among [`Restored::faults`].
    pub async fn restore(
        self,
        ports: &Ports,
        target: Target,
        with_queue: bool,
        watch: &Watch,
    ) -> anyhow::Result<Restored> {
        let Self { at, address, person, known } = self;
        let rounds = known.of(person.id, person.created_at);
        let mut taker = at.taker(ports, watch);
        taker.faults.extend(at.manifest()?.absence_of(person.id));
        let now = ports.clock.now();
        let goal = match target {
            Target::Into(account) => {
                let found = without_mail(ports, account, mark(rounds), &account.to_string()).await?;
                Goal { account, found, renewed: Some(now), with_queue }
            }
            Target::Itself => itself(ports, &person, mark(rounds), with_queue, &mut taker.faults).await?,
        };
        let whole = taker.account(&person.email.to_string(), rounds, goal).await?;
        if !whole {
            provision(ports, goal.account).await?;
        }
        if goal.account == person.id && ports.directory.account(person.id).await?.is_none() {
            enter(ports, &person, &mut taker.faults).await?;
        }
        let complaint = format!("{address}: the run has none of its mail");
        let Taker { messages, mut faults, .. } = taker;
        if !whole && faults.is_empty() {
            faults.push(complaint);
        }
        Ok(Restored { accounts: 1, before: 0, messages, faults })
    }
}

/// Where an account goes that goes where it was.
async fn itself(
    ports: &Ports,
    person: &Person,
    mark: i64,
    with_queue: bool,
    faults: &mut Vec<String>,
) -> anyhow::Result<Goal> {
    let directory = &*ports.directory;
    for address in person.aliases.iter().chain([&person.email]) {
        let domain = address.domain();
        ensure!(
            directory.domain(address.domain()).await?.is_some(),
            "{domain} is not a domain of this service; `magpie domain add {domain}` first"
        );
    }
    let now = ports.clock.now();
    if let Some(id) = directory.resolve(&person.email).await? {
        let found = without_mail(ports, id, mark, &person.email.to_string()).await?;
        let there = directory.account(id).await?;
        let same = id == person.id && there.is_some_and(|there| there.created_at == person.created_at);
        return Ok(Goal { account: id, found, renewed: (!same).then_some(now), with_queue });
    }
    if directory.account(person.id).await?.is_none() {
        let found = without_mail(ports, person.id, mark, &format!("account {}", person.id)).await?;
        return Ok(Goal { account: person.id, found, renewed: None, with_queue });
    }
    // Somebody else has its id meanwhile.
    let new = NewAccount {
        email: person.email.clone(),
        name: person.name.clone(),
        password_hash: person.password_hash.clone(),
        own_quota_bytes: person.quota_bytes,
        created_at: now,
    };
    let added = directory.add_account(new).await?.context("its domain was removed just now")?;
    for alias in &person.aliases {
        if directory.resolve(alias).await?.is_none() {
            directory.add_alias(added.id, alias).await?;
        }
    }
    let_programs_in(ports, added.id, person).await?;
    gather(ports, added.id, person, faults).await?;
    directory.set_enabled(added.id, person.enabled).await?;
    Ok(Goal { account: added.id, found: None, renewed: Some(now), with_queue })
}

/// Makes sure that the account may be written over; its modseq, if it is there.
async fn without_mail(
    ports: &Ports,
    account: AccountId,
    mark: i64,
    who: &str,
) -> anyhow::Result<Option<ModSeq>> {
    let mut shard = ports.shards.latest(ports.shards.shard_of(account)).await?;
    let Some(state) = shard.account(account).await? else { return Ok(None) };
    if state.messages == 0 {
        ensure!(
            !queues(&mut *shard, account).await?,
            "{who} has mail on its way; --into NEW@ADDRESS brings the old mail into a new account beside it"
        );
        return Ok(Some(state.modseq));
    }
    ensure!(
        state.forgotten.0 != mark,
        "{who} was restored from this run already and has {} messages",
        state.messages
    );
    bail!(
        "{who} has {} messages; --into NEW@ADDRESS brings the old ones into a new account beside it",
        state.messages
    )
}

/// Adds the account to the directory. Aliases that somebody else has now stay there.
async fn enter(ports: &Ports, person: &Person, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let directory = &*ports.directory;
    let mut aliases = Vec::new();
    for alias in &person.aliases {
        match directory.resolve(alias).await? {
            None => aliases.push(alias.clone()),
            Some(_) => faults.push(format!("{}: its alias {alias} is somebody else's now", person.email)),
        }
    }
    let entered = directory.restore_account(&person.account(), &aliases).await;
    let entered = entered.with_context(|| format!("{} cannot be added", person.email))?;
    ensure!(entered, "{} cannot be added: its domain is missing", person.email);
    let_programs_in(ports, person.id, person).await?;
    gather(ports, person.id, person, faults).await
}

/// Adds the app passwords of the person, who has their password again as well.
async fn let_programs_in(ports: &Ports, account: AccountId, person: &Person) -> anyhow::Result<()> {
    for one in person.app_passwords.iter().cloned() {
        ports.directory.add_app_password(one.of(account, person.password_hash.clone()), u32::MAX).await?;
    }
    Ok(())
}

/// Adds the groups that the person answers for. Addresses that somebody else has now stay there.
async fn gather(
    ports: &Ports,
    owner: AccountId,
    person: &Person,
    faults: &mut Vec<String>,
) -> anyhow::Result<()> {
    let directory = &*ports.directory;
    for Group { address, targets } in person.groups.iter().cloned() {
        let name = address.to_string();
        let is_free = directory.resolve(&address).await?.is_none();
        if !is_free || !directory.set_group(&storage::Group { address, owner, targets }).await? {
            faults.push(format!(
                "{}: its group {name} is somebody else's now, or its domain is missing",
                person.email
            ));
        }
    }
    Ok(())
}

async fn provision(ports: &Ports, account: AccountId) -> anyhow::Result<()> {
    let shard = ports.shards.shard_of(account);
    match write(&*ports.shards, shard, Provision(account, ports.clock.now())).await {
        // Nobody listens to an account that was not there.
        Ok(_) => Ok(()),
        Err(Error::Moving) => bail!(moving(&[Bucket::of(account)])),
        Err(error) => Err(error).with_context(|| format!("shard {shard}")),
    }
}

/// An error while buckets move: what is written into their old shards then would be left behind. A move that begins
/// later ends the restore where it meets it.
async fn check_moves(ports: &Ports) -> anyhow::Result<()> {
    let moves = ports.directory.moves().await.context("the directory")?;
    let buckets: Vec<_> = moves
        .iter()
        .filter(|running| running.phase == Phase::Copying)
        .map(|running| running.bucket)
        .collect();
    ensure!(buckets.is_empty(), moving(&buckets));
    ports.shards.refresh().await.context("the bucket map")
}

/// Makes sure that the service has nothing but what was restored from this run; those accounts.
async fn empty_but_for(ports: &Ports, at: &At, rounds: &Rounds) -> anyhow::Result<HashSet<AccountId>> {
    let mut marks = HashMap::new();
    let mut entries = at.entries()?;
    while let Some(person) = entries.next_person()? {
        marks.insert(person.id, (person.created_at, mark(rounds.of(person.id, person.created_at))));
    }
    let wish = "restoring everything wants an empty service (or --account for one account)";
    let ours = |state: &AccountState| match marks.get(&state.id) {
        Some((_, mark)) => state.forgotten.0 == *mark && (*mark > 0 || state.messages == 0),
        None => false,
    };
    let mut done = HashSet::new();
    for shard in ports.shards.all() {
        let mut after = None;
        loop {
            let states = ports.shards.latest(shard).await?.accounts(after, PAGE).await?;
            let Some(last) = states.last() else { break };
            after = Some(last.id);
            for state in &states {
                ensure!(ours(state), "shard {shard} has mail of account {} already: {wish}", state.id);
                done.insert(state.id);
            }
        }
    }
    let mut after = None;
    loop {
        let accounts = ports.directory.accounts(after, PAGE).await?;
        let Some(last) = accounts.last() else { return Ok(done) };
        after = Some(last.id);
        for account in &accounts {
            let same = marks.get(&account.id).is_some_and(|(made, _)| *made == account.created_at);
            ensure!(
                same && done.contains(&account.id),
                "there is an account {} already: {wish}",
                account.email
            );
        }
    }
}
