// What every journey starts from: a server with demo accounts, a small Internet around it, and readers who are logged in.
import { AxeBuilder } from '@axe-core/playwright';
import { type BrowserContext, type Page, expect, test as base } from '@playwright/test';
import path from 'node:path';

import { Zone } from './dns';
import { type Address, type Server, startServer } from './server';
import { freePort } from './smtp';

export { expect };

export const PASSWORD = 'magpie-demo';
export const ALICE = 'alice@demo.test';
export const BOB = 'bob@demo.test';

/** Mail servers of other domains, by what they are like. Each has a loopback address of its own. */
export type Internet = { elsewhere: Address; refuses: Address; later: Address };

type Reader = { email: string; page: Page };

type WorkerParts = { internet: Internet; server: Server };
type Parts = {
  /** A page on which Alice is logged in. */
  alice: Page;
  /** Somebody else, in a browser of their own. */
  other: (email: string) => Promise<Page>;
  /** Keeps a picture for the documents. */
  picture: (page: Page, name: string) => Promise<void>;
};

export const test = base.extend<Parts, WorkerParts>({
  internet: [
    async ({}, use) => {
      const port = await freePort();
      await use({
        elsewhere: { host: '127.0.0.2', port },
        refuses: { host: '127.0.0.3', port },
        later: { host: '127.0.0.4', port },
      });
    },
    { scope: 'worker' },
  ],
  server: [
    async ({ internet }, use) => {
      const zone = await Zone.serve(
        Object.fromEntries(Object.entries(internet).map(([name, at]) => [`${name}.test`, at.host])),
      );
      const server = await startServer({
        MAGPIE_DNS__RESOLVER: zone.address,
        MAGPIE_QUEUE__PORT: String(internet.elsewhere.port),
        MAGPIE_QUEUE__ALLOW_PRIVATE_TARGETS: 'true',
        MAGPIE_QUEUE__RETRY: '["1s"]',
      });
      await use(server);
      await server.stop();
      await zone.stop();
    },
    { scope: 'worker', timeout: 90_000 },
  ],
  baseURL: async ({ server }, use) => use(server.web),
  alice: async ({ context, page }, use) => {
    await logIn(context, ALICE);
    await open(page, '/mail/inbox');
    await use(page);
  },
  other: async ({ browser, contextOptions, baseURL }, use) => {
    const readers: Reader[] = [];
    await use(async (email) => {
      const context = await browser.newContext({ ...contextOptions, baseURL });
      const page = await context.newPage();
      readers.push({ email, page });
      await logIn(context, email);
      await open(page, '/mail/inbox');
      return page;
    });
    for (const { page } of readers) await page.context().close();
  },
  picture: async ({}, use, testInfo) => {
    const folder = process.env.SCREENSHOTS;
    await use(async (page, name) => {
      const file = `${testInfo.project.name}-${name}.png`;
      const where = folder ? path.join(folder, file) : testInfo.outputPath(file);
      await page.screenshot({ path: where, animations: 'disabled' });
    });
  },
});

/** Through the API: what the login page does is a journey of its own. */
async function logIn(context: BrowserContext, email: string): Promise<void> {
  const answer = await context.request.post('/v1/session', { data: { email, password: PASSWORD } });
  expect(answer.ok(), await answer.text()).toBe(true);
}

/** Goes there and waits until the page answers. */
export async function open(page: Page, address: string): Promise<void> {
  await page.goto(address);
  await hydrated(page);
}

export async function hydrated(page: Page): Promise<void> {
  await expect(page.locator('html')).toHaveAttribute('data-hydrated', 'true', { timeout: 15_000 });
}

/** The row of the list with this subject. */
export function row(page: Page, subject: string) {
  return page.getByTestId('message-row').filter({ hasText: subject });
}

/** Opens the mail with this subject from the list. */
export async function read(page: Page, subject: string): Promise<void> {
  await row(page, subject).getByText(subject).first().click();
  await expect(page.getByTestId('reply').first()).toBeVisible();
}

/** What stands beside the inbox: how many mails are unread. On a phone it waits in the drawer. */
export function unreadCount(page: Page) {
  const inbox = page.locator('[data-testid=folder-link][data-role=inbox]');
  return inbox.getByTestId('unread-count').locator('[aria-hidden]');
}

/** Begins a new mail. */
export async function compose(page: Page, mail: { to: string; subject: string; text: string }): Promise<void> {
  await page.locator('a[href="/compose"]').filter({ visible: true }).first().click();
  await page.getByTestId('compose-to').fill(mail.to);
  await page.getByTestId('compose-subject').fill(mail.subject);
  await page.getByTestId('compose-text').fill(mail.text);
}

/** Sends what is being written, and waits until it is sent. */
export async function submit(page: Page): Promise<void> {
  await page.getByTestId('compose-send').click();
  await expect(page.getByTestId('compose-send')).toHaveCount(0);
}

/** A subject that no other test has. */
export function unique(subject: string): string {
  counter += 1;
  return `${subject} ${process.pid}-${counter}`;
}
let counter = 0;

/** Nothing that keeps somebody from reading or using the page. */
export async function checkAccess(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).exclude('iframe').analyze();
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const said = serious.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map(({ html }) => `  ${html}`).join('\n')}`);
  expect(said).toEqual([]);
}
