//! Pages, their headers, and what operators and readers of documents see.

use std::time::Duration;

use crate::support::{self, PASSWORD, Plane, Server, header, mail};
use reqwest::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

support::on_both_planes!(
    the_form_logs_in_and_out,
    pages_are_rendered_with_what_is_in_the_mailbox,
    who_never_ends_a_request_is_hung_up_on,
    operators_see_health_and_metrics,
    the_document_lists_every_route_and_every_route_is_there,
);

async fn the_form_logs_in_and_out(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let nobody = server.nobody();
    let form = |password: &str, fields: &[(&str, &str)]| {
        let mut request = nobody
            .request(Method::POST, "/login")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("email=alice%40demo.test&password={}", password.replace(' ', "+")));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.send()
    };
    let wrong = form("wrong horse", &[]).await.unwrap();
    assert_eq!(
        (wrong.status(), header(&wrong, "location")),
        (StatusCode::SEE_OTHER, "/login?error=invalid-credentials&email=alice@demo.test")
    );
    let again = nobody.get(header(&wrong, "location")).await.text().await.unwrap();
    assert!(again.contains("value=\"alice@demo.test\"") && !again.contains("wrong horse"), "{again}");
    let hostile = nobody.get("/login?error=x&email=%22%3E%3Cscript%3E").await.text().await.unwrap();
    assert!(!hostile.contains("\"><script>"), "{hostile}");
    let foreign = form(PASSWORD, &[("origin", "https://evil.example")]).await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);

    let right = form(PASSWORD, &[]).await.unwrap();
    assert_eq!((right.status(), header(&right, "location")), (StatusCode::SEE_OTHER, "/mail/inbox"));
    let cookie = header(&right, "set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let out = nobody.request(Method::POST, "/logout").header("cookie", &cookie).send().await.unwrap();
    assert_eq!(header(&out, "location"), "/login");
    let after = nobody.request(Method::GET, "/mail/inbox").header("cookie", &cookie).send().await.unwrap();
    assert_eq!(header(&after, "location"), "/login?error=unauthenticated");
    server.stop().await;
}

async fn pages_are_rendered_with_what_is_in_the_mailbox(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    server.deliver("alice", &mail("Rendered on the server")).await;
    let cookie = format!("magpie_session={}; lang=ko", alice.token.clone().unwrap());
    let nobody = server.nobody();

    let door = nobody.get("/mail/inbox").await;
    assert_eq!((door.status(), header(&door, "location")), (StatusCode::SEE_OTHER, "/login"));
    let login = nobody.get("/login").await;
    assert_eq!(login.status(), StatusCode::OK);
    assert!(login.text().await.unwrap().contains("name=\"password\""));

    let page = nobody.request(Method::GET, "/mail/inbox").header("cookie", &cookie).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let policy = header(&page, "content-security-policy").to_owned();
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe-inline"), "{policy}");
    assert_eq!(header(&page, "cache-control"), "no-store");
    let html = page.text().await.unwrap();
    assert!(html.contains("Rendered on the server"), "{html:.2000}");
    assert!(html.contains("lang=\"ko\""));
    for script in html.split("<script").skip(1) {
        let tag = script.split('>').next().unwrap();
        assert!(tag.contains(&nonce) || tag.contains("type=\"application/json\""), "<script{tag}>");
    }
    assert_eq!(nobody.get("/robots.txt").await.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

async fn who_never_ends_a_request_is_hung_up_on(plane: &Plane<'_>) {
    let server = Server::start_with(plane, &[("MAGPIE_HTTP__TIMEOUT", "200ms")]).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut socket = TcpStream::connect(server.web).await.unwrap();
        socket.write_all(begun.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Nothing, or 408; then the end.
        let end = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "{begun:?} is still waited for");
    }
    let alice = server.login("alice").await;
    let mut socket = TcpStream::connect(server.web).await.unwrap();
    let token = alice.token.clone().unwrap();
    let head = format!(
        "POST /v1/folders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    server.stop().await;
}

async fn operators_see_health_and_metrics(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let nobody = server.nobody();
    assert_eq!(nobody.get("/healthz").await.text().await.unwrap(), "ok\n");
    assert_eq!(nobody.get("/readyz").await.status(), StatusCode::OK);
    server.login("alice").await;
    let metrics = nobody.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("magpie_http_requests_total"), "{metrics:.500}");
    let proxied =
        nobody.request(Method::GET, "/metrics").header("x-forwarded-for", "1.2.3.4").send().await.unwrap();
    assert_eq!(proxied.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

/// Every route of the API. The document is made of the routes themselves; this is what people rely on.
const ROUTES: &str = "
DELETE /v1/admin/queue/{id}
DELETE /v1/app-passwords/{id}
DELETE /v1/attachments/{id}
DELETE /v1/folders/{id}
DELETE /v1/folders/{id}/access/{email}
DELETE /v1/messages/{id}
DELETE /v1/session
DELETE /v1/shared/{owner}/{folder}/messages/{id}
GET /v1/admin/queue
GET /v1/admin/queue/{id}
GET /v1/app-passwords
GET /v1/events
GET /v1/folders
GET /v1/folders/{id}/access
GET /v1/folders/{id}/messages
GET /v1/messages/{id}
GET /v1/messages/{id}/attachments/{part}
GET /v1/messages/{id}/html
GET /v1/messages/{id}/raw
GET /v1/search
GET /v1/session
GET /v1/shared
GET /v1/shared/{owner}/{folder}/messages
GET /v1/shared/{owner}/{folder}/messages/{id}
GET /v1/shared/{owner}/{folder}/messages/{id}/attachments/{part}
GET /v1/shared/{owner}/{folder}/messages/{id}/html
GET /v1/shared/{owner}/{folder}/messages/{id}/raw
GET /v1/threads/{id}
PATCH /v1/folders/{id}
PATCH /v1/messages
PATCH /v1/messages/{id}
PATCH /v1/shared/{owner}/{folder}/messages
PATCH /v1/shared/{owner}/{folder}/messages/{id}
POST /v1/admin/queue/{id}/hold
POST /v1/admin/queue/{id}/release
POST /v1/admin/queue/{id}/reroute
POST /v1/admin/queue/{id}/retry
POST /v1/app-passwords
POST /v1/attachments
POST /v1/folders
POST /v1/messages
POST /v1/messages/{id}/recall
POST /v1/messages/{id}/unsubscribe
POST /v1/session
PUT /v1/folders/{id}/access/{email}";

async fn the_document_lists_every_route_and_every_route_is_there(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let nobody = server.nobody();
    let document = nobody.read("/openapi.json").await;
    let mut documented = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(
                operation["responses"]["default"]["content"]["application/problem+json"].is_object(),
                "{path}"
            );
            assert!(operation["summary"].is_string(), "{method} {path}");
            documented.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    documented.sort();
    assert_eq!(documented, ROUTES.trim().lines().collect::<Vec<_>>());
    for route in documented {
        let (method, path) = route.split_once(' ').unwrap();
        let answer = nobody.request(method.parse().unwrap(), path).send().await.unwrap();
        assert!(![404, 405].contains(&answer.status().as_u16()), "{route}: {}", answer.status());
    }
    // Every reference in the document leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    let docs = nobody.get("/docs/").await;
    assert_eq!(docs.status(), StatusCode::OK);
    assert!(header(&docs, "content-security-policy").contains("script-src 'self'"));
    let html = docs.text().await.unwrap();
    assert!(!html.contains("https://"), "the page of the documents loads something from elsewhere: {html}");
    assert!(!html.contains("<script>"), "the page has a script that its policy forbids: {html}");
    server.stop().await;
}
