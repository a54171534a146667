// The second part of the page: what nobody needs before the first number is on screen.

import { place } from './crosshair.js';
import { follow, openDialog, opened, update } from './dialog.js';

export { follow, openDialog, opened, place, update };
