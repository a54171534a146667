// The dashboard's tests. Run by run.sh.

import { AsyncLocalStorage } from 'node:async_hooks';
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Agent, axeSource, launch, oldChromium, pageOf, sleep, tsc } from './browser.mjs';
import { Incident } from './incident.mjs';
import { Mock, RULE_NAMES } from './mock.mjs';
import { assemble } from './page.mjs';

const CARDS = ['cpu', 'memory', 'thermal', 'network', 'pressure', 'diskio', 'filesystems', 'doctor', 'processes', 'services'];
const SIZES = [[1440, 900], [1024, 768], [800, 480], [390, 844]];
const AT_ONCE = 3;
const LIMIT = 300000;

const tests = [];
const test = (name, run) => tests.push({ name, run });

function check(fact, words) {
  if (!fact) throw new Error(words);
}

function equal(found, wanted, words) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  check(a === b, `${words}: ${a} instead of ${b}`);
}

/** Waits until `fact()` gives something true: for long, as machines may be busy; less only where what comes later is another thing. */
async function until(fact, words, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await fact();
    if (found) return found;
    check(Date.now() < end, `not within ${seconds} s: ${words}`);
    await sleep(100);
  }
}

/** Waits until the page has asked for nothing for a second, and forgets what it has asked for: what was on its way when it was stopped. */
async function silence(mock) {
  let seen = -1;
  await until(async () => {
    const still = mock.requests.length === seen;
    seen = mock.requests.length;
    if (!still) await sleep(1000);
    return still;
  }, 'a second without a request');
  mock.requests.length = 0;
}

let browser, agent, served;

/** The browser contexts of the test that runs. They are closed after it: its pages would ask whoever gets the port next. */
const contexts = new AsyncLocalStorage();

/** A page in its own context, together with what went wrong in it. */
async function open(url, { size = [1440, 900], touch = false, hash = '', init, wait = true, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: size[0], height: size[1] }, hasTouch: touch, isMobile: touch, ...options });
  contexts.getStore()?.push(context);
  const page = await context.newPage();
  page.errors = [];
  page.asked = [];
  page.on('console', (message) => message.type() === 'error' && page.errors.push(message.text()));
  page.on('pageerror', (error) => page.errors.push(String(error)));
  page.on('request', (request) => page.asked.push(request.url()));
  if (init) await page.addInitScript(init);
  await page.goto(url + hash);
  if (wait) await until(() => state(page).then((it) => it === 'live'), 'live');
  return page;
}

const state = (page) => page.evaluate(() => document.documentElement.dataset.state);
const pill = (page) => page.textContent('#status');
const text = (page, selector) => page.evaluate((it) => document.querySelector(it)?.innerText ?? '', selector);
const opened = (page) => page.evaluate(() => (document.querySelector('#dialog').open ? location.hash : ''));

async function show(page, id) {
  await page.evaluate((it) => document.querySelector(`#open-${it}`).click(), id);
  await until(async () => (await opened(page)) === `#${id}`, `dialog ${id}`);
}

/** How many pixels of a canvas have a colour (within 40 of each channel), by column if asked for. */
const pixels = (page, selector, colour) => page.evaluate(([it, hex]) => {
  const canvas = document.querySelector(it);
  const { data, width } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const want = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  let count = 0, first = Infinity, last = -1;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] < 40 || want.some((value, j) => Math.abs(value - data[i + j]) > 40)) continue;
    count++;
    first = Math.min(first, (i / 4) % width);
    last = Math.max(last, (i / 4) % width);
  }
  return { count, first: first / width, last: last / width };
}, [selector, colour]);
/** How many pixels of the upper canvas of each chart on the page are drawn. */
const crosshairs = (page) => page.evaluate(() => [...document.querySelectorAll('#cards .chart')].map((chart) => {
  const over = chart.lastChild;
  return over.getContext('2d').getImageData(0, 0, over.width, over.height).data.filter((value, i) => i % 4 === 3 && value > 0).length;
}));

async function axe(page, words, options = {}) {
  await page.evaluate(readFileSync(axeSource, 'utf8'));
  const { violations } = await page.evaluate((it) => window.axe.run(document, it), { resultTypes: ['violations'], ...options });
  equal(violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target).join(' ')}`), [], `axe, ${words}`);
}

async function clean(page, url) {
  equal(page.errors, [], 'console errors');
  const foreign = page.asked.filter((it) => !it.startsWith(url) && !it.startsWith('data:'));
  equal(foreign, [], 'requests that leave the agent');
}

class Skipped extends Error {}

function canRead(file) {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

const execute = promisify(execFile);

/** Like Caddy's `handle_path PREFIX*`: passes on what is below `prefix`, without it; `only` limits what is passed on. */
async function proxied(target, prefix, run, only = () => true) {
  const asked = [];
  const server = http.createServer((request, response) => {
    asked.push(request.url);
    if (!request.url.startsWith(prefix) || !only(request.url)) return response.writeHead(404).end('another application');
    const path = request.url.slice(prefix.length).replace(/^(?!\/)/, '/');
    const there = http.request(new URL(path, target), { headers: { ...request.headers, host: new URL(target).host } }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    there.on('error', () => response.destroy());
    return there.end();
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  try {
    await run(`http://127.0.0.1:${server.address().port}`, asked);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Runs with a mock agent that serves the agent's page. */
async function mocked(options, run) {
  const mock = await Mock.start({ page: served, ...options });
  try {
    await run(mock);
  } finally {
    await mock.stop();
  }
}

// The page as built

test('the page is the one that page.mjs assembles, small, and its policy names its hashes', async () => {
  const built = assemble();
  check(served.html === built.html, 'build.rs and page.mjs assemble different pages');
  equal(served.csp, built.csp, 'policy');
  check(served.csp.startsWith("default-src 'none'; script-src 'sha256-") && !served.csp.includes('unsafe'), served.csp);
  const answer = await fetch(agent.url, { headers: { 'accept-encoding': 'gzip' } });
  const length = Number(answer.headers.get('content-length'));
  check(length <= 22000 && served.html.length <= 64000, `${served.html.length} bytes, ${length} in gzip`);
  const again = await fetch(agent.url, { headers: { 'if-none-match': answer.headers.get('etag') } });
  equal(again.status, 304, 'status with If-None-Match');
  check(served.more === built.more, 'build.rs and page.mjs assemble different second scripts');
  equal(served.runbooks, built.runbooks, 'runbooks of build.rs and page.mjs');
  const more = await fetch(`${agent.url}more.js`);
  equal([more.status, more.headers.get('content-type')], [200, 'text/javascript; charset=utf-8'], 'the second script');
  equal((await fetch(`${agent.url}more.js`, { headers: { 'if-none-match': more.headers.get('etag') } })).status, 304, 'status with If-None-Match');
});

test('the scripts import what they use, and their types fit, says tsc', async () => {
  const { stdout } = await execute(tsc, ['-p', fileURLToPath(new URL('tsconfig.json', import.meta.url))]).catch((error) => error);
  equal(stdout, '', 'what tsc found');
  // Modules of a part share a scope, in which the second function of a name would silently replace the first.
  const { html, more } = assemble();
  for (const part of [html, more]) {
    const names = [...part.matchAll(/^(?:async )?function (\w+)/gm)].map(([, name]) => name);
    equal(names.filter((name, i) => names.indexOf(name) < i), [], 'functions with the name of another one');
  }
});

test('the second script comes after the first number, and one of another version does not run', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  await until(() => mock.requests.includes('/more.js'), 'the second script');
  const order = ['/history?range=10m', '/json', '/more.js'].map((path) => mock.requests.indexOf(path));
  check(order[0] >= 0 && order[0] < order[1] && order[1] < order[2], `asked for at ${order}`);
  await page.context().close();
  mock.page = { ...mock.page, more: `window.foreign = true; ${mock.page.more}` };
  const other = await open(mock.url, { hash: '#memory' });
  await until(async () => (await text(other, '#verdicts')).includes('out of date'), 'the word about it');
  equal([await opened(other), await other.evaluate(() => window.foreign ?? null)], ['', null], 'dialog, and whether it ran');
  equal(mock.requests.filter((path) => path === '/more.js').length, 2, 'how often it was asked for');
  mock.page = served;
  await other.setViewportSize({ width: 1440, height: 900 });
  await other.click('#verdicts .act');
  await until(async () => (await opened(other)) === '#memory', 'the dialog after a reload');
}));

// Where and how the page is opened

test('a name and a password in the address', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'pi-monitor-'));
  const file = join(directory, 'credentials');
  writeFileSync(file, 'basic pi:a long password\n', { mode: 0o600 });
  const own = await Agent.start([`--web.auth-file=${file}`]);
  try {
    const page = await open(own.url.replace('//', '//pi:a%20long%20password@'), { hash: '#cpu' });
    await until(async () => (await opened(page)) === '#cpu', 'the dialog');
    await page.context().close();
  } finally {
    await own.stop();
    rmSync(directory, { recursive: true });
  }
});

for (const path of ['/pi', '/pi/']) {
  test(`behind a proxy's sub-path, opened as ${path}`, () => mocked({}, (mock) => proxied(mock.url, '/pi', async (url) => {
    const page = await open(url + path, { hash: '#cpu' });
    await until(async () => (await opened(page)) === '#cpu', 'the dialog');
    await clean(page, url);
  })));
}

test('a proxy that passes on the page alone: the error names the address that was asked', () => mocked({}, (mock) => proxied(mock.url, '/pi', async (url) => {
  const page = await open(`${url}/pi`, { wait: false });
  await until(async () => (await text(page, '#verdicts')).includes('HTTP 404 from /pi/history'), 'the address');
}, (path) => path === '/pi')));

test('a browser that does not understand the script says so', () => mocked({}, async (mock) => {
  mock.page = { html: served.html.replace("'use strict';", 'let = ;'), csp: "default-src 'self' 'unsafe-inline'" };
  const page = await open(mock.url, { wait: false });
  check((await pill(page)).includes('too old'), await pill(page));
  check((await text(page, '#cards')).includes('too old for the dashboard'), 'the sentence');
  await page.context().close();
  mock.page = served;
  const other = await open(mock.url);
  check(!(await other.evaluate(() => document.body.innerText)).includes('too old'), 'a browser of today is no old one');
}));

test('Chromium 83 says that it is too old', () => mocked({}, async (mock) => {
  if (!existsSync(oldChromium)) throw new Skipped(oldChromium);
  const { stdout } = await execute(oldChromium, ['--headless', '--no-sandbox', '--single-process', '--disable-gpu', '--dump-dom', mock.url], { timeout: 60000 });
  check(/<p class="absent">This browser is too old for the dashboard/.test(stdout), `no sentence in ${stdout.length} characters`);
  check(!stdout.includes('◇ Loading'), 'it still says Loading');
}));

test('a 401 stops the tries and offers to sign in again', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  mock.state.error = 401;
  await until(async () => (await text(page, '#verdicts .act')) === 'Sign in again', 'the button');
  mock.requests.length = 0;
  await page.evaluate(() => window.dispatchEvent(new Event('focus')));
  await sleep(9000);
  equal(mock.requests, [], 'requests while the agent wants a name and a password');
  mock.state.error = 0;
  await page.click('#verdicts .act');
  await until(async () => (await state(page)) === 'live', 'live again');
  equal(mock.requests[0], '/', 'the page itself is loaded again, which lets the browser ask');
}));

test('a login page in place of the answer', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  const answer = mock.answer.bind(mock);
  let way;
  mock.server.removeAllListeners('request');
  mock.server.on('request', (request, response) => (way ? way(response) : answer(request, response)));
  for (const [name, reply] of [
    ['Sign in again', (response) => response.writeHead(302, { location: 'https://login.example/' }).end()],
    ['Reload', (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Who are you?</h1>')],
  ]) {
    way = reply;
    await until(async () => (await text(page, '#verdicts .act')) === name, name);
    way = null;
    await until(async () => (await state(page)) === 'live', 'live again');
  }
}));

test('"Try now" beside the countdown, focus, and the network coming back try at once', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  for (const [name, act] of [
    ['the button', () => page.evaluate(() => document.querySelector('#verdicts .act').click())],
    ['focus', () => page.evaluate(() => window.dispatchEvent(new Event('focus')))],
    ['online', () => page.evaluate(() => window.dispatchEvent(new Event('online')))],
  ]) {
    mock.state.error = 503;
    // After four failures in a row, the next try is 15 s away.
    await until(async () => /next try in 1\d s/.test(await text(page, '#verdicts')), `${name}: a long wait`);
    equal(await text(page, '#verdicts .act'), 'Try now', 'button');
    mock.state.error = 0;
    await act();
    await until(async () => (await state(page)) === 'live', `live again by ${name}`, 8);
  }
}));

test('what is not in the page cannot run in it', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  const got = await page.evaluate(async () => {
    const script = document.createElement('script');
    script.textContent = 'window.foreign = true';
    document.body.append(script);
    const fetched = await fetch('http://127.0.0.1:1/').then(() => 'went out', () => 'stopped');
    return [window.foreign ?? null, fetched];
  });
  equal(got, [null, 'stopped'], 'foreign script and foreign address');
  check(page.errors.some((it) => it.includes('Content Security Policy')), 'the policy reported nothing');
}));

