// Mail that goes later, and mail that is taken back before it goes.
import { BOB, checkAccess, compose, expect, open, read, row, submit, test, unique } from '../support/fixtures';

test('a mail goes later, and can be taken back until then', async ({ alice, picture }) => {
  const subject = unique('내일 Tomorrow');
  await compose(alice, { to: BOB, subject, text: 'Not before tomorrow.' });
  await alice.getByTestId('send-later').click();
  await checkAccess(alice);
  await picture(alice, 'send-later');
  await alice.getByTestId('send-later-choice').nth(1).click();
  await expect(alice.getByTestId('compose-send')).toHaveCount(0);
  await open(alice, '/mail/sent');
  await read(alice, subject);
  await expect(alice.getByTestId('delivery')).toContainText('08:00');
  await picture(alice, 'scheduled');
  await alice.getByTestId('delete').click();
  await expect(alice.getByTestId('toast')).toBeVisible();
  await open(alice, '/mail/sent');
  await read(alice, subject);
  await alice.getByTestId('take-back').click();
  await expect(alice.getByTestId('compose-subject')).toHaveValue(subject);
  await expect(alice.getByTestId('compose-text')).toHaveValue(/Not before tomorrow\./);
  await expect(row(alice, subject)).toHaveCount(0);
  await alice.getByTestId('compose-discard').click();
});

test('a time of the reader’s own is heeded, unless it is over', async ({ alice }) => {
  const subject = unique('New Year');
  await compose(alice, { to: BOB, subject, text: 'Happy new year!' });
  for (const [time, goes] of [['2020-01-01T09:30', false], [soon(), true]] as const) {
    await alice.getByTestId('send-later').click();
    await alice.getByTestId('send-later-other').click();
    const dialog = alice.locator('dialog[open]');
    await dialog.locator('input').press('Control+Enter');
    await expect(alice.getByTestId('compose-send')).toBeEnabled();
    await dialog.locator('input').fill(time);
    await dialog.locator('button[type=submit]').click();
    if (goes) {
      await expect(alice.getByTestId('compose-send')).toHaveCount(0);
    } else {
      await expect(alice.getByTestId('compose-problem')).not.toBeEmpty();
    }
  }
  await alice.getByTestId('undo').click();
  await expect(alice.getByTestId('compose-subject')).toHaveValue(subject);
  await alice.getByTestId('compose-discard').click();
});

test('what was warned about goes at its time all the same', async ({ alice }) => {
  const text = unique('No subject');
  await compose(alice, { to: BOB, subject: '', text });
  await alice.getByTestId('send-later').click();
  await alice.getByTestId('send-later-choice').nth(1).click();
  await expect(alice.getByTestId('compose-problem')).not.toBeEmpty();
  await alice.getByTestId('send-later').click();
  await expect(alice.getByTestId('send-now')).toBeVisible();
  await alice.keyboard.press('Escape');
  await submit(alice);
  await alice.getByTestId('undo').click();
  await expect(alice.getByTestId('compose-text')).toHaveValue(new RegExp(text));
  await alice.getByTestId('send-later').click();
  await alice.getByTestId('send-later-other').click();
  await alice.locator('dialog[open] input').press('Escape');
  await expect(alice.locator('dialog[open]')).toHaveCount(0);
  await expect(alice.getByTestId('compose-text')).toBeVisible();
  await alice.getByTestId('compose-discard').click();
});

test('sending is undone by who wants to be able to', async ({ alice, other }) => {
  const menu = alice.getByTestId('menu');
  if (await menu.isVisible()) await menu.click();
  await alice.getByTestId('settings').click();
  await alice.getByRole('menuitemradio', { name: /5 seconds|^5초/ }).click();
  await open(alice, '/mail/inbox');
  const bob = await other(BOB);
  const [undone, sent] = [unique('Undone'), unique('Sent after all')];
  await compose(alice, { to: BOB, subject: undone, text: 'Oh no.' });
  await submit(alice);
  await alice.getByTestId('undo').click();
  await expect(alice.getByTestId('compose-subject')).toHaveValue(undone);
  await alice.getByTestId('compose-subject').fill(sent);
  await submit(alice);
  await expect(row(bob, sent)).toBeVisible({ timeout: 12_000 });
  await expect(row(bob, undone)).toHaveCount(0);
});

/** In two days, as the field for it wants it. */
function soon(): string {
  return new Date(Date.now() + 2 * 86_400_000).toISOString().slice(0, 16);
}
