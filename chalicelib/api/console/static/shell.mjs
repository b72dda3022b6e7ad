// The frame around all views: who is signed in, the figures, where to go, and what is announced.

import { get, post } from './api.mjs';
import { duration, number, percent, zoneOf } from './format.mjs';
import { PauseEnd, pauseEnd } from './pause_end.mjs';
import { HELP, bind } from './keyboard.mjs';
import { go, href, route } from './router.mjs';
import { signIn, signInAtIssuer, signOut } from './session.mjs';
import { announced, figures, keep, live, may, session, theme, toast, zone } from './state.mjs';
import { Act, Button, Dialog, Field, Icon, Shape, Time, Toasts, html, useEffect, useEvery, useLayoutEffect, useSig, useState } from './ui.mjs';

const FIGURES_MS = 5000;
export const VIEWS = [
  ['tasks', 'Tasks', 't'], ['schedules', 'Schedules', 's'], ['upcoming', 'Upcoming', 'u'], ['insights', 'Insights', 'i'], ['leases', 'Leases', 'l'], ['ticks', 'Ticks', 'k'],
  ['workflows', 'Workflows', 'w'], ['policies', 'Policies', 'p'], ['audit', 'Audit', 'a', 'audit:read'], ['keys', 'Keys', 'y', 'keys:read'],
];
const THEMES = ['system', 'light', 'dark'];

