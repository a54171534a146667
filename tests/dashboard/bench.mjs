// Measures what docs/dashboard.md promises. Run by bench.sh.
//
// Traffic, times and memory are those of the agent itself; the four-core Raspberry Pi with ten minutes of history, which
// this machine may not be, comes from the mock agent. Each line says which of the two it is.

import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { availableParallelism, loadavg } from 'node:os';
import { Agent, launch, pageOf, sleep } from './browser.mjs';
import { Mock } from './mock.mjs';

const load = loadavg()[0], cpus = availableParallelism();
if (load > cpus / 2) console.log(`note: other programs keep this machine busy (load ${load.toFixed(1)} on ${cpus} CPUs); times are too long`);
const minutes = Number(process.argv[2] ?? 5);
const rows = [];
let failed = 0;
const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
const ms = (value) => `${value.toFixed(1)} ms`;

function row(name, budget, value, show, source) {
  const holds = value <= budget;
  if (!holds) failed++;
  rows.push([name, show(budget), show(value), holds ? 'holds' : 'MISSED', source]);
  console.log(`${holds ? 'holds ' : 'MISSED'}  ${name}: ${show(value)} of ${show(budget)} (${source})`);
}

const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];
const median = (values) => quantile(values, 0.5);

/** Passes bytes on and counts them, both ways: what really goes over the wire, headers included. */
async function counter(port) {
  const count = { bytes: 0 };
  const server = createServer((client) => {
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [[client, far], [far, client]]) {
      from.on('data', (data) => { count.bytes += data.length; });
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  count.port = server.address().port;
  count.stop = () => server.close();
  return count;
}

/** CPU seconds that a process and its descendants have used so far. */
function cpuSeconds(root) {
  const all = processes();
  const parents = new Map(all.map(([pid, parent]) => [pid, parent]));
  const below = (pid) => {
    let at = pid;
    while (at && at !== root) at = parents.get(at);
    return at === root;
  };
  return all.filter(([pid]) => below(pid)).reduce((sum, [, , seconds]) => sum + seconds, 0);
}

/** Each process: its id, its parent, and its CPU seconds (proc(5), /proc/pid/stat; 100 ticks make a second). */
function processes() {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [[Number(name), Number(fields[1]), (Number(fields[11]) + Number(fields[12])) / 100]];
    } catch {
      return [];
    }
  });
}

async function gzipLength(url) {
  const answer = await fetch(url, { headers: { 'accept-encoding': 'gzip' } });
  const length = Number(answer.headers.get('content-length'));
  await answer.arrayBuffer();
  return length;
}

const init = () => {
  window.dashboardTiming = { draw: [], hover: [], render: [] };
  window.moments = { shift: 0 };
  const look = () => {
    const { moments } = window, now = performance.now();
    const canvases = [...document.querySelectorAll('#cards .chart canvas:first-child')];
    if (!moments.number && /\d/.test(document.querySelector('#card-cpu .big')?.textContent ?? '')) moments.number = now;
    if (!moments.charts && canvases.length && canvases.every((it) => /\d/.test(it.getAttribute('aria-label')) || !it.clientWidth)) moments.charts = now;
    if (!moments.number || !moments.charts) next();
  };
  // Looks at what each frame has shown: a task that follows the frame.
  const channel = new MessageChannel();
  channel.port1.onmessage = look;
  const next = () => requestAnimationFrame(() => channel.port2.postMessage(0));
  next();
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.moments.shift += entry.value; })).observe({ type: 'layout-shift', buffered: true });
};

// The name keeps the browser from treating the address as its own machine, which would add headers.
const browser = await launch(['--host-resolver-rules=MAP pi.test 127.0.0.1', '--js-flags=--expose-gc']);
const agent = await Agent.start();
const served = await pageOf(agent);
const mock = await Mock.start({ page: served });
const view = { viewport: { width: 1440, height: 900 } };

row('page, raw', 64000, Buffer.byteLength(served.html), kB, 'agent');
row('page, gzip', 22000, await gzipLength(agent.url), kB, 'agent');
row('second part, raw', 48000, Buffer.byteLength(served.more), kB, 'agent');
row('second part, gzip', 16000, await gzipLength(`${agent.url}more.js`), kB, 'agent');
{
  // What an open page asks for again and again; all of it is asked for seldom.
  const page = await browser.newPage(view);
  await page.goto(agent.url);
  const asked = await page.waitForRequest((request) => request.url().includes('/json?'), { timeout: 30000 });
  row('/json as an open page asks for it, gzip', 1500, await gzipLength(asked.url()), kB, 'agent, this machine');
  await page.close();
  row('/json whole, gzip', 3000, await gzipLength(`${agent.url}json`), kB, 'agent, this machine');
}

{
  const numbers = [], charts = [], shifts = [];
  for (let i = 0; i < 9; i++) {
    const page = await browser.newPage(view);
    await page.addInitScript(init);
    await page.goto(mock.url);
    await page.waitForFunction(() => window.moments.charts && window.moments.number, null, { timeout: 20000 });
    await sleep(1200);
    const moments = await page.evaluate(() => window.moments);
    numbers.push(moments.number);
    charts.push(Math.abs(moments.charts - moments.number));
    shifts.push(moments.shift);
    await page.close();
  }
  row('first number on screen, median of 9', 400, median(numbers), ms, 'mock');
  row('charts full after the first number, worst of 9', 0, Math.max(...charts), ms, 'mock');
  row('layout shift (CLS) at 1440, worst of 9', 0.05, Math.max(...shifts), (value) => value.toFixed(3), 'mock');
}

