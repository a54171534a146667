// What the dialog of each card shows beyond the card itself: more charts, and tables of everything that the card sums up.

import { AQUA, BLUE, CRITICAL, LOAD_LINES, VIOLET, WAIT, disks, interfaces, line, mountList, processTable, shown, stalls, topClock } from './cards.js';
import { Chart, INK, cursor, times, type } from './chart.js';
import { report } from './health.js';
import { GAP, History } from './history.js';
import { changed, fetchText, link } from './link.js';
import { frozenTable } from './past.js';
import { serviceTable } from './services.js';
import { format, known, natural, show } from './text.js';

const SPECTRUM = [AQUA, BLUE, WAIT, VIOLET, '#7bd88f', '#ff9e64', '#e6e66a', '#f08cc8'];

/** A chart of what is seen per core, device or interface since the page opened. */
const perThing = (name, prefix, kind) => ({
  name, kind, thin: true, data: () => link.live,
  series: () => [...link.live.series.keys()].filter((key) => key.startsWith(prefix)).sort(natural)
    .map((key, i) => line(key, key.slice(prefix.length), SPECTRUM[i % SPECTRUM.length])),
});

/** More curves than these are rows of a heat map. */
const CURVES = 8;

/** A chart of shares whose many series are rows, the brighter the higher. */
export class Heat extends Chart {
  /** @this {any} */
  draw() {
    const data = this.spec.data();
    if (this.spec.series().length <= CURVES || this.spec.kind !== 'percent') return super.draw();
    if (!(data.count > 0) || !this.fit()) return;
    if (!this.stale(data)) return cursor.cross?.(this);
    this.gather(data, this.width);
    const { lines, width, height, n } = this, length = data.end - data.start;
    const x = Math.max(...lines.map((one) => one.label.length)) * type.letter + 6;
    const box = { x, y: 2, w: width - x - 2, h: height - 9 - type.size };
    const row = box.h / lines.length, column = box.w / n, wall = data.start + data.offset;
    Object.assign(this, { box, x: (i) => box.x + (i + 0.5) * column, y: () => -9 });
    const pen = this.begin(this.base);
    lines.forEach(({ v, label }, place) => {
      const y = Math.round(box.y + place * row), high = Math.round(box.y + (place + 1) * row) - y - (row > 4 ? 1 : 0);
      pen.fillStyle = AQUA;
      // A value holds for as long as a line would bridge.
      for (let i = 0, last = NaN, until = 0; i < n; i++) {
        if (known(v[i])) [last, until] = [v[i], i + GAP];
        pen.globalAlpha = i < until ? 0.06 + 0.94 * last / 100 : 0;
        pen.fillRect(box.x + i * column, y, column + 0.5, high);
      }
      pen.globalAlpha = 1;
      pen.fillStyle = INK;
      pen.textAlign = 'right';
      if (place % Math.ceil(type.size / row) === 0) pen.fillText(label, box.x - 5, y + Math.min(row, type.size) - 1);
    });
    pen.textAlign = 'center';
    for (const [at, label] of times(wall, length, box.w)) {
      const over = box.x + (at - wall) / length * box.w, half = label.length * type.letter / 2;
      if (over > half && over + half < width) pen.fillText(label, over, height - 4);
    }
    this.describe(data);
    cursor.cross?.(this);
  }
}

/** How full filesystems were in the last days, in steps of three hours, and when that was asked for. */
let levels = new History(), asked = -Infinity;
const AGAIN = 600000;

/** The filesystems that the agent remembers; asks for them when that is long ago. */
function remembered() {
  if (performance.now() - asked > AGAIN) {
    asked = performance.now();
    fetchText('history?of=filesystems').then((text) => {
      const answer = JSON.parse(text);
      const fresh = new History(answer.count);
      if (answer.count) fresh.absorb(answer);
      // The newest point is up to three hours old.
      fresh.last = (name) => link.json.disk?.filesystems?.find((one) => one.mountpoint === name)?.used_bytes ?? NaN;
      levels = fresh;
      changed();
    }).catch(() => { asked -= AGAIN * 0.9; });
  }
  return [...levels.series.keys()].sort(natural).map((key, i) => line(key, key, SPECTRUM[i % SPECTRUM.length]));
}

Object.assign(format, { days: (value) => `${value.toFixed(1)} days` });

/** By card: `charts` below its own, `large` in place of a chart, `things` as a table with a heading. */
export const DETAILS = {
  cpu: { charts: [perThing('Busy per core, since this page opened', 'core:', 'percent')] },
  memory: {
    charts: [
      shown('Swap in use', 'bytes', [line('swap_used', 'swap', VIOLET)], { top: () => link.json.memory?.swap_total_bytes }),
      shown('Swapping, in and out', 'rate', [line('swap_rate', 'swapping', WAIT)]),
    ],
  },
  thermal: { charts: [shown('Clock', 'hertz', [line('frequency', 'clock', BLUE)], { top: topClock, flag: 'throttled' })] },
  pressure: { charts: [{ ...shown('Load', 'load', LOAD_LINES), only: stalls }] },
  diskio: {
    charts: [
      shown('Busiest disk', 'percent', [line('disk_busy', 'busy', CRITICAL)]),
      perThing('Read and written per device, since this page opened', 'disk:', 'rate'),
    ],
    things: ['Disks', [['Device', 'w'], ['Read', 'n'], ['Written', 'n'], ['Busy', 'n'], ['Per operation', 'n']], () => disks().map((one) => [
      one.name, show('rate', one.read), show('rate', one.written), show('percent', Math.min(100, one.busy * 100)), known(one.wait) ? `${(one.wait * 1000).toFixed(1)} ms` : '–'])],
  },
  network: {
    charts: [perThing('In and out per interface, since this page opened', 'net:', 'rate')],
    things: ['Interfaces', [['Interface', 'w'], ['In', 'n'], ['Out', 'n'], ['Drops', 'n'], ['Errors', 'n']], () => interfaces().map((one) => [
      one.name, show('rate', one.received), show('rate', one.sent), String(one.drops), String(one.errors)])],
  },
  services: { large: () => [serviceTable(Infinity)] },
  processes: { large: () => [link.moment ? frozenTable() : processTable(30)] },
  doctor: { large: () => [report()] },
  filesystems: { large: () => [mountList(Infinity)], charts: [{ name: 'In use, last 16 days', kind: 'bytes', data: () => levels, series: remembered }] },
};

/** What it is now or at the selected moment, and minimum, average, maximum and 95th percentile of a series of `data` over the range. */
export function summary(data, name) {
  const column = data.series.get(name);
  if (!column) return null;
  const sorted = column.v.filter(known).sort();
  if (!sorted.length) return null;
  const least = column.lo?.filter(known), most = column.hi?.filter(known);
  return {
    now: link.moment ? data.at(name, link.moment) : data.last(name),
    min: least?.length ? least.reduce((a, b) => Math.min(a, b)) : sorted[0],
    avg: sorted.reduce((a, b) => a + b) / sorted.length,
    max: most?.length ? most.reduce((a, b) => Math.max(a, b)) : sorted[sorted.length - 1],
    p95: sorted[Math.ceil(sorted.length * 0.95) - 1],
  };
}
