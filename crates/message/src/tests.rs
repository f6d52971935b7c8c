//! Whole mails: known answers, hostile ones, and random ones.

use insta::assert_snapshot;

use crate::*;

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

const SIMPLE: &str = "\
Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev2 WG mtg summary and minutes
To: imap@cac.washington.edu
Cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

Hello.
Bye.
";

const NESTED: &str = "\
From: =?utf-8?B?6rmA66+87IiY?= <kim@demo.test>
To: Friends: a@b.c, \"Last, First\" <b@c.d>;
Subject: =?utf-8?B?67O06rOg7ISc?=
Date: Sun, 22 Nov 2026 09:30:00 +0900
Message-ID: <top@demo.test>
References: <one@x> <two@x>
In-Reply-To: <two@x>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=\"outer\"

preamble
--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=utf-8

안녕하세요, 보고서입니다.
--inner
Content-Type: text/html; charset=utf-8

<p>안녕하세요, <b>보고서</b>입니다.</p>
--inner--
--outer
Content-Type: application/pdf; name=\"x.pdf\"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename*=utf-8''%EB%B3%B4%EA%B3%A0%EC%84%9C.pdf

aGVsbG8gd29ybGQ=
--outer
Content-Type: message/rfc822

From: inner@x.y
Subject: Inside \"quotes\"
Content-Type: multipart/mixed; boundary=deep

--deep

text
--deep
Content-Type: image/png

png
--deep--
--outer--
epilogue
";

#[test]
fn imap_strings_of_a_simple_mail() {
    let structure = parse(&crlf(SIMPLE)).structure;
    assert_snapshot!(String::from_utf8_lossy(structure.envelope()));
    assert_snapshot!(String::from_utf8_lossy(&structure.body_structure()));
    assert_snapshot!(String::from_utf8_lossy(&structure.body()));
}

#[test]
fn imap_strings_of_a_nested_mail() {
    let structure = parse(&crlf(NESTED)).structure;
    assert_snapshot!(String::from_utf8_lossy(structure.envelope()));
    assert_snapshot!(String::from_utf8_lossy(&structure.body_structure()));
    assert_snapshot!(String::from_utf8_lossy(&structure.body()));
}

#[test]
fn parts_by_section_number() {
    let raw = crlf(NESTED);
    let structure = parse(&raw).structure;
    for (section, kind, body) in [
        ("1", "multipart/alternative", None),
        ("1.1", "text/plain", Some("안녕하세요, 보고서입니다.")),
        ("1.2", "text/html", Some("<p>안녕하세요, <b>보고서</b>입니다.</p>")),
        ("2", "application/pdf", Some("aGVsbG8gd29ybGQ=")),
        ("3", "message/rfc822", None),
        ("3.1", "text/plain", Some("text")),
        ("3.2", "image/png", Some("png")),
    ] {
        let part = structure.part(section).unwrap_or_else(|| panic!("{section}"));
        assert_eq!(part.content_type.value, kind, "{section}");
        if let Some(body) = body {
            assert_eq!(String::from_utf8_lossy(tree::slice(&raw, &part.body)), body, "{section}");
        }
    }
    assert!(structure.part("4").is_none());
    let message = structure.message("3").unwrap();
    assert!(tree::slice(&raw, &message.header).starts_with(b"From: inner@x.y\r\n"));
    assert_eq!(structure.message("").unwrap().header.start, 0);
}
