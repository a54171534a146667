// The second part of the page: what nobody needs before the first number is on screen.

import { follow, openDialog, opened, update } from './dialog.js';
import { consult } from './health.js';
import { dress } from './look.js';
import { there } from './past.js';
import { ranged, recent } from './timeline.js';

dress();

export { consult, follow, openDialog, opened, ranged, recent, there, update };
