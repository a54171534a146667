// The crosshair: one line through all charts, moved by mouse, finger and arrow keys.

import { GRID, INK, MARK, charts, cursor, timing, type } from './chart.js';
import { link } from './link.js';
import { byId, clock, known, say, show } from './text.js';

/** Milliseconds without a key press before the crosshair is spoken. */
const SILENCE = 500;
const TEXT = '#dff7f5', CARD = '#0a161d', BAND = '#40e0d040';
/** Pixels that a pressed mouse moves before it drags, and seconds that a dragged stretch has at least. */
const DRAG = 8, LEAST = 20;

/** The slot of a chart where the crosshair stands: the nearest one with a value. */
function slot({ lines, n, first, seconds }) {
  const at = Math.min(n - 1, Math.max(0, Math.round((cursor.time - first) / seconds)));
  const guide = lines[0]?.v ?? [];
  return known(guide[at]) ? at : known(guide[at - 1]) ? at - 1 : known(guide[at + 1]) ? at + 1 : at;
}

/** Where the crosshair rests: at the selected moment, if there is one. */
const home = () => (link.moment ? link.moment - link.shown.offset : null);

/** The value of a line under the crosshair, the same one that the card shows. */
const under = (chart, line, at) => {
  const data = chart.spec.data();
  return chart.n < data.count ? data.at(line.key, cursor.time + data.offset) : (line.own ?? line.v)[at];
};

/** Draws the crosshair of a chart and the values beside it, on the upper canvas only. */
function cross(chart) {
  const { box, lines, n } = chart;
  cursor.time ??= home();
  const { drag } = cursor;
  if (!box || (cursor.time === null && !drag && !chart.crossed)) return;
  const pen = chart.begin(chart.over);
  chart.crossed = cursor.time !== null || drag;
  if (drag) {
    const [from, to] = drag.map((time) => box.x + (Math.min(chart.end, Math.max(chart.start, time)) - chart.start) / (chart.end - chart.start) * box.w);
    pen.fillStyle = BAND;
    pen.fillRect(from, box.y, to - from, box.h);
  }
  if (cursor.time === null || cursor.time < chart.start - chart.seconds || cursor.time > chart.end + chart.seconds) return;
  const at = slot(chart);
  const over = Math.round(chart.x(at)) + 0.5;
  pen.strokeStyle = cursor.pinned || link.moment ? MARK : INK;
  pen.beginPath();
  chart.upright(pen, over);
  pen.stroke();
  const time = cursor.time === home() ? link.moment : chart.first + at * chart.seconds + chart.offset;
  const rows = [];
  for (const line of lines) {
    const value = under(chart, line, at);
    if (!known(value)) continue;
    pen.fillStyle = line.color;
    pen.fillRect(over - 2.5, chart.y(line.v[at]) - 2, 4, 4);
    rows.push({ value, color: line.color, text: `${line.label} ${show(chart.spec.kind, value)}` });
  }
  if (rows.length > 6) rows.sort((a, b) => b.value - a.value).length = 6;
  rows.unshift({ color: TEXT, text: `${chart.seconds * n > 90000 ? clock(time, 86400) + ' ' : ''}${clock(time, chart.seconds < 60 ? 1 : 60)}${rows.length ? '' : ' no data'}` });
  const wide = Math.max(...rows.map((row) => row.text.length)) * type.letter + 12, leap = type.size + 3, high = rows.length * leap + 6;
  const from = over + 8 + wide < chart.width ? over + 8 : Math.max(0, over - 8 - wide);
  pen.fillStyle = CARD;
  pen.strokeStyle = GRID;
  pen.globalAlpha = 0.92;
  pen.fillRect(from, box.y, wide, high);
  pen.globalAlpha = 1;
  pen.strokeRect(from + 0.5, box.y + 0.5, wide - 1, high - 1);
  pen.textAlign = 'left';
  rows.forEach((row, i) => {
    pen.fillStyle = row.color;
    pen.fillText(row.text, from + 6, box.y + leap + i * leap);
  });
}

/**
 * Follows a pressed pointer across a box that shows `length` seconds from `start` on: `share` is how far across it is. Returns
 * whether it drags a stretch, which is shown in all charts and handed to `cursor.zoom` when it is let go.
 */
