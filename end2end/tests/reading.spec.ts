// A mail's HTML can look as it likes, and do nothing.
import { ALICE, checkAccess, expect, open, read, row, test, unique } from '../support/fixtures';
import { mime } from '../support/mime';
import { send } from '../support/smtp';

const HTML = `
  <h1 style="color: teal">Autumn letter</h1>
  <p onclick="parent.document.title = 'taken'">Leaves are <b>falling</b>.</p>
  <script>parent.document.title = 'taken'</script>
  <img src="x" onerror="parent.document.title = 'taken'">
  <img id="remote" src="https://pictures.example/pixel.png" width="40" height="40" alt="a leaf">
  <a href="javascript:parent.document.title='taken'">a trap</a>
  <form action="https://phish.example/"><input name="password"></form>
  <iframe src="https://phish.example/"></iframe>
  <style>@import url(https://pictures.example/all.css); h1 { background: url(https://pictures.example/bg.png) }</style>`;

const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==',
  'base64',
);

test('a newsletter is shown safely, and its pictures only when asked for', async ({ alice, server, context, picture }) => {
  const outside: string[] = [];
  await context.route(
    (url) => !url.href.startsWith(server.web),
    (route) => {
      outside.push(route.request().url());
      return route.fulfill({ contentType: 'image/png', body: PIXEL });
    },
  );
  const subject = unique('Autumn letter');
  await send(server.smtp, 'letters@example.org', ALICE, mime({ from: 'Seoul Letters <letters@example.org>', subject, html: HTML }));
  await expect(row(alice, subject)).toBeVisible();
  await read(alice, subject);

  const mail = alice.getByTestId('message-frame').contentFrame();
  await expect(mail.getByRole('heading', { name: 'Autumn letter' })).toBeVisible();
  await expect(mail.locator('script, iframe, form, input, [onclick], [onerror], a[href^="javascript"]')).toHaveCount(0);
  expect(await alice.title()).not.toContain('taken');
  expect(outside).toEqual([]);
  const sandbox = await alice.getByTestId('message-frame').getAttribute('sandbox');
  expect(sandbox).not.toBeNull();
  expect(sandbox).not.toContain('allow-scripts');
  await checkAccess(alice);
  await picture(alice, 'newsletter');

  await alice.getByTestId('show-images').click();
  await expect.poll(() => outside).toContain('https://pictures.example/pixel.png');
  expect(outside.filter((url) => !url.startsWith('https://pictures.example/'))).toEqual([]);
  expect(await alice.title()).not.toContain('taken');
});

test('the page itself loads nothing from outside, and says so', async ({ alice, server, context }) => {
  const outside: string[] = [];
  context.on('request', (request) => {
    if (!request.url().startsWith(server.web) && !request.url().startsWith('data:')) outside.push(request.url());
  });
  const complaints: string[] = [];
  alice.on('console', (message) => {
    // The test's own eyes in a mail's frame, which lets no script run: that is as it should be.
    const sandboxed = message.text().startsWith("Blocked script execution in 'about:blank'");
    if (message.type() === 'error' && !sandboxed) complaints.push(message.text());
  });
  alice.on('pageerror', (error) => complaints.push(error.message));
  const answer = await alice.request.get('/mail/inbox');
  expect(answer.headers()['content-security-policy']).toContain("default-src 'none'");
  await open(alice, '/mail/inbox');
  await alice.getByTestId('message-row').first().click();
  await expect(alice.getByTestId('reply').first()).toBeVisible();
  expect(outside).toEqual([]);
  expect(complaints).toEqual([]);
});

test('a subject from right to left or with markup stays in its place', async ({ alice, server }) => {
  const mark = unique('x');
  const subject = `\u202Efdp.exe <b>bold</b> ${mark}`;
  await send(server.smtp, 'jiwoo@example.org', ALICE, mime({ subject, text: 'Hello' }));
  await expect(row(alice, mark)).toBeVisible();
  await expect(row(alice, mark).locator('b', { hasText: /^bold$/ })).toHaveCount(0);
});
