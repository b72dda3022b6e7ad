// Schedules: what there is, how it does, and what comes next.

import { get, id as enc, pages, post } from './api.mjs';
import { listen } from './feed.mjs';
import { number, plural, zoneOf } from './format.mjs';
import { bind } from './keyboard.mjs';
import { amend, go, href, route } from './router.mjs';
import { ScheduleDetail } from './schedule_detail.mjs';
import { ScheduleForm } from './schedule_form.mjs';
import { Sparkline } from './sparkline.mjs';
import { PauseEnd, pauseEnd } from './pause_end.mjs';
import { may, now, toast, zone } from './state.mjs';
import { inWords } from './words.mjs';
import { Ago, Button, Dialog, Empty, Field, Loading, Pills, Shape, Trouble, html, useEffect, useEvery, useLayoutEffect, useRef, useSig, useState } from './ui.mjs';

const REFRESH_MS = 5000;
const AT_ONCE = 3; // lists of runs asked for at the same time

// The last runs of schedules, asked for as their rows come into view.
const runsOf = new Map();
const line = [];
let asking = 0;
const ask = (id, then) => {
  line.push([id, then]);
  const next = () => {
    if (asking >= AT_ONCE || !line.length) return;
    const [wanted, done] = line.shift();
    asking += 1;
    get(`/api/v1/schedules/${enc(wanted)}/executions`, { limit: 20 })
      .then((page) => { runsOf.set(wanted, page.items); done(); }, () => {})
      .finally(() => { asking -= 1; next(); });
  };
  next();
};

const stateOf = (s, runs) => {
  if (s.state === 'paused') return ['paused', 'paused'];
  if (s.state === 'completed') return ['cancelled', 'has had all its runs'];
  if (!runs?.length) return ['pending', 'has not run yet'];
  const last = runs.find((run) => !['pending', 'in_progress'].includes(run.delivery_state));
  if (!last) return ['in_progress', 'is running for the first time'];
  if (['failed', 'timeout', 'missed'].includes(last.delivery_state)) return [last.delivery_state, `its last run is ${last.delivery_state}`];
  if (last.late) return ['timeout', 'its last run was late'];
  return ['completed', 'its last run went well'];
};

const Row = ({ s, tick, cursor }) => {
  const ref = useRef();
  const [seen, setSeen] = useState(false);
  const [, again] = useState(0);
  useEffect(() => {
    const watch = new IntersectionObserver(([entry]) => setSeen(entry.isIntersecting));
    watch.observe(ref.current);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    if (seen) ask(s.id, () => again((n) => n + 1));
  }, [seen, s.run_count, s.state, tick]);
  useEffect(() => {
    if (cursor) ref.current.scrollIntoView({ block: 'nearest' });
  }, [cursor]);
  const runs = runsOf.get(s.id) || [];
  const [dot, words] = stateOf(s, runs);
  const said = s.description || inWords(s.type, s.expr, s.timezone);
  return html`<li ref=${ref} class=${`sched${cursor ? ' on' : ''}`} data-id=${s.id}>
    <span class="sched-dot" title=${words}><${Shape} status=${dot} size="18" /><span class="sr">${words}</span></span>
    <a class="sched-name" href=${href({ view: 'schedules', id: s.id })}><b>${s.name || html`<span class="dim">unnamed</span>`}</b>
      <span class="dim">${said || html`<code>${s.expr}</code>`}</span></a>
    <span class="sched-tags">${s.tags.slice(0, 3).map((tag) => html`<span class="tag" key=${tag}>${tag}</span>`)}</span>
    <span class="sched-spark"><${Sparkline} runs=${runs} /></span>
    <span class="sched-count dim">${plural(s.run_count, 'run')}</span>
    <span class="sched-next">${s.state === 'paused' ? html`<span class="tag" title=${s.note || ''}>paused</span>${s.paused_until_unix_ms ? html`<span class="sched-ends dim">ends <${Ago} ms=${s.paused_until_unix_ms} /></span>` : ''}` : s.next_run_unix_ms ? html`<span class="dim">next </span><${Ago} ms=${s.next_run_unix_ms} />` : html`<span class="dim">no further run</span>`}</span>
  </li>`;
};

