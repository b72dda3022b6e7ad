// Tasks: the live list, its search, and the task that is open beside it.


import { BulkDialog } from './bulk.mjs';
import { listen } from './feed.mjs';
import { duration, number, plural, short } from './format.mjs';
import { Grid } from './grid.mjs';
import { bind } from './keyboard.mjs';
import { QUALIFIERS, parseQuery, withTerm } from './query.mjs';
import { amend, go, route } from './router.mjs';
import { COLUMNS, ROWS_MAX, Rows } from './rows.mjs';
import { announce, live, may } from './state.mjs';
import { TaskDetail } from './task_detail.mjs';
import { Ago, Button, Empty, Shape, Status, Trouble, html, statusWord, useEffect, useLayoutEffect, useRef, useSig, useState } from './ui.mjs';

export const rows = new Rows();
// For tests and for support: what the list holds.
globalThis.chronoRows = rows;

const CHIPS = ['failed', 'timeout', 'in_progress', 'pending', 'completed', 'missed'];
const POINTING_MS = 4000; // a mouse that moved so lately is about to press something
const LIVE_WORDS = { streaming: 'Live', polling: 'Live, every 2 s', connecting: 'Connecting…', away: 'Reconnecting…', off: 'Not live' };

const wide = () => matchMedia('(min-width: 700px)').matches;

const columns = [
  { key: 'status', label: 'Status', cell: (row) => html`<${Status} status=${row.status} />` },
  { key: 'name', label: 'Name', cell: (row) => html`<span class="name" title=${row.name || ''}>${row.name || html`<span class="dim">unnamed</span>`}</span>${row.late ? html`<span class="tag late" title=${`${row.lateness_ms} ms after its instant`}>late</span>` : ''}` },
  { key: 'id', label: 'Id', cell: (row) => html`<code title=${row.id}>${short(row.id)}</code>` },
  { key: 'owner', label: 'Owner', cell: (row) => row.owner },
  { key: 'lateness', label: 'Lateness', cell: (row) => (row.lateness_ms === null || row.lateness_ms === undefined ? html`<span class="dim">–</span>` : duration(row.lateness_ms)) },
  { key: 'duration', label: 'Took', cell: (row) => (row.duration_ms === undefined ? html`<span class="dim">–</span>` : duration(row.duration_ms)) },
  { key: 'created', label: 'Due', cell: (row) => html`<${Ago} ms=${row.firing_time_unix_ms} />` },
];

const sortOf = (text) => {
  const column = (text || '-created').replace(/^-/, '');
  return column in COLUMNS ? { column, descending: !text || text.startsWith('-') } : { column: 'created', descending: true };
};

