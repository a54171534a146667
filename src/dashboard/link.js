// The line to the agent: what is asked when, and what is known about how fresh the page is.

import { History } from './history.js';
import { known, span } from './text.js';

const PACE = 2000, PATIENCE = 4000, BACKOFF = 15000, STALE = 6, DOWN = 15;
/**
 * A cycle of four rounds: in the first, what is now; in the others, the newest points, and in the third, the processes
 * too. On coarse ranges the finest points are asked for in every other round. What changes slowly is asked for in every
 * fourth cycle, and all that the agent has every few minutes.
 */
const CYCLE = 4, SLOWLY = 16, WHOLE = 128;
/**
 * Where the agent is: this page's address as a folder, since a proxy may pass the page on at an address without the last
 * slash. Built from its parts, since the address may hold a name and a password, with which browsers fetch nothing.
 */
const BASE = location.origin + location.pathname.replace(/\/*$/, '/');
/** The ranges and their seconds. */
export const RANGES = { '2m': 120, '10m': 600, '1h': 3600, '24h': 86400, '7d': 604800 };

export const link = {
  range: '10m',
  // The finest steps: what "now" means.
  fine: new History(),
  // What the charts show; the same object on short ranges.
  shown: new History(),
  // Per core, device and interface, only since this page opened.
  live: new History(150),
  /** @type {any} what /json said */
  json: {},
  processes: null,
  // What happened, once the second part of the page has asked.
  events: [],
  // The selected moment in seconds of the Unix epoch, or null for now; the stretch that the charts show in place of the range.
  moment: null,
  view: null,
  // The event of that moment with the processes that the agent kept as `rows`, once it is here.
  frozen: null,
  rates: {},
  // When the agent last answered.
  good: NaN,
  // Seconds that its newest sample is behind.
  lag: 0,
  // When asking began, or began again.
  since: 0,
  failure: null,
  tries: 0,
  turn: 0,
  paused: false,
  loaded: false,
};

/**
 * What the page wants of the line: `changed` is called when there is something new, `more` after the first number is on
 * screen, `open` lists the collectors that an open dialog shows, `hot` those of cards with a verdict, `often` and `seldom` those that
 * the cards show.
 */
const page = { changed() {}, async more() {}, open: () => [], hot: () => [], often: [], seldom: [] };
/** Shows everything anew. */
export const changed = () => page.changed();

/** Why there is no answer. `remedy` is what a person can do about it, besides waiting. */
class Failure extends Error {
  constructor(kind, text, status, remedy) {
    super(text);
    Object.assign(this, { kind, status, remedy });
  }
}

const SIGN_IN = 'Sign in again', RELOAD = 'Reload';

/** Fetches `path` from the agent and reads its answer with `read`, within the time that a request has. */
async function get(path, stop, read) {
  const url = BASE + path;
  const where = () => new URL(url).pathname;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    stop.abort();
  }, PATIENCE);
  try {
    const answer = await fetch(url, { signal: stop.signal, redirect: 'manual' });
    // The agent redirects nothing; what sits before it wants to know who asks.
    if (answer.type === 'opaqueredirect') throw new Failure('http', `${where()} leads elsewhere`, 302, SIGN_IN);
    if (!answer.ok) throw new Failure('http', `HTTP ${answer.status} from ${where()}`, answer.status, answer.status === 401 ? SIGN_IN : null);
    return await read(answer);
  } catch (error) {
    if (error instanceof Failure) throw error;
    if (stop.signal.aborted) throw new Failure(late ? 'late' : 'dropped', `no answer within ${PATIENCE / 1000} s`);
    if (error instanceof SyntaxError) throw new Failure('http', `no JSON from ${where()}`, null, RELOAD);
    throw new Failure('refused', 'connection refused or lost');
  } finally {
    clearTimeout(timer);
  }
}

export const ask = (path) => get(path, link.stop = new AbortController(), (answer) => answer.json());
/** A text of the agent that is no data: it does not disturb the rounds. */
export const fetchText = (path) => get(path, new AbortController(), (answer) => answer.text());

