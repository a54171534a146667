// The dialog: a card in large, live for as long as it is open, with an address of its own.

import { cardOf, collectorsOf, table, wording } from './cards.js';
import { place } from './crosshair.js';
import { DETAILS, Heat, summary } from './details.js';
import { link, round } from './link.js';
import { past, runbook, runbookOf } from './past.js';
import { address, beside, recall, timeline, travel } from './timeline.js';
import { byId, clock, el, format, say, show } from './text.js';

const dialog = byId('dialog');
const view = { card: null, charts: [], parts: [] };
/** The collectors that the open dialog shows. */
export const opened = () => (view.card ? collectorsOf(view.card) : []);

/** A part of the dialog that may be wider than the screen: it scrolls by itself, by keyboard too. */
const wide = (label, node) => el('div', { class: 'wide', role: 'region', 'aria-label': label, tabindex: '0' }, node);

/** Something like a card, for a section of /json that no card shows. */
const other = (id) => typeof link.json[id] === 'object' && { id, title: id, also: [id], absent: () => '', button: byId(`open-${id}`) };

/** Opens the dialog of a card; `deep` if the address says so already. */
export function openDialog(id, deep) {
  const card = cardOf(id) ?? other(id);
  if (!card || view.card?.id === card.id) return;
  if (view.leaving) {
    view.next = id;
    return;
  }
  if (view.card) {
    dialog.close();
    shut();
  }
  const { charts = [], large, things: inner } = DETAILS[card.id] ?? {};
  view.card = card;
  view.pushed = !deep;
  beside.card = card.id;
  if (!deep) history.pushState(null, '', address());
  say(byId('dialog-title'), card.title);
  const body = byId('dialog-body');
  body.replaceChildren();
  view.parts = [];
  const absent = el('p', 'absent');
  absent.fill = () => {
    const reason = card.absent() || (link.moment && card.nowhere) || '';
    say(absent, reason);
    absent.hidden = !reason;
  };
  const add = (part, node = part) => {
    view.parts.push(part);
    body.append(node);
  };
  add(absent);
  add(wrong(card));
  for (const part of (!(link.moment && card.nowhere) && large?.()) || []) add(part, part.tagName === 'TABLE' ? wide(card.title, part) : part);
  dialog.showModal();
  // Not the attribute autofocus: browsers ignore it in a frame of another site.
  byId('close').focus();
  view.charts = [];
  [card.chart, ...charts].filter(Boolean).forEach((spec, i) => {
    const chart = new Heat({ ...spec, large: true, size: i === 0 ? 'large' : 'middle' });
    const part = el('section', 'figure', el('h3', '', spec.name), chart.host);
    const stats = table(`${spec.name} over the shown range`, [['Series', 'w'], [link.moment ? `at ${clock(link.moment, 60)}` : 'now', 'n'], ['min', 'n'], ['avg', 'n'], ['max', 'n'], ['p95', 'n']]);
    part.append(wide(`${spec.name}, statistics`, stats));
    part.fill = () => {
      const lines = spec.series().filter((one) => spec.data().has(one.key));
      part.hidden = !lines.length || spec.only?.() === false;
      stats.fill(lines.map((one) => {
        const found = summary(spec.data(), one.key) ?? {};
        return [one.label, ...['now', 'min', 'avg', 'max', 'p95'].map((key) => show(spec.kind, found[key]))];
      }));
      lines.forEach((one, i) => { stats.tBodies[0].rows[i].cells[0].style.borderColor = one.color; });
      chart.draw();
    };
    view.charts.push(chart);
    add(part);
  });
  // What no series has is of now.
  if (inner && !link.moment) {
    const [title, columns, rows] = inner;
    const things = table(title, columns);
    const fill = things.fill;
    things.fill = () => fill(rows());
    body.append(el('h3', '', title));
    add(things, wide(title, things));
  }
  for (const [i, name] of collectorsOf(card).entries()) {
    // What a machine need not have.
    if (i && !link.sections.has(name)) continue;
    const part = el('section', 'raw', el('h3', '', `Raw, of now: /json?collect[]=${name}`));
    part.fill = () => fillRaw(part, name, link.json[name]);
    add(part);
  }
  dialog.scrollTop = 0;
  update();
  if (link.loaded && !link.busy) round();
}

