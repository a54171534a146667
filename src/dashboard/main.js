// Puts the page together and keeps it up to date.

import { CARDS, SHORT, cardOf, makeCard, wording } from './cards.js';
import { charts, timing, type } from './chart.js';
import { RANGES, health, hurry, link, rest, resume, start } from './link.js';
// @ts-expect-error: build.rs makes a call of it from import('./more.js').
import { load } from './load.js';
import { byId, el, join, known, mark, moment, say, span } from './text.js';

const NAMES = { live: '◆', paused: '‖', loading: '◇', stale: '▲', down: '■' };
const SIGNS = { critical: '■', warning: '▲' };
const TRY = 'Try now';
const root = document.documentElement;
const [host, about, lacks, pill, foot, strip, voice, pause] = ['host', 'about', 'lacks', 'status', 'dialog-status', 'verdicts', 'spoken', 'pause'].map(byId);
let spoken = '', titled = '';
let unfolded = false;
let width = innerWidth;
/** The second part of the page (more.js), once it is here; the card that is to be opened then; and why it does not come. */
let more = null, wanted = null, outdated = null, coming = false;

try {
  const kept = localStorage.getItem('range');
  if (RANGES[kept]) link.range = kept;
} catch { /* private windows may refuse */ }
const asked = (pace) => CARDS.flatMap((card) => card[pace] ?? []);
// The answer is on its way while the page is put together.
start({ changed: refresh, more: second, open: () => more?.opened() ?? [], hot, often: asked('often'), seldom: asked('seldom') });

for (const card of CARDS) makeCard(card, open);
const network = cardOf('network'), thermal = cardOf('thermal');
const narrow = matchMedia('(max-width: 700px)');
/** Puts the cards in their order: as on the screen, so for the keyboard. */
function arrange() {
  const rank = (card) => (narrow.matches ? SHORT.indexOf(card.id) >>> 0 : 0);
  byId('cards').append(...[...CARDS].sort((a, b) => rank(a) - rank(b)).map((card) => card.node));
}
arrange();
narrow.addEventListener('change', arrange);
type.family = getComputedStyle(document.body).fontFamily;
{
  const pen = el('canvas').getContext('2d');
  type.size = parseFloat(getComputedStyle(document.documentElement).fontSize) * 11 / 16;
  pen.font = `${type.size}px ${type.family}`;
  type.letter = pen.measureText('0').width;
}

/** Fetches the second part, unless it is here. */
async function second() {
  if (more) {
    await more.recent();
    await more.consult();
  }
  if (more || outdated || coming) return;
  coming = true;
  try {
    more = await import('./more.js');
  } catch (error) {
    // Without an answer, the next round tries again.
    if (error.kind === 'version' || error.status === 404) outdated = 'the agent has another version';
    else if (!error.kind) throw error;
  } finally {
    coming = false;
  }
  more?.follow();
  if (wanted) more?.openDialog(wanted);
}

/** The slow collectors of cards with a verdict: they have to be as current as it is. */
function hot() {
  return CARDS.flatMap((card) => (card.node.getAttribute('data-alert') && card.seldom) || []);
}

/** Opens a card's dialog. */
function open(id) {
  wanted = id;
  if (more) more.openDialog(id);
  else second();
}

/** Shows everything anew. */
function refresh() {
  const started = timing && performance.now();
  if (link.loaded) {
    // Before any text changes: a label in a canvas makes the browser compute the style of all that has changed until then. What is
    // drawn here is not drawn again below.
    for (const chart of charts) chart.draw();
    header();
    for (const card of CARDS) card.update();
    const titles = CARDS.filter((card) => card.node.hidden).map((card) => card.title);
    if (!link.json.wifi && !network.node.hidden) titles.push('Wi-Fi');
    if (!link.fine.has('temperature') && !thermal.node.hidden) titles.push('temperature');
    lacks.hidden = !titles.length;
    say(lacks, `Not on this machine: ${titles.join(', ')}`);
    more?.update();
  }
  status();
  if (timing && link.loaded) timing.render.push(performance.now() - started);
}

function header() {
  const { board, system } = link.json;
  say(host, board?.uname?.nodename ?? location.hostname);
  const there = more?.there(link.moment ?? link.json.time);
  const text = link.moment ? join(`Showing ${moment(link.moment)}`, there) : join(board?.model, system && `up ${span(system.uptime_seconds)}`, there, board?.os?.pretty_name, board?.uname && `${board.uname.sysname} ${board.uname.release}`);
  say(about, text);
  mark(about, 'title', text);
}

/** The buttons of the ranges. @type {any[]} */
const choices = [];

/** The one writer of the status, the title, the strip of verdicts and the dialog's foot. */
function status() {
  const { state, pill: word, text, remedy } = health();
  mark(root, 'data-state', state);
  say(pill, `${NAMES[state]} ${word}`);
  mark(pill, 'title', text);
  const sign = state === 'live' ? link.moment ? `${moment(link.moment)} – ` : '' : `${NAMES[state]} ${word} – `;
  const title = `${sign}${host.said ?? location.hostname} – Pi-Monitor`;
  if (title !== titled) document.title = titled = title;
  const { shown: data } = link;
  say(foot, join(`${NAMES[state]} ${text}`, known(data.count) && link.loaded && `${span((data.count - 1) * data.step)} in steps of ${span(data.step)}`));
  // A stretch that was dragged is none of the ranges.
  for (const button of choices) mark(button, 'aria-pressed', !link.view && button.range === link.range);
  verdicts(state, text, remedy);
}