// Reaching everything

for (const size of SIZES) {
  const name = size.join('x');
  test(`${name}: nothing is cut off, and every dialog opens by mouse and by keyboard`, () => mocked({}, async (mock) => {
    const page = await open(mock.url, { size });
    const box = await page.evaluate(() => [document.documentElement.scrollWidth - innerWidth, document.documentElement.scrollHeight - innerHeight]);
    equal(box[0], 0, 'sideways scrolling');
    if (size[0] === 1440) equal(box[1], 0, 'scrolling with 4 cores');
    const outside = await page.evaluate(() => [...document.querySelectorAll('body *')].filter((node) => {
      const { left, right, width } = node.getBoundingClientRect();
      return width > 1 && (left < -1 || right > innerWidth + 1) && !node.closest('dialog, .hidden, .where');
    }).map((node) => node.outerHTML.slice(0, 80)));
    equal(outside, [], 'elements outside of the page');
    for (const id of CARDS) {
      const button = page.locator(`#open-${id}`);
      const card = page.locator(`#card-${id}`);
      // The card itself, at its upper right where nothing else is.
      await card.scrollIntoViewIfNeeded();
      const { width } = await card.boundingBox();
      await card.click({ position: { x: width - 30, y: 6 } });
      await until(async () => (await opened(page)) === `#${id}`, 'dialog by mouse');
      const inside = await page.evaluate(() => {
        const dialog = document.querySelector('#dialog').getBoundingClientRect(), close = document.querySelector('#close').getBoundingClientRect();
        return dialog.left >= 0 && dialog.right <= innerWidth && dialog.top >= 0 && dialog.bottom <= innerHeight && close.right <= innerWidth && close.top >= 0;
      });
      check(inside, `the dialog ${id} does not fit`);
      const last = page.locator('#dialog-body > :last-child');
      await last.scrollIntoViewIfNeeded();
      await page.click('#close');
      await until(async () => (await opened(page)) === '', `dialog ${id} closed`);
      check(await button.evaluate((node) => node === document.activeElement), `focus did not return to ${id}`);
      await page.keyboard.press('Enter');
      await until(async () => (await opened(page)) === `#${id}`, 'dialog by keyboard');
      await page.keyboard.press('Escape');
      await until(async () => (await opened(page)) === '', `dialog ${id} closed by Escape`);
      check(await button.evaluate((node) => node === document.activeElement), `focus did not return to ${id}`);
    }
    await clean(page, mock.url);
  }));
}

for (const size of [[390, 844], [800, 480]]) {
  test(`${size.join('x')}: every dialog opens by touch, and what is touched is large enough`, () => mocked({}, async (mock) => {
    const page = await open(mock.url, { size, touch: true });
    const small = () => page.evaluate(() => [...document.querySelectorAll('button')].filter((node) => {
      const { width, height } = node.getBoundingClientRect();
      return node.checkVisibility() && width && (width < 40 || height < 40);
    }).map((node) => `${node.textContent} ${node.getBoundingClientRect().width}x${node.getBoundingClientRect().height}`));
    equal(await small(), [], 'small targets');
    for (const id of CARDS) {
      await page.locator(`#open-${id}`).tap();
      await until(async () => (await opened(page)) === `#${id}`, 'dialog by touch');
      equal(await small(), [], `small targets in ${id}`);
      if (size[0] === 390) {
        const box = await page.locator('#dialog').boundingBox();
        equal([Math.round(box.width), Math.round(box.height)], size, 'the dialog fills the phone');
      }
      await page.locator('#close').tap();
      await until(async () => (await opened(page)) === '', `dialog ${id} closed`);
    }
    await clean(page, mock.url);
  }));
}

test('Tab alone reaches every control and every card', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  const seen = new Set();
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    seen.add(await page.evaluate(() => document.activeElement.id || document.activeElement.dataset.range || document.activeElement.textContent));
  }
  for (const want of ['2m', '7d', 'pause', 'Memory', 'I/O', ...CARDS.map((id) => `open-${id}`)]) check(seen.has(want), `Tab does not reach ${want}`);
}));

// For everyone

for (const [name, options] of Object.entries({ 'at 1440x900': {}, 'on a phone': { size: [390, 844], touch: true }, 'with forced colours': { forcedColors: 'active' } })) {
  test(`axe finds nothing on the page and in every dialog, ${name}`, () => mocked({}, async (mock) => {
    const page = await open(mock.url, options);
    // With forced colours, axe reads colours that the browser does not paint: the system's pairs are used instead.
    const rules = options.forcedColors ? { rules: { 'color-contrast': { enabled: false } } } : {};
    await axe(page, 'the page', rules);
    for (const id of CARDS) {
      await show(page, id);
      await axe(page, id, rules);
      await page.click('#close');
      await until(async () => (await opened(page)) === '', 'closed');
    }
  }));
}

test('axe finds nothing while loading, paused, stale, down and with an error', () => mocked({}, async (mock) => {
  mock.state.hung = true;
  const page = await open(mock.url, { wait: false });
  await axe(page, 'loading');
  mock.state.hung = false;
  await until(async () => (await state(page)) === 'live', 'live');
  await page.click('#pause');
  await axe(page, 'paused');
  await page.click('#pause');
  mock.state.error = 500;
  await until(async () => (await state(page)) === 'down', 'error');
  await axe(page, 'error');
  mock.state.error = 0;
  await until(async () => (await state(page)) === 'live', 'live again');
  mock.state.hung = true;
  await until(async () => (await state(page)) === 'stale', 'stale');
  await axe(page, 'stale');
}));

test('only the verdicts are spoken, and only when they change', () => mocked({ trouble: false }, async (mock) => {
  const page = await open(mock.url);
  equal(await page.evaluate(() => [...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].map((node) => node.id)), ['spoken'], 'live regions');
  equal(await page.textContent('#spoken'), 'All clear', 'spoken');
  check((await text(page, '#verdicts')).includes('for 3 h 12 m'), 'how long all has been clear');
  await page.evaluate(() => {
    window.spoken = [];
    new MutationObserver(() => window.spoken.push(document.querySelector('#spoken').textContent)).observe(document.querySelector('#spoken'), { childList: true, characterData: true, subtree: true });
  });
  mock.verdicts = [{ rule: 'cpu_busy', severity: 'warning', state: 'firing', title: 'CPU is fully used', detail: '97.0% in use', card: 'cpu', since_seconds: 12 }];
  await until(async () => (await text(page, '#verdicts')).includes('CPU is fully used'), 'verdict');
  const box = await page.locator('#verdicts').boundingBox();
  check(box.height < 60, `the strip of verdicts grew to ${box.height}`);
  mock.verdicts = [{ ...mock.verdicts[0], detail: '99.0% in use', since_seconds: 18 }];
  await until(async () => (await text(page, '#verdicts')).includes('99.0%'), 'new number');
  equal(await page.evaluate(() => window.spoken), ['CPU is fully used'], 'spoken');
  await page.click('#verdicts button');
  await until(async () => (await opened(page)) === '#cpu', "the verdict's dialog");
}));

test('verdicts that do not fit are behind a button, and the page stays where it is until it is pressed', () => mocked({}, async (mock) => {
  const page = await open(mock.url, { size: [390, 844], touch: true });
  const top = await page.evaluate(() => document.querySelector('#cards').getBoundingClientRect().top);
  equal(await text(page, '#verdicts .more'), '+3 more', 'button');
  check((await text(page, '#verdicts')).includes('Under-voltage'), 'the worst verdict is first');
  await page.locator('#verdicts .more').tap();
  equal(await page.locator('#verdicts .chip').count(), 5, 'all verdicts and the button');
  await page.locator('#verdicts .more').tap();
  equal(await page.evaluate(() => document.querySelector('#cards').getBoundingClientRect().top), top, 'the cards are back');
}));

test('nothing moves by itself, and reduced motion is respected', () => mocked({}, async (mock) => {
  const page = await open(mock.url, { reducedMotion: 'reduce' });
  equal(await page.evaluate(() => document.getAnimations().length), 0, 'animations');
  const rules = await page.evaluate(() => [...document.querySelectorAll('body *')].filter((node) => getComputedStyle(node).animationName !== 'none' || getComputedStyle(node).backdropFilter !== 'none').length);
  equal(rules, 0, 'animations or backdrop filters in the style');
}));

// The past, and the crosshair

test('charts are full when the page opens, together with the first number', () => mocked({ trouble: false }, async (mock) => {
  const page = await open(mock.url, {
    wait: false,
    init: () => {
      window.moments = {};
      const look = () => {
        const { moments } = window, now = performance.now();
        const canvases = [...document.querySelectorAll('#cards .chart canvas:first-child')];
        if (!moments.number && /\d/.test(document.querySelector('#card-cpu .big')?.textContent ?? '')) moments.number = now;
        if (!moments.charts && canvases.length === 6 && canvases.every((it) => /\d/.test(it.getAttribute('aria-label')))) moments.charts = now;
        if (!moments.number || !moments.charts) next();
      };
      // Looks at what each frame has shown: a task that follows the frame.
      const channel = new MessageChannel();
      channel.port1.onmessage = look;
      const next = () => requestAnimationFrame(() => channel.port2.postMessage(0));
      next();
    },
  });
  const moments = await until(() => page.evaluate(() => window.moments.number && window.moments.charts && window.moments), 'first number and charts');
  equal(moments.number, moments.charts, 'number and charts in the same frame');
  for (const [id, ...colours] of [['cpu', '#40e0d0'], ['memory', '#40e0d0'], ['thermal', '#ffc24b'], ['pressure', '#40e0d0'], ['diskio', '#ffb000', '#40e0d0'], ['network', '#40e0d0']]) {
    // Where both lines are at 0, one hides the other.
    const found = [];
    for (const colour of colours) found.push(await pixels(page, `#card-${id} canvas`, colour));
    const count = Math.max(...found.map((it) => it.count)), first = Math.min(...found.map((it) => it.first)), last = Math.max(...found.map((it) => it.last));
    check(count > 100 && first < 0.3 && last > 0.95, `the chart of ${id} is not filled: ${count} pixels from ${first} to ${last}`);
  }
}));

test('one crosshair goes through all charts, and only the upper canvases are drawn', () => mocked({}, async (mock) => {
  const page = await open(mock.url, { init: () => { window.dashboardTiming = { draw: [], hover: [], render: [] }; } });
  await page.click('#pause');
  const drawn = await page.evaluate(() => window.dashboardTiming.draw.length);
  equal((await crosshairs(page)).filter(Boolean).length, 0, 'crosshairs before hovering');
  await page.hover('#card-cpu .chart', { position: { x: 260, y: 60 } });
  await until(async () => (await crosshairs(page)).every((count) => count > 100), 'a crosshair in every chart');
  equal((await crosshairs(page)).length, 6, 'charts');
  await page.hover('#host');
  await until(async () => (await crosshairs(page)).every((count) => count === 0), 'no crosshair');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  await until(async () => (await crosshairs(page)).every((count) => count > 100), 'a crosshair by keyboard');
  const before = await pixels(page, '#card-cpu canvas + canvas', '#ffc24b');
  for (let i = 0; i < 8; i++) await page.keyboard.press('Shift+ArrowLeft');
  await until(async () => (await pixels(page, '#card-cpu canvas + canvas', '#ffc24b')).first < before.first, 'it moves to the left');
  await page.keyboard.press('Escape');
  await until(async () => (await crosshairs(page)).every((count) => count === 0), 'no crosshair after Escape');
  equal(await page.evaluate(() => window.dashboardTiming.draw.length), drawn, 'drawings of the lower canvases');
}));

test('a tap pins the crosshair and opens no dialog, another takes it away', () => mocked({}, async (mock) => {
  const page = await open(mock.url, { size: [390, 844], touch: true });
  const chart = page.locator('#card-cpu .chart');
  await chart.tap({ position: { x: 200, y: 60 } });
  await until(async () => (await crosshairs(page)).every((count) => count > 100), 'a crosshair in every chart');
  equal(await opened(page), '', 'dialog');
  await chart.tap({ position: { x: 200, y: 60 } });
  await until(async () => (await crosshairs(page)).every((count) => count === 0), 'no crosshair');
}));

test('each range shows its span, asks only for itself, and is remembered', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  for (const [range, words] of [['2m', '1 m 58 s'], ['1h', '59 m'], ['24h', '23 h'], ['7d', '6 d']]) {
    await page.click(`header [data-range="${range}"]`);
    await until(async () => (await page.getAttribute('#card-cpu canvas', 'aria-label')).includes(words), `${range} in the chart`);
    mock.requests.length = 0;
    await until(() => mock.requests.filter((it) => it.startsWith('/history')).length > 1, 'two more rounds');
    const asked = new Set(mock.requests.filter((it) => it.startsWith('/history')).map((it) => it.match(/range=(\w+)/)[1]));
    for (const wanted of ['2m', range]) asked.delete(wanted);
    equal([...asked], [], 'other ranges asked for');
    await until(async () => {
      const { count, first, last } = await pixels(page, '#card-cpu canvas', '#40e0d0');
      return count > 100 && first < 0.3 && last > 0.9;
    }, `${range} is filled`);
    equal(await page.getAttribute(`header [data-range="${range}"]`, 'aria-pressed'), 'true', 'pressed');
  }
  await page.reload();
  await until(async () => (await state(page)) === 'live', 'live');
  equal(await page.getAttribute('header [data-range="7d"]', 'aria-pressed'), 'true', 'remembered');
  await clean(page, mock.url);
}));

