// The recent past: one grid of time slots on the machine's since-boot clock, a column of values for each series.

import { known } from './text.js';

/** Points that are farther apart than this many steps are not joined. */
export const GAP = 2.6;
/** Versions that were given to histories: another one for every change. */
let versions = 0;

export class History {
  /** `count` fixes the number of slots; otherwise the first answer does. */
  constructor(count = 0) {
    this.count = count;
    this.series = new Map();
    this.step = this.end = this.offset = this.boot = NaN;
    this.id = this.range = null;
    this.version = ++versions;
  }

  /** Takes an answer of /history, whole or only the newest points. Slots it does not know keep what they had. */
  absorb(answer) {
    const { step, end, boot_id: id } = answer;
    const offset = answer.now - answer.boot;
    this.count ||= answer.count;
    const { count } = this;
    let shift = count;
    if (step === this.step) {
      // After a reboot the clock starts anew; only wall time tells how far apart the two are.
      const apart = id === this.id ? end - this.end : end + offset - this.end - this.offset;
      shift = Math.round(apart / step);
      if (shift < 0 || !known(shift)) shift = count;
    }
    for (const column of this.series.values()) {
      for (const values of [column.v, column.lo, column.hi]) {
        if (!values || shift === 0) continue;
        if (shift < count) values.copyWithin(0, shift);
        values.fill(NaN, Math.max(0, count - shift));
      }
    }
    for (const one of answer.series) {
      const column = this.column(one.name);
      for (const key of ['v', 'lo', 'hi']) {
        // Where average and extremes are the same, only the average is told.
        if (one[key]) column[key] ??= column.v.slice();
        const list = one[key] ?? one.v;
        if (!column[key]) continue;
        const first = count - list.length;
        for (let i = Math.max(0, -first); i < list.length; i++) {
          if (list[i] !== null) column[key][first + i] = list[i] * one.scale;
        }
      }
    }
    Object.assign(this, { step, end, id, offset, boot: answer.boot, version: ++versions });
    return shift > 0;
  }

  column(name) {
    let column = this.series.get(name);
    if (!column) {
      column = { v: new Float32Array(this.count).fill(NaN) };
      this.series.set(name, column);
    }
    return column;
  }

  /** Forgets series that have no value in the whole range any more. */
  prune() {
    for (const [name, column] of this.series) if (column.v.every(Number.isNaN)) this.series.delete(name);
    this.version = ++versions;
  }

  has(name) {
    return this.series.has(name);
  }

  get start() {
    return this.end - (this.count - 1) * this.step;
  }

  /** The value of a series at a time of the Unix epoch, or of a neighboring slot. */
  at(name, unix) {
    const v = this.series.get(name)?.v, i = Math.round((unix - this.offset - this.start) / this.step);
    return [i, i - 1, i + 1].map((at) => v?.[at]).find(known) ?? NaN;
  }

  /** The newest value, unless it is older than what a line would bridge. */
  last(name) {
    const v = this.series.get(name)?.v;
    for (let i = 1; v && i <= GAP + 1; i++) if (known(v[this.count - i])) return v[this.count - i];
    return NaN;
  }
}
