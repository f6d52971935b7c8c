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
    assert_snapshot!(String::from_utf8_lossy(structure.envelope()), @r#"("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL "<B27397-0100000@cac.washington.edu>")"#);
    assert_snapshot!(String::from_utf8_lossy(&structure.body_structure()), @r#"("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 14 2 NIL NIL NIL NIL)"#);
    assert_snapshot!(String::from_utf8_lossy(&structure.body()), @r#"("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 14 2)"#);
}

#[test]
fn imap_strings_of_a_nested_mail() {
    let structure = parse(&crlf(NESTED)).structure;
    assert_snapshot!(String::from_utf8_lossy(structure.envelope()), @r#"("Sun, 22 Nov 2026 09:30:00 +0900" "=?utf-8?B?67O06rOg7ISc?=" (("=?utf-8?B?6rmA66+87IiY?=" NIL "kim" "demo.test")) (("=?utf-8?B?6rmA66+87IiY?=" NIL "kim" "demo.test")) (("=?utf-8?B?6rmA66+87IiY?=" NIL "kim" "demo.test")) ((NIL NIL "Friends" NIL)(NIL NIL "a" "b.c")("Last, First" NIL "b" "c.d")(NIL NIL NIL NIL)) NIL NIL "<two@x>" "<top@demo.test>")"#);
    assert_snapshot!(String::from_utf8_lossy(&structure.body_structure()), @r#"((("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" 36 0 NIL NIL NIL NIL)("TEXT" "HTML" ("CHARSET" "utf-8") NIL NIL "7BIT" 50 0 NIL NIL NIL NIL) "ALTERNATIVE" ("BOUNDARY" "inner") NIL NIL NIL)("APPLICATION" "PDF" ("NAME" "x.pdf") NIL NIL "BASE64" 16 NIL ("attachment" ("FILENAME*" "utf-8''%EB%B3%B4%EA%B3%A0%EC%84%9C.pdf")) NIL NIL)("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 155 (NIL "Inside \"quotes\"" ((NIL NIL "inner" "x.y")) ((NIL NIL "inner" "x.y")) ((NIL NIL "inner" "x.y")) NIL NIL NIL NIL NIL) (("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 4 0 NIL NIL NIL NIL)("IMAGE" "PNG" NIL NIL NIL "7BIT" 3 NIL NIL NIL NIL) "MIXED" ("BOUNDARY" "deep") NIL NIL NIL) 11 NIL NIL NIL NIL) "MIXED" ("BOUNDARY" "outer") NIL NIL NIL)"#);
    assert_snapshot!(String::from_utf8_lossy(&structure.body()), @r#"((("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" 36 0)("TEXT" "HTML" ("CHARSET" "utf-8") NIL NIL "7BIT" 50 0) "ALTERNATIVE")("APPLICATION" "PDF" ("NAME" "x.pdf") NIL NIL "BASE64" 16)("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 155 (NIL "Inside \"quotes\"" ((NIL NIL "inner" "x.y")) ((NIL NIL "inner" "x.y")) ((NIL NIL "inner" "x.y")) NIL NIL NIL NIL NIL) (("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 4 0)("IMAGE" "PNG" NIL NIL NIL "7BIT" 3) "MIXED") 11) "MIXED")"#);
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

#[test]
fn the_overview_of_a_nested_mail() {
    let Parsed { overview, structure, refs } = parse(&crlf(NESTED));
    assert_eq!(overview.from, types::Address { name: "김민수".into(), email: "kim@demo.test".into() });
    assert_eq!(overview.to.len(), 2);
    assert_eq!(overview.subject, "보고서");
    assert_eq!(overview.preview, "안녕하세요, 보고서입니다.");
    assert_eq!(overview.sent_at.unwrap().to_string(), "2026-11-22T00:30:00Z");
    assert_eq!(overview.message_id.as_deref(), Some("top@demo.test"));
    assert_eq!(overview.references, ["one@x", "two@x"]);
    assert!(overview.has_attachments);
    assert_eq!(refs.own, Some(RefHash::of("top@demo.test")));
    assert_eq!(refs.others, [RefHash::of("one@x"), RefHash::of("two@x")]);
    let attachments = structure.attachments();
    let ids: Vec<(&str, &str, u64)> =
        attachments.iter().map(|a| (a.id.as_str(), a.filename.as_str(), a.size)).collect();
    assert_eq!(ids, [("2", "보고서.pdf", 11), ("3", "Inside _quotes_.eml", attachments[1].size)]);
}

#[test]
fn an_ordinary_structure_is_small() {
    let parsed = parse(&crlf(SIMPLE));
    let bytes = parsed.structure.encode();
    assert!(bytes.len() < 450, "{}", bytes.len());
    assert_eq!(Structure::decode(&bytes), Ok(parsed.structure));
    assert_eq!(Structure::decode(&[]), Err(DecodeError::Damaged));
    assert_eq!(Structure::decode(&[9, 1, 2]), Err(DecodeError::Version(9)));
    assert_eq!(Structure::decode(&[1, 1, 2]), Err(DecodeError::Damaged));
}

/// Parses, and checks what must hold for every mail.
fn sound(raw: &[u8]) -> Parsed {
    let parsed = parse(raw);
    let structure = &parsed.structure;
    let len = raw.len() as u64;
    assert!(!structure.parts().is_empty());
    for part in structure.parts() {
        assert!(part.header.start <= part.header.end && part.header.end <= part.body.start, "{part:?}");
        assert!(part.body.start <= part.body.end && part.body.end <= len, "{part:?}");
    }
    let root = structure.root().unwrap();
    assert_eq!((root.header.start, root.body.end), (0, len));
    for size in [1, 64, ATTACHMENT_SIZE] {
        let joined: Vec<u8> = (segments_from(structure, len, size).iter())
            .flat_map(|segment| tree::slice(raw, &segment.range).to_vec())
            .collect();
        assert_eq!(joined, raw, "segments from {size}");
    }
    assert_eq!(Structure::decode(&structure.encode()).as_ref(), Ok(structure));
    let apart = search_text(structure, 4 << 20, &mut |at| Some(tree::slice(raw, &at).into()));
    let together = signed_text(structure, raw, 4 << 20);
    assert_eq!(
        together,
        (apart, signature(&Plain::of(structure, raw))),
        "each part is decoded once for both"
    );
    for list in [structure.body(), structure.body_structure(), structure.envelope().to_vec()] {
        assert!(is_list(&list), "{}", String::from_utf8_lossy(&list));
    }
    let overview = &parsed.overview;
    for text in [&overview.subject, &overview.preview, &overview.from.name, &overview.from.email] {
        assert!(!text.chars().any(|c| c.is_control() || header::is_direction(c)), "{text:?}");
    }
    for attachment in structure.attachments() {
        assert_eq!(filename::sanitize(&attachment.filename).as_deref(), Some(attachment.filename.as_str()));
        assert!(structure.part(&attachment.id).is_some());
    }
    parsed
}

/// One IMAP parenthesized list: balanced, strings closed, literals of the length they say.
fn is_list(bytes: &[u8]) -> bool {
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b')' => return false,
            b'"' => {
                at += 1;
                while *bytes.get(at).unwrap_or(&b'\r') != b'"' {
                    at += usize::from(bytes[at] == b'\\') + 1;
                    if bytes.get(at).is_none_or(|b| matches!(b, b'\r' | b'\n' | 0 | 128..)) {
                        return false;
                    }
                }
            }
            b'{' => {
                let end = at + memchr::memchr(b'}', &bytes[at..]).unwrap();
                let length: usize = std::str::from_utf8(&bytes[at + 1..end]).unwrap().parse().unwrap();
                at = end + 2 + length;
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at == bytes.len();
        }
    }
    false
}

fn shown(raw: &[u8], structure: &Structure, images: Images) -> View {
    let show = Show { images, attachments: "/v1/messages/m/attachments/".into() };
    view(structure, &show, &mut |range| Some(tree::slice(raw, &range).to_vec()))
}

#[test]
fn hostile_mails_end_soon() {
    let mut nested = String::new();
    for n in 0..10_000 {
        nested += &format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
    }
    let messages = "Content-Type: message/rfc822\n\n".repeat(10_000);
    let same = "Content-Type: multipart/mixed; boundary=b\n\n--b\n".repeat(10_000);
    let one = format!("Content-Type: multipart/mixed; boundary=a\n\n{}", "--a\n".repeat(200_000));
    let almost = format!("Content-Type: multipart/mixed; boundary=a\n\n{}", "--ab".repeat(200_000));
    let dashes = format!("Content-Type: multipart/mixed; boundary=a\n\n{}", "\n--".repeat(200_000));
    let recipients = format!("To: {}\n\nx", "\"A B\" <a@b.c>, ".repeat(100_000));
    let fields = format!("{}\nx", "A: b\n".repeat(200_000));
    let words = format!("Subject: {}\n\nx", "=?utf-8?Q?a?= ".repeat(100_000));
    let broken_words = format!("Subject: {}\n\nx", "=?utf-8?Q?".repeat(100_000));
    let params = format!("Content-Type: a/b{}\n\nx", "; x*0*=y".repeat(100_000));
    let references = format!("References: {}\n\nx", "<a@b> ".repeat(100_000));
    let html = |body: &str| format!("Content-Type: text/html\n\n{body}").into_bytes();
    let mails: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("a line break", b"\n".to_vec()),
        ("headers only", b"Subject: x".to_vec()),
        ("no headers", b"just words, no header\nmore\n".to_vec()),
        ("NUL bytes", vec![0; 100_000]),
        ("nested multiparts", nested.into_bytes()),
        ("nested messages", messages.into_bytes()),
        ("one boundary nested", same.into_bytes()),
        ("a boundary of one letter", one.into_bytes()),
        ("almost boundaries", almost.into_bytes()),
        ("dashes", dashes.into_bytes()),
        ("unclosed", b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nno end".to_vec()),
        ("no boundary", b"Content-Type: multipart/mixed\n\nwhat now".to_vec()),
        ("boundary in the header", b"Content-Type: multipart/mixed; boundary=x\n\n--x\nA: b\n--x--".to_vec()),
        ("recipients", recipients.into_bytes()),
        ("5 MB line", [b"Subject: ".to_vec(), vec![b'x'; 5 << 20], b"\n\nx".to_vec()].concat()),
        ("5 MB of colons", vec![b':'; 5 << 20]),
        ("5 MB of folding", [b"To: ".to_vec(), b"\n ".repeat(2 << 20)].concat()),
        ("fields", fields.into_bytes()),
        ("encoded words", words.into_bytes()),
        ("broken encoded words", broken_words.into_bytes()),
        ("parameters", params.into_bytes()),
        ("references", references.into_bytes()),
        ("quotes", [b"To: ".to_vec(), vec![b'"'; 1 << 20]].concat()),
        ("comments", [b"To: ".to_vec(), vec![b'('; 1 << 20]].concat()),
        ("nested html", html(&"<div>".repeat(300_000))),
        ("hidden nesting", html(&"<div></span>".repeat(100_000))),
        ("nested tables", html(&"<table><tr><td>".repeat(100_000))),
        ("paragraphs", html(&"<p><b>".repeat(100_000))),
        ("lists", html(&"<li><p>x".repeat(100_000))),
        ("fonts", html(&"<font color=red>x</p>".repeat(100_000))),
        ("attributes", html(&format!("<p {}>", "a=b ".repeat(100_000)))),
        ("styles", html(&format!("<p style=\"{}\">x", "color:red;".repeat(100_000)))),
        ("plain links", ["http://a/)".repeat(100_000)].concat().into_bytes()),
    ];
    for (name, raw) in mails {
        let started = std::time::Instant::now();
        let parsed = sound(&raw);
        let parsing = started.elapsed();
        let view = shown(&raw, &parsed.structure, Images::Held);
        let _ = text_to_html(&view.text);
        let text = search_text(&parsed.structure, 4 << 20, &mut |at| Some(tree::slice(&raw, &at).into()));
        assert!(text.body.len() <= 4 << 20, "{name}");
        println!("{name}: parsed in {parsing:?}, all in {:?}", started.elapsed());
        assert!(parsed.structure.parts().len() <= MAX_PARTS, "{name}");
        assert!(parsed.structure.encode().len() < 1 << 20, "{name}: {}", parsed.structure.encode().len());
    }
}

#[test]
fn recipients_are_capped_and_counted() {
    let overview = parse(format!("To: {}\n\n", "a@b.c, ".repeat(100_000)).as_bytes()).overview;
    assert_eq!((overview.to.len(), overview.recipients), (MAX_RECIPIENTS, 100_000));
}

#[test]
fn large_attachments_are_segments_of_their_own() {
    let body = "QUJD".repeat(30_000);
    let raw = crlf(&format!(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: image/png\n\n{body}\n--b\nContent-Type: text/plain\n\n{body}\n--b--\n"
    ));
    let parsed = sound(&raw);
    let segments = segments(&parsed.structure, raw.len() as u64);
    assert_eq!(segments.len(), 3);
    assert_eq!(segments[1].kind, SegmentKind::Attachment);
    assert_eq!(tree::slice(&raw, &segments[1].range), body.as_bytes());
}

#[test]
fn eight_bit_headers_and_bodies_without_a_label() {
    let (korean, ..) = encoding_rs::EUC_KR.encode("제목: 회의 안내\n\n내일 뵙겠습니다\n");
    let raw = [b"From: a@b.c\nSubject: ".as_slice(), &korean].concat();
    let parsed = sound(&raw);
    assert_eq!(
        (parsed.overview.subject.as_str(), parsed.overview.preview.as_str()),
        ("제목: 회의 안내", "내일 뵙겠습니다")
    );
    assert!(parsed.structure.envelope().starts_with(b"(NIL {"));
}

mod random {
    use proptest::prelude::*;

    use super::*;

    fn mails() -> impl Strategy<Value = Vec<u8>> {
        let base = prop_oneof![Just(crlf(SIMPLE)), Just(crlf(NESTED)), Just(NESTED.as_bytes().to_vec())];
        let edit = (
            any::<prop::sample::Index>(),
            any::<prop::sample::Index>(),
            prop::collection::vec(any::<u8>(), 0..6),
            0..3_u8,
        );
        (base, prop::collection::vec(edit, 0..12)).prop_map(|(mut mail, edits)| {
            for (from, to, bytes, what) in edits {
                let (a, b) = (from.index(mail.len() + 1), to.index(mail.len() + 1));
                let (a, b) = (a.min(b), a.max(b));
                match what {
                    0 => mail.splice(a..(a + bytes.len()).min(mail.len()), bytes).for_each(drop),
                    1 => mail.splice(a..b.min(a + 40), []).for_each(drop),
                    _ => {
                        let copy = mail[a..b].to_vec();
                        mail.splice(b..b, copy).for_each(drop);
                    }
                }
            }
            mail
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn mutated_mails(raw in mails()) {
            let parsed = sound(&raw);
            let _ = shown(&raw, &parsed.structure, Images::Held);
        }

        #[test]
        fn any_bytes(raw in prop::collection::vec(any::<u8>(), 0..400)) {
            let parsed = sound(&raw);
            let _ = shown(&raw, &parsed.structure, Images::Shown);
        }

        #[test]
        fn structures_from_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [vec![1], bytes].concat();
            if let Ok(structure) = Structure::decode(&bytes) {
                let _ = (structure.body_structure(), structure.attachments(), segments(&structure, 1_000));
            }
        }

        #[test]
        fn markup(html in "(<[a-z]{1,6}( (style|src|href|on[a-z]{3})=[\"']?[a-z:/(); &#0-9]{0,20}[\"']?)?/?>|</[a-z]{1,6}>|[a-z&;<>\"' !-]{1,10}){0,30}") {
            let clean = html::clean(&html, Images::Held, &Default::default()).unwrap();
            safe(&clean.html);
        }

        #[test]
        fn composed_mails_read_back(
            name in "\\PC{0,30}", subject in "\\PC{0,120}", text in "[\\PC\r\n]{0,300}", file in "\\PC{0,60}",
            bytes in prop::collection::vec(any::<u8>(), 0..300), evil in "[a-z\r\n:]{0,20}",
        ) {
            let mail = outgoing(&name, &subject, Some(text), None, &file, bytes.clone(), &evil);
            check_composed(&mail, &compose(&mail));
        }
    }
}

fn outgoing(
    name: &str,
    subject: &str,
    text: Option<String>,
    html: Option<String>,
    file: &str,
    bytes: Vec<u8>,
    evil: &str,
) -> Outgoing {
    let address = |name: &str| types::Address { name: name.into(), email: "alice@demo.test".into() };
    Outgoing {
        from: address(name),
        to: vec![address(evil), address("Bob, the \"Builder\"")],
        bcc: vec![types::Address { name: String::new(), email: "secret@demo.test".into() }],
        subject: subject.into(),
        date: "2026-11-22T09:30:00Z".parse().unwrap(),
        message_id: format!("id{evil}@demo.test"),
        references: vec!["a@b".into(), format!("<{evil}c@d>")],
        text,
        html,
        attachments: vec![OutgoingAttachment {
            filename: file.into(),
            content_type: format!("application/pdf{evil}"),
            bytes,
            content_id: None,
        }],
        headers: vec![(format!("X-{evil}"), evil.into())],
        ..Outgoing::default()
    }
}

fn check_composed(mail: &Outgoing, raw: &[u8]) {
    let parsed = sound(raw);
    for line in raw.split(|byte| *byte == b'\n') {
        assert!(line.len() <= 999, "a line of {}", line.len());
        assert!(
            line.is_empty() || line.ends_with(b"\r"),
            "a bare LF behind {:?}",
            String::from_utf8_lossy(line)
        );
        assert!(!line.strip_suffix(b"\r").unwrap_or(line).contains(&b'\r'), "a bare CR");
    }
    assert!(raw.ends_with(b"\r\n"));
    let overview = &parsed.overview;
    assert_eq!(overview.subject, header::tidy(&mail.subject, 1_000));
    assert_eq!(overview.from.email, mail.from.email);
    assert!(overview.bcc.is_empty() && memchr::memmem::find(raw, b"secret@").is_none());
    assert_eq!(overview.to.len(), mail.to.len());
    let files = parsed.structure.attachments();
    assert_eq!(files.len(), mail.attachments.len());
    for (file, sent) in files.iter().zip(&mail.attachments) {
        let part = parsed.structure.part(&file.id).unwrap();
        assert_eq!(decode(part.encoding, tree::slice(raw, &part.body)), sent.bytes);
        let wanted = filename::sanitize(&sent.filename).unwrap_or_else(|| "attachment".into());
        assert_eq!(file.filename, wanted);
    }
    if let Some(text) = &mail.text {
        let view = shown(raw, &parsed.structure, Images::Held);
        let wanted = compose::canonical(text).replace("\r\n", "\n");
        assert_eq!(view.text, wanted.trim_end());
    }
}

#[test]
fn composed_mails_of_all_shapes() {
    let long = "가".repeat(3_000);
    for (text, html) in [
        (Some("안녕하세요\n.\nFrom here\n"), None),
        (Some("plain"), Some("<p>html <img src=\"cid:x\"></p>")),
        (None, Some("<p>only</p>")),
        (None, None),
        (Some(long.as_str()), None),
        (Some(&*"x".repeat(5_000)), None),
    ] {
        for inline in [false, true] {
            let mut mail = outgoing(
                "김민수",
                "회의 안내: 다음 주 월요일 오전 10시 — please read",
                text.map(Into::into),
                html.map(Into::into),
                "한글 파일 이름.pdf",
                vec![1; 5_000],
                "",
            );
            if inline && html.is_some() {
                mail.attachments.push(OutgoingAttachment {
                    filename: "x.png".into(),
                    content_type: "image/png".into(),
                    bytes: vec![2; 10],
                    content_id: Some("x".into()),
                });
                let raw = compose(&mail);
                let parsed = sound(&raw);
                let files = parsed.structure.attachments();
                assert_eq!(files.iter().filter(|file| file.inline).count(), 1);
                let html = shown(&raw, &parsed.structure, Images::Held).html.unwrap();
                assert!(!html.contains("cid:"), "{html}");
            } else {
                check_composed(&mail, &compose(&mail));
            }
        }
    }
}

#[test]
fn headers_cannot_be_injected() {
    let evil = "x\r\nBcc: victim@x.y\r\n\r\nbody";
    let mut mail = outgoing(evil, evil, Some("t".into()), None, evil, vec![], "");
    mail.message_id = evil.into();
    mail.in_reply_to = vec![evil.into()];
    mail.to[0].email = format!("a@b.c>{evil}");
    mail.attachments[0].content_type = format!("a/b\r\n{evil}");
    mail.attachments[0].content_id = Some(evil.into());
    mail.headers = vec![("X-A\r\nBcc".into(), "v".into()), ("X-B".into(), evil.into())];
    let raw = compose(&mail);
    let header = header::Header::scan(&raw, 0, |_| false);
    let names: Vec<&str> = header.fields.iter().map(|field| field.name).collect();
    assert_eq!(
        names,
        [
            "Date",
            "From",
            "To",
            "Subject",
            "Message-ID",
            "In-Reply-To",
            "References",
            "X-B",
            "MIME-Version",
            "Content-Type"
        ]
    );
}

#[test]
fn a_notification_of_failure_reads_well() {
    let report = Report {
        reporting_mta: "mx.demo.test".into(),
        from: types::Address { name: "Mail Delivery System".into(), email: "mailer-daemon@demo.test".into() },
        to: types::Address { name: String::new(), email: "alice@demo.test".into() },
        date: "2026-11-22T09:30:00Z".parse().unwrap(),
        message_id: "dsn1@demo.test".into(),
        arrival_date: "2026-11-22T09:00:00Z".parse().unwrap(),
        recipients: vec![dsn::Recipient {
            address: "nobody@example.com".into(),
            status: "5.1.1".into(),
            diagnostic: Some("smtp; 550 5.1.1 no\r\nsuch user".into()),
            remote_mta: Some("mx.example.com".into()),
            ..dsn::Recipient::default()
        }],
        original_header: b"Subject: =?utf-8?B?7JWI64WV?=\r\nMessage-ID: <orig@demo.test>\r\n\r\n".to_vec(),
        ..Report::default()
    };
    let raw = dsn(&report);
    let parsed = sound(&raw);
    let kinds: Vec<&str> =
        parsed.structure.parts().iter().map(|part| part.content_type.value.as_str()).collect();
    assert_eq!(kinds, ["multipart/report", "text/plain", "message/delivery-status", "text/rfc822-headers"]);
    assert_eq!(parsed.overview.references, ["orig@demo.test"]);
    assert!(parsed.overview.automatic);
    let text = shown(&raw, &parsed.structure, Images::Held).text;
    for words in [
        "\"안녕\" could not be delivered",
        "This address does not exist",
        "\"550 5.1.1 no such user\"",
        "없는 주소입니다",
        "mx.example.com",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let status = parsed.structure.part("2").unwrap();
    assert_eq!(
        String::from_utf8_lossy(tree::slice(&raw, &status.body)),
        "Reporting-MTA: dns; mx.demo.test\r\nArrival-Date: Sun, 22 Nov 2026 09:00:00 +0000\r\n\r\nFinal-Recipient: rfc822; nobody@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.example.com\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
    );
    assert!(
        raw.split(|b| *b == b'\n')
            .all(|line| line.len() <= 999 && (line.is_empty() || line.ends_with(b"\r")))
    );
}

/// Parses the output again as a browser would and looks for anything that acts or loads.
fn safe(html: &str) {
    let lower = html.to_lowercase();
    for bad in [
        "<script",
        "<iframe",
        "<object",
        "<embed",
        "<svg",
        "<math",
        "<form",
        "<input",
        "<meta",
        "<base",
        "<link",
        "<style",
        "<body",
        "<html",
        "srcset=",
        "background=",
        "url(",
        "expression",
        " src=\"http",
        " srcdoc",
        "-moz-binding",
    ] {
        assert!(!lower.contains(bad), "{bad} in {html}");
    }
    let mut rest = lower.as_str();
    while let Some((_, tag)) = rest.split_once('<') {
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        let names = tag.split('"').step_by(2).flat_map(str::split_whitespace).skip(1);
        for name in names {
            assert!(!name.starts_with("on"), "{name} in {html}");
        }
        rest = after;
    }
    for (at, _) in lower.match_indices("href=\"") {
        let value = &lower[at + 6..];
        assert!(
            ["http:", "https:", "mailto:", "tel:"].iter().any(|scheme| value.starts_with(scheme)),
            "{value}"
        );
    }
}

#[test]
fn attacks_come_out_harmless() {
    for attack in [
        "<script>alert(1)</script>",
        "<ScRiPt src=//x.y/z.js></sCrIpT>",
        "<img src=x onerror=alert(1)>",
        "<img src=\"http://x.y/p.png\" onload='alert(1)'>",
        "<svg onload=alert(1)><circle/></svg>",
        "<svg><script>alert(1)</script></svg>",
        "<svg><a xlink:href=\"javascript:alert(1)\"><text>x</text></a></svg>",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<math><annotation-xml encoding=\"text/html\"><style><img src=x onerror=alert(1)></style></annotation-xml></math>",
        "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<a href=\"javascript:alert(1)\">x</a>",
        "<a href=\"JaVaScRiPt:alert(1)\">x</a>",
        "<a href=\"&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;alert(1)\">x</a>",
        "<a href=\"java\tscript:alert(1)\">x</a>",
        "<a href=\"\u{1}javascript:alert(1)\">x</a>",
        "<a href=\" javascript:alert(1)\">x</a>",
        "<a href=\"vbscript:x\">x</a>",
        "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
        "<a href=\"/v1/session\">x</a>",
        "<a href=x onclick=alert(1)>x</a>",
        "<iframe src=\"http://x.y\"></iframe>",
        "<iframe srcdoc=\"<script>alert(1)</script>\">",
        "<object data=x></object><embed src=x>",
        "<meta http-equiv=refresh content=\"0;url=http://x.y\">",
        "<base href=\"http://x.y/\">",
        "<link rel=stylesheet href=\"http://x.y/a.css\">",
        "<style>@import 'http://x.y/a.css'; body{background:url(http://x.y)}</style>",
        "<form action=\"http://x.y\"><input name=p><button>go</button></form>",
        "<p style=\"background:url(http://x.y/a.png)\">x</p>",
        "<p style=\"background:u\\72 l(http://x.y)\">x</p>",
        "<p style=\"width:expression(alert(1))\">x</p>",
        "<p style=\"background:&#117;rl(http://x.y)\">x</p>",
        "<p style=\"--a:url(http://x.y);background:var(--a)\">x</p>",
        "<p style=\"position:fixed;top:0;left:0;width:100%\">x</p>",
        "<table background=\"http://x.y/a.png\"><tr><td background=\"http://x.y\">x</td></tr></table>",
        "<body onload=alert(1) background=\"http://x.y\">x</body>",
        "<img srcset=\"http://x.y/a.png 2x\" src=\"http://x.y/b.png\">",
        "<img src=\"//x.y/a.png\">",
        "<img src=\"data:image/svg+xml;base64,PHN2Zz4=\">",
        "<img lowsrc=\"http://x.y\" dynsrc=\"http://x.y\">",
        "<img src=\"magpie-held:javascript:alert(1)\">",
        "<video poster=\"http://x.y\"><source src=\"http://x.y\"></video><audio src=x>",
        "<textarea><img title=\"</textarea><img src=x onerror=alert(1)>\"></textarea>",
        "<xmp><img title=\"</xmp><img src=x onerror=alert(1)>\"></xmp>",
        "<!--><img src=x onerror=alert(1)>-->",
        "<p title='\"><script>alert(1)</script>'>x</p>",
        "<<script>alert(1)//<</script>",
        "<img \"\"\"><script>alert(1)</script>\">",
        "<template><script>alert(1)</script></template>",
        "<select><template><style><!--</style><a rel=\"--></style></template></select><img src=x onerror=alert(1)>\">",
        "<marquee onstart=alert(1)>x</marquee>",
        "<details ontoggle=alert(1) open>x</details>",
        "<div id=location class=x name=cookie>x</div>",
        "<plaintext><script>alert(1)</script>",
        "<a href=\"http://x.y\" target=_top rel=opener>x</a>",
        "<x:script xmlns:x=\"http://www.w3.org/1999/xhtml\">alert(1)</x:script>",
    ] {
        let clean = html::clean(attack, Images::Held, &Default::default()).unwrap();
        safe(&clean.html);
        // What is clean stays as it is: nothing changes its meaning when it is parsed once more.
        let again =
            html::clean(&clean.html.replace(" data-src=", " src="), Images::Held, &Default::default())
                .unwrap();
        safe(&again.html);
    }
}

#[test]
fn html_keeps_what_is_harmless() {
    let cids = [("logo@x".to_owned(), "/v1/messages/m/attachments/2".to_owned())].into();
    let check = |html: &str, images: Images, expected: &str, remote: u32| {
        let clean = html::clean(html, images, &cids).unwrap();
        assert_eq!((clean.html.as_str(), clean.remote_images), (expected, remote), "{html}");
    };
    check("<p style=\"color: red; position:fixed\">x</p>", Images::Held, "<p style=\"color:red\">x</p>", 0);
    check("<img src=\"cid:Logo@x\">", Images::Held, "<img src=\"/v1/messages/m/attachments/2\">", 0);
    check("<img src=\"cid:other\">", Images::Held, "<img>", 0);
    check(
        "<img src=\"https://x.y/a.png?a=1&amp;b=2\">",
        Images::Held,
        "<img data-src=\"https://x.y/a.png?a=1&amp;b=2\">",
        1,
    );
    check("<img src=\"https://x.y/a.png\">", Images::Shown, "<img src=\"https://x.y/a.png\">", 1);
    check("<img src=\"//x.y/a.png\">", Images::Shown, "<img src=\"https://x.y/a.png\">", 1);
    check(
        "<img src=\"data:image/png;base64,AAAA\">",
        Images::Held,
        "<img src=\"data:image/png;base64,AAAA\">",
        0,
    );
    check("text src=\"magpie-held:x", Images::Held, "text data-src=\"x", 0);
    let link = html::clean("<a href=\"https://x.y\">x</a>", Images::Held, &cids).unwrap().html;
    for part in ["href=\"https://x.y\"", "target=\"_blank\"", "rel=\"noopener noreferrer nofollow\""] {
        assert!(link.contains(part), "{part} in {link}");
    }
}

#[test]
fn frames_are_documents_and_coloured_mail_stays_white() {
    let plain = frame("<p>x</p>", Scheme::Dark);
    assert!(
        plain.starts_with("<!doctype html>")
            && plain.contains("color-scheme:dark")
            && plain.contains("<p>x</p></body>")
    );
    let newsletter = frame("<table bgcolor=\"#fff\"></table>", Scheme::Dark);
    assert!(newsletter.contains("color-scheme:light;"));
    assert!(frame("x", Scheme::Auto).contains("prefers-color-scheme:dark"));
}

/// What the classic examples above do not have.
#[test]
fn imap_strings_of_odd_mails() {
    let check = |mail: &str, envelope: &str, body_structure: &str| {
        let structure = sound(&crlf(mail)).structure;
        assert_eq!(String::from_utf8_lossy(structure.envelope()), envelope, "{mail}");
        assert_eq!(String::from_utf8_lossy(&structure.body_structure()), body_structure, "{mail}");
    };
    let nothing = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)";
    let plain = "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL \"7BIT\" 0 0 NIL NIL NIL NIL)";
    check("", nothing, plain);
    check(
        "Subject:\nFrom: a\\b \"c \\\"d\" <x@y.z>\n\n",
        r#"(NIL "" (("a\\b c \"d" NIL "x" "y.z")) (("a\\b c \"d" NIL "x" "y.z")) (("a\\b c \"d" NIL "x" "y.z")) NIL NIL NIL NIL NIL)"#,
        plain,
    );
    check("Subject: 안녕\n\n", "(NIL {6}\r\n안녕 NIL NIL NIL NIL NIL NIL NIL NIL)", plain);
    check(
        "Content-Type: multipart/mixed; boundary=x\n\nno parts\n",
        nothing,
        "(\"APPLICATION\" \"OCTET-STREAM\" (\"BOUNDARY\" \"x\") NIL NIL \"7BIT\" 10 NIL NIL NIL NIL)",
    );
    check(
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nAAAA\n",
        nothing,
        "(\"APPLICATION\" \"OCTET-STREAM\" NIL NIL NIL \"BASE64\" 6 NIL NIL NIL NIL)",
    );
    check(
        "Content-Type: text/html\nContent-Language: ko, en\nContent-Location: a.html\nContent-MD5: xyz\nContent-ID: <i@d>\nContent-Description: words\nContent-Disposition: inline\n\n",
        nothing,
        "(\"TEXT\" \"HTML\" NIL \"<i@d>\" \"words\" \"7BIT\" 0 0 \"xyz\" (\"inline\" NIL) (\"ko\" \"en\") \"a.html\")",
    );
    check(
        "Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: one\n\n--x--\n",
        nothing,
        "((\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 14 (NIL \"one\" NIL NIL NIL NIL NIL NIL NIL NIL) (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL \"7BIT\" 0 0 NIL NIL NIL NIL) 1 NIL NIL NIL NIL) \"DIGEST\" (\"BOUNDARY\" \"x\") NIL NIL NIL)",
    );
}

#[test]
fn a_mail_is_viewed_through_ranges() {
    let raw = crlf(concat!(
        "From: a@b.c\nTo: b@c.d\nCc: c@d.e\nReply-To: r@b.c\nDate: Sun, 22 Nov 2026 09:30:00 +0000\nMessage-ID: <m@x>\n",
        "In-Reply-To: <p@x>\nSubject: =?utf-8?Q?caf=C3=A9?=\nContent-Type: multipart/related; boundary=r\n\n",
        "--r\nContent-Type: text/html; charset=utf-8\n\n",
        "<p>Hi</p><img src=\"cid:logo@x\"><img src=\"https://t.example/pixel.gif\">\n",
        "--r\nContent-Type: image/png\nContent-ID: <logo@x>\nContent-Transfer-Encoding: base64\n\nAAAA\n",
        "--r\nContent-Type: image/png\nContent-ID: <unused@x>\nContent-Transfer-Encoding: base64\n\nAAAA\n--r--\n"
    ));
    let parsed = sound(&raw);
    assert!(!parsed.overview.has_attachments);
    let mut fetched = Vec::new();
    let show = Show { images: Images::Held, attachments: "/v1/messages/m/attachments/".into() };
    let view = view(&parsed.structure, &show, &mut |range| {
        fetched.push(range.clone());
        Some(tree::slice(&raw, &range).to_vec())
    });
    assert_eq!(
        fetched,
        [parsed.structure.parts()[0].header.clone(), parsed.structure.parts()[1].body.clone()]
    );
    assert_eq!(view.text, "Hi");
    assert_eq!(
        view.html.as_deref().map(str::trim_end),
        Some(
            "<p>Hi</p><img src=\"/v1/messages/m/attachments/2\"><img data-src=\"https://t.example/pixel.gif\">"
        )
    );
    assert!(view.has_remote_images);
    assert_eq!(view.attachments.iter().map(|file| file.inline).collect::<Vec<_>>(), [true, false]);
    assert_eq!((view.cc[0].email.as_str(), view.reply_to[0].email.as_str()), ("c@d.e", "r@b.c"));
    assert_eq!(
        (view.message_id.as_deref(), view.references.as_slice()),
        (Some("m@x"), ["p@x".to_owned()].as_slice())
    );
    assert!(view.headers.contains(&("Subject".into(), "café".into())));
    assert_eq!(view.headers.len(), 9);
    let nothing = super::view(&parsed.structure, &show, &mut |_| None);
    assert_eq!((nothing.text.as_str(), nothing.html), ("", None));
}
