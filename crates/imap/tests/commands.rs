//! Known commands, most from the RFCs' examples: what is read, and what is refused.

use imap::wire::{Key, SectionKind, SequenceSet, StoreMode, parse};
use imap::{Command, wire};

fn read(text: &str) -> Command {
    let (tag, command) = parse(text.as_bytes(), false).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    assert!(text.starts_with(tag.as_str()));
    command
}

fn refused(text: &str) -> String {
    match parse(text.as_bytes(), false) {
        Ok(command) => panic!("{text}: {command:?}"),
        Err(error) => error.syntax.map(|error| error.to_string()).unwrap_or_default(),
    }
}

const EXAMPLES: &[&str] = &[
    "abcd CAPABILITY",
    "a023 ID (\"name\" \"sodr\" \"version\" \"19.34\" \"vendor\" NIL)",
    "a042 ID NIL",
    "a001 AUTHENTICATE GSSAPI",
    "A01 AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q=",
    "A01 AUTHENTICATE EXTERNAL =",
    "a001 LOGIN SMITH SESAME",
    "A001 LOGIN {11+}\r\nFRED FOOBAR {7+}\r\nfat man",
    "t1 ENABLE CONDSTORE QRESYNC X-GOOD-IDEA",
    "C180 SELECT INBOX (CONDSTORE)",
    "A02 SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))",
    "A03 SELECT INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541))",
    "a QRESYNC",
    "B04 SELECT INBOX (QRESYNC (67890007 90060115194045000 1:29997 (5000,7500,9000,9990:9999 15000,22500,27000,29970,29973,29976,29979,29982,29985,29988)))",
    "A003 CREATE owatagusiam/",
    "t2 CREATE MySpecial (USE (\\Drafts \\Sent))",
    "A684 RENAME INBOX old-mail",
    "A101 LIST \"\" \"\"",
    "A102 LIST #news.comp.mail.misc \"\"",
    "A202 LIST ~/Mail/ %",
    "A03 LIST () \"\" \"%\" RETURN (CHILDREN)",
    "A06 LIST (REMOTE) \"\" \"*\"",
    "BBB LIST \"\" (\"INBOX\" \"Drafts\" \"Sent/%\")",
    "a1 LIST \"\" % RETURN (STATUS (MESSAGES UNSEEN))",
    "C02 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" % RETURN (CHILDREN SUBSCRIBED)",
    "t1 LIST (SPECIAL-USE) \"\" \"*\" RETURN (SPECIAL-USE)",
    "A002 LSUB \"#news.\" \"comp.mail.*\"",
    "A042 STATUS blurdybloop (UIDNEXT MESSAGES)",
    "a STATUS blurdybloop (UIDVALIDITY MESSAGES UNSEEN HIGHESTMODSEQ SIZE DELETED MAILBOXID APPENDLIMIT)",
    "A003 APPEND saved-messages (\\Seen) {7}\r\nabc\r\nde",
    "A003 APPEND saved-messages \" 7-Feb-1994 21:52:25 -0800\" ~{3+}\r\na\0b",
    "A003 APPEND x (\\Seen $MDNSent) \"17-Jul-1996 02:44:25 -0700\" {1}\r\na (\\Flagged) {1}\r\nb {1+}\r\nc",
    "A003 APPEND Drafts (\\Seen) CATENATE (URL \"/Drafts;UIDVALIDITY=1/;UID=2\" TEXT {2}\r\nab)",
    "a APPEND x UTF8 (~{2}\r\nab)",
    "A005 GETQUOTAROOT INBOX",
    "A003 SETQUOTA \"\" (STORAGE 512)",
    "A002 SETACL INBOX/Drafts Byron lrswikda",
    "a001 LISTRIGHTS ~/Mail/saved smith",
    "A003 UID EXPUNGE 3000:3002",
    "A282 SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"",
    "A284 SEARCH CHARSET UTF-8 TEXT {6}\r\nабв",
    "a SEARCH RETURN () UID 1:* OR (SEEN KEYWORD x) NOT (LARGER 10 SMALLER 20)",
    "a SEARCH MODSEQ \"/flags/\\\\draft\" all 620162338",
    "t SEARCH OR NOT MODSEQ 720162338 LARGER 50000",
    "A301 UID SEARCH RETURN (SAVE) UNSEEN",
    "A302 FETCH $ (UID)",
    "A1 SEARCH RETURN (PARTIAL -1:-100) UNDELETED",
    "a SEARCH YOUNGER 259200 OLDER 5 SENTON 2-Jan-2020",
    "A283 SORT (SUBJECT REVERSE DATE) UTF-8 ALL",
    "E01 UID SORT RETURN (COUNT ALL) (REVERSE DISPLAYFROM) UTF-8 UNDELETED",
    "A283 THREAD ORDEREDSUBJECT UTF-8 SINCE 5-MAR-2000",
    "a FETCH 1 (PREVIEW (LAZY) EMAILID THREADID)",
    "A654 FETCH 2:4 (FLAGS BODY[HEADER.FIELDS (DATE FROM)])",
    "A FETCH 1 BODY.PEEK[4.2.HEADER.FIELDS.NOT (\"Subject\")]<0.2048>",
    "A FETCH 1 (BINARY.PEEK[1.2]<0.10> BINARY.SIZE[2] BINARY[])",
    "A FETCH 1:* FAST",
    "s100 UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)",
    "a UID FETCH 1:* (UID FLAGS) (PARTIAL -1:-30)",
    "d105 STORE 7,5,9 (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\\Deleted)",
    "A003 STORE 2:4 FLAGS \\Deleted \\Seen",
    "a STORE 1 FLAGS ()",
    "a UID MOVE 42:69 foo",
    "A003 UID REPLACE 2000 Drafts (\\Seen \\Draft) {2}\r\nab",
    "a UNAUTHENTICATE",
    "a UID THREAD REFERENCES UTF-8 ALL",
    "a THREAD REFS US-ASCII SUBJECT x",
    "a FETCH 1 (SAVEDATE)",
    "a SEARCH SAVEDATESUPPORTED SAVEDBEFORE 1-Jan-2020 SAVEDON 2-Jan-2020 SAVEDSINCE 3-Jan-2020",
    "a ENABLE UIDONLY",
    "a GETMETADATA \"\" /shared/comment",
    "a GETMETADATA \"INBOX\" (MAXSIZE 1024) (/shared/comment /private/comment)",
    "a GETMETADATA (DEPTH 1) \"INBOX\" (/private/filters/values)",
    "a GETMETADATA \"INBOX\" (DEPTH infinity MAXSIZE 5) /private",
    "a SETMETADATA INBOX (/private/comment {3}\r\na\nb /shared/comment NIL)",
    "a LIST \"\" % RETURN (METADATA (\"/shared/vendor/cmu/cyrus-imapd/color\"))",
    "a LIST \"\" % RETURN (METADATA (MAXSIZE 10) /shared/x STATUS (MESSAGES))",
    "t ESEARCH IN (mailboxes \"folder1\" subtree \"folder2\") unseen",
    "t ESEARCH IN (subtree-one (a b) selected inboxes personal subscribed) RETURN (COUNT) CHARSET UTF-8 SUBJECT x",
    "t ESEARCH RETURN (MIN) ALL",
    "a NOTIFY NONE",
    "a NOTIFY SET STATUS (selected-delayed (MessageNew (UID BODY.PEEK[HEADER.FIELDS (FROM)]) MessageExpunge FlagChange)) (subtree Lists (MessageNew MessageExpunge)) (mailboxes (a b) (MailboxName)) (inboxes NONE)",
];

