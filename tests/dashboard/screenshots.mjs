// Makes the pictures of the documentation. Run by screenshots.sh.

import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Agent, launch, pageOf, sleep } from './browser.mjs';
import { Incident } from './incident.mjs';
import { Mock } from './mock.mjs';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
const agent = await Agent.start();
const page = await pageOf(agent);
await agent.stop();
const browser = await launch();

/** The agent's own page of a real incident, which is on its way while the other pictures are made. */
const lack = Incident.lacks();
const incident = lack ? null : await Incident.start({ busy: availableParallelism(), memory: 256e6, flags: ['--rule.cpu_busy.above=70'] });

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
await picture('dashboard-moment', {
  full: true, hash: `#t=${night / 1000 - 100}&r=24h`, options: { trouble: false, night: night / 1000 },
  before: (tab) => tab.waitForSelector('#event summary'),
});
await picture('dashboard-dialog', { hash: '#cpu', before: async (tab) => { await tab.waitForSelector('#dialog-body .chart'); await tab.hover('#dialog-body .chart', { position: { x: 760, y: 90 } }); await sleep(300); } });
await picture('dashboard-down', {
  options: { trouble: false },
  before: async (tab, mock) => {
    mock.state.hung = true;
    await tab.waitForFunction(() => document.documentElement.dataset.state === 'down', null, { timeout: 30000 });
    await sleep(1200);
  },
});

/** What the agent says that happened, until `wanted` is there. */
async function happened(wanted) {
  for (let i = 0; i < 300; i++) {
    const { events } = await (await fetch(`${incident.url}events`)).json();
    const event = events.find(wanted);
    if (event) return event;
    await sleep(500);
  }
  throw new Error('the incident did not come');
}

if (incident?.group) {
  await happened((one) => one.rule === 'cpu_busy');
  incident.kill();
  const { begin } = await happened((one) => one.kind === 'oom_kill' && one.culprit === 'database');
  // What came after it.
  await sleep(15000);
  for (const [name, size] of [['dashboard-incident', [1440, 900]], ['dashboard-incident-390x844', [390, 844]]]) {
    const touch = size[0] < 700;
    const context = await browser.newContext({ viewport: { width: size[0], height: size[1] }, hasTouch: touch, isMobile: touch });
    const tab = await context.newPage();
    await tab.goto(`${incident.url}#t=${Math.round(begin)}&r=2m`);
    await tab.waitForSelector('#event summary', { timeout: 60000 });
    if (!touch) await tab.click('#event summary');
    // The rates of now, and the processes of now.
    await sleep(9000);
    await tab.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
    console.log(`${folder}/${name}.png`);
    await context.close();
  }
} else console.log(`no pictures of an incident: this machine lacks ${lack ?? 'a control group with a limit of memory'}`);
await incident?.stop();
await browser.close();
