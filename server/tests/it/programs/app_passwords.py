# Programs that log in by an app password and by the account's own, by Python's imaplib, poplib and smtplib. When the app
# password is taken away, those that came by it are out in a moment, and the others stay.
import base64, hashlib, hmac, imaplib, os, poplib, smtplib, ssl, time

USER = "alice@demo.test"
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE

def imap(password):
    client = imaplib.IMAP4_SSL("127.0.0.1", IMAPS, ssl_context=context)
    assert client.login(USER, password)[0] == "OK"
    assert client.select("INBOX")[0] == "OK"
    return client

def scram(password):
    client = imaplib.IMAP4_SSL("127.0.0.1", IMAPS, ssl_context=context)
    bare = "n=" + USER + ",r=" + base64.b64encode(os.urandom(18)).decode()
    said = []
    def answer(challenge):
        said.append(challenge)
        if len(said) == 1:
            return ("n,," + bare).encode()
        if len(said) == 3:
            return b""
        first = challenge.decode()
        part = dict(field.split("=", 1) for field in first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(part["s"]), int(part["i"]))
        sign = lambda key, text: hmac.digest(key, text, "sha256")
        key = sign(salted, b"Client Key")
        last = "c=biws,r=" + part["r"]
        mask = sign(hashlib.sha256(key).digest(), (bare + "," + first + "," + last).encode())
        proof = bytes(a ^ b for a, b in zip(key, mask))
        return (last + ",p=" + base64.b64encode(proof).decode()).encode()
    assert client.authenticate("SCRAM-SHA-256", answer)[0] == "OK"
    return client

def pop3(password):
    client = poplib.POP3_SSL("127.0.0.1", POP3S, context=context)
    client.user(USER)
    client.pass_(password)
    return client

def submission(password):
    client = smtplib.SMTP_SSL("127.0.0.1", SUBMISSIONS, context=context)
    client.login(USER, password)
    client.sendmail(USER, ["bob@demo.test"], "Subject: by a program\r\n\r\nx\r\n")
    return client

def is_out(what):
    try:
        what()
    except (imaplib.IMAP4.error, poplib.error_proto, smtplib.SMTPException, OSError):
        return True
    return False

own = imap(OWN)
spaced = " ".join(APP[at:at + 5] for at in range(0, 20, 5))
programs = [imap(APP), imap(spaced), scram(APP)]
box, sender = pop3(APP), submission(APP)
open(READY, "w").close()
while not os.path.exists(REMOVED):
    time.sleep(0.02)
uses = [(lambda program=program: program.noop()) for program in programs]
uses += [lambda: box.stat(), lambda: sender.sendmail(USER, ["bob@demo.test"], "Subject: late\r\n\r\nx\r\n")]
deadline = time.time() + 10
for use in uses:
    while not is_out(use):
        assert time.time() < deadline, "a program stays"
        time.sleep(0.05)
for begin in (imap, scram, pop3, submission):
    assert is_out(lambda: begin(APP)), begin
assert own.noop()[0] == "OK"
scram(OWN).logout()