/** What is wrong with a card's things, what to do about it, and the way to the moment when it began. */
function wrong(card) {
  const part = el('div');
  part.fill = () => {
    const items = (link.json.verdicts?.items ?? []).filter((one) => (cardOf(one.card)?.id ?? one.card) === card.id);
    const shape = JSON.stringify(items.map((one) => [one.rule, one.state, one.title, Boolean(runbookOf(one.rule))]));
    if (part.shape !== shape) {
      part.shape = shape;
      part.replaceChildren(...items.map((one) => {
        const begin = link.json.time - one.since_seconds;
        const look = el('button', { type: 'button', class: 'act' }, `Look at ${clock(begin, 60)}`);
        look.addEventListener('click', () => closeDialog(() => travel(begin, undefined, false, one.rule)));
        const book = runbookOf(one.rule);
        return el('section', `wrong ${one.state === 'resolved' ? 'past' : one.severity}`, el('h3'), el('p'), el('p', '', el('b', '', 'What to do: '), `${one.fix}.`), book && runbook(book), look);
      }));
    }
    items.forEach((one, i) => {
      const { title, detail } = wording(one);
      const [head, words] = part.children[i].children;
      say(head, title);
      say(words, detail);
    });
  };
  return part;
}

/** A button for what the agent measures and no card shows, so that nothing it knows is out of reach. */
function others() {
  const names = [...link.sections].filter((name) => !cardOf(name) && typeof link.json[name] === 'object' && !['verdicts', 'events'].includes(name));
  const node = byId('others');
  if (node.shape === names.join()) return;
  node.shape = names.join();
  node.hidden = !names.length;
  node.replaceChildren(node.firstChild, ...names.map((name) => {
    const button = el('button', { type: 'button', id: `open-${name}`, 'aria-haspopup': 'dialog' }, name);
    button.addEventListener('click', () => openDialog(name));
    return button;
  }));
}

/** Brings up to date what this part of the page shows. */
export function update() {
  others();
  past();
  timeline();
  for (const part of view.parts) part.fill();
}

/** Every object and list of a collector's section as a table, whatever it holds. */
function fillRaw(part, name, section) {
  const flat = (value, prefix = '') => Object.entries(value).flatMap(([key, inner]) => {
    if (Array.isArray(inner)) return [];
    return inner !== null && typeof inner === 'object' ? flat(inner, `${prefix}${key} `) : [[prefix + key, typeof inner === 'number' ? format.count(inner) : String(inner)]];
  });
  const tables = [];
  for (const [key, rows] of Object.entries(section ?? {})) {
    if (!Array.isArray(rows) || !rows.length) continue;
    const flats = rows.map((row) => new Map(flat(row)));
    const columns = [...new Set(flats.flatMap((row) => [...row.keys()]))];
    tables.push([key, columns.map((column, i) => [column.replaceAll('_', ' '), i ? 'n' : '']), flats.map((row) => columns.map((column) => row.get(column) ?? '–'))]);
  }
  const plain = flat(section ?? {});
  if (plain.length) tables.push(['values', [['name', ''], ['value', 'n']], plain.map(([key, value]) => [key.replaceAll('_', ' '), value])]);
  const shape = JSON.stringify(tables.map(([key, columns]) => [key, columns.map(([title]) => title)]));
  if (part.shape !== shape) {
    part.shape = shape;
    part.tables = tables.map(([key, columns]) => table(`${name} ${key}`, columns));
    part.replaceChildren(part.firstChild, ...(tables.length ? part.tables.map((node, i) => wide(`${name} ${tables[i][0]}`, node)) : [el('p', 'absent', 'The agent has no such section on this machine.')]));
  }
  tables.forEach(([, , rows], i) => part.tables[i].fill(rows));
}

/** Takes the dialog's parts apart and puts the focus back on its card. */
function shut() {
  const { card } = view;
  view.card = beside.card = null;
  for (const chart of view.charts) chart.remove();
  view.charts = view.parts = [];
  byId('dialog-body').replaceChildren();
  place(null, false);
  card?.button?.focus();
}

/** Closes the dialog, then does what `next` says. */
function closeDialog(next) {
  if (!view.card) return;
  dialog.close();
  shut();
  view.after = next;
  if (view.pushed) {
    view.leaving = true;
    history.back();
  } else {
    history.replaceState(null, '', address());
    next?.();
  }
}

dialog.addEventListener('cancel', (event) => {
  event.preventDefault();
  closeDialog();
});
// The browser may close it without asking; by then another one may be open.
dialog.addEventListener('close', () => dialog.open || closeDialog());
dialog.addEventListener('click', (event) => {
  const box = dialog.getBoundingClientRect();
  const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
  if (event.target === dialog && !inside) closeDialog();
});
byId('close').addEventListener('click', () => closeDialog());

/** The address decides which dialog is open: for links, and for back and forward. */
export function follow() {
  const { next, after, leaving } = view;
  view.leaving = view.next = view.after = null;
  const words = new URLSearchParams(location.hash.slice(1));
  recall(words);
  const id = next ?? [...words.keys()].find((key) => key !== 't' && key !== 'r') ?? '';
  if (leaving) after?.();
  if (id === (view.card?.id ?? '')) return;
  if (view.card) {
    dialog.close();
    shut();
  }
  if (id) openDialog(id, !next);
}
addEventListener('popstate', follow);
