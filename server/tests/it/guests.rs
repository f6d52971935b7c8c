//! What is shared over REST: a guest sees what its owner does, as far as the rights go, and nobody else anything.

use crate::support::{self, Client, Plane, Server, header, json_of};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

support::on_both_planes!(
    guests_see_what_the_owner_sees_and_as_safe,
    nobody_else_gets_in_and_no_change_without_its_right,
    a_grant_that_is_taken_back_ends_it_at_once,
    guests_answer_and_pass_on_what_they_may_read,
    nobody_else_answers_what_is_shared,
    a_draft_outlives_what_it_answers,
);

/// Alice's inbox with a mail in it, for Bob.
struct Shared {
    server: Server,
    alice: Client,
    bob: Client,
    id: String,
    /// The inbox, as what is written names it.
    place: Value,
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
        let place = json!({ "owner": owner, "folder": inbox });
        let (access, mail) = (format!("/v1/folders/{inbox}/access/bob@demo.test"), format!("{list}/{id}"));
        Self { server, alice, bob, id, place, access, list, mail }
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

/// Who is written to.
const CAROL: &str = "carol@elsewhere.example";

impl Shared {
    /// An answer to the mail.
    fn answer(&self) -> Value {
        json!({ "to": [{ "email": CAROL }], "subject": "Re", "in_reply_to": self.id, "shared": self.place })
    }

    /// The mail passed on, with its file.
    fn forward(&self) -> Value {
        let (owner, folder) = (self.place["owner"].as_str().unwrap(), self.place["folder"].as_str().unwrap());
        let file = format!("{owner}/{folder}/{}/2", self.id);
        json!({
            "to": [{ "email": CAROL }],
            "subject": "Fwd",
            "forward_of": self.id,
            "shared": self.place,
            "attachments": [file],
        })
    }

    /// What Bob has sent, whole.
    async fn sent(&self, mail: &Value) -> (Value, String) {
        let sent = self.bob.post("/v1/messages", mail).await;
        assert_eq!(sent.status(), StatusCode::CREATED, "{mail}");
        let id = json_of(sent).await["id"].as_str().unwrap().to_owned();
        let raw = self.bob.get(&format!("/v1/messages/{id}/raw")).await.text().await.unwrap();
        (self.bob.read(&format!("/v1/messages/{id}")).await, raw)
    }

