//! What people do over REST, from logging in to logging out.

use crate::support::{self, Plane, Server, eventually, header, json_of, mail};
use async_trait::async_trait;
use mail::Denied;
use reqwest::{Method, StatusCode};
use serde_json::json;
use storage::{Grant, Needs, Transaction, Unit};
use types::{AccountId, MailboxId, Rights, Timestamp};

support::on_both_planes!(
    a_mail_is_read_starred_moved_and_deleted,
    a_mail_with_an_attachment_reaches_the_other_account,
    parts_of_a_mail_can_be_asked_for,
    folders_are_made_renamed_and_deleted,
    folders_are_shared,
    an_account_has_so_many_grants,
    anothers_ids_are_not_found,
    pages_follow_one_another_and_filters_filter,
    what_came_in_is_found,
    html_is_shown_apart_and_under_its_own_policy,
);

async fn a_mail_is_read_starred_moved_and_deleted(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    let id = server.deliver("alice", &mail("Quarterly report")).await;

    let summary = alice.messages("inbox").await.remove(0);
    assert_eq!(summary["id"], id);
    assert_eq!(summary["subject"], "Quarterly report");
    assert_eq!(summary["from"], json!({ "name": "Carol", "email": "carol@elsewhere.example" }));
    assert_eq!(summary["unread"], true);

    let message = alice.read(&format!("/v1/messages/{id}")).await;
    assert_eq!(message["text"].as_str().unwrap().trim(), "Hello, this is Quarterly report.");
    assert_eq!(message["sent_at"], "2026-11-22T10:00:00Z");

    let patch = json!({ "unread": false, "flagged": true, "add_labels": ["work"] });
    let answer = alice.patch(&format!("/v1/messages/{id}"), &patch).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let changed = json_of(answer).await["messages"][0].clone();
    assert_eq!(
        (&changed["unread"], &changed["flagged"], &changed["labels"]),
        (&json!(false), &json!(true), &json!(["work"]))
    );

    let archive = alice.folder("archive").await;
    let many = json!({ "ids": [id], "folder_id": archive });
    assert_eq!(alice.patch("/v1/messages", &many).await.status(), StatusCode::OK);
    assert_eq!(alice.messages("archive").await.len(), 1);

    let thread = summary["thread_id"].as_str().unwrap();
    assert_eq!(alice.read(&format!("/v1/threads/{thread}")).await["messages"].as_array().unwrap().len(), 1);

    let path = format!("/v1/messages/{id}");
    assert_eq!(alice.delete(&path).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(alice.messages("trash").await.len(), 1);
    assert_eq!(alice.delete(&path).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(alice.get(&path).await.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

async fn a_mail_with_an_attachment_reaches_the_other_account(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i * 7 % 251) as u8).collect();
    let upload = alice
        .request(Method::POST, "/v1/attachments?filename=%EA%B2%AC%EC%A0%81.bin")
        .header("content-type", "application/x-quote")
        .body(bytes.clone());
    let answer = upload.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let uploaded = json_of(answer).await;
    assert_eq!((&uploaded["filename"], &uploaded["size"]), (&json!("견적.bin"), &json!(300_000)));

    let mail = json!({
        "to": [{ "name": "Bob", "email": "bob@demo.test" }],
        "subject": "견적서",
        "text": "Please see the file.",
        "attachments": [uploaded["id"]],
    });
    let answer = alice.post("/v1/messages", &mail).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let sent = json_of(answer).await["id"].as_str().unwrap().to_owned();
    assert_eq!(alice.messages("sent").await[0]["id"], sent);

    let received = eventually("the mail in bob's inbox", async || bob.messages("inbox").await.pop()).await;
    assert_eq!(received["has_attachments"], true);
    let id = received["id"].as_str().unwrap();
    let message = bob.read(&format!("/v1/messages/{id}")).await;
    let attachment = &message["attachments"][0];
    assert_eq!((&attachment["filename"], &attachment["size"]), (&json!("견적.bin"), &json!(300_000)));

    let path = format!("/v1/messages/{id}/attachments/{}", attachment["id"].as_str().unwrap());
    let answer = bob.get(&path).await;
    assert_eq!(
        header(&answer, "content-disposition"),
        "attachment; filename=\"__.bin\"; filename*=UTF-8''%EA%B2%AC%EC%A0%81.bin"
    );
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    assert!(header(&answer, "content-security-policy").contains("sandbox"));
    assert_eq!(answer.bytes().await.unwrap(), bytes);
    server.stop().await;
}

async fn parts_of_a_mail_can_be_asked_for(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    let id = server.deliver("alice", &mail("Ranges")).await;
    let path = format!("/v1/messages/{id}/raw");
    let whole = alice.get(&path).await;
    assert_eq!(whole.status(), StatusCode::OK);
    let tag = header(&whole, "etag").to_owned();
    let whole = whole.bytes().await.unwrap();
    assert!(whole.starts_with(b"From: Carol"));
    for (range, if_range, status, content_range, bytes) in [
        ("bytes=0-4", None, 206, format!("bytes 0-4/{}", whole.len()), &whole[..5]),
        (
            "bytes=-3",
            None,
            206,
            format!("bytes {}-{}/{}", whole.len() - 3, whole.len() - 1, whole.len()),
            &whole[whole.len() - 3..],
        ),
        ("bytes=999999-", None, 416, format!("bytes */{}", whole.len()), &[][..]),
        ("bytes=0-4", Some("\"other\""), 200, String::new(), &whole[..]),
        ("bytes=0-4", Some(tag.as_str()), 206, format!("bytes 0-4/{}", whole.len()), &whole[..5]),
    ] {
        let mut request = alice.request(Method::GET, &path).header("range", range);
        if let Some(tag) = if_range {
            request = request.header("if-range", tag);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{range}");
        assert_eq!(header(&answer, "content-range"), content_range, "{range}");
        assert_eq!(answer.bytes().await.unwrap(), bytes, "{range}");
    }
    let again = alice.request(Method::GET, &path).header("if-none-match", &tag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    server.stop().await;
}

async fn folders_are_made_renamed_and_deleted(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    let answer = alice.post("/v1/folders", &json!({ "name": "Projects" })).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let id = json_of(answer).await["id"].as_str().unwrap().to_owned();
    assert_eq!(
        alice.post("/v1/folders", &json!({ "name": "projects" })).await.status(),
        StatusCode::CONFLICT
    );
    let path = format!("/v1/folders/{id}");
    let renamed = json_of(alice.patch(&path, &json!({ "name": "프로젝트" })).await).await;
    assert_eq!(renamed["name"], "프로젝트");
    assert_eq!(alice.delete(&path).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(alice.delete(&path).await.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

async fn folders_are_shared(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    let put = async |path: &str, rights: &str| {
        let answer = alice.request(Method::PUT, path).json(&json!({ "rights": rights })).send();
        answer.await.unwrap()
    };
    let path = format!("/v1/folders/{}/access", alice.folder("inbox").await);
    assert_eq!(alice.read(&path).await, json!({ "people": [] }));
    let theirs = format!("{path}/Bob@demo.test");
    let answer = put(&theirs, "rlp").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let granted = json!({ "email": "bob@demo.test", "rights": "lrp" });
    assert_eq!(json_of(answer).await, granted);
    assert_eq!(alice.read(&path).await, json!({ "people": [granted] }));
    for (path, rights) in [
        (format!("{path}/nobody@demo.test"), "lr"),
        (format!("{path}/alice@demo.test"), "lr"),
        (theirs.clone(), "z"),
        (theirs.clone(), ""),
    ] {
        assert_eq!(put(&path, rights).await.status(), StatusCode::BAD_REQUEST, "{path} {rights}");
    }
    assert_eq!(put("/v1/folders/999/access/bob@demo.test", "lr").await.status(), StatusCode::NOT_FOUND);

    let mail = json!({
        "from": "alice@demo.test",
        "to": [{ "name": "", "email": "alice@demo.test" }],
        "subject": "In your name",
        "text": "Sent by Bob.",
    });
    assert_eq!(bob.post("/v1/messages", &mail).await.status(), StatusCode::CREATED);
    let received = eventually("the mail", async || alice.messages("inbox").await.pop()).await;
    assert_eq!(received["from"]["email"], "alice@demo.test");
    let raw = alice.get(&format!("/v1/messages/{}/raw", received["id"].as_str().unwrap())).await;
    let raw = raw.text().await.unwrap();
    assert!(raw.contains("\r\nSender: ") && raw.contains("<bob@demo.test>\r\n"), "{raw}");

    // Bob reads what is shared with him by its own paths.
    let folders = bob.read("/v1/shared").await["folders"].clone();
    let folder = &folders[0];
    assert_eq!((folders.as_array().unwrap().len(), &folder["owner"]), (1, &json!("alice@demo.test")));
    assert_eq!((&folder["name"], &folder["rights"]), (&json!("Inbox"), &json!("lrp")));
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let list = format!("/v1/shared/{}/{}/messages", text(&folder["owner_id"]), text(&folder["id"]));
    let one = format!("{list}/{}", text(&received["id"]));
    assert_eq!(bob.read(&list).await["messages"][0]["subject"], "In your name");
    let own = format!("/v1/messages/{}", text(&received["id"]));
    assert_eq!(bob.read(&one).await["text"], alice.read(&own).await["text"]);
    assert_eq!(bob.get(&format!("{one}/attachments/9")).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(bob.get(&format!("{list}?limit=0")).await.status(), StatusCode::BAD_REQUEST);
    // They lead to what others share, so her own is not there for her.
    assert_eq!(alice.read("/v1/shared").await, json!({ "folders": [] }));
    for path in [&list, &one] {
        assert_eq!(alice.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(server.nobody().get(path).await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }

    assert_eq!(alice.delete(&theirs).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(bob.read("/v1/shared").await, json!({ "folders": [] }));
    for path in [&list, &one] {
        assert_eq!(bob.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(alice.read(&path).await, json!({ "people": [] }));
    assert_eq!(bob.post("/v1/messages", &mail).await.status(), StatusCode::FORBIDDEN);
    server.stop().await;
}

async fn pages_follow_one_another_and_filters_filter(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    for number in 0..7 {
        server.deliver("alice", &mail(&format!("Mail {number}"))).await;
    }
    let folder = alice.folder("inbox").await;
    let mut path =
        format!("/v1/folders/{folder}/messages?limit=3&cursor=&unread=&flagged=&attachments=false");
    let mut seen = Vec::new();
    loop {
        let page = alice.read(&path).await;
        seen.extend(
            page["messages"].as_array().unwrap().iter().map(|m| m["subject"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/folders/{folder}/messages?limit=3&cursor={next}"),
            None => break,
        }
    }
    let wanted: Vec<_> = (0..7).rev().map(|number| format!("Mail {number}")).collect();
    assert_eq!(seen, wanted);
    // A cursor is good for the list that it came from.
    let page = alice.read(&format!("/v1/folders/{folder}/messages?limit=3")).await;
    let next = page["next"].as_str().unwrap();
    let sent = alice.folder("sent").await;
    for other in
        [format!("/v1/folders/{sent}/messages?cursor={next}"), format!("/v1/search?q=Mail&cursor={next}")]
    {
        let answer = alice.get(&other).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{other}");
        let problem = json_of(answer).await;
        assert_eq!(problem["type"], "/problems/invalid-cursor", "{other}");
    }
    let none = alice.read(&format!("/v1/folders/{folder}/messages?unread=false")).await;
    assert_eq!(none["messages"], json!([]));
    server.stop().await;
}

async fn what_came_in_is_found(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    server.deliver("alice", &mail("분기 보고서")).await;
    let found = eventually("the mail in the index", async || {
        let found = alice.read("/v1/search?q=%EB%B3%B4%EA%B3%A0%EC%84%9C").await;
        found["messages"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(found["subject"], "분기 보고서");
    server.stop().await;
}

async fn html_is_shown_apart_and_under_its_own_policy(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    let raw = "From: x@y.example\nTo: alice@demo.test\nSubject: h\nContent-Type: text/html\n\n\
               <p onclick=\"alert(1)\">Hi<script>alert(2)</script><img src=\"https://x.example/a.png\"></p>\n";
    let id = server.deliver("alice", raw).await;
    for (query, remote) in [("", false), ("?images=hold", false), ("?images=show", true)] {
        let answer = alice.get(&format!("/v1/messages/{id}/html{query}")).await;
        let policy = header(&answer, "content-security-policy").to_owned();
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
        assert_eq!(policy.contains("https:"), remote, "{policy}");
        let html = answer.text().await.unwrap();
        assert!(html.contains("Hi") && !html.contains("alert"), "{html}");
        assert_eq!(html.contains(" src=\"https://x.example/a.png\""), remote, "{html}");
    }
    server.stop().await;
}

/// Grants to people that never were.
struct Fill {
    owner: AccountId,
    mailbox: MailboxId,
    count: i64,
}

#[async_trait]
impl Unit for Fill {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.owner], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<()> {
        for number in 0..self.count {
            let (mailbox, grantee) = (self.mailbox, AccountId(1_000_000 + number));
            let (rights, grantee_since) = (Rights::parse("lr").unwrap(), Timestamp::from_millis(1));
            let grant = Grant { grantee, mailbox, grantee_since, rights, subscribed: false };
            tx.set_grant(self.owner, &grant).await?;
        }
        Ok(())
    }
}

/// However it comes to one more: by its owner over REST, or where somebody makes a mailbox in one that is shared.
async fn an_account_has_so_many_grants(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let alice = server.login("alice").await;
    let (owner, bob) = (server.access("alice").await, server.access("bob").await);
    let put = async |folder: &str, rights: &str| {
        let path = format!("/v1/folders/{folder}/access/bob@demo.test");
        let answer = alice.request(Method::PUT, &path).json(&json!({ "rights": rights })).send();
        answer.await.unwrap().status()
    };
    let (inbox, archive) = (alice.folder("inbox").await, alice.folder("archive").await);
    assert_eq!(put(&inbox, "lrk").await, StatusCode::OK);
    let shard = server.node.mail.shards().shard_of(owner.id());
    let fill = Fill { owner: owner.id(), mailbox: MailboxId(archive.parse().unwrap()), count: 998 };
    server.node.mail.write(shard, fill).await.unwrap();
    let create = async |name: &str| {
        let made = bob.create_named(&format!("Other Users/alice@demo.test/INBOX/{name}")).await.unwrap();
        made.map(drop)
    };
    assert_eq!(create("One").await, Ok(()));
    assert_eq!(create("Two").await, Err(Denied::Limit));
    let made = json_of(alice.post("/v1/folders", &json!({ "name": "Mine" })).await).await;
    let mine = made["id"].as_str().unwrap();
    assert_eq!(put(mine, "lr").await, StatusCode::CONFLICT);
    assert_eq!(put(&inbox, "l").await, StatusCode::OK, "what is there may change");
    let path = format!("/v1/folders/{inbox}/access/bob@demo.test");
    assert_eq!(alice.delete(&path).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(put(mine, "lr").await, StatusCode::OK);
    server.stop().await;
}

/// Ids of somebody else's are ids of nothing, also where they share something.
async fn anothers_ids_are_not_found(plane: &Plane<'_>) {
    let server = Server::start(plane).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    let upload = alice.request(Method::POST, "/v1/attachments?filename=a.txt").body("secret");
    let upload = json_of(upload.send().await.unwrap()).await["id"].as_str().unwrap().to_owned();
    let draft = json!({ "subject": "secret", "text": "secret", "draft": true, "attachments": [upload] });
    let draft = json_of(alice.post("/v1/messages", &draft).await).await;
    let (id, thread) = (draft["id"].as_str().unwrap(), draft["thread_id"].as_str().unwrap());
    let whole = alice.read(&format!("/v1/messages/{id}")).await;
    let part = whole["attachments"][0]["id"].as_str().unwrap();
    let again = alice.request(Method::POST, "/v1/attachments?filename=b.txt").body("secret");
    let upload = json_of(again.send().await.unwrap()).await["id"].as_str().unwrap().to_owned();
    let folder = json_of(alice.post("/v1/folders", &json!({ "name": "Secret" })).await).await;
    let folder = folder["id"].as_str().unwrap();
    let shared = alice.request(Method::PUT, &format!("/v1/folders/{folder}/access/bob@demo.test"));
    let shared = shared.json(&json!({ "rights": "lrswipkxtea" })).send().await.unwrap();
    assert_eq!(shared.status(), StatusCode::OK);

    for path in [
        format!("/v1/messages/{id}"),
        format!("/v1/messages/{id}/raw"),
        format!("/v1/messages/{id}/html"),
        format!("/v1/messages/{id}/attachments/{part}"),
        format!("/v1/threads/{thread}"),
        format!("/v1/folders/{folder}/messages"),
        format!("/v1/folders/{folder}/access"),
    ] {
        assert_eq!(alice.get(&path).await.status(), StatusCode::OK, "{path}");
        assert_eq!(bob.get(&path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let send = async |method: Method, path: String, body| {
        let request = bob.request(method, &path).header("content-type", "application/json");
        request.body(serde_json::Value::to_string(&body)).send().await.unwrap()
    };
    for (method, path, body) in [
        (Method::PATCH, format!("/v1/messages/{id}"), json!({ "flagged": true })),
        (Method::DELETE, format!("/v1/messages/{id}"), json!({})),
        (Method::POST, format!("/v1/messages/{id}/recall"), json!({})),
        (Method::PATCH, format!("/v1/folders/{folder}"), json!({ "name": "Mine" })),
        (Method::DELETE, format!("/v1/folders/{folder}"), json!({})),
        (Method::POST, "/v1/folders".into(), json!({ "name": "Below", "parent_id": folder })),
        (Method::PUT, format!("/v1/folders/{folder}/access/alice@demo.test"), json!({ "rights": "lr" })),
        (Method::DELETE, format!("/v1/folders/{folder}/access/alice@demo.test"), json!({})),
    ] {
        let answer = send(method.clone(), path.clone(), body).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{method} {path}");
    }
    // Where there is nothing to discard, nothing is.
    send(Method::DELETE, format!("/v1/attachments/{upload}"), json!({})).await;
    let many = send(Method::PATCH, "/v1/messages".into(), json!({ "ids": [id], "flagged": true })).await;
    assert_eq!(json_of(many).await, json!({ "messages": [] }));
    let own = server.deliver("bob", &mail("Own")).await;
    let there = send(Method::PATCH, format!("/v1/messages/{own}"), json!({ "folder_id": folder })).await;
    assert!(there.status().is_client_error(), "{}", there.status());
    for with in [
        json!({ "attachments": [upload] }),
        json!({ "attachments": [format!("{id}/{part}")] }),
        json!({ "forward_of": id, "attachments": [format!("{id}/{part}")] }),
    ] {
        let mut mail = json!({ "subject": "Mine", "text": "x", "draft": true });
        mail.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        let answer = bob.post("/v1/messages", &mail).await;
        assert!(answer.status().is_client_error(), "{with}: {}", answer.status());
    }
    for of in ["replaces", "in_reply_to", "forward_of"] {
        let answer = bob.post("/v1/messages", &json!({ "subject": "Mine", "draft": true, of: id })).await;
        assert!(answer.status().is_client_error(), "{of}: {}", answer.status());
        assert_eq!(json_of(answer).await["field"], of);
    }
    assert!(bob.messages("drafts").await.is_empty());
    // All of it is as it was.
    assert_eq!(alice.read(&format!("/v1/messages/{id}")).await, whole);
    let with = json!({ "subject": "Mine", "text": "x", "draft": true, "attachments": [upload] });
    assert_eq!(alice.post("/v1/messages", &with).await.status(), StatusCode::CREATED);
    server.stop().await;
}
