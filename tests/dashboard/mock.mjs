// A mock agent: speaks the agent's HTTP interface with synthetic data, for the states that a real agent cannot easily
// show. By default it is a Raspberry Pi 3 Model A+ in trouble: a busy CPU, under-voltage, a slow SD card.
//
// Alone:     node mock.mjs [PORT]        serves the page assembled from src/dashboard
// In tests:  const mock = await Mock.start({...}); mock.state.… = …; await mock.stop()

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { gzipSync } from 'node:zlib';
import { assemble } from './page.mjs';

const MiB = 1048576;

/** The agent's thresholds, from the reference that is generated from its rules. */
const RULES = readFileSync(new URL('../../docs/rules.md', import.meta.url), 'utf8');
const THRESHOLDS = {};
for (const [, rule, key, value] of RULES.matchAll(/--rule\.(\w+)\.([\w.]+)=([\d.]+)/g)) {
  (THRESHOLDS[rule] ??= {})[key] = Number(value);
}

/** What each rule says to do, from the same reference. */
const FIXES = Object.fromEntries([...RULES.matchAll(/^\| `(\w+)` \|.*\| (.*) \|$/gm)].map(([, rule, fix]) => [rule, fix]));

/** What the doctor says about each of its checks, from the agent's own table. */
const CHECKS = Object.fromEntries(readFileSync(new URL('../../src/doctor/checks.txt', import.meta.url), 'utf8').split('\n').filter((line) => !line.startsWith('//')).join('\n')
  .split('\n\n').map((one) => one.split('\n')).filter(([name]) => name).map(([name, what, title, fix, how]) => [name, { what, title, fix, how }]));

/** The names of all rules. */
export const RULE_NAMES = Object.keys(FIXES);

