//! SEARCH by text finds what a look at every text finds: with signatures, without them, and with stale ones.

use mail::Access;
use message::{Plain, Signature};
use types::MessageId;

use super::client::{Client, Site};

const MAILS: [&str; 7] = [
    "Subject: Quarterly report\r\nFrom: Bob <bob@x.test>\r\nX-Odd: blue\r\n\r\nThe zebrafish swims.\r\n",
    "Subject: =?utf-8?B?7JuU6rCE67O06rOg7ISc?=\r\nFrom: =?euc-kr?B?vsiz5w==?= <kim@x.test>\r\n\
        Content-Type: text/plain; charset=euc-kr\r\nContent-Transfer-Encoding: base64\r\n\r\nvsiz58fPvLy/5A==\r\n",
    "Subject: a\r\nTo: list@x.test, \"Zoë\" <zoe@x.test>\r\nContent-Type: text/html\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>Zebra=\r\nfish &amp; caf=C3=A9</p>\r\n",
    "Subject: Re: quarterly\r\nCc: bob@x.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\nnot a part\r\n\
        --b\r\n\r\nFirst\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Inner zebrafish\r\n\r\nwithin\r\n\
        --b\r\nContent-Type: image/png\r\n\r\nzebrafish in a picture\r\n--b--\r\n",
    "From: eve@x.test\r\n\r\nno subject, ZEBRAFISH in capitals\r\n",
    "Subject: folded\r\n words\r\nX-Odd:\r\n\r\nx\r\n",
    "\r\nonly a body, zebra fish\r\n",
];

const NEEDLES: [&str; 19] = [
    "zebrafish",
    "ZebraFish",
    "zebra",
    "quarterly",
    "보고서",
    "안녕",
    "하세",
    "가",
    "x",
    "",
    "<p>",
    "café",
    "CAFÉ",
    "not a part",
    "folded words",
    "subject: inner",
    "x-odd: blue",
    "bob@x.test",
    "zzz",
];

const KEYS: [&str; 8] = ["BODY", "TEXT", "SUBJECT", "FROM", "TO", "CC", "HEADER X-Odd", "HEADER Subject"];

/// What is right, by looking at everything.
fn is_found(key: &str, needle: &str, plain: &Plain) -> bool {
    let needle = message::folded(needle);
    let in_body = || plain.bodies.iter().any(|text| text.contains(&needle));
    match key {
        "BODY" => in_body(),
        "TEXT" => {
            in_body() || plain.fields.iter().any(|(name, text)| format!("{name}: {text}").contains(&needle))
        }
        field => {
            let wanted = field.rsplit(' ').next().unwrap().to_ascii_lowercase();
            plain.fields.iter().any(|(name, text)| *name == wanted && text.contains(&needle))
        }
    }
}

async fn check_all(client: &mut Client) {
    let plain: Vec<_> = MAILS
        .iter()
        .map(|raw| Plain::of(&message::parse(raw.as_bytes()).structure, raw.as_bytes()))
        .collect();
    for key in KEYS {
        for needle in NEEDLES {
            for not in ["", "NOT "] {
                let wanted =
                    plain.iter().zip(1..).filter(|(plain, _)| is_found(key, needle, plain) == not.is_empty());
                let wanted: String = wanted.map(|(_, number)| format!(" {number}")).collect();
                let search = format!("SEARCH CHARSET UTF-8 {not}{key} {{{}+}}\r\n{needle}", needle.len());
                assert_eq!(client.ask(&search).await[0], format!("* SEARCH{wanted}"), "{search}");
            }
        }
    }
}

async fn signed(access: &Access, ids: &[MessageId]) -> usize {
    let all = access.signatures(ids).await.unwrap();
    all.iter().flatten().filter(|bits| Signature::read(bits).is_some()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_are_exact() {
    let site = Site::start().await;
    let mut client = site.alice().await;
    for raw in MAILS {
        client.ask(&format!("APPEND Archive {{{}+}}\r\n{raw}", raw.len())).await;
    }
    let lines = client.ask("SELECT Archive").await;
    assert!(lines.contains(&format!("* {} EXISTS", MAILS.len())), "{lines:?}");
    check_all(&mut client).await;
    let access = site.house.access("alice@demo.test").await.unwrap();
    let archive = access.by_name("Archive").await.unwrap().unwrap();
    let roll = access.roll(archive.mailbox.id).await.unwrap().unwrap();
    let ids: Vec<_> = roll.messages.iter().map(|message| message.id).collect();
    assert_eq!(signed(&access, &ids).await, MAILS.len());
    // As those of an older version, which say nothing: every message is read, and signed anew.
    access.sign(ids.iter().map(|id| (*id, vec![0])).collect()).await.unwrap();
    assert_eq!(signed(&access, &ids).await, 0);
    client.ask("SEARCH SUBJECT nothing").await;
    assert_eq!(signed(&access, &ids).await, MAILS.len());
    check_all(&mut client).await;
}
