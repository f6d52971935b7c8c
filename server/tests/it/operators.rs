//! Operators look after the queue over REST, and nobody else does.

use std::{process::Stdio, time::Duration};

use crate::support::{self, Client, Plane, Server, eventually, json_of};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use testkit::{Script, Sink};
use types::EmailAddress;

support::on_both_planes!(
    only_who_was_made_an_operator_sees_the_queue,
    the_queue_is_paged_and_filtered,
    entries_are_held_released_sent_another_way_and_dropped,
    commands_are_heard_by_the_worker_at_once,
);

const QUEUE: &str = "/v1/admin/queue";
/// Of an entry that is not there.
const NOTHING: &str = "00000000000070008000000000000000";

/// Nothing leaves: nobody listens at the relay.
async fn start(plane: &Plane<'_>) -> Server {
    start_with(plane, &[]).await
}

async fn start_with(plane: &Plane<'_>, more: &[(&str, &str)]) -> Server {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = closed.local_addr().unwrap().to_string();
    drop(closed);
    let mut settings = vec![("MAGPIE_SMTP__RELAY", relay.as_str())];
    settings.extend(more);
    Server::start_with(plane, &settings).await
}

async fn make_admin(server: &Server, name: &str, admin: bool) {
    let address: EmailAddress = format!("{name}@demo.test").parse().unwrap();
    server.node.mail.admin().set_admin(&address, admin).await.unwrap();
}

async fn send(client: &Client, to: &str) {
    let mail = json!({ "to": [{ "email": to }], "subject": "On its way", "text": "Hello" });
    assert_eq!(client.post("/v1/messages", &mail).await.status(), StatusCode::CREATED);
}

async fn act(operator: &Client, id: &str, action: &str) -> StatusCode {
    operator.request(Method::POST, &format!("{QUEUE}/{id}/{action}")).send().await.unwrap().status()
}

async fn entries(operator: &Client, query: &str) -> Vec<Value> {
    operator.read(&format!("{QUEUE}{query}")).await["entries"].as_array().unwrap().clone()
}

/// The entry once nobody has it in hand.
async fn settled(operator: &Client, id: &str) -> Value {
    eventually("the worker is done with it", async || {
        let entry = operator.read(&format!("{QUEUE}/{id}")).await;
        (entry["state"] != "sending" && entry["recipients"][0]["attempts"] != 0).then_some(entry)
    })
    .await
}

