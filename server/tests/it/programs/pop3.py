# What programs that fetch mail do, by Python's poplib.
import poplib, ssl

client = poplib.POP3("127.0.0.1", PORT)
capabilities = client.capa()
assert {"TOP", "UIDL", "STLS", "PIPELINING", "RESP-CODES"} <= set(capabilities), capabilities
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
client.stls(context)
client.user("alice@demo.test")
client.pass_(PASSWORD)
count, size = client.stat()
assert count == 3 and size > 200, (count, size)
uids = client.uidl()[1]
assert len(set(uids)) == 3
lines = client.retr(1)[1]
assert b"Subject: n0" in lines and lines[-3:] == [b".", b"..dots", b"."], lines
top = client.top(2, 1)[1]
assert b"Subject: n1" in top and top[-1] == b".", top

# One at a time.
second = poplib.POP3_SSL("127.0.0.1", TLS, context=context)
second.user("alice@demo.test")
try:
    second.pass_(PASSWORD)
    raise SystemExit("two sessions at once")
except poplib.error_proto as error:
    assert b"[IN-USE]" in error.args[0], error
second.close()

client.dele(1)
client.rset()
client.dele(2)
try:
    client.retr(2)
    raise SystemExit("a deleted message")
except poplib.error_proto:
    pass
assert client.stat()[0] == 2
client.close()

# Without QUIT nothing is deleted.
for attempt in range(100):
    client = poplib.POP3_SSL("127.0.0.1", TLS, context=context)
    client.user("alice@demo.test")
    try:
        client.pass_(PASSWORD)
        break
    except poplib.error_proto as error:
        assert b"[IN-USE]" in error.args[0], error
assert client.uidl()[1] == uids
client.dele(2)
client.quit()
client = poplib.POP3_SSL("127.0.0.1", TLS, context=context)
client.user("alice@demo.test")
client.pass_(PASSWORD)
assert [line.split()[1] for line in client.uidl()[1]] == [uids[0].split()[1], uids[2].split()[1]]
client.quit()