/** The verdicts in their reserved row: the worst first, the rest behind a button if they do not fit. */
function verdicts(state, text, remedy) {
  const { items = [], clear_seconds: clear } = link.json.verdicts ?? {};
  const list = [];
  if (state === 'down' || state === 'stale') {
    const [title, detail] = text.split(', ');
    list.push({ severity: state === 'down' ? 'critical' : 'warning', title, detail, action: remedy ?? (link.failure ? TRY : null) });
  }
  if (outdated) list.push({ severity: 'warning', title: 'This page is out of date', detail: outdated, action: 'Reload' });
  if (link.loaded) {
    list.push(...items);
    if (!list.length) list.push({ severity: 'clear', title: 'All clear', detail: known(clear) ? `for ${span(clear)}` : '' });
  }
  const fit = Math.max(1, Math.floor(width / 330));
  const cut = !unfolded && list.length > fit ? fit : list.length;
  const rest = list.length - cut;
  const shape = JSON.stringify([list.map((one) => [one.severity, one.state, one.rule ? one.title : '', one.card, one.action]), cut, unfolded]);
  if (strip.shape !== shape) {
    strip.shape = shape;
    strip.className = unfolded ? 'all' : '';
    const active = document.activeElement?.closest('#verdicts') && document.activeElement.key;
    strip.replaceChildren(...list.slice(0, cut).map((one) => {
      const past = one.state === 'resolved';
      const look = `chip ${past ? 'past' : one.severity}`;
      const words = [el('i', { 'aria-hidden': 'true' }, past ? '◇' : SIGNS[one.severity] ?? '◆'), el('b'), ' ', el('span')];
      const card = one.card && (cardOf(one.card)?.id ?? one.card);
      const chip = card ? el('button', { type: 'button', class: look, 'aria-haspopup': 'dialog' }, ...words) : el('p', look, ...words);
      if (card) {
        chip.key = one.rule + one.title;
        chip.addEventListener('click', () => open(card));
      }
      if (one.action) {
        const button = el('button', { type: 'button', class: 'act' }, one.action);
        button.key = one.action;
        // A reload lets the browser ask for a name and a password.
        button.addEventListener('click', one.action === TRY ? hurry : () => location.reload());
        chip.classList.add('acting');
        chip.append(button);
      }
      return chip;
    }));
    if (rest || unfolded) {
      const more = el('button', { type: 'button', class: 'chip more', 'aria-expanded': String(unfolded) }, unfolded ? 'less' : `+${rest} more`);
      more.key = 'more';
      more.addEventListener('click', () => {
        unfolded = !unfolded;
        status();
      });
      strip.append(more);
    }
    if (active) [...strip.querySelectorAll('button')].find((button) => button.key === active)?.focus();
  }
  list.slice(0, cut).forEach((one, i) => {
    const chip = strip.children[i];
    const { title, detail } = wording(one);
    say(chip.children[1], title);
    say(chip.children[2], detail);
    mark(chip, 'title', join(title, detail, one.fix));
  });
  const worst = new Map();
  for (const { card, state: now, severity } of items) {
    const its = card && now !== 'resolved' && !link.moment && cardOf(card);
    // The worst comes first.
    if (its && !worst.has(its)) worst.set(its, severity);
  }
  for (const card of CARDS) mark(card.node, 'data-alert', worst.get(card));
  // Spoken only when the set of verdicts changes, never when a number does.
  const words = state === 'down' ? 'No answer from the agent' : link.loaded ? items.map((one) => one.title).join('. ') || 'All clear' : '';
  if (words !== spoken) say(voice, spoken = words);
}

function choose(range) {
  link.range = range;
  try {
    localStorage.setItem('range', range);
  } catch { /* private windows may refuse; the choice then lasts as long as the page */ }
  more?.ranged();
}

for (const group of document.querySelectorAll('.ranges')) {
  group.append(...Object.keys(RANGES).map((range) => {
    const button = el('button', { type: 'button', 'data-range': range, 'aria-pressed': 'false' }, range);
    button.range = range;
    choices.push(button);
    button.addEventListener('click', () => {
      choose(range);
      resume();
    });
    return button;
  }));
}
choose(link.range);

pause.addEventListener('click', () => {
  link.paused = !link.paused;
  mark(pause, 'aria-pressed', link.paused);
  say(pause, link.paused ? 'Resume' : 'Pause');
  if (link.paused) rest();
  else resume();
  status();
});

document.addEventListener('visibilitychange', () => {
  if (document.hidden) rest();
  else if (!link.paused) resume();
});
// A person is back, or the network: no reason to wait for the next turn. Where a name and a password are asked for, a try
// would only bring the browser's question again.
const again = () => link.failure && link.failure.status !== 401 && !link.paused && hurry();
addEventListener('online', again);
addEventListener('focus', () => link.busy || again());

addEventListener('resize', () => {
  width = innerWidth;
  status();
  for (const chart of charts) if (chart.ratio && chart.ratio !== devicePixelRatio) chart.draw();
});

setInterval(() => {
  if (!document.hidden) status();
}, 1000);
status();
window.piMonitor = true;
