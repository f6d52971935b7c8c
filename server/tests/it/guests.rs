//! What is shared over REST: a guest sees what its owner does, as far as the rights go, and nobody else anything.

use crate::support::{self, Client, Plane, Server, header, json_of};
use reqwest::{Method, StatusCode};
use serde_json::json;

support::on_both_planes!(
    guests_see_what_the_owner_sees_and_as_safe,
    nobody_else_gets_in_and_no_change_without_its_right,
    a_grant_that_is_taken_back_ends_it_at_once,
);

/// Alice's inbox with a mail in it, for Bob.
struct Shared {
    server: Server,
    alice: Client,
    bob: Client,
    id: String,
    /// Who may do what with it.
    access: String,
    /// Its messages, as Bob names them.
    list: String,
    /// The mail, as Bob names it.
    mail: String,
}

/// What there is of the mail.
const PARTS: [&str; 4] = ["", "/html", "/raw", "/attachments/2"];

impl Shared {
    async fn open(plane: &Plane<'_>) -> Self {
        let server = Server::start(plane).await;
        let (alice, bob) = (server.login("alice").await, server.login("bob").await);
        let id = server.deliver("alice", NEWSLETTER).await;
        let inbox = alice.folder("inbox").await;
        let owner = server.access("alice").await.id();
        let list = format!("/v1/shared/{owner}/{inbox}/messages");
        let (access, mail) = (format!("/v1/folders/{inbox}/access/bob@demo.test"), format!("{list}/{id}"));
        Self { server, alice, bob, id, access, list, mail }
    }

    async fn share(&self, rights: &str) {
        let share = self.alice.request(Method::PUT, &self.access).json(&json!({ "rights": rights }));
        assert_eq!(share.send().await.unwrap().status(), StatusCode::OK);
    }

    /// That every way to the mail answers somebody so.
    async fn check(&self, who: &Client, wanted: StatusCode) {
        for part in PARTS {
            let path = format!("{}{part}", self.mail);
            assert_eq!(who.get(&path).await.status(), wanted, "{part}");
        }
        self.check_changes(who, wanted).await;
    }

    async fn check_changes(&self, who: &Client, wanted: StatusCode) {
        let seen = json!({ "unread": false });
        let many = json!({ "ids": [self.id], "unread": false });
        assert_eq!(who.patch(&self.mail, &seen).await.status(), wanted);
        assert_eq!(who.patch(&self.list, &many).await.status(), wanted);
        assert_eq!(who.delete(&self.mail).await.status(), wanted);
    }
}

/// Markup that would do something, a picture from elsewhere, and a file.
const NEWSLETTER: &str = "From: Carol <carol@elsewhere.example>
To: alice@demo.test
Subject: Newsletter
Message-ID: <n@x.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html

<p onclick=\"x()\">Hello</p><script>x()</script><img src=\"https://pictures.example/p.png\">
--b
Content-Type: text/html; name=page.html
Content-Disposition: attachment; filename=page.html

<script>x()</script>
--b--
";

async fn guests_see_what_the_owner_sees_and_as_safe(plane: &Plane<'_>) {
    let shared = Shared::open(plane).await;
    shared.share("lr").await;
    let folder = shared.bob.read("/v1/shared").await["folders"][0].clone();
    assert_eq!(folder["owner_name"], "alice");
    assert!(folder["modseq"].as_i64().unwrap() > 0);
    let own = format!("/v1/messages/{}", shared.id);
    for part in ["/html", "/html?images=show", "/raw", "/attachments/2"] {
        let theirs = shared.bob.get(&format!("{}{part}", shared.mail)).await;
        let hers = shared.alice.get(&format!("{own}{part}")).await;
        assert_eq!((theirs.status(), hers.status()), (StatusCode::OK, StatusCode::OK), "{part}");
        for field in
            ["content-type", "content-security-policy", "content-disposition", "x-content-type-options"]
        {
            assert_eq!(header(&theirs, field), header(&hers, field), "{part}: {field}");
        }
        assert!(header(&theirs, "content-security-policy").contains("default-src 'none'"), "{part}");
        // Whoever has it asks whether it may still be seen.
        assert_eq!(header(&theirs, "cache-control"), "private, no-cache", "{part}");
        let (theirs, hers) = (theirs.text().await.unwrap(), hers.text().await.unwrap());
        assert_eq!(theirs, hers, "{part}");
        if part.starts_with("/html") {
            assert!(theirs.contains("Hello"), "{theirs}");
            assert!(!theirs.contains("script>") && !theirs.contains("onclick"), "{theirs}");
        }
    }
    let part = shared.bob.request(Method::GET, &format!("{}/raw", shared.mail)).header("range", "bytes=0-3");
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.text().await.unwrap(), "From");
    shared.server.stop().await;
}