for (const [width, height] of [[390, 844], [800, 480], [1440, 900]]) {
  const page = await browser.newPage({ viewport: { width, height } });
  await page.addInitScript(init);
  await page.goto(agent.url);
  await page.waitForFunction(() => window.moments.number && document.querySelector('#lanes') && document.querySelectorAll('#card-processes tbody tr').length > 1, null, { timeout: 60000 });
  // Two cycles of requests.
  await sleep(16000);
  row(`layout shift (CLS) at ${width}`, 0.05, await page.evaluate(() => window.moments.shift), (value) => value.toFixed(3), 'agent');
  await page.close();
}

{
  // Two dialog charts and six cards: eight charts.
  const page = await browser.newPage(view);
  await page.addInitScript(init);
  await page.goto(`${mock.url}#thermal`);
  await page.waitForFunction(() => window.moments.charts, null, { timeout: 20000 });
  await sleep(60000);
  const render = await page.evaluate(() => window.dashboardTiming.render.slice(2));
  console.log(`       ${render.length} refreshes with ${await page.locator('.chart').count()} charts`);
  const draw = await page.evaluate(() => window.dashboardTiming.draw.slice(20));
  console.log(`       one chart: p50 ${ms(quantile(draw, 0.5))}, p95 ${ms(quantile(draw, 0.95))}`);
  row('render per refresh, 8 charts, p50', 5, quantile(render, 0.5), ms, 'mock');
  row('render per refresh, 8 charts, p95', 10, quantile(render, 0.95), ms, 'mock');
  await page.close();
}

{
  const page = await browser.newPage(view);
  await page.addInitScript(init);
  await page.goto(mock.url);
  await page.waitForFunction(() => window.moments.charts, null, { timeout: 20000 });
  const box = await page.locator('#card-cpu .chart').boundingBox();
  for (let i = 0; i < 200; i++) {
    await page.mouse.move(box.x + 60 + (i * 37) % (box.width - 70), box.y + 60);
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  const hover = await page.evaluate(() => window.dashboardTiming.hover.slice(5));
  row(`hover over all charts, p95 of ${hover.length}`, 4, quantile(hover, 0.95), ms, 'mock');
  await page.close();
}

{
  const wire = await counter(agent.port);
  const page = await browser.newPage(view);
  const session = await page.context().newCDPSession(page);
  await page.goto(`http://pi.test:${wire.port}/`);
  await sleep(20000);
  const { processInfo } = await (await browser.newBrowserCDPSession()).send('SystemInfo.getProcessInfo');
  const root = processInfo.find((one) => one.type === 'browser').id;
  const heap = async () => {
    await session.send('HeapProfiler.collectGarbage');
    await session.send('HeapProfiler.collectGarbage');
    return (await session.send('Runtime.getHeapUsage')).usedSize;
  };
  /** The bytes of the objects on the heap: without compiled code, of which the engine makes more for some twenty minutes, and its own lists. */
  const objects = async () => {
    await heap();
    let text = '';
    const take = ({ chunk }) => { text += chunk; };
    session.on('HeapProfiler.addHeapSnapshotChunk', take);
    await session.send('HeapProfiler.takeHeapSnapshot', { reportProgress: false });
    session.off('HeapProfiler.addHeapSnapshotChunk', take);
    const { snapshot: { meta: { node_fields: fields, node_types: [types] } }, nodes } = JSON.parse(text);
    const type = fields.indexOf('type'), size = fields.indexOf('self_size');
    let sum = 0;
    for (let i = 0; i < nodes.length; i += fields.length) {
      if (!['code', 'native', 'synthetic'].includes(types[nodes[i + type]])) sum += nodes[i + size];
    }
    return sum;
  };
  // The lowest of three: an answer may just have come.
  const least = async (of) => {
    const found = [];
    for (let i = 0; i < 3; i++) {
      await sleep(15000);
      found.push(await of());
    }
    return Math.min(...found);
  };
  // The engine still compiles in the first minutes.
  await sleep(minutes * 36000);
  const before = await least(objects), all = await least(heap);
  const bytes = wire.bytes, cpu = cpuSeconds(root), began = Date.now();
  await sleep(minutes * 60000);
  const passed = (Date.now() - began) / 60000;
  const perMinute = (wire.bytes - bytes) / passed, seconds = (cpuSeconds(root) - cpu) / passed;
  const after = await least(heap), kept = await least(objects) - before;
  row('all traffic of an open page per minute, both ways', 45000, perMinute, kB, 'agent, counted on the socket');
  row('browser CPU of an open page per minute', 3, seconds, (value) => `${value.toFixed(2)} s`, 'agent, all processes of the browser');
  row('heap after garbage collection', 3e6, after, kB, 'agent');
  console.log(`       it grew by ${kB(after - all)}, compiled code included`);
  // 100 kB in half an hour; less than five minutes of that would be a single answer.
  row(`growth of the objects on the heap in ${minutes} min`, 100e3 * Math.max(5, minutes) / 30, Math.max(0, kept), kB, 'agent');
  await page.close();
  wire.stop();
}

await browser.close();
await mock.stop();
await agent.stop();
const widths = rows[0].map((_, i) => Math.max(...rows.map((one) => one[i].length)));
console.log('');
for (const one of rows) console.log(one.map((cell, i) => cell.padEnd(widths[i])).join('  ').trimEnd());
console.log(failed ? `\n${failed} budgets missed` : '\nevery budget holds');
process.exit(failed ? 1 : 0);