const applyTheme = (name) => {
  if (name === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
};
theme.subscribe(applyTheme);
const nextTheme = () => {
  const next = THEMES[(THEMES.indexOf(theme.peek()) + 1) % THEMES.length];
  theme.value = next;
  keep('theme', next);
  toast(next === 'system' ? 'Colours as the system has them.' : `Colours: ${next}.`);
};

export const SignIn = () => {
  const s = useSig(session);
  const [text, setText] = useState('');
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async (e) => {
    e.preventDefault();
    setBusy(true);
    setError('');
    try {
      await signIn(text);
    } catch (problem) {
      setError(problem.message);
    }
    setBusy(false);
  };
  return html`<main class="signin"><form onSubmit=${submit} novalidate>
    <${Logo} /><h1>Sign in to ChronoWatch</h1>
    ${s.why && html`<p class="note" role="status">${s.why}</p>`}
    ${s.ways.includes('issuer') && html`<button type="button" class="btn primary wide" onClick=${() => location.assign(signInAtIssuer())}>Sign in with your organisation</button><p class="or dim">or</p>`}
    <${Field} label="Token or API key" id="token" error=${error} hint=${s.sealed ? 'Sealed in a cookie that no script can read.' : 'Kept in this tab only, until it is closed.'}><input id="token" type="password" autocomplete="off" spellcheck="false" value=${text} onInput=${(e) => setText(e.target.value)} placeholder="cw_… or eyJ…" autofocus /><//>
    <button type="submit" class=${`btn wide ${s.ways.includes('issuer') ? '' : 'primary'}`} aria-busy=${busy}>Sign in</button>
  </form></main>`;
};

const Logo = () => html`<svg class="logo" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true"><rect width="32" height="32" rx="8" /><circle cx="16" cy="16" r="9" /><path d="M16 10.5V16l4 2.5" /></svg>`;

const Figure = ({ label, value, to, kind = '' }) => html`<a class=${`fig ${kind}`} href=${to}><span class="fig-n">${value}</span><span class="fig-l">${label}</span></a>`;

const Figures = () => {
  const f = useSig(figures);
  const load = () => get('/api/tasks/metrics').then((found) => { figures.value = found; }, () => {});
  useEffect(() => { load(); }, []);
  useEvery(FIGURES_MS, load);
  if (!f) return html`<div class="figs"></div>`;
  const failing = f.failure_percent_24h > 5;
  return html`<div class="figs" role="group" aria-label="How the tasks are doing">
    <${Figure} label="queued" value=${number(f.queued)} to=${href({ view: 'tasks', query: { q: 'status:pending' } })} />
    <${Figure} label="active" value=${number(f.active)} to=${href({ view: 'tasks', query: { q: 'status:in_progress' } })} />
    <${Figure} label="failed, 24 h" value=${percent(f.failure_percent_24h)} kind=${failing ? 'bad' : ''} to=${href({ view: 'tasks', query: { q: 'status:failed' } })} />
    <${Figure} label="mean, 24 h" value=${duration(f.mean_duration_ms_24h)} to=${href({ view: 'insights' })} />
  </div>`;
};

const QueueControl = () => {
  const f = useSig(figures);
  useSig(session);
  const admin = may('queue:pause');
  const [dialog, setDialog] = useState(false);
  const queue = f?.queue;
  if (!queue) return '';
  const set = (next) => { figures.value = { ...figures.peek(), queue: next }; };
  if (queue.state === 'paused') return admin ? html`<${Act} kind="warn" icon="play" act=${async () => set(await post('/api/admin/queue/resume'))} done="The queue goes on.">Resume the queue<//>` : '';
  return html`${admin && html`<${Button} icon="pause" onClick=${() => setDialog(true)}><span class="long">Pause the queue</span><span class="shorter">Pause</span><//>`}${dialog && html`<${PauseQueue} set=${set} onClose=${() => setDialog(false)} />`}`;
};

const PauseQueue = ({ set, onClose }) => {
  const [note, setNote] = useState('');
  const [until, setUntil] = useState('');
  const [wrong, setWrong] = useState('');
  const chosen = zoneOf(useSig(zone));
  const pause = async () => {
    const end = pauseEnd('queue-until', until, chosen);
    setWrong(end.wrong || '');
    if (end.wrong) return false;
    set(await post('/api/admin/queue/pause', { note, ...end.body }));
    onClose();
    return true;
  };
  return html`<${Dialog} title="Pause the queue" onClose=${onClose}><p>Nothing of this tenant is dispatched until it is resumed. What falls due is held; what is under way goes on to its end.</p>
    <${Field} label="Why" id="queue-note" hint="Everybody sees it."><input id="queue-note" data-first value=${note} onInput=${(e) => setNote(e.target.value)} /><//>
    <${PauseEnd} id="queue-until" value=${until} onChange=${(text) => { setUntil(text); setWrong(''); }} zone=${chosen} error=${wrong} />
    <footer><${Button} onClick=${onClose}>Not now<//><${Act} kind="primary" icon="pause" act=${pause} done="The queue is paused.">Pause the queue<//></footer><//>`;
};

const PausedBanner = () => {
  const queue = useSig(figures)?.queue;
  if (queue?.state !== 'paused') return '';
  return html`<div class="banner" role="status"><${Shape} status="paused" size="16" /><span><b>The queue is paused</b>${queue.paused_by ? ` by ${queue.paused_by}` : ''} since <${Time} ms=${queue.paused_at_unix_ms} />${queue.until_unix_ms ? html`, until <${Time} ms=${queue.until_unix_ms} />` : ''}${queue.note ? `: ${queue.note}` : '.'}</span></div>`;
};

const Help = ({ onClose }) => html`<${Dialog} title="Keys" wide=${true} onClose=${onClose}><div class="helpgrid">${HELP.map(([title, keys]) => html`<section key=${title}><h3>${title}</h3><dl>${keys.map(([key, what]) => html`<div key=${key}><dt>${key.split(' ').map((k, i) => html`<kbd key=${i}>${k}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl></section>`)}</div>
  <p class="dim">Made with Preact, htm, Signals and uPlot. <a href=${new URL('./THIRD_PARTY.txt', import.meta.url).href} target="_blank" rel="noopener">Their licences</a>. The API: <a href=${new URL('../../docs', import.meta.url).href} target="_blank" rel="noopener">/docs</a>.</p><//>`;

export const Shell = ({ children }) => {
  const at = useSig(route);
  const s = useSig(session);
  const words = useSig(announced);
  const feed = useSig(live);
  const chosenTheme = useSig(theme);
  const chosenZone = useSig(zone);
  const [help, setHelp] = useState(false);
  const views = VIEWS.filter(([, , , needs]) => !needs || (s.permissions ? may(needs) : s.admin));
  useLayoutEffect(() => {
    const to = (view) => () => {
      go({ view });
      document.querySelector('main')?.focus();
    };
    const keys = Object.fromEntries(VIEWS.map(([view, , key]) => [`g ${key}`, to(view)]));
    return bind({ ...keys, '?': () => setHelp(true), t: nextTheme, c: () => go({ view: 'schedules', id: 'new' }) });
  }, []);
  useEffect(() => { document.title = `${VIEWS.find(([view]) => view === at.view)?.[1] || 'Console'} · ChronoWatch`; }, [at.view]);
  return html`<div class="shell">
    <a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.querySelector('main').focus(); }}>To the content</a>
    <header class="top"><a class="brand" href="#/tasks" aria-label="ChronoWatch, tasks"><${Logo} /><span>ChronoWatch</span></a><${Figures} />
      <div class="top-right"><${QueueControl} />
        <label class="sr" for="zone">Time zone shown</label><select id="zone" class="slim" value=${chosenZone} onChange=${(e) => { zone.value = e.target.value; keep('zone', e.target.value); }}><option value="browser">Local</option><option value="UTC">UTC</option></select>
        <button type="button" class="btn quiet" onClick=${nextTheme} aria-label=${`Colours: ${chosenTheme}`} title="Light, dark or as the system (t)"><${Icon} name="sun" /></button>
        <button type="button" class="btn quiet" onClick=${() => setHelp(true)} aria-label="Keys and help" title="Keys (?)"><${Icon} name="help" /></button>
        ${s.subject !== 'anonymous' && html`<span class="who" title=${s.subject}>${s.subject}</span><button type="button" class="btn small" onClick=${signOut}>Sign out</button>`}
      </div></header>
    <${PausedBanner} />
    <div class="body"><nav class="side" aria-label="Views"><ul>${views.map(([view, label, key]) => html`<li key=${view}><a href=${href({ view })} aria-current=${at.view === view ? 'page' : undefined} title=${`g ${key}`}><${Icon} name=${view} size="17" /><span>${label}</span></a></li>`)}</ul></nav>
      <main id="main" tabindex="-1">${children}</main></div>
    <div class="sr" role="status" aria-live="polite">${words}</div>
    ${feed.mode === 'away' && html`<div class="sr" role="status">Live updates are interrupted.</div>`}
    <${Toasts} />
    ${help && html`<${Help} onClose=${() => setHelp(false)} />`}
  </div>`;
};

