// The cards: what each shows on the page. What its dialog shows beyond that is in details.js.

import { Chart, cursor } from './chart.js';
import { busy, link } from './link.js';
import { clock, el, format, join, known, mark, natural, say, show, span } from './text.js';

export const AQUA = '#40e0d0', BLUE = '#4aa3ff', WAIT = '#ffb000', VIOLET = '#c08cff', CACHE = '#3b93a0', WARN = '#ffc24b', CRITICAL = '#ff7a7a';

/** The value of a series now, or at the selected moment. */
export const now = (name) => (link.moment ? link.shown.at(name, link.moment) : link.fine.last(name));
/** Marks a part of a card as what /json says of now and nobody keeps. */
const live = (node) => Object.assign(node, { live: true });
/** A part of a card that the second part of the page fills. */
const later = (look) => Object.assign(el('ul', look), { fill() {} });
/** A line of a card: `words` returns its text, and how bad that is. Without a text there is no line. */
const remark = (words) => {
  const node = el('p', 'note');
  node.fill = () => {
    const [text, state = ''] = words();
    node.hidden = !text;
    say(node, text);
    mark(node, 'title', text);
    mark(node, 'class', `note ${state}`);
  };
  return node;
};
export const line = (key, label, color) => ({ key, label, color });
/** A rule's threshold. */
export const limit = (rule, key = 'above') => link.json.verdicts?.thresholds?.[rule]?.[key];
/** The alarm level of a value: critical at its limit, warning from seven eighths of it on. */
export const level = (value, most) => (value >= most ? 'critical' : value >= most * 7 / 8 ? 'warning' : '');
export const shown = (name, kind, lines, more) => ({ name, kind, data: () => link.shown, series: () => lines, ...more });

const REASONS = { under_voltage: 'under-voltage', frequency_capped: 'clock capped', throttled: 'throttled', soft_temperature_limit: 'soft temperature limit' };
const reasons = (flags) => Object.keys(flags ?? {}).filter((key) => flags[key] > 0).map((key) => REASONS[key] ?? key).join(', ');

/** Coloured labels with their newest values. */
function legend(lines, kind) {
  const node = el('p', 'legend');
  let made = '';
  node.fill = () => {
    const here = lines().filter((one) => link.fine.has(one.key));
    const names = here.map((one) => one.key).join();
    if (made !== names) {
      made = names;
      node.replaceChildren(...here.map((one) => {
        const swatch = el('i', { 'aria-hidden': 'true' });
        swatch.style.background = one.color;
        return el('span', '', swatch, `${one.label} `, el('b'));
      }));
    }
    here.forEach((one, i) => say(node.children[i].lastChild, show(kind(), now(one.key))));
  };
  return node;
}

/** A table whose rows are texts. `columns`: [title, options], options n (numbers), sort (a key), s (hidden when small). */
export function table(caption, columns, sorting) {
  const heads = columns.map(([title, options = '']) => {
    const head = el('th', { scope: 'col', class: options });
    const key = sorting?.keys[title];
    if (key) {
      const button = el('button', { type: 'button' }, title);
      button.addEventListener('click', () => {
        sorting.by = key;
        node.refill();
      });
      head.append(button);
      head.key = key;
    } else head.append(title);
    return head;
  });
  const body = el('tbody');
  const node = el('table', '', el('caption', 'hidden', caption), el('thead', '', el('tr', '', ...heads)), body);
  node.fill = (rows) => {
    if (sorting) for (const head of heads) if (head.key) mark(head, 'aria-sort', head.key === sorting.by ? 'descending' : null);
    while (body.rows.length > rows.length) body.deleteRow(-1);
    rows.forEach((cells, i) => {
      const row = body.rows[i] ?? body.appendChild(el('tr', '', ...columns.map(([, options = '']) => el('td', options))));
      cells.forEach((cell, j) => {
        say(row.cells[j], cell);
        if (j < 2) mark(row.cells[j], 'title', cell.length > 14 ? cell : null);
      });
    });
  };
  return node;
}

