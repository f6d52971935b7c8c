// Mail to other domains: found by MX, tried again while nobody is there, and returned when it is refused.
import { BOB, compose, expect, open, read, row, submit, test, unique } from '../support/fixtures';
import { Refuser, SmtpSink } from '../support/smtp';

test('a mail is delivered to the server that the domain names', async ({ alice, internet }) => {
  const sink = await SmtpSink.start(internet.elsewhere);
  const subject = unique('Across the border');
  await compose(alice, { to: 'carol@elsewhere.test', subject, text: '안녕하세요, Carol!' });
  await submit(alice);
  await expect.poll(async () => (await sink.mails()).join(''), { timeout: 10_000 }).toContain(subject);
  const [mail] = await sink.mails();
  expect(mail).toContain('<carol@elsewhere.test>');
  expect(mail).toMatch(/^From: .*<?alice@demo\.test>?/m);
  await sink.stop();
});

test('a mail waits for a server that is down', async ({ alice, internet }) => {
  const subject = unique('Patience');
  await compose(alice, { to: 'dave@later.test', subject, text: 'No hurry.' });
  await submit(alice);
  await open(alice, '/mail/sent');
  await expect(row(alice, subject)).toBeVisible();
  // Only now there is somebody; a first attempt has failed or is failing.
  await expect
    .poll(async () => JSON.stringify(await delivery(alice, subject)), { timeout: 10_000 })
    .toContain('deferred');
  const sink = await SmtpSink.start(internet.later);
  await expect.poll(async () => (await sink.mails()).join(''), { timeout: 15_000 }).toContain(subject);
  await expect.poll(async () => JSON.stringify(await delivery(alice, subject))).toContain('delivered');
  await sink.stop();
});

test('a refused mail comes back with the reason', async ({ alice, internet, picture }) => {
  const refuser = await Refuser.listen(internet.refuses, '550 5.1.1 There is no Erin here');
  const subject = unique('To nobody');
  await compose(alice, { to: 'erin@refuses.test', subject, text: 'Anyone?' });
  await submit(alice);
  await open(alice, '/mail/inbox');
  const bounce = alice.getByTestId('message-row').filter({ hasText: /MAILER-DAEMON|Mail Delivery|postmaster|erin@refuses\.test/i }).first();
  await expect(bounce).toBeVisible({ timeout: 15_000 });
  await bounce.click();
  await expect(alice.getByTestId('reply').first()).toBeVisible();
  await expect(alice.getByText('erin@refuses.test').filter({ visible: true }).first()).toBeVisible();
  await expect(alice.getByText('There is no Erin here').filter({ visible: true }).first()).toBeVisible();
  await picture(alice, 'bounce');
  await refuser.stop();
});

test('one mail reaches people here and elsewhere', async ({ alice, other, internet }) => {
  const bob = await other(BOB);
  const sink = await SmtpSink.start(internet.elsewhere);
  const subject = unique('To both of you');
  await compose(alice, { to: `${BOB}, frank@elsewhere.test`, subject, text: 'Same words for both.' });
  await submit(alice);
  await expect(row(bob, subject)).toBeVisible({ timeout: 5_000 });
  await expect.poll(async () => (await sink.mails()).join(''), { timeout: 10_000 }).toContain(subject);
  await read(bob, subject);
  await expect(bob.getByText('Same words for both.').filter({ visible: true }).first()).toBeVisible();
  await sink.stop();
});

/** What the Sent copy says of its recipients. */
async function delivery(page: import('@playwright/test').Page, subject: string): Promise<unknown> {
  const { folders } = await (await page.request.get('/v1/folders')).json();
  const sent = folders.find((folder: { role: string }) => folder.role?.toLowerCase() === 'sent');
  const { messages } = await (await page.request.get(`/v1/folders/${sent.id}/messages`)).json();
  return messages.find((message: { subject: string }) => message.subject === subject)?.delivery;
}
