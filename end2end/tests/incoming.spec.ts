// Mail comes in while one looks.
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { ALICE, expect, open, read, row, test, unique, unreadCount } from '../support/fixtures';
import { mime } from '../support/mime';
import { send } from '../support/smtp';

const run = promisify(execFile);

test('a mail appears within a second, and is counted', async ({ alice, server }) => {
  const before = Number(await unreadCount(alice).textContent());
  const subject = unique('반가운 소식 Good news');
  await send(server.smtp, 'jiwoo@example.org', ALICE, mime({ subject, text: 'The magpie called this morning.' }));
  await expect(row(alice, subject)).toBeVisible({ timeout: 1_000 });
  await expect(unreadCount(alice)).toHaveText(String(before + 1), { timeout: 1_000 });
  await expect(row(alice, subject)).toContainText('The magpie called this morning.');

  await read(alice, subject);
  await expect(alice.getByTestId('message-text')).toContainText('The magpie called this morning.');
  await expect(unreadCount(alice)).toHaveText(String(before));
});

test('what came while the connection was away is caught up', async ({ alice, server, context }) => {
  const subject = unique('Sent while you were away');
  await context.setOffline(true);
  await send(server.smtp, 'jiwoo@example.org', ALICE, mime({ subject, text: 'Still there?' }));
  await context.setOffline(false);
  await expect(row(alice, subject)).toBeVisible({ timeout: 20_000 });
});

test('five megabytes from swaks come out of the browser byte for byte', async ({ alice, server }, info) => {
  const subject = unique('Drawings');
  const content = randomBytes(5 * 1024 * 1024);
  const file = info.outputPath('drawings.bin');
  await writeFile(file, content);
  await run('swaks', [
    ...['--server', `${server.smtp.host}:${server.smtp.port}`, '--from', 'jiwoo@example.org', '--to', ALICE],
    ...['--header', `Subject: ${subject}`, '--body', 'As promised.'],
    ...['--attach-type', 'application/octet-stream', '--attach-name', 'drawings.bin', '--attach', `@${file}`],
    '--hide-all',
  ]);
  await expect(row(alice, subject)).toBeVisible({ timeout: 1_000 });
  await read(alice, subject);
  const card = alice.getByTestId('attachment-card').filter({ hasText: 'drawings.bin' });
  await expect(card).toContainText('5');
  const [download] = await Promise.all([alice.waitForEvent('download'), card.click()]);
  expect(download.suggestedFilename()).toBe('drawings.bin');
  const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
  expect(sha256(await readFile(await download.path()))).toBe(sha256(content));
});

test('broken mail is shown all the same', async ({ alice, server }) => {
  const subject = unique('Unclosed');
  const broken = [
    'From: =?utf-8?B?broken', `Subject: ${subject}`, 'Content-Type: multipart/mixed; boundary=x', '', '--x',
    'Content-Type: text/plain; charset=unheard-of', '', 'Still readable \xff here', '--x', 'Content-Type: multipart/x', '', '',
  ].join('\r\n');
  await send(server.smtp, '', ALICE, broken);
  await expect(row(alice, subject)).toBeVisible();
  await read(alice, subject);
  await expect(alice.getByText('Still readable').filter({ visible: true }).first()).toBeVisible();
  await open(alice, alice.url());
  await expect(alice.getByText('Still readable').filter({ visible: true }).first()).toBeVisible();
});
