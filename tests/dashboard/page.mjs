// Assembles the page from src/dashboard as build.rs does, for work on the page without building the agent.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FOLDER = new URL('../../src/dashboard/', import.meta.url);
const read = (name) => readFileSync(new URL(name, FOLDER), 'utf8');

/** Drops comments on lines of their own, indentation, and blank lines. */
function strip(text) {
  let out = '', comment = false;
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    comment ||= line.startsWith('/*');
    if (!comment && line && !line.startsWith('//')) out += `${line}\n`;
    comment &&= !line.endsWith('*/');
  }
  return out;
}

/** A style sheet without what only people need. */
const tight = (text) => strip(text).replaceAll(' { ', '{').replaceAll('; }', '}').replaceAll('; ', ';');

/** Drops the blanks of a script that stand between two signs, or between a sign and a word, and in no text. */
function dense(text) {
  const word = /[\w$\u0080-\uffff]/;
  let out = '';
  for (const line of text.split('\n')) {
    // What is open: texts by their quote, `[` for a class within a regular expression, and braces; `$` is one within a template.
    const open = [];
    for (let i = 0; i < line.length; i++) {
      const c = line[i], next = line[i + 1] ?? '\n', before = out[out.length - 1] ?? '\n', top = open[open.length - 1] ?? '';
      const inText = '\'"`/['.includes(top || 'x');
      if (inText && c === '\\') out += line[i++];
      else if ((top === '/' && c === '[') || (!inText && '\'"`{'.includes(c))) open.push(c);
      else if (top === '`' && c === '$' && next === '{') {
        open.push('$');
        out += line[i++];
      } else if ((top === '[' && c === ']') || ('{$'.includes(top || 'x') && c === '}') || (inText && top !== '[' && top === c)) open.pop();
      else if (!inText && c === '/' && next !== ' ') open.push(c);
      else if (!inText && c === ' ' && !((word.test(before) && word.test(next)) || ('+-'.includes(before) && '+-'.includes(next)) || before === '/' || next === '/')) continue;
      out += line[i];
    }
    out += '\n';
  }
  return out.slice(0, -1);
}

/** Joins what `entry` imports, each module after those that it needs; notes what comes from the part `earlier`. */
function join(entry, earlier = []) {
  const part = { names: [], shared: new Set(), text: '' };
  const add = (name) => {
    part.names.push(name);
    let body = '';
    for (const line of strip(read(name)).split('\n')) {
      const [, words, from] = /^import \{ (.*) \} from '\.\/(.*)';$/.exec(line) ?? [];
      if (from && earlier.includes(from)) words.split(', ').forEach((word) => part.shared.add(word));
      else if (from && !part.names.includes(from)) add(from);
      else if (!from && line) body += `${line.replace(/^export (?={)/, 'return ').replace(/^export /, '')}\n`;
    }
    part.text += `// ${name}\n${body}`;
  };
  add(entry);
  return part;
}

/** What the runbooks say about the agent's own rules, as build.rs joins it. */
function runbooks() {
  const folder = fileURLToPath(new URL('../../docs/runbooks/', import.meta.url));
  const text = (name) => readFileSync(folder + name, 'utf8');
  const title = (name) => text(name).split('\n', 1)[0].split(': ').slice(1).join(': ');
  let all = '';
  for (const name of readdirSync(folder).sort()) {
    const rule = /The agent's own rule is \[`(.*?)`/.exec(text(name))?.[1];
    if (!rule) continue;
    const body = text(name).split('<!-- Generated ')[1].split('-->').slice(1).join('-->').trim();
    const linked = (target, words) => (existsSync(folder + target) ? `"${title(target)}"` : words);
    all += `# ${rule}: ${title(name)}\n${body.replace(/\[([^[\]]*)\]\((.*?)\)/g, (_, words, target) => linked(target, words))}\n\n`;
  }
  return all;
}

export function assemble() {
  const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const first = join('main.js');
  const [dynamic, entry] = /import\('\.\/(.*?)'\)/.exec(first.text);
  const second = join(entry, first.names);
  const look = tight(read('more.css'));
  second.text = dense(second.text).replace("'{look}'", () => `\`${look}\``);
  first.text = dense(first.text);
  const shared = `{ ${[...second.shared].sort().join(', ')} }`;
  const script = `(() => {\n'use strict';\n${first.text.replace(dynamic, () => `load('${entry}', ${shared})`)}})();`;
  const more = `globalThis.piMonitorPart = (shared) => {\n'use strict';\nconst ${shared} = shared;\n${second.text}};`;
  const old = strip(read('old.js')).trimEnd();
  const style = tight(read('style.css')).trimEnd();
  const html = strip(read('index.html')).replace('{style}', () => style).replace('{script}', () => script).replace('{old}', () => old);
  const csp = `default-src 'none'; script-src ${hash(script)} ${hash(old)} ${hash(more)}; style-src ${hash(style)} ${hash(look)}; connect-src 'self'; img-src data:; manifest-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
  return { html, more, csp, runbooks: runbooks() };
}
