//! `GET /v1/events`: live changes over a WebSocket.
//!
//! The socket reads the change log at its own pace: hints of the bus only say that it is worth looking. However many
//! changes come while a slow client takes the last message, the next one holds them all, as they are by then.

use std::{ops::ControlFlow, time::Duration};

use axum::{
    extract::{
        FromRequestParts, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::{HeaderMap, request::Parts},
    response::Response,
};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use types::{
    AccountId, ModSeq, ProblemKind, Secret,
    api::{ClientEvent, ServerEvent, SharedFolders},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Web,
    caller::{Caller, Credentials},
    docs::Problems,
    failure::{Failure, Result},
    origin,
    sockets::Place,
};

pub(crate) fn router() -> OpenApiRouter<Web> {
    OpenApiRouter::new().routes(routes!(connect))
}

/// How long a client may take to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// A client says one hello and then answers pings.
const MAX_MESSAGE_BYTES: usize = 4_096;
const MAX_FRAMES: u32 = 60;
const FRAMES_WITHIN: Duration = Duration::from_secs(10);

/// Live changes over a WebSocket
///
/// Say `{"type":"hello","since":MODSEQ}` first, or `{"type":"hello"}` for what changes from now on. What changed since
/// is told in `changed` messages, then comes `ready`, then whatever changes while you listen. `reset` means that you
/// are too far behind: load everything anew and continue from its modseq. With `"shared":true` in the hello, `shared`
/// messages tell what others share with you, after `ready` and whenever something of it changes.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    responses(
        (status = 101, description = "Text messages: ClientEvent from you, ServerEvent to you"),
        (status = 200, description = "What the messages look like", body = ServerEvent),
        Problems
    )
)]
pub(crate) async fn connect(
    State(web): State<Web>,
    caller: Caller,
    headers: HeaderMap,
    Upgrade(upgrade): Upgrade,
) -> Result<Response> {
    if let Some(Credentials::Cookie(_)) = Credentials::of(&headers) {
        origin::check(&headers, web.config.http.public_url.as_deref())?;
    }
    let most = web.config.limits.sockets_per_account;
    let place = web.sockets.take(caller.access.id(), most).ok_or_else(|| {
        Failure::new(ProblemKind::RateLimited, format!("An account can have {most} WebSockets open at once."))
    })?;
    let task = web.tasks.token();
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    // Most sockets wait most of the time: their buffers are what a thousand of them cost.
    let upgrade = upgrade.read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let _task = task;
        Conversation::new(web, caller, socket, place).run().await;
    }))
}

const BUFFER_BYTES: usize = 4 << 10;

/// The upgrade, or a problem that says what is missing.
pub(crate) struct Upgrade(WebSocketUpgrade);

impl FromRequestParts<Web> for Upgrade {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, web).await;
        upgrade.map(Self).map_err(|_| {
            Failure::new(
                ProblemKind::InvalidRequest,
                "This address takes WebSocket connections only (RFC 6455).",
            )
        })
    }
}

/// A client and how much it knows.
struct Conversation {
    access: mail::Access,
    mail: mail::Service,
    token: Secret,
    socket: WebSocket,
    ping_every: Duration,
    stop: CancellationToken,
    /// Up to where the client knows of changes.
    known: ModSeq,
    /// What others share, if the client wants to know of it.
    shared: Option<Shared>,
    heard_at: Instant,
    frames: u32,
    frames_since: Instant,
    _place: Place,
}

/// How the client has begun.
struct Hello {
    since: Option<i64>,
    shared: bool,
}

/// Those who share something, and what of it was told last.
#[derive(Default)]
struct Shared {
    sharers: mail::Sharers,
    told: Option<SharedFolders>,
}

/// How a conversation ends: with these words, or without any since nobody listens.
type End = Option<CloseFrame>;
type Flow<T = ()> = ControlFlow<End, T>;

/// Beyond RFC 6455's codes: the session is over, logging in again helps.
const SESSION_ENDED: u16 = 4_401;

fn end<T>(code: u16, reason: &'static str) -> Flow<T> {
    ControlFlow::Break(Some(CloseFrame { code, reason: reason.into() }))
}

impl Conversation {
    fn new(web: Web, caller: Caller, socket: WebSocket, place: Place) -> Self {
        let now = Instant::now();
        Self {
            access: caller.access,
            token: caller.token,
            socket,
            ping_every: web.config.http.ping_every.0,
            stop: web.stop,
            mail: web.mail,
            known: ModSeq::default(),
            shared: None,
            heard_at: now,
            frames: 0,
            frames_since: now,
            _place: place,
        }
    }

    async fn run(mut self) {
        let ControlFlow::Break(end) = self.talk().await else { return };
        if end.is_some() {
            let goodbye = self.socket.send(Message::Close(end));
            let _ = timeout(self.ping_every, goodbye).await;
        }
    }