/** A noise value from 0 to 1 that depends only on its arguments. */
function noise(at, salt) {
  let x = Math.imul(Math.floor(at) ^ Math.imul(salt, 0x9e3779b1), 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  x ^= x >>> 16;
  return (x >>> 0) / 4294967296;
}

/** Smooth noise: straight between points that are `period` seconds apart. */
function drift(at, period, salt) {
  const n = at / period, i = Math.floor(n), f = n - i;
  return noise(i, salt) * (1 - f) + noise(i + 1, salt) * f;
}

/** How many points and seconds each range has. */
const RANGES = { '2m': [60, 2], '10m': [300, 2], '1h': [360, 10], '24h': [720, 120], '7d': [1008, 600] };

export class Mock {
  /**
   * options: page (html, more, csp and runbooks to serve), cores, interfaces, mounts, trouble (false: all is well), startedAgo (seconds
   * of history), bootedAgo, without (sections that are missing), hostile (names made of markup), zone (the machine's time zone),
   * night (when the incident was that events() has).
   */
  constructor(options = {}) {
    this.options = { cores: 4, interfaces: 2, mounts: 4, trouble: true, bootedAgo: 1051200 + 15300, without: [], ...options };
    this.options.startedAgo ??= Math.min(this.options.bootedAgo, 8 * 86400);
    const now = Date.now() / 1000;
    this.incident = now - (options.incidentAgo ?? 168);
    this.state = {
      bootedAt: now - this.options.bootedAgo,
      startedAt: now - this.options.startedAgo,
      bootId: '5e1f00d5',
      hung: false, // takes requests and never answers
      error: 0, // answers with this HTTP status
      samples: true, // false: the sampler stands still, HTTP goes on
      frozenAt: 0,
      hole: [now - 412, now - 380], // seconds of wall time without samples
      without: new Set(this.options.without),
      empty: new Set(),
    };
    this.requests = [];
    this.counters = new Map();
    this.countedAt = now;
  }

  static async start(options = {}, port = 0) {
    const mock = new Mock(options);
    mock.page = options.page ?? assemble();
    await mock.listen(port);
    return mock;
  }

  async listen(port = 0) {
    this.server = http.createServer((request, response) => this.answer(request, response));
    this.server.keepAliveTimeout = 30000;
    await new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, '127.0.0.1', resolve);
    });
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/`;
  }

  async stop() {
    if (!this.server) return;
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    this.server = undefined;
  }

  /** As after a new boot of the machine: new clock, no history. */
  reboot(ago = 40) {
    const now = Date.now() / 1000;
    Object.assign(this.state, { bootedAt: now - ago, startedAt: now - ago + 6, bootId: '00c0ffee' });
  }

  answer(request, response) {
    const url = new URL(request.url, this.url);
    this.requests.push(url.pathname + url.search);
    const gzip = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
    const send = (status, type, body, headers = {}) => {
      const bytes = gzip ? gzipSync(body, { level: 6 }) : Buffer.from(body);
      response.writeHead(status, {
        'content-type': type,
        'cache-control': 'no-store',
        'content-length': bytes.length,
        ...(gzip && { 'content-encoding': 'gzip' }),
        'x-content-type-options': 'nosniff',
        ...headers,
      });
      response.end(bytes);
    };
    if (url.pathname === '/') {
      return send(200, 'text/html; charset=utf-8', this.page.html, { 'content-security-policy': this.page.csp });
    }
    if (this.state.hung) return;
    if (url.pathname === '/more.js' && !this.state.error) return send(200, 'text/javascript; charset=utf-8', this.page.more);
    if (url.pathname === '/runbooks' && !this.state.error) return send(200, 'text/plain; charset=utf-8', this.page.runbooks);
    if (this.state.error) return send(this.state.error, 'text/plain', 'the mock was told to fail\n');
    const data = {
      '/json': () => this.json(url.searchParams.getAll('collect[]')),
      '/history': () => (url.searchParams.has('of') ? this.levels() : this.history(url.searchParams.get('range') ?? '10m', url.searchParams.get('since'))),
      '/events': () => (this.state.without.has('events') ? null : this.events(Number(url.searchParams.get('since') ?? 0), url.searchParams.get('id'))),
      '/doctor': () => this.doctor(),
      '/processes': () => (this.state.without.has('processes') ? null : this.processes()),
    }[url.pathname]?.();
    if (data) return send(200, 'application/json', JSON.stringify(data));
    if (url.pathname === '/processes') return send(404, 'text/plain', 'switched off with --no-collector.processes\n');
    send(404, 'text/plain', 'not found\n');
  }

  /** All charted values at wall time `at`, in base units. */
  values(at) {
    const { options } = this;
    const k = options.trouble ? Math.min(1, Math.max(0, (at - this.incident) / 8)) : 0;
    const busy = k * (0.94 + 0.08 * drift(at, 20, 1)) + (1 - k) * (0.08 + 0.14 * drift(at, 45, 2) ** 2 + 0.1 * noise(at / 2, 3) ** 4);
    const wait = at < options.night + 12 && at > options.night - 400 ? 58 : 0;
    const io = wait + k * (4 + 14 * drift(at, 16, 4)) + (1 - k) * 0.5 * drift(at, 10, 5);
    const user = Math.min(92 - io, 88 * busy);
    const ram = 416 * MiB;
    // At night, a process takes all memory within a quarter of an hour, until the kernel kills it.
    const n = at < options.night + 12 ? Math.max(0, 1 + (at - options.night) / 900) : 0;
    const memory = n * 190 * MiB + k * 342 * MiB + (1 - k) * 206 * MiB + 8 * MiB * drift(at, 60, 6);
    const warm = Math.min(1, Math.max(0, (at - this.incident) / 90)) * (options.trouble ? 1 : 0);
    return {
      cpu_user: user, cpu_system: 1.5 + 5 * busy * drift(at, 12, 7), cpu_iowait: io, cpu_irq: 0.3 + 0.6 * drift(at, 8, 8), cpu_steal: 0,
      memory_used: memory, memory_cached: Math.min(ram - memory - 12 * MiB, 148 * MiB), swap_used: (k * 21 + n * 100) * MiB, swap_rate: k * 190e3 * drift(at, 6, 9) ** 2,
      temperature: 47.5 + 27 * warm + 2 * drift(at, 40, 10), frequency: warm > 0.6 ? 1.2e9 : 1.4e9,
      pressure_cpu: k * (42 + 10 * drift(at, 30, 11)) + (1 - k) * drift(at, 20, 12), pressure_io: k * (18 + 8 * drift(at, 25, 13)) + (1 - k) * 0.6 * drift(at, 9, 14), pressure_memory: k * 4 * drift(at, 18, 15),
      load: k * (5.2 + drift(at, 60, 16)) + (1 - k) * (0.25 + 0.3 * drift(at, 60, 17)),
      disk_read: k * 7.4 * MiB * (0.7 + 0.5 * drift(at, 12, 18)) + 12e3 * (1 + noise(at / 2, 19)), disk_write: k * 13 * MiB * (0.7 + 0.5 * drift(at, 14, 20)) + 60e3 * noise(at / 10, 21) ** 6, disk_busy: k * (91 + 8 * drift(at, 10, 22)) + (1 - k) * 3 * drift(at, 10, 23),
      network_receive: 30e3 + 900e3 * drift(at, 50, 24) ** 5 + k * 120e3, network_transmit: 12e3 + 500e3 * drift(at, 70, 25) ** 5 + k * 90e3,
      throttled: warm > 0.6 ? 1 : 0,
    };
  }

  gone(series) {
    const w = this.state.without;
    if (series.startsWith('pressure_')) return w.has('pressure');
    if (series.startsWith('disk_')) return w.has('diskio');
    if (series.startsWith('network_')) return w.has('network');
    if (series === 'temperature') return w.has('thermal');
    if (series === 'frequency') return w.has('cpufreq');
    if (series === 'throttled') return w.has('power');
    return false;
  }

  history(range, since) {
    const { state } = this;
    const now = Date.now() / 1000;
    const boot = now - state.bootedAt;
    const [most, step] = RANGES[range] ?? RANGES['10m'];
    const sampled = state.samples ? boot : state.frozenAt - state.bootedAt;
    const end = Math.floor(sampled / step) * step;
    const count = since === null ? most : Math.max(0, Math.min(most, Math.round((end - Number(since)) / step)));
    const shapes = { cpu: ['percent', 0.1], memory: ['bytes', 4096], swap: ['bytes', 4096], temperature: ['celsius', 0.1], frequency: ['hertz', 1e6], pressure: ['percent', 0.01], load: ['', 0.01], disk: ['bytes/s', 1], network: ['bytes/s', 1], throttled: ['', 1] };
    const series = new Map();
    for (let i = 0; i < count; i++) {
      const at = state.bootedAt + end - (count - 1 - i) * step;
      const known = at >= state.startedAt && !(at > state.hole[0] && at < state.hole[1]);
      for (const [name, value] of Object.entries(this.values(at))) {
        if (this.gone(name)) continue;
        if (!series.has(name)) {
          let [unit, scale] = shapes[name.split('_')[0]];
          if (name === 'disk_busy') [unit, scale] = ['percent', 0.1];
          if (name === 'swap_rate') [unit, scale] = ['bytes/s', 1];
          series.set(name, { name, unit, kind: 'avg', scale, v: [], ...(step > 2 && { lo: [], hi: [] }) });
        }
        const one = series.get(name);
        const whole = known ? Math.round(value / one.scale) : null;
        one.v.push(whole);
        if (step > 2) {
          const spread = name === 'throttled' ? 0 : 0.12 + 0.25 * noise(at, 31);
          one.lo.push(known ? Math.round(whole * (1 - spread)) : null);
          one.hi.push(known ? Math.round(whole * (1 + spread)) : null);
        }
      }
    }
    if (since !== null) for (const one of series.values()) delete one.unit, delete one.kind;
    return { now, boot, boot_id: state.bootId, step, end, count, series: [...series.values()] };
  }

  /** How full filesystems were: the second one grows, the others go up and down; what is in memory is not kept. */
  levels() {
    const { now, boot, boot_id } = this.history('2m', null);
    const step = 10800, count = 127, last = Math.floor(now / step), scale = MiB;
    const series = this.names('mounts').slice(0, 3).map((name, i) => ({
      name, unit: 'bytes', kind: 'last', scale,
      v: Array.from({ length: count }, (_, k) => Math.round(29 * 1024 * (i === 1 ? 0.1 + 0.04 * k / count : [0.63, 0, 0.88][i] + 0.03 * noise(last + k, i)))),
    }));
    return { now, boot, boot_id, step, end: last * step - now + boot, count, series };
  }

  /**
   * What happened: of now what the verdicts say, and before that a night in which a process took all memory at `night`, until
   * the kernel killed it; later the machine restarted without a clean end.
   */
  events(since, id) {
    const now = Date.now() / 1000;
    const { night = now - 10 * 3600 } = this.options;
    const all = [
      { kind: 'kernel', lane: 'changes', severity: 'info', begin: night - 5 * 3600, title: 'Linux 6.12.47-v8+ runs now', detail: 'before: 6.6.51-v8+' },
      { kind: 'verdict', rule: 'memory_low', lane: 'trouble', severity: 'critical', begin: night - 610, end: night, title: 'Memory is almost used up', detail: '2.9% of 416 MiB available; influxd uses most', culprit: 'influxd', worst: 97.1, unit: 'percent' },
      { kind: 'power', lane: 'power', severity: 'critical', begin: night - 500, end: night - 489, title: 'Under-voltage' },
      { kind: 'oom_kill', lane: 'trouble', severity: 'critical', begin: night + 12, title: 'influxd was killed for lack of memory', detail: 'process 902, 318 MiB: the machine ran out of memory', culprit: 'influxd' },
      { kind: 'link', lane: 'changes', severity: 'warning', begin: night + 3600, end: night + 3640, title: 'wlan0 lost its link', culprit: 'wlan0' },
      { kind: 'reboot', lane: 'changes', severity: 'warning', begin: night + 4 * 3600, title: 'The machine restarted after a power cut or a crash', detail: 'Pi-Monitor 0.1.0 started 19 s after boot; the last event before: Under-voltage' },
    ].filter((one) => one.begin <= now);
    if (this.options.trouble && now > this.incident) {
      all.push({ kind: 'verdict', rule: 'under_voltage', lane: 'power', severity: 'critical', begin: this.incident + 60, lasts: true, title: 'Under-voltage', detail: 'Supply voltage is below 4.63 V right now.', culprit: 'power supply' });
      all.push({ kind: 'verdict', rule: 'cpu_busy', lane: 'trouble', severity: 'warning', begin: this.incident, lasts: true, title: 'CPU is fully used', detail: '99.0% in use; ffmpeg uses most', culprit: 'ffmpeg', worst: 99.4, unit: 'percent' });
    }
    const top = (name) => (name === 'influxd' ? {
      cpu: [{ pid: 902, name: 'influxd', cpu_percent: 34 }, { pid: 77, name: 'kswapd0', cpu_percent: 22 }, { pid: 611, name: 'homeassistant', cpu_percent: 11 }],
      memory: [{ pid: 902, name: 'influxd', resident_bytes: 318 * MiB }, { pid: 611, name: 'homeassistant', resident_bytes: 41 * MiB }],
      io: [{ pid: 902, name: 'influxd', bytes_per_second: 7.9e6 }, { pid: 77, name: 'kswapd0', bytes_per_second: 5.1e6 }],
    } : { cpu: [{ pid: 2314, name: 'ffmpeg', cpu_percent: 288 }], memory: [{ pid: 2314, name: 'ffmpeg', resident_bytes: 148 * MiB }], io: [] });
    // As the agent's table ADVICE has it.
    const advice = ({ rule, kind, severity, title }) => {
      const name = rule ?? (severity !== 'info' && (title === 'Under-voltage' ? 'under_voltage' : { oom_kill: 'oom_kill', link: 'link_down', reboot: 'machine_restarted' }[kind]));
      return name && { advice: name, fix: FIXES[name] };
    };
    const events = all.map((one, i) => ({ id: i + 1, exact: true, ...(one.lasts ? {} : { end: one.begin }), ...one, ...(id && one.culprit && { processes: top(one.culprit) }), ...(id && advice(one)) }));
    const named = (one) => (this.options.hostile ? { ...one, title: `<b>${one.title}</b>`, culprit: '<i>x</i>' } : one);
    return { time: now, last: events.length, changes: events.length, events: events.filter((one) => (id ? one.id === Number(id) : (one.end ?? now) >= since)).map(named) };
  }

  names(kind) {
    const { options } = this;
    const bad = '<img src=x onerror=document.title="owned">';
    if (kind === 'interfaces') {
      const all = ['wlan0', 'lo', 'usb0', 'br-4f1c', 'veth91ab', ...Array.from({ length: 60 }, (_, i) => `veth${i}`)];
      return all.slice(0, options.interfaces).map((name, i) => (options.hostile && i === 0 ? bad : name));
    }
    const all = ['/', '/boot/firmware', '/media/pi/WD-Elements-25A3-very-long-label-backup-2026-photos', '/run', ...Array.from({ length: 40 }, (_, i) => `/srv/volume-${i}/data`)];
    return all.slice(0, options.mounts).map((name, i) => (options.hostile && i === 1 ? `/mnt/${bad}` : name));
  }

  count(name, rate) {
    const total = (this.counters.get(name) ?? Math.round(rate * 86400)) + rate * (Date.now() / 1000 - this.countedAt);
    this.counters.set(name, total);
    return Math.round(total);
  }

  json(only) {
    const { state, options } = this;
    const now = Date.now() / 1000;
    const v = this.values(now);
    const k = v.throttled;
    const bad = options.trouble && now > this.incident;
    const modes = (n) => {
      const user = Math.min(100, v.cpu_user * (1 + (noise(now / 2, n) - 0.5) * 0.1)), system = v.cpu_system, iowait = Math.min(100 - user - system, v.cpu_iowait);
      const rest = { user, nice: 0, system, iowait, irq: 0, softirq: v.cpu_irq, steal: 0 };
      for (const key in rest) rest[key] = Math.round(Math.max(0, rest[key]) * 100) / 100;
      return { ...rest, idle: Math.max(0, Math.round((100 - user - system - iowait - v.cpu_irq) * 100) / 100) };
    };
    const all = {
      cpu: { cpus: ['total', ...Array.from({ length: options.cores }, (_, i) => `cpu${i}`)].map((cpu, i) => ({ cpu, usage_percent: modes(i), ...(i && { seconds: { user: this.count(`c${i}`, v.cpu_user / 100), nice: 1.2, system: 811.9, idle: 91822.1, iowait: 120.4, irq: 0, softirq: 31.5, steal: 0 } }) })) },
      memory: { total_bytes: 416 * MiB, used_bytes: Math.round(v.memory_used), available_bytes: Math.round(416 * MiB - v.memory_used), free_bytes: 14 * MiB, buffers_bytes: 9 * MiB, cached_bytes: Math.round(v.memory_cached), swap_total_bytes: 100 * MiB, swap_used_bytes: Math.round(v.swap_used), dirty_bytes: 3 * MiB },
      network: { interfaces: this.names('interfaces').map((name, i) => ({ interface: name, counted: Number(!/^(lo|br-|veth)/.test(name)), receive_bytes: this.count(`r${i}`, v.network_receive / (i + 1) ** 2), receive_packets: 88123, receive_errors: 0, receive_dropped: i ? 0 : 12, transmit_bytes: this.count(`t${i}`, v.network_transmit / (i + 1) ** 2), transmit_packets: 71234, transmit_errors: 0, transmit_dropped: 0 })) },
      system: { load_average: { '1m': +v.load.toFixed(2), '5m': bad ? 3.2 : 0.4, '15m': bad ? 1.11 : 0.3 }, uptime_seconds: now - state.bootedAt, boot_time_seconds: state.bootedAt, processes: 142, threads: 301, processes_running: bad ? 6 : 1, processes_blocked: bad ? 3 : 0, forks: 91822 },
      services: {
        memory_accounting: 1, left_out: 0,
        services: [['homeassistant', 'container', 0.09, 412, 512], ['mosquitto', 'container', 0.01, 9, 64], ['pihole-FTL', 'service', 0.02, 48], ['ssh', 'service', 0.001, 6], ['NetworkManager', 'service', 0.003, 18], ['nginx', 'service', 0.004, 12], ['1000/syncthing', 'user', 0.05, 94]].map(([service, kind, use, mebibytes, limit], i) => ({
          service, kind, cpu_seconds: +(use * (now - state.bootedAt) * (bad && i === 0 ? 1.2 : 1)).toFixed(6), memory_bytes: mebibytes * MiB * (bad && i === 0 ? 1.2 : 1), ...(limit && { memory_limit_bytes: limit * MiB }),
          memory_events: { high: 0, max: bad && i === 0 ? 217 : 0, oom: bad && i === 0 ? 1 : 0, oom_kill: bad && i === 0 ? 1 : 0 }, read_bytes: 12 * MiB * i, written_bytes: Math.round(2000 * (now - state.bootedAt) * i), tasks: 4 + 3 * i, restarts: bad && i === 2 ? 3 : 0,
        })),
      },
      disk: { filesystems: this.names('mounts').map((mountpoint, i) => ({ device: i === 3 ? 'tmpfs' : `/dev/mmcblk0p${i}`, mountpoint, fstype: i === 3 ? 'tmpfs' : 'ext4', total_bytes: 29 * 1024 * MiB, used_bytes: Math.round(29 * 1024 * MiB * [0.66, 0.14, 0.9, 0.02][i % 4]), free_bytes: 9e9, available_bytes: Math.round(29 * 1024 * MiB * [0.29, 0.81, 0.022, 0.98][i % 4]), inodes: 1900000, inodes_free: 1500000, read_only: 0, ...(i === 1 && { full_in_seconds: 777600 }), device_error: options.hostile && i === 3 ? 1 : 0 })) },
      board: { model: 'Raspberry Pi 3 Model A Plus Rev 1.0', revision: '9020e0', soc: 'BCM2837', manufacturer: 'Sony UK', time_zone: options.zone, os: { pretty_name: 'Debian GNU/Linux 12 (bookworm)' }, uname: { sysname: 'Linux', nodename: options.hostile ? '<b>pi</b>' : 'kitchen-pi', release: '6.12.47-v8+', machine: 'aarch64' } },
      thermal: { processor: { sensor: 'cpu-thermal', cpu_temperature_celsius: +v.temperature.toFixed(1) }, sensors: [{ sensor: 'cpu-thermal', temperature_celsius: +v.temperature.toFixed(1), temperature_critical_celsius: 110 }] },
      power: { throttled: { under_voltage: k, frequency_capped: 0, throttled: k, soft_temperature_limit: 0 }, throttled_since_boot: { under_voltage: options.trouble ? 1 : 0, frequency_capped: 0, throttled: options.trouble ? 1 : 0, soft_temperature_limit: 0 },
        throttled_events: { under_voltage: options.trouble ? 14 : 0, frequency_capped: 0, throttled: k, soft_temperature_limit: 0 }, throttled_seconds: { under_voltage: options.trouble ? 96 : 0, frequency_capped: 0, throttled: k * 31, soft_temperature_limit: 0 },
        rails: [{ rail: 'core', voltage_volts: 1.25 }, { rail: 'sdram_c', voltage_volts: 1.2 }] },
      storage: {
        cards: [{ device: 'mmcblk0', type: 'SD', name: 'SC32G', manufacturer_id: '0x000003', manufactured_seconds: 1680307200, age_seconds: Math.floor(now / 86400) * 86400 - 1680307200 }],
        filesystems: [{ device: 'mmcblk0p2', lifetime_written_bytes: 2.09e12, session_written_bytes: 4.9e10, errors: 0, written_per_day_bytes: 4.4e9 }],
      },
      wifi: { interfaces: [{ interface: this.names('interfaces')[0], signal_dbm: bad ? -74 : -58, transmit_bits_per_second: 65e6, retries: this.count('wr', 0.02), failures: 0, power_save: 1, frequency_hertz: 2.437e9 }] },
      cpufreq: { cpus: Array.from({ length: options.cores }, (_, i) => ({ cpu: `cpu${i}`, cpu_frequency_hertz: v.frequency, cpu_frequency_min_hertz: 6e8, cpu_frequency_max_hertz: 1.4e9 })) },
      pressure: { resources: ['cpu', 'io', 'memory'].map((resource) => ({ resource, waiting_seconds: this.count(`p${resource}`, v[`pressure_${resource}`] / 100), stalled_seconds: 0.4 })) },
      diskio: { disks: [{ device: 'mmcblk0', disk_read_bytes: this.count('dr', v.disk_read), disk_written_bytes: this.count('dw', v.disk_write), disk_reads_completed: this.count('drc', v.disk_read / 20000), disk_writes_completed: this.count('dwc', v.disk_write / 80000), disk_read_time_seconds: this.count('drt', v.disk_busy / 100 * 9), disk_write_time_seconds: this.count('dwt', v.disk_busy / 100 * 21), disk_io_time_seconds: this.count('dio', v.disk_busy / 100), disk_io_in_progress: bad ? 4 : 0, disk_worst_average_seconds: bad ? 1.412 : 0.012 }] },
      vm: { oom_kills: 0, page_faults: { minor: 8123123, major: 2312 }, swap_in_bytes: 9e6, swap_out_bytes: 3e7 },
      agent: { collectors: [{ collector: 'cpu', collector_up: 1, collector_duration_seconds: 0.000011 }], build: { version: '0.1.0', target: 'aarch64' }, process_cpu_seconds: 12.5, process_resident_memory_bytes: 3.1e6 },
    };
    this.countedAt = now;
    const json = { time: now };
    for (const key of Object.keys(all)) {
      if (state.without.has(key) || (only.length && !only.includes(key))) continue;
      json[key] = state.empty.has(key) ? {} : all[key];
    }
    const since = Math.round(now - this.incident);
    // As the agent says it: a law compares titles, details, severities and cards with its rules.
    const mount = this.names('mounts')[2];
    const items = [
      { rule: 'under_voltage', severity: 'critical', state: 'firing', title: 'Under-voltage', detail: 'Supply voltage is below 4.63 V right now', culprit: 'power supply', card: 'thermal', since_seconds: since - 60 },
      { rule: 'disk_full', severity: 'critical', state: 'firing', title: `${mount} is almost full`, detail: '97.6% of 29 GiB', culprit: mount, card: 'filesystems', since_seconds: 86400 },
      { rule: 'cpu_busy', severity: 'warning', state: 'firing', title: 'CPU is fully used', detail: `${(100 - modes(0).idle).toFixed(1)}% in use; ffmpeg uses most`, culprit: 'ffmpeg', card: 'cpu', since_seconds: since },
      { rule: 'disk_slow', severity: 'warning', state: 'firing', title: 'mmcblk0 is slow', detail: '182 ms per operation, busy 96.0% of the time; influxd reads and writes most', culprit: 'influxd', card: 'diskio', since_seconds: since - 20 },
    ];
    const { last, changes } = this.events(0);
    if (!state.without.has('events')) json.events = { last, changes };
    json.verdicts = { ...(bad ? {} : { clear_seconds: 11520 }), ...(only?.length ? {} : { thresholds: THRESHOLDS }), items: (this.verdicts ?? (bad ? items : [])).map((one) => ({ fix: FIXES[one.rule] ?? 'Look into it', ...one })) };
    return json;
  }

  /** As the agent says it: what its rules found, then what its checks did; some of them wait, which a running agent does not do. */
  doctor() {
    const { verdicts } = this.json(['none']);
    const page = (name) => `docs/fix/doctor.md#${name}`;
    const found = [['throttled_since_boot', 'critical', 'under-voltage; throttled'], ['swap_on_card', 'warning', '/var/swap']];
    const checks = (this.findings ?? (this.options.trouble ? found : [])).map(([name, severity, detail]) => ({ severity, title: CHECKS[name].title, detail, fix: CHECKS[name].fix.replace('$', detail), page: page(name), name }));
    const rules = verdicts.items.map(({ rule, severity, title, detail, fix }) => ({ severity, title, detail, fix, page: `docs/fix/${rule}.md`, name: rule }));
    const rank = (one) => ['critical', 'warning', 'info'].indexOf(one.severity);
    const findings = [...rules, ...checks].sort((a, b) => rank(a) - rank(b));
    const waits = ['logs', 'wifi_power_save', 'wifi_country', 'reboot_pending'];
    return {
      findings,
      not_seen: waits.map((name) => ({ title: CHECKS[name].what, detail: 'the running agent does not wait for disks and radios', fix: CHECKS[name].how, page: page(name), name })),
      looked_at: [...RULE_NAMES, ...Object.keys(CHECKS)].filter((name) => !waits.includes(name) && !findings.some((one) => one.name === name)),
    };
  }

  processes() {
    const now = Date.now() / 1000;
    const bad = this.options.trouble && now > this.incident;
    const row = (pid, name, user, state, threads, cpu, memory, read, write) => ({ pid, name, user, state, threads, cpu_percent: +(cpu * (0.95 + 0.1 * noise(now / 2, pid))).toFixed(1), resident_bytes: Math.round(memory * MiB), read_bytes_per_second: Math.round(read), write_bytes_per_second: Math.round(write) });
    const list = [
      row(2314, this.options.hostile ? '<script>alert(1)</script>' : 'ffmpeg', 'motion', 'R', 9, bad ? 288 : 8, bad ? 148 : 31, bad ? 64e3 : 0, bad ? 8.2e6 : 12e3),
      row(611, 'homeassistant', 'hass', 'S', 24, 14, 61, 0, 41e4), row(902, 'influxd', 'influxdb', 'S', 17, 9, 38, 26e4, 12e3), row(77, 'kswapd0', 'root', bad ? 'D' : 'S', 1, bad ? 7 : 0, 0, 20e4, 0),
      row(433, 'sshd', 'pi', 'S', 1, 0.2, 5.2, 0, 0), row(1, 'systemd', 'root', 'S', 1, 0.2, 9.8, 5.9e3, 0), row(512, 'pi-monitor', 'pi-monitor', 'S', 1, 0.1, 3, 0, 0),
      row(288, 'systemd-journal', 'root', 'S', 1, 0.1, 8.1, 0, 2.9e3), row(640, 'wpa_supplicant', 'root', 'S', 1, 0, 4.1, 0, 0), row(701, 'mosquitto', 'mosquitto', 'S', 1, 0.6, 4.4, 0, 900),
    ];
    return { time: now, interval_seconds: 2, ended_cpu_percent: bad ? 41.3 : 0.4, cpus: this.options.cores, total: 142, processes: this.state.empty.has('processes') ? [] : list };
  }
}

if (import.meta.url === `file://${process.argv[1]}`) {
  const mock = await Mock.start({}, Number(process.argv[2] ?? 9200));
  setInterval(() => { mock.page = assemble(); }, 1000);
  console.log(`mock agent at ${mock.url}`);
}
