// Mail programs get passwords of their own: made in the settings, shown once, taken away.
import { checkAccess, expect, PASSWORD, test, unique } from '../support/fixtures';

test('a mail program gets a password of its own, which is shown once and can be taken away', async ({ alice, picture }) => {
  const menu = alice.getByTestId('menu');
  if (await menu.isVisible()) await menu.click();
  await alice.getByTestId('settings').click();
  await alice.getByTestId('open-app-passwords').click();
  const dialog = alice.getByTestId('app-passwords');
  await expect(dialog).toBeVisible();
  const name = unique('전화기');
  await alice.getByTestId('app-password-name').fill(name);
  await alice.getByTestId('app-password-own').fill('not mine');
  await alice.getByTestId('app-password-add').click();
  await expect(alice.getByTestId('app-password-problem')).toBeVisible();
  await expect(alice.getByTestId('app-password-made')).toHaveCount(0);
  await alice.getByTestId('app-password-own').fill(PASSWORD);
  await alice.getByTestId('app-password-own').press('Enter');
  const made = alice.getByTestId('app-password-made').locator('code');
  await expect(made).toHaveText(/^[a-z2-9]{20}$/);
  await expect(alice.getByTestId('app-password-problem')).toHaveCount(0);
  await expect(alice.getByTestId('app-password-own')).toHaveValue('');
  const line = alice.getByTestId('app-password').filter({ hasText: name });
  await expect(line).toHaveCount(1);
  await checkAccess(alice);
  await picture(alice, 'app-passwords');
  const listed = await (await alice.request.get('/v1/app-passwords')).text();
  expect(listed).toContain(name);
  expect(listed).not.toContain((await made.textContent()) ?? '');
  await line.getByTestId('app-password-remove').click();
  await expect(line).toHaveCount(0);
  await expect(alice.getByTestId('app-password-made')).toHaveCount(0);
  await alice.getByTestId('app-passwords-done').click();
  await expect(dialog).toHaveCount(0);
});
