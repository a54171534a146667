// The timeline: what happened, in three lanes, and the selected moment, of which everything on the page is then.

import { cursor, times, type } from './chart.js';
import { drag, place } from './crosshair.js';
import { History } from './history.js';
import { RANGES, ask, changed, fetchText, hurry, link } from './link.js';
import { runbook, runbookOf, there } from './past.js';
import { byId, el, join, known, mark, moment, say, show, span } from './text.js';

const LANES = { trouble: 'trouble', power: 'power, heat', changes: 'changes' };
const SIGNS = { critical: '■ ', warning: '▲ ' };
/** Pixels from an event within which a mouse and a finger mean it; what a lane between counts. */
const NEAR = 10, FINGER = 30, LANE = 12;
/** How many of the newest events are shown. */
const MOST = 300;

/** Seconds before the last answer from which on events are asked for again. */
const OVERLAP = 60;
/** Milliseconds before events are asked for again of which none is new: in trouble, some change all the time. */
const CALM = 30000;

/** The events, the oldest first; since when they are known, when that was asked, and what /json hinted then; whether the agent has any. */
const book = { list: [], since: Infinity, time: NaN, hint: null, last: NaN, asked: 0, none: false };
/** The event of the selected moment. */
let active = null;
/** What else the address names: the card whose dialog is open. */
export const beside = { card: null };

const SHARE = 'Copy link';
const sub = el('p', 'sub'), share = el('button', { type: 'button', id: 'share' }, SHARE), back = el('button', { type: 'button', id: 'live' }, '◆ live'), said = el('div', { id: 'event', hidden: '' });
const lanes = el('div', { id: 'lanes', tabindex: '0', 'aria-label': 'Events, the oldest first' });
const axis = el('div', { class: 'axis', 'aria-hidden': 'true' });
const rows = Object.entries(LANES).map(([lane, title]) => {
  const row = el('div', { class: 'lane', role: 'group', 'aria-label': title });
  row.lane = lane;
  lanes.append(el('small', { 'aria-hidden': 'true' }, title), row);
  return row;
});
byId('timeline').append(el('div', 'head', el('h2', '', el('i', { 'aria-hidden': 'true' }, '◇'), 'Timeline'), sub, share, back), lanes, said);
lanes.append(axis);

/** How wide the lanes are. The observer tells, since asking would make the browser lay out the page. */
let room = 0;
new ResizeObserver(([{ contentRect }]) => {
  room = contentRect.width;
  timeline();
}).observe(axis);

/** The stretch of time that the charts show, in seconds of the Unix epoch. */
const stretch = () => ({ from: link.shown.start + link.shown.offset, to: link.shown.end + link.shown.offset });
const lasts = (event) => (event.end ?? link.json.time) - event.begin;
const name = (event) => `${SIGNS[event.severity] ?? ''}${event.title}`;

/** Asks for events when /json hints at new ones, for those alone, or for all when the range reaches farther back. */
export async function recent() {
  const { from } = stretch();
  const hint = JSON.stringify(link.json.events), last = link.json.events?.last;
  // A description that did not come is asked for again.
  if (active && !link.frozen) choose(active);
  if (book.none || !known(from) || (from >= book.since && (hint === book.hint || (last === book.last && performance.now() - book.asked < CALM && known(book.time))))) return;
  try {
    const whole = !(from >= book.since && known(book.time));
    const since = Math.floor(whole ? from : Math.max(from, book.time - OVERLAP));
    const { time, events } = await ask(`events?since=${since}`);
    const fresh = new Map(events.map((one) => [one.id, one]));
    const old = new Map(book.list.map((one) => [one.id, JSON.stringify(one)]));
    const news = events.filter((one) => old.get(one.id) !== JSON.stringify(one));
    // What lasted ended long before, or the clock was set, or the agent is another one.
    const differs = (one) => (fresh.has(one.id) ? fresh.get(one.id).begin !== one.begin : one.end == null);
    if (!whole && (!news.length || news.some((one) => one.kind.startsWith('clock')) || book.list.some(differs))) {
      book.time = NaN;
      return await recent();
    }
    const list = [...(whole ? [] : book.list.filter((one) => !fresh.has(one.id))), ...events].sort((a, b) => a.begin - b.begin).slice(-MOST);
    Object.assign(book, { list, since: whole ? since : book.since, time, hint, last, asked: performance.now() });
    link.events = list;
    if (whole || news.length) cursor.marks++;
    if (link.moment) choose(active ? book.list.find((one) => one.id === active.id) ?? active : around(link.moment));
  } catch (error) {
    if (error.kind !== 'http') throw error;
    book.none = error.status === 404;
  }
  changed();
}

