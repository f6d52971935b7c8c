//! One client: its commands to the functions that answer them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use imap::{Action, Command, Connection, Event, State, Status, Writer};
use mail::{Access, Certificate, Listed, Mailbox, Service, Subscription};
use sasl::{Binding, Mechanism};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::Uid;

use super::Settings;
use super::answers;
use super::context::Context;
use super::fetch::Fetching;
use super::notify::Watching;
use super::progress::Outbox;
use crate::budget::Charge;
use crate::login;
use crate::net::{Expects, Peer, Security, Step};
use crate::sessions::Seat;

/// How a command ends: well, or with what the client is told.
pub(super) type Answer = Result<Status, Status>;

/// The conversation with one IMAP client.
pub(super) struct Session {
    pub(super) engine: Connection,
    pub(super) client: IpAddr,
    stop: CancellationToken,
    pub(super) mail: Service,
    pub(super) settings: Arc<Settings>,
    /// On offer here.
    pub(super) mechanisms: Arc<[Mechanism]>,
    /// What logins can be bound to.
    pub(super) binding: Option<Binding>,
    /// The client's.
    pub(super) certificate: Arc<Certificate>,
    /// A login on its way.
    pub(super) attempt: Option<Box<login::Login>>,
    pub(super) login: Option<Login>,
    pub(super) selected: Option<Selected>,
    pub(super) enabled: Features,
    /// RFC 5465: what is told without being asked for.
    pub(super) watching: Option<Box<Watching>>,
    /// New messages of which more is told than that they are there.
    pub(super) fresh: Vec<(u32, Listed)>,
    /// An answer that is being sent piece by piece.
    pub(super) fetching: Option<Box<Fetching>>,
    /// For what is told before a command has ended.
    pub(super) outbox: Arc<Outbox>,
    /// What the literals of the command cost.
    charges: Vec<Charge>,
    /// It cannot go on: a literal was begun whose bytes are not to be had.
    broken: bool,
}

/// Who logged in.
pub(super) struct Login {
    pub(super) access: Access,
    pub(super) hints: Subscription,
    /// When it was last made sure that they still may.
    pub(super) checked_at: Instant,
    /// A hint came while nobody could act on it.
    pub(super) woken: bool,
    /// When it was last looked without a hint, which is done again after a while whatever happens meanwhile.
    pub(super) looked_at: Instant,
    /// One of the account's.
    pub(super) _seat: Seat,
}

/// What was switched on (RFC 5161).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Features {
    pub(super) rev2: bool,
    pub(super) condstore: bool,
    pub(super) qresync: bool,
    /// RFC 9586: messages have no numbers but their UIDs.
    pub(super) uid_only: bool,
}

/// The selected mailbox.
pub(super) struct Selected {
    pub(super) mailbox: Mailbox,
    pub(super) read_only: bool,
    pub(super) view: imap::View<Listed>,
    /// RFC 5182: `$`.
    pub(super) saved: Vec<Uid>,
    /// RFC 5267: results that are kept up to date.
    pub(super) contexts: Vec<Context>,
    /// That there are more messages was told last where some clients do not heed it.
    pub(super) grown: bool,
    /// Of its owner's, if that is somebody else.
    pub(super) hints: Option<Subscription>,
    /// The client knows that it may not read it any more.
    pub(super) barred: bool,
}

/// How long a literal waits for room: others' are with the shard by then.
const PATIENCE: Duration = Duration::from_secs(20);

fn twice(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(2)
}

impl Session {
    pub(super) fn new(
        engine: Connection,
        peer: Peer,
        mail: Service,
        settings: Arc<Settings>,
        mechanisms: Arc<[Mechanism]>,
    ) -> Self {
        let mut session = Self {
            engine,
            client: peer.address.ip(),
            stop: peer.stop,
            mail,
            settings,
            mechanisms,
            binding: None,
            certificate: Arc::default(),
            attempt: None,
            login: None,
            selected: None,
            enabled: Features::default(),
            watching: None,
            fresh: Vec::new(),
            fetching: None,
            outbox: Arc::default(),
            charges: Vec::new(),
            broken: false,
        };
        session.secured(peer.security);
        session
    }

    fn secured(&mut self, security: Security) {
        self.binding = security.binding.map(Binding);
        self.certificate = security.certificate;
        self.engine.bind(self.binding.is_some());
        self.engine.certify(self.certificate.is_of_use(self.mail.now()));
    }

    /// For untagged responses, in the client's spelling.
    pub(super) fn writer(&self) -> Writer {
        Writer::new(self.engine.uses_utf8())
    }

    /// Sends what was gathered.
    pub(super) fn send(&mut self, mut writer: Writer) {
        self.engine.write(&writer.take());
    }