async fn only_who_was_made_an_operator_sees_the_queue(plane: &Plane<'_>) {
    let server = start(plane).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    send(&alice, "carol@far.test").await;
    make_admin(&server, "bob", true).await;
    let id = entries(&bob, "").await[0]["id"].as_str().unwrap().to_owned();
    let routes = |id: &str| {
        let one = format!("{QUEUE}/{id}");
        let actions = ["retry", "hold", "release", "reroute"];
        let posts = actions.map(|action| (Method::POST, format!("{one}/{action}")));
        let others =
            [(Method::GET, QUEUE.to_owned()), (Method::GET, one.clone()), (Method::DELETE, one.clone())];
        others.into_iter().chain(posts).collect::<Vec<_>>()
    };
    let ask = async |client: &Client, (method, path): &(Method, String)| -> Response {
        let request = client.request(method.clone(), path).header("content-type", "application/json");
        request.body("{\"host\":null}").send().await.unwrap()
    };
    for route in routes(&id).iter().chain(&routes(NOTHING)) {
        assert_eq!(ask(&server.nobody(), route).await.status(), StatusCode::UNAUTHORIZED, "{route:?}");
        let answer = ask(&alice, route).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{route:?}");
        let problem = json_of(answer).await;
        assert_eq!(problem["type"], "/problems/forbidden");
        assert!(!problem.to_string().contains("far.test"));
    }
    // A browser's session needs the defence against forged requests here as well.
    let cookie = format!("magpie_session={}", bob.token.clone().unwrap());
    let forged = server.nobody().request(Method::POST, &format!("{QUEUE}/{id}/hold"));
    assert_eq!(forged.header("cookie", cookie).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_ne!(bob.read(&format!("{QUEUE}/{id}")).await["state"], "held");

    // An operator's session reads its own mail only.
    let message = alice.messages("sent").await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(bob.get(&format!("/v1/messages/{message}")).await.status(), StatusCode::NOT_FOUND);
    make_admin(&server, "bob", false).await;
    assert_eq!(bob.get(QUEUE).await.status(), StatusCode::FORBIDDEN, "the same session, at once");
    make_admin(&server, "bob", true).await;
    assert_eq!(bob.get(QUEUE).await.status(), StatusCode::OK);
    let address = "bob@demo.test".parse().unwrap();
    server.node.mail.admin().set_enabled(&address, false).await.unwrap();
    assert_eq!(bob.get(QUEUE).await.status(), StatusCode::UNAUTHORIZED);
    server.stop().await;
}

async fn the_queue_is_paged_and_filtered(plane: &Plane<'_>) {
    let server = start(plane).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    make_admin(&server, "bob", true).await;
    for to in ["a@far.test", "b@Far.test", "c@other.test"] {
        send(&alice, to).await;
        send(&bob, to).await;
    }
    let all = entries(&bob, "").await;
    assert_eq!(all.len(), 6);
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = bob.read(&format!("{QUEUE}?limit=2&cursor={cursor}")).await;
        paged.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["id"].clone()));
        assert!(paged.len() <= 6);
        let Some(next) = page["next"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(paged, all.iter().map(|entry| entry["id"].clone()).collect::<Vec<_>>());
    assert_eq!(entries(&bob, "?domain=FAR.test").await.len(), 4);
    assert_eq!(entries(&bob, "?domain=nowhere.test").await.len(), 0);
    let id = entries(&bob, "?domain=other.test").await[0]["id"].as_str().unwrap().to_owned();
    settled(&bob, &id).await;
    assert_eq!(act(&bob, &id, "hold").await, StatusCode::NO_CONTENT);
    let held = entries(&bob, "?state=held&domain=other.test").await;
    assert_eq!((held.len(), &held[0]["id"]), (1, &json!(id)));
    for (query, kind) in [
        ("?state=lost", "invalid-request"),
        ("?colour=red", "invalid-request"),
        ("?limit=0", "invalid-request"),
        ("?limit=501", "invalid-request"),
        ("?cursor=AAAA", "invalid-cursor"),
    ] {
        let answer = bob.get(&format!("{QUEUE}{query}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(json_of(answer).await["type"], format!("/problems/{kind}"));
    }
    server.stop().await;
}

async fn entries_are_held_released_sent_another_way_and_dropped(plane: &Plane<'_>) {
    let sink = Sink::start(Script::default()).await.unwrap();
    let route = format!("[{{domains=[\"never.test\"],host=\"{}\"}}]", sink.address());
    let server = start_with(plane, &[("MAGPIE_SMTP__ROUTES", &route)]).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    make_admin(&server, "bob", true).await;
    send(&alice, "carol@far.test").await;
    let id = entries(&bob, "").await[0]["id"].as_str().unwrap().to_owned();
    let one = format!("{QUEUE}/{id}");
    let entry = settled(&bob, &id).await;
    assert_eq!((&entry["sender"], &entry["state"]), (&json!("alice@demo.test"), &json!("waiting")));
    let to = &entry["recipients"][0];
    assert_eq!((&to["address"], &to["state"]), (&json!("carol@far.test"), &json!("pending")));
    assert!(to["reply"].is_string() && to["next_attempt_at"].is_string(), "{to}");
    assert!(!entry.to_string().contains("Hello"), "the envelope only");

    assert_eq!(act(&bob, &id, "hold").await, StatusCode::NO_CONTENT);
    assert_eq!(bob.read(&one).await["state"], "held");
    assert_eq!(act(&bob, &id, "retry").await, StatusCode::CONFLICT, "it would not be tried");
    assert_eq!(act(&bob, &id, "release").await, StatusCode::NO_CONTENT);
    assert_eq!(bob.read(&one).await["state"], "waiting");
    let attempts = to["attempts"].as_u64().unwrap();
    assert_eq!(act(&bob, &id, "retry").await, StatusCode::NO_CONTENT);
    eventually("another attempt", async || {
        let entry = bob.read(&one).await;
        (entry["recipients"][0]["attempts"].as_u64().unwrap() > attempts).then_some(())
    })
    .await;

    settled(&bob, &id).await;
    let wrong = bob.post(&format!("{one}/reroute"), &json!({ "host": "no port" })).await;
    assert_eq!((wrong.status(), &json_of(wrong).await["field"]), (StatusCode::BAD_REQUEST, &json!("host")));
    // Whoever runs the host would read it.
    let own = Sink::start(Script::default()).await.unwrap();
    let foreign = bob.post(&format!("{one}/reroute"), &json!({ "host": own.address().to_string() })).await;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    assert_eq!(bob.read(&one).await["via"], Value::Null);
    let other = json!({ "host": sink.address().to_string() });
    let answer = bob.post(&format!("{one}/reroute"), &other).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert!(own.received().is_empty());
    eventually("it arrives", async || (sink.received().len() == 1).then_some(())).await;
    eventually("it is gone", async || (bob.get(&one).await.status() == StatusCode::NOT_FOUND).then_some(()))
        .await;

    send(&alice, "carol@far.test").await;
    let id = entries(&bob, "").await[0]["id"].as_str().unwrap().to_owned();
    settled(&bob, &id).await;
    assert_eq!(bob.delete(&format!("{QUEUE}/{id}")).await.status(), StatusCode::NO_CONTENT);
    assert!(entries(&bob, "").await.is_empty());
    // Its sender sees that it is not on its way any more.
    let told = &alice.messages("sent").await[0]["delivery"][0];
    assert_eq!((&told["recipient"], &told["state"]), (&json!("carol@far.test"), &json!("failed")));
    assert_eq!(told["reply"], "Removed from the queue by the operator");
    assert_eq!(told["next_attempt_at"], Value::Null);
    for action in ["retry", "hold", "release"] {
        assert_eq!(act(&bob, &id, action).await, StatusCode::NOT_FOUND);
    }
    assert_eq!(bob.delete(&format!("{QUEUE}/{id}")).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(bob.get(&format!("{QUEUE}/banana")).await.status(), StatusCode::NOT_FOUND);
    tokio::time::timeout(Duration::from_secs(20), server.stop()).await.unwrap();
}

/// What `magpie` prints for these arguments, beside the server.
async fn told(server: &Server, plane: &Plane<'_>, args: &[&str]) -> String {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_magpie"));
    command.current_dir(server.folder()).args(args).stdin(Stdio::null()).envs(server.variables(plane));
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Much less than the worker takes to look again where nothing tells it to.
const SOON: Duration = Duration::from_secs(10);

async fn commands_are_heard_by_the_worker_at_once(plane: &Plane<'_>) {
    let sink = Sink::start(Script::default()).await.unwrap();
    let server = start(plane).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    make_admin(&server, "bob", true).await;
    send(&alice, "carol@far.test").await;
    let id = entries(&bob, "").await[0]["id"].as_str().unwrap().to_owned();
    settled(&bob, &id).await;
    told(&server, plane, &["queue", "hold", &id]).await;
    assert!(told(&server, plane, &["queue", "list"]).await.contains("\theld\t"));
    told(&server, plane, &["queue", "release", &id]).await;
    let by = sink.address().to_string();
    told(&server, plane, &["queue", "reroute", &id, &by]).await;
    let arrives = eventually("it arrives", async || (sink.received().len() == 1).then_some(()));
    tokio::time::timeout(SOON, arrives).await.expect("the worker hears of it");

    // One that gets no answer is being sent until somebody has had enough of it.
    sink.follow(Script::default().stall("RCPT"));
    send(&alice, "dave@far.test").await;
    let entry = eventually("the next one", async || entries(&bob, "").await.pop()).await;
    let id = entry["id"].as_str().unwrap().to_owned();
    settled(&bob, &id).await;
    told(&server, plane, &["queue", "reroute", &id, &by]).await;
    let sending = eventually("it is on its way", async || {
        let list = told(&server, plane, &["queue", "list"]).await;
        list.contains("\tsending\t").then_some(list)
    });
    tokio::time::timeout(SOON, sending).await.expect("the worker hears of it");
    assert!(told(&server, plane, &["queue", "show", &id]).await.contains("sending:  yes\n"));
    told(&server, plane, &["queue", "drop", &id]).await;
    assert!(told(&server, plane, &["queue", "list"]).await.is_empty());
    let dropped = &alice.messages("sent").await[0]["delivery"][0];
    assert_eq!((&dropped["recipient"], &dropped["state"]), (&json!("dave@far.test"), &json!("failed")));
    let words = "Removed from the queue by the operator while it was being sent; it may have arrived";
    assert_eq!(dropped["reply"], words);
    sink.follow(Script::default());
    tokio::time::timeout(Duration::from_secs(20), server.stop()).await.unwrap();
}