/** A name that is cut in the middle when it is too long, so that both ends of a path can be read. */
function path(text) {
  const cut = Math.max(0, text.length - 14);
  return el('span', { class: 'path', title: text }, el('span', '', text.slice(0, cut)), el('span', '', text.slice(cut)));
}

export const processOrder = { by: 'cpu', keys: { CPU: 'cpu', Memory: 'memory', 'I/O': 'io' } };
const transferred = (one) => (one.read_bytes_per_second ?? 0) + (one.write_bytes_per_second ?? 0);
const processWeight = { cpu: (one) => one.cpu_percent, memory: (one) => one.resident_bytes, io: transferred };

export function processTable(most) {
  const long = most > 10;
  const columns = [['PID', 'n s id'], ['Process', 'w'], ['User', 's'], ...(long ? [['State', 's'], ['Threads', 'n s']] : []), ['CPU', 'n'], ['Memory', 'n'], ['I/O', 'n']];
  const node = table('Processes', columns, processOrder);
  const { fill } = node;
  node.fill = node.refill = () => {
    const weigh = processWeight[processOrder.by];
    const list = [...(link.processes?.processes ?? [])].sort((a, b) => (weigh(b) ?? 0) - (weigh(a) ?? 0) || a.pid - b.pid).slice(0, most);
    const rows = list.map((one) => [
      String(one.pid), (long && one.command) || one.name, one.user ?? '', ...(long ? [one.state ?? '', String(one.threads ?? '')] : []),
      show('percent', one.cpu_percent), show('bytes', one.resident_bytes), one.read_bytes_per_second == null ? '–' : show('rate', transferred(one)),
    ]);
    const { ended_cpu_percent: gone, total } = link.processes ?? {};
    // Below, it is the kernel's rounding.
    if (gone >= 5) rows.push(['', total < link.json.system?.processes * 0.9 ? 'hidden from the agent' : 'ended or too short to see', '', ...(long ? ['', ''] : []), show('percent', gone), '–', '–']);
    fill(rows);
  };
  return node;
}

/** The mounts as `df` would count them, fullest first, each device once. */
export function mounts() {
  const seen = new Map();
  for (const one of link.json.disk?.filesystems ?? []) {
    const key = /^\/dev\/|:/.test(one.device) ? one.device : one.mountpoint;
    const other = seen.get(key);
    if (other && other.mountpoint.length <= one.mountpoint.length) continue;
    const percent = Math.ceil(one.used_bytes / (one.used_bytes + one.available_bytes) * 100);
    const inodes = Math.ceil((1 - one.inodes_free / one.inodes) * 100);
    seen.set(key, { ...one, percent: known(percent) ? percent : one.device_error ? NaN : 0, nodes: known(inodes) ? inodes : 0 });
  }
  // One that will be full soon is among the first.
  const rank = (one) => (one.device_error ? 101 : Math.max(one.percent, one.nodes, one.full_in_seconds ? 95 : 0));
  return [...seen.values()].sort((a, b) => rank(b) - rank(a) || natural(a.mountpoint, b.mountpoint));
}

export function mountList(most) {
  const node = el('ul', 'mounts');
  node.fill = () => {
    const list = mounts().slice(0, most);
    while (node.children.length > list.length) node.lastChild.remove();
    list.forEach((one, i) => {
      let item = node.children[i];
      if (item?.name !== one.mountpoint) {
        const fresh = el('li', '', path(one.mountpoint), el('b'), el('i', 'bar', el('i')));
        fresh.name = one.mountpoint;
        if (item) item.replaceWith(fresh);
        else node.append(fresh);
        item = fresh;
      }
      const notes = [
        one.device_error ? 'does not answer' : `${known(one.percent) ? one.percent : '–'}% · ${show('bytes', one.available_bytes)} free`,
        one.nodes >= 80 && `inodes ${one.nodes}%`, one.read_only ? 'read-only' : '',
        one.full_in_seconds && `full in ${span(one.full_in_seconds)}`,
      ];
      const full = Math.max(one.percent || 0, one.nodes);
      say(item.children[1], notes.filter(Boolean).join(' · '));
      mark(item, 'class', one.device_error ? 'critical' : level(full, limit('disk_full')));
      item.lastChild.firstChild.style.transform = `scaleX(${(one.nodes >= 80 ? full : one.percent || 0) / 100})`;
    });
  };
  return node;
}

