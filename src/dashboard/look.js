// The look of the second part, and what a phone needs to put the page on its home screen.

import { byId, el } from './text.js';

/** Puts both into the page. Icon and manifest are parts of it, so that no proxy has to pass on more than the page. */
export function dress() {
  document.head.append(el('style', '', '{look}'));
  const src = document.querySelector('link[rel=icon]').getAttribute('href');
  const id = location.origin + location.pathname;
  const name = `${byId('host').said ?? location.hostname} – Pi-Monitor`;
  const manifest = { id, start_url: id, scope: id, name, short_name: byId('host').said ?? 'Pi-Monitor', display: 'standalone', background_color: '#050b10', theme_color: '#050b10', icons: [{ src, sizes: 'any', type: 'image/svg+xml', purpose: 'any' }] };
  document.head.append(el('link', { rel: 'manifest', href: `data:application/manifest+json,${encodeURIComponent(JSON.stringify(manifest))}` }));
}