test('gaps break the line and are shaded', () => mocked({ trouble: false }, async (mock) => {
  const page = await open(mock.url);
  const shaded = await page.evaluate(() => {
    const canvas = document.querySelector('#card-cpu canvas');
    const row = canvas.getContext('2d').getImageData(0, 20, canvas.width, 1).data;
    let from = -1, to = -1;
    for (let x = 0; x < canvas.width; x++) if (row[x * 4] === 0x10 && row[x * 4 + 1] === 0x22) [from, to] = [from < 0 ? x : from, x];
    return { wide: (to - from) / canvas.width, middle: (to + from) / 2 / canvas.width };
  });
  check(shaded.wide > 0.03 && shaded.wide < 0.09 && shaded.middle > 0.2 && shaded.middle < 0.6, `shade ${JSON.stringify(shaded)}`);
}));

// Dialogs

test('an address opens its dialog, back and forward close and open it, an unknown one does nothing', () => mocked({}, async (mock) => {
  const page = await open(mock.url, { hash: '#memory' });
  await until(async () => (await opened(page)) === '#memory', 'dialog by address');
  await page.click('#close');
  await until(async () => (await opened(page)) === '', 'closed');
  await page.click('#open-network');
  await until(async () => (await opened(page)) === '#network', 'dialog');
  await page.goBack();
  await until(async () => (await opened(page)) === '', 'closed by going back');
  await page.goForward();
  await until(async () => (await opened(page)) === '#network', 'opened by going forward');
  await page.click('#close');
  const other = await open(mock.url, { hash: '#nothing' });
  equal(await opened(other), '', 'dialog');
  await clean(other, mock.url);
}));

test('a dialog stays live, with its statistics, its raw values and its own status', () => mocked({}, async (mock) => {
  const page = await open(mock.url, { hash: '#cpu' });
  const body = () => text(page, '#dialog-body');
  for (const word of ['now', 'min', 'avg', 'max', 'p95', 'user', 'iowait', 'cpu0', 'cpu3', 'usage percent user', 'seconds idle']) await until(async () => (await body()).includes(word), `${word} in the dialog`);
  const values = () => text(page, '#dialog-body .figure table');
  const first = await values();
  await until(async () => (await values()) !== first, 'new values');
  check((await text(page, '#dialog-status')).includes('Live'), 'status in the dialog');
  await until(async () => (await pixels(page, '#dialog-body .figure:nth-of-type(2) canvas', '#40e0d0')).count > 10, 'a line per core');
  mock.state.hung = true;
  await until(async () => (await text(page, '#dialog-status')).includes('No answer for'), 'stale in the dialog');
}));

test('how full filesystems were is in their dialog, and when they will be full beside them', () => mocked({ trouble: false, mounts: 4 }, async (mock) => {
  const page = await open(mock.url);
  check((await text(page, '#card-filesystems')).includes('free · full in 9 d'), 'when it is full');
  equal((await text(page, '#card-filesystems')).match(/full in/g).length, 1, 'only what fills');
  equal(mock.requests.filter((it) => it.includes('of=filesystems')).length, 0, 'asked before the dialog opens');
  await show(page, 'filesystems');
  await until(async () => (await text(page, '#dialog')).includes('In use, last 16 days'), 'the chart');
  await until(async () => (await page.locator('#dialog .figure tbody tr').count()) === 3, 'a line for each filesystem that is kept');
  const grown = await text(page, '#dialog .figure tbody tr:nth-child(2)');
  check(grown.includes('/boot/firmware') && grown.includes('2.9 GiB') && grown.includes('4.1 GiB'), grown);
  // Of now is what /json says, not what the last point says.
  equal((await text(page, '#dialog .figure tbody tr:nth-child(1) td:nth-child(2)')), '19 GiB', 'in use now');
  check((await text(page, '#dialog .figure tbody tr:nth-child(1) td:nth-child(3)')).startsWith('18 '), 'the least');
  await until(() => mock.requests.filter((it) => it.startsWith('/json')).length > 3, 'some rounds');
  equal(mock.requests.filter((it) => it.includes('of=filesystems')).length, 1, 'asked once');
  await axe(page, 'the dialog');
  await clean(page, mock.url);
}));

test('processes are sorted by what is pressed', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  const first = () => text(page, '#card-processes tbody tr td:nth-child(2)');
  await until(async () => (await first()) === 'ffmpeg', 'by CPU');
  await page.click('#card-processes th button:text("I/O")');
  equal(await opened(page), '', 'no dialog');
  equal(await page.getAttribute('#card-processes th:last-child', 'aria-sort'), 'descending', 'sorted');
  const io = await page.locator('#card-processes tbody td:last-child').allTextContents();
  equal(io.slice(0, 3).map((it) => it.split(' ')[1]), ['MiB/s', 'KiB/s', 'KiB/s'], 'by I/O');
}));

// What the kernel can come up with

test('what short-lived processes use has a row of its own', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  const last = () => page.evaluate(() => document.querySelector('#card-processes tbody tr:last-child')?.innerText ?? '');
  await until(async () => /ended or too short to see\s+41%/.test(await last()), 'the row', 15);
  const processes = mock.processes.bind(mock);
  mock.processes = () => ({ ...processes(), total: 20 });
  await until(async () => (await last()).includes('hidden from the agent'), 'where the agent does not see all', 20);
  mock.processes = () => ({ ...processes(), ended_cpu_percent: 4.9 });
  await until(async () => !/agent|ended/.test(await last()), 'rounding is no process', 20);
}));

test('names made of markup are text', () => mocked({ hostile: true, mounts: 4 }, async (mock) => {
  const page = await open(mock.url);
  await until(async () => (await text(page, '#card-processes')).includes('<script>alert(1)</script>'), 'the process');
  check((await text(page, '#card-filesystems')).includes('does not answer'), 'the mount that does not answer');
  check((await page.textContent('#card-network')).includes('<img src=x'), 'the interface');
  equal(await text(page, '#host'), '<b>pi</b>', 'the host name');
  for (const id of ['network', 'filesystems', 'processes']) {
    await show(page, id);
    await until(async () => (await text(page, '#dialog-body')).length > 20, `the dialog ${id} is not empty`);
    if (id === 'filesystems') check((await page.textContent('#dialog .mounts')).includes('/mnt/<img src=x onerror=document.title="owned">'), 'the mount point');
    await page.click('#close');
    await until(async () => (await opened(page)) === '', 'closed');
  }
  equal(await page.evaluate(() => document.querySelectorAll('img, b b, script').length), 2, 'elements out of names (the two scripts are the page)');
  check(!(await page.title()).includes('owned'), 'the title');
  await clean(page, mock.url);
}));

for (const size of SIZES) {
  test(`${size.join('x')}: 64 cores, 40 interfaces and 30 mounts do not break it`, () => mocked({ cores: 64, interfaces: 40, mounts: 30 }, async (mock) => {
    const page = await open(mock.url, { size });
    equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0, 'sideways scrolling');
    equal(await page.locator('#card-cpu .tiles > *').count(), 64, 'cores');
    check((await text(page, '#card-filesystems')).includes('30 mounted'), 'how many mounts there are');
    check(/\+38 more/.test(await text(page, '#card-network')), 'interfaces behind +n');
    if (size[0] === 1440) check(await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight), 'scrolling');
    for (const [id, rows] of [['cpu', 64], ['network', 40], ['filesystems', 30]]) {
      await show(page, id);
      await until(async () => (await page.evaluate(() => Math.max(...[...document.querySelectorAll('#dialog-body tbody, #dialog-body ul')].map((node) => node.children.length)))) >= rows, `${rows} rows in ${id}`);
      equal(await page.evaluate(() => document.querySelector('#dialog').scrollWidth - document.querySelector('#dialog').clientWidth), 0, `sideways scrolling of ${id}`);
      await page.click('#close');
      await until(async () => (await opened(page)) === '', 'closed');
    }
    await clean(page, mock.url);
  }));
}

test('a section that is missing or empty says so, and the others go on', () => mocked({ without: ['pressure', 'diskio', 'thermal', 'power', 'cpufreq', 'network', 'disk', 'storage', 'processes', 'board', 'services'] }, async (mock) => {
  const page = await open(mock.url);
  await until(async () => (await text(page, '#lacks')) === 'Not on this machine: Power & heat, Network, Disk I/O, Storage health, Services & containers', 'the foot row');
  for (const id of ['thermal', 'diskio', 'network', 'filesystems', 'services']) equal(await page.locator(`#card-${id}`).isVisible(), false, id);
  for (const [id, words] of [['pressure', 'No pressure figures'], ['processes', 'Switched off']]) {
    await until(async () => (await text(page, `#card-${id}`)).includes(words), `${id} says “${words}”`);
    await show(page, id);
    await until(async () => (await text(page, '#dialog-body')).includes('Raw, of now'), `the dialog ${id}`);
    await page.click('#close');
    await until(async () => (await opened(page)) === '', 'closed');
  }
  check(/\d/.test(await text(page, '#card-cpu .big')) && /\d/.test(await text(page, '#card-memory .big')), 'CPU and memory');
  equal(page.errors.filter((it) => !it.includes('404')), [], 'console errors');
  equal(page.errors.length, 1, 'the processes that are switched off are asked for once');
}));

test('empty sections say what they are', () => mocked({}, async (mock) => {
  mock.state.without.add('storage');
  for (const name of ['network', 'disk', 'diskio', 'processes', 'cpu', 'services']) mock.state.empty.add(name);
  const page = await open(mock.url);
  await until(async () => (await text(page, '#lacks')).includes('Storage health'), 'no filesystem');
  await until(async () => (await text(page, '#card-processes')).includes('sees no process'), 'no process');
  await clean(page, mock.url);
}));

test('services in trouble come first, and the dialog has all of them', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  const cells = (place) => page.locator(`${place} tbody tr`).evaluateAll((rows) => rows.map((row) => [...row.cells].slice(0, 2).map((cell) => cell.textContent).join(' ')));
  await until(async () => (await cells('#card-services'))[0] === 'homeassistant ▲ killed 1×', 'the one that was killed');
  equal((await cells('#card-services')).slice(1, 3), ['pihole-FTL restarted 3×', '1000/syncthing running'], 'the others');
  check((await text(page, '#card-services')).includes('+2 more'), 'how many more there are');
  equal(await text(page, '#card-services .sub'), '7 running', 'how many there are');
  await show(page, 'services');
  // The CPU that each uses takes two answers.
  await until(async () => /ssh\s*running\s*0\.1%/.test(await text(page, '#dialog-body table')), 'all of them, with their CPU');
  await page.click('#close');
  await until(async () => (await opened(page)) === '', 'closed');
  const json = mock.json.bind(mock);
  mock.json = (only) => {
    const answer = json(only);
    if (answer.services) {
      answer.services.memory_accounting = 0;
      for (const one of answer.services.services) delete one.memory_bytes;
    }
    return answer;
  };
  await page.reload();
  await until(async () => (await text(page, '#card-services')).includes('this kernel does not count their memory'), 'a kernel that does not count');
  await clean(page, mock.url);
}));

test('what the agent measures and no card shows is one click away', () => mocked({}, async (mock) => {
  const json = mock.json.bind(mock);
  mock.json = (only) => ({ ...json(only), ...(!only.length || only.includes('novelty') ? { novelty: { answers: 42, rows: [{ name: 'a', value_seconds: 7 }] } } : {}) });
  const page = await open(mock.url);
  await until(async () => (await text(page, '#others')).includes('novelty'), 'the button');
  equal(await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight), true, 'no scrolling');
  await page.click('#open-novelty');
  await until(async () => /answers\s+42[^]*/.test(await text(page, '#dialog-body')), 'its values');
  check((await text(page, '#dialog-body')).includes('value seconds'), 'its rows');
  await until(() => mock.requests.some((it) => it.includes('collect[]=novelty')), 'it is asked for while it is open');
  await page.click('#close');
  await until(async () => (await opened(page)) === '', 'closed');
  check(await page.evaluate(() => document.activeElement.id === 'open-novelty'), 'focus did not return');
  mock.verdicts = [{ rule: 'new', severity: 'warning', state: 'firing', title: 'Something new', detail: '', card: 'novelty', since_seconds: 3 }];
  await until(async () => (await text(page, '#verdicts')).includes('Something new'), 'the verdict');
  await page.click('#verdicts button');
  await until(async () => (await opened(page)) === '#novelty', 'its dialog');
  await clean(page, mock.url);
}));