/** Used and cached memory as a ring. */
function ring() {
  const svg = (name, attributes, ...children) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    node.append(...children);
    return node;
  };
  const arc = (color) => svg('circle', { cx: 50, cy: 50, r: 42, fill: 'none', stroke: color, 'stroke-width': 11, pathLength: 100, 'stroke-dasharray': '0 100', transform: 'rotate(-90 50 50)' });
  const arcs = [arc('#12303a'), arc(CACHE), arc(AQUA)];
  arcs[0].setAttribute('stroke-dasharray', '100 0');
  const label = svg('text', { x: 50, y: 57, 'text-anchor': 'middle' });
  const node = svg('svg', { viewBox: '0 0 100 100', class: 'ring', 'aria-hidden': 'true' }, ...arcs, label);
  node.fill = (used, cached) => {
    const arcTo = (share) => `${known(share) ? Math.min(100, share * 100).toFixed(1) : 0} 100`;
    mark(arcs[1], 'stroke-dasharray', arcTo(used + cached));
    mark(arcs[2], 'stroke-dasharray', arcTo(used));
    say(label, show('percent', used * 100));
  };
  return node;
}

/** One tile per core; many cores become thin columns, whose numbers are in the dialog. */
function tiles() {
  const node = el('div', 'tiles');
  node.fill = () => {
    const cores = (link.json.cpu?.cpus ?? []).filter((one) => one.cpu !== 'total');
    const small = cores.length > 8;
    if (node.children.length !== cores.length) {
      node.className = small ? 'tiles many' : 'tiles';
      node.replaceChildren(...cores.map(() => (small ? el('i', '', el('i')) : el('span', '', el('small'), el('b'), el('i', 'bar', el('i'))))));
    }
    cores.forEach((one, i) => {
      // Where there is one core, its number is the machine's.
      const value = cores.length > 1 ? busy(one.usage_percent) : use(), item = node.children[i];
      if (!small) {
        say(item.children[0], one.cpu.replace('cpu', 'c'));
        say(item.children[1], show('percent', value));
      }
      mark(item, 'class', level(value, limit('cpu_busy')));
      (small ? item : item.lastChild).firstChild.style.transform = `scale${small ? 'Y' : 'X'}(${(value || 0) / 100})`;
    });
  };
  return node;
}

const use = () => ['cpu_user', 'cpu_system', 'cpu_irq', 'cpu_steal'].reduce((sum, name) => sum + (now(name) || 0), 0 * now('cpu_user'));
const CPU_LINES = [line('cpu_user', 'user', AQUA), line('cpu_system', 'system', BLUE), line('cpu_iowait', 'iowait', WAIT), line('cpu_irq', 'irq', VIOLET), line('cpu_steal', 'steal', CRITICAL)];
const MEMORY_LINES = [line('memory_used', 'used', AQUA), line('memory_cached', 'cache', CACHE)];
const PRESSURE_LINES = [line('pressure_cpu', 'cpu', AQUA), line('pressure_io', 'io', WAIT), line('pressure_memory', 'memory', VIOLET)];
const DISK_LINES = [line('disk_read', 'read', AQUA), line('disk_write', 'write', WAIT)];
const NETWORK_LINES = [line('network_receive', 'in', AQUA), line('network_transmit', 'out', BLUE)];
export const LOAD_LINES = [line('load', 'load', AQUA)];
export const stalls = () => link.fine.has('pressure_cpu');
export const topClock = () => Math.max(0, ...(link.json.cpufreq?.cpus ?? []).map((one) => one.cpu_frequency_max_hertz ?? 0));
const cores = () => (link.json.cpu?.cpus ?? []).filter((one) => one.cpu !== 'total').length;

