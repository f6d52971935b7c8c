// Alice answers with an attachment, and Bob, who is logged in elsewhere, has it at once.
import { readFile } from 'node:fs/promises';

import { ALICE, BOB, checkAccess, compose, expect, open, read, row, submit, test, unique } from '../support/fixtures';

const NOTES = Buffer.from('회의 노트\n1. Ship it\n');

test('a reply with an attachment reaches Bob live', async ({ alice, other, picture }) => {
  const bob = await other(BOB);
  const subject = unique('점심 Lunch on Friday');
  await compose(bob, { to: ALICE, subject, text: 'Shall we?' });
  await submit(bob);
  await expect(row(alice, subject)).toBeVisible({ timeout: 2_000 });
  await read(alice, subject);
  await alice.getByTestId('reply').first().click();
  await expect(alice.getByTestId('compose-subject')).toHaveValue(new RegExp(`^Re: .*${subject}$`));
  await alice.getByTestId('compose-text').fill('Gladly. The notes are attached.');
  await alice.getByTestId('attach-input').setInputFiles({ name: '회의 notes.txt', mimeType: 'text/plain', buffer: NOTES });
  await expect(alice.getByText('회의 notes.txt').filter({ visible: true }).first()).toBeVisible();
  await checkAccess(alice);
  await picture(alice, 'compose');
  await submit(alice);

  await open(bob, '/mail/inbox');
  await expect(row(bob, `Re: ${subject}`)).toBeVisible({ timeout: 5_000 });
  await read(bob, `Re: ${subject}`);
  await expect(bob.getByText('Gladly. The notes are attached.').filter({ visible: true }).first()).toBeVisible();
  const [download] = await Promise.all([
    bob.waitForEvent('download'),
    bob.getByTestId('attachment-card').filter({ hasText: '회의 notes.txt' }).click(),
  ]);
  expect(await readFile(await download.path())).toEqual(NOTES);
});

test('Bob sees mail from Alice without touching anything', async ({ alice, other }) => {
  const bob = await other(BOB);
  const subject = unique('Knock knock');
  await compose(alice, { to: BOB, subject, text: 'Who is there?' });
  await submit(alice);
  await expect(row(bob, subject)).toBeVisible({ timeout: 2_000 });
  await open(alice, '/mail/sent');
  await expect(row(alice, subject)).toBeVisible();
});

test('what was begun is there after a reload', async ({ alice }) => {
  const subject = unique('Half a thought');
  await compose(alice, { to: BOB, subject, text: 'I was going to say' });
  await expect
    .poll(async () => {
      const { folders } = await (await alice.request.get('/v1/folders')).json();
      const drafts = folders.find((folder: { role: string }) => folder.role?.toLowerCase() === 'drafts');
      const { messages } = await (await alice.request.get(`/v1/folders/${drafts.id}/messages`)).json();
      return messages.map((message: { subject: string }) => message.subject);
    }, { timeout: 10_000 })
    .toContain(subject);
  await open(alice, '/mail/drafts');
  await row(alice, subject).getByText(subject).first().click();
  await expect(alice.getByTestId('compose-subject')).toHaveValue(subject);
  await expect(alice.getByTestId('compose-text')).toHaveValue('I was going to say');
});
