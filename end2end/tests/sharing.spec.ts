// A folder that is shared: its owner gives it, somebody else reads it, and what is taken back is gone.
import type { Page } from '@playwright/test';

import { ALICE, BOB, checkAccess, expect, read, row, submit, test, unique } from '../support/fixtures';
import { mime } from '../support/mime';
import { send } from '../support/smtp';

const HTML = '<p>Hello <b>both</b></p><script>parent.document.title = "taken"</script><img src="https://pictures.example/p.png">';

/** Makes a folder of Alice's with a mail in it, and shares it with Bob. */
async function shared(alice: Page, rights: string): Promise<{ id: string; name: string; subject: string; access: string }> {
  const name = unique('Projects');
  const made = await alice.request.post('/v1/folders', { data: { name }, headers: CSRF });
  const { id } = await made.json();
  const access = `/v1/folders/${id}/access/${BOB}`;
  const answer = await alice.request.put(access, { data: { rights }, headers: CSRF });
  expect(answer.ok(), await answer.text()).toBe(true);
  return { id, name, subject: unique('Offer'), access };
}
const CSRF = { 'x-magpie-csrf': '1' };

/** Has a mail come in for Alice, and puts it into the folder. */
async function put(alice: Page, smtp: Parameters<typeof send>[0], folder: string, mail: Parameters<typeof mime>[0]): Promise<void> {
  await send(smtp, 'jiwoo@example.org', ALICE, mime(mail));
  const found = async () => {
    const { folders } = await (await alice.request.get('/v1/folders')).json();
    const inbox = folders.find(({ role }: { role: string }) => role === 'inbox').id;
    const { messages } = await (await alice.request.get(`/v1/folders/${inbox}/messages`)).json();
    return messages.find(({ subject }: { subject: string }) => subject === mail.subject)?.id;
  };
  await expect.poll(found).toBeTruthy();
  const moved = await alice.request.patch(`/v1/messages/${await found()}`, { data: { folder_id: folder }, headers: CSRF });
  expect(moved.ok(), await moved.text()).toBe(true);
}

/** Opens the drawer on a phone. */
async function sidebar(page: Page): Promise<void> {
  const menu = page.getByTestId('menu');
  if (await menu.isVisible()) await menu.click();
}

async function enter(page: Page, name: string): Promise<void> {
  await sidebar(page);
  await page.getByTestId('shared-link').filter({ hasText: name }).click();
}

test('what somebody shares is in the side bar, read as safely as one’s own, and gone once it is taken back', async ({
  alice,
  other,
  server,
  picture,
}) => {
  const { id, name, subject, access } = await shared(alice, 'lr');
  await put(alice, server.smtp, id, { subject, html: HTML });
  const bob = await other(BOB);
  const outside: string[] = [];
  await bob.context().route((url) => !url.href.startsWith(server.web), (route) => {
    outside.push(route.request().url());
    return route.abort();
  });
  const link = bob.getByTestId('shared-link').filter({ hasText: name });
  await expect(link.getByTestId('unread-count').locator('[aria-hidden]')).toHaveText('1');
  await enter(bob, name);
  await expect(row(bob, subject)).toBeVisible();
  await checkAccess(bob);
  await row(bob, subject).getByText(subject).first().click();
  const mail = bob.getByTestId('message-frame').contentFrame();
  await expect(mail.getByText('Hello both')).toBeVisible();
  await expect(mail.locator('script')).toHaveCount(0);
  await expect(bob.getByTestId('show-images')).toBeVisible();
  expect(outside).toEqual([]);
  expect(await bob.title()).not.toContain('taken');
  // To be read only: nothing is offered that changes it, and reading leaves it unread.
  await expect(bob.getByTestId('reply')).toBeVisible();
  for (const action of ['archive', 'delete', 'move', 'mark-unread', 'star']) {
    await expect(bob.getByTestId(action)).toHaveCount(0);
  }
  await expect(link.getByTestId('unread-count').locator('[aria-hidden]')).toHaveText('1');
  await checkAccess(bob);
  await picture(bob, 'shared');

  // Rendered by the server, it is the same.
  await bob.reload();
  await expect(bob.getByTestId('message-frame').contentFrame().getByText('Hello both')).toBeVisible();
  await expect(bob.locator('html')).toHaveAttribute('data-hydrated', 'true');

  await alice.request.delete(access, { headers: CSRF });
  await expect(link).toHaveCount(0);
  await expect(bob.getByTestId('message-frame')).toHaveCount(0);
  await bob.reload();
  await expect(bob.getByTestId('message-frame')).toHaveCount(0);
  await expect(row(bob, subject)).toHaveCount(0);
});