export const Tasks = () => {
  const at = useSig(route);
  const feed = useSig(live);
  useSig(rows.changed);
  const grid = useRef();
  const search = useRef();
  const pointedMs = useRef(-Infinity);
  const [text, setText] = useState(at.query.q || '');
  const [bulk, setBulk] = useState(null);
  const [isWide, setWide] = useState(wide());
  const asked = at.query.q || '';
  const sort = sortOf(at.query.sort);
  const parsed = parseQuery(asked);
  const open = at.id;

  useEffect(() => {
    const query = matchMedia('(min-width: 700px)');
    const read = () => setWide(wide());
    query.addEventListener('change', read);
    return () => query.removeEventListener('change', read);
  }, []);
  useEffect(() => {
    setText(asked);
    if (!parsed.problems.length) rows.begin(parsed, sort);
    if (grid.current) grid.current.scrollTop = 0;
  }, [asked]);
  useEffect(() => {
    if (rows.list.length && (rows.sort.column !== sort.column || rows.sort.descending !== sort.descending)) rows.order(sort);
  }, [at.query.sort]);
  useLayoutEffect(() => {
    rows.held = () => rows.list.length > 0 && (performance.now() - pointedMs.current < POINTING_MS || (grid.current && grid.current.scrollTop > 0) || (document.activeElement === grid.current && Boolean(route.peek().id)));
    const stop = listen((news) => {
      if (news.reset) rows.begin(rows.query, rows.sort);
      else if (news.begun) rows.lookAgain();
      else rows.hear(news.tasks);
    });
    const keys = bind({ '/': () => search.current?.focus(), b: () => setBulk('retry'), n: () => showFresh() });
    return () => {
      stop();
      keys();
    };
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => text !== asked && amend({ q: text }, { replace: true }), 250);
    return () => clearTimeout(timer);
  }, [text]);

  const showFresh = () => {
    const count = rows.fresh.length;
    rows.showFresh();
    if (grid.current) grid.current.scrollTop = 0;
    if (count) announce(`${plural(count, 'new task')} shown.`);
  };
  const onSort = (key) => {
    const descending = sort.column === key ? !sort.descending : ['created', 'duration', 'lateness', 'attempt'].includes(key);
    amend({ sort: key === 'created' && descending ? undefined : `${descending ? '-' : ''}${key}` });
  };
  const openRow = (row) => go({ view: 'tasks', id: row.id, query: at.query });
  const status = /(?:^|\s)status:([\w,]+)/.exec(asked)?.[1] || '';
  const loaded = rows.list.length;
  const sorted = sort.column === 'created' && sort.descending
    ? `newest first`
    : `sorted by ${columns.find((c) => c.key === sort.column)?.label.toLowerCase() || sort.column} within the ${number(loaded)} loaded`;

  return html`<div class=${`split${open ? ' opened' : ''}`}>
    <section class="main-pane" aria-label="Tasks">
      <div class="toolbar">
        <div class="searchbox">
          <label for="search" class="sr">Search tasks</label>
          <input ref=${search} id="search" type="search" autocomplete="off" spellcheck="false" placeholder="status:failed owner:ann name:inv*" value=${text}
            aria-describedby="search-help" onInput=${(e) => setText(e.target.value)}
            onKeyDown=${(e) => { if (e.key === 'Enter') amend({ q: text }); if (e.key === 'Escape') e.target.blur(); if (e.key === 'ArrowDown') grid.current?.focus(); }} />
          <details class="help-menu"><summary aria-label="What can be searched">?</summary><dl id="search-help">${QUALIFIERS.map(([q, what]) => html`<dt key=${q}><code>${q}</code></dt><dd>${what}</dd>`)}</dl></details>
        </div>
        <div class="chips" role="group" aria-label="Filter by status">
          ${CHIPS.map((each) => html`<button key=${each} type="button" class=${`chip${status === each ? ' on' : ''}`} aria-pressed=${status === each}
              onClick=${() => amend({ q: withTerm(asked, 'status', status === each ? '' : each) })}><${Shape} status=${each} size="12" />${statusWord(each)}</button>`)}
        </div>
      </div>
      ${parsed.problems.map((why) => html`<p class="wrong-why" role="alert">${why}</p>`)}
      <div class="statusline">
        <span class=${`livedot ${feed.mode}`} title=${feed.detail}>${LIVE_WORDS[feed.mode]}</span>
        <span><b>${number(loaded)}</b> loaded${rows.next ? ' so far' : ''}, ${rows.sorting ? 'sorting…' : sorted}</span>
        ${rows.next && (rows.loadingAll ? html`<${Button} kind="quiet small" onClick=${() => rows.stopAll()}>Stop loading<//>` : html`<${Button} kind="quiet small" onClick=${() => rows.all()}>Load all (up to ${number(ROWS_MAX)})<//>`)}
        <span class="push">${(may('executions:retry') || may('executions:cancel')) && html`<${Button} kind="small" icon="retry" onClick=${() => setBulk('retry')} title="Retry or cancel all that match (b)">Bulk…<//>`}</span>
      </div>
      <div class="gridbox" onPointerMove=${() => { pointedMs.current = performance.now(); }} onPointerLeave=${() => { pointedMs.current = -Infinity; }}>
        ${rows.fresh.length > 0 && html`<button type="button" class="fresh" onClick=${showFresh}>${number(rows.fresh.length)} new · show</button>`}
        ${rows.error && !loaded
          ? html`<${Trouble} error=${rows.error} again=${() => rows.begin(parsed, sort)} />`
          : html`<${Grid} rows=${rows} columns=${isWide ? columns : columns.filter((c) => ['status', 'name', 'created'].includes(c.key))} label="Tasks" cursor=${open || at.query.at} gridRef=${grid}
              rowHeight=${isWide ? 36 : 48} sort=${sort} onSort=${onSort} onNearEnd=${() => rows.more(100)} onOpen=${openRow}
              onCursor=${(row) => (open ? go({ view: 'tasks', id: row.id, query: at.query }, { replace: true }) : amend({ at: row.id }, { replace: true }))} />`}
        ${!loaded && !rows.loading && !rows.error && html`<${Nothing} asked=${asked} />`}
      </div>
    </section>
    ${open && html`<${TaskDetail} key=${open} id=${open} onClose=${() => { go({ view: 'tasks', query: { ...at.query, at: open } }); grid.current?.focus(); }} />`}
    ${bulk && html`<${BulkDialog} parsed=${parsed} asked=${asked} action=${bulk} onClose=${() => setBulk(null)} />`}
  </div>`;
};

const Nothing = ({ asked }) =>
  asked
    ? html`<${Empty} title="Nothing matches">
        <p>No task is like <code>${asked}</code>.</p>
        <${Button} onClick=${() => amend({ q: '' })}>Show all tasks<//>
      <//>`
    : html`<${Empty} title="No task yet">
        <p>A task is one firing of a schedule. Make a schedule, and its first task appears here at its instant.</p>
        ${may('schedules:write') && html`<${Button} kind="primary" icon="plus" onClick=${() => go({ view: 'schedules', id: 'new' })}>New schedule<//>`}
      <//>`;