export const Schedules = () => {
  const at = useSig(route);
  if (at.id === 'new') return html`<${ScheduleForm} />`;
  if (at.id && at.tab === 'edit') return html`<${ScheduleForm} key=${at.id} id=${at.id} />`;
  if (at.id) return html`<${ScheduleDetail} key=${at.id} id=${at.id} tab=${at.tab || 'overview'} />`;
  return html`<${ScheduleList} />`;
};

const ScheduleList = () => {
  const at = useSig(route);
  const [state, setState] = useState({ items: [], more: false, loading: true, error: null });
  const [text, setText] = useState(at.query.q || '');
  const [cursor, setCursor] = useState(-1);
  const [bulk, setBulk] = useState(false);
  const [tick, setTick] = useState(0);
  const search = useRef();
  const dirty = useRef(false);
  const { show = 'all', tag = '' } = at.query;
  // One that goes on by itself counts as enabled for the service, and is paused to those who look.
  const lists = show === 'paused' ? ['false', 'true'] : [show === 'active' ? 'true' : undefined];
  const load = async () => {
    try {
      const found = await Promise.all(lists.map((enabled) => pages('/api/v1/schedules', { tag, enabled }, { most: 2000 })));
      const items = found.flatMap((each) => each.items).filter((s) => show === 'all' || (s.state === 'paused') === (show === 'paused'));
      setState({ items, more: found.some((each) => each.more), loading: false, error: null });
    } catch (error) {
      setState((s) => ({ ...s, loading: false, error }));
    }
  };
  useEffect(() => { load(); }, [show, tag]);
  useEffect(() => listen(() => { dirty.current = true; }), []);
  useEvery(1000, () => {
    if (state.items.some((s) => s.paused_until_unix_ms <= now())) dirty.current = true;
  });
  useEvery(REFRESH_MS, () => {
    if (!dirty.current) return;
    dirty.current = false;
    setTick((n) => n + 1);
    load();
  });
  useEffect(() => {
    const timer = setTimeout(() => text !== (at.query.q || '') && amend({ q: text }, { replace: true }), 200);
    return () => clearTimeout(timer);
  }, [text]);
  const low = (at.query.q || '').toLowerCase();
  const shown = state.items.filter((s) => !low || `${s.name || ''} ${s.id} ${s.expr} ${s.owner} ${s.type} ${s.tags.join(' ')}`.toLowerCase().includes(low));
  useLayoutEffect(() => {
    const step = (by) => () => setCursor((c) => Math.max(0, Math.min(shown.length - 1, c + by)));
    const open = () => shown[cursor] && go({ view: 'schedules', id: shown[cursor].id });
    return bind({ '/': () => search.current?.focus(), j: step(1), k: step(-1), ArrowDown: step(1), ArrowUp: step(-1), Enter: open, o: open });
  });
  return html`<section class="page" aria-label="Schedules">
    <div class="page-head"><h1>Schedules</h1><span class="dim">${number(shown.length)}${state.more ? '+' : ''} of ${number(state.items.length)}</span>
      ${may('schedules:write') && html`<div class="push"><${Button} onClick=${() => setBulk(true)}>By tag…<//><${Button} kind="primary" icon="plus" onClick=${() => go({ view: 'schedules', id: 'new' })}>New schedule<//></div>`}</div>
    <div class="toolbar">
      <div class="searchbox"><label class="sr" for="sched-search">Search schedules</label><input id="sched-search" ref=${search} type="search" placeholder="Name, expression, owner or tag" value=${text} onInput=${(e) => setText(e.target.value)} onKeyDown=${(e) => e.key === 'Escape' && e.target.blur()} /></div>
      <${Pills} label="Which" options=${[['all', 'All'], ['active', 'Active'], ['paused', 'Paused']]} value=${show} onChange=${(key) => amend({ show: key === 'all' ? '' : key })} />
      ${tag && html`<button type="button" class="chip on" onClick=${() => amend({ tag: '' })}>tag: ${tag} ✕</button>`}
    </div>
    ${state.error && html`<${Trouble} error=${state.error} again=${load} />`}
    ${state.loading && html`<${Loading} />`}
    ${!state.loading && !shown.length && !state.error && html`<${Empty} title=${state.items.length || low ? 'Nothing matches' : 'No schedule yet'}><p>${low ? html`No schedule has “${low}” in it.` : 'A schedule says when something is to be done, and whom to tell.'}</p><${Button} kind="primary" icon="plus" onClick=${() => go({ view: 'schedules', id: 'new' })}>New schedule<//><//>`}
    <ul class="scheds">${shown.slice(0, 500).map((s, i) => html`<${Row} key=${s.id} s=${s} tick=${tick} cursor=${i === cursor} />`)}</ul>
    ${shown.length > 500 && html`<p class="dim">The first 500 are shown: search for others.</p>`}
    ${bulk && html`<${TagDialog} tags=${[...new Set(state.items.flatMap((s) => s.tags))].sort()} onClose=${() => { setBulk(false); load(); }} />`}
  </section>`;
};

// Pause, resume or delete all schedules of a tag: what would change is shown first.
const TagDialog = ({ tags, onClose }) => {
  const [note, setNote] = useState('');
  const [until, setUntil] = useState('');
  const [wrong, setWrong] = useState('');
  const chosen = zoneOf(useSig(zone));
  const [verb, setVerb] = useState('pause');
  const [typed, setTag] = useState(null);
  const tag = typed ?? tags[0] ?? '';
  const [would, setWould] = useState({ changed: null, error: null });
  const run = async (dry, more = {}) => {
    let changed = 0;
    let token;
    do {
      const url = `/api/v1/schedules:${verb}?dry_run=${dry}${token ? `&page_token=${encodeURIComponent(token)}` : ''}`;
      const page = await post(url, { tag, ...more });
      changed += page.changed;
      token = page.next_page_token;
    } while (token);
    return changed;
  };
  useEffect(() => {
    let here = true;
    setWould({ changed: null, error: null });
    if (tag) run(true).then((changed) => here && setWould({ changed, error: null }), (error) => here && setWould({ changed: null, error }));
    return () => { here = false; };
  }, [verb, tag]);
  const act = () => {
    const end = verb === 'pause' ? pauseEnd('bulk-until', until, chosen) : { body: {} };
    setWrong(end.wrong || '');
    if (!end.wrong) change(verb === 'pause' && note.trim() ? { ...end.body, note: note.trim() } : end.body);
  };
  const change = (more) => run(false, more).then((n) => { toast(`${plural(n, 'schedule')}: ${verb}d.`); onClose(); }, (e) => toast(e.message, 'error'));
  return html`<${Dialog} title="All schedules of a tag" onClose=${onClose}>
    <${Pills} label="What to do" options=${[['pause', 'Pause'], ['resume', 'Resume'], ['delete', 'Delete']]} value=${verb} onChange=${setVerb} />
    <${Field} label="Tag" id="bulk-tag"><input id="bulk-tag" list="bulk-tags" value=${tag} onInput=${(e) => setTag(e.target.value)} /><datalist id="bulk-tags">${tags.map((each) => html`<option key=${each} value=${each} />`)}</datalist><//>
    ${verb === 'pause' && html`<${Field} label="Why (optional)" id="bulk-note"><input id="bulk-note" maxlength="500" value=${note} onInput=${(e) => setNote(e.target.value)} /><//><${PauseEnd} id="bulk-until" value=${until} onChange=${(text) => { setUntil(text); setWrong(''); }} zone=${chosen} error=${wrong} />`}
    <p aria-live="polite">${would.error ? html`<span class="wrong-why">${would.error.message}</span>` : would.changed === null ? (tag ? 'Counting…' : 'Name a tag.') : html`<b>${plural(would.changed, 'schedule')}</b> would change.`}</p>
    <footer><${Button} onClick=${onClose}>Not now<//><${Button} kind=${verb === 'delete' ? 'danger' : 'primary'} aria-disabled=${!would.changed} onClick=${() => would.changed && act()}>${verb[0].toUpperCase() + verb.slice(1)} ${would.changed ? plural(would.changed, 'schedule') : ''}<//></footer>
  <//>`;
};
