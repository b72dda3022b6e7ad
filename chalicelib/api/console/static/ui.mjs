// The pieces that all views are built of.

import { h } from './preact.mjs';
import { useEffect, useLayoutEffect, useRef, useState } from './hooks.mjs';
import htm from './htm.mjs';
import { ago, dateTime, dateTimeMs, zoneOf } from './format.mjs';
import { dismiss, now, second, toast, toasts, zone } from './state.mjs';

export const html = htm.bind(h);
export { useEffect, useLayoutEffect, useRef, useState };

// The value of a signal; the component is rendered anew when it changes.
export const useSig = (sig) => {
  const [, again] = useState(0);
  useEffect(() => sig.subscribe(() => again((n) => n + 1)), [sig]);
  return sig.value;
};

// Load when `on` changes; what a slower, earlier load brings is dropped.
export const useLoad = (load, on) => {
  const [state, set] = useState({ loading: true, value: null, error: null });
  const turn = useRef(0);
  const run = (quiet) => {
    const mine = ++turn.current;
    const aborter = new AbortController();
    if (!quiet) set((s) => ({ ...s, loading: true, error: null }));
    load(aborter.signal).then(
      (value) => mine === turn.current && set({ loading: false, value, error: null }),
      (error) => mine === turn.current && set((s) => ({ loading: false, value: quiet ? s.value : null, error })),
    );
    return () => aborter.abort();
  };
  useEffect(() => {
    const abort = run(false);
    return () => {
      turn.current += 1;
      abort();
    };
  }, on);
  return { ...state, again: () => run(true) };
};

// Call again and again while the page is looked at.
export const useEvery = (ms, act) => {
  const newest = useRef(act);
  newest.current = act;
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && newest.current(), ms);
    return () => clearInterval(timer);
  }, [ms]);
};

const path = (d, extra) => html`<path d=${d} fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" ...${extra} />`;
const ring = (extra) => html`<circle cx="8" cy="8" r="6.1" fill="none" stroke="currentColor" stroke-width="1.8" ...${extra} />`;
const SHAPES = {
  completed: () => html`<circle cx="8" cy="8" r="7" fill="currentColor" /><path d="M4.8 8.3 7 10.5l4.2-4.8" class="cut" />`,
  failed: () => html`<path d="M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z" fill="currentColor" /><path d="m5.6 5.6 4.8 4.8m0-4.8-4.8 4.8" class="cut" />`,
  timeout: () => html`<path d="M8 .8 15.4 14.6H.6z" fill="currentColor" /><path d="M8 6v3.6M8 12v.1" class="cut" />`,
  cancelled: () => html`${ring()}${path('m4 12 8-8')}`,
  missed: () => html`${ring({ 'stroke-dasharray': '2.6 2.2' })}${path('M8 5v3.4M8 11v.1')}`,
  skipped: () => html`${path('M3 4l4.5 4L3 12zM12 4v8', { fill: 'currentColor' })}`,
  pending: () => ring(),
  in_progress: () => html`${ring()}<path d="M8 4.2a3.8 3.8 0 0 1 0 7.6z" fill="currentColor" />`,
  lost: () => html`${path('M8 1.5 14.5 8 8 14.5 1.5 8z')}${path('M8 5.2V8.6M8 11v.1')}`,
  paused: () => html`${ring()}${path('M6.5 6v4M9.5 6v4')}`,
  active: () => html`<circle cx="8" cy="8" r="5" fill="currentColor" />`,
  excluded: () => html`${path('M3 8h10')}`,
};
export const STATUS_WORDS = { in_progress: 'in progress' };
export const statusWord = (status) => STATUS_WORDS[status] || status;

export const Shape = ({ status, size = 14 }) =>
  html`<svg class=${`shape s-${status}`} viewBox="0 0 16 16" width=${size} height=${size} aria-hidden="true">${(SHAPES[status] || SHAPES.pending)()}</svg>`;

// A status by colour, shape and word.
export const Status = ({ status, big }) =>
  html`<span class=${`status s-${status}${big ? ' big' : ''}`}><${Shape} status=${status} size=${big ? 22 : 14} /><span>${statusWord(status)}</span></span>`;

