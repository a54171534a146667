// Assembles the page from src/dashboard as build.rs does, for work on the page without building the agent.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const FOLDER = new URL('../../src/dashboard/', import.meta.url);

/** Spaces beside these signs carry no meaning outside of texts and patterns. */
const SIGNS = ['===', '!==', '=>', '>=', '<=', '&&', '||', '??', '=', '?', ':', ',', ';', '{', '}', '(', ')', '*', '<', '>'];

/**
 * Drops indentation, blank lines, lines and blocks of comments, and needless spaces on lines without quotes, backticks or
 * slashes. src/dashboard/ is written so that this is safe: no text runs over several lines.
 */
export function squeeze(text, css = false) {
  let comment = false;
  const lines = [];
  for (const raw of text.split('\n')) {
    let line = raw.trim();
    if (line.startsWith('/*')) comment = true;
    const skip = comment || !line || line.startsWith('//');
    if (comment && line.endsWith('*/')) comment = false;
    if (skip) continue;
    if (css ? !line.includes('"') : !/["'`/]/.test(line)) {
      for (const sign of css ? ['{', '}', ':', ';', ','] : SIGNS) line = line.replaceAll(css ? `${sign} ` : ` ${sign} `, sign).replaceAll(`${sign} `, sign);
      if (css) line = line.replaceAll(' {', '{').replaceAll(' }', '}');
    }
    lines.push(line);
  }
  return lines.join('\n');
}

export function assemble() {
  const read = (name) => readFileSync(new URL(name, FOLDER), 'utf8');
  const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const template = read('index.html');
  const names = read('scripts').split('\n').filter((line) => line && !line.startsWith('#'));
  const style = squeeze(read('style.css'));
  const script = `(() => {\n'use strict';\n${names.map((name) => squeeze(read(name))).join('\n')}\n})();`;
  const html = squeeze(template).replace('{style}', () => style).replace('{script}', () => script);
  const csp = `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
  return { html, csp };
}
