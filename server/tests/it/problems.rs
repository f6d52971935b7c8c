//! What is wrong with a request is said in a problem, always of the same form.

use crate::support::{self, Plane, Server, header, json_of, mail};
use reqwest::{Method, StatusCode};
use serde_json::json;

support::on_both_planes!(
    every_bad_request_has_its_problem,
    nobody_gets_in_without_a_session,
    a_session_ends_with_its_time,
    other_peoples_ids_are_not_found,
    cookies_need_our_own_page_behind_them,
    too_many_requests_wait,
);

async fn every_bad_request_has_its_problem(plane: &Plane<'_>) {
    let server = Server::start_with(
        plane,
        &[("MAGPIE_LIMITS__UPLOAD_SIZE", "64KB"), ("MAGPIE_LIMITS__REQUEST_SIZE", "64KB")],
    )
    .await;
    let alice = server.login("alice").await;
    let inbox = alice.folder("inbox").await;
    let id = server.deliver("alice", &mail("One")).await;
    let long = format!("{{\"to\":[],\"subject\":\"{}\"}}", "x".repeat(70_000));
    let pages = format!("/v1/folders/{inbox}/messages");
    let (mine, cursor, limit) =
        (format!("/v1/messages/{id}"), format!("{pages}?cursor=AAAA"), format!("{pages}?limit=0"));
    let (unknown_query, bad_query) = (format!("{pages}?colour=red"), format!("{pages}?unread=perhaps"));
    let attachment = format!("{mine}/attachments/9.9");
    let cases: Vec<(&str, &str, &str, u16, &str)> = vec![
        ("GET", "/v1/nothing", "", 404, "not-found"),
        ("GET", "/v1", "", 404, "not-found"),
        ("PUT", "/v1/folders", "", 405, "invalid-request"),
        ("GET", "/v1/folders/0/messages", "", 404, "not-found"),
        ("GET", "/v1/folders/banana/messages", "", 404, "not-found"),
        ("GET", &cursor, "", 400, "invalid-cursor"),
        ("GET", &limit, "", 400, "invalid-request"),
        ("GET", "/v1/search?q=x&limit=99999999999", "", 400, "invalid-request"),
        ("GET", &unknown_query, "", 400, "invalid-request"),
        ("GET", &bad_query, "", 400, "invalid-request"),
        ("GET", "/v1/messages/00000000000070008000000000000000", "", 404, "not-found"),
        ("GET", "/v1/messages/x", "", 404, "not-found"),
        ("GET", &attachment, "", 404, "not-found"),
        ("GET", "/v1/threads/x", "", 404, "not-found"),
        ("PATCH", &mine, "{\"unred\":true}", 400, "invalid-request"),
        ("PATCH", &mine, "{", 400, "invalid-request"),
        ("PATCH", &mine, "{\"folder_id\":\"0\"}", 400, "invalid-request"),
        ("PATCH", &mine, "{\"add_labels\":[\"two words\"]}", 400, "invalid-request"),
        ("POST", "/v1/messages", "{\"to\":[],\"subject\":\"x\"}", 400, "invalid-request"),
        (
            "POST",
            "/v1/messages",
            "{\"to\":[{\"email\":\"nobody\"}],\"subject\":\"x\"}",
            400,
            "invalid-request",
        ),
        (
            "POST",
            "/v1/messages",
            "{\"to\":[{\"email\":\"alice@demo.test\"},{\"email\":\"nobody@demo.test\"}],\"subject\":\"x\"}",
            400,
            "invalid-request",
        ),
        ("POST", "/v1/messages", &long, 413, "too-large"),
        ("POST", "/v1/folders", "{\"name\":\"  \"}", 400, "invalid-request"),
        ("GET", "/v1/events", "", 400, "invalid-request"),
    ];
    for (method, path, body, status, kind) in cases {
        let request = alice.request(method.parse().unwrap(), path).header("content-type", "application/json");
        let answer = request.body(body.to_owned()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{method} {path} {body:.80}");
        assert_eq!(header(&answer, "content-type"), "application/problem+json", "{method} {path}");
        let problem = json_of(answer).await;
        // An unknown folder in a patch may be called either; its status says which.
        let wanted = if problem["status"] == 404 { "not-found" } else { kind };
        assert_eq!(problem["type"], format!("/problems/{wanted}"), "{method} {path} {problem}");
        assert_eq!(problem["status"], status);
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }

    // Who is nobody here is refused at once, and named; a draft may be for anybody.
    let mut unknown = json!({ "cc": [{ "email": "alice+x@demo.test" }, { "email": "nobody@demo.test" }] });
    let problem = json_of(alice.post("/v1/messages", &unknown).await).await;
    assert_eq!(problem["field"], "cc[1].email", "{problem}");
    assert_eq!(problem["detail"], "There is no mailbox nobody@demo.test here.");
    unknown["draft"] = json!(true);
    assert_eq!(alice.post("/v1/messages", &unknown).await.status(), StatusCode::CREATED);
    assert!(alice.messages("sent").await.is_empty());

    let form = alice.request(Method::POST, "/v1/messages").body("to=x").send().await.unwrap();
    assert_eq!(form.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large = alice.request(Method::POST, "/v1/attachments?filename=a").body(vec![b'x'; 65_537]);
    assert_eq!(large.send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let pieces = futures::stream::iter((0..9).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 10_000])));
    let chunked = alice.request(Method::POST, "/v1/attachments").body(reqwest::Body::wrap_stream(pieces));
    assert_eq!(chunked.send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    server.stop().await;
}

async fn nobody_gets_in_without_a_session(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let nobody = server.nobody();
    for (body, status) in [
        (json!({ "email": "alice@demo.test", "password": "wrong horse" }), 401),
        (json!({ "email": "nobody@demo.test", "password": "wrong horse" }), 401),
        (json!({ "email": "alice@demo.test" }), 400),
    ] {
        assert_eq!(nobody.post("/v1/session", &body).await.status().as_u16(), status, "{body}");
    }
    for path in ["/v1/session", "/v1/folders", "/v1/messages/x", "/v1/search?q=x", "/v1/events"] {
        let answer = nobody.get(path).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(header(&answer, "www-authenticate").starts_with("Bearer"));
    }
    let alice = server.login("alice").await;
    assert_eq!(alice.get("/v1/session").await.status(), StatusCode::OK);
    assert_eq!(alice.delete("/v1/session").await.status(), StatusCode::NO_CONTENT);
    assert_eq!(alice.get("/v1/session").await.status(), StatusCode::UNAUTHORIZED);
    server.stop().await;
}

async fn a_session_ends_with_its_time(plane: &Plane<'_>) {
    let server = Server::start_with(plane, &[("MAGPIE_AUTH__SESSION_LIFETIME", "1ms")]).await;
    let alice = server.login("alice").await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let problem = json_of(alice.get("/v1/folders").await).await;
    assert_eq!(problem["type"], "/problems/unauthenticated");
    server.stop().await;
}

async fn other_peoples_ids_are_not_found(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    let id = server.deliver("alice", &mail("Private")).await;
    let thread = alice.messages("inbox").await[0]["thread_id"].as_str().unwrap().to_owned();
    for path in [
        format!("/v1/messages/{id}"),
        format!("/v1/messages/{id}/raw"),
        format!("/v1/messages/{id}/html"),
        format!("/v1/messages/{id}/attachments/1"),
        format!("/v1/threads/{thread}"),
    ] {
        assert_eq!(bob.get(&path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let path = format!("/v1/messages/{id}");
    assert_eq!(bob.patch(&path, &json!({ "flagged": true })).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(bob.delete(&path).await.status(), StatusCode::NOT_FOUND);
    let many = json_of(bob.patch("/v1/messages", &json!({ "ids": [id], "flagged": true })).await).await;
    assert_eq!(many["messages"], json!([]));
    assert_eq!(alice.read(&path).await["flagged"], false);
    server.stop().await;
}

async fn cookies_need_our_own_page_behind_them(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    let cookie = format!("magpie_session={}", alice.token.clone().unwrap());
    let nobody = server.nobody();
    let own = server.url("");
    for (fields, status) in [
        (vec![], 403),
        (vec![("x-magpie-csrf", "1")], 201),
        (vec![("x-magpie-csrf", "1"), ("origin", own.as_str())], 201),
        (vec![("x-magpie-csrf", "1"), ("origin", "https://evil.example")], 403),
        (vec![("x-magpie-csrf", "1"), ("sec-fetch-site", "cross-site")], 403),
        (vec![("origin", own.as_str())], 403),
    ] {
        let mut request = nobody.request(Method::POST, "/v1/folders").header("cookie", &cookie);
        for (name, value) in &fields {
            request = request.header(*name, *value);
        }
        let name =
            format!("{fields:?}").chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>() + "x";
        let body = json!({ "name": name }).to_string();
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{fields:?}");
    }
    let read = nobody.request(Method::GET, "/v1/folders").header("cookie", &cookie).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::OK);
    server.stop().await;
}

async fn too_many_requests_wait(plane: &Plane<'_>) {
    let server = Server::start_with(
        plane,
        &[("MAGPIE_LIMITS__LOGINS_PER_MINUTE", "3"), ("MAGPIE_LIMITS__REQUESTS_PER_MINUTE", "5")],
    )
    .await;
    let alice = server.login("alice").await;
    let statuses: Vec<_> =
        [alice.get("/v1/folders").await, alice.get("/v1/folders").await].iter().map(|a| a.status()).collect();
    assert_eq!(statuses, [StatusCode::OK; 2]);
    let limited = support::eventually("a limit", async || {
        let answer = alice.get("/v1/folders").await;
        (answer.status() == StatusCode::TOO_MANY_REQUESTS).then_some(answer)
    })
    .await;
    assert!(header(&limited, "retry-after").parse::<u64>().unwrap() >= 1);
    let wrong = json!({ "email": "bob@demo.test", "password": "wrong horse" });
    let nobody = server.nobody();
    let mut last = StatusCode::OK;
    for _ in 0..5 {
        last = nobody.post("/v1/session", &wrong).await.status();
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    server.stop().await;
}
