//! `GET /v1/events`: what changes, as it changes. Reconnects with backoff, and catches up from where it was.

use futures::{SinkExt, StreamExt};
use gloo_net::websocket::{Message, WebSocketError, futures::WebSocket};
use types::api::{ClientEvent, ModSeqNumber, ServerEvent};

use crate::browser;

/// What the listener hears.
pub(crate) enum Heard {
    /// The server said something.
    Event(ServerEvent),
    /// The connection is gone; it is being tried again.
    Lost,
    /// The session has ended.
    Ended,
}

/// The first pause between two tries, and the longest, in milliseconds.
const PAUSES: (f64, f64) = (500.0, 30_000.0);
/// How the server closes where there is no session (any more).
const UNAUTHENTICATED: u16 = 4401;

/// Listens for ever. Ends only with the page.
pub(crate) async fn listen(hear: impl Fn(Heard)) {
    let mut since = None;
    let mut pause = PAUSES.0;
    loop {
        let before = since;
        let code = connection(&mut since, &hear).await;
        hear(if code == Some(UNAUTHENTICATED) { Heard::Ended } else { Heard::Lost });
        if since != before {
            pause = PAUSES.0;
        }
        browser::sleep(pause * (0.5 + js_sys::Math::random())).await;
        browser::until_online().await;
        pause = (pause * 2.0).min(PAUSES.1);
    }
}

/// One connection, until it ends: with the code that it was closed with.
async fn connection(since: &mut Option<ModSeqNumber>, hear: &impl Fn(Heard)) -> Option<u16> {
    let mut socket = WebSocket::open("/v1/events").ok()?;
    let hello = serde_json::to_string(&ClientEvent::Hello { since: *since, shared: true }).ok()?;
    socket.send(Message::Text(hello)).await.ok()?;
    while let Some(message) = socket.next().await {
        let message = match message {
            Ok(message) => message,
            Err(WebSocketError::ConnectionClose(close)) => return Some(close.code),
            // The close, with its code, follows.
            Err(_) => continue,
        };
        let Message::Text(text) = message else { continue };
        let Ok(event) = serde_json::from_str::<ServerEvent>(&text) else { continue };
        match &event {
            ServerEvent::Changed(change) => *since = Some(change.modseq),
            ServerEvent::Ready { modseq } | ServerEvent::Reset { modseq } => *since = Some(*modseq),
            ServerEvent::Shared(_) => {}
        }
        hear(Heard::Event(event));
    }
    None
}
