//! IDLE (RFC 2177): news are told as they happen.

use std::time::Duration;

use futures::FutureExt as _;
use imap::Expunges;
use tokio::time::{Instant, sleep_until};

use super::session::{Answer, Session};

/// Hints may be lost, so a waiting session also looks by itself.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Session {
    pub(super) async fn idle(&mut self) -> Option<Answer> {
        self.engine.idle();
        // What happened between the last news and now.
        let grown = self.growth_is_known();
        match self.tell_news(Expunges::Told).await {
            Ok(()) => {
                let told = self.growth_is_known();
                if grown && !told {
                    self.tell_growth();
                }
            }
            Err(refusal) => self.engine.finish(&refusal),
        }
        None
    }

    /// Tells once more how many messages there are, where that was told in answer to a command that did not ask for news:
    /// Thunderbird looks for new ones only if it is told so while it idles.
    fn tell_growth(&mut self) {
        let Some(selected) = self.selected.as_ref().filter(|selected| !selected.barred) else { return };
        let mut out = self.writer();
        out.line(format_args!("{} EXISTS", selected.view.len()));
        self.send(out);
    }

    /// Notes that the client has been told where it looks; whether there was something to be told.
    pub(super) fn growth_is_known(&mut self) -> bool {
        self.selected.as_mut().is_some_and(|selected| std::mem::take(&mut selected.grown))
    }

    /// Whether the bus said something since it was last asked.
    pub(super) fn heard_news(&mut self) -> bool {
        let Some(login) = &mut self.login else { return false };
        let mut heard = std::mem::take(&mut login.woken);
        while login.hints.next().now_or_never().is_some() {
            heard = true;
        }
        if let Some(hints) = self.selected.as_mut().and_then(|selected| selected.hints.as_mut()) {
            while hints.next().now_or_never().is_some() {
                heard = true;
            }
        }
        if let Some(sharers) = self.watching.as_mut().and_then(|watching| watching.sharers.as_mut()) {
            heard |= sharers.heard();
        }
        heard
    }

    /// Whether the client is told news now: while it idles, or by NOTIFY.
    pub(super) fn wants_news(&self) -> bool {
        self.engine.is_idle() || self.watching.is_some() && self.engine.is_between()
    }

    pub(super) async fn tell_idle(&mut self) {
        if let Err(gone) = self.still_allowed().await {
            return self.engine.bye(gone, None);
        }
        let told = match self.engine.is_idle() {
            true => {
                let told = self.tell_news(Expunges::Told).await;
                self.growth_is_known();
                told
            }
            false => Ok(()),
        };
        let told = match told {
            Ok(()) => self.tell_watched().await,
            refused => refused,
        };
        if let Err(refusal) = told {
            // What cannot be read now will be told later.
            tracing::debug!(?refusal, "no news for an idle client");
        }
    }
}

/// Waits for news of a session that idles.
pub(super) async fn woken(session: &mut Session) {
    let wants_news = session.wants_news();
    let Session { login, selected, watching, .. } = session;
    let shared = selected.as_mut().and_then(|selected| selected.hints.as_mut());
    let sharers = watching.as_mut().and_then(|watching| watching.sharers.as_mut());
    match login {
        Some(login) if wants_news => {
            let of_owner = async {
                match shared {
                    Some(hints) => {
                        hints.next().await;
                    }
                    None => std::future::pending().await,
                }
            };
            let of_sharers = async {
                match sharers {
                    Some(sharers) => sharers.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = login.hints.next() => {}
                () = of_owner => {}
                () = of_sharers => {}
                () = sleep_until(login.looked_at + LOOK_EVERY) => login.looked_at = Instant::now(),
            }
            login.woken = true;
        }
        Some(_) | None => std::future::pending().await,
    }
}
