// Keys for everything: single ones, and two in a row after g. They sleep while somebody types or a dialog is open.

const bindings = new Set();
let pending = '';
let timer = 0;

const typing = (e) => e.target.closest?.('input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]');

// Act on keys until the returned function is called. The newest binding of a key wins.
export const bind = (keys) => {
  bindings.add(keys);
  return () => bindings.delete(keys);
};

const found = (key) => [...bindings].reverse().find((keys) => keys[key])?.[key];

addEventListener('keydown', (e) => {
  if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || typing(e) || document.querySelector('dialog[open]')) return;
  const key = pending ? `${pending} ${e.key}` : e.key;
  clearTimeout(timer);
  pending = '';
  const act = found(key);
  if (act) {
    e.preventDefault();
    act(e);
  } else if (e.key === 'g' && !key.includes(' ')) {
    pending = 'g';
    timer = setTimeout(() => { pending = ''; }, 1500);
  }
});

export const HELP = [
  ['Everywhere', [['?', 'these keys'], ['g t', 'tasks'], ['g s', 'schedules'], ['g u', 'upcoming'], ['g l', 'leases'], ['g k', 'ticks'], ['g i', 'insights'], ['g w', 'workflows'], ['g p', 'policies'], ['g a', 'audit'], ['g y', 'keys'], ['c', 'new schedule'], ['t', 'light, dark, as the system'], ['Esc', 'close what is open']]],
  ['Lists', [['/', 'search'], ['j k ↓ ↑', 'next, previous'], ['PgDn PgUp Home End', 'far'], ['Enter o', 'open'], ['n', 'show what is new'], ['b', 'bulk actions']]],
  ['A task', [['r', 'retry'], ['e', 'retry with an edited payload'], ['x', 'cancel'], ['w', 'why it fired or did not']]],
  ['A schedule', [['p', 'pause or resume'], ['f', 'fire now'], ['e', 'edit']]],
];
