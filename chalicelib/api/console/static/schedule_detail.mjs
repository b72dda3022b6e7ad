// One schedule: how it does, what it owed, what it was, and what can be done with it.

import { call, create, get, id as enc, pages, post } from './api.mjs';
import { CalendarStrip } from './calendar.mjs';
import { listen } from './feed.mjs';
import { duration, instantOf, minuteOf, number, plural, quantile, wallOf, zoneOf } from './format.mjs';
import { bind } from './keyboard.mjs';
import { Ledger } from './ledger.mjs';
import { go, href } from './router.mjs';
import { PauseEnd, pauseEnd } from './pause_end.mjs';
import { Sparkline } from './sparkline.mjs';
import { may, now, toast, zone } from './state.mjs';
import { Versions } from './versions.mjs';
import { Why } from './why.mjs';
import { inWords } from './words.mjs';
import { Act, Button, Dialog, Field, Icon, Loading, Status, Tabs, Time, Tree, Trouble, copy, html, useEffect, useLayoutEffect, useLoad, useSig, useState } from './ui.mjs';

const TABS = [['overview', 'Overview'], ['ledger', 'Ledger'], ['why', 'Why'], ['versions', 'Versions'], ['json', 'JSON']];

export const ScheduleDetail = ({ id, tab }) => {
  const { value: s, error, again } = useLoad((signal) => get(`/api/v1/schedules/${enc(id)}`, {}, { signal }), [id]);
  const runs = useLoad((signal) => get(`/api/v1/schedules/${enc(id)}/executions`, { limit: 50 }, { signal }), [id]);
  const [dialog, setDialog] = useState('');
  useEffect(() => {
    let timer = 0;
    const stop = listen((news) => {
      if (timer || (news.tasks && !news.tasks.some((task) => task.schedule_id === id))) return;
      timer = setTimeout(() => {
        timer = 0;
        again();
        runs.again();
      }, 400);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [id]);
  // What ends by itself is shown when it does: no change says so.
  useEffect(() => {
    const ends = s?.paused_until_unix_ms;
    if (!ends) return undefined;
    const timer = setTimeout(again, Math.min(Math.max(0, ends - now()) + 50, 2 ** 31 - 1));
    return () => clearTimeout(timer);
  }, [s?.paused_until_unix_ms]);
  const resume = () => post(`/api/v1/schedules/${enc(id)}:resume`).then(again);
  useLayoutEffect(() => bind({
    p: () => s && (s.state === 'paused' ? resume().then(() => toast('Resumed.'), (e) => toast(e.message, 'error')) : setDialog('pause')),
    f: () => setDialog('trigger'), e: () => go({ view: 'schedules', id, tab: 'edit' }), Escape: () => go({ view: 'schedules' }),
  }), [s]);
  if (error && !s) return html`<section class="page"><${Trouble} error=${error} again=${again} /></section>`;
  if (!s) return html`<section class="page"><${Loading} /></section>`;
  const close = () => setDialog('');
  const done = () => {
    close();
    again();
  };
  return html`<section class="page" aria-label="Schedule">
    <div class="page-head"><a class="btn quiet" href=${href({ view: 'schedules' })} aria-label="All schedules"><${Icon} name="back" /></a>
      <h1>${s.name || 'unnamed'}</h1><${Status} status=${s.state === 'completed' ? 'cancelled' : s.state} />
      <button type="button" class="idcopy" onClick=${() => copy(s.id)} title="Copy the id"><code>${s.id}</code><${Icon} name="copy" size="12" /></button></div>
    <div class="acts wrap">
      ${may('schedules:trigger') && html`<${Button} icon="play" kind="primary" onClick=${() => setDialog('trigger')}>Fire now…<//>`}
      ${may('schedules:write') && html`${s.state === 'paused' ? html`<${Act} icon="play" act=${resume} done="Resumed.">Resume<//>` : s.state === 'active' && html`<${Button} icon="pause" onClick=${() => setDialog('pause')}>Pause…<//>`}
      <${Button} icon="edit" onClick=${() => go({ view: 'schedules', id, tab: 'edit' })}>Edit<//>
      <${Button} icon="clock" onClick=${() => setDialog('backfill')}>Backfill…<//>
      <${Button} icon="trash" kind="danger" onClick=${() => setDialog('delete')}>Delete…<//>`}
      <a class="btn" href=${href({ view: 'tasks', query: { q: `schedule:${s.id}` } })}><${Icon} name="tasks" size="14" />Its tasks</a>
    </div>
    ${(s.note || s.paused_until_unix_ms) && html`<p class="note">Paused${s.paused_until_unix_ms ? html` until <${Time} ms=${s.paused_until_unix_ms} />` : ''}${s.note ? `: ${s.note}` : '.'}</p>`}
    <${Tabs} tabs=${TABS} at=${tab} href=${(key) => href({ view: 'schedules', id, tab: key === 'overview' ? '' : key })} />
    ${tab === 'overview' && html`<${Overview} s=${s} runs=${runs.value?.items || []} />`}
    ${tab === 'ledger' && html`<${Ledger} id=${id} />`}
    ${tab === 'why' && html`<${WhyTab} s=${s} />`}
    ${tab === 'versions' && html`<${Versions} id=${id} current=${s} onChanged=${again} />`}
    ${tab === 'json' && html`<div class="codebox"><${Tree} value=${s} /></div>`}
    ${dialog === 'trigger' && html`<${Trigger} s=${s} onClose=${close} />`}
    ${dialog === 'pause' && html`<${Pause} s=${s} onClose=${close} done=${done} />`}
    ${dialog === 'backfill' && html`<${Backfill} s=${s} onClose=${close} />`}
    ${dialog === 'delete' && html`<${Delete} s=${s} onClose=${close} />`}
  </section>`;
};

const Overview = ({ s, runs }) => {
  const preview = useLoad((signal) => post('/api/v1/schedules:preview', {
    type: s.type, expr: s.expr, timezone: s.timezone, dst_gap: s.dst_gap, dst_overlap: s.dst_overlap, count: 100, ...(s.exclude.length ? { exclude: s.exclude } : {}),
    ...(s.start_at_unix_ms ? { start_at_unix_ms: s.start_at_unix_ms } : s.type === 'RATE' || s.type === 'ISO8601' ? { start_at_unix_ms: s.next_run_unix_ms || s.created_at_unix_ms } : {}), ...(s.end_at_unix_ms ? { end_at_unix_ms: s.end_at_unix_ms } : {}),
  }, { signal }), [s.version]);
  const late = runs.map((run) => run.lateness_ms).filter((ms) => ms !== null && ms !== undefined).sort((a, b) => a - b);
  const ended = runs.filter((run) => !['pending', 'in_progress'].includes(run.delivery_state));
  const bad = ended.filter((run) => ['failed', 'timeout', 'missed'].includes(run.delivery_state)).length;
  return html`<div class="cards">
    <article class="card"><h3>Next run</h3><p class="bigfact"><${Time} ms=${s.next_run_unix_ms} /></p><p class="dim">${s.description || inWords(s.type, s.expr, s.timezone)}</p><p><code>${s.expr}</code> <span class="dim">${s.timezone}</span></p></article>
    <article class="card"><h3>${runs.length ? `Last ${plural(runs.length, 'run')}` : 'No run yet'}</h3><${Sparkline} runs=${runs} slots="50" />
      <dl class="facts"><div><dt>Lateness, middle</dt><dd>${duration(quantile(late, 0.5))}</dd></div><div><dt>99 of 100 below</dt><dd>${duration(quantile(late, 0.99))}</dd></div><div><dt>Failed or missed</dt><dd class=${bad ? 'warn' : ''}>${bad} of ${ended.length}</dd></div><div><dt>Runs in all</dt><dd>${number(s.run_count)}</dd></div></dl></article>
    <article class="card"><h3>How</h3><dl class="facts"><div><dt>Target</dt><dd>${s.target.type} <code class="break">${s.target.url || s.target.bus || s.target.queue_url || s.target.topic_arn || s.target.function || ''}</code></dd></div><div><dt>Owner</dt><dd>${s.owner}</dd></div><div><dt>Overlap</dt><dd>${s.overlap}</dd></div><div><dt>Attempts</dt><dd>${s.retry_policy.max_attempts}</dd></div><div><dt>Catch up</dt><dd>${duration(s.catch_up_window_ms)}</dd></div><div><dt>Tags</dt><dd>${s.tags.map((tag) => html`<a class="tag" key=${tag} href=${href({ view: 'schedules', query: { tag } })}>${tag}</a> `)}${!s.tags.length && '–'}</dd></div></dl></article>
    <article class="card wide"><h3>Calendar</h3>${preview.error ? html`<p class="dim">${preview.error.message}</p>` : preview.value ? html`<${CalendarStrip} runs=${preview.value.runs_unix_ms} dst=${preview.value.dst} zone=${s.timezone} fromMs=${now()} complete=${preview.value.runs_unix_ms.length < 100} />` : html`<${Loading} />`}</article>
    <article class="card wide"><h3>Runs</h3><div class="tablebox"><table class="plain"><thead><tr><th scope="col">Status</th><th scope="col">Due</th><th scope="col">Lateness</th><th scope="col">Attempt</th></tr></thead><tbody>
      ${runs.slice(0, 20).map((run) => html`<tr key=${run.id}><td><${Status} status=${run.delivery_state} /></td><td><a href=${href({ view: 'tasks', id: run.id, query: { q: `schedule:${s.id}` } })}><${Time} ms=${run.firing_time_unix_ms} exact=${true} plain=${true} /></a></td><td>${duration(run.lateness_ms)}</td><td>${run.attempt}</td></tr>`)}
    </tbody></table></div></article>
  </div>`;
};

const WhyTab = ({ s }) => {
  const [at, setAt] = useState(wallOf(s.next_run_unix_ms || minuteOf(now()), s.timezone));
  const [ms, setMs] = useState(s.next_run_unix_ms || minuteOf(now()));
  const pick = (text) => {
    setAt(text);
    const found = instantOf(text, s.timezone);
    if (found !== null) setMs(found);
  };
  return html`<div class="whytab"><${Field} label=${`Why does it run, or not, at (${s.timezone})`} id="why-at"><input id="why-at" type="datetime-local" step="0.001" value=${at} onInput=${(e) => pick(e.target.value)} /><//><${Why} scheduleId=${s.id} atMs=${ms} /></div>`;
};

const Trigger = ({ s, onClose }) => {
  const [text, setText] = useState(JSON.stringify(s.payload ?? null, null, 2));
  const [wrong, setWrong] = useState('');
  const fire = async () => {
    let payload;
    try {
      payload = JSON.parse(text);
    } catch (problem) {
      setWrong(problem.message);
      return false;
    }
    const made = await create(`/api/v1/schedules/${enc(s.id)}:trigger`, { payload });
    onClose();
    go({ view: 'tasks', id: made.execution_id });
    return true;
  };
  return html`<${Dialog} title="Fire now" onClose=${onClose}><p>A run beside its schedule, with this payload.</p>
    <${Field} label="Payload, JSON" id="trigger-payload" error=${wrong && `not JSON: ${wrong}`}><textarea id="trigger-payload" class="code" rows="8" spellcheck="false" value=${text} onInput=${(e) => { setText(e.target.value); setWrong(''); }}></textarea><//>
    <footer><${Button} onClick=${onClose}>Not now<//><${Act} kind="primary" icon="play" act=${fire} done="Fired.">Fire<//></footer><//>`;
};

const Pause = ({ s, onClose, done }) => {
  const [note, setNote] = useState('');
  const [until, setUntil] = useState('');
  const [wrong, setWrong] = useState('');
  const pause = async () => {
    const end = pauseEnd('pause-until', until, s.timezone);
    setWrong(end.wrong || '');
    if (end.wrong) return false;
    await post(`/api/v1/schedules/${enc(s.id)}:pause`, { ...end.body, ...(note.trim() ? { note: note.trim() } : {}) });
    done();
    return true;
  };
  return html`<${Dialog} title="Pause the schedule" onClose=${onClose}><p>Nothing fires for the time of the pause, and nothing of it is caught up.</p>
    <${Field} label="Why (optional)" id="pause-note" hint="Shown to those who find it paused."><input id="pause-note" maxlength="500" value=${note} onInput=${(e) => setNote(e.target.value)} /><//>
    <${PauseEnd} id="pause-until" value=${until} onChange=${(text) => { setUntil(text); setWrong(''); }} zone=${s.timezone} error=${wrong} />
    <footer><${Button} onClick=${onClose}>Not now<//><${Act} kind="primary" icon="pause" act=${pause} done="Paused.">Pause<//></footer><//>`;
};

const MOST = 1000;
const Backfill = ({ s, onClose }) => {
  const [from, setFrom] = useState(wallOf(minuteOf(now() - 3600e3), s.timezone));
  const [to, setTo] = useState(wallOf(minuteOf(now()), s.timezone));
  const [found, setFound] = useState(null);
  const [error, setError] = useState('');
  const body = () => ({ from_unix_ms: instantOf(from, s.timezone), to_unix_ms: instantOf(to, s.timezone) });
  // What would fire: what is owed by the recurrence and has no execution yet.
  const look = async () => {
    const { from_unix_ms: fromMs, to_unix_ms: toMs } = body();
    setError('');
    try {
      const recurrence = { type: s.type, expr: s.expr, timezone: s.timezone, dst_gap: s.dst_gap, dst_overlap: s.dst_overlap, ...(s.exclude.length ? { exclude: s.exclude } : {}) };
      const anchor = s.start_at_unix_ms ?? (['RATE', 'ISO8601'].includes(s.type) ? s.next_run_unix_ms : null);
      const preview = await post('/api/v1/schedules:preview', { ...recurrence, after_unix_ms: Math.max(0, fromMs - 1), count: MOST, ...(anchor && anchor <= fromMs ? { start_at_unix_ms: anchor } : {}) });
      const had = await pages(`/api/v1/schedules/${enc(s.id)}/executions`, { from_unix_ms: fromMs, to_unix_ms: toMs }, { most: MOST });
      const known = new Set(had.items.map((run) => run.firing_time_unix_ms));
      if (preview.runs_unix_ms.length === MOST && preview.runs_unix_ms[MOST - 1] < toMs) throw new Error(`There are more than ${number(MOST)} instants between these two: choose a shorter span.`);
      setFound(preview.runs_unix_ms.filter((ms) => ms <= toMs && !known.has(ms)));
    } catch (problem) {
      setFound(null);
      setError(problem.message);
    }
  };
  const chosen = zoneOf(useSig(zone));
  const run = async () => {
    const made = await create(`/api/v1/schedules/${enc(s.id)}:backfill`, body());
    onClose();
    return made;
  };
  return html`<${Dialog} title="Backfill" onClose=${onClose}><p>Fires the instants between these two that have no execution. Both ends count.</p>
    <div class="two"><${Field} label="From" id="bf-from"><input id="bf-from" type="datetime-local" step="1" value=${from} onInput=${(e) => { setFrom(e.target.value); setFound(null); }} /><//><${Field} label="To" id="bf-to"><input id="bf-to" type="datetime-local" step="1" value=${to} onInput=${(e) => { setTo(e.target.value); setFound(null); }} /><//></div>
    ${error && html`<p class="wrong-why" role="alert">${error}</p>`}
    ${found && html`<p aria-live="polite"><b>${plural(found.length, 'run')}</b> would fire.</p>${found.length > 0 && html`<ul class="dryrun">${found.slice(0, 8).map((ms) => html`<li key=${ms}><${Time} ms=${ms} plain=${true} zoneName=${chosen} /></li>`)}${found.length > 8 ? html`<li class="dim">and ${number(found.length - 8)} more</li>` : ''}</ul>`}`}
    <footer><${Button} onClick=${onClose}>Not now<//><${Button} onClick=${look}>Look first (dry run)<//><${Act} kind="primary" act=${run} done=${(made) => `${plural(made.count, 'run')} fire now.`}>Fire ${found ? plural(found.length, 'run') : 'them'}<//></footer><//>`;
};

const Delete = ({ s, onClose }) => {
  const remove = async () => {
    await call('DELETE', `/api/v1/schedules/${enc(s.id)}`, { more: { 'if-match': `"${s.version}"` } });
    go({ view: 'schedules' });
  };
  return html`<${Dialog} title="Delete the schedule" onClose=${onClose} kind="danger"><p>Nothing of <b>${s.name || s.id}</b> fires any more. Its executions stay readable until their retention ends.</p>
    <footer><${Button} data-first onClick=${onClose}>Keep it<//><${Act} kind="danger" icon="trash" act=${remove} done="Deleted.">Delete<//></footer><//>`;
};

