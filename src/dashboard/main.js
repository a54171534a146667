// Puts the page together and keeps it up to date.

const NAMES = { live: '◆', paused: '‖', loading: '◇', stale: '▲', down: '■' };
const SIGNS = { critical: '■', warning: '▲' };
let spoken = '';
let unfolded = false;
let width = innerWidth;

try {
  const kept = localStorage.getItem('range');
  if (RANGES[kept]) link.range = kept;
} catch { /* private windows may refuse */ }
round(); // the answer is on its way while the page is put together

byId('cards').append(...CARDS.map(makeCard));
family = getComputedStyle(document.body).fontFamily;
{
  const pen = el('canvas').getContext('2d');
  pen.font = `11px ${family}`;
  letter = pen.measureText('0').width;
}

/** Shows everything anew. */
function refresh() {
  const started = timing && performance.now();
  if (link.loaded) {
    header();
    for (const card of CARDS) card.update();
    if (view.card) update();
  }
  status();
  if (timing && link.loaded) timing.render.push(performance.now() - started);
}

function header() {
  const { board, system } = link.json;
  const name = board?.uname?.nodename ?? board?.uname?.node_name ?? location.hostname;
  say(byId('host'), name);
  const about = join(board?.model, system && `up ${span(system.uptime_seconds)}`, board?.os?.pretty_name, board?.uname && `${board.uname.sysname} ${board.uname.release}`);
  say(byId('about'), about);
  mark(byId('about'), 'title', about);
}

/** The one writer of the status, the title, the strip of verdicts and the dialog's foot. */
function status() {
  const { state, pill, text } = health();
  const root = document.documentElement;
  mark(root, 'data-state', state);
  const node = byId('status');
  say(node, `${NAMES[state]} ${pill}`);
  mark(node, 'title', text);
  const host = byId('host').said ?? location.hostname;
  const sign = state === 'live' ? '' : `${NAMES[state]} ${pill} – `;
  if (document.title !== `${sign}${host} – Pi-Monitor`) document.title = `${sign}${host} – Pi-Monitor`;
  const { shown: data } = link;
  say(byId('dialog-status'), join(`${NAMES[state]} ${text}`, known(data.count) && link.loaded && `${span((data.count - 1) * data.step)} in steps of ${span(data.step)}`));
  verdicts(state, text);
}

/** The verdicts in their reserved row: the worst first, the rest behind a button if they do not fit. */
function verdicts(state, text) {
  const strip = byId('verdicts');
  const { items = [], clear_seconds: clear } = link.json.verdicts ?? {};
  const list = [];
  if (state === 'down' || state === 'stale') {
    const [title, detail] = text.split(', ');
    list.push({ severity: state === 'down' ? 'critical' : 'warning', title, detail });
  }
  if (link.loaded) {
    list.push(...items);
    if (!list.length) list.push({ severity: 'clear', title: 'All clear', detail: known(clear) ? `for ${span(clear)}` : '' });
  }
  const fit = Math.max(1, Math.floor(width / 330));
  const cut = !unfolded && list.length > fit ? fit : list.length;
  const rest = list.length - cut;
  const shape = JSON.stringify([list.map((one) => [one.severity, one.rule ? one.title : '', one.card]), cut, unfolded]);
  if (strip.shape !== shape) {
    strip.shape = shape;
    strip.className = unfolded ? 'all' : '';
    const active = document.activeElement?.closest('#verdicts') && document.activeElement.key;
    strip.replaceChildren(...list.slice(0, cut).map((one) => {
      const words = [el('i', { 'aria-hidden': 'true' }, SIGNS[one.severity] ?? '◆'), el('b'), ' ', el('span')];
      const chip = one.card ? el('button', { type: 'button', class: `chip ${one.severity}`, 'aria-haspopup': 'dialog' }, ...words) : el('p', `chip ${one.severity}`, ...words);
      chip.key = one.card && one.rule + one.title;
      if (one.card) chip.addEventListener('click', () => openDialog(one.card));
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
    if (active) [...strip.children].find((chip) => chip.key === active)?.focus();
  }
  list.slice(0, cut).forEach((one, i) => {
    const chip = strip.children[i];
    const since = one.since_seconds > 0 ? `for ${span(one.since_seconds)}` : '';
    const detail = join(one.detail, since);
    say(chip.children[1], one.title);
    say(chip.lastChild, detail);
    mark(chip, 'title', join(one.title, detail));
  });
  for (const card of CARDS) {
    const own = items.filter((one) => one.card === card.id);
    mark(card.node, 'data-alert', own.some((one) => one.severity === 'critical') ? 'critical' : own.length ? 'warning' : null);
  }
  // Spoken only when the set of verdicts changes, never when a number does.
  const words = state === 'down' ? 'No answer from the agent' : link.loaded ? items.map((one) => one.title).join('. ') || 'All clear' : '';
  if (words !== spoken) say(byId('spoken'), spoken = words);
}

function choose(range) {
  link.range = range;
  try {
    localStorage.setItem('range', range);
  } catch { /* private windows may refuse; the choice then lasts as long as the page */ }
  for (const button of document.querySelectorAll('[data-range]')) mark(button, 'aria-pressed', button.dataset.range === range);
  place(null, false);
}

for (const group of document.querySelectorAll('.ranges')) {
  group.append(...Object.keys(RANGES).map((range) => {
    const button = el('button', { type: 'button', 'data-range': range, 'aria-pressed': 'false' }, range);
    button.addEventListener('click', () => {
      choose(range);
      if (!link.paused) resume();
    });
    return button;
  }));
}
choose(link.range);

byId('pause').addEventListener('click', () => {
  link.paused = !link.paused;
  mark(byId('pause'), 'aria-pressed', link.paused);
  say(byId('pause'), link.paused ? 'Resume' : 'Pause');
  clearTimeout(link.timer);
  if (link.paused) link.stop?.abort('changed');
  else resume();
  status();
});

document.addEventListener('visibilitychange', () => {
  clearTimeout(link.timer);
  if (document.hidden) link.stop?.abort('changed');
  else resume();
});

addEventListener('keydown', (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const slots = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (slots && !event.target.closest?.('.wide')) {
    nudge(event.shiftKey ? slots * 10 : slots);
    event.preventDefault();
  }
  if (event.key === 'Escape' && cursor.pinned) {
    place(null, false);
    if (view.card) event.preventDefault();
  }
});
// A tap beside the charts takes the pin away.
addEventListener('pointerdown', (event) => {
  if (cursor.pinned && !event.target.closest('.chart')) place(null, false);
});
addEventListener('resize', () => {
  width = innerWidth;
  status();
  for (const chart of charts) if (chart.ratio && chart.ratio !== devicePixelRatio) chart.draw();
});

setInterval(() => {
  if (!document.hidden) status();
}, 1000);
status();
follow();