test('the first sample is not the whole story, and says so', () => mocked({ trouble: false, startedAgo: 2 }, async (mock) => {
  const history = mock.history.bind(mock);
  let fresh = true;
  mock.history = (range, since) => {
    const answer = history(range, since);
    const rate = (one) => /^(network|disk)_/.test(one.name);
    if (fresh) for (const one of answer.series) one.v = one.v.map((value, i) => (i < answer.count - 1 || rate(one) ? null : value));
    return answer;
  };
  const page = await open(mock.url);
  equal(await text(page, '#card-network .big'), 'one more sample…', 'network');
  check(/^\d/.test(await text(page, '#card-memory .big')), 'memory');
  fresh = false;
  await until(async () => /^\d/.test(await text(page, '#card-network .big')), 'a rate');
}));

test('an empty stretch says since when there are samples', () => mocked({ trouble: false, startedAgo: 6 * 3600 }, async (mock) => {
  const page = await open(mock.url);
  equal((await page.getAttribute('#card-cpu canvas', 'aria-label')).includes('no samples'), false, 'words in a full chart');
  await page.click('header [data-range="24h"]');
  await until(async () => /no samples before \d\d:\d\d/.test(await page.getAttribute('#card-cpu canvas', 'aria-label')), 'the words');
  const { first, last, count } = await pixels(page, '#card-cpu canvas', '#86bcbc');
  check(count > 500 && first < 0.2 && last > 0.5, 'words on the chart');
}));

test('the crosshair that keys move is spoken, once it stands still', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  const words = () => page.textContent('#spoken');
  await until(async () => {
    // Keys do nothing before the page's second part is there.
    await page.keyboard.press('ArrowLeft');
    await sleep(2000);
    return /^\d\d:\d\d:\d\d\. CPU use: user [\d.]+%.* Network transfer: in /.test(await words());
  }, 'time and values');
  await show(page, 'memory');
  await page.keyboard.press('ArrowLeft');
  await until(async () => /^\d\d:\d\d:\d\d\. Memory: used /.test(await words()), "the dialog's charts");
}));

test('more than eight cores are rows of a heat map', () => mocked({ cores: 16 }, async (mock) => {
  const page = await open(mock.url, { hash: '#cpu' });
  const canvas = '#dialog-body .figure:nth-of-type(2) canvas';
  await until(async () => (await page.locator(canvas).count()) > 0, 'the chart');
  // Sixteen rows with a line of the ground between them, at the right where the newest samples are.
  const rows = () => page.evaluate((it) => {
    const node = document.querySelector(it), { data } = node.getContext('2d').getImageData(node.width - 5, 0, 1, node.height - 20);
    let runs = 0;
    for (let y = 1; y < node.height - 20; y++) if (data[y * 4 + 3] > 20 && data[y * 4 - 1] <= 20) runs++;
    return runs;
  }, canvas);
  await until(async () => (await rows()) === 16, '16 rows');
  await page.hover(`${canvas} + canvas`, { position: { x: 700, y: 40 } });
  await until(async () => (await pixels(page, `${canvas} + canvas`, '#86bcbc')).count > 10, 'the crosshair');
  await clean(page, mock.url);
}));

test('severity is never color alone', () => mocked({ mounts: 4 }, async (mock) => {
  const page = await open(mock.url);
  await until(async () => (await page.locator('#cards .warning, #cards .critical').count()) > 4, 'warnings');
  const bare = await page.evaluate(() => [...document.querySelectorAll('#cards .warning, #cards .critical')].filter((node) => {
    const sign = node.classList.contains('warning') ? '▲' : '■';
    return ![node, ...node.querySelectorAll('b')].some((part) => getComputedStyle(part, '::before').content.includes(sign));
  }).map((node) => node.outerHTML.slice(0, 90)));
  equal(bare, [], 'without a sign');
}));

for (const [name, size] of [['320 pixels', [320, 640]], ['200% zoom', [720, 450]], ['1440 pixels', [1440, 900]]]) {
  test(`names and numbers do not overlap at ${name}, and no number is cut`, () => mocked({ mounts: 6 }, async (mock) => {
    const json = mock.json.bind(mock);
    mock.json = (only) => {
      const answer = json(only);
      for (const one of answer.disk?.filesystems ?? []) Object.assign(one, { inodes_free: 190000, read_only: 1 });
      return answer;
    };
    const page = await open(mock.url, { size });
    await until(async () => (await page.locator('#card-processes tbody tr').count()) > 5, 'processes');
    equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0, 'sideways scrolling');
    const wrong = await page.evaluate(() => {
      const box = (node) => node.getBoundingClientRect();
      // As wide as its text would be.
      const wide = (node) => {
        const range = document.createRange();
        range.selectNodeContents(node);
        return range.getBoundingClientRect().width;
      };
      const cut = [...document.querySelectorAll('#cards td.n, #cards .big, .mounts b')].filter((node) => node.checkVisibility() && wide(node) > box(node).width + 1);
      const over = [...document.querySelectorAll('.mounts li:not(.more)')].filter((item) => {
        const [path, numbers] = [box(item.children[0].lastChild), box(item.children[1])];
        return path.right > numbers.left && path.left < numbers.right && path.bottom > numbers.top + 1 && path.top < numbers.bottom - 1;
      });
      const heads = [...document.querySelectorAll('.card .head')].filter((head) => box(head.querySelector('h2')).right > box(head.querySelector('.big')).left && box(head.querySelector('.big')).width);
      return [...cut, ...over, ...heads].map((node) => node.textContent);
    });
    equal(wrong, [], 'cut or overlapping');
  }));
}

test('print and more contrast: axe finds nothing, and print is dark on white', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  await page.emulateMedia({ contrast: 'more' });
  await axe(page, 'more contrast');
  await page.emulateMedia({ contrast: 'no-preference', media: 'print' });
  const looks = await page.evaluate(() => [...document.querySelectorAll('.card')].map((card) => `${getComputedStyle(card).backgroundColor} ${getComputedStyle(card).color}`));
  equal([...new Set(looks)], ['rgba(0, 0, 0, 0) rgb(0, 0, 0)'], 'background and ink of the cards');
}));

// The timeline, and the selected moment

const NIGHT = () => Date.now() / 1000 - 10 * 3600;
const event = (page, title) => page.locator(`#lanes [role=option][title*="${title}"]`);
const moment = (page) => page.evaluate(() => new URLSearchParams(location.hash.slice(1)).get('t'));

for (const [name, options] of Object.entries({ 'on a desk': {}, 'on a phone': { size: [390, 844], touch: true } })) {
  const press = (page, target) => (options.touch ? page.locator(target).first().tap() : page.locator(target).first().click());

  test(`owners' questions about then are answered in two clicks, ${name}`, () => mocked({ trouble: false, night: NIGHT() }, async (mock) => {
    const page = await open(mock.url, options);
    const about = await text(page, '#about');
    // Why was it slow at night? Who ate my memory? The first click is the range, the second the event.
    await press(page, 'header [data-range="24h"]');
    await until(() => event(page, 'lack of memory').count(), 'the event');
    // On a phone, the two marks of that night share a place; the upper one is pressed first, the same place again gives the next.
    await press(page, `#lanes [role=option][title*="${options.touch ? 'lack of memory' : 'Memory is almost'}"]`);
    await until(async () => (await text(page, '#event')).includes('Memory: influxd 318 MiB, homeassistant 41 MiB'), 'who had the memory');
    if (options.touch && !(await text(page, '#event')).includes('worst')) {
      await press(page, '#lanes [role=option][title*="lack of memory"]');
      await until(async () => (await text(page, '#event')).includes('worst 97%'), 'the next event at that place');
    }
    const words = await text(page, '#event');
    for (const part of ['Memory is almost used up', 'for 10 m 10 s', '2.9% of 416 MiB available; influxd uses most', 'worst 97%']) check(words.includes(part), `${part} in ${words}`);
    // Everything shows that moment.
    const at = Number(await moment(page));
    equal(at, Math.round(mock.options.night - 610), 'the moment in the address');
    check((await text(page, '#about')).startsWith('Showing '), 'the header');
    check((await page.title()).includes(' – '), 'the title');
    const used = async () => {
      const history = mock.history('24h', null), { v, scale } = history.series.find((one) => one.name === 'memory_used');
      const slot = history.count - 1 - Math.round((history.end - (at - (history.now - history.boot))) / history.step);
      return `${(v[slot] * scale / 416 / 1048576 * 100).toFixed(0)}%`;
    };
    await until(async () => (await text(page, '#card-memory .big')).includes(await used()), 'the memory at that moment');
    check(/^at \d\d:\d\d/.test(await text(page, '#card-memory .sub')), 'the card says when');
    check((await text(page, '#card-processes')).includes('frozen at '), 'the processes are frozen');
    equal(await page.locator('#card-processes table:not([hidden]) tbody tr').count(), 3, 'processes');
    check((await text(page, '#card-filesystems')).includes('a chart of how full'), 'where it is kept');
    equal(await page.locator('#card-cpu .tiles').isVisible(), false, 'the cores of now');
    await until(async () => (await crosshairs(page)).every((count) => count > 100), 'a crosshair in every chart');
    await axe(page, 'a moment');
    // Another one sees the same.
    const other = await open(page.url(), options);
    await until(async () => (await text(other, '#event')).includes('Memory: influxd 318 MiB'), 'the same event from the address');
    equal(await text(other, '#card-memory .big'), await text(page, '#card-memory .big'), 'the same number');
    // Back to now.
    await press(page, '#live');
    await until(async () => (await text(page, '#about')) === about || !(await text(page, '#about')).startsWith('Showing'), 'now');
    equal([await moment(page), await page.locator('#event').isVisible()], [null, false], 'no moment');
    await until(async () => (await text(page, '#card-processes')).includes('homeassistant'), 'the processes of now');
    // What changed? Did it reboot, and why?
    await press(page, '#lanes [role=option][title*="restarted"]');
    await until(async () => (await text(page, '#event')).includes('the last event before: Under-voltage'), 'the reboot');
    await press(page, '#lanes [role=option][title*="Linux 6"]');
    await until(async () => (await text(page, '#event')).includes('before: 6.6.51'), 'the kernel');
    await page.goBack();
    await until(async () => (await text(page, '#event')).includes('restarted'), 'back');
    await clean(page, mock.url);
  }));

  test(`owners' questions about now: the strip says what, and one click what to do, ${name}`, () => mocked({}, async (mock) => {
    const page = await open(mock.url, options);
    check((await text(page, '#verdicts')).includes('Under-voltage'), 'the worst');
    await press(page, '#verdicts button');
    await until(async () => (await text(page, '#dialog-body .wrong')).includes('What to do: Use the official power supply'), 'what to do');
    await press(page, '#dialog-body .wrong .act');
    await until(async () => (await opened(page)) === '' && (await moment(page)), 'the moment when it began');
    await until(async () => (await text(page, '#event')).includes('still on'), 'its event');
    check((await text(page, '#event')).includes('What to do: Use the official'), 'what to do, with the event');
    await clean(page, mock.url);
  }));
}

// The questions that owners ask. Each is answered by what is on the screen after at most two clicks or taps.

/** An hour's fourth minute, ten hours ago, and the time zone in which it was four past three in the morning then. */
function threeAtNight() {
  const night = Math.floor(Date.now() / 3600e3 - 10) * 3600 + 240;
  const ahead = 3 - new Date(night * 1000).getUTCHours();
  const east = ahead < -12 ? ahead + 24 : ahead;
  // In these names, west is plus (POSIX).
  return { night, timezoneId: `Etc/GMT${east > 0 ? '-' : '+'}${Math.abs(east)}` };
}

/** Somebody at the page: `press` counts, `sees` waits for words that are on the screen, in the element or its title. */
function visitor(page, touch) {
  let presses = 0;
  return {
    page,
    async press(target) {
      check(++presses <= 2, `a third ${touch ? 'tap' : 'click'}: ${target}`);
      // What changes every two seconds may be replaced on the way.
      const node = page.locator(target).first();
      await node.waitFor();
      // Two marks may share a place in the timeline, which takes what is meant.
      const force = target.includes('#lanes') || target.includes('role=option');
      await (touch ? node.tap({ force }) : node.click({ force }));
    },
    async sees(target, words) {
      const shown = () => page.evaluate((it) => [...document.querySelectorAll(it)].filter((node) => node.checkVisibility()).map((node) => node.innerText).join('\n'), target);
      await until(async () => words.test(await shown()), `${words} in ${target}, which says: ${await shown()}`).catch(async (error) => {
        throw new Error(`${error.message}; now: ${await shown()}`);
      });
    },
  };
}

/** An event in the timeline by its title. */
const mark = (title) => `#lanes [role=option][title*="${title}"]`;
const NIGHT_RANGE = 'header [data-range="24h"]';

