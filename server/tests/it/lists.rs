//! Lists are left as they say: by one click, by a mail, on a page.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use filter::{
    keys,
    sign::{SigningKey, sign},
};
use mail::NewLetter;
use serde_json::{Value, json};
use testkit::{HttpsServer, Identity, Script, Sink, Zone};
use types::{DkimAlgorithm, Flags, Timestamp};

use crate::support::{
    Client, Plane, Server,
    door::{FRIEND, STRANGER, bring, with_sink},
    eventually, json_of, on_both_planes,
};

on_both_planes!(lists_are_left_as_they_say);

const HOST: &str = "lists.list.test";
const POST: &str = "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n";

/// A mail of the list with these fields, signed.
fn letter(key: &SigningKey, subject: &str, fields: &str) -> String {
    let mail = format!(
        "From: News <news@list.test>\r\nTo: alice+news@demo.test\r\nSubject: {subject}\r\n{fields}\r\nHello\r\n"
    );
    let signature = sign(mail.as_bytes(), std::slice::from_ref(key), Timestamp::from_seconds(0)).unwrap();
    signature + &mail
}

/// What the reader is offered, and where it is asked for.
async fn arrived(server: &Server, reader: &Client, client: [u8; 4], mail: &str) -> (Value, String) {
    let reply = bring(server, client, "bounce@list.test", mail).await;
    assert!(reply.starts_with("250 "), "{reply}");
    let newest = reader.messages("inbox").await.remove(0);
    let path = format!("/v1/messages/{}", newest["id"].as_str().unwrap());
    let offered = reader.read(&path).await["unsubscribe"].clone();
    (offered, format!("{path}/unsubscribe"))
}

/// What a program adds was not checked, whatever it says: here a copy of the newest mail.
async fn nobody_vouches_for_what_is_added(server: &Server, alice: &Client) {
    let genuine = alice.messages("inbox").await.remove(0);
    let raw = format!("/v1/messages/{}/raw", genuine["id"].as_str().unwrap());
    let raw = alice.get(&raw).await.bytes().await.unwrap();
    assert!(raw.windows(9).any(|part| part == b"dkim=pass"), "with our own results on top");
    let access = server.access("alice").await;
    let inbox = access.by_name("INBOX").await.unwrap().unwrap().mailbox.id;
    let letter_of = |raw| NewLetter { raw, flags: Flags::SEEN, keywords: Vec::new(), received_at: None };
    let added = access.append(inbox, vec![letter_of(raw)]).await.unwrap().unwrap().1;
    let added = alice.read(&format!("/v1/messages/{}", added[0].id)).await;
    assert_eq!(
        (&added["auth"], &added["unsubscribe"]),
        (&Value::Null, &json!({ "by": "mail", "address": "leave@list.test" }))
    );
}

