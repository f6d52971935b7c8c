// The way out of a mailing list, beside whoever writes to it.
import { ALICE, checkAccess, expect, read, test, unique } from '../support/fixtures';
import { mime } from '../support/mime';
import { send, SmtpSink } from '../support/smtp';

test('a list is left by the mail that it asks for, if the reader says so', async ({ alice, server, internet, picture }) => {
  const sink = await SmtpSink.start(internet.elsewhere);
  const subject = unique('이번 주 소식 This week');
  const mail = mime({ subject, text: 'Read all about it.' });
  const fields = 'List-Unsubscribe: <mailto:leave@elsewhere.test?subject=leave%20weekly>\r\n';
  await send(server.smtp, 'news@elsewhere.test', ALICE, fields + mail);
  await read(alice, subject);
  const leave = alice.getByTestId('unsubscribe');
  await expect(leave).toBeEnabled();
  await leave.click();
  const dialog = alice.getByRole('dialog');
  await expect(dialog).toContainText('leave@elsewhere.test');
  await checkAccess(alice);
  await picture(alice, 'unsubscribe');
  await dialog.getByRole('button').first().click();
  await expect(dialog).toHaveCount(0);
  await expect(leave).toBeEnabled();
  expect(await sink.mails()).toEqual([]);
  await leave.click();
  await alice.getByRole('dialog').getByRole('button').last().click();
  await expect(leave).toBeDisabled();
  await expect.poll(async () => (await sink.mails()).join(''), { timeout: 10_000 }).toContain('Subject: leave weekly');
  expect((await sink.mails()).join('')).toContain('<leave@elsewhere.test>');
  await sink.stop();
});

test('a list that is left on a page only has a link to it', async ({ alice, server }) => {
  const subject = unique('Offers');
  const fields = 'List-Unsubscribe: <https://elsewhere.test/leave?who=1>\r\n';
  await send(server.smtp, 'news@elsewhere.test', ALICE, fields + mime({ subject, text: 'Buy now.' }));
  await read(alice, subject);
  const leave = alice.getByTestId('unsubscribe');
  await expect(leave).toHaveAttribute('href', 'https://elsewhere.test/leave?who=1');
  await expect(leave).toHaveAttribute('rel', 'noopener noreferrer');
});
