//! A service that people use and operators work on, all at once; and that none of its statements reaches an account
//! without its id: PostgreSQL's own log of statements is read, whoever sent them.

use std::process::{Command, Stdio};

use crate::support::{self, Client, Plane, Server, eventually, json_of, mail};
use futures::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::{Services, isolation};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

support::on_both_planes!(people_and_operators_do_what_there_is_to_do);

/// What stands before each entry of the log: the database.
const ENTRY: &str = "@@@";
const SETTINGS: [&str; 4] =
    ["fsync=off", "log_statement=all", "log_line_prefix=@@@%d@@@", "log_parameter_max_length=0"];

#[tokio::test]
async fn statements_of_a_running_service_name_their_account() {
    let services = Services::start_with(1, &SETTINGS).await.unwrap();
    services.create("town").await.unwrap();
    let [database] = services.postgres.as_slice() else { panic!("one server") };
    let plane = Plane::Cluster(&services, "town".to_owned());
    // Before it has started it makes the schema.
    let before = used_and_operated(&plane, || database.log().len()).await;

    let log = database.log();
    let seen = statements(&log[before..]);
    for part in [
        "INSERT INTO \"message\"",
        "FROM \"message\" WHERE \"message\".\"account_id\"",
        "INSERT INTO \"queue_entry\"",
        "DELETE FROM \"queue_entry\"",
        "FROM \"upload\"",
        "INSERT INTO \"tombstone\"",
        "FROM \"thread_ref\"",
    ] {
        assert!(seen.iter().any(|sql| sql.contains(part)), "nobody sent {part}: {seen:#?}");
    }
    assert!(seen.len() > 50, "{}", seen.len());
    let unbound = isolation::unbound(&seen);
    assert!(unbound.is_empty(), "these reach accounts without saying which: {unbound:#?}");
}

async fn people_and_operators_do_what_there_is_to_do(plane: &Plane<'_>) {
    used_and_operated(plane, || ()).await;
}

/// What there is to see when it has started.
async fn used_and_operated<T>(plane: &Plane<'_>, see: impl FnOnce() -> T) -> T {
    // Nobody answers there, so mail for others stays in the queue.
    let server = Server::start_with(plane, &[("MAGPIE_SMTP__RELAY", "127.0.0.1:1")]).await;
    let seen = see();
    people_use_it(&server).await;
    operators_use_it(plane, &server).await;
    server.stop().await;
    seen
}

/// The statements that shards were sent, each once.
fn statements(log: &str) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    for entry in log.split(ENTRY).collect::<Vec<_>>().windows(2).filter(|pair| pair[0].contains("_shard_")) {
        let Some(text) = entry[1].trim_start().strip_prefix("LOG:") else { continue };
        let text = text.trim_start();
        let sql = match text.strip_prefix("statement: ") {
            Some(sql) => Some(sql),
            None => text.strip_prefix("execute ").and_then(|rest| rest.split_once(": ")).map(|(_, sql)| sql),
        };
        // Further lines of a statement begin with a tab.
        seen.extend(sql.map(|sql| sql.trim_end().replace("\n\t", " ")));
    }
    seen.into_iter().collect()
}

