//! Reads and writes for one conversation, within its time limits.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::stream::Stream;
use super::{Conversation, Deadlines, Expects, Step};

/// Enough for commands; an idle connection keeps no more.
const SMALL_BUFFER: usize = 2 * 1024;
/// For content that comes fast.
const LARGE_BUFFER: usize = 64 * 1024;

/// One connection and what drives it.
pub(super) struct Driver<'a, C> {
    pub(super) stream: Stream,
    pub(super) conversation: C,
    /// For [`Step::StartTls`].
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) deadlines: &'a Deadlines,
    pub(super) stop: &'a CancellationToken,
}

/// What became of a read.
enum Event {
    Bytes(usize),
    Stop,
    TimedOut,
    Woken,
}

impl<C: Conversation> Driver<'_, C> {
    /// Goes on until one of both hangs up.
    pub(super) async fn run(self) -> io::Result<()> {
        let Self { mut stream, mut conversation, tls, deadlines, stop } = self;
        let mut buffer = vec![0; SMALL_BUFFER];
        let mut waiting: Option<(Expects, Instant)> = None;
        let (mut draining, mut timed_out) = (false, false);
        // What has come is not all of it, and nothing is said to it.
        let mut partial = false;
        loop {
            match conversation.next().await {
                Step::Read if timed_out => return Ok(()),
                Step::Read => {
                    let expects = conversation.expects();
                    let since = match waiting {
                        Some((before, since)) if before == expects => since,
                        Some(_) | None => Instant::now(),
                    };
                    waiting = Some((expects, since));
                    fit(&mut buffer, expects);
                    if std::mem::take(&mut partial) {
                        stream.acknowledge();
                    }
                    let until = deadline(deadlines, expects, since);
                    let event = tokio::select! {
                        biased;
                        event = read(&mut stream, &mut buffer, until, stop, draining) => event?,
                        () = conversation.woken() => Event::Woken,
                    };
                    match event {
                        Event::Woken => {}
                        Event::Bytes(0) => return Ok(()),
                        Event::Bytes(count) => {
                            if expects == Expects::Anything {
                                waiting = None;
                            }
                            conversation.receive(buffer.get(..count).unwrap_or_default());
                            partial = count < buffer.len();
                            if count == buffer.len() && count < LARGE_BUFFER {
                                buffer.resize(count * 2, 0);
                            }
                        }
                        Event::Stop => {
                            draining = true;
                            conversation.drain();
                        }
                        Event::TimedOut => {
                            timed_out = true;
                            conversation.time_out();
                        }
                    }
                }
                Step::Write(bytes) => {
                    partial = false;
                    // Who is only told news has not spoken.
                    if !conversation.tells_news() {
                        waiting = None;
                    }
                    timeout(deadlines.write, stream.write(&bytes)).await??;
                }
                Step::StartTls => {
                    let config = tls.as_ref().ok_or_else(|| io::Error::other("no certificate"))?;
                    stream = timeout(deadlines.handshake, stream.secured(config)).await??;
                    waiting = None;
                    conversation.tls_started(stream.security());
                }
                Step::Close => return timeout(deadlines.write, stream.close()).await?,
            }
        }
    }
}

/// A command must be whole in time; content only has to go on, within a longer time.
fn deadline(deadlines: &Deadlines, expects: Expects, since: Instant) -> Instant {
    match expects {
        Expects::Command => since + deadlines.command,
        Expects::Anything => since + deadlines.silence,
        Expects::Content => (Instant::now() + deadlines.content).min(since + deadlines.whole_content),
    }
}

fn fit(buffer: &mut Vec<u8>, expects: Expects) {
    match expects {
        Expects::Command | Expects::Anything if buffer.len() > SMALL_BUFFER => {
            *buffer = vec![0; SMALL_BUFFER]
        }
        Expects::Command | Expects::Anything | Expects::Content => {}
    }
}

async fn read(
    stream: &mut Stream,
    buffer: &mut [u8],
    deadline: Instant,
    stop: &CancellationToken,
    draining: bool,
) -> io::Result<Event> {
    if !draining && stop.is_cancelled() {
        return Ok(Event::Stop);
    }
    tokio::select! {
        biased;
        read = timeout_at(deadline, stream.read(buffer)) => match read {
            Ok(count) => Ok(Event::Bytes(count?)),
            Err(_) => Ok(Event::TimedOut),
        },
        () = stop.cancelled(), if !draining => Ok(Event::Stop),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn content_has_a_short_and_a_long_limit() {
        let deadlines = Deadlines::default();
        let now = Instant::now();
        let check = |expects, waited, left| {
            let since = now.checked_sub(Duration::from_secs(waited)).unwrap();
            assert_eq!(deadline(&deadlines, expects, since).duration_since(now), Duration::from_secs(left));
        };
        check(Expects::Command, 0, 300);
        check(Expects::Command, 200, 100);
        check(Expects::Content, 0, 180);
        check(Expects::Content, 200, 180);
        check(Expects::Content, 500, 100);
        check(Expects::Anything, 600, 1_260);
    }
}
