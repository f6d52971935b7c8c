//! Live changes: what is told, in what order, and what is not put up with.

use std::time::Duration;

use crate::support::{self, Client, Plane, Server, mail};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _, http::HeaderValue},
};

support::on_both_planes!(
    new_mail_is_told_at_once_and_what_was_missed_later,
    who_claims_to_know_the_future_starts_anew,
    what_is_no_conversation_ends,
    sockets_are_for_our_own_pages_and_not_without_number,
    a_socket_ends_with_its_session,
    nothing_is_told_between_the_end_of_a_session_and_the_next_ping,
    a_flood_of_changes_is_told_completely,
    what_others_share_is_told_to_whom_asks_for_it,
);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(server: &Server, fields: &[(&'static str, String)]) -> Result<Socket, Error> {
    let mut request = format!("ws://{}/v1/events", server.web).into_client_request().unwrap();
    for (name, value) in fields {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
    }
    connect_async(request).await.map(|(socket, _)| socket)
}

async fn listen(server: &Server, client: &Client, hello: Value) -> Socket {
    let token = client.token.clone().unwrap();
    let mut socket = connect(server, &[("authorization", format!("Bearer {token}"))]).await.unwrap();
    socket.send(Message::text(hello.to_string())).await.unwrap();
    socket
}

/// The next event; `null` with the close code where the server ends the conversation.
async fn next(socket: &mut Socket) -> Value {
    loop {
        let frame = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("nothing came");
        match frame {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
            Some(Ok(Message::Close(frame))) => {
                return json!({ "closed": frame.map(|frame| u16::from(frame.code)) });
            }
            Some(Ok(_)) => {}
            None | Some(Err(_)) => return json!({ "closed": null }),
        }
    }
}

async fn new_mail_is_told_at_once_and_what_was_missed_later(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    let mut socket = listen(&server, &alice, json!({ "type": "hello" })).await;
    let ready = next(&mut socket).await;
    assert_eq!(ready["type"], "ready");

    let id = server.deliver("alice", &mail("Live")).await;
    let changed = next(&mut socket).await;
    assert_eq!((&changed["type"], &changed["created"][0]["id"]), (&json!("changed"), &json!(id)));
    let inbox = &changed["folders"].as_array().unwrap()[0];
    assert_eq!((&inbox["role"], &inbox["unread"], &inbox["total"]), (&json!("inbox"), &json!(1), &json!(1)));
    let known = changed["modseq"].as_i64().unwrap();
    assert!(known > ready["modseq"].as_i64().unwrap());

    alice.patch(&format!("/v1/messages/{id}"), &json!({ "unread": false })).await;
    let changed = next(&mut socket).await;
    assert_eq!((&changed["created"], &changed["updated"][0]["unread"]), (&json!([]), &json!(false)));
    socket.close(None).await.unwrap();

    for _ in 0..2 {
        alice.delete(&format!("/v1/messages/{id}")).await;
    }
    let second = server.deliver("alice", &mail("Missed")).await;
    let mut socket = listen(&server, &alice, json!({ "type": "hello", "since": known })).await;
    let changed = next(&mut socket).await;
    assert_eq!((&changed["created"][0]["id"], &changed["removed"]), (&json!(second), &json!([id])));
    assert_eq!(next(&mut socket).await, json!({ "type": "ready", "modseq": changed["modseq"] }));
    server.stop().await;
    assert_eq!(next(&mut socket).await["closed"], 1001);
}

async fn who_claims_to_know_the_future_starts_anew(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    let mut socket = listen(&server, &alice, json!({ "type": "hello", "since": 1_000_000 })).await;
    let reset = next(&mut socket).await;
    assert_eq!(reset["type"], "reset");
    assert_eq!(next(&mut socket).await, json!({ "type": "ready", "modseq": reset["modseq"] }));
    server.stop().await;
}

async fn what_is_no_conversation_ends(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    let hello = json!({ "type": "hello" }).to_string();
    let cases = [
        (vec![Message::text("nonsense")], 1008),
        (vec![Message::text("{\"type\":\"hallo\"}")], 1008),
        (vec![Message::text(hello.clone()), Message::text(hello)], 1008),
        (vec![Message::binary(vec![1, 2, 3])], 1003),
        (vec![Message::text("x".repeat(5_000))], 1009),
        (vec![Message::Ping(Vec::new().into()); 100], 1008),
    ];
    for (messages, code) in cases {
        let token = alice.token.clone().unwrap();
        let mut socket = connect(&server, &[("authorization", format!("Bearer {token}"))]).await.unwrap();
        let shown = format!("{:.80?}", messages.first());
        for message in messages {
            // The server may have hung up already.
            let _ = socket.send(message).await;
        }
        let closed = loop {
            let event = next(&mut socket).await;
            if let Some(code) = event.get("closed") {
                break code.clone();
            }
        };
        assert_eq!(closed, code, "{shown}");
    }
    server.stop().await;
}

async fn sockets_are_for_our_own_pages_and_not_without_number(plane: &Plane<'_>) {
    let server = Server::start_with(plane, &[("MAGPIE_LIMITS__SOCKETS_PER_ACCOUNT", "2")]).await;
    let alice = server.login("alice").await;
    let token = alice.token.clone().unwrap();
    let cookie = ("cookie", format!("magpie_session={token}"));
    let refused = |outcome: Result<Socket, Error>| match outcome {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => 101,
    };
    assert_eq!(refused(connect(&server, &[]).await), 401);
    assert_eq!(
        refused(connect(&server, &[cookie.clone(), ("origin", "https://evil.example".into())]).await),
        403
    );
    let own = ("origin", server.url(""));
    let first = connect(&server, &[cookie.clone(), own.clone()]).await.unwrap();
    let _second = connect(&server, &[cookie.clone(), own.clone()]).await.unwrap();
    assert_eq!(refused(connect(&server, &[cookie.clone(), own.clone()]).await), 429);
    drop(first);
    support::eventually("a free place", async || connect(&server, &[cookie.clone(), own.clone()]).await.ok())
        .await;
    server.stop().await;
}

async fn a_socket_ends_with_its_session(plane: &Plane<'_>) {
    let server = Server::start_with(plane, &[("MAGPIE_HTTP__PING_EVERY", "50ms")]).await;
    let alice = server.login("alice").await;
    let mut socket = listen(&server, &alice, json!({ "type": "hello" })).await;
    assert_eq!(next(&mut socket).await["type"], "ready");
    alice.delete("/v1/session").await;
    assert_eq!(next(&mut socket).await["closed"], 4401);
    server.stop().await;
}

async fn nothing_is_told_between_the_end_of_a_session_and_the_next_ping(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    let mut socket = listen(&server, &alice, json!({ "type": "hello" })).await;
    assert_eq!(next(&mut socket).await["type"], "ready");
    alice.delete("/v1/session").await;
    server.deliver("alice", &mail("Too late")).await;
    assert_eq!(next(&mut socket).await["closed"], 4401);
    server.stop().await;
}

async fn a_flood_of_changes_is_told_completely(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    let mut socket = listen(&server, &alice, json!({ "type": "hello" })).await;
    assert_eq!(next(&mut socket).await["type"], "ready");
    let mut wanted = Vec::new();
    for number in 0..60 {
        wanted.push(server.deliver("alice", &mail(&format!("Flood {number}"))).await);
    }
    let mut told = Vec::new();
    while told.len() < wanted.len() {
        let changed = next(&mut socket).await;
        told.extend(
            changed["created"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()),
        );
    }
    told.sort();
    wanted.sort();
    assert_eq!(told, wanted);
    server.stop().await;
}

async fn what_others_share_is_told_to_whom_asks_for_it(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    let access = format!("/v1/folders/{}/access/bob@demo.test", alice.folder("inbox").await);
    let rights = json!({ "rights": "lr" });
    let shared = alice.request(reqwest::Method::PUT, &access).json(&rights).send().await.unwrap();
    assert_eq!(shared.status(), 200);
    let mut silent = listen(&server, &bob, json!({ "type": "hello" })).await;
    let mut socket = listen(&server, &bob, json!({ "type": "hello", "shared": true })).await;
    for socket in [&mut silent, &mut socket] {
        assert_eq!(next(socket).await["type"], "ready");
    }
    let told = next(&mut socket).await;
    let folder = &told["folders"][0];
    assert_eq!((&told["type"], &folder["owner"]), (&json!("shared"), &json!("alice@demo.test")));
    assert_eq!(folder["unread"], 0);

    server.deliver("alice", &mail("For both")).await;
    let told = next(&mut socket).await;
    assert_eq!(told["folders"][0]["unread"], 1);
    assert!(told["folders"][0]["modseq"].as_i64() > folder["modseq"].as_i64());
    assert_eq!(alice.delete(&access).await.status(), 204);
    assert_eq!(next(&mut socket).await, json!({ "type": "shared", "folders": [] }));

    // What happens there now is nothing to him; the next that both hear is his own.
    server.deliver("alice", &mail("For her alone")).await;
    server.deliver("bob", &mail("For him")).await;
    for socket in [&mut silent, &mut socket] {
        let told = next(socket).await;
        assert_eq!((&told["type"], &told["created"][0]["subject"]), (&json!("changed"), &json!("For him")));
    }
    server.stop().await;
}