/** Brings a history up to date; asks only for what is newer than what it has. */
async function pull(history, range) {
  const path = `history?range=${range}`;
  const since = known(history.end);
  let answer = await ask(since ? `${path}&since=${history.end}` : path);
  if (since && answer.boot_id !== history.id) {
    answer = await ask(path);
    link.turn = 0;
  }
  history.count ||= Math.round(RANGES[range] / answer.step);
  history.absorb(answer);
  history.range = range;
  return answer;
}

/** One round of requests, one after the other. */
async function exchange() {
  const { range } = link;
  const short = range === '2m' || range === '10m';
  const turn = link.turn++;
  const dialog = page.open();
  // A new range comes into a new history, which takes the old one's place when it is full.
  const finest = short ? range : '2m';
  const fine = link.fine.range === finest ? link.fine : new History();
  const first = turn === 0, part = turn % CYCLE;
  if (part % 2 || (short && part) || first || fine !== link.fine) {
    const answer = await pull(fine, finest);
    link.lag = answer.boot - answer.end - answer.step;
    link.boot = answer.boot;
  }
  if (link.view) {
    // A stretch of the past does not change.
  } else if (short) link.shown = fine;
  else if (link.shown.range !== range || !(link.boot - link.shown.end < 2 * link.shown.step)) {
    const shown = link.shown.range === range ? link.shown : new History();
    await pull(shown, range);
    link.shown = shown;
  }
  link.fine = fine;
  const all = turn % WHOLE === 0 || !link.json.time;
  if (all || turn === 1 || part === 0 || (dialog.length && part === 2)) {
    const asked = all ? null : [...new Set([...page.often, ...(turn % SLOWLY ? page.hot() : page.seldom), ...dialog])].filter((name) => link.sections.has(name));
    adopt(await ask(`json${asked ? '?' + asked.map((name) => `collect[]=${name}`).join('&') : ''}`), asked);
  }
  link.loaded = true;
  if (first) {
    link.good = performance.now();
    page.changed();
  }
  await page.more();
  if (first || (part === 2 && link.processes?.error?.status !== 404)) {
    try {
      link.processes = await ask('processes');
    } catch (error) {
      if (error.kind !== 'http') throw error;
      link.processes = { error };
    }
  }
}

/** Takes what /json answered; a section that was asked for and is not there is gone. */
function adopt(answer, asked) {
  const before = link.json;
  const json = asked ? { ...before } : {};
  if (!asked) link.sections = new Set(Object.keys(answer));
  for (const name of asked ?? []) delete json[name];
  link.json = Object.assign(json, answer);
  // They do not change, and come with the whole.
  if (json.verdicts) json.verdicts.thresholds ??= before.verdicts?.thresholds;
  const uptime = json.system?.uptime_seconds ?? json.time;
  const seconds = uptime - link.uptime;
  const traces = [];
  /** The change per second of a row's counter since the last answer. */
  const rates = (list, key, counters) => {
    const last = link.rates[key] ?? new Map();
    const next = new Map();
    for (const row of list ?? []) {
      const old = last.get(row[key]);
      const rate = { name: String(row[key]), row };
      for (const [short, name] of Object.entries(counters)) {
        const change = old ? row[name] - old.row[name] : NaN;
        rate[short] = seconds > 0 && seconds < 120 && change >= 0 ? change / seconds : NaN;
      }
      next.set(row[key], rate);
    }
    link.rates[key] = next;
  };
  if (!asked || asked.includes('network')) {
    rates(json.network?.interfaces, 'interface', { received: 'receive_bytes', sent: 'transmit_bytes', lost: 'receive_dropped' });
    for (const { name, row, received, sent } of link.rates.interface.values()) {
      if (row.counted) traces.push([`net:${name}`, received + sent]);
    }
  }
  if (!asked || asked.includes('diskio')) {
    rates(json.diskio?.disks, 'device', DISK);
    for (const { name, read, written } of link.rates.device.values()) traces.push([`disk:${name}`, read + written]);
  }
  for (const { cpu, usage_percent: use } of json.cpu?.cpus ?? []) {
    if (cpu !== 'total') traces.push([`core:${cpu}`, busy(use)]);
  }
  link.uptime = uptime;
  if (!json.system) return;
  const step = 4;
  link.live.absorb({
    step, boot: uptime, end: Math.floor(uptime / step) * step, now: json.time, boot_id: link.fine.id, count: 1,
    series: traces.filter(([, value]) => known(value)).map(([name, value]) => ({ name, scale: 1, v: [value] })),
  });
  if (link.live.series.size > 200) link.live.prune();
}

