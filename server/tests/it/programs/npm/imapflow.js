// What programs do that are built of imapflow.
import assert from "node:assert/strict";
import { ImapFlow } from "imapflow";

const [plainPort, tlsPort, user, pass] = process.argv.slice(2);

async function open(port, secure) {
  const client = new ImapFlow({
    host: "127.0.0.1",
    port: Number(port),
    secure,
    auth: { user, pass },
    tls: { rejectUnauthorized: false },
    logger: false,
  });
  await client.connect();
  return client;
}

const mail = (number) =>
  `From: a@b.test\r\nTo: c@d.test\r\nSubject: Hello ${number}\r\n` +
  `Message-ID: <${number}@b.test>\r\n\r\nText ${number} 안녕\r\n`;

// The one upgrades by STARTTLS and compresses, the other has TLS from the first byte.
const one = await open(plainPort, false);
const other = await open(tlsPort, true);
assert.ok(one.secureConnection, "STARTTLS was used");
assert.ok(one.authenticated && other.authenticated);

const folders = await one.list({ statusQuery: { messages: true, unseen: true } });
const special = (use) => folders.find((folder) => folder.specialUse === use)?.path;
for (const use of ["\\Inbox", "\\Sent", "\\Trash", "\\Drafts", "\\Junk"]) {
  assert.ok(special(use), `${use} is named`);
}
assert.equal(folders.find((folder) => folder.path === "INBOX").status.messages, 1);
const made = await one.mailboxCreate(["업무", "2026"]);
assert.equal(made.created, true);
const folder = made.path;

const uids = [];
for (let number = 0; number < 20; number++) {
  const added = await one.append(folder, mail(number), number % 2 ? ["\\Seen"] : [], new Date(1e12));
  uids.push(added.uid);
}
assert.deepEqual(uids, [...Array(20).keys()].map((number) => number + 1));

let lock = await one.getMailboxLock(folder);
const heard = { flags: [], expunged: [], exists: [] };
one.on("flags", (update) => heard.flags.push(update));
one.on("expunge", (update) => heard.expunged.push(update));
one.on("exists", (update) => heard.exists.push(update));
assert.equal(one.mailbox.exists, 20);
assert.ok(one.mailbox.highestModseq > 0n);
const all = await one.fetchAll("1:*", { uid: true, flags: true, envelope: true, bodyStructure: true, source: true, internalDate: true, threadId: true, size: true });
assert.equal(all.length, 20);
for (const [number, message] of all.entries()) {
  assert.equal(message.envelope.subject, `Hello ${number}`);
  assert.equal(message.source.toString(), mail(number));
  assert.equal(message.size, Buffer.byteLength(mail(number)));
  assert.equal(message.flags.has("\\Seen"), number % 2 === 1);
  assert.equal(message.bodyStructure.type, "text/plain");
  assert.ok(message.emailId && message.threadId);
  assert.equal(message.internalDate.getTime(), 1e12);
}
assert.deepEqual(await one.search({ seen: false }, { uid: true }), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
assert.deepEqual(await one.search({ body: "Text 7 안녕" }, { uid: true }), [8]);
assert.deepEqual(await one.search({ or: [{ subject: "hello 3" }, { header: { "message-id": "<5@b.test>" } }] }, { uid: true }), [4, 6]);
const { content } = await one.download("3", "TEXT", { uid: true });
let text = "";
for await (const piece of content) text += piece.toString();
assert.equal(text, "Text 2 안녕\r\n");

// The one idles while the other works, and hears of it.
const idling = one.idle();
await new Promise((resolve) => setImmediate(resolve));
const otherLock = await other.getMailboxLock(folder);
const highest = other.mailbox.highestModseq;
assert.equal(await other.messageFlagsAdd("1:3", ["\\Flagged", "$Label1"], { uid: true }), true);
const moved = await other.messageMove("4:6", "INBOX", { uid: true });
assert.deepEqual([...moved.uidMap.keys()], [4, 5, 6]);
const copied = await other.messageCopy("7,8", "INBOX", { uid: true });
assert.equal(copied.uidMap.size, 2);
assert.equal(await other.messageDelete("9", { uid: true }), true);
await other.append(folder, mail(20));
const changed = await other.fetchAll("1:*", { uid: true, flags: true }, { uid: true, changedSince: highest });
assert.deepEqual(changed.map((message) => message.uid).filter((uid) => uid <= 3), [1, 2, 3]);
const deadline = Date.now() + 20000;
while ((heard.flags.length < 3 || heard.expunged.length < 4 || !heard.exists.length) && Date.now() < deadline) {
  await new Promise((resolve) => setTimeout(resolve, 20));
}
assert.ok(heard.flags.filter((update) => update.flags.has("\\Flagged")).length >= 3, "flags were heard of");
assert.equal(heard.expunged.length, 4, "removals were heard of");
assert.ok(heard.exists.length > 0, "new mail was heard of");
otherLock.release();
const quota = await other.getQuota("INBOX");
assert.ok(quota === false || quota.path === "INBOX");
const status = await other.status("INBOX", { messages: true, uidNext: true, unseen: true });
assert.equal(status.messages, 6);
lock.release();
// The next command ends its idling.
await one.mailboxClose();
await idling;
assert.equal((await other.mailboxDelete(folder)).path, folder);
await one.logout();
await other.logout();
