// What all views share: who is signed in, the clock of the server, the theme and the zone, and the words to announce.

import { signal } from './signals.mjs';

const stored = (name, fallback) => {
  try {
    return localStorage.getItem(`chrono.${name}`) ?? fallback;
  } catch {
    return fallback;
  }
};

export const keep = (name, value) => {
  try {
    localStorage.setItem(`chrono.${name}`, value);
  } catch {
    // A browser that keeps nothing forgets the choice at the next visit.
  }
};

// state: 'unknown' | 'out' | 'in' | 'away' ; admin: whether calls of administrators are answered.
// permissions: null where the service does not say; then all is offered, and a refusal says what is lacking.
export const session = signal({ state: 'unknown', subject: '', tenant: '', admin: false, permissions: null, ways: [], sealed: false, why: '' });
export const may = (permission) => session.value.permissions?.has(permission) ?? true;
export const theme = signal(stored('theme', 'system'));
export const zone = signal(stored('zone', 'browser'));
export const range = signal(stored('range', '1h'));
export const figures = signal(null);
export const paused = signal(null);
export const live = signal({ mode: 'connecting', leader: false, detail: '' });
export const announced = signal('');
export const toasts = signal([]);
export const skewMs = signal(0);
export const second = signal(0);

export const RANGES = [['15m', 900e3], ['1h', 3600e3], ['6h', 21600e3], ['24h', 86400e3], ['7d', 604800e3]];
export const rangeMs = () => (RANGES.find(([name]) => name === range.value) || RANGES[1])[1];

export const now = () => Date.now() + skewMs.peek();

setInterval(() => {
  second.value = Math.floor(now() / 1000);
}, 1000);

let announceAfter = 0;
let waiting = 0;
// Screen readers hear at most one announcement in five seconds, and then the newest.
export const announce = (text) => {
  const wait = Math.max(0, announceAfter - Date.now());
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    announceAfter = Date.now() + 5000;
    announced.value = text;
  }, wait);
};

let toastId = 0;
export const toast = (text, kind = 'done') => {
  const id = ++toastId;
  toasts.value = [...toasts.peek().slice(-3), { id, text, kind }];
  if (kind !== 'error') setTimeout(() => dismiss(id), 5000);
};
export const dismiss = (id) => {
  toasts.value = toasts.peek().filter((each) => each.id !== id);
};