    async fn talk(&mut self) -> Flow {
        // Subscribed before the first look, so that nothing falls in between.
        let mut hints = self.access.subscribe();
        let Hello { since, shared } = self.hello().await?;
        self.shared = shared.then(Shared::default);
        match since {
            Some(since) => {
                self.known = ModSeq(since);
                self.catch_up().await?;
            }
            None => self.known = asked(self.access.id(), self.access.modseq().await)?,
        }
        self.say(&ServerEvent::Ready { modseq: self.known.0 }).await?;
        if self.shared.is_some() && self.may_listen().await? {
            self.tell_shared().await?;
        }
        let mut ticks = interval_at(Instant::now() + self.ping_every, self.ping_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return end(close_code::AWAY, "the server is stopping"),
                frame = self.socket.recv() => {
                    if self.heard(frame)?.is_some() {
                        return end(close_code::POLICY, "hello is said once");
                    }
                }
                _ = hints.next() => {
                    if self.may_listen().await? {
                        self.catch_up().await?;
                    }
                }
                () = something_shared(&mut self.shared) => {
                    if self.may_listen().await? {
                        self.tell_shared().await?;
                    }
                }
                _ = ticks.tick() => self.tick().await?,
            }
        }
    }

    /// Waits for the first message.
    async fn hello(&mut self) -> Flow<Hello> {
        let deadline = Instant::now() + HELLO_WITHIN;
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return end(close_code::AWAY, "the server is stopping"),
                () = tokio::time::sleep_until(deadline) => return end(close_code::POLICY, "say hello first"),
                frame = self.socket.recv() => {
                    if let Some(ClientEvent::Hello { since, shared }) = self.heard(frame)? {
                        return ControlFlow::Continue(Hello { since, shared });
                    }
                }
            }
        }
    }

    /// What a frame says, if it says anything; its count and its form are checked first.
    fn heard(&mut self, frame: Option<Result<Message, axum::Error>>) -> Flow<Option<ClientEvent>> {
        let now = Instant::now();
        self.heard_at = now;
        if now.duration_since(self.frames_since) > FRAMES_WITHIN {
            (self.frames, self.frames_since) = (0, now);
        }
        self.frames += 1;
        if self.frames > MAX_FRAMES {
            return end(close_code::POLICY, "too many messages");
        }
        match frame {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(event) => ControlFlow::Continue(Some(event)),
                Err(_) => end(close_code::POLICY, "this is no message of ours"),
            },
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => ControlFlow::Continue(None),
            Some(Ok(Message::Binary(_))) => end(close_code::UNSUPPORTED, "messages are text"),
            Some(Err(error)) if error.to_string().contains("too long") => {
                end(close_code::SIZE, "messages are small")
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => ControlFlow::Break(None),
        }
    }

    /// Now and then: is anybody there, may they still listen, and did a hint get lost?
    async fn tick(&mut self) -> Flow {
        if self.heard_at.elapsed() > self.ping_every * 2 {
            return ControlFlow::Break(None);
        }
        let may_listen = self.may_listen().await?;
        self.send(Message::Ping(bytes::Bytes::new())).await?;
        if !may_listen {
            return ControlFlow::Continue(());
        }
        self.catch_up().await?;
        self.tell_shared().await
    }

    /// Whether the session still lasts: nothing is told after its end, nor while nobody knows. What is not told now is
    /// told by the first tick that finds the directory again, so that its outage ends no connection.
    async fn may_listen(&mut self) -> Flow<bool> {
        match self.mail.access(&self.token).await {
            Ok(_) => ControlFlow::Continue(true),
            Err(mail::Error::Unauthenticated) => end(SESSION_ENDED, "the session is over"),
            Err(error) => {
                tracing::warn!(%error, "a session could not be looked up; nothing is told to it meanwhile");
                ControlFlow::Continue(false)
            }
        }
    }

    /// Tells everything that changed since.
    async fn catch_up(&mut self) -> Flow {
        loop {
            let changes = asked(self.access.id(), self.access.changes(self.known).await)?;
            let modseq = changes.change.modseq;
            if changes.reset {
                self.known = ModSeq(modseq);
                return self.say(&ServerEvent::Reset { modseq }).await;
            }
            if modseq > self.known.0 {
                self.known = ModSeq(modseq);
                self.say(&ServerEvent::Changed(changes.change)).await?;
            }
            if !changes.more {
                return ControlFlow::Continue(());
            }
        }
    }

    /// Tells what others share, if it is not as it was told last. What cannot be looked up now is told later: it is no
    /// reason to hear nothing of one's own.
    async fn tell_shared(&mut self) -> Flow {
        let Some(shared) = &mut self.shared else { return ControlFlow::Continue(()) };
        let asked = match self.access.ask_sharers(&mut shared.sharers).await {
            Ok(_) => self.access.watched_folders(&shared.sharers).await,
            Err(error) => Err(error),
        };
        let now = match asked {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(account = %self.access.id(), %error, "what others share could not be looked up");
                return ControlFlow::Continue(());
            }
        };
        if shared.told.as_ref() == Some(&now) {
            return ControlFlow::Continue(());
        }
        shared.told = Some(now.clone());
        self.say(&ServerEvent::Shared(now)).await
    }

    async fn say(&mut self, event: &ServerEvent) -> Flow {
        match serde_json::to_string(event) {
            Ok(text) => self.send(Message::Text(text.into())).await,
            Err(_) => end(close_code::ERROR, "come back in a moment"),
        }
    }

    /// A client that takes nothing for two pings is gone.
    async fn send(&mut self, message: Message) -> Flow {
        match timeout(self.ping_every * 2, self.socket.send(message)).await {
            Ok(Ok(())) => ControlFlow::Continue(()),
            Ok(Err(_)) | Err(_) => ControlFlow::Break(None),
        }
    }
}

/// Waits until something changes at somebody who shares something; for ever if that is not to be told.
async fn something_shared(shared: &mut Option<Shared>) {
    match shared {
        Some(shared) => shared.sharers.next().await,
        None => std::future::pending().await,
    }
}

fn asked<T>(account: AccountId, answer: mail::Result<T>) -> Flow<T> {
    match answer {
        Ok(value) => ControlFlow::Continue(value),
        Err(error) => {
            tracing::warn!(%account, %error, "live changes could not be read");
            end(close_code::ERROR, "come back in a moment")
        }
    }
}