/** By question: what the mock agent is, and the way to the answer. */
const QUESTIONS = [
  ['1: is it alive and current?', {}, async ({ sees }, mock) => {
    await sees('#status', /◆ Live/);
    mock.state.hung = true;
    await sees('#status', /▲ Stale \d+ s|■ Down/);
    await sees('#verdicts', /No answer for \d+ s/);
  }],
  ['2: what is slow now?', {}, async ({ press, sees, page }) => {
    // A phone has room for the worst alone.
    if (await page.locator('#verdicts .more').count()) await press('#verdicts .more');
    await sees('#verdicts', /CPU is fully used\s+9\d\.\d% in use/);
    await sees('#verdicts', /mmcblk0 is slow\s+182 ms per operation/);
  }],
  ['3: which process now?', {}, async ({ press, sees, page }) => {
    if (await page.locator('#verdicts .more').count()) await press('#verdicts .more');
    await sees('#verdicts', /ffmpeg uses most/);
    await sees('#card-processes tbody tr:first-child', /ffmpeg\s[^]*2\d\d%/);
  }],
  ['4: why was it slow last night at 3?', { trouble: false }, async ({ press, sees }) => {
    await press(NIGHT_RANGE);
    await press(mark('Memory is almost'));
    await sees('#event', /0[23]:\d\d:\d\d[^]*influxd/);
    await sees('#about', /^Showing (\w+ )?0[23]:\d\d/);
    // What was busy then, and what it is now.
    await sees('#card-cpu .sub', /^at 0[23]:\d\d/);
    await sees('#card-processes .sub', /frozen at 0[23]:\d\d/);
  }],
  ['5: who ate my memory yesterday?', { trouble: false }, async ({ press, sees, page }) => {
    await press(NIGHT_RANGE);
    await press(mark('lack of memory'));
    await sees('#event', /Memory: influxd 318 MiB, homeassistant 41 MiB/);
    // By how much each has changed since; the table is sorted by what it is about.
    await sees('#card-processes table:not([hidden]) tbody tr:first-child', /influxd\s[^]*318 MiB[^]*−280 MiB/);
    await sees('#card-processes table:not([hidden]) tbody tr:nth-child(2)', /homeassistant\s[^]*41 MiB[^]*\+20 MiB/);
    equal(await page.locator('#card-processes table:not([hidden]) th[aria-sort]').innerText(), 'Memory', 'sorted by');
  }],
  ['6: is my power supply bad?', { trouble: false }, async ({ press, sees }) => {
    await press(NIGHT_RANGE);
    await press(`.lane[aria-label="power, heat"] ${mark('Under-voltage').replace('#lanes ', '')}`);
    await sees('#event', /■ Under-voltage\s+\w* ?0[23]:\d\d:\d\d · for 11 s/);
    await sees('#event', /What to do: Use the official power supply/);
  }],
  ['7: will the disk be full soon?', { trouble: false }, async ({ press, sees }, mock) => {
    mock.verdicts = [{ rule: 'filesystem_full_soon', severity: 'warning', state: 'firing', title: '/boot/firmware will be full in 9 days', detail: 'grows 2.6 GiB a day, 23 GiB available', culprit: '/boot/firmware', card: 'filesystems', since_seconds: 3600 }];
    await sees('#verdicts', /▲\s*\/boot\/firmware will be full in 9 days\s+grows 2.6 GiB a day, 23 GiB available/);
    await sees('#card-filesystems', /full in 9 d/);
    await press('#verdicts .chip');
    await sees('#dialog-body .wrong', /What to do: Find what grows/);
    await sees('#dialog-body', /In use, last 16 days/);
  }],
  ['8: what changed?', { trouble: false }, async ({ press, sees, page }) => {
    await press(NIGHT_RANGE);
    await until(() => event(page, 'wlan0 lost').count(), 'the changes');
    equal(await page.locator('.lane[aria-label=changes] [role=option]').count(), 3, 'changes in 24 hours');
    await press(mark('Linux 6.12.47'));
    await sees('#event', /Linux 6\.12\.47-v8\+ runs now[^]*before: 6\.6\.51-v8\+/);
  }],
  ['9: did it reboot, and why?', { trouble: false }, async ({ press, sees }) => {
    await press(NIGHT_RANGE);
    await press(mark('restarted'));
    await sees('#event', /restarted after a power cut or a crash[^]*started 19 s after boot; the last event before: Under-voltage/);
  }],
  ['10: what do I do about it, now?', {}, async ({ press, sees }) => {
    await press('#verdicts .chip');
    await sees('#dialog-body .wrong', /What to do: Use the official power supply/);
    await press('#dialog-body summary');
    await sees('#dialog-body details', /Look\s[^]*vcgencmd get_throttled[^]*Do\s[^]*a short, thick cable/);
  }],
  ['10: what do I do about it, at night?', { trouble: false }, async ({ press, sees, page }, mock) => {
    await press(NIGHT_RANGE);
    await press(mark('lack of memory'));
    await sees('#event', /What to do: Find the program/);
    await sees('#event summary', /Runbook: the kernel killed a process/);
    // It unfolds, and stays so when the page is shown anew.
    await page.locator('#event summary').evaluate((node) => node.click());
    mock.requests.length = 0;
    await until(() => mock.requests.filter((it) => it.startsWith('/json')).length > 1, 'two more answers');
    await sees('#event details', /Do\s/);
  }],
  ['11: show it to somebody', { trouble: false }, async ({ press, sees, page }, mock, options) => {
    // The agent's clock stands just before a full second, which has not come yet: the address must not name it.
    const json = mock.json.bind(mock), time = Math.floor(Date.now() / 1000) + 0.9;
    mock.json = (only) => ({ ...json(only), time });
    const asked = mock.requests.length;
    await until(() => mock.requests.slice(asked).filter((it) => it.startsWith('/json')).length > 1, 'two answers');
    await press(NIGHT_RANGE);
    await press('#share');
    await sees('#share', /Copied/);
    const other = await open(await page.evaluate(() => window.copied), options);
    const seen = visitor(other, options.touch);
    await seen.sees('#about', /^Showing \d\d:\d\d:\d\d/);
    equal(await other.getAttribute('header [data-range="24h"]', 'aria-pressed'), 'true', 'the range');
    // The page that it was copied from is still live.
    check(!(await text(page, '#about')).startsWith('Showing'), 'the moment is selected here too');
  }],
];

for (const [name, device] of Object.entries({ 'on a desk': { size: [1440, 900] }, 'on a phone': { size: [390, 844], touch: true } })) {
  for (const [question, it, answer] of QUESTIONS) {
    test(`question ${question} (${name})`, () => {
      const { night, timezoneId } = threeAtNight();
      return mocked({ night, ...it }, async (mock) => {
        const options = { ...device, timezoneId };
        const page = await open(mock.url, { ...options, init: () => {
          document.addEventListener('copy', () => { window.copied = document.activeElement.value; });
        } });
        await answer(visitor(page, device.touch), mock, options);
        equal(page.errors, [], 'console errors');
      });
    });
  }
}

test("where the machine's time zone is another one, its time is said too", () => mocked({ trouble: false, night: NIGHT(), zone: 'Asia/Kolkata' }, async (mock) => {
  const there = (unix) => new Date((unix + 5.5 * 3600) * 1000).toISOString().slice(11, 16);
  const page = await open(mock.url, { timezoneId: 'Europe/London' });
  // From half past six in the evening on, it is tomorrow there, and the day stands before the time.
  await until(async () => / · ([^·]+ )?\d\d:\d\d in Asia\/Kolkata · /.test(await text(page, '#about')), 'the time of now');
  await page.click(NIGHT_RANGE);
  await page.click(mark('lack of memory'));
  await until(async () => (await text(page, '#event')).includes('Memory: influxd'), 'the event');
  const at = mock.options.night + 12;
  for (const where of ['#about', '#event', '#timeline .sub']) check((await text(page, where)).includes(`${there(at)} in Asia/Kolkata`), `${where}: ${await text(page, where)} without ${there(at)}`);
  await page.context().close();
  for (const [zone, timezoneId] of [['Europe/London', 'Europe/London'], ['Etc/UTC', 'Africa/Accra'], ['Mars/Base', 'Europe/London']]) {
    mock.options.zone = zone;
    const other = await open(mock.url, { timezoneId });
    await until(async () => (await text(other, '#others')).length > 10, 'the second part');
    check(!(await text(other, '#about')).includes(' in '), `${zone} in ${timezoneId}: ${await text(other, '#about')}`);
    equal(other.errors, [], 'console errors');
  }
}));

test('dialogs at a moment show that moment, or say what is not known', () => mocked({ trouble: false, night: NIGHT() }, async (mock) => {
  const page = await open(mock.url);
  await page.click(NIGHT_RANGE);
  await page.click(mark('lack of memory'));
  await until(async () => (await text(page, '#event')).includes('Memory: influxd'), 'the event');
  const look = async (id) => {
    await page.click(`#open-${id}`);
    await until(async () => new RegExp(`^#${id}&t=\\d+&r=24h$`).test(await opened(page)), `dialog ${id}`);
  };
  await look('filesystems');
  check((await text(page, '#dialog-body')).includes('a chart of how full they were'), 'what is not known');
  equal(await page.locator('#dialog-body .mounts li').count(), 0, 'filesystems of now');
  await until(async () => (await text(page, '#dialog-body')).includes('In use, last 16 days'), 'the chart');
  await page.click('#close');
  await until(async () => (await opened(page)) === '', 'closed');
  await look('processes');
  await until(async () => /influxd\s[^]*318 MiB/.test(await text(page, '#dialog-body tbody')), 'the processes of then');
  await page.click('#close');
  await until(async () => (await opened(page)) === '', 'closed');
  await look('memory');
  const used = () => text(page, '#dialog-body .figure tbody tr:first-child td:nth-child(2)');
  await until(async () => (await used()) && (await text(page, '#card-memory .sub')).includes(` ${await used()} of `), 'the memory of then');
  check(/^at \d\d:\d\d$/.test(await text(page, '#dialog-body .figure th:nth-child(2)')), 'the heading of its column');
  await page.click('#close');
  await until(async () => (await opened(page)) === '', 'closed');
  await look('network');
  equal(await page.locator('#dialog-body h3').allTextContents().then((all) => all.includes('Interfaces')), false, 'a table of now');
}));

test('the timeline by keyboard: arrows select events, Escape goes back to now', () => mocked({ trouble: false }, async (mock) => {
  const page = await open(mock.url);
  await page.click('header [data-range="24h"]');
  await until(async () => (await page.getAttribute('#lanes', 'role')) === 'listbox', 'events');
  await page.focus('#lanes');
  const active = () => page.evaluate(() => document.getElementById(document.querySelector('#lanes').getAttribute('aria-activedescendant'))?.getAttribute('aria-label') ?? '');
  await page.keyboard.press('ArrowLeft');
  await until(async () => (await active()).includes('restarted'), 'the newest');
  await page.keyboard.press('ArrowLeft');
  await until(async () => /▲ wlan0 lost its link · 40 s · wlan0$/.test(await active()), 'the one before');
  equal(await page.locator('#lanes [aria-selected=true]').count(), 1, 'selected');
  await page.keyboard.press('Escape');
  await until(async () => (await moment(page)) === null && (await page.locator('#lanes [aria-selected=true]').count()) === 0, 'now');
}));

test('no words lie on the bar of another event, and a long detail stays in its chip', () => mocked({ trouble: false }, async (mock) => {
  const now = Date.now() / 1000;
  const one = (id, severity, title, begin, end) => ({ id, exact: true, kind: 'verdict', lane: 'trouble', severity, title, begin, ...(end && { end }) });
  const list = [one(1, 'warning', 'CPU is fully used', now - 500), one(2, 'critical', 'database was killed', now - 300, now - 300), one(3, 'info', 'at the end', now - 590, now - 560)];
  mock.events = () => ({ time: Date.now() / 1000, last: 3, changes: 3, events: list });
  mock.verdicts = [{ rule: 'new', severity: 'critical', state: 'firing', title: 'Something new', detail: 'word '.repeat(40), card: 'cpu', since_seconds: 3 }];
  const page = await open(mock.url, { size: [390, 844], touch: true });
  await until(() => event(page, 'database').count(), 'the event');
  const words = () => page.evaluate(() => [...document.querySelectorAll('.lane span')].map((node) => node.textContent));
  check(!(await words()).includes('database was killed'), `words on a bar: ${await words()}`);
  await page.setViewportSize({ width: 1440, height: 900 });
  await until(async () => (await words()).includes('at the end'), 'words where there is room');
  equal(await words(), ['at the end'], 'words in the lanes');
  await page.setViewportSize({ width: 390, height: 844 });
  const over = await page.evaluate(() => {
    const box = (it) => document.querySelector(it).getBoundingClientRect();
    return box('#verdicts .chip span').bottom - box('#verdicts .chip').bottom;
  });
  check(over <= 0, `the detail is ${over} pixels below its chip`);
}));

