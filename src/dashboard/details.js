// What the dialog of each card shows beyond the card itself: more charts, and tables of everything that the card sums up.

import { AQUA, BLUE, CRITICAL, LOAD_LINES, VIOLET, WAIT, disks, interfaces, line, mountList, processTable, shown, stalls, topClock } from './cards.js';
import { link } from './link.js';
import { known, natural, show } from './text.js';

const SPECTRUM = [AQUA, BLUE, WAIT, VIOLET, '#7bd88f', '#ff9e64', '#e6e66a', '#f08cc8'];

/** A chart of what is seen per core, device or interface since the page opened. */
const perThing = (name, prefix, kind) => ({
  name, kind, thin: true, data: () => link.live,
  series: () => [...link.live.series.keys()].filter((key) => key.startsWith(prefix)).sort(natural)
    .map((key, i) => line(key, key.slice(prefix.length), SPECTRUM[i % SPECTRUM.length])),
});

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
  processes: { large: () => [processTable(30)] },
  filesystems: { large: () => [mountList(Infinity)] },
};

/** Now, minimum, average, maximum and 95th percentile of a series of `data` over the range. */
export function summary(data, name) {
  const column = data.series.get(name);
  if (!column) return null;
  const sorted = column.v.filter(known).sort();
  if (!sorted.length) return null;
  const least = column.lo?.filter(known), most = column.hi?.filter(known);
  return {
    now: data.last(name),
    min: least?.length ? least.reduce((a, b) => Math.min(a, b)) : sorted[0],
    avg: sorted.reduce((a, b) => a + b) / sorted.length,
    max: most?.length ? most.reduce((a, b) => Math.max(a, b)) : sorted[sorted.length - 1],
    p95: sorted[Math.ceil(sorted.length * 0.95) - 1],
  };
}