const DISK = { read: 'disk_read_bytes', written: 'disk_written_bytes', reads: 'disk_reads_completed', writes: 'disk_writes_completed', reading: 'disk_read_time_seconds', writing: 'disk_write_time_seconds', busy: 'disk_io_time_seconds' };
export const busy = (use) => (use ? 100 - use.idle - use.iowait : NaN);

/** Asks, shows, and arranges the next round. Only one round runs at a time. */
export async function round() {
  clearTimeout(link.timer);
  if (link.busy || document.hidden || (link.paused && (link.view || link.shown.range === link.range))) return;
  link.busy = true;
  link.next = null;
  const began = performance.now();
  let wait = PACE;
  try {
    await (link.paused ? glance() : exchange());
    link.good = performance.now();
    link.failure = null;
    link.tries = 0;
    wait = Math.max(100, PACE - (link.good - began));
  } catch (error) {
    if (!(error instanceof Failure)) console.error(error);
    if (error.kind === 'dropped') wait = 0;
    else {
      link.failure = error;
      // The next answer may be another agent's.
      link.turn = 0;
      // A browser that asks for a name and a password would do so at every try.
      wait = error.status === 401 ? Infinity : Math.min(BACKOFF, PACE * 2 ** link.tries++);
    }
  }
  link.busy = false;
  if (!document.hidden && (!link.paused || wait === 0)) {
    link.next = performance.now() + wait;
    if (wait < Infinity) link.timer = setTimeout(round, wait);
  }
  page.changed();
}

/** While paused, another range is fetched once; all else stays as it was. */
async function glance() {
  const shown = new History();
  await pull(shown, link.range);
  link.shown = shown;
}

/** Begins to ask. `wants`: see `page`. */
export function start(wants) {
  Object.assign(page, wants);
  round();
}

/** Tries at once instead of waiting for the next turn. */
export function hurry() {
  link.tries = 0;
  if (link.busy) link.stop?.abort();
  else round();
}

/** Starts again after a pause, a hidden tab or another range; what was missed comes from the history. */
export function resume() {
  link.since = performance.now();
  hurry();
}

/** Stops asking, at once. */
export function rest() {
  clearTimeout(link.timer);
  link.stop?.abort();
}

/** How the line is: loading, live, paused, stale or down, in one word and one sentence. */
export function health() {
  const now = performance.now();
  const age = (now - Math.max(link.good || 0, link.since)) / 1000;
  const { failure } = link;
  const next = !failure || link.next === Infinity ? '' : link.next > now ? `, next try in ${Math.ceil((link.next - now) / 1000)} s` : ', trying now';
  const since = () => (known(link.good) ? ` for ${span((now - link.good) / 1000)}` : '');
  if (link.paused) return { state: 'paused', pill: 'Paused', text: 'Paused: nothing is asked' };
  if (failure?.kind === 'http') return { state: 'down', remedy: failure.remedy, pill: failure.status ? `HTTP ${failure.status}` : 'Error', text: `The agent says ${failure.message}${next}` };
  if (failure?.kind === 'refused') return { state: 'down', pill: 'Down', text: `Down${since()}: ${failure.message}${next}` };
  if (failure && !link.loaded && age < DOWN) return { state: 'stale', pill: 'No answer', text: `The agent has not answered yet${next}` };
  if (age >= DOWN || (failure && !link.loaded)) return { state: 'down', pill: `Down ${span(age)}`, text: `No answer${since()}${next}` };
  if (!link.loaded) return { state: 'loading', pill: 'Loading', text: 'Loading' };
  if (age >= STALE) return { state: 'stale', pill: `Stale ${span(age)}`, text: `No answer${since()}${next}` };
  if (link.lag >= STALE) return { state: 'stale', pill: `Stale ${span(link.lag)}`, text: `The newest sample is ${span(link.lag)} old, though the agent answers` };
  return { state: 'live', pill: 'Live', text: `Live, a sample every ${link.fine.step} s` };
}
