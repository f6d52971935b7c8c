// Through the door, and what one sees first.
import { ALICE, PASSWORD, checkAccess, expect, hydrated, open, test, unreadCount } from '../support/fixtures';

test('a wrong password is told, the right one opens a believable mailbox', async ({ page, picture, isMobile }) => {
  await open(page, '/');
  await expect(page).toHaveURL(/\/login$/);
  await checkAccess(page);
  await picture(page, 'login');
  await page.getByTestId('login-email').fill(ALICE);
  await page.getByTestId('login-password').fill('wrong');
  await page.getByTestId('login-submit').click();
  await expect(page.getByRole('alert')).toBeVisible();

  await page.getByTestId('login-email').fill(ALICE);
  await page.getByTestId('login-password').fill(PASSWORD);
  await page.getByTestId('login-submit').click();
  await expect(page).toHaveURL(/\/mail\/inbox$/);
  await hydrated(page);
  await expect(page.getByTestId('message-row').first()).toBeVisible();
  expect(await page.getByTestId('message-row').count()).toBeGreaterThan(8);
  expect(Number(await unreadCount(page).textContent())).toBeGreaterThan(2);
  await checkAccess(page);
  if (!isMobile) {
    await page.getByTestId('message-row').nth(2).click();
    await expect(page.getByTestId('reply').first()).toBeVisible();
    await page.mouse.move(0, 0);
  }
  await picture(page, 'mailbox');
});

test('the demo mailbox has what real ones have', async ({ alice }) => {
  const api = alice.request;
  const { folders } = await (await api.get('/v1/folders')).json();
  const total = folders.reduce((sum: number, folder: { total: number }) => sum + folder.total, 0);
  expect(total).toBeGreaterThan(200);
  const inbox = folders.find((folder: { role: string }) => folder.role?.toLowerCase() === 'inbox');
  const { messages } = await (await api.get(`/v1/folders/${inbox.id}/messages?limit=200`)).json();
  const count = (is: (message: any) => boolean) => messages.filter(is).length;
  expect(count(({ subject }) => /[가-힣]/.test(subject))).toBeGreaterThan(10);
  expect(count(({ subject }) => /[a-z]{4}/i.test(subject))).toBeGreaterThan(10);
  expect(count(({ has_attachments }) => has_attachments)).toBeGreaterThan(3);
  expect(count(({ unread }) => unread)).toBeGreaterThan(2);
  const threads = new Set(messages.map(({ thread_id }: { thread_id: string }) => thread_id));
  expect(threads.size).toBeLessThan(messages.length);
});

test('the mailbox can be read before any script runs', async ({ browser, baseURL, contextOptions }) => {
  const context = await browser.newContext({ ...contextOptions, baseURL, javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto('/login');
  await page.getByTestId('login-email').fill(ALICE);
  await page.getByTestId('login-password').fill(PASSWORD);
  await page.getByTestId('login-submit').click();
  await expect(page.getByTestId('message-row').first()).toBeVisible();
  await page.getByTestId('message-row').first().getByRole('link').first().click();
  await expect(page.getByTestId('reply').first()).toBeVisible();
  await context.close();
});

test('who is not logged in sees nobody\'s mail', async ({ page, request }) => {
  await page.goto('/mail/inbox');
  await expect(page).toHaveURL(/\/login/);
  expect((await request.get('/v1/folders')).status()).toBe(401);
});
