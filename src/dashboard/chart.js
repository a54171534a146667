// Charts: one class for all. The lower canvas holds the data and is drawn when data or size change; the upper one holds
// the crosshair (crosshair.js), which is the only thing that moves with the pointer.

import { GAP } from './history.js';
import { link } from './link.js';
import { clock, el, format, join, show, span } from './text.js';

export const INK = '#86bcbc', GRID = '#17303a', MARK = '#ffc24b';
const SHADE = '#10222b', ALERT = '#ff7a7a';

/**
 * Where the crosshair of all charts stands (on the since-boot clock), whether it stays there, and what moved it last.
 * crosshair.js hooks in with `watch`, for each new chart, and `cross`, for each chart that is drawn; timeline.js with
 * `annotate`, for each chart's lower canvas, `marks`, which changes with what that draws, and `zoom`, for a stretch that is dragged.
 */
export const cursor = { time: null, pinned: false, pointer: 'mouse', drag: null, watch: null, cross: null, annotate: null, marks: 0, zoom: null };
export const charts = new Set();
/** The charts' font, and how wide its letters are. */
export const type = { family: 'monospace', size: 11, letter: 6.6 };

/** Times in milliseconds go here when a benchmark has put a list there. */
export const timing = window.dashboardTiming;

// The observer tells the sizes, so that drawing never has to ask for them, which would make the browser lay out the page.
const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    target.chart.size = contentRect;
    target.chart.draw();
  }
});

/** The smallest of `steps` that is at least `value`. */
const atLeast = (value, steps) => steps.find((step) => step >= value) ?? steps[steps.length - 1];

/** The ends of the y axis for a kind of value; the third tick is the middle. */
const axes = {
  percent: () => [0, 100],
  pressure: (low, high) => [0, atLeast(high, [10, 20, 50, 100])],
  bytes: (low, high, top) => [0, top || 2 ** Math.ceil(Math.log2(Math.max(high, 1024)))],
  rate: (low, high) => [0, 2 ** Math.ceil(Math.log2(Math.max(high, 1024)))],
  load: (low, high) => [0, 2 ** Math.ceil(Math.log2(Math.max(high, 1)))],
  hertz: (low, high, top) => [0, top || high || 1e9],
  celsius(low, high) {
    const from = Math.floor((low - 1) / 10) * 10;
    return [from, from + Math.max(1, Math.ceil((high + 1 - from) / 20)) * 20];
  },
};
const ticks = { ...format, pressure: (v) => `${v}%`, percent: (v) => `${v}%`, celsius: (v) => `${v}°`, load: (v) => String(v) };

/** The last axis that {@link times} was asked for: most charts have the same. @type {any} */
let ruler = {};

/**
 * The ticks of a time axis `width` pixels wide, from `wall` on for `length` seconds: times with their labels.
 * @returns {[number, string][]}
 */
export function times(wall, length, width) {
  const grain = length / width * type.size / 11;
  const step = atLeast(grain * 76 < 60 ? grain * 76 : grain * 52, [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800]);
  if (ruler.wall === wall && ruler.length === length && ruler.step === step) return ruler.all;
  const zone = new Date((wall + length) * 1000).getTimezoneOffset() * 60;
  /** @type {[number, string][]} */
  const all = [];
  for (let at = Math.ceil((wall - zone) / step) * step + zone; at <= wall + length; at += step) all.push([at, clock(at, step)]);
  ruler = { wall, length, step, all };
  return all;
}

export class Chart {
  /**
   * spec: name, kind (of the y axis), series() → [{key, label, color}], data() → History, stack, top() of the axis,
   * flag: a 0/1 series that is marked along the bottom.
   */
  constructor(spec) {
    this.spec = spec;
    this.base = el('canvas', { role: 'img', 'aria-label': spec.name });
    this.over = el('canvas', { 'aria-hidden': 'true' });
    this.host = el('div', `chart ${spec.size ?? ''}`, this.base, this.over);
    this.host.chart = this;
    // A browser that lost what canvases held, with a graphics card's memory, says so when they can be drawn again.
    this.base.oncontextrestored = this.over.oncontextrestored = () => {
      Object.assign(this, { width: 0, shape: '' });
      this.draw();
    };
    charts.add(this);
    cursor.watch?.(this);
    sizes.observe(this.host);
  }

