// How the disks are, and what the doctor says.

import { cardOf, disks, level, limit, mounts } from './cards.js';
import { ask, link } from './link.js';
import { clock, el, join, known, show } from './text.js';

/** Fills a list with rows: how bad, of what, and texts. */
function list(node, rows) {
  const shape = JSON.stringify(rows);
  if (node.shape === shape) return;
  node.shape = shape;
  node.replaceChildren(...rows.map(([state, title, ...texts]) => el('li', '', el('b', state, title), ...texts.filter(Boolean).map((text) => el('span', { title: text }, text)))));
}

const YEAR = 31557600;
const day = (unix) => (unix ? new Date(unix * 1000).toISOString().slice(0, 10) : '');

/** What there is to say of the disks, as rows; the worst, in a word, is the card's big number. */
function storage() {
  const { storage: { cards = [], filesystems = [] } = {}, nvme, mdraid } = link.json;
  const rows = cards.map(({ type, name, age_seconds: age, life_used_ratio: life, pre_eol_state: spares }) => {
    const used = Math.max(life?.a ?? 0, life?.b ?? 0);
    return [used > 1 || spares > 2 ? 'critical' : used >= 0.9 || spares > 1 ? 'warning' : '', type === 'MMC' ? 'eMMC' : type, join(name, known(age) && `${(age / YEAR).toFixed(1)} years`, life && `${used * 100}% worn`, spares > 1 && 'few spare blocks')];
  });
  for (const { model, live } of nvme?.controllers ?? []) rows.push([live ? '' : 'critical', 'NVMe', join(model, live ? '' : 'does not work')]);
  for (const { array, active, disks: { active: there, missing, failed }, action, progress_percent: done } of mdraid?.arrays ?? []) {
    // A container of arrays is none. Some makers create arrays with more places than they ever fill.
    if (known(active)) rows.push([active && !failed && (!missing || there < missing) ? '' : 'critical', array, join(active ? `${there} of ${there + missing} disks` : 'does not work', known(done) && `${Object.keys(action).find((key) => action[key])} ${show('percent', done)}`)]);
  }
  // The others are small.
  const [most] = [...filesystems].sort((a, b) => (b.lifetime_written_bytes ?? 0) - (a.lifetime_written_bytes ?? 0));
  if (most?.lifetime_written_bytes) rows.push(['', 'written', join(show('bytes', most.lifetime_written_bytes), known(most.written_per_day_bytes) && `${show('bytes', most.written_per_day_bytes)} a day`)]);
  const bad = filesystems.filter((one) => one.errors > 0);
  for (const { device, errors, first_error_seconds: from, last_error_seconds: to } of bad) rows.push(['warning', 'errors', `${errors} on ${device}, ${day(from)} to ${day(to)}`]);
  if (!bad[0] && most) rows.push(['', 'ext4 errors', 'none']);
  const [slow] = disks().map(({ name, row }) => [row.disk_worst_average_seconds, name]).filter(([wait]) => known(wait)).sort((a, b) => b[0] - a[0]);
  if (slow) rows.push(['', 'worst average', `${(slow[0] * 1000).toFixed(0)} ms in 2 min · ${slow[1]}`]);
  return rows;
}

const disk = cardOf('filesystems');
const lines = disk.node.querySelector('.facts');
lines.fill = () => list(lines, storage());
disk.value = () => {
  const rows = storage();
  const space = mounts().map(({ device_error: hangs, percent, nodes }) => [hangs ? 'critical' : level(Math.max(percent, nodes), limit('disk_full')), hangs ? 'stalled' : `${Math.max(percent, nodes)}%`]);
  const [worst = ['']] = [...space, ...rows].sort((a, b) => Number(b[0] === 'critical') - Number(a[0] === 'critical') || Number(b[0] > '') - Number(a[0] > ''));
  // Where nothing counts errors, nothing is known to be well.
  return worst[0] ? [worst[1], worst[0]] : [rows.length ? 'ok' : '', ''];
};

/** Milliseconds after which the doctor is asked again, also where the verdicts are the same. */
const SOON = 60000, LATE = 600000;
/** What the doctor said, when, and of which verdicts. */
let answer = null, when = -LATE, at = 0, about = '';
/** The receivers of messages. */
let told = [];

/** Asks the doctor, which reads much. */
export async function consult() {
  const age = performance.now() - when, rules = link.json.verdicts?.items?.map((one) => one.rule + one.state).join();
  if (age < SOON || (age < LATE && rules === about)) return;
  when = performance.now();
  about = rules;
  at = link.json.time;
  told = (await ask('json?collect[]=agent')).agent?.receivers ?? [];
  answer = await ask('doctor').catch((error) => (error.kind === 'http' ? { error } : Promise.reject(error)));
}

/** The doctor's findings, each with its fix. `most`: how many there is room for; without it, all that it said. */
export function report(most, node = el('ul', 'findings')) {
  node.fill = () => {
    const { findings = [], not_seen: unseen = [], looked_at: looked = [], error } = answer ?? {};
    const rows = findings.slice(0, most).map((one) => [one.severity, one.title, !most && one.detail, `${one.fix}.`]);
    const names = `Looked at ${looked.join(', ').replaceAll('_', ' ')}.`;
    if (error) rows.push(['', `No answer: ${error.message}`]);
    else if (answer && (!most || !rows.length)) rows.push(['', rows.length ? 'Nothing else found' : 'Nothing found', names]);
    if (!most) for (const { receiver, notifications: { sent, failed }, notifications_last_seconds: last } of told) rows.push(['', receiver, join(`${sent} sent`, last && `last ${clock(last, 60)}`, failed && `${failed} failed`)]);
    if (!most) rows.push(...unseen.map((one) => ['', `Could not be checked: ${one.title}`, one.detail, `${one.fix}.`]));
    else rows.push(['', '', join(findings[most] && `+${findings.length - most} more`, unseen[0] && `${unseen.length} could not be checked`)]);
    list(node, rows);
  };
  return node;
}

const doctor = cardOf('doctor');
report(2, doctor.node.querySelector('.findings'));
doctor.value = () => {
  const list = answer?.findings;
  return [!list ? '' : list[0] ? String(list.length) : 'ok', list?.[0]?.severity ?? ''];
};
doctor.sub = () => (answer?.looked_at ? `looked at ${clock(at, 60)}` : '');
