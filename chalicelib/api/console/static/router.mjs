// What is shown is written in the address, after the #: it can be shared, reloaded and gone back to.

import { signal } from './signals.mjs';

const parse = () => {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent);
  return { view: parts[0] || 'tasks', id: parts[1] || '', tab: parts[2] || '', query: Object.fromEntries(new URLSearchParams(query)) };
};

export const route = signal(parse());
addEventListener('hashchange', () => {
  route.value = parse();
});

export const href = ({ view, id = '', tab = '', query = {} }) => {
  const kept = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const text = new URLSearchParams(kept).toString();
  const path = [view, id, id && tab].filter(Boolean).map(encodeURIComponent).join('/');
  return `#/${path}${text ? `?${text}` : ''}`;
};

export const go = (to, { replace = false } = {}) => {
  const hash = href({ query: {}, ...to });
  if (hash === location.hash) return;
  if (replace) history.replaceState(null, '', hash);
  else history.pushState(null, '', hash);
  route.value = parse();
};

// The same view with some of its query changed.
export const amend = (query, options) => {
  const at = route.peek();
  go({ ...at, query: { ...at.query, ...query } }, options);
};
