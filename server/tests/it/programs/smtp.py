# What programs that send mail do, by Python's smtplib.
import smtplib, ssl
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

context = ssl.create_default_context(cafile=CERTIFICATE)
ALICE = "alice@demo.test"


def letter(to, subject, policy=SMTP):
    mail = EmailMessage(policy=policy)
    mail["From"], mail["To"], mail["Subject"] = f"Alice <{ALICE}>", to, subject
    mail.set_content("A line\n.\n..two dots\n안녕하세요\n")
    return mail


def refused(action, codes):
    try:
        action()
    except smtplib.SMTPResponseException as error:
        assert error.smtp_code in codes, error
    except smtplib.SMTPNotSupportedError:
        assert None in codes
    else:
        raise SystemExit(f"not refused, though {codes} was expected")


# STARTTLS: nothing of a login before it.
client = smtplib.SMTP("localhost", SUBMISSION)
client.ehlo()
assert not client.has_extn("auth"), client.esmtp_features
refused(lambda: client.login(ALICE, PASSWORD), [None])
refused(lambda: client.sendmail(ALICE, ["bob@demo.test"], b"Subject: x\r\n\r\n"), [530])
client.rset()
client.starttls(context=context)
client.ehlo()
for extension in ["size", "8bitmime", "smtputf8", "pipelining", "dsn", "chunking", "enhancedstatuscodes"]:
    assert client.has_extn(extension), (extension, client.esmtp_features)
refused(lambda: client.login(ALICE, "wrong"), [535])
for mechanism, respond in [("PLAIN", "auth_plain"), ("LOGIN", "auth_login")]:
    with smtplib.SMTP("localhost", SUBMISSION) as other:
        other.starttls(context=context)
        other.ehlo()
        other.user, other.password = ALICE, PASSWORD
        code, _ = other.auth(mechanism, getattr(other, respond))
        assert code == 235, code
client.login(ALICE, PASSWORD)
refused(lambda: client.sendmail("bob@demo.test", ["bob@demo.test"], b"Subject: x\r\n\r\n"), [550, 553])
client.rset()
assert client.send_message(letter("bob@demo.test", "python starttls")) == {}
assert client.send_message(letter("bob@demo.test, alice@demo.test", "python both")) == {}
# What DSN asks for goes along to the other server.
client.sendmail(
    ALICE,
    ["carol@far.test"],
    letter("carol@far.test", "python dsn").as_bytes(),
    mail_options=["RET=HDRS", "ENVID=QQ+3D31"],
    rcpt_options=["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;Carol@far.test"],
)
client.quit()

# TLS from the first byte; an address in Korean, and 5 MB.
with smtplib.SMTP_SSL("localhost", SUBMISSIONS, context=context) as client:
    client.login(ALICE, PASSWORD)
    client.send_message(letter("사용자@demo.test", "python utf8 제목", SMTPUTF8))
    mail = letter("bob@demo.test", "python large")
    content = bytes(i * 7 % 251 for i in range(5 << 20))
    mail.add_attachment(content, maintype="application", subtype="octet-stream", filename="large.bin")
    client.send_message(mail)