async fn nobody_else_gets_in_and_no_change_without_its_right(plane: &Plane<'_>) {
    let shared = Shared::open(plane).await;
    let (carol, password) = ("carol@demo.test".parse().unwrap(), support::PASSWORD.to_owned());
    let admin = shared.server.node.mail.admin();
    admin.add_account(&carol, "Carol", types::Secret::new(password), None).await.unwrap();
    let carol = shared.server.login("carol").await;
    shared.check(&shared.bob, StatusCode::NOT_FOUND).await;
    shared.share("lr").await;
    shared.check_changes(&shared.bob, StatusCode::FORBIDDEN).await;
    shared.check(&carol, StatusCode::NOT_FOUND).await;
    // They lead to what others share, so her own is not there for her.
    shared.check(&shared.alice, StatusCode::NOT_FOUND).await;
    shared.check(&shared.server.nobody(), StatusCode::UNAUTHORIZED).await;

    shared.share("lrste").await;
    let changed = json_of(shared.bob.patch(&shared.mail, &json!({ "unread": false })).await).await;
    let changed = &changed["messages"][0];
    assert_eq!((&changed["id"], &changed["unread"]), (&json!(shared.id), &json!(false)));
    let starred = shared.bob.patch(&shared.mail, &json!({ "flagged": true })).await;
    assert_eq!(starred.status(), StatusCode::FORBIDDEN);
    let absent = format!("{}/{}", shared.list, shared.server.node.mail.new_id());
    shared.check_absent(&absent).await;
    assert_eq!(shared.bob.delete(&shared.mail).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(shared.alice.messages("trash").await[0]["id"], json!(shared.id));
    shared.check_absent(&shared.mail).await;
    shared.server.stop().await;
}

impl Shared {
    /// That there is no such message in the folder, even for who may do what they like with it.
    async fn check_absent(&self, mail: &str) {
        for part in PARTS {
            assert_eq!(
                self.bob.get(&format!("{mail}{part}")).await.status(),
                StatusCode::NOT_FOUND,
                "{part}"
            );
        }
        assert_eq!(self.bob.patch(mail, &json!({ "unread": true })).await.status(), StatusCode::NOT_FOUND);
        assert_eq!(self.bob.delete(mail).await.status(), StatusCode::NOT_FOUND);
    }
}

async fn a_grant_that_is_taken_back_ends_it_at_once(plane: &Plane<'_>) {
    let shared = Shared::open(plane).await;
    shared.share("lrswite").await;
    let raw = format!("{}/raw", shared.mail);
    let tag = header(&shared.bob.get(&raw).await, "etag").to_owned();
    let again = async || {
        let again = shared.bob.request(Method::GET, &raw).header("if-none-match", &tag);
        again.send().await.unwrap().status()
    };
    assert_eq!(again().await, StatusCode::NOT_MODIFIED);
    assert_eq!(shared.alice.delete(&shared.access).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(again().await, StatusCode::NOT_FOUND);
    shared.check(&shared.bob, StatusCode::NOT_FOUND).await;
    assert_eq!(shared.bob.read("/v1/shared").await, json!({ "folders": [] }));
    assert_eq!(shared.alice.messages("inbox").await[0]["unread"], json!(true));
    shared.server.stop().await;
}
