// Assembles the page from src/dashboard as build.rs does, for work on the page without building the agent.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const FOLDER = new URL('../../src/dashboard/', import.meta.url);

/** Signs beside which spaces carry no meaning outside of texts and patterns. */
const SCRIPT_SIGNS = ['===', '!==', '=>', '>=', '<=', '&&', '||', '??', '=', '?', ':', ',', ';', '{', '}', '(', ')', '*', '<', '>'];
const STYLE_SIGNS = [' {', ' }', '{', '}', ':', ';', ','];

/**
 * Drops comments on lines of their own, indentation, blank lines and needless spaces. src/dashboard/ is written so that
 * this is safe: texts stay on one line; a line with double quotes or (in scripts) with a slash, or with other than none
 * or two backticks, is left alone.
 */
export function squeeze(text, signs) {
  const lines = [];
  let comment = false;
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    comment ||= line.startsWith('/*');
    if (!comment && line && !line.startsWith('//')) lines.push(tighten(line, signs));
    comment &&= !line.endsWith('*/');
  }
  return lines.join('\n');
}

function tighten(line, signs) {
  const ticks = line.split('`').length - 1;
  if (line.includes('"') || (signs === SCRIPT_SIGNS && line.includes('/')) || (ticks !== 0 && ticks !== 2)) return line;
  return line.split(/('[^']*'|`[^`]*`)/).map((part, i) => {
    if (i % 2) return part;
    for (const sign of signs) part = part.replaceAll(sign === sign.trim() && signs === SCRIPT_SIGNS ? ` ${sign} ` : sign, sign.trim()).replaceAll(`${sign} `, sign.trim());
    return part;
  }).join('');
}

export function assemble() {
  const read = (name) => readFileSync(new URL(name, FOLDER), 'utf8');
  const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const template = read('index.html');
  const names = read('scripts').split('\n').filter((line) => line && !line.startsWith('#'));
  const style = squeeze(read('style.css'), STYLE_SIGNS);
  const script = `(() => {\n'use strict';\n${names.map((name) => squeeze(read(name), SCRIPT_SIGNS)).join('\n')}\n})();`;
  const html = squeeze(template, []).replace('{style}', () => style).replace('{script}', () => script);
  const csp = `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
  return { html, csp };
}