/** Down to which signal Wi-Fi is what. */
const SIGNALS = [[-60, 'strong'], [-70, 'good'], [-80, 'weak', 'warning'], [-999, 'hardly usable', 'critical']];

/**
 * A card. The agent is asked for the collectors `often` in every cycle, for those `seldom` in every fourth, and for `also`
 * while the dialog is open. A machine may do without a `spare` card; nothing of a card with `nowhere` is kept. value() is the big number with its level, sub() the line beside the title, absent() says why
 * there is nothing to show, extra() makes what stands below the chart.
 */
export const CARDS = [
  {
    id: 'cpu', title: 'CPU', often: ['cpu'], seldom: ['cpufreq'],
    chart: shown('CPU use', 'percent', CPU_LINES, { stack: true }),
    absent: () => !link.fine.has('cpu_user') && !link.json.cpu && 'No CPU use: /proc/stat could not be read.',
    value() {
      const value = use();
      return [show('percent', value), level(value, limit('cpu_busy'))];
    },
    sub: () => join(cores() && `${cores()} core${cores() > 1 ? 's' : ''}`, known(now('frequency')) && format.hertz(now('frequency'))),
    extra: () => [legend(() => CPU_LINES, () => 'percent'), live(tiles())],
  },
  {
    id: 'memory', title: 'Memory', seldom: ['memory'], also: ['vm'], beside: ring,
    chart: shown('Memory', 'bytes', MEMORY_LINES, { stack: true, top: () => link.json.memory?.total_bytes }),
    absent: () => !link.fine.has('memory_used') && !link.json.memory && 'No memory: /proc/meminfo could not be read.',
    value() {
      const { total_bytes: total, zfs } = link.json.memory ?? {};
      const used = now('memory_used');
      return [show('percent', used / total * 100), level((used - (zfs?.zfs_reclaimable_bytes ?? 0)) / total * 100, 100 - limit('memory_low', 'below'))];
    },
    sub: () => `${show('bytes', now('memory_used'))} of ${show('bytes', link.json.memory?.total_bytes)}`,
    extra() {
      const note = el('p', 'note');
      note.fill = () => {
        const { total_bytes: total, swap_total_bytes: swap } = link.json.memory ?? {};
        const rate = now('swap_rate');
        say(note, join(
          `available ${show('bytes', total - now('memory_used'))}`,
          swap > 0 ? `swap ${show('bytes', now('swap_used'))}` : 'no swap',
          rate > 0 && `swapping ${format.rate(rate)}`,
        ));
      };
      return [legend(() => MEMORY_LINES, () => 'bytes'), note];
    },
    fillBeside: (node) => node.fill(now('memory_used') / link.json.memory?.total_bytes, now('memory_cached') / link.json.memory?.total_bytes),
  },
  {
    id: 'thermal', title: 'Power & heat', often: ['power'], seldom: ['cpufreq'], also: ['thermal'], spare: true,
    chart: shown('Temperature', 'celsius', [line('temperature', 'CPU', WARN)], { flag: 'throttled' }),
    absent: () => !link.fine.has('temperature') && !link.fine.has('frequency') && !link.json.power && 'This kernel offers no temperature, clock or power report.',
    // Red as long as the rule says so: only that knows the sensors' own limits.
    value: () => (link.fine.has('temperature') ? [show('celsius', now('temperature')), !link.moment && link.json.verdicts?.items?.some((one) => one.rule === 'hot') ? 'critical' : ''] : ['', '']),
    sub: () => link.moment && now('throttled') > 0 && 'throttled',
    extra: () => [
      live(remark(() => {
        const flags = link.json.power?.throttled, active = reasons(flags);
        return active ? [`Now: ${active}`, 'critical'] : [!flags ? 'No throttling report on this machine.' : 'throttled' in flags ? 'Not throttled now' : 'No under-voltage now'];
      })),
      live(remark(() => {
        const { throttled, throttled_since_boot: boot, throttled_events: events, throttled_seconds: seconds } = link.json.power ?? {};
        const words = Object.keys(REASONS).filter((key) => boot?.[key] || events?.[key]).map((key) => REASONS[key] + (events?.[key] ? ` ${events[key]}×, ${span(seconds?.[key])}` : ''));
        return [throttled ? `Since ${boot ? 'boot' : 'the agent started'}: ${words.join('; ') || 'none'}` : link.fine.has('temperature') ? '' : 'This kernel offers no temperature.'];
      })),
      remark(() => {
        const { rails = [], fan_rpm: fan } = link.json.power ?? {};
        // The input of a Raspberry Pi 5; the core of older ones.
        const { rail, voltage_volts: volts } = rails.find((one) => one.rail === 'EXT5V') ?? rails.find((one) => one.rail === 'core') ?? {};
        const value = now('frequency'), then = link.moment;
        return [join(known(value) && `Clock ${format.hertz(value)}${topClock() ? ` of ${format.hertz(topClock())}` : ''}`, rail && (then ? 'volts not kept' : `${rail} ${volts.toFixed(2)} V`), !then && known(fan) && `fan ${fan}/min`)];
      }),
    ],
  },
  {
    id: 'network', title: 'Network', often: ['network'], seldom: ['wifi'], spare: true,
    chart: shown('Network transfer', 'rate', NETWORK_LINES),
    absent: () => !link.fine.has('network_receive') && !link.json.network?.interfaces?.length && 'The kernel reports no network interface.',
    value: () => [show('rate', now('network_receive') + now('network_transmit')), ''],
    sub() {
      const top = !link.moment && interfaces()[0];
      return top ? join(top.name, `${top.drops} drops`, top.errors > 0 && `${top.errors} errors`) : '';
    },
    extra() {
      const note = el('p', 'note one');
      note.fill = () => {
        const all = interfaces(), loud = all.filter((one) => one.row.counted).slice(0, 2);
        const rest = all.length - loud.length;
        // What one does alone is the big number.
        say(note, join(...loud.map((one) => (loud[1] ? `${one.name} ${show('rate', one.received + one.sent)}` : one.name)), rest > 0 && `+${rest} more`));
      };
      return [legend(() => NETWORK_LINES, () => 'rate'), live(note), remark(() => {
        const [radio] = link.json.wifi?.interfaces ?? [];
        if (!radio || link.moment) return [radio ? 'How good Wi-Fi was is not kept.' : ''];
        const { signal_dbm: signal, transmit_bits_per_second: bits, retries, interface: name } = radio;
        const [, words, state] = SIGNALS.find(([from]) => signal >= from) ?? [0, 'not connected'];
        const lost = link.events.filter((one) => one.kind === 'wifi' && one.severity === 'warning' && one.culprit === name && one.begin >= link.shown.start + link.shown.offset).length;
        return [join(`Wi-Fi ${words}`, known(signal) && `${signal} dBm`, lost && `lost ${lost}×`, bits > 0 && `${(bits / 1e6).toFixed(0)} Mbit/s`, known(retries) && `${retries} retries`), state];
      })];
    },
  },
  {
    id: 'pressure', title: 'Pressure & load', often: ['system'], also: ['pressure'],
    chart: { name: 'Pressure or load', data: () => link.shown, get kind() { return stalls() ? 'pressure' : 'load'; }, series: () => (stalls() ? PRESSURE_LINES : LOAD_LINES) },
    absent: () => !link.fine.has('load') && !stalls() && !link.json.system && 'Neither pressure nor load could be read.',
    value() {
      const value = now('load');
      return [show('load', value), level(value / cores(), limit('load_high'))];
    },
    sub: () => (cores() ? `${cores()} core${cores() > 1 ? 's' : ''}` : ''),
    extra() {
      const note = el('p', 'note one');
      note.fill = () => {
        // The first one is the big number.
        const [, ...load] = Object.values(link.json.system?.load_average ?? {}).map((value) => value.toFixed(2));
        say(note, stalls() ? load.length ? `load ${load.join(' · ')} in 5, 15 min` : '' : 'No pressure figures: the kernel was started without psi=1.');
      };
      return [legend(() => (stalls() ? PRESSURE_LINES : LOAD_LINES), () => (stalls() ? 'percent' : 'load')), live(note)];
    },
  },
  {
    id: 'diskio', title: 'Disk I/O', often: ['diskio'], spare: true,
    chart: shown('Disk transfer', 'rate', DISK_LINES),
    absent: () => !link.fine.has('disk_read') && !link.json.diskio?.disks?.length && 'The kernel reports no physical disk.',
    value: () => [show('rate', now('disk_read') + now('disk_write')), level(now('disk_busy'), limit('disk_slow', 'busy.above'))],
    sub: () => (known(now('disk_busy')) ? `${show('percent', now('disk_busy'))} busy` : ''),
    extra() {
      const note = el('p', 'note one');
      note.fill = () => {
        const [top] = disks();
        say(note, top ? join(top.name, known(top.wait) && `${(top.wait * 1000).toFixed(0)} ms per operation`, disks().length > 1 && `+${disks().length - 1} more`) : '');
      };
      return [legend(() => DISK_LINES, () => 'rate'), live(note)];
    },
  },
  {
    id: 'filesystems', title: 'Storage health', seldom: ['disk', 'storage', 'nvme', 'mdraid'], spare: true, nowhere: 'How the disks were then is not kept. Its dialog has a chart of how full they were.',
    absent: () => !mounts().length && !link.json.storage && 'No filesystem is mounted.',
    value: () => ['', ''],
    sub: () => (link.json.disk && !link.moment ? `${mounts().length} mounted` : ''),
    extra: () => [later('facts'), mountList(2)],
  },
  {
    id: 'doctor', title: 'Doctor', nowhere: 'The doctor looks at the machine of now.',
    absent: () => '',
    value: () => ['', ''],
    sub: () => '',
    extra: () => [later('findings')],
  },
  {
    id: 'processes', title: 'Top processes', often: ['system'],
    absent() {
      const { processes: answer } = link;
      if (link.moment) return !link.frozen?.rows.length && 'Which processes ran then is not known: the agent keeps them when something goes wrong.';
      if (answer?.error) return answer.error.status === 404 ? 'Switched off with --no-collector.processes.' : `No processes: ${answer.error.message}.`;
      return answer && !answer.processes?.length && 'The agent sees no process.';
    },
    value: () => ['', ''],
    sub() {
      if (link.moment) return link.frozen ? `frozen at ${clock(link.frozen.begin, 1)}, ${link.frozen.title}` : '';
      const { processes_running: running, processes_blocked: blocked, processes: all } = link.json.system ?? {};
      return join(known(link.processes?.total ?? all) && `${link.processes?.total ?? all} processes`, known(running) && `${running} running`, known(blocked) && `${blocked} blocked on I/O`);
    },
    extra: () => [live(processTable(5))],
  },
  {
    id: 'services', title: 'Services & containers', seldom: ['services'], spare: true, nowhere: 'What services used then is not kept.',
    absent: () => !link.json.services?.services?.length && 'The kernel lists no services or containers.',
    value: () => ['', ''],
    sub: () => '',
    // services.js fills it.
    extra: () => [Object.assign(el('div', 'services'), { fill() {} })],
  },
];

