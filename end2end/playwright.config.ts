// Journeys on a desktop and a phone, by light and in the dark, in English and Korean; one browser: Debian's Chromium.
import { defineConfig } from '@playwright/test';

const desktop = { viewport: { width: 1360, height: 850 } };
const phone = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
};
const light = { colorScheme: 'light', locale: 'en-US' } as const;
const darkKorean = { colorScheme: 'dark', locale: 'ko-KR' } as const;

export default defineConfig({
  testDir: 'tests',
  outputDir: 'test-results',
  // The server is one process on the same two cores as the browser.
  workers: 1,
  timeout: 30_000,
  expect: { timeout: 5_000 },
  forbidOnly: true,
  retries: process.env.CI ? 2 : 0,
  reporter: [['list']],
  use: {
    timezoneId: 'Asia/Seoul',
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-dev-shm-usage'],
    },
  },
  projects: [
    { name: 'desktop', use: { ...desktop, ...light } },
    { name: 'desktop-dark-korean', use: { ...desktop, ...darkKorean } },
    { name: 'phone', use: { ...phone, ...light } },
    { name: 'phone-dark-korean', use: { ...phone, ...darkKorean } },
  ],
});