test('of the events, only new ones are asked for, and all of them where something else changed', () => mocked({ trouble: false }, async (mock) => {
  const begun = Date.now() / 1000 - 300;
  const one = (id, begin, end) => ({ id, exact: true, kind: 'verdict', lane: 'trouble', severity: 'warning', title: `number ${id}`, begin, ...(end && { end }) });
  let list = [one(1, begun, begun + 20), one(2, begun + 100)], changes = 1;
  mock.events = (since) => ({ time: Date.now() / 1000, last: list.length, changes, events: list.filter((it) => (it.end ?? Infinity) >= since) });
  const page = await open(mock.url);
  const asked = () => mock.requests.filter((it) => it.startsWith('/events')).map((it) => Date.now() / 1000 - Number(it.split('=')[1]));
  const change = (next) => {
    mock.requests.length = 0;
    list = next;
    changes++;
  };
  await until(async () => (await event(page, 'number').count()) === 2, 'two events');
  check(asked().length === 1 && asked()[0] > 500, `first: ${asked()}`);
  change([...list, one(3, begun + 200, begun + 290)]);
  await until(async () => (await event(page, 'number 3').count()) === 1, 'a new one');
  check(asked().length === 1 && asked()[0] < 200, `the new one: ${asked()}`);
  equal(await event(page, 'number').count(), 3, 'events');
  // It ended long ago, as rules find that wait before they are sure.
  change([list[0], one(2, begun + 100, begun + 110), list[2]]);
  await until(async () => (await event(page, 'number 2').getAttribute('aria-label')).includes('10 s'), 'its end');
  check(asked().length === 2 && asked()[1] > 500, `its end: ${asked()}`);
  // The clock was set.
  const first = await event(page, 'number 3').getAttribute('aria-label');
  change(list.map((it) => ({ ...it, begin: it.begin - 60, end: it.end - 60 })));
  await until(async () => (await event(page, 'number 3').getAttribute('aria-label')) !== first, 'all times');
}));

test('a moment without an event says what is not known', () => mocked({ trouble: false }, async (mock) => {
  const page = await open(mock.url);
  await page.click('header [data-range="24h"]');
  await until(() => event(page, 'Linux 6').count(), 'events');
  const { width } = await page.locator('.lane').first().boundingBox();
  await page.locator('.lane').first().click({ position: { x: width * 0.2, y: 8 } });
  await until(async () => (await text(page, '#card-processes')).includes('is not known'), 'the processes');
  check((await text(page, '#timeline .sub')).includes('no event'), 'the timeline');
  equal(await page.locator('#event').isVisible(), false, 'a description');
}));

test('a dragged stretch is shown in all charts and opens no dialog', () => mocked({ trouble: false }, async (mock) => {
  const page = await open(mock.url);
  await page.click('header [data-range="1h"]');
  await until(async () => (await page.getAttribute('#card-cpu canvas', 'aria-label')).includes('59 m'), 'an hour');
  const box = await page.locator('#card-cpu .chart').boundingBox();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 40);
  await page.mouse.move(box.x + box.width * 0.75, box.y + 40);
  await until(async () => (await pixels(page, '#card-network canvas + canvas', '#40e0d0')).count + (await crosshairs(page))[5] > 2000, 'the stretch while it is dragged');
  await page.mouse.up();
  await until(async () => /the last 1[5-9] m/.test(await page.getAttribute('#card-network canvas', 'aria-label')), 'a quarter of an hour');
  equal(await opened(page), '', 'dialog');
  check(/&r=\d+$/.test(new URL(page.url()).hash), page.url());
  equal(await page.locator('header [aria-pressed=true]').count(), 0, 'ranges that are pressed');
  await sleep(4500);
  check(/the last 1[5-9] m/.test(await page.getAttribute('#card-network canvas', 'aria-label')), 'it stays');
  await page.keyboard.press('Escape');
  await until(async () => (await page.getAttribute('#card-cpu canvas', 'aria-label')).includes('59 m'), 'the hour again');
  equal(await page.getAttribute('header [data-range="1h"]', 'aria-pressed'), 'true', 'pressed');
}));

test('a phone can put the page on its home screen', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  const session = await page.context().newCDPSession(page);
  const manifest = await until(async () => {
    const { data, errors } = await session.send('Page.getAppManifest');
    equal(errors, [], 'what is wrong with the manifest');
    return data && JSON.parse(data);
  }, 'a manifest');
  equal([manifest.start_url, manifest.short_name, manifest.display], [mock.url, 'kitchen-pi', 'standalone'], 'manifest');
  check(manifest.icons[0].src.startsWith('data:image/svg+xml'), 'icon');
  await clean(page, mock.url);
}));

// Disks, Wi-Fi, the power supply, and the doctor

/** Makes the mock say something else in sections of /json. */
function change(mock, sections) {
  const json = mock.json.bind(mock);
  mock.json = (only) => {
    const answer = json(only);
    for (const [name, section] of Object.entries(sections)) if (!only.length || only.includes(name)) answer[name] = section;
    return answer;
  };
}
/** The lines of the card about disks, as "word: text". */
const facts = (page) => page.evaluate(() => [...document.querySelectorAll('#card-filesystems .facts li')].map((line) => [...line.children].map((part) => part.textContent).join(': ')));

test('the card about disks says what the card is, how much is written, how slow it was, and that nothing is wrong', () => mocked({ trouble: false, mounts: 2 }, async (mock) => {
  const page = await open(mock.url);
  await until(async () => (await facts(page)).length > 3, 'the lines');
  const age = ((Date.now() / 1000 - 1680307200) / 31557600).toFixed(1);
  equal(await facts(page), [`SD: SC32G · ${age} years`, 'written: 1.9 TiB · 4.1 GiB a day', 'ext4 errors: none', 'worst average: 12 ms in 2 min · mmcblk0'], 'the lines');
  equal(await text(page, '#card-filesystems .big'), 'ok', 'the big word');
  await show(page, 'filesystems');
  await until(async () => (await text(page, '#dialog-body')).includes('collect[]=storage'), 'its values');
  check(!(await text(page, '#dialog-body')).includes('has no such section'), 'a section that this machine need not have');
  await clean(page, mock.url);
}));

test('wear, ext4 errors and a broken array are said in the card about disks, the worst in the head', () => mocked({ trouble: false, mounts: 2 }, async (mock) => {
  const storage = {
    cards: [{ device: 'mmcblk0', type: 'MMC', name: 'BJTD4R', manufacturer_id: '0x000015', age_seconds: 96854400, life_used_ratio: { a: 0.9, b: 0.2 }, pre_eol_state: 2 }],
    filesystems: [{ device: 'mmcblk0p2', lifetime_written_bytes: 2e11, errors: 3, first_error_seconds: 1790000000, last_error_seconds: 1790500000 }],
  };
  const nvme = { controllers: [{ device: 'nvme0', model: 'Example NVMe', firmware: '3B4QFXO7', live: 1 }] };
  const array = { array: 'md0', level: 'raid1', active: 1, disks: { active: 2, missing: 0, spare: 0, failed: 0 }, size_bytes: 6e10, action: { resync: 0, recovery: 0, reshape: 0, check: 1 }, progress_percent: 34.2 };
  const mdraid = { arrays: [array] };
  change(mock, { storage, nvme, mdraid });
  const page = await open(mock.url);
  await until(async () => (await facts(page)).length > 5, 'the lines');
  equal((await facts(page)).slice(0, 5), ['eMMC: BJTD4R · 3.1 years · 90% worn · few spare blocks', 'NVMe: Example NVMe', 'md0: 2 of 2 disks · check 34%', 'written: 186 GiB', 'errors: 3 on mmcblk0p2, 2026-09-21 to 2026-09-27'], 'the lines');
  equal([await text(page, '#card-filesystems .big'), await page.getAttribute('#card-filesystems .big', 'class')], ['eMMC', 'big warning'], 'the worst');
  await axe(page, 'warnings');
  mdraid.arrays.push({ ...array, array: 'md1', disks: { active: 4, missing: 8, spare: 0, failed: 0 } });
  // A container of arrays, of which the agent does not say whether it works.
  mdraid.arrays.push({ array: 'md127', level: '', disks: { spare: 2, failed: 0 }, action: array.action });
  Object.assign(array.disks, { active: 1, missing: 1 });
  storage.cards[0].life_used_ratio.a = 0.2;
  const other = await open(mock.url);
  await until(async () => (await text(other, '#card-filesystems .big')) === 'md0', 'the array');
  equal(await other.getAttribute('#card-filesystems .big', 'class'), 'big critical', 'how bad');
  check((await facts(other)).includes('md0: 1 of 2 disks · check 34%'), 'its disks');
  // An array with more places than it ever had disks is whole, and a container is none.
  equal(await other.evaluate(() => [...document.querySelectorAll('#card-filesystems .facts .critical')].map((one) => one.textContent)), ['md0'], 'what is broken');
}));

test('Wi-Fi says how good it is in words, and how often it was lost', () => mocked({ trouble: false }, async (mock) => {
  const radio = { interface: 'wlan0', signal_dbm: -58, transmit_bits_per_second: 65e6, retries: 17, failures: 0, power_save: 1, frequency_hertz: 2.437e9 };
  change(mock, { wifi: { interfaces: [radio] } });
  const events = mock.events.bind(mock), now = Date.now() / 1000;
  const lost = { kind: 'wifi', lane: 'changes', severity: 'warning', exact: true, title: 'wlan0 disconnected from Wi-Fi', detail: 'by the access point, reason 4', culprit: 'wlan0' };
  mock.events = (...words) => {
    const answer = events(...words);
    const news = [[90, now - 200], [91, now - 100], [92, now - 5000]].map(([id, begin]) => ({ ...lost, id, begin, end: begin }));
    answer.events.push(...news, { ...news[0], id: 93, severity: 'info', title: 'wlan0 connected to Wi-Fi' });
    return { ...answer, last: 93, changes: 93 };
  };
  const line = (page) => page.evaluate(() => {
    const { textContent, className } = document.querySelector('#card-network .body > :last-child');
    return [textContent, className];
  });
  const page = await open(mock.url);
  await until(async () => (await line(page))[0] === 'Wi-Fi strong · -58 dBm · lost 2× · 65 Mbit/s · 17 retries', 'the line');
  for (const [signal, words, look] of [[-60, 'strong', 'note '], [-61, 'good', 'note '], [-70, 'good', 'note '], [-71, 'weak', 'note warning'], [-80, 'weak', 'note warning'], [-81, 'hardly usable', 'note critical']]) {
    radio.signal_dbm = signal;
    const other = await open(mock.url);
    const [said, name] = await line(other);
    check(said.startsWith(`Wi-Fi ${words} · ${signal} dBm`) && name === look, `${said} (${name})`);
    await other.context().close();
  }
  // Of another moment it is not known.
  await page.evaluate((at) => { location.hash = `#t=${Math.round(at)}&r=10m`; }, now - 100);
  await until(async () => (await line(page))[0] === 'How good Wi-Fi was is not kept.', 'a moment');
}));

test('what the machine lacks of a card is in the foot row', () => mocked({ trouble: false, without: ['wifi', 'thermal'] }, async (mock) => {
  const page = await open(mock.url);
  await until(async () => (await text(page, '#lacks')) === 'Not on this machine: Wi-Fi, temperature', 'the foot row');
  equal(await page.evaluate(() => document.querySelector('#card-network .body > :last-child').checkVisibility()), false, 'no line about Wi-Fi');
}));

test('the card about power says how often, for how long, and how many volts', () => mocked({ trouble: false }, async (mock) => {
  const flags = (value) => ({ under_voltage: value, frequency_capped: 0, throttled: 0, soft_temperature_limit: 0 });
  const power = { throttled: flags(0), throttled_since_boot: flags(1), throttled_events: flags(14), throttled_seconds: flags(96), rails: [{ rail: 'core', voltage_volts: 0.875 }, { rail: 'EXT5V', voltage_volts: 5.10252 }], fan_rpm: 3052 };
  change(mock, { power });
  const page = await open(mock.url);
  const lines = () => page.evaluate(() => [...document.querySelectorAll('#card-thermal .note')].filter((one) => one.checkVisibility()).map((one) => one.textContent));
  await until(async () => (await lines()).length === 3, 'the lines');
  equal(await lines(), ['Not throttled now', 'Since boot: under-voltage 14×, 1 m 36 s', 'Clock 1400 MHz of 1400 MHz · EXT5V 5.10 V · fan 3052/min'], 'the lines');
  await page.evaluate((at) => { location.hash = `#t=${Math.round(at)}&r=10m`; }, Date.now() / 1000 - 100);
  await until(async () => JSON.stringify(await lines()) === '["Clock 1400 MHz of 1400 MHz · volts not kept"]', 'a moment');
}));

