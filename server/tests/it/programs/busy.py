# An account that may give 300 commands a minute: who has given them waits a fifth of a second for each, over IMAP and POP3,
# and nobody else does.
import imaplib, poplib, ssl, time

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE

def imap(user):
    client = imaplib.IMAP4_SSL("127.0.0.1", IMAPS, ssl_context=context)
    assert client.login(user, PASSWORD)[0] == "OK"
    return client

def seconds(what, times):
    began = time.monotonic()
    for _ in range(times):
        what()
    return time.monotonic() - began

alice = [imap("alice@demo.test"), imap("alice@demo.test")]
for program in alice:
    seconds(program.noop, 160)
for program in alice:
    assert seconds(program.noop, 4) > 0.5
assert alice[0].noop()[0] == "OK"
box = poplib.POP3_SSL("127.0.0.1", POP3S, context=context)
box.user("alice@demo.test")
box.pass_(PASSWORD)
assert seconds(box.stat, 4) > 0.5
# What was answered does not wait for what is held up.
alice[0].send(b"".join(b"p%d NOOP\r\n" % number for number in range(10)))
began = time.monotonic()
for number in range(10):
    assert alice[0].readline().startswith(b"p%d OK" % number)
    if number == 4:
        assert time.monotonic() - began < 1.5
assert time.monotonic() - began > 1.5
bob = imap("bob@demo.test")
assert seconds(bob.noop, 4) < 0.5