async fn people_use_it(server: &Server) {
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    let mut request = format!("ws://{}/v1/events", server.web).into_client_request().unwrap();
    let token = format!("Bearer {}", alice.token.as_ref().unwrap());
    request.headers_mut().insert("authorization", token.parse().unwrap());
    let (mut events, _) = connect_async(request).await.unwrap();
    events.send(Message::text(r#"{"type":"hello"}"#)).await.unwrap();
    for number in 0..3 {
        smtp_in(server, &mail(&format!("Numbers {number}"))).await;
    }
    smtp_in(server, &with_attachment()).await;
    for _ in ["ready", "changed"] {
        events.next().await.unwrap().unwrap();
    }
    eventually("the mails", async || (alice.messages("inbox").await.len() == 4).then_some(())).await;
    let inbox = alice.folder("inbox").await;
    for query in ["limit=2", "unread=true", "flagged=true", "attachments=true", "label=work"] {
        alice.get(&format!("/v1/folders/{inbox}/messages?{query}")).await;
    }
    let ids: Vec<_> = alice.messages("inbox").await.iter().map(id_of).collect();
    reading(&alice, &ids).await;
    changing(&alice, &inbox, &ids).await;
    sending(server, &alice, &bob).await;
    eventually("what came in, in the index", async || {
        let found = alice.get("/v1/search?q=Numbers").await;
        let found = json_of(found).await;
        found["messages"].as_array().and_then(|found| found.first().cloned())
    })
    .await;
    let shared = format!("/v1/folders/{inbox}/access/bob@demo.test");
    let answer = alice.request(Method::PUT, &shared).json(&json!({ "rights": "lrp" })).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let to = [json!({ "name": "", "email": "alice@demo.test" })];
    let mail = json!({ "from": "alice@demo.test", "to": to, "subject": "In her name", "text": "x" });
    assert_eq!(bob.post("/v1/messages", &mail).await.status(), StatusCode::CREATED);
    alice.read(&format!("/v1/folders/{inbox}/access")).await;
    assert_eq!(alice.delete(&shared).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(bob.delete("/v1/session").await.status(), StatusCode::NO_CONTENT);
}

async fn reading(alice: &Client, ids: &[String]) {
    for id in ids {
        let message = alice.read(&format!("/v1/messages/{id}")).await;
        for part in ["html", "raw"] {
            alice.get(&format!("/v1/messages/{id}/{part}")).await.bytes().await.unwrap();
        }
        for attachment in message["attachments"].as_array().unwrap() {
            let part = attachment["id"].as_str().unwrap();
            let bytes =
                alice.get(&format!("/v1/messages/{id}/attachments/{part}")).await.bytes().await.unwrap();
            assert!(bytes.len() > 64 << 10);
        }
        alice.read(&format!("/v1/threads/{}", message["thread_id"].as_str().unwrap())).await;
    }
}

async fn changing(alice: &Client, inbox: &str, ids: &[String]) {
    let patch = json!({ "unread": false, "flagged": true, "add_labels": ["work"] });
    let made = json_of(alice.post("/v1/folders", &json!({ "name": "Projects" })).await).await;
    let made = id_of(&made);
    alice.patch(&format!("/v1/messages/{}", ids[0]), &patch).await;
    alice.patch("/v1/messages", &json!({ "ids": ids, "folder_id": made })).await;
    alice.patch("/v1/messages", &json!({ "ids": ids, "folder_id": inbox })).await;
    alice.patch(&format!("/v1/folders/{made}"), &json!({ "name": "프로젝트" })).await;
    assert_eq!(alice.delete(&format!("/v1/folders/{made}")).await.status(), StatusCode::NO_CONTENT);
    for _ in ["into the trash", "for good"] {
        let deleted = alice.delete(&format!("/v1/messages/{}", ids[0])).await;
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    }
}

async fn sending(server: &Server, alice: &Client, bob: &Client) {
    let upload = async |name: &str| {
        let upload = alice.request(Method::POST, &format!("/v1/attachments?filename={name}"));
        let answer = upload.body(vec![7; 200_000]).send().await.unwrap();
        id_of(&json_of(answer).await)
    };
    let unwanted = upload("unwanted.bin").await;
    assert_eq!(alice.delete(&format!("/v1/attachments/{unwanted}")).await.status(), StatusCode::NO_CONTENT);
    let attached = upload("wanted.bin").await;
    let (admin, gone) = (server.node.mail.admin(), "gone@demo.test".parse().unwrap());
    admin.add_account(&gone, "", types::Secret::new(support::PASSWORD.into()), None).await.unwrap();
    let later = server.node.mail.now().plus(std::time::Duration::from_secs(2));
    // Once the mail is due, nobody is there: it fails for good, and a notification comes back.
    for (to, at) in [("bob@demo.test", None), ("gone@demo.test", Some(later))] {
        let mail = json!({ "to": [{ "name": "", "email": to }], "subject": "Offer", "text": "See the file.",
                           "attachments": [attached], "send_at": at });
        assert_eq!(alice.post("/v1/messages", &mail).await.status(), StatusCode::CREATED);
    }
    admin.remove_account(&gone).await.unwrap();
    let plain =
        json!({ "to": [{ "name": "", "email": "x@elsewhere.example" }], "subject": "Far", "text": "Hello" });
    assert_eq!(alice.post("/v1/messages", &plain).await.status(), StatusCode::CREATED);
    eventually("the mail at bob's", async || bob.messages("inbox").await.pop()).await;
}

/// Backup and commands beside the running service.
async fn operators_use_it(plane: &Plane<'_>, server: &Server) {
    let folder = tempfile::tempdir().unwrap();
    let admin = server.node.mail.admin();
    let lines: [&[&str]; 12] = [
        &["backup", "backups"],
        &["backup", "backups"],
        &["restore", "backups", "--account", "bob@demo.test", "--into", "old@demo.test", "--with-queue"],
        &["shard", "list"],
        &["queue", "list"],
        &["account", "list"],
        &["account", "passwd", "bob@demo.test"],
        &["alias", "add", "post@demo.test", "bob@demo.test"],
        &["import", "bob@demo.test", "--format", "eml", "one.eml"],
        &["migrate", "--plan"],
        &["account", "delete", "bob@demo.test"],
        &["backup", "backups"],
    ];
    std::fs::write(folder.path().join("one.eml"), "Subject: one\r\n\r\nHello\r\n").unwrap();
    for args in lines {
        let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
        command.current_dir(folder.path()).args(args).envs(server.variables(plane)).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let queued = admin.queue(10).await.unwrap();
    assert!(!queued.is_empty());
    for entry in queued {
        for action in [mail::admin::QueueAction::Hold, mail::admin::QueueAction::Drop] {
            admin.queue_action(entry.id, action).await.unwrap();
        }
    }
}

fn id_of(value: &serde_json::Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

fn with_attachment() -> String {
    let line = format!("{:A<76}\n", "");
    format!(
        "From: carol@elsewhere.example\nTo: alice@demo.test\nSubject: Numbers attached\nMessage-ID: <a@x.example>\n\
         References: <Numbers.0@x.example>\nContent-Type: application/octet-stream; name=a.bin\n\
         Content-Disposition: attachment; filename=a.bin\nContent-Transfer-Encoding: base64\n\n{}",
        line.repeat(2_000)
    )
}

/// Has a mail come in over SMTP, for both.
async fn smtp_in(server: &Server, raw: &str) {
    let mut stream = BufReader::new(TcpStream::connect(server.node.addresses.smtp.unwrap()).await.unwrap());
    let content = format!("{}\r\n.", raw.trim_end().replace('\n', "\r\n"));
    let lines = [
        ("HELO load.test", "250"),
        ("MAIL FROM:<carol@elsewhere.example>", "250"),
        ("RCPT TO:<alice@demo.test>", "250"),
        ("RCPT TO:<bob@demo.test>", "250"),
        ("DATA", "354"),
        (content.as_str(), "250"),
    ];
    let mut reply = String::new();
    stream.read_line(&mut reply).await.unwrap();
    for (line, wanted) in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        reply.clear();
        stream.read_line(&mut reply).await.unwrap();
        assert!(reply.starts_with(wanted), "{line}: {reply}");
    }
}