  remove() {
    sizes.unobserve(this.host);
    charts.delete(this);
    this.host.remove();
  }

  /** Follows the box's size and the screen's pixel ratio. Returns whether there is anything to draw on. @this {any} */
  fit() {
    const { width, height } = this.size ?? {};
    const ratio = devicePixelRatio;
    if (!width) return false;
    if (width !== this.width || height !== this.height || ratio !== this.ratio) {
      Object.assign(this, { width, height, ratio });
      for (const canvas of [this.base, this.over]) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        // A new size takes all of this away, and nothing else does.
        const pen = canvas.pen ??= canvas.getContext('2d');
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        pen.font = `${type.size}px ${type.family}`;
        pen.lineJoin = 'round';
      }
    }
    return true;
  }

  /** @this {any} */
  begin(canvas) {
    const { pen } = canvas;
    pen.clearRect(0, 0, this.width, this.height);
    return pen;
  }

  /** The columns to draw: as they are, or several slots in one where there are more slots than pixels. @this {any} */
  gather(data, plot) {
    const bucket = Math.max(1, Math.ceil(data.count / (plot * 1.5)));
    const n = Math.ceil(data.count / bucket);
    const join = (values, how) => {
      if (!values || bucket === 1) return values;
      const out = new Float32Array(n).fill(NaN);
      for (let i = 0; i < n; i++) {
        let sum = NaN, some = 0;
        for (let j = i * bucket; j < Math.min(data.count, (i + 1) * bucket); j++) {
          if (values[j] !== values[j]) continue;
          some++;
          sum = some === 1 ? values[j] : how ? how(sum, values[j]) : sum + values[j];
        }
        out[i] = how ? sum : sum / some;
      }
      return out;
    };
    this.lines = this.wanted.map((line) => {
      const { v, lo, hi } = data.series.get(line.key);
      const band = lo && hi;
      return { ...line, v: join(v), lo: join(band ? lo : bucket > 1 ? v : null, Math.min), hi: join(band ? hi : bucket > 1 ? v : null, Math.max) };
    });
    const seconds = data.step * bucket;
    Object.assign(this, { n, seconds, reach: GAP * data.step, start: data.start, first: data.start + (bucket - 1) * data.step / 2, end: data.end, offset: data.offset });
    if (!this.spec.stack) return;
    // Each layer stands on the ones before it.
    let below = null;
    for (const line of this.lines) {
      const own = line.v;
      line.from = below;
      line.v = own.map((value, i) => value + (below ? below[i] || 0 : 0));
      for (const key of ['lo', 'hi']) line[key] &&= line[key].map((value, i) => value + (below ? below[i] || 0 : 0));
      line.own = own;
      below = line.v;
    }
  }

  /** Chooses the axes: where the box is, and what turns a point's place and value into pixels. @this {any} */
  scale() {
    const { spec, start } = this;
    let low = Infinity, high = -Infinity;
    for (const { v, hi, lo } of this.lines) {
      for (let i = 0; i < this.n; i++) {
        const most = hi ? Math.max(hi[i], v[i]) : v[i], least = lo ? Math.min(lo[i], v[i]) : v[i];
        if (most > high) high = most;
        if (least < low) low = least;
      }
    }
    if (high < low) [low, high] = [0, 1];
    const [bottom, top] = axes[spec.kind](low, high, spec.top?.());
    this.labels = [bottom, (bottom + top) / 2, top].map((value) => ticks[spec.kind](value));
    const left = Math.ceil(Math.max(...this.labels.map((label) => label.length)) * type.letter) + 6;
    const box = { x: left, y: 8, w: this.width - left - 2, h: this.height - 15 - type.size };
    const across = box.w / (this.end - start || 1), zero = box.x + (this.first - start) * across;
    const up = box.h / (top - bottom), floor = box.y + box.h + bottom * up;
    Object.assign(this, { box, bottom, across, x: (i) => zero + i * this.seconds * across, y: (value) => floor - value * up });
  }

  /** The parts of a line between spans without data: lists of places. @this {any} */
  parts(v) {
    const out = [];
    let part = null, last = -1;
    for (let i = 0; i < this.n; i++) {
      if (v[i] !== v[i]) continue;
      if (!part || (i - last) * this.seconds > Math.max(this.reach, this.seconds)) out.push(part = []);
      part.push(last = i);
    }
    return out;
  }

  /** Shades spans without data. @this {any} */
  shade(pen) {
    const { box, x } = this, guide = this.lines[0]?.v;
    if (!guide) return;
    pen.fillStyle = SHADE;
    const shade = (from, to) => to - from > 1 && pen.fillRect(from, box.y, to - from, box.h);
    let edge = box.x;
    this.parts(guide).forEach((part, i) => {
      const from = x(part[0]);
      if (i > 0 || part[0] * this.seconds > this.reach) shade(edge, from);
      edge = x(part[part.length - 1]);
    });
    if (box.x + box.w - edge > this.seconds * this.across * GAP) shade(edge, box.x + box.w);
  }

  /** Adds a line from top to bottom to the path. @this {any} */
  upright(pen, at) {
    pen.moveTo(at, this.box.y);
    pen.lineTo(at, this.box.y + this.box.h);
  }

  /** Draws the grid and its labels. @this {any} */
  grid(pen) {
    const { box, start, end } = this;
    pen.fillStyle = INK;
    pen.strokeStyle = GRID;
    pen.lineWidth = 1;
    pen.textAlign = 'right';
    pen.textBaseline = 'middle';
    pen.beginPath();
    this.labels.forEach((label, i) => {
      const at = Math.round(box.y + box.h * (1 - i / 2)) + 0.5;
      pen.moveTo(box.x, at);
      pen.lineTo(box.x + box.w, at);
      pen.fillText(label, box.x - 5, at);
    });
    pen.textAlign = 'center';
    pen.textBaseline = 'alphabetic';
    const wall = start + this.offset;
    for (const [at, label] of times(wall, end - start || 1, box.w)) {
      const over = Math.round(box.x + (at - wall) * this.across) + 0.5;
      this.upright(pen, over);
      const half = label.length * type.letter / 2;
      if (over - half >= 0 && over + half <= this.width) pen.fillText(label, over, this.height - 4);
    }
    pen.stroke();
  }

  /** Bands, areas and lines; stacked layers from the top down, so that none hides another's line. @this {any} */
  trace(pen, data) {
    const { spec, box, x, y } = this, floor = y(this.bottom);
    pen.save();
    pen.beginPath();
    pen.rect(box.x, box.y - 1, box.w, box.h + 2);
    pen.clip();
    const many = spec.thin;
    for (const { v, lo, hi, from, color } of spec.stack ? this.lines.slice().reverse() : this.lines) {
      pen.fillStyle = pen.strokeStyle = color;
      for (const part of this.parts(v)) {
        const trace = (values) => {
          for (const at of part) pen.lineTo(x(at), y(values[at] || 0));
        };
        const back = (values) => {
          for (let i = part.length - 1; i >= 0; i--) pen.lineTo(x(part[i]), y(values[part[i]] || 0));
        };
        if (lo && hi && !many) {
          pen.globalAlpha = spec.stack ? 0.16 : 0.28;
          pen.beginPath();
          trace(hi);
          back(lo);
          pen.fill();
        }
        pen.globalAlpha = many ? 0.75 : 1;
        pen.lineWidth = many ? 1 : 1.4;
        pen.beginPath();
        pen.moveTo(x(part[0]) - 0.7, y(v[part[0]]));
        trace(v);
        pen.stroke();
        if (many) continue;
        // The area goes on from the line's end; it has its color, so it may cover it.
        pen.globalAlpha = spec.stack ? 0.55 : 0.13;
        if (from) back(from);
        else {
          pen.lineTo(x(part[part.length - 1]), floor);
          pen.lineTo(x(part[0]), floor);
        }
        pen.fill();
      }
    }
    pen.globalAlpha = 1;
    const flag = spec.flag && data.series.get(spec.flag)?.v;
    if (flag) {
      pen.fillStyle = ALERT;
      const wide = box.w / data.count;
      for (let i = 0; i < data.count; i++) if (flag[i] > 0) pen.fillRect(box.x + i / (data.count - 1) * box.w - wide, box.y + box.h - 3, wide + 0.5, 3);
    }
    pen.restore();
  }

  /** Names a beginning without samples, and marks the machine's start. @this {any} */
  mark(pen) {
    const { box, x, start } = this;
    // A stretch at the beginning that nobody has sampled, when the words fit into it.
    const begin = (this.lines[0]?.v ?? []).findIndex((value) => value === value);
    this.empty = '';
    if (begin > 0) {
      const wall = start + this.offset + begin * this.seconds, edge = x(begin);
      const words = this.empty = `no samples before ${this.end - start > 90000 ? `${clock(wall, 86400)} ` : ''}${clock(wall, 60)}`;
      pen.fillStyle = INK;
      pen.textAlign = 'center';
      if (words.length * type.letter < edge - box.x - 8) pen.fillText(words, (box.x + edge) / 2, box.y + box.h / 2 - 5);
    }

    // The machine started here: before it, the clock that the axis counts on did not exist.
    if (start < 0) {
      const at = Math.round(box.x - start * this.across) + 0.5;
      pen.strokeStyle = pen.fillStyle = MARK;
      pen.setLineDash([3, 3]);
      pen.beginPath();
      this.upright(pen, at);
      pen.stroke();
      pen.setLineDash([]);
      const left = at + 9 * type.letter > box.x + box.w;
      pen.textAlign = left ? 'right' : 'left';
      pen.fillText('reboot', left ? at - 4 : at + 4, box.y + 10);
    }
  }

  /** Returns whether anything that the lower canvas shows has changed since this was last asked. @this {any} */
  stale(data) {
    const { spec, width, height, ratio } = this;
    this.wanted = spec.series().filter((line) => data.has(line.key));
    let shape = `${data.version} ${width} ${height} ${ratio} ${spec.kind} ${spec.top?.()} ${cursor.marks}`;
    for (const { key, label, color } of this.wanted) shape += ` ${key} ${label} ${color}`;
    return this.shape !== shape && Boolean(this.shape = shape);
  }

  /** @this {any} */
  draw() {
    const started = timing && performance.now();
    const data = this.spec.data();
    if (!link.loaded || !(data.count > 0) || !this.fit()) return;
    if (!this.stale(data)) return cursor.cross?.(this);
    this.gather(data, this.width);
    this.scale();
    const pen = this.begin(this.base);
    this.shade(pen);
    this.grid(pen);
    this.trace(pen, data);
    this.mark(pen);
    this.describe(data);
    cursor.annotate?.(this, pen);
    cursor.cross?.(this);
    if (timing) timing.draw.push(performance.now() - started);
  }

  describe(data) {
    const parts = this.lines.slice(0, 6).map((line) => `${line.label} ${show(this.spec.kind, data.last(line.key))}`);
    const label = `${this.spec.name}, the last ${span((data.count - 1) * data.step)}: ${join(parts.join(', ') || 'no data', this.empty)}`;
    if (label !== this.label) this.base.setAttribute('aria-label', this.label = label);
  }
}
