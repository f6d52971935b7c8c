//! INPROGRESS (RFC 9585): while a command takes long, the client is told now and then that it goes on.
//!
//! The driver is told nothing before a command has ended. So whatever a session does is a future that owns it; beside
//! that future there is an outbox, and what lies in it is sent at once. The session alone fills it, so everything stays
//! in order, compressed or not.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use imap::{Code, Status};
use tokio::time::timeout;

use super::session::Session;
use crate::net::{Conversation, Expects, Security, Step};

/// What is sent while a command is still being answered.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<BytesMut>);

impl Outbox {
    pub(super) fn put(&self, bytes: &Bytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }

    fn take(&self) -> Option<Bytes> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!held.is_empty()).then(|| mem::take(&mut *held).freeze())
    }
}

/// How far a piece of work is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    done: AtomicU64,
    of: AtomicU64,
}

impl Progress {
    pub(super) fn set(&self, done: usize, of: usize) {
        self.done.store(u64::try_from(done).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.of.store(u64::try_from(of).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn code(&self, tag: &str) -> Code {
        let (done, of) = (self.done.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed));
        let known = of > 0;
        Code::InProgress { tag: tag.to_owned(), done: known.then_some(done.min(of)), of: known.then_some(of) }
    }
}

impl Session {
    /// Waits for something that may take long; the client is told now and then how far it is.
    pub(super) async fn patiently<T>(&mut self, progress: &Progress, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            match timeout(self.settings.progress_every, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.tell_progress(progress),
            }
        }
    }

    fn tell_progress(&mut self, progress: &Progress) {
        let Some(code) = self.engine.tag().map(|tag| progress.code(tag)) else { return };
        let mut out = self.writer();
        out.status(&Status::ok("Still at it").with(code));
        self.send(out);
        if let Some(bytes) = self.engine.unsent() {
            self.outbox.put(&bytes);
        }
    }
}

type Work = Pin<Box<dyn Future<Output = (Box<Session>, Step)> + Send>>;

/// A session, and what it is doing.
pub struct Talk {
    state: State,
    outbox: Arc<Outbox>,
    /// What the session wants, once the outbox is empty.
    owed: Option<Step>,
}

enum State {
    Waiting(Box<Session>),
    Working(Work),
    /// It was given up half way.
    Over,
}

enum Turn {
    Told(Bytes),
    Done((Box<Session>, Step)),
}

impl Talk {
    pub(super) fn new(session: Session) -> Self {
        let outbox = Arc::clone(&session.outbox);
        Self { state: State::Waiting(Box::new(session)), outbox, owed: None }
    }

    /// The session, if it does nothing; the driver asks for nothing else meanwhile.
    fn waiting(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Waiting(session) => Some(session),
            State::Working(_) | State::Over => None,
        }
    }
}

impl Conversation for Talk {
    fn receive(&mut self, bytes: &[u8]) {
        if let Some(session) = self.waiting() {
            session.engine.receive(bytes);
        }
    }

    async fn next(&mut self) -> Step {
        if let Some(step) = self.owed.take() {
            return step;
        }
        let mut work: Work = match mem::replace(&mut self.state, State::Over) {
            State::Waiting(mut session) => Box::pin(async move {
                let step = session.step().await;
                (session, step)
            }),
            State::Working(work) => work,
            State::Over => return Step::Close,
        };
        let outbox = &self.outbox;
        let turn = poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Turn::Done(done)),
            Poll::Pending => outbox.take().map_or(Poll::Pending, |bytes| Poll::Ready(Turn::Told(bytes))),
        });
        match turn.await {
            Turn::Told(bytes) => {
                self.state = State::Working(work);
                Step::Write(bytes)
            }
            Turn::Done((session, step)) => {
                self.state = State::Waiting(session);
                match self.outbox.take() {
                    Some(bytes) => {
                        self.owed = Some(step);
                        Step::Write(bytes)
                    }
                    None => step,
                }
            }
        }
    }

    fn expects(&self) -> Expects {
        match &self.state {
            State::Waiting(session) => session.expects(),
            State::Working(_) | State::Over => Expects::Command,
        }
    }

    async fn woken(&mut self) {
        match self.waiting() {
            Some(session) => super::idle::woken(session).await,
            None => std::future::pending().await,
        }
    }

    fn tells_news(&self) -> bool {
        match &self.state {
            State::Waiting(session) => session.wants_news(),
            State::Working(_) | State::Over => false,
        }
    }

    fn tls_started(&mut self, security: Security) {
        if let Some(session) = self.waiting() {
            session.tls_started(security);
        }
    }

    fn drain(&mut self) {
        if let Some(session) = self.waiting() {
            session.engine.drain();
        }
    }

    fn time_out(&mut self) {
        if let Some(session) = self.waiting() {
            session.engine.time_out();
        }
    }
}