    /// Who logged in; the engine lets nobody else say what needs it.
    pub(super) fn access(&self) -> Result<Access, Status> {
        let login = self.login.as_ref().ok_or(Status::bad("Log in first"))?;
        Ok(login.access.clone())
    }

    /// The same for a selected mailbox.
    pub(super) fn selected(&mut self) -> Result<&mut Selected, Status> {
        self.selected.as_mut().ok_or(Status::bad("Select a mailbox first"))
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Command(command) => self.command(command).await,
            Event::Response(response) => {
                if let Some(answer) = self.response(response).await {
                    self.finish(answer);
                }
            }
            Event::Done => {
                let answer =
                    self.tell_news(imap::Expunges::Told).await.map(|()| Status::ok("No longer idle"));
                self.finish(answer);
            }
            Event::Reserve(bytes) => {
                // Nothing more is read of the client meanwhile.
                let charge = self.settings.budget.charge_within(PATIENCE, self.client, twice(bytes)).await;
                self.engine.admit(charge.is_ok());
                self.charges.extend(charge);
            }
        }
    }

    /// Has the command pay for bytes that are in memory twice: as they came, and in the message that is made of them.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<(), Status> {
        let charge = self.settings.budget.charge(self.client, twice(bytes));
        let full = |_| Status::no("Not possible now, please try again later").with(imap::Code::Unavailable);
        self.charges.push(charge.map_err(full)?);
        Ok(())
    }

    async fn command(&mut self, command: Command) {
        if !self.pace().await {
            return self.engine.bye("The server is going down, please come back", None);
        }
        if let Err(gone) = self.still_allowed().await {
            return self.engine.bye(gone, None);
        }
        if self.enabled.uid_only && by_numbers(&command) {
            return self.engine.finish(&answers::uid_required());
        }
        let expunges = news_after(&command);
        let asks_for_news = matches!(command, Command::Noop | Command::Check);
        let answer = Box::pin(self.answer(command)).await;
        self.charges.clear();
        let Some(answer) = answer else { return };
        let answer = match (answer, expunges) {
            (Ok(status), Some(expunges)) => self.tell_news(expunges).await.map(|()| status),
            (answer, _) => answer,
        };
        if asks_for_news {
            self.growth_is_known();
        }
        self.finish(answer);
    }

    /// Waits where there were too many commands; false if that cannot be waited for. What was answered is sent before.
    async fn pace(&mut self) -> bool {
        let Self { mail, engine, outbox, stop, .. } = self;
        let account = self.login.as_ref().map(|login| login.access.id());
        let send = || {
            if let Some(bytes) = engine.unsent() {
                outbox.put(&bytes);
            }
        };
        mail.pace(self.client, account, stop, send).await
    }

    pub(super) fn finish(&mut self, answer: Answer) {
        if let Err(refused) = &answer {
            tracing::debug!(code = ?refused.code, reason = %refused.text, "a command was refused");
        }
        match answer {
            Ok(status) | Err(status) => self.engine.finish(&status),
        }
    }

    /// `None`: it is not ended yet.
    async fn answer(&mut self, command: Command) -> Option<Answer> {
        Some(match command {
            Command::Capability => self.capability(),
            Command::Noop | Command::Check => Ok(Status::ok("Done")),
            Command::Id(fields) => self.id(&fields),
            Command::Login { user, password } => self.log_in(&user, &password).await,
            Command::Authenticate { mechanism, initial } => {
                return self.authenticate(&mechanism, initial).await;
            }
            Command::Unauthenticate => self.unauthenticate(),
            Command::Enable(features) => self.enable(&features),
            Command::Select(select) => self.select(select).await,
            Command::Create { mailbox, uses } => self.create(&mailbox, &uses).await,
            Command::Delete(mailbox) => self.delete(&mailbox).await,
            Command::Rename { from, to } => self.rename(&from, &to).await,
            Command::Subscribe(mailbox) => self.subscribe(&mailbox, true).await,
            Command::Unsubscribe(mailbox) => self.subscribe(&mailbox, false).await,
            Command::List(list) => self.list(list).await,
            Command::Lsub { reference, pattern } => self.lsub(&reference, &pattern).await,
            Command::Namespace => self.namespace(),
            Command::Status { mailbox, items } => self.status(&mailbox, &items).await,
            Command::Append { mailbox, messages } => self.append(&mailbox, messages).await,
            Command::Idle => {
                return self.idle().await;
            }
            Command::GetMetadata { mailbox, wanted } => self.get_metadata(&mailbox, &wanted).await,
            Command::SetMetadata { mailbox, entries } => self.set_metadata(&mailbox, entries).await,
            Command::GetQuota(root) => self.get_quota(&root).await,
            Command::GetQuotaRoot(mailbox) => self.get_quota_root(&mailbox).await,
            Command::SetQuota => Err(answers::no_perm()),
            Command::MyRights(mailbox) => self.my_rights(&mailbox).await,
            Command::GetAcl(mailbox) => self.get_acl(&mailbox).await,
            Command::ListRights { mailbox, identifier } => self.list_rights(&mailbox, &identifier).await,
            Command::SetAcl(wanted) => self.set_acl(wanted).await,
            Command::DeleteAcl { mailbox, identifier } => self.delete_acl(&mailbox, &identifier).await,
            Command::Close => self.close(true).await,
            Command::Unselect => self.close(false).await,
            Command::Expunge => self.expunge(None).await,
            Command::UidExpunge(set) => self.expunge(Some(&set)).await,
            Command::Notify(notify) => self.notify(notify).await,
            Command::CancelUpdate(tags) => self.cancel_update(&tags),
            Command::MultiSearch(search) => self.multi_search(search).await,
            Command::Search { search, uid } => self.search(search, uid).await,
            Command::Sort { sort, uid } => self.sort(sort, uid).await,
            Command::Thread { thread, uid } => self.thread(thread, uid).await,
            Command::Fetch { fetch, uid } => match self.fetch(fetch, uid).await {
                Ok(()) => return None,
                Err(status) => Err(status),
            },
            Command::Store { store, uid } => self.store(store, uid).await,
            Command::Copy { set, mailbox, uid } => self.copy(&set, &mailbox, uid).await,
            Command::Move { set, mailbox, uid } => self.move_to(&set, &mailbox, uid).await,
            Command::Replace { message, mailbox, with, uid } => {
                self.replace(message, &mailbox, with, uid).await
            }
            // The engine answers these itself.
            Command::StartTls | Command::Compress | Command::Logout => Err(Status::bad("Not now")),
        })
    }
}