const ICONS = {
  close: 'm4 4 8 8m0-8-8 8',
  retry: 'M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3',
  cancel: 'M3.7 12.3 12.3 3.7M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0z',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  play: 'M4.5 3v10l8-5z',
  plus: 'M8 3v10M3 8h10',
  edit: 'm3 13 .6-2.8 7-7 2.2 2.2-7 7z',
  trash: 'M3 4.5h10M6 4.5V3h4v1.5M4.5 4.5 5 13h6l.5-8.5',
  link: 'M9.5 3H13v3.5M13 3 7.5 8.5M11 9.5V13H3V5h3.5',
  back: 'M10 3 5 8l5 5',
  clock: 'M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0zM8 4.8V8l2.2 1.4',
  copy: 'M5.5 5.5V3H13v7.5h-2.5M3 5.5h7.5V13H3z',
  help: 'M5.8 6a2.2 2.2 0 1 1 3.2 2c-.7.4-1 .8-1 1.5M8 12v.1',
  search: 'M11 7a4 4 0 1 1-8 0 4 4 0 0 1 8 0zm-1 3 3.5 3.5',
  tasks: 'M2.5 4h2M6.5 4h7M2.5 8h2M6.5 8h7M2.5 12h2M6.5 12h7',
  schedules: 'M2.5 4h11v9.5h-11zM2.5 7h11M5.5 2v3M10.5 2v3',
  upcoming: 'M2 8h3l2-4.5L9.5 12 11.5 8H14',
  leases: 'M4 7.5h8V13H4zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5',
  ticks: 'M3 12V9M6.3 12V6M9.6 12V9M13 12V4',
  insights: 'M2.5 13.5v-11M2.5 13.5h11M5 10.5 7.5 7l2 2L13 4.5',
  policies: 'M8 1.8 13 4v4c0 3-2 5-5 6.2C5 13 3 11 3 8V4z',
  workflows: 'M2.5 2.5h4v3h-4zM9.5 10.5h4v3h-4zM4.5 5.5v6.5h5',
  audit: 'M4 2.5h8v11H4zM6 5.5h4M6 8h4M6 10.5h2.5',
  keys: 'M8.5 10.5a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM7.7 8.3l5.8-5.8M10.8 5.2l2.2 2.2',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1',
};
export const Icon = ({ name, size = 16 }) => html`<svg viewBox="0 0 16 16" width=${size} height=${size} aria-hidden="true" class="icon">${path(ICONS[name], { 'stroke-width': 1.5 })}</svg>`;

export const Button = ({ icon, kind = '', children, ...rest }) =>
  html`<button type="button" class=${`btn ${kind}`} ...${rest}>${icon && html`<${Icon} name=${icon} size="14" />`}${children}</button>`;

// A button that acts once at a time, and says what went wrong.
export const Act = ({ act, done, children, ...rest }) => {
  const [busy, set] = useState(false);
  const here = useRef(true);
  useEffect(() => () => { here.current = false; }, []);
  const onClick = async () => {
    if (busy) return;
    set(true);
    try {
      const said = await act();
      if (said !== false && done) toast(typeof done === 'function' ? done(said) : done);
    } catch (problem) {
      toast(problem.message, 'error');
    }
    if (here.current) set(false);
  };
  return html`<${Button} ...${rest} aria-disabled=${busy} aria-busy=${busy} onClick=${onClick}>${children}<//>`;
};

// An instant: absolute, in the chosen zone, and how long ago.
export const Time = ({ ms, exact, plain, zoneName }) => {
  const chosen = zoneOf(zoneName || useSig(zone));
  if (ms === null || ms === undefined) return html`<span class="dim">–</span>`;
  const text = exact ? dateTimeMs(ms, chosen) : dateTime(ms, chosen);
  const iso = new Date(ms).toISOString();
  if (plain) return html`<time datetime=${iso} title=${iso}>${text}</time>`;
  return html`<time datetime=${iso} title=${iso}>${text} <span class="dim ago">(<${Ago} ms=${ms} />)</span></time>`;
};

export const Ago = ({ ms }) => {
  useSig(second);
  return html`<time datetime=${new Date(ms).toISOString()} title=${dateTimeMs(ms, zoneOf(zone.value))}>${ago(ms, now())}</time>`;
};