for (const size of [[1440, 900], [390, 844]]) {
  test(`${size.join('x')}: the doctor's findings have their fixes, and it is asked seldom`, () => mocked({ trouble: false }, async (mock) => {
    mock.findings = [['swap_on_card', 'warning', '/var/swap'], ['psi', 'info', 'psi=1 is not on its command line'], ['usb_power', 'info', '600 mA']];
    const visits = () => mock.requests.filter((path) => path === '/doctor').length;
    const init = () => {
      const real = performance.now.bind(performance);
      Object.assign(window, { skipped: 0 });
      performance.now = () => real() + window.skipped;
    };
    const page = await open(mock.url, { size, touch: size[0] < 700, init });
    await until(async () => (await text(page, '#card-doctor .big')) === '▲ 3' || (await text(page, '#card-doctor .big')) === '3', 'how many');
    check(mock.requests.indexOf('/doctor') > mock.requests.indexOf('/more.js'), 'asked before the second part is here');
    equal(await page.getAttribute('#card-doctor .big', 'class'), 'big warning', 'how bad');
    const inside = await page.textContent('#card-doctor .findings');
    for (const words of ['Swap is on the SD card', 'sudo swapoff /var/swap', 'The kernel does not measure pressure', '+1 more · 4 could not be checked']) check(inside.includes(words), `${words} in ${inside}`);
    equal(await page.locator('#card-doctor .findings').isVisible(), size[0] > 700, 'behind its title on a phone');
    await show(page, 'doctor');
    await until(async () => (await text(page, '#dialog-body')).includes('Could not be checked: power save of Wi-Fi'), 'what was not seen');
    const all = await text(page, '#dialog-body');
    for (const words of ['600 mA', 'usb_max_current_enable=1', 'Nothing else found', 'Looked at ', 'disk full', 'Type: sudo pi-monitor doctor.']) check(all.includes(words), `${words} in ${all}`);
    await axe(page, 'the report');
    await page.click('#close');
    await until(() => mock.requests.filter((path) => path.startsWith('/json')).length > 3, 'some rounds');
    equal(visits(), 1, 'visits');
    // Other verdicts are a reason to ask again, but not at once.
    mock.findings = [];
    mock.verdicts = [{ rule: 'disk_full', severity: 'critical', state: 'firing', title: '/mnt is almost full', detail: '97.6% of 29 GiB', card: 'filesystems', since_seconds: 60 }];
    await until(async () => (await text(page, '#verdicts')).includes('/mnt is almost full'), 'the verdict');
    await sleep(5000);
    equal(visits(), 1, 'visits so soon');
    await page.evaluate(() => { window.skipped = 61000; });
    await until(async () => (await page.textContent('#card-doctor .findings')).includes('/mnt is almost full'), 'the second visit');
    mock.verdicts = [];
    await until(async () => (await text(page, '#verdicts')).includes('All clear'), 'all clear');
    await page.evaluate(() => { window.skipped = 122000; });
    await until(async () => (await page.textContent('#card-doctor .findings')).startsWith('Nothing foundLooked at '), 'a well machine');
    equal([await text(page, '#card-doctor .big'), visits()], ['ok', 3], 'the word, and visits');
    await page.evaluate(() => { window.skipped = 183000; });
    await sleep(5000);
    equal(visits(), 3, 'visits when nothing changes');
    await page.evaluate(() => { window.skipped = 800000; });
    await until(() => visits() === 4, 'a visit after ten minutes');
    // The doctor knows nothing of the past.
    await page.evaluate((at) => { location.hash = `#t=${Math.round(at)}&r=10m`; }, Date.now() / 1000 - 100);
    await until(async () => (await page.textContent('#card-doctor .absent')).includes('machine of now'), 'a moment');
    await clean(page, mock.url);
  }));
}

test('a doctor that does not answer says why, and the page goes on', () => mocked({ trouble: false }, async (mock) => {
  mock.doctor = () => null;
  const page = await open(mock.url);
  await until(async () => (await text(page, '#card-doctor')).includes('No answer: HTTP 404 from /doctor'), 'the reason');
  equal([await text(page, '#card-doctor .big'), await state(page)], ['', 'live'], 'no number, and live');
}));

test('on a phone, cards come in the order of what matters most, for the keyboard too', () => mocked({ trouble: false }, async (mock) => {
  const page = await open(mock.url, { size: [390, 844] });
  const order = () => page.evaluate(() => [...document.querySelectorAll('#cards > *')].map((card) => card.id.slice(5)).filter((id) => id !== 'services'));
  equal(await order(), ['cpu', 'memory', 'diskio', 'thermal', 'processes', 'network', 'filesystems', 'pressure', 'doctor'], 'on a phone');
  await page.setViewportSize({ width: 1440, height: 900 });
  await until(async () => JSON.stringify(await order()) === JSON.stringify(CARDS.filter((id) => id !== 'services')), 'on a desk');
}));

test('an agent without events has charts all the same', () => mocked({ without: ['events'] }, async (mock) => {
  const page = await open(mock.url);
  await until(async () => (await text(page, '#timeline')).includes('keeps no events'), 'the words');
  mock.requests.length = 0;
  await sleep(5000);
  equal(mock.requests.filter((it) => it.startsWith('/events')), [], 'requests');
  check(/\d/.test(await text(page, '#card-cpu .big')), 'the number');
}));

test('a verdict that is over is grey and in the past, and its collector is asked in every cycle', () => mocked({ trouble: false }, async (mock) => {
  const page = await open(mock.url);
  const full = { rule: 'disk_full', severity: 'critical', state: 'firing', title: '/mnt is almost full', detail: '97.6% of 29 GiB', card: 'filesystems', since_seconds: 60 };
  mock.verdicts = [full];
  await until(async () => (await page.getAttribute('#card-filesystems', 'data-alert')) === 'critical', 'the card', 15);
  mock.requests.length = 0;
  await until(() => mock.requests.filter((it) => it.startsWith('/json') && it.includes('=disk&') | it.endsWith('=disk')).length > 1, 'filesystems twice', 20);
  mock.verdicts = [{ ...full, state: 'resolved', title: '/mnt was almost full', until_seconds: 5 }];
  await until(async () => /was almost full until \d\d:\d\d/.test(await text(page, '#verdicts')), 'the past', 15);
  equal(await page.evaluate(() => getComputedStyle(document.querySelector('#verdicts .chip b')).color), 'rgb(134, 188, 188)', 'no color of a state');
  equal(await page.getAttribute('#card-filesystems', 'data-alert'), null, 'the card');
}));

test('two numbers of one thing are the same number', () => mocked({ trouble: false, cores: 1, interfaces: 1 }, async (mock) => {
  // So much memory that the share has a decimal.
  const json = mock.json.bind(mock);
  mock.json = (only) => {
    const all = json(only);
    return all.memory ? { ...all, memory: { ...all.memory, total_bytes: 20 * all.memory.total_bytes } } : all;
  };
  const page = await open(mock.url);
  for (let i = 0; i < 6; i++) {
    await sleep(900);
    const [big, core, memory, ring, load, network] = await page.evaluate(() => ['#card-cpu .big', '#card-cpu .tiles b', '#card-memory .big', '#card-memory .ring text', '#card-pressure .note', '#card-network .note'].map((it) => document.querySelector(it).textContent));
    equal(core, big, 'the one core and the machine');
    equal(ring, memory, 'the ring and the number');
    check(!/ in 1, /.test(load) && !/\d+ (B|KiB)\/s/.test(network), 'the same number on another clock');
  }
}));

test('text grows with the font size of the browser, and the page with a large screen', () => mocked({}, async (mock) => {
  const page = await open(mock.url, { size: [1920, 1080] });
  await until(async () => (await page.locator('#card-processes tbody tr').count()) > 4, 'processes', 15);
  await page.click('#pause');
  const sizes = () => page.evaluate(() => [...document.querySelectorAll('.big, .note, td, .chip b, #status')].map((node) => parseFloat(getComputedStyle(node).fontSize)));
  const large = await sizes();
  equal(await page.evaluate(() => document.documentElement.scrollHeight - innerHeight), 0, 'scrolling');
  await page.setViewportSize({ width: 1440, height: 900 });
  const normal = await sizes();
  check(normal.every((size, i) => size < large[i]), 'text on a large screen');
  await page.evaluate(() => { document.documentElement.style.fontSize = '24px'; });
  const set = await sizes();
  check(set.every((size, i) => Math.abs(size / normal[i] - 1.5) < 0.01), 'text with a font of 24 px');
}));

// States

test('a hung agent is stale after 6 s and down after 15 s; requests time out, do not overlap and back off', () => mocked({}, async (mock) => {
  // When each request was sent, by the page's own clock: nothing on the way makes the time between two of them shorter.
  const page = await open(mock.url, { init: () => {
    const { fetch } = window;
    window.sent = [];
    window.fetch = (...words) => {
      window.sent.push(performance.now() / 1000);
      return fetch(...words);
    };
  } });
  await page.evaluate(() => document.fonts.ready);
  mock.state.hung = true;
  const began = Date.now();
  await until(async () => (await state(page)) === 'stale', 'stale');
  const stale = (Date.now() - began) / 1000;
  check(stale > 4, `stale after ${stale} s`);
  check(/▲ Stale \d+ s|■ Down/.test(await pill(page)), await pill(page));
  await page.evaluate(() => { window.sent.length = 0; });
  await until(async () => (await state(page)) === 'down', 'down');
  const down = (Date.now() - began) / 1000;
  check(down > 13, `down after ${down} s`);
  check((await page.title()).startsWith('■ Down'), await page.title());
  await until(async () => /No answer for \d+ s\s+next try in \d+ s/.test(await text(page, '#verdicts')), 'age and countdown');
  check(await page.evaluate(() => getComputedStyle(document.querySelector('#cards')).filter.includes('grayscale')), 'greyed');
  equal(await page.textContent('#spoken'), 'No answer from the agent', 'spoken');
  const sent = await until(async () => {
    const all = await page.evaluate(() => window.sent);
    return all.length > 3 && all;
  }, 'four tries', 150);
  const pauses = sent.slice(1).map((time, i) => time - sent[i]);
  // 4 s until the time is out, then 2, 4, 8, 15 s; the first of them may have been before.
  check(pauses[0] > 5.9 && pauses[1] > 7.9 && pauses[2] > 11.9, `pauses ${pauses.map((it) => it.toFixed(1))}`);
  mock.state.hung = false;
  await until(async () => (await state(page)) === 'live', 'live again');
  check(!(await page.title()).includes('Down'), await page.title());
}));

test('a killed agent is down at once; when it is back the gap is filled from the history', () => mocked({ trouble: false }, async (mock) => {
  mock.state.hole = [0, 0];
  const page = await open(mock.url);
  const { port } = mock;
  await mock.stop();
  await until(async () => (await state(page)) === 'down', 'down');
  check((await pill(page)).includes('Down'), await pill(page));
  await until(async () => /Down for \d+ s: connection refused or lost\s+next try in \d+ s/.test(await text(page, '#verdicts')), 'the reason, the age and the countdown');
  // Long enough for a gap that a chart could show.
  await sleep(9000);
  await mock.listen(port);
  await until(async () => (await state(page)) === 'live', 'live again');
  const shade = () => page.evaluate(() => {
    const canvas = document.querySelector('#card-cpu canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 20, canvas.width, 1);
    return data.filter((value, i) => i % 4 === 0 && value === 0x10 && data[i + 1] === 0x22).length;
  });
  await until(async () => (await shade()) === 0, 'the gap is filled');
}));

test('an agent whose sampler stands still is stale although it answers', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  Object.assign(mock.state, { samples: false, frozenAt: Date.now() / 1000 });
  await until(async () => (await state(page)) === 'stale', 'stale');
  check((await text(page, '#verdicts')).includes('newest sample'), await text(page, '#verdicts'));
  mock.state.samples = true;
  await until(async () => (await state(page)) === 'live', 'live again');
}));

test('after a reboot the old points stay and a mark stands between', () => mocked({ trouble: false }, async (mock) => {
  mock.state.hole = [0, 0];
  const page = await open(mock.url);
  const before = (await pixels(page, '#card-cpu canvas', '#ffc24b')).count;
  await mock.stop();
  mock.reboot(12);
  await mock.listen(mock.port);
  await until(async () => (await pixels(page, '#card-cpu canvas', '#ffc24b')).count > before + 30, 'the mark');
  const line = await pixels(page, '#card-cpu canvas', '#40e0d0');
  check(line.first < 0.3, `the old points are gone: ${line.first}`);
  check((await text(page, '#about')).includes('up 1'), await text(page, '#about'));
  await until(async () => (await state(page)) === 'live', 'live');
}));

test('an HTTP error says which one', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  mock.state.error = 503;
  await until(async () => (await pill(page)) === '■ HTTP 503', 'the status');
  check(/HTTP 503 from \/\w+\s+(next try in|trying now)/.test(await text(page, '#verdicts')), await text(page, '#verdicts'));
  mock.state.error = 0;
  await until(async () => (await state(page)) === 'live', 'live again');
}));

test('the page says that it is loading and jumps nowhere when the data come', () => mocked({}, async (mock) => {
  mock.state.hung = true;
  const page = await open(mock.url, { wait: false, init: () => {
    window.shift = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.shift += entry.value; })).observe({ type: 'layout-shift', buffered: true });
  } });
  check((await pill(page)).includes('Loading'), await pill(page));
  const before = await page.evaluate(() => [...document.querySelectorAll('.card')].map((card) => card.getBoundingClientRect().top));
  mock.state.hung = false;
  await until(async () => (await state(page)) === 'live', 'live');
  await until(async () => (await page.locator('#card-processes tbody tr').count()) > 4 && page.evaluate(() => Boolean(document.querySelector('#lanes'))), 'processes and timeline');
  const after = await page.evaluate(() => [...document.querySelectorAll('.card')].map((card) => card.getBoundingClientRect().top));
  after.forEach((top, i) => check(Math.abs(top - before[i]) <= 4, `card ${CARDS[i]} moved by ${top - before[i]}`));
  const shift = await page.evaluate(() => window.shift);
  check(shift <= 0.05, `layout shift ${shift}`);
}));

