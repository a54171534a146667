// What the page knows of a selected moment beside the charts: which processes were busy and what they use now, what time it
// was on the machine, and what the runbooks say.

import { cardOf, processOrder, table } from './cards.js';
import { changed, fetchText, link } from './link.js';
import { clock, el, known, show } from './text.js';

/** The measures of a process in the order of the columns: how each is written, and what it is. */
const KINDS = { cpu: 'percent', memory: 'bytes', io: 'rate' };
const MEASURES = {
  cpu: (one) => one.cpu_percent,
  memory: (one) => one.resident_bytes,
  io: (one) => (one.read_bytes_per_second == null ? NaN : one.read_bytes_per_second + (one.write_bytes_per_second ?? 0)),
};
/** The measure that an event of this rule or kind is about. */
const measureOf = (name) => (/^(memory|oom)/.test(name) ? 'memory' : /^(io|disk)/.test(name) ? 'io' : 'cpu');

/** The processes that the agent kept with an event: what they used then, and by how much that has changed. */
export function frozenTable() {
  const node = table('Processes of that moment', [['PID', 'n s id'], ['Process', 'w'], ['CPU', 'n'], ['Memory', 'n'], ['I/O', 'n'], ['Now', 'n s'], ['Change', 'n']], processOrder);
  const { fill } = node;
  node.className = 'then';
  node.fill = node.refill = () => {
    const { by } = processOrder, measure = MEASURES[by], kind = KINDS[by];
    const rows = [...(link.frozen?.rows ?? [])].sort((a, b) => (measure(b) || 0) - (measure(a) || 0) || a.pid - b.pid);
    const all = link.processes?.processes ?? [];
    fill(rows.map((one) => {
      // One that was started again has another number.
      const namesakes = all.filter(({ name }) => name === one.name);
      const present = namesakes.find(({ pid }) => pid === one.pid) ?? (namesakes.length === 1 ? namesakes[0] : null);
      const then = measure(one), now = present ? measure(present) : NaN, change = now - then;
      return [
        String(one.pid), one.name, ...Object.keys(KINDS).map((key) => show(KINDS[key], MEASURES[key](one))),
        show(kind, now), !present ? 'not seen' : known(now) && known(then) ? `${change < 0 ? '−' : change > 0 ? '+' : ''}${show(kind, Math.abs(change))}` : '–',
      ];
    }));
  };
  return node;
}

/** The table in the card, which is there while a moment is selected. */
const frozen = frozenTable();
let of = null;
cardOf('processes').node.querySelector('.body').append(frozen);

/** Brings the table up to date; another event is sorted by what it is about. */
export function past() {
  frozen.hidden = !link.moment;
  if (!link.frozen || frozen.hidden) return;
  const { id, rule, kind } = link.frozen;
  if (of !== id) {
    of = id;
    processOrder.by = measureOf(rule ?? kind);
  }
  frozen.fill();
}

let zone = '', time = null;

/** The machine's own time at a moment, where its time zone is another one than the browser's. */
export function there(unix) {
  const name = link.json.board?.time_zone ?? '';
  if (zone !== name) {
    zone = name;
    time = null;
    try {
      time = new Intl.DateTimeFormat('en-GB', { timeZone: name, weekday: 'short', hour: '2-digit', minute: '2-digit' });
    } catch { /* The browser does not know this zone. */ }
  }
  if (!time) return '';
  const words = time.format(unix * 1000).replace(',', '');
  const [day, clocks] = words.split(' ');
  return words === `${clock(unix, 86400).split(' ')[0]} ${clock(unix, 60)}` ? '' : `${clock(unix, 86400).startsWith(day) ? '' : `${day} `}${clocks} in ${zone}`;
}

/** What the runbooks say, by rule: title and text; null before they are asked for. */
let runbooks = null;

/** The runbook of a rule, if there is one. They are fetched when the first one is asked for; then the page is shown anew. */
export function runbookOf(rule) {
  if (!runbooks) {
    runbooks = new Map();
    fetchText('runbooks').then((all) => {
      for (const [, name, title, text] of all.matchAll(/^# (\w+): (.*)\n([^]*?)(?=^# |$(?![^]))/gm)) runbooks.set(name, { title, text });
      changed();
    }, () => setTimeout(() => { runbooks = null; }, 15000));
  }
  return runbooks.get(rule);
}

/** A runbook as a part that unfolds. */
export function runbook({ title, text }) {
  const part = el('details', '', el('summary', '', `Runbook: ${title}`));
  const words = (line) => line.split('`').map((piece, i) => (i % 2 ? el('code', '', piece) : piece));
  let list = null;
  for (const line of text.split('\n')) {
    if (line.startsWith('- ')) (list ??= part.appendChild(el('ul'))).append(el('li', '', ...words(line.slice(2))));
    else if (line.startsWith('  ')) list.lastChild.append(...words(line.slice(1)));
    else {
      list = null;
      if (line) part.append(el('p', '', ...(line.startsWith('## ') ? [el('b', '', line.slice(3))] : words(line))));
    }
  }
  return part;
}
