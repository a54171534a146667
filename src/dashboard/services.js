// What services and containers use: the table of their card, and the larger one of its dialog.

import { cardOf, table } from './cards.js';
import { link } from './link.js';
import { el, join, say, show } from './text.js';

/** From this share of its limit on, a service will soon be short of memory; how many the card has room for. */
const SCARCE = 0.9, ROOM = 5;
/** What the agent said last, when, and how much CPU each service used since the time before. */
const used = { list: null, at: NaN, cpu: new Map() };

/** All services with what they use now: those in trouble first, then those that use most. */
function allServices() {
  const list = link.json.services?.services ?? [];
  if (list !== used.list) {
    const seconds = link.uptime - used.at;
    used.cpu = new Map(list.map((one) => {
      const old = used.list?.find((other) => other.service === one.service && other.kind === one.kind);
      const change = one.cpu_seconds - old?.cpu_seconds;
      return [one, change >= 0 ? change / seconds * 100 : NaN];
    }));
    used.list = list;
    used.at = link.uptime;
  }
  return list.map((one) => {
    const share = one.memory_bytes / one.memory_limit_bytes, killed = one.memory_events?.oom_kill;
    const [rank, words] = killed > 0 ? [3, `▲ killed ${killed}×`] : share >= SCARCE ? [2, '▲ near limit'] : one.restarts > 0 ? [1, `restarted ${one.restarts}×`] : [0, 'running'];
    return { ...one, share, rank, words, cpu: used.cpu.get(one) };
  }).sort((a, b) => b.rank - a.rank || (b.cpu || 0) - (a.cpu || 0) || (b.memory_bytes || 0) - (a.memory_bytes || 0));
}

/** The first `most` as a table. */
export function serviceTable(most) {
  const node = table('Services and containers', [['Service', 'w'], ['State', 'e'], ['CPU', 'n'], ['Memory', 'n'], ['Limit', 'n']]);
  const { fill } = node;
  node.fill = () => fill(allServices().slice(0, most).map((one) => [one.service, one.words, show('percent', one.cpu), show('bytes', one.memory_bytes), show('percent', one.share * 100)]));
  return node;
}

{
  const card = cardOf('services'), room = card.node.querySelector('.services');
  const list = serviceTable(ROOM), note = el('p', 'note one');
  room.append(list, note);
  room.fill = () => {
    list.fill();
    const { memory_accounting: counted, left_out: more } = link.json.services;
    const rest = Math.max(0, used.list.length - ROOM) + more;
    say(note, join(rest > 0 && `+${rest} more`, counted === 0 && 'this kernel does not count their memory'));
  };
  card.sub = () => `${allServices().length} running`;
}