export const Trouble = ({ error, again }) =>
  html`<div class="trouble" role="alert">
    <strong>${error.status === 403 ? 'Not allowed' : error.status === 404 ? 'Not found' : 'That did not work'}</strong>
    <p>${error.message}</p>
    ${error.violations?.length > 0 && html`<ul>${error.violations.map((v) => html`<li><b>${v.policy} / ${v.rule}</b>: ${v.message}</li>`)}</ul>`}
    ${error.traceId && html`<p class="dim">Trace <code>${error.traceId}</code></p>`}
    ${again && html`<${Button} icon="retry" onClick=${again}>Try again<//>`}
  </div>`;

export const Loading = ({ lines = 6 }) => html`<div class="loading" role="status" aria-label="Loading">${Array.from({ length: lines }, (_, i) => html`<span class="bone" key=${i}></span>`)}</div>`;

export const Empty = ({ title, children }) => html`<div class="empty"><h3>${title}</h3>${children}</div>`;

// A modal dialog: the browser keeps the focus inside, and gives it back.
export const Dialog = ({ title, onClose, children, wide, kind = '' }) => {
  const ref = useRef();
  useLayoutEffect(() => {
    const before = document.activeElement;
    const shown = ref.current;
    shown.showModal();
    (shown.querySelector('[data-first]') || shown.querySelector('input,select,textarea') || shown).focus();
    return () => {
      shown.close();
      if (before?.isConnected) before.focus();
    };
  }, []);
  return html`<dialog ref=${ref} class=${`dialog ${wide ? 'wide' : ''} ${kind}`} aria-label=${title}
      onCancel=${(e) => { e.preventDefault(); onClose(); }} onClick=${(e) => e.target === ref.current && onClose()}>
    <div class="dialog-body">
      <header><h2>${title}</h2><button type="button" class="btn quiet" aria-label="Close" onClick=${onClose}><${Icon} name="close" /></button></header>
      ${children}
    </div>
  </dialog>`;
};

export const Toasts = () =>
  html`<div class="toasts">${useSig(toasts).map(
    (t) => html`<div key=${t.id} class=${`toast ${t.kind}`} role=${t.kind === 'error' ? 'alert' : 'status'}>
      <span>${t.text}</span><button type="button" class="btn quiet" aria-label="Dismiss" onClick=${() => dismiss(t.id)}><${Icon} name="close" size="12" /></button>
    </div>`,
  )}</div>`;

export const Field = ({ label, hint, error, children, id }) =>
  html`<div class=${`field${error ? ' wrong' : ''}`}>
    <label for=${id}>${label}</label>${children}
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${error && html`<p class="wrong-why" role="alert" id=${`${id}-why`}>${error}</p>`}
  </div>`;

// What is wrong may be out of sight, or in a part that is closed.
export const showWrong = () => setTimeout(() => {
  const field = document.querySelector('.field.wrong input, .field.wrong select, .field.wrong textarea');
  const part = field?.closest('details');
  if (part) part.open = true;
  field?.focus();
}, 50);

export const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    toast('Copied.');
  } catch {
    toast('The browser does not let us copy here.', 'error');
  }
};

// JSON as a tree that opens and closes; what is deep begins closed.
export const Tree = ({ value, name, depth = 0 }) => {
  const label = name === undefined ? '' : html`<span class="t-name">${name}: </span>`;
  if (value === null || typeof value !== 'object') return html`<div class="t-leaf">${label}<span class=${`t-${value === null ? 'null' : typeof value}`}>${JSON.stringify(value)}</span></div>`;
  const list = Array.isArray(value);
  const entries = Object.entries(value);
  if (!entries.length) return html`<div class="t-leaf">${label}<span class="dim">${list ? '[]' : '{}'}</span></div>`;
  return html`<details class="tree" open=${depth < 2 && entries.length <= 50}>
    <summary>${label}<span class="dim">${list ? `[${entries.length}]` : `{${entries.length}}`}</span></summary>
    ${entries.map(([key, each]) => html`<${Tree} key=${key} name=${key} value=${each} depth=${depth + 1} />`)}
  </details>`;
};

export const Tabs = ({ tabs, at, href }) =>
  html`<nav class="tabs" aria-label="Sections">${tabs.map(([key, label]) => html`<a key=${key} href=${href(key)} aria-current=${key === at ? 'page' : undefined}>${label}</a>`)}</nav>`;

export const Pills = ({ label, options, value, onChange }) =>
  html`<div class="pills" role="radiogroup" aria-label=${label}>${options.map(
    ([key, text]) => html`<label key=${key} class=${key === value ? 'on' : ''}><input type="radio" name=${label} value=${key} checked=${key === value} onChange=${() => onChange(key)} />${text}</label>`,
  )}</div>`;