test('who may write marks, stars and deletes; and both see at once what the other does', async ({ alice, other, server }) => {
  const { id, name, subject } = await shared(alice, 'lrswite');
  await put(alice, server.smtp, id, { subject, text: 'Is that all right?' });
  const bob = await other(BOB);
  await enter(bob, name);
  await expect(row(bob, subject)).toHaveClass(/unread/);
  const later = unique('And one more');
  await put(alice, server.smtp, id, { subject: later, text: 'While you look' });
  await expect(row(bob, later)).toBeVisible();

  await row(bob, subject).getByText(subject).first().click();
  await expect(bob.getByTestId('message-text')).toContainText('Is that all right?');
  const summary = async () => {
    const { messages } = await (await alice.request.get(`/v1/folders/${id}/messages`)).json();
    return messages.find((message: { subject: string }) => message.subject === subject);
  };
  await expect.poll(async () => (await summary()).unread).toBe(false);
  await bob.getByTestId('star').filter({ visible: true }).first().click();
  await expect.poll(async () => (await summary()).flagged).toBe(true);

  bob.once('dialog', (dialog) => dialog.accept());
  await bob.getByTestId('delete').click();
  await expect(row(bob, subject)).toHaveCount(0);
  await expect.poll(summary).toBeUndefined();
});

test('a mail that somebody shares is answered, and passed on with its files', async ({ alice, other, server }) => {
  const { id, name, subject } = await shared(alice, 'lrw');
  await put(alice, server.smtp, id, {
    from: ALICE,
    subject,
    text: 'Can you look at this?',
    attachment: { name: 'plan.txt', type: 'text/plain', content: Buffer.from('Plan A') },
  });
  const bob = await other(BOB);
  await enter(bob, name);
  await read(bob, subject);
  await bob.getByTestId('reply').first().click();
  await expect(bob.getByTestId('compose-subject')).toHaveValue(`Re: ${subject}`);
  await bob.getByTestId('compose-text').fill('I have.');
  await submit(bob);
  await expect(row(alice, `Re: ${subject}`)).toBeVisible();
  const summary = async () => {
    const { messages } = await (await alice.request.get(`/v1/folders/${id}/messages`)).json();
    return messages.find((message: { subject: string }) => message.subject === subject);
  };
  await expect.poll(async () => (await summary()).answered).toBe(true);

  await bob.getByTestId('forward').first().click();
  await expect(bob.getByText('plan.txt').filter({ visible: true }).first()).toBeVisible();
  await bob.getByTestId('compose-to').fill(ALICE);
  await submit(bob);
  await read(alice, `Fwd: ${subject}`);
  await expect(alice.getByTestId('attachment-card').filter({ hasText: 'plan.txt' })).toBeVisible();
  await expect.poll(async () => (await summary()).forwarded).toBe(true);
});

test('a folder is shared from its menu, and taken back there', async ({ alice, other, picture }) => {
  const name = unique('Family');
  await alice.request.post('/v1/folders', { data: { name }, headers: CSRF });
  await sidebar(alice);
  const folder = alice.getByRole('listitem').filter({ has: alice.getByTestId('folder-link').filter({ hasText: name }) });
  await folder.hover();
  await folder.getByTestId('folder-menu').click();
  await alice.getByTestId('share-folder').click();
  const sharing = alice.getByTestId('sharing');
  await expect(sharing.getByTestId('sharing-nobody')).toBeVisible();

  await sharing.getByTestId('sharing-address').fill('nobody@demo.test');
  await sharing.getByTestId('sharing-add').click();
  await expect(sharing.getByTestId('sharing-problem')).toBeVisible();
  await sharing.getByTestId('sharing-address').fill(BOB);
  await sharing.getByTestId('sharing-level').selectOption('write');
  await sharing.getByTestId('sharing-add').click();
  const person = sharing.getByTestId('sharing-person').filter({ hasText: BOB });
  await expect(person.getByRole('combobox')).toHaveValue('write');
  await expect(sharing.getByTestId('sharing-problem')).toHaveCount(0);
  await checkAccess(alice);
  await picture(alice, 'sharing');
  await person.getByRole('combobox').selectOption('read');

  const bob = await other(BOB);
  const link = bob.getByTestId('shared-link').filter({ hasText: name });
  await expect(link).toHaveCount(1);
  await person.getByTestId('sharing-stop').click();
  await expect(sharing.getByTestId('sharing-nobody')).toBeVisible();
  await expect(link).toHaveCount(0);
  await alice.keyboard.press('Escape');
  await expect(sharing).toHaveCount(0);
});