export function interfaces() {
  return [...(link.rates.interface?.values() ?? [])].map((one) => ({
    ...one, drops: (one.row.receive_dropped ?? 0) + (one.row.transmit_dropped ?? 0), errors: (one.row.receive_errors ?? 0) + (one.row.transmit_errors ?? 0),
  })).sort((a, b) => b.row.counted - a.row.counted || (b.received + b.sent || 0) - (a.received + a.sent || 0) || natural(a.name, b.name));
}

export function disks() {
  return [...(link.rates.device?.values() ?? [])].map((one) => ({ ...one, wait: (one.reading + one.writing) / (one.reads + one.writes) }))
    .sort((a, b) => (b.busy || 0) - (a.busy || 0) || (b.read + b.written || 0) - (a.read + a.written || 0));
}

/** The cards in the order of what matters most where there is little room; those that are not here come last. */
export const SHORT = ['cpu', 'memory', 'diskio', 'thermal', 'processes', 'network', 'filesystems', 'pressure', 'services'];

/** The collectors that a card shows. */
export const collectorsOf = (card) => [...(card.often ?? []), ...(card.seldom ?? []), ...(card.also ?? [])];
/** The card of this name, or the first one that shows the collector of this name. */
export const cardOf = (name) => CARDS.find((card) => card.id === name) ?? CARDS.find((card) => collectorsOf(card).includes(name));