/** The event that says most about a moment: that of the rule which is meant, or else the gravest one around it. */
function around(time, rule) {
  const slack = Math.max(5, 2 * link.shown.step);
  const grave = (event) => (event.lane === 'changes' ? 0 : 3) + ['info', 'warning', 'critical'].indexOf(event.severity);
  return book.list.filter((event) => event.begin - slack <= time && time <= event.begin + lasts(event) + slack)
    .sort((a, b) => (rule ? Number(b.rule === rule) - Number(a.rule === rule) : 0) || grave(b) - grave(a) || Math.abs(a.begin - time) - Math.abs(b.begin - time))[0];
}

/** The address: which card is open and which moment is selected. */
export function address(time = link.moment) {
  const range = link.view ? Math.round(link.view.to - link.view.from) : link.range;
  const words = [beside.card, time && `t=${Math.round(time)}&r=${range}`].filter(Boolean).join('&');
  return location.pathname + location.search + (words && `#${words}`);
}

/** Selects a moment, and the event that is meant by it. The address changes, or is only `corrected`. */
function select(time, event = around(time), corrected = false) {
  link.moment = time;
  history[corrected ? 'replaceState' : 'pushState'](null, '', address());
  place(null, false);
  choose(event);
  changed();
}

/** Fetches what the agent kept with an event. */
async function choose(event) {
  if (active?.id !== event?.id) link.frozen = null;
  active = event ?? null;
  if (!event) return;
  try {
    const { events } = JSON.parse(await fetchText(`events?id=${event.id}`));
    if (active === event) link.frozen = { ...event, ...events[0], rows: busiest(events[0]?.processes ?? {}) };
  } catch (error) {
    // The agent no longer has it.
    if (active === event && error.status === 404) link.frozen = { ...event, rows: [] };
  }
  changed();
}

/** The processes in an event's lists, up to five of each kind, as the table shows them. */
function busiest({ cpu, memory, io }) {
  const all = new Map();
  for (const [list, key] of [[cpu, 'cpu_percent'], [memory, 'resident_bytes'], [io, 'read_bytes_per_second']]) {
    for (const { pid, name: title, ...amount } of list ?? []) all.set(pid, { pid, name: title, ...all.get(pid), [key]: Object.values(amount)[0] });
  }
  return [...all.values()];
}

/** Goes back to now. */
function live() {
  const { view } = link;
  link.moment = link.view = link.frozen = active = null;
  place(null, false);
  changed();
  if (view) hurry();
}

/** The same, as a step that the browser's back takes back. */
function leave() {
  live();
  history.pushState(null, '', address());
}

/** Shows a stretch of the past in all charts: as fine as the agent has it, or else as fine as it is here. */
async function zoom(from, to) {
  let data = new History();
  try {
    data.absorb(JSON.parse(await fetchText(`history?from=${Math.floor(from)}&to=${Math.ceil(to)}`)));
    if (!(data.count > 1 && Math.abs(data.end + data.offset - to) <= Math.max(5, 2 * data.step))) data = null;
  } catch {
    data = null;
  }
  link.view = { from, to };
  link.shown = data ?? slice(link.shown, from, to);
}

/** What a history knows of a stretch. */
function slice(whole, from, to) {
  const { step, offset, start, end, count, series } = whole;
  const first = Math.max(0, Math.floor((from - offset - start) / step)), last = Math.min(count - 1, Math.max(first + 1, Math.ceil((to - offset - start) / step)));
  const part = Object.assign(new History(last - first + 1), { step, offset, end: end - (count - 1 - last) * step });
  for (const [title, column] of series) {
    part.series.set(title, Object.fromEntries(Object.entries(column).map(([key, values]) => [key, values?.slice(first, last + 1)])));
  }
  return part;
}
cursor.zoom = (from, to) => travel((from + to) / 2 + link.shown.offset, String(to - from));

/**
 * Selects a moment and what the charts show with it: a range that the page has a button for, where that reaches back to the
 * moment, or else as many seconds around it. `rule` is the rule whose event is meant.
 */
