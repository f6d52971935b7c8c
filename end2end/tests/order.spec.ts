// Keeping order: read and unread, stars, archive, trash, folders, filter, search.
import type { Page } from '@playwright/test';

import { ALICE, checkAccess, expect, open, read, row, test, unique } from '../support/fixtures';
import { mime } from '../support/mime';
import type { Server } from '../support/server';
import { send } from '../support/smtp';

async function arrived(page: Page, server: Server, subject: string, text = 'Hello Alice'): Promise<string> {
  const name = unique(subject);
  await send(server.smtp, 'jiwoo@example.org', ALICE, mime({ subject: name, text }));
  await expect(row(page, name)).toBeVisible();
  return name;
}

/** The button in the open mail, not the one of a row. */
function button(page: Page, id: string) {
  return page.getByTestId(id).filter({ visible: true }).last();
}

test('an archived mail can be had back, and is in the archive otherwise', async ({ alice, server }) => {
  const subject = await arrived(alice, server, 'Receipt');
  await read(alice, subject);
  await button(alice, 'archive').click();
  await expect(alice.getByTestId('toast')).toBeVisible();
  await expect(row(alice, subject)).toHaveCount(0);
  await alice.getByTestId('undo').click();
  await open(alice, '/mail/inbox');
  await expect(row(alice, subject)).toBeVisible();

  await read(alice, subject);
  await button(alice, 'archive').click();
  await open(alice, '/mail/archive');
  await expect(row(alice, subject)).toBeVisible();
});

test('a deleted mail is in the trash', async ({ alice, server }) => {
  const subject = await arrived(alice, server, 'Junk mail');
  await read(alice, subject);
  await button(alice, 'delete').click();
  await expect(row(alice, subject)).toHaveCount(0);
  await open(alice, '/mail/trash');
  await expect(row(alice, subject)).toBeVisible();
});

test('a mail is unread again when it is marked so, and the filter shows it', async ({ alice, server }) => {
  const subject = await arrived(alice, server, 'Later');
  const seen = await arrived(alice, server, 'Seen');
  await read(alice, seen);
  await open(alice, '/mail/inbox');
  await read(alice, subject);
  await button(alice, 'mark-unread').click();
  await open(alice, '/mail/inbox');
  await alice.getByTestId('filter-unread').click();
  await expect(row(alice, subject)).toBeVisible();
  await expect(row(alice, seen)).toHaveCount(0);
  await expect(alice).toHaveURL(/unread=true/);
});

test('a star stays', async ({ alice, server }) => {
  const subject = await arrived(alice, server, 'Keep this');
  await read(alice, subject);
  await button(alice, 'star').click();
  await open(alice, '/mail/inbox?flagged=true');
  await expect(row(alice, subject)).toBeVisible();
});

test('a mail is found by its words, in Korean and in English', async ({ alice, server }) => {
  const word = `귀뚜라미${Date.now() % 100_000}`;
  const subject = await arrived(alice, server, '가을밤 Autumn night', `풀숲에서 ${word} 우는 소리 crickets singing`);
  for (const words of [word, `가을밤 ${word}`]) {
    await open(alice, '/search');
    await alice.getByTestId('search-box').filter({ visible: true }).fill(words);
    await alice.getByTestId('search-box').filter({ visible: true }).press('Enter');
    await expect(alice).toHaveURL(/\/search\?q=/);
    await expect
      .poll(async () => {
        await open(alice, alice.url());
        return row(alice, subject).count();
      }, { timeout: 15_000 })
      .toBeGreaterThan(0);
  }
  await checkAccess(alice);
});

test('the list goes on to its end without page buttons', async ({ alice }) => {
  const first = await alice.getByTestId('message-row').first().textContent();
  const list = alice.getByTestId('message-row').first();
  await list.hover();
  const { folders } = await (await alice.request.get('/v1/folders')).json();
  const inbox = folders.find((folder: { role: string }) => folder.role?.toLowerCase() === 'inbox');
  const oldest = await last(alice, inbox.id);
  await expect
    .poll(async () => {
      await alice.mouse.wheel(0, 4_000);
      return row(alice, oldest).count();
    }, { timeout: 20_000, intervals: [50] })
    .toBeGreaterThan(0);
  // Only what is near the eye is in the document.
  expect(await alice.getByTestId('message-row').count()).toBeLessThan(120);
  expect(first).toBeTruthy();
});

/** The subject of the oldest mail of a folder. */
async function last(page: Page, folder: string): Promise<string> {
  let cursor = '';
  for (;;) {
    const query = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
    const { messages, next } = await (await page.request.get(`/v1/folders/${folder}/messages?limit=200${query}`)).json();
    if (!next) return messages.at(-1).subject;
    cursor = next;
  }
}