test('Pause asks nothing and Resume fills the gap', () => mocked({ trouble: false }, async (mock) => {
  mock.state.hole = [0, 0];
  const page = await open(mock.url);
  await page.click('#pause');
  await silence(mock);
  await sleep(9000);
  equal(mock.requests.length, 0, 'requests while paused');
  equal(await pill(page), '‖ Paused', 'status');
  await page.click('#pause');
  await until(async () => (await state(page)) === 'live', 'live');
  await until(() => mock.requests.some((it) => it.includes('since=')), 'the gap is asked for');
}));

test('while paused, another range is fetched once and the rest stays', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  await page.click('#pause');
  await silence(mock);
  const big = await text(page, '#card-cpu .big');
  for (const [range, words] of [['24h', '23 h'], ['2m', '1 m 58 s']]) {
    mock.requests.length = 0;
    await page.click(`header [data-range="${range}"]`);
    await until(async () => (await page.getAttribute('#card-cpu canvas', 'aria-label')).includes(words), `${range} in the chart`);
    await page.click(`header [data-range="${range}"]`);
    await sleep(4500);
    equal(mock.requests, [`/history?range=${range}`], 'requests');
    equal([await pill(page), await text(page, '#card-cpu .big')], ['‖ Paused', big], 'status and number');
  }
  await page.click('#pause');
  await until(async () => (await state(page)) === 'live', 'live');
}));

test('a hidden tab asks nothing and is current at once when it is seen again', () => mocked({}, async (mock) => {
  const page = await open(mock.url);
  const hide = (hidden) => page.evaluate((it) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => it });
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => (it ? 'hidden' : 'visible') });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  await hide(true);
  await silence(mock);
  await sleep(17000);
  equal(mock.requests.length, 0, 'requests while hidden');
  await hide(false);
  await until(() => mock.requests.length > 0, 'a request at once', 8);
  await until(async () => (await state(page)) === 'live', 'live');
}));

test('a slow agent is never asked twice at the same time', () => mocked({}, async (mock) => {
  const answer = mock.answer.bind(mock);
  mock.server.removeAllListeners('request');
  mock.server.on('request', async (request, response) => {
    await sleep(request.url === '/' ? 0 : 1300);
    if (!response.destroyed) answer(request, response);
  });
  // Counted in the page: the mock agent learns late of a request that was given up.
  const page = await open(mock.url, { init: () => {
    const { fetch } = window;
    window.running = { now: 0, most: 0, all: 0 };
    window.fetch = async (...words) => {
      const { running } = window;
      running.all++;
      // The second script and the runbooks are no data, and come beside them.
      const counts = !/more\.js|runbooks/.test(words[0]);
      running.now += counts;
      running.most = Math.max(running.most, running.now);
      try {
        return await fetch(...words);
      } finally {
        running.now -= counts;
      }
    };
  } });
  await page.click('header [data-range="2m"]');
  const before = await page.evaluate(() => window.running.all);
  await until(() => page.evaluate((it) => window.running.all > it + 5, before), 'six more requests');
  equal(await page.evaluate(() => window.running.most), 1, 'requests at the same time');
}));

// The agent itself

test('the agent: its page works with its own answers, without an error and without a foreign request', async () => {
  const page = await open(agent.url);
  await until(async () => /^\d/.test(await text(page, '#card-cpu .big')), 'CPU');
  check(/\d/.test(await text(page, '#card-memory .big')), 'memory');
  await until(async () => (await page.locator('#card-processes tbody tr').count()) > 1, 'processes');
  check((await text(page, '#card-filesystems')).includes('free'), 'filesystems');
  for (const id of CARDS) {
    await show(page, id);
    await until(async () => (await text(page, '#dialog-body')).length > 20, `the dialog ${id} is not empty`);
    await axe(page, id);
    await page.click('#close');
    await until(async () => (await opened(page)) === '', 'closed');
  }
  for (const range of ['1h', '24h', '7d', '2m']) {
    await page.click(`header [data-range="${range}"]`);
    await until(async () => (await state(page)) === 'live', `live with ${range}`);
  }
  await clean(page, agent.url);
});

/** Runs with the port of a site whose every page shows the address behind its `?` in a frame, as Home Assistant's webpage card does. */
async function framing(run) {
  const server = http.createServer((request, response) => {
    const address = decodeURIComponent(request.url.split('?')[1] ?? '');
    response.setHeader('content-type', 'text/html');
    response.end(`<!DOCTYPE html><link rel="icon" href="data:,"><iframe src="${address}" style="width: 800px; height: 600px"></iframe>`);
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  try {
    await run(server.address().port);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("the agent: in another site's frame the page and its dialogs work where the flag allows that site, and nowhere else", () => framing(async (port) => {
  const site = `http://localhost:${port}`;
  const opened = await Agent.start([`--web.frame-ancestors=${site}`]);
  try {
    const page = await open(`${site}/?${encodeURIComponent(opened.url)}`, { wait: false });
    const frame = page.frames()[1];
    equal(frame.url(), opened.url, 'the address in the frame');
    await until(async () => (await state(frame)) === 'live', 'live');
    await until(async () => /^\d/.test(await text(frame, '#card-cpu .big')), 'CPU');
    let tried = 0;
    for (const id of CARDS) {
      // A card whose source this machine lacks is not shown.
      if (!(await frame.isVisible(`#open-${id}`))) continue;
      tried++;
      await frame.click(`#open-${id}`);
      await until(() => frame.evaluate((it) => document.querySelector('#dialog').open && location.hash === `#${it}`, id), `dialog ${id}`);
      await until(async () => (await text(frame, '#dialog-body')).length > 20, `the dialog ${id} is not empty`);
      equal(await frame.evaluate(() => document.activeElement.id), 'close', 'the focus');
      await frame.press('#dialog', 'Escape');
      await until(() => frame.evaluate(() => !document.querySelector('#dialog').open), `dialog ${id} closes`);
    }
    check(tried > 4, `${tried} cards`);
    equal(page.errors, [], 'console errors');
    // The same page under a name that is not allowed, and an agent without the flag.
    for (const [parent, url] of [[`http://127.0.0.1:${port}`, opened.url], [site, agent.url]]) {
      const other = await open(`${parent}/?${encodeURIComponent(url)}`, { wait: false });
      await until(() => other.errors.some((it) => it.includes('frame-ancestors')), `${parent} is refused, with the reason`);
      const shown = await other.frames()[1].evaluate(() => document.querySelector('#card-cpu') !== null);
      check(!shown, `${parent} shows ${url}`);
    }
  } finally {
    await opened.stop();
  }
}));

test('the agent: with access on, the page is asked for once and works', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'pi-monitor-'));
  const file = join(directory, 'credentials');
  writeFileSync(file, 'basic pi:a long password\n', { mode: 0o600 });
  const own = await Agent.start([`--web.auth-file=${file}`]);
  try {
    for (const path of ['', 'more.js']) equal((await fetch(own.url + path)).status, 401, `/${path} without a credential`);
    const page = await open(own.url, { httpCredentials: { username: 'pi', password: 'a long password' } });
    await until(() => page.asked.filter((url) => url.includes('/json')).length > 2, 'three answers');
    equal(await state(page), 'live', 'state');
    equal(page.errors.filter((line) => !line.includes('401')), [], 'errors');
    await page.context().close();
  } finally {
    await own.stop();
    rmSync(directory, { recursive: true });
  }
});

test('the agent: stopped by SIGSTOP it is stale and then down, continued it is live', async () => {
  const own = await Agent.start();
  try {
    const page = await open(own.url);
    own.signal('SIGSTOP');
    await until(async () => (await state(page)) === 'stale', 'stale');
    await until(async () => (await state(page)) === 'down', 'down');
    own.signal('SIGCONT');
    await until(async () => (await state(page)) === 'live', 'live again');
    check((await text(page, '#dialog-status')).includes('Live'), 'live');
  } finally {
    await own.stop();
  }
});

test('the agent: killed it is down at once, restarted it is live and its old points stay', async () => {
  const own = await Agent.start();
  try {
    const page = await open(own.url);
    await sleep(8000);
    await own.stop();
    await until(async () => (await state(page)) === 'down', 'down');
    await sleep(8000);
    await own.up();
    await until(async () => (await state(page)) === 'live', 'live again');
    await page.click('header [data-range="10m"]');
    // Two stretches of samples with a shaded gap between them.
    const parts = () => page.evaluate(() => {
      const canvas = document.querySelector('#card-memory canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 20, canvas.width, 1);
      let runs = 0, was = false;
      for (let x = 0; x < canvas.width; x++) {
        const shaded = data[x * 4] === 0x10 && data[x * 4 + 1] === 0x22;
        if (shaded && !was) runs++;
        was = shaded;
      }
      return runs;
    });
    await until(async () => (await parts()) >= 2, 'two shaded spans: the time before the first start and the time between');
  } finally {
    await own.stop();
  }
});

const DEVICES = { 'on a desk': { size: [1440, 900] }, 'on a phone': { size: [390, 844], touch: true } };

// One agent for both: two programs that use a CPU would leave nothing to a browser on a machine with two.
test('the agent: a program that uses a CPU is found, with what to do (on a desk, on a phone)', async () => {
  const lack = Incident.lacks();
  if (lack) throw new Skipped(lack);
  // Whatever else keeps this machine busy, in the agent's namespace there is one to blame.
  const others = RULE_NAMES.filter((rule) => rule !== 'cpu_busy').map((rule) => `--no-rule.${rule}`);
  const own = await Incident.start({ busy: 1, flags: ['--rule.cpu_busy.above=1', ...others] });
  try {
    for (const device of Object.values(DEVICES)) {
      const page = await open(own.url, device);
      const { press, sees } = visitor(page, device.touch);
      // 2, 3: what is slow now, and which process?
      await sees('#verdicts', /CPU is fully used\s+[\d.]+% in use; transcode uses most/);
      await sees('#card-processes tbody tr:first-child', /transcode/);
      // 10: what do I do about it?
      await press('#verdicts .chip');
      await sees('#dialog-body .wrong', /What to do: Stop or limit the program that uses most CPU/);
      // 4: why was it slow then?
      await press('#dialog-body .wrong .act');
      await sees('#event', /CPU is fully used[^]*still on[^]*CPU: transcode [\d.]+%/);
      await sees('#card-processes table:not([hidden]) tbody tr:first-child', /transcode/);
      equal(page.errors, [], 'console errors');
    }
  } finally {
    await own.stop();
  }
});

for (const [name, device] of Object.entries(DEVICES)) {
  test(`the agent: a kill at a limit of memory is found, with what to do (${name})`, async () => {
    const lack = Incident.lacks() ?? (canRead('/dev/kmsg') ? null : "the right to read the kernel's log");
    if (lack) throw new Skipped(lack);
    const own = await Incident.start({ memory: 64e6 });
    try {
      if (!own.group) throw new Skipped('a control group with a limit of memory');
      const page = await open(own.url, device);
      own.kill();
      const { press, sees } = visitor(page, device.touch);
      // 5: who ate the memory? 10: what do I do about it?
      await press(mark('database was killed'));
      await sees('#event', /database was killed[^]*reached the memory limit of/);
      await sees('#event', /What to do: Find the program/);
      await press('#event summary');
      await sees('#event details', /Do\s/);
      equal(page.errors, [], 'console errors');
    } finally {
      await own.stop();
    }
  });
}

// Running them

const pattern = new RegExp(process.argv[2] || '.');
let passed = 0, failed = 0, skipped = 0;
browser = await launch();
agent = await Agent.start();
// To work on the page without a build.
served = process.env.PAGE === 'sources' ? assemble() : await pageOf(agent);
const queue = tests.filter(({ name }) => pattern.test(name) || (skipped++, false));
async function worker() {
  for (let one = queue.shift(); one; one = queue.shift()) {
    const began = Date.now();
    let timer;
    const opened = [];
    const late = new Promise((resolve, reject) => { timer = setTimeout(() => reject(new Error(`not done within ${LIMIT / 1000} s`)), LIMIT); });
    try {
      await Promise.race([contexts.run(opened, one.run), late]);
      passed++;
      console.log(`ok    ${one.name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      const why = error.message.split('\n').slice(0, 6).join('\n      ');
      if (error instanceof Skipped) skipped++;
      else failed++;
      console.log(`${error instanceof Skipped ? 'skip ' : 'FAIL '} ${one.name}\n      ${why}`);
    }
    clearTimeout(timer);
    for (const context of opened) await context.close().catch(() => {});
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, worker));
await browser.close();
await agent.stop();
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed || !passed ? 1 : 0);
