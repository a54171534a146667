// Makes the pictures of the documentation. Run by screenshots.sh.

import { mkdirSync } from 'node:fs';
import { Agent, launch, pageOf, sleep } from './browser.mjs';
import { Mock } from './mock.mjs';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
const agent = await Agent.start();
const page = await pageOf(agent);
await agent.stop();
const browser = await launch();

/** One picture: `size` of the screen, `hash` of the dialog, `before` to bring the page into a state. */
async function picture(name, { size = [1440, 900], hash = '', full = false, touch = false, options = {}, before } = {}) {
  const mock = await Mock.start({ page, ...options });
  const context = await browser.newContext({ viewport: { width: size[0], height: size[1] }, deviceScaleFactor: touch ? 2 : 1, hasTouch: touch, isMobile: touch });
  const tab = await context.newPage();
  await tab.goto(mock.url + hash);
  await tab.waitForFunction(() => document.documentElement.dataset.state === 'live', null, { timeout: 20000 });
  await sleep(4500);
  await before?.(tab, mock);
  await tab.evaluate(() => document.activeElement.blur());
  await tab.screenshot({ path: `${folder}/${name}.png`, fullPage: full });
  console.log(`${folder}/${name}.png`);
  await context.close();
  await mock.stop();
}

await picture('dashboard-1440x900');
await picture('dashboard-1024x768', { size: [1024, 768], full: true });
await picture('dashboard-800x480', { size: [800, 480] });
await picture('dashboard-390x844', { size: [390, 844], full: true, touch: true });
const night = new Date();
night.setHours(3, 4, 0, 0);
if (night > Date.now() - 3600e3) night.setDate(night.getDate() - 1);
for (const [name, size] of [['dashboard-moment', [1440, 900]], ['dashboard-moment-390x844', [390, 844]]]) {
  await picture(name, {
    size, touch: size[0] < 700, full: true, hash: `#t=${night / 1000 - 100}&r=24h`, options: { trouble: false, night: night / 1000 },
    before: (tab) => tab.waitForSelector('#event span'),
  });
}
await picture('dashboard-dialog', { hash: '#cpu', before: async (tab) => { await tab.waitForSelector('#dialog-body .chart'); await tab.hover('#dialog-body .chart', { position: { x: 760, y: 90 } }); await sleep(300); } });
await picture('dashboard-down', {
  options: { trouble: false },
  before: async (tab, mock) => {
    mock.state.hung = true;
    await tab.waitForFunction(() => document.documentElement.dataset.state === 'down', null, { timeout: 30000 });
    await sleep(1200);
  },
});
await browser.close();