export async function travel(time, range = Object.keys(RANGES).find((key) => RANGES[key] * 0.9 > link.json.time - time) ?? '7d', corrected = false, rule = undefined) {
  const seconds = RANGES[range] ?? Number(range);
  const now = link.json.time;
  if (!(seconds > 0) || !(time <= now)) return;
  if (RANGES[range] && time > now - seconds) {
    const other = link.view || link.range !== range;
    link.range = range;
    link.view = null;
    if (other) hurry();
  } else {
    const to = Math.min(now, time + seconds / 2);
    await zoom(to - seconds, to);
    await recent().catch(() => {});
  }
  select(time, around(time, rule), corrected);
}

/** Another range was chosen: the moment stays. */
export function ranged() {
  if (link.moment) travel(link.moment, link.range, true);
  else place(null, false);
}

/** Takes the moment from the address. */
export function recall(words) {
  const time = Number(words.get('t'));
  if (!time && link.moment) live();
  if (time && time !== Math.round(link.moment)) travel(time, words.get('r') ?? '24h', true);
}

/** Draws the lanes anew when events, range or size changed, or a pixel's time has passed. */
export function timeline() {
  const { from, to } = stretch(), length = to - from, width = room;
  if (!(length > 0)) return;
  const events = book.list.filter((event) => event.begin <= to && event.begin + lasts(event) >= from);
  const grain = length / (width || 1);
  const shape = [book.hint, events.length, Math.round(to / grain), length, width, active?.id, link.moment].join();
  say(sub, link.moment ? join(moment(link.moment), there(link.moment), active ? name(active) : 'no event', 'everything shows that moment') : book.none ? 'The agent keeps no events.' : `${events.length || 'no'} event${events.length === 1 ? '' : 's'} in ${span(length)}`);
  mark(sub, 'title', sub.said);
  back.hidden = !link.moment;
  tell();
  if (lanes.shape === shape) return;
  lanes.shape = shape;
  mark(lanes, 'role', events.length ? 'listbox' : 'group');
  const across = (time) => Math.min(1, Math.max(0, (time - from) / length));
  for (const row of rows) {
    const own = events.filter((event) => event.lane === row.lane);
    row.replaceChildren(...own.flatMap((event, i) => {
      const left = across(event.begin), long = lasts(event) > 0 || event.lane !== 'changes';
      const node = el('i', { role: 'option', id: `event-${event.id}`, class: `${long ? 'bar' : 'point'} ${event.severity}`, 'aria-selected': String(event === active), title: name(event), 'aria-label': `${moment(event.begin)}, ${join(name(event), lasts(event) >= 1 && span(lasts(event)), event.culprit)}` });
      node.style.left = `${left * 100}%`;
      if (long) node.style.width = `${(across(event.begin + lasts(event)) - left) * 100}%`;
      const free = (own[i + 1] ? across(own[i + 1].begin) : 1) - across(event.begin + lasts(event));
      // No words on the bar of another one.
      const end = event.begin + lasts(event);
      if (free * width < 9 * type.letter || own.some((one) => one.begin <= end && one.begin + lasts(one) > end)) return [node];
      const label = el('span', { 'aria-hidden': 'true', class: event.severity }, join(event.title, event.culprit));
      label.style.left = `calc(${(1 - free) * 100}% + .7em)`;
      if (own[i + 1]) label.style.left = `calc(${across(event.begin + lasts(event)) * 100}% + .7em)`;
      label.style.maxWidth = `calc(${free * 100}% - 1.4em)`;
      return [node, label];
    }));
  }
  if (link.moment >= from && link.moment <= to) {
    const line = el('i', 'at');
    line.style.left = `${across(link.moment) * 100}%`;
    rows[0].append(line);
  }
  mark(lanes, 'aria-activedescendant', active ? `event-${active.id}` : null);
  axis.replaceChildren(...times(from, length, width).map(([at, label]) => {
    const node = el('span', '', label);
    node.style.left = `${across(at) * 100}%`;
    return node;
  }));
}

