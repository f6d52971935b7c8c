# What mail programs do, by Python's imaplib.
import imaplib, re, ssl, time

def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]

mail = b"From: a@b.test\r\nTo: c@d.test\r\nSubject: Hello\r\nMessage-ID: <1@b.test>\r\n\r\nSome text\r\n"

def login(client):
    ok(client.login("alice@demo.test", PASSWORD))
    return client

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
plain = imaplib.IMAP4("127.0.0.1", PORT)
assert "STARTTLS" in plain.capabilities
plain.starttls(context)
login(plain)
client = login(imaplib.IMAP4_SSL("127.0.0.1", TLS, ssl_context=context))
ok(client.create("Work/Deep"))
ok(client.subscribe("Work"))
names = [line.decode() for line in ok(client.list())]
assert any(line.endswith('"Work/Deep"') for line in names), names
assert any("\\Sent" in line for line in names), names

for number in range(20):
    flags = "(\\Seen)" if number % 2 else None
    ok(client.append("Work", flags, time.time() - number * 60, mail.replace(b"Hello", b"Hello %d" % number)))
assert ok(client.select("Work")) == [b"20"]
assert ok(client.search(None, "UNSEEN"))[0].split() == [b"%d" % n for n in range(1, 21, 2)]
assert ok(client.uid("SEARCH", None, "SUBJECT", '"hello 7"'))[0] == b"8"
fetched = ok(client.fetch("1:20", "(UID FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])"))
bodies = [part[1] for part in fetched if isinstance(part, tuple)]
assert bodies == [mail.replace(b"Hello", b"Hello %d" % n) for n in range(20)], bodies[:2]
ok(client.store("1:5", "+FLAGS", "(\\Flagged $Label1)"))
assert len(ok(client.search(None, "KEYWORD", "$Label1"))[0].split()) == 5

# The other connection sees it at once.
assert ok(plain.select("Work")) == [b"20"]
assert len(ok(plain.search(None, "FLAGGED"))[0].split()) == 5
ok(plain.uid("COPY", "1:3", "Work/Deep"))
ok(plain.uid("MOVE", "4:6", "Archive"))
ok(plain.store("1:2", "+FLAGS.SILENT", "(\\Deleted)"))
# imaplib hands out what MOVE told with it.
expunged = ok(plain.expunge())
assert expunged[-2:] in ([b"1", b"1"], [b"2", b"1"]), expunged
client.noop()
assert client.untagged_responses.get("EXPUNGE"), client.untagged_responses
assert len(ok(client.search(None, "ALL"))[0].split()) == 15
assert ok(client.status("Work/Deep", "(MESSAGES UIDNEXT)"))[0].endswith(b"(MESSAGES 3 UIDNEXT 4)")
assert ok(client.sort("REVERSE ARRIVAL", "UTF-8", "ALL"))[0].split()[0] == b"1"
ok(client.rename("Work/Deep", "Deep"))
ok(client.close())
ok(client.delete("Deep"))
client.logout()
plain.logout()