async fn lists_are_left_as_they_say(plane: &Plane<'_>) {
    let zone = Zone::start().await.unwrap();
    let pair = keys::generate(DkimAlgorithm::Ed25519, &mut |bytes| bytes.fill(7)).unwrap();
    let key = SigningKey::load(pair.algorithm, "list.test", "k", &pair.private).unwrap();
    zone.txt("list.test", "v=spf1 ip4:192.0.2.1 -all").unwrap();
    zone.txt("_dmarc.list.test", "v=DMARC1; p=none").unwrap();
    zone.txt("k._domainkey.list.test", &keys::record(pair.algorithm, &pair.public)).unwrap();
    zone.mx("list.test", 10, "mx.list.test").unwrap();
    for host in ["mx.list.test", HOST] {
        zone.host(host, "127.0.0.1".parse().unwrap()).unwrap();
    }
    let identity = Identity::vouched_for(HOST).unwrap();
    let there = HttpsServer::start_as(&identity, "HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let sink = Sink::start(Script::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("authorities.pem");
    let pem = STANDARD.encode(&identity.chain[1]);
    std::fs::write(&trusted, format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n"))
        .unwrap();
    let keys = [("MAGPIE_QUEUE__AUTHORITIES", trusted.to_str().unwrap())];
    let server = with_sink(plane, &zone, &sink, &keys).await;
    let (alice, bob) = (server.login("alice").await, server.login("bob").await);
    let host = format!("{HOST}:{}", there.port());
    let https = format!("https://{host}/u?id=1");
    let both = format!("List-Unsubscribe: <mailto:leave@list.test>,\r\n <{https}>\r\n{POST}");

    let (offered, ask) = arrived(&server, &alice, FRIEND, &letter(&key, "one", &both)).await;
    assert_eq!(offered, json!({ "by": "one_click", "host": host }));
    assert_eq!(bob.post(&ask, &json!({})).await.status(), 404, "it is not his");
    assert_eq!(server.nobody().post(&ask, &json!({})).await.status(), 401);
    assert!(there.asked().is_empty());
    assert_eq!(alice.post(&ask, &json!({})).await.status(), 204);
    let [asked] = &there.asked()[..] else { panic!("asked once") };
    assert!(asked.head.starts_with("POST /u?id=1 HTTP/1.1\r\n"), "{}", asked.head);
    assert_eq!(asked.body, b"List-Unsubscribe=One-Click");
    there.say("HTTP/1.1 500 No\r\n\r\n");
    let refused = alice.post(&ask, &json!({})).await;
    assert_eq!(refused.status(), 502);
    let detail = json_of(refused).await["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(HOST) && detail.contains("500"), "{detail}");

    nobody_vouches_for_what_is_added(&server, &alice).await;

    // Another on top, which the signature does not cover.
    let doubled = format!("List-Unsubscribe: <https://evil.test/>\r\n{}", letter(&key, "doubled", &both));
    let (offered, _) = arrived(&server, &alice, FRIEND, &doubled).await;
    assert_eq!(offered, Value::Null);

    // Spam is not answered.
    let (offered, ask) = arrived(&server, &alice, FRIEND, &letter(&key, "spam", &both)).await;
    assert_eq!(offered, json!({ "by": "one_click", "host": host }));
    let message = ask.trim_end_matches("/unsubscribe");
    let junk = json!({ "folder_id": alice.folder("junk").await });
    assert_eq!(alice.patch(message, &junk).await.status(), 200);
    assert_eq!(alice.post(&ask, &json!({})).await.status(), 409);

    // Without its signature over both fields nobody has promised anything.
    let added = letter(&key, "added", "").replacen("Subject: ", &format!("{both}Subject: "), 1);
    let (offered, ask) = arrived(&server, &alice, FRIEND, &added).await;
    assert_eq!(offered, json!({ "by": "mail", "address": "leave@list.test" }));
    assert_eq!(alice.post(&ask, &json!({})).await.status(), 204);
    let mail = eventually("the mail to the list", async || sink.received().pop()).await;
    assert_eq!(mail.recipients, ["<leave@list.test>"]);
    let text = String::from_utf8_lossy(&mail.data);
    assert!(text.contains("Subject: unsubscribe\r\n") && text.contains("<alice+news@demo.test>"), "{text}");
    assert_eq!(alice.messages("sent").await[0]["to"][0]["email"], "leave@list.test");

    let page = format!("List-Unsubscribe: <{https}>\r\n");
    let (offered, ask) = arrived(&server, &alice, FRIEND, &letter(&key, "page", &page)).await;
    assert_eq!(offered, json!({ "by": "page", "url": https }));
    let refused = alice.post(&ask, &json!({})).await;
    assert_eq!(refused.status(), 409);
    assert!(json_of(refused).await["detail"].as_str().unwrap().contains(&https));

    // Who forges the author would have the reader ask somebody else.
    let forged =
        format!("From: news@list.test\r\nTo: alice@demo.test\r\nSubject: forged\r\n{both}\r\nHello\r\n");
    let (offered, ask) = arrived(&server, &alice, STRANGER, &forged).await;
    assert_eq!(offered, Value::Null);
    assert_eq!(alice.post(&ask, &json!({})).await.status(), 409);
    let (offered, _) = arrived(&server, &alice, FRIEND, &letter(&key, "none", "")).await;
    assert_eq!(offered, Value::Null);
    assert_eq!((there.asked().len(), sink.received().len()), (2, 1), "nobody else was asked");
    server.stop().await;
}