    async fn marks(&self) -> (bool, bool) {
        let mail = self.alice.read(&format!("/v1/messages/{}", self.id)).await;
        (mail["answered"].as_bool().unwrap(), mail["forwarded"].as_bool().unwrap())
    }
}

async fn guests_answer_and_pass_on_what_they_may_read(plane: &Plane<'_>) {
    let shared = Shared::open(plane).await;
    shared.share("lr").await;
    let mut draft = shared.answer();
    draft["draft"] = json!(true);
    for mail in [draft, shared.answer()] {
        let (sent, raw) = shared.sent(&mail).await;
        assert!(raw.contains("In-Reply-To: <n@x.example>\r\n"), "{raw}");
        assert_eq!(sent["references"], json!(["n@x.example"]));
    }
    let (sent, raw) = shared.sent(&shared.forward()).await;
    assert!(raw.contains("References: <n@x.example>\r\n") && !raw.contains("In-Reply-To"), "{raw}");
    let file = &sent["attachments"][0];
    assert_eq!((&file["filename"], &file["content_type"]), (&json!("page.html"), &json!("text/html")));
    let path =
        format!("/v1/messages/{}/attachments/{}", sent["id"].as_str().unwrap(), file["id"].as_str().unwrap());
    assert_eq!(shared.bob.get(&path).await.text().await.unwrap().trim(), "<script>x()</script>");

    // Its owner is told only by whom may write.
    assert_eq!(shared.marks().await, (false, false));
    shared.share("lrw").await;
    shared.sent(&shared.answer()).await;
    assert_eq!(shared.marks().await, (true, false));
    shared.sent(&shared.forward()).await;
    assert_eq!(shared.marks().await, (true, true));
    shared.server.stop().await;
}

async fn nobody_else_answers_what_is_shared(plane: &Plane<'_>) {
    let shared = Shared::open(plane).await;
    let nothing = json!(shared.server.node.mail.new_id());
    let mut absent = shared.answer();
    absent["in_reply_to"] = nothing.clone();
    let mut draft = shared.answer();
    draft["draft"] = json!(true);
    let every = [(shared.answer(), "in_reply_to"), (shared.forward(), "forward_of"), (draft, "in_reply_to")];
    let refused = async |who: &Client, mail: &Value, field: &str| {
        let answer = who.post("/v1/messages", mail).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{mail}");
        let mut told = json_of(answer).await;
        assert_eq!(told["field"].take(), field, "{mail}");
        told
    };
    shared.share("lrw").await;
    let told = refused(&shared.bob, &absent, "in_reply_to").await;
    // Nor does her own lie where others share.
    refused(&shared.alice, &shared.answer(), "in_reply_to").await;
    let mut both = shared.answer();
    both["forward_of"] = nothing.clone();
    refused(&shared.bob, &both, "forward_of").await;

    shared.share("l").await;
    for (mail, field) in &every {
        assert_eq!(refused(&shared.bob, mail, field).await, told, "nothing is told of it");
    }
    assert_eq!(shared.alice.delete(&shared.access).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(refused(&shared.bob, &absent, "in_reply_to").await, told);
    for (mail, field) in &every {
        assert_eq!(refused(&shared.bob, mail, field).await, told, "nothing is told of it");
    }
    let mut file = shared.forward();
    for name in ["forward_of", "shared"] {
        file.as_object_mut().unwrap().remove(name);
    }
    let answer = shared.bob.post("/v1/messages", &file).await;
    assert!(answer.status().is_client_error(), "{}", answer.status());
    assert_eq!(json_of(answer).await["field"], "attachments[0]");
    for folder in ["sent", "drafts"] {
        assert!(shared.bob.messages(folder).await.is_empty(), "{folder}");
    }
    assert_eq!(shared.marks().await, (false, false));
    shared.server.stop().await;
}

/// How what somebody answers goes out of their reach.
#[derive(Debug, Clone, Copy)]
enum End {
    /// They may only know of the folder.
    Hidden,
    Revoked,
    Archived,
}

impl Shared {
    async fn end(&self, end: End) {
        match end {
            End::Hidden => self.share("l").await,
            End::Revoked => {
                assert_eq!(self.alice.delete(&self.access).await.status(), StatusCode::NO_CONTENT);
            }
            End::Archived => {
                let archive = json!({ "folder_id": self.alice.folder("archive").await });
                let moved = self.alice.patch(&format!("/v1/messages/{}", self.id), &archive).await;
                assert_eq!(moved.status(), StatusCode::OK);
            }
        }
    }
}

/// The mail as it goes on from what is kept of it.
fn going_on(mail: &Value, kept: &Value) -> Value {
    let (mut mail, id) = (mail.clone(), kept["id"].as_str().unwrap());
    mail["replaces"] = json!(id);
    let files = kept["attachments"].as_array().unwrap().iter();
    mail["attachments"] = files.map(|file| json!(format!("{id}/{}", file["id"].as_str().unwrap()))).collect();
    mail
}

async fn a_draft_outlives_what_it_answers(plane: &Plane<'_>) {
    let shared = Shared::open(plane).await;
    for end in [End::Hidden, End::Revoked, End::Archived] {
        shared.share("lrw").await;
        let mut begun = Vec::new();
        for mut mail in [shared.answer(), shared.forward()] {
            mail["draft"] = json!(true);
            let (kept, raw) = shared.sent(&mail).await;
            begun.push((mail, kept, raw));
        }
        shared.end(end).await;
        for (mail, first, raw) in begun {
            let (second, _) = shared.sent(&going_on(&mail, &first)).await;
            let mut mail = going_on(&mail, &second);
            mail["draft"] = json!(false);
            let (sent, now) = shared.sent(&mail).await;
            let fields = |raw: &str| {
                let named = |line: &&str| line.starts_with("In-Reply-To:") || line.starts_with("References:");
                raw.lines().filter(named).map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(fields(&now), fields(&raw), "{end:?}");
            assert!(now.contains("References: <n@x.example>\r\n"), "{end:?}: {now}");
            assert_eq!(
                sent["attachments"].as_array().unwrap().len(),
                first["attachments"].as_array().unwrap().len()
            );
        }
        assert!(shared.bob.messages("drafts").await.is_empty(), "{end:?}");
        assert_eq!(shared.marks().await, (false, false), "{end:?}");
    }
    assert_eq!(shared.bob.messages("sent").await.len(), 6);
    shared.server.stop().await;
}