/** Describes the selected event: how bad, how long, who, and what to do about it. */
function tell() {
  const event = link.frozen ?? active;
  said.hidden = !event;
  if (!event) return;
  const { processes: top = {}, worst, unit, times: often, detail, culprit, rule, advice } = event;
  const fix = event.fix ?? link.json.verdicts?.items?.find((one) => one.rule && one.rule === rule)?.fix;
  const most = (list, kind) => list?.slice(0, 3).map(({ pid, name: title, ...rest }) => `${title} ${show(kind, Object.values(rest)[0])}`).join(', ');
  const lines = [
    join(moment(event.begin) + (event.exact === false ? ' (the clock was not set)' : ''), there(event.begin), event.end == null ? 'still on' : lasts(event) >= 1 && `for ${span(lasts(event))}`, often > 1 && `${often} times`, detail, known(worst) && `worst ${show(unit, worst)}`, culprit && !detail?.includes(culprit) && culprit),
    join(top.cpu?.length && `CPU: ${most(top.cpu, 'percent')}`, top.memory?.length && `Memory: ${most(top.memory, 'bytes')}`, top.io?.length && `I/O: ${most(top.io, 'rate')}`),
    fix && `What to do: ${fix}.`,
  ].filter(Boolean);
  const book = advice && runbookOf(advice);
  const text = [...lines, book?.title].join('\n');
  if (said.text === text && said.event === event.id) return;
  const part = book && runbook(book);
  // What somebody reads stays open when a number changes.
  if (part && said.event === event.id) part.open = said.querySelector('details')?.open ?? false;
  Object.assign(said, { text, event: event.id });
  said.replaceChildren(el('b', event.severity, name(event)), ...lines.map((line) => el('span', '', line)), ...(part ? [part] : []));
}

/** A click or a tap selects the event under it, or the nearest one, or else the moment; a dragged stretch is shown in large. */
function press(event) {
  const box = rows[0].getBoundingClientRect();
  const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  const { from, to } = stretch(), { offset } = link.shown;
  if (event.button > 0 || drag(lanes, event, share, from - offset, to - from)) return place(null, false);
  if (event.type !== 'pointerup') return;
  const time = from + share * (to - from), pixel = box.width / (to - from);
  const lane = (event.clientY - box.top) / box.height - 0.5;
  const apart = (one) => Math.max(one.begin - time, time - one.begin - lasts(one), 0) * pixel + Math.abs(Object.keys(LANES).indexOf(one.lane) - lane) * LANE;
  const hit = document.elementFromPoint(event.clientX, event.clientY)?.id;
  const under = (one) => Number(hit === `event-${one.id}`);
  const near = book.list.filter((one) => apart(one) <= (event.pointerType === 'mouse' ? NEAR : FINGER)).sort((a, b) => under(b) - under(a) || apart(a) - apart(b));
  // The same place again means the next one there.
  const next = near[(near.indexOf(active) + 1) % near.length];
  select(next?.begin ?? time, next);
}
for (const happened of ['pointermove', 'pointercancel', 'pointerdown', 'pointerup']) lanes.addEventListener(happened, press);
lanes.addEventListener('keydown', (event) => {
  const { list } = book;
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  if (!list.length || (!step && event.key !== 'Enter' && event.key !== ' ')) return;
  event.preventDefault();
  const at = list.indexOf(active);
  const next = !step ? active ?? list[list.length - 1] : list[Math.min(list.length - 1, Math.max(0, at < 0 ? list.length - 1 : at + step))];
  if (next !== active) select(next.begin, next, true);
});
addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && link.moment && !event.defaultPrevented && !byId('dialog').open) leave();
});
back.addEventListener('click', leave);

// The moment that is shown, or now, as an address to send. Not navigator.clipboard: browsers have that only with HTTPS.
share.addEventListener('click', () => {
  // Rounded down: a page that opens the address at once must not find the moment in its future.
  const time = link.moment ?? Math.floor(link.json.time);
  const field = el('textarea', { class: 'hidden', readonly: '', 'aria-label': 'Address' });
  field.value = location.origin + address(time);
  share.after(field);
  field.select();
  const copied = document.execCommand('copy');
  field.remove();
  share.focus();
  if (!copied) select(time);
  say(share, copied ? 'Copied' : 'See address');
  setTimeout(() => say(share, SHARE), 3000);
});

/** Marks changes, and what the kernel killed, in all charts. */
cursor.annotate = (chart, pen) => {
  const { box, start, end: last, offset } = chart;
  for (const { begin, lane, severity, end } of book.list) {
    const at = begin - offset;
    if (at < start || at > last || severity === 'info' || (lane !== 'changes' && (severity !== 'critical' || end !== begin))) continue;
    const x = Math.round(box.x + (at - start) / (last - start) * box.w) + 0.5;
    pen.strokeStyle = pen.fillStyle = severity === 'critical' ? '#ff7a7a' : '#ffc24b';
    pen.setLineDash([2, 3]);
    pen.beginPath();
    pen.moveTo(x, box.y);
    pen.lineTo(x, box.y + box.h);
    pen.stroke();
    pen.setLineDash([]);
    pen.beginPath();
    for (const [dx, dy] of [[0, -4], [4, 0], [0, 4], [-4, 0]]) pen.lineTo(x + dx, box.y + dy);
    pen.fill();
  }
};
