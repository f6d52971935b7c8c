# Logging in by a certificate (RFC 4422 appendix A), by Python's imaplib, poplib and smtplib.
import base64, imaplib, poplib, smtplib, ssl

def context(name):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if name:
        context.load_cert_chain(FOLDER + "/" + name + ".pem")
    return context

def refused(error, what):
    try:
        what()
    except error as refusal:
        return str(refusal)
    raise SystemExit("it was not refused")

external = lambda named="": (lambda challenge: named.encode())

# With a certificate, EXTERNAL is on offer, and nothing else is needed.
client = imaplib.IMAP4_SSL("127.0.0.1", IMAPS, ssl_context=context("alice"))
assert "AUTH=EXTERNAL" in client.capabilities, client.capabilities
assert client.authenticate("EXTERNAL", external())[0] == "OK"
assert client.append("INBOX", None, None, b"Subject: mine\r\n\r\nx\r\n")[0] == "OK"
client.logout()
client = imaplib.IMAP4("127.0.0.1", IMAP)
assert "AUTH=EXTERNAL" not in client.capabilities, client.capabilities
client.starttls(context("alice"))
assert "AUTH=EXTERNAL" in client.capabilities, client.capabilities
assert client.authenticate("EXTERNAL", external("alice@demo.test"))[0] == "OK"
assert client.select("INBOX") == ("OK", [b"1"])
client.logout()
client = imaplib.IMAP4_SSL("127.0.0.1", IMAPS, ssl_context=context("alice"))
refusal = refused(imaplib.IMAP4.error, lambda: client.authenticate("EXTERNAL", external("bob@demo.test")))
assert "AUTHENTICATIONFAILED" in refusal, refusal
# The password does as well.
assert client.login("bob@demo.test", "correct horse")[0] == "OK"
client.logout()

# Without one it is not, and whoever has one that names no account is nobody.
client = imaplib.IMAP4_SSL("127.0.0.1", IMAPS, ssl_context=context(None))
assert "AUTH=EXTERNAL" not in client.capabilities, client.capabilities
refused(imaplib.IMAP4.error, lambda: client.authenticate("EXTERNAL", external()))
refused(imaplib.IMAP4.error, lambda: client.authenticate("EXTERNAL", external("alice@demo.test")))
client.logout()
for name in ["nobody", "catchall"]:
    client = imaplib.IMAP4_SSL("127.0.0.1", IMAPS, ssl_context=context(name))
    refusal = refused(imaplib.IMAP4.error, lambda: client.authenticate("EXTERNAL", external()))
    assert "AUTHENTICATIONFAILED" in refusal, refusal
    client.logout()
# One that somebody else signed ends the connection.
refused((ssl.SSLError, OSError, imaplib.IMAP4.error), lambda: imaplib.IMAP4_SSL("127.0.0.1", IMAPS, ssl_context=context("foreign")))

client = poplib.POP3_SSL("127.0.0.1", POP3S, context=context("alice"))
assert "EXTERNAL" in client.capa()["SASL"], client.capa()
client._shortcmd("AUTH EXTERNAL =")
assert client.stat()[0] == 1
client.quit()
client = poplib.POP3_SSL("127.0.0.1", POP3S, context=context(None))
assert "EXTERNAL" not in client.capa()["SASL"], client.capa()
refused(poplib.error_proto, lambda: client._shortcmd("AUTH EXTERNAL ="))
client.quit()

client = smtplib.SMTP("127.0.0.1", SUBMISSION)
client.starttls(context=context("alice"))
client.ehlo()
assert "EXTERNAL" in client.esmtp_features["auth"], client.esmtp_features
assert client.docmd("AUTH", "EXTERNAL =")[0] == 235
client.sendmail("alice@demo.test", ["bob@demo.test"], "From: alice@demo.test\r\nSubject: x\r\n\r\nx\r\n")
client.quit()
client = smtplib.SMTP("127.0.0.1", SUBMISSION)
client.starttls(context=context("alice"))
client.ehlo()
named = base64.b64encode(b"bob@demo.test").decode()
assert client.docmd("AUTH", "EXTERNAL " + named)[0] == 535
client.quit()
# Other servers are not asked for certificates.
client = smtplib.SMTP("127.0.0.1", MX)
client.starttls(context=context("foreign"))
client.ehlo()
assert "auth" not in client.esmtp_features, client.esmtp_features
client.quit()