#[test]
fn the_examples_of_the_rfcs_are_commands() {
    for text in EXAMPLES {
        if *text == "a QRESYNC" {
            assert_eq!(refused(text), "", "there is no such command");
        } else {
            read(text);
        }
    }
}

#[test]
fn names_are_read_in_every_spelling() {
    let selected = |text: &str, utf8: bool| match parse(text.as_bytes(), utf8).unwrap().1 {
        Command::Select(select) => select.mailbox.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(selected("a SELECT &rADIcQ-", false), "가족");
    assert_eq!(selected("a SELECT \"가족\"", false), "가족");
    assert_eq!(selected("a SELECT &rADIcQ-", true), "&rADIcQ-");
    assert_eq!(selected("a SELECT inBOX", false), "INBOX");
    assert_eq!(selected("a SELECT inbox/x", false), "INBOX/x");
    assert_eq!(selected("a SELECT {5}\r\na\"b\\c", false), "a\"b\\c");
    assert!(refused("a SELECT &bad").contains("UTF-7"));
}

#[test]
fn what_is_read_is_what_was_meant() {
    let Command::Fetch { fetch, uid: true } = read("a UID FETCH 1:2,5 BODY[1.2.TEXT]<5.10>") else {
        panic!()
    };
    let [wire::Item::Section { section, partial, peek: false }] = &*fetch.items else { panic!() };
    assert_eq!((&*section.part, &section.kind), (&[1, 2][..], &SectionKind::Text));
    assert_eq!(*partial, Some(wire::Partial { start: 5, count: 10 }));
    let Command::Store { store, .. } = read("a STORE $ -FLAGS (\\Seen x)") else { panic!() };
    assert_eq!((store.set, store.mode, store.flags.len()), (SequenceSet::Saved, StoreMode::Remove, 2));
    let Command::Search { search, .. } = read("a SEARCH (1 2) UNSEEN") else { panic!() };
    assert!(search.options.is_none());
    let Key::And(keys) = search.key else { panic!() };
    assert_eq!(keys.len(), 2);
}

const NONSENSE: &[&str] = &[
    "a SETMETADATA x (/private/a 1 /private/A 2)",
    "",
    " ",
    "a",
    "a ",
    "a  NOOP",
    "a NOOP ",
    "a NOOP x",
    "+ NOOP",
    "a+ NOOP",
    "a FOO",
    "a UID NOOP",
    "a LOGIN x",
    "a LOGIN x y z",
    "a LOGIN \"x y",
    "a LOGIN \"\\x\" y",
    "a LOGIN {5}\r\nx y",
    "a SELECT",
    "a SELECT x (FOO)",
    "a SELECT x ()x",
    "a SELECT x (QRESYNC (0 1))",
    "a LIST \"\"",
    "a LIST (FOO) \"\" %",
    "a LIST (RECURSIVEMATCH) \"\" %",
    "a STATUS x ()",
    "a STATUS x (FOO)",
    "a APPEND x",
    "a APPEND x ()",
    "a APPEND x \"1-Foo-2020 00:00:00 +0000\" {1}\r\na",
    "a FETCH 1",
    "a FETCH 1 ()",
    "a FETCH 1 (UID",
    "a FETCH x UID",
    "a FETCH 1 BODY[",
    "a FETCH 1 BODY[0]",
    "a FETCH 1 BODY[MIME]",
    "a FETCH 1 BODY[1.FOO]",
    "a FETCH 1 BODY[]<1>",
    "a FETCH 1 BODY[]<1.0>",
    "a FETCH 1 BODY[HEADER.FIELDS ()]",
    "a FETCH 1 BINARY[1.TEXT]",
    "a FETCH 1 UID (VANISHED)",
    "a STORE 1 FLAGS",
    "a STORE 1 FOO \\Seen",
    "a STORE 1 FLAGS (\\)",
    "a SEARCH",
    "a SEARCH FOO",
    "a SEARCH ()",
    "a SEARCH OR 1",
    "a SEARCH NOT",
    "a SEARCH HEADER x",
    "a SEARCH BEFORE 99-Jan-2020",
    "a SEARCH (1",
    "a SEARCH RETURN (ALL PARTIAL 1:2) ALL",
    "a SORT () UTF-8 ALL",
    "a SORT (FOO) UTF-8 ALL",
    "a COPY 1",
    "a MOVE 1:",
    "a ID (\"x\")",
    "a THREAD FOO UTF-8 ALL",
    "a CREATE x (USE \\Sent)",
    "a GETMETADATA INBOX",
    "a GETMETADATA INBOX ()",
    "a GETMETADATA INBOX (DEPTH 2) /private/x",
    "a GETMETADATA INBOX /other/x",
    "a GETMETADATA INBOX /privates",
    "a GETMETADATA INBOX /private/x*",
    "a GETMETADATA INBOX /private//x",
    "a GETMETADATA INBOX /private/x/",
    "a SETMETADATA INBOX ()",
    "a SETMETADATA INBOX (/private/x)",
    "a ESEARCH",
    "a NOTIFY",
    "a NOTIFY SET",
    "a NOTIFY SET STATUS",
    "a NOTIFY SET (selected (MessageNew FlagChange))",
    "a NOTIFY SET (selected (MailboxName))",
    "a NOTIFY SET (selected NONE) (selected-delayed NONE)",
    "a ESEARCH IN () ALL",
    "a ESEARCH IN (mailboxes) ALL",
    "a APPEND x CATENATE (FOO {1}\r\na)",
    "a ENABLE",
];

#[test]
fn what_is_no_command_is_refused() {
    for text in NONSENSE {
        refused(text);
    }
}

#[test]
fn depth_and_number_are_bounded() {
    let nested = |open: &str, depth: usize, close: &str| {
        format!("a SEARCH {}ALL{}", open.repeat(depth), close.repeat(depth))
    };
    read(&nested("(", 20, ")"));
    assert_eq!(refused(&nested("(", 10_000, ")")), "it is nested too deep");
    assert_eq!(refused(&nested("NOT ", 10_000, "")), "it is nested too deep");
    assert_eq!(refused(&nested("OR ALL ", 10_000, "")), "it is nested too deep");
    assert_eq!(
        refused(&format!("a SEARCH {}", vec!["ALL"; 2_000].join(" "))),
        "the search has too many keys"
    );
    assert_eq!(
        refused(&format!("a FETCH {} UID", vec!["1"; 1_000_000].join(","))),
        "the set has too many ranges"
    );
    assert_eq!(refused(&format!("{} NOOP", "t".repeat(1 << 20))), "the tag is too long");
    assert_eq!(refused(&format!("a LIST \"\" {}", "%a".repeat(2_000))), "the pattern is too long");
    let patterns = vec!["a*b"; 1_000].join(" ");
    assert_eq!(refused(&format!("a LIST \"\" ({patterns})")), "the patterns are too long");
    let pieces: Vec<_> = (0..200).map(|start| format!("BODY[]<{start}.9>")).collect();
    assert_eq!(refused(&format!("a FETCH 1 ({})", pieces.join(" "))), "too much is asked for at once");
    let parts = vec!["1"; 1_000].join(".");
    refused(&format!("a FETCH 1 BODY[{parts}]"));
}

#[test]
fn what_is_watched_has_an_end() {
    let names = |count: usize| vec!["box"; count].join(" ");
    let notify = |count| format!("a NOTIFY SET (mailboxes ({}) (MessageNew MessageExpunge))", names(count));
    assert!(matches!(read(&notify(1_000)), Command::Notify(_)));
    assert!(refused(&notify(3_000)).contains("too much to watch"));
}