export function drag(box, event, share, start, length) {
  const time = start + share * length;
  if (event.type === 'pointerdown') {
    box.from = { x: event.clientX, time };
    event.currentTarget.setPointerCapture(event.pointerId);
  }
  if (event.type === 'pointerleave' || event.type === 'pointercancel') box.from = cursor.drag = null;
  if (!box.from) return false;
  if (event.type === 'pointermove' && (cursor.drag || Math.abs(event.clientX - box.from.x) > DRAG)) cursor.drag = [box.from.time, time].sort((a, b) => a - b);
  if (event.type !== 'pointerup') return Boolean(cursor.drag);
  const stretch = cursor.drag;
  box.from = cursor.drag = null;
  if (!stretch) return false;
  // The click that follows opens nothing.
  cursor.pointer = 'drag';
  const more = Math.max(0, LEAST - (stretch[1] - stretch[0])) / 2;
  cursor.zoom(stretch[0] - more, stretch[1] + more);
  return true;
}

/** A mouse moves the crosshair by hovering and drags a stretch; a finger pins it with a tap and moves it by going sideways. */
function point(chart, event) {
  const { pointerType: pointer, type: happened } = event;
  const { box } = chart;
  cursor.pointer = pointer;
  if (!box) return;
  const share = (event.clientX - chart.host.getBoundingClientRect().left - box.x) / box.w;
  const time = chart.start + Math.min(1, Math.max(0, share)) * (chart.end - chart.start);
  if (pointer === 'mouse') {
    if (event.button < 1 && drag(chart, event, Math.min(1, Math.max(0, share)), chart.start, chart.end - chart.start)) return place(cursor.drag && time, false);
    if (happened === 'pointermove' && !cursor.pinned) place(time, false);
    if (happened === 'pointerleave' && !cursor.pinned) place(null, false);
    if (happened === 'pointerup' && chart.spec.large) place(time, !cursor.pinned);
    return;
  }
  if (happened === 'pointerdown') chart.down = { x: event.clientX, moved: false };
  const away = chart.down ? Math.abs(event.clientX - chart.down.x) : 0;
  if (happened === 'pointermove' && chart.down && (chart.down.moved ||= away > 8)) place(time, true);
  if (happened === 'pointerup' && chart.down) {
    const near = (chart.end - chart.start) * 14 / box.w;
    if (!chart.down.moved) place(time, !(cursor.pinned && Math.abs(cursor.time - time) < near));
    chart.down = null;
  }
  if (happened === 'pointerleave') chart.down = null;
}

let awaited = 0, speaking = 0;

/** Puts the crosshair of all charts at a time, or takes it away. */
export function place(time, pinned) {
  cursor.pinned = pinned && time !== null;
  cursor.time = time !== null && (pinned || cursor.pointer === 'mouse') ? time : home();
  awaited ||= requestAnimationFrame(() => {
    const started = timing && performance.now();
    awaited = 0;
    for (const chart of charts) cross(chart);
    if (timing) timing.hover.push(performance.now() - started);
  });
}

/** Moves the crosshair by slots of the shown range; the first key press starts at the newest slot. */
function nudge(slots) {
  const data = link.shown;
  if (!known(data.end)) return;
  const grain = Math.max(1, Math.round(data.count / 300)) * data.step;
  const time = cursor.time === null ? data.end : cursor.time + slots * grain;
  cursor.pointer = 'mouse';
  place(Math.min(data.end, Math.max(data.start, time)), true);
  clearTimeout(speaking);
  speaking = setTimeout(speak, SILENCE);
}

/** Says in words where the crosshair stands, and what the charts show there: those of the dialog if one is open. */
function speak() {
  if (cursor.time === null) return;
  const all = [...charts].filter((chart) => chart.box && chart.lines.length);
  const large = all.filter((chart) => chart.spec.large);
  const values = (large.length ? large : all).map((chart) => {
    const at = slot(chart);
    return `${chart.spec.name}: ${chart.lines.slice(0, 6).map((line) => `${line.label} ${show(chart.spec.kind, under(chart, line, at))}`).join(', ')}`;
  });
  say(byId('spoken'), [clock(cursor.time + link.shown.offset, 1), ...values].join('. '));
}

cursor.cross = cross;
cursor.watch = (chart) => {
  for (const happened of ['pointermove', 'pointerleave', 'pointerdown', 'pointerup']) chart.host.addEventListener(happened, (event) => point(chart, event));
};
for (const chart of charts) cursor.watch(chart);

addEventListener('keydown', (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const slots = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (slots && !event.target.closest?.('.wide, [role=listbox]')) {
    nudge(event.shiftKey ? slots * 10 : slots);
    event.preventDefault();
  }
  if (event.key === 'Escape' && cursor.pinned) {
    place(null, false);
    // A dialog stays open.
    event.preventDefault();
  }
});
// A tap beside the charts takes the pin away.
addEventListener('pointerdown', (event) => {
  if (cursor.pinned && !event.target.closest('.chart')) place(null, false);
});
