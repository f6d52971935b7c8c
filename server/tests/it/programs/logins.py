# Logging in by SCRAM-SHA-256 as RFC 5802 has it, and IMAP compressed (RFC 4978), by Python's imaplib and poplib.
import base64, hashlib, hmac, imaplib, os, poplib, ssl, zlib

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE

class Scram:
    def __init__(self, user, password):
        self.user, self.password, self.step = user, password, 0

    def __call__(self, challenge):
        self.step += 1
        if self.step == 1:
            self.bare = "n=%s,r=%s" % (self.user, base64.b64encode(os.urandom(18)).decode())
            return ("n,," + self.bare).encode()
        if self.step == 2:
            first = challenge.decode()
            parts = dict(part.split("=", 1) for part in first.split(","))
            salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
            sign = lambda key, text: hmac.new(key, text, "sha256").digest()
            last = "c=biws,r=" + parts["r"]
            message = ",".join([self.bare, first, last]).encode()
            key = sign(salted, b"Client Key")
            proof = bytes(a ^ b for a, b in zip(key, sign(hashlib.sha256(key).digest(), message)))
            self.wanted = b"v=" + base64.b64encode(sign(sign(salted, b"Server Key"), message))
            return (last + ",p=" + base64.b64encode(proof).decode()).encode()
        assert challenge == self.wanted, "the server does not know the password"
        return b""

imaplib.Commands["COMPRESS"] = ("AUTH", "SELECTED")

class Compressed(imaplib.IMAP4_SSL):
    packer = None

    def compress(self):
        typ, data = self._simple_command("COMPRESS", "DEFLATE")
        assert typ == "OK", data
        self.packer, self.unpacker = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)
        self.buffer, self.sent, self.received, self.plain = b"", 0, 0, 0

    def send(self, data):
        if self.packer is None:
            return super().send(data)
        data = self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH)
        self.sent += len(data)
        self.sock.sendall(data)

    def more(self):
        data = self.sock.recv(4096)
        assert data, "hung up"
        self.received += len(data)
        data = self.unpacker.decompress(data)
        self.plain += len(data)
        self.buffer += data

    def take(self, size):
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def read(self, size):
        if self.packer is None:
            return super().read(size)
        while len(self.buffer) < size:
            self.more()
        return self.take(size)

    def readline(self):
        if self.packer is None:
            return super().readline()
        while b"\n" not in self.buffer:
            self.more()
        return self.take(self.buffer.index(b"\n") + 1)

def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]

client = Compressed("127.0.0.1", TLS, ssl_context=context)
assert "AUTH=SCRAM-SHA-256" in client.capabilities, client.capabilities
try:
    client.authenticate("SCRAM-SHA-256", Scram("alice@demo.test", "wrong"))
    raise SystemExit("a wrong password")
except imaplib.IMAP4.error as error:
    assert "[AUTHENTICATIONFAILED]" in str(error), error
ok(client.authenticate("SCRAM-SHA-256", Scram("alice@demo.test", PASSWORD)))
assert "COMPRESS=DEFLATE" in ok(client.capability())[0].decode()
client.compress()
assert "COMPRESS=DEFLATE" not in ok(client.capability())[0].decode()
mail = b"From: a@b.test\r\nSubject: Large\r\n\r\n" + b"The same line again and again.\r\n" * 20_000
for _ in range(3):
    ok(client.append("INBOX", None, None, mail))
assert client.sent < 60_000, client.sent
assert ok(client.select("INBOX")) == [b"3"]
bodies = [part[1] for part in ok(client.fetch("1:3", "(BODY.PEEK[])")) if isinstance(part, tuple)]
assert bodies == [mail] * 3
assert client.plain > 1_900_000 and client.received < 60_000, (client.plain, client.received)
# Many commands at once.
client.send(b"".join(b"p%d NOOP\r\n" % n for n in range(500)))
assert [client.readline().split()[0] for _ in range(500)] == [b"p%d" % n for n in range(500)]
# News come in IDLE.
client.send(b"i IDLE\r\n")
assert client.readline().startswith(b"+ ")
other = imaplib.IMAP4_SSL("127.0.0.1", TLS, ssl_context=context)
ok(other.login("alice@demo.test", PASSWORD))
ok(other.append("INBOX", None, None, mail))
assert client.readline() == b"* 4 EXISTS\r\n"
client.send(b"DONE\r\n")
line = client.readline()
while not line.startswith(b"i "):
    line = client.readline()
assert line.startswith(b"i OK "), line
client.logout()
other.logout()

client = poplib.POP3_SSL("127.0.0.1", TLS_POP3, context=context)
assert "SCRAM-SHA-256" in client.capa()["SASL"], client.capa()
scram = Scram("alice@demo.test", PASSWORD)

def say(line):
    client._putline(line.encode())
    answer, _ = client._getline()
    return base64.b64decode(answer[2:]) if answer.startswith(b"+ ") else answer

answer = say("AUTH SCRAM-SHA-256")
for _ in range(3):
    answer = say(base64.b64encode(scram(answer)).decode())
assert answer.startswith(b"+OK "), answer
assert client.stat()[0] == 4
client.quit()