/** Whether there are no two samples yet, so that nothing has a rate. */
const first = () => [...link.fine.series.values()].every(({ v }) => v.filter(known).length < 2);

/** A verdict's title and detail, with its times. */
export function wording({ title, detail, state, since_seconds: ago, until_seconds: until }) {
  const since = state === 'event' ? `${span(ago)} ago` : state !== 'resolved' && ago > 0 && `for ${span(ago)}`;
  return { title: state === 'resolved' ? `${title} until ${clock(link.json.time - until, 60)}` : title, detail: join(detail, since) };
}

/** Builds a card's place on the page. `open` opens its dialog. */
export function makeCard(card, open) {
  const button = el('button', { type: 'button', id: `open-${card.id}`, 'aria-haspopup': 'dialog' }, el('i', { 'aria-hidden': 'true' }, '◇'), card.title);
  const sub = el('p', 'sub'), big = el('p', 'big');
  const absent = el('p', { class: 'absent', hidden: '' });
  const body = el('div', 'body');
  const main = card.chart;
  const chart = main && new Chart(main);
  const beside = card.beside?.();
  const extra = card.extra();
  if (chart) body.append(el('div', 'row', beside, chart.host));
  body.append(...extra);
  const node = el('section', { class: 'card', id: `card-${card.id}`, 'aria-labelledby': `open-${card.id}` }, el('div', 'head', el('h2', '', button), sub, big), absent, body);
  node.addEventListener('click', (event) => {
    const own = event.target.closest('button, a');
    if (own ? own === button : !(event.target.closest('.chart') && cursor.pointer !== 'mouse')) open(card.id);
  });
  card.button = button;
  card.node = node;
  card.update = () => {
    const { moment } = link;
    const missing = card.absent() || '';
    // What this machine lacks takes a line in the foot row, not a card.
    node.hidden = Boolean(missing && card.spare);
    const reason = missing || (moment && card.nowhere) || '';
    say(absent, reason);
    absent.hidden = !reason;
    body.hidden = Boolean(reason);
    const [value, state] = reason ? ['', ''] : card.value();
    const wait = value === '–' && !moment && first();
    say(big, wait ? 'one more sample…' : value);
    mark(big, 'class', wait ? 'big wait' : `big ${state}`);
    const words = reason ? '' : join(moment && chart && `at ${clock(moment, 60)}`, card.sub());
    say(sub, words);
    mark(sub, 'title', words || null);
    if (reason) return;
    for (const part of extra) {
      part.hidden = Boolean(moment && part.live);
      if (!part.hidden) part.fill();
    }
    if (beside) card.fillBeside(beside);
    if (chart) {
      chart.host.parentNode.hidden = !main.series().some((one) => main.data().has(one.key));
      chart.draw();
    }
  };
  return node;
}