/// Whether the client is told news after this command, and whether messages may vanish for it then: RFC 9051 §7.5.1
/// forbids that where sequence numbers are in use. `None`: the command tells them itself, or there is nothing to tell.
fn news_after(command: &Command) -> Option<imap::Expunges> {
    match command {
        Command::Store { uid: false, .. }
        | Command::Search { uid: false, .. }
        | Command::Sort { uid: false, .. }
        | Command::Thread { uid: false, .. } => Some(imap::Expunges::Held),
        Command::Fetch { .. }
        | Command::Select(_)
        | Command::Close
        | Command::Unselect
        | Command::Idle
        | Command::Login { .. }
        | Command::Authenticate { .. }
        | Command::Unauthenticate
        | Command::Capability
        | Command::Id(_)
        | Command::StartTls
        | Command::Logout => None,
        _ => Some(imap::Expunges::Told),
    }
}

/// Whether the command, or its answer, has sequence numbers.
const fn by_numbers(command: &Command) -> bool {
    matches!(
        command,
        Command::Search { uid: false, .. }
            | Command::Sort { uid: false, .. }
            | Command::Thread { uid: false, .. }
            | Command::Fetch { uid: false, .. }
            | Command::Store { uid: false, .. }
            | Command::Copy { uid: false, .. }
            | Command::Move { uid: false, .. }
            | Command::Replace { uid: false, .. }
    )
}

impl Session {
    /// Does what can be done, until something is wanted of the driver.
    pub(super) async fn step(&mut self) -> Step {
        loop {
            if self.broken {
                return Step::Close;
            }
            if self.fetching.is_some() && !self.engine.is_full() {
                if Box::pin(self.fetch_on()).await.is_err() {
                    self.broken = true;
                }
                continue;
            }
            if self.wants_news() && self.heard_news() {
                Box::pin(self.tell_idle()).await;
            }
            if !self.fresh.is_empty() && self.wants_news() {
                self.tell_fresh();
                continue;
            }
            match self.engine.next() {
                Action::Read => return Step::Read,
                Action::Write(bytes) => return Step::Write(bytes),
                Action::StartTls => return Step::StartTls,
                Action::Close => return Step::Close,
                Action::Event(event) => Box::pin(self.event(event)).await,
            }
        }
    }

    pub(super) fn expects(&self) -> Expects {
        match self.engine.expects() {
            imap::Expects::Command => Expects::Command,
            imap::Expects::Anything => Expects::Anything,
            imap::Expects::Literal => Expects::Content,
        }
    }

    pub(super) fn tls_started(&mut self, security: Security) {
        self.login = None;
        self.selected = None;
        self.attempt = None;
        self.engine.enter(State::NotAuthenticated);
        self.engine.tls_started();
        self.secured(security);
    }
}
