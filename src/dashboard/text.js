// Elements and words: everything that turns values into what a person reads.

/**
 * An element. Children are elements or texts, so no name from the kernel is ever read as markup.
 * @returns {any}
 */
export function el(name, attributes, ...children) {
  const node = document.createElement(name);
  if (typeof attributes === 'string') node.className = attributes;
  else for (const key in attributes) node.setAttribute(key, attributes[key]);
  node.append(...children.filter((child) => child != null));
  return node;
}

/** @returns {any} */
export const byId = (id) => document.getElementById(id);

/** Sets a text, touching the page only when it changes. */
export function say(node, text) {
  if (node.said !== text) node.textContent = node.said = text;
}

/** Sets an attribute, or takes it away when `value` is null. */
export function mark(node, name, value) {
  const marks = node.marks ??= {};
  if (marks[name] === value) return;
  marks[name] = value;
  if (value == null) node.removeAttribute(name);
  else node.setAttribute(name, value);
}

export const known = (value) => typeof value === 'number' && Number.isFinite(value);
const digits = (value) => (Math.abs(value) < 9.95 ? value.toFixed(1) : value.toFixed(0));

export const format = {
  percent: (value) => `${value === 0 ? 0 : digits(value)}%`,
  pressure: (value) => format.percent(value),
  celsius: (value) => `${value.toFixed(1)} °C`,
  hertz: (value) => (value < 1e6 ? `${value.toFixed(0)} Hz` : `${(value / 1e6).toFixed(0)} MHz`),
  load: (value) => value.toFixed(2),
  count: (value) => (Number.isInteger(value) ? String(value) : String(+value.toFixed(3))),
  flag: (value) => (value > 0 ? 'yes' : 'no'),
  /** Powers of 1024, as the kernel counts memory and as `df -h` and `free -h` print. */
  bytes(value) {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
    let at = 0;
    for (; Math.abs(value) >= 1023.5 && at < 5; at++) value = value / 1024;
    return `${at === 0 ? value.toFixed(0) : digits(value)} ${units[at]}`;
  },
  rate: (value) => `${format.bytes(value)}/s`,
};

/** A value in words, or a dash when there is none. */
export const show = (kind, value) => (known(value) ? (format[kind] ?? format.count)(value) : '–');

/** @type {[string, number][]} */
const UNITS = [['d', 86400], ['h', 3600], ['m', 60], ['s', 1]];

/** The two largest units of a time span: `3 h 12 m`. */
export function span(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [unit, size] of UNITS) {
    const whole = Math.floor(rest / size);
    if (whole > 0 || parts.length > 0 || unit === 's') parts.push(`${whole} ${unit}`);
    rest -= whole * size;
  }
  return parts.slice(0, 2).join(' ').replace(/\s0 [hms]$/, '');
}

const two = (value) => String(value).padStart(2, '0');

/** The time of day, with seconds or with the day when the range asks for it. */
export function clock(unix, step) {
  const date = new Date(unix * 1000);
  const day = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'][date.getDay()];
  if (step >= 86400) return `${day} ${date.getDate()}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return step < 60 ? `${time}:${two(date.getSeconds())}` : time;
}

/** A time of day, with its day unless that is today. */
export const moment = (unix) => (new Date(unix * 1000).toDateString() === new Date().toDateString() ? '' : `${clock(unix, 86400)} `) + clock(unix, 1);

export const natural = new Intl.Collator('en', { numeric: true }).compare;

/** What is there of `parts`, with dots between. */
export const join = (...parts) => parts.filter(Boolean).join(' · ');
