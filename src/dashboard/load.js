// Loading the second part.

import { fetchText } from './link.js';
import { el } from './text.js';

/**
 * Fetches a script and runs it with `shared`, what it uses of the page's own. It runs as an element of the page, which the
 * Content-Security-Policy allows for exactly the text that was built together with the page.
 */
export async function load(name, shared) {
  const script = el('script');
  script.textContent = await fetchText(name);
  document.head.append(script);
  script.remove();
  const part = globalThis.piMonitorPart;
  if (!part) throw Object.assign(new Error(name), { kind: 'version' });
  delete globalThis.piMonitorPart;
  return part(shared);
}
