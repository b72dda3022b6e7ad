// One task: what became of it, why, and what can be done about it.

import { call, get, id as enc, post } from './api.mjs';
import { listen } from './feed.mjs';
import { clock, duration, number, plural, zoneOf } from './format.mjs';
import { bind } from './keyboard.mjs';
import { go, href } from './router.mjs';
import { may as allowed, toast, zone } from './state.mjs';
import { withTerm } from './query.mjs';
import { Why } from './why.mjs';
import { Act, Button, Dialog, Icon, Loading, Shape, Status, Time, Tree, Trouble, copy, html, statusWord, useEffect, useLayoutEffect, useLoad, useRef, useSig, useState } from './ui.mjs';

const RETRIABLE = ['failed', 'timeout', 'missed', 'cancelled', 'skipped'];
const OPEN = ['pending', 'in_progress'];
const LOGS_EVERY_MS = 2000;

export const TaskDetail = ({ id, onClose }) => {
  const { value: task, error, loading, again } = useLoad((signal) => get(`/api/tasks/${enc(id)}`, {}, { signal }), [id]);
  const [editing, setEditing] = useState(false);
  const [why, setWhy] = useState(false);
  const heading = useRef();
  useEffect(() => {
    let timer = 0;
    const stop = listen((news) => {
      if (news.tasks && !news.tasks.some((each) => each.id === id)) return;
      clearTimeout(timer);
      timer = setTimeout(again, 120);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [id]);
  const retry = async (payload) => {
    await post(`/api/tasks/${enc(id)}/retry`, payload === undefined ? {} : { payload });
    again();
  };
  const cancel = async () => {
    await call('DELETE', `/api/tasks/${enc(id)}`);
    again();
  };
  // At once with what is shown: a key pressed then must not find nothing.
  useLayoutEffect(() => {
    const quietly = (act, done) => () => act().then(() => toast(done), (e) => toast(e.message, 'error'));
    const may = (states, act) => () => task && states.includes(task.status) && act();
    return bind({
      r: may(RETRIABLE, quietly(() => retry(), 'Retried.')), e: may(RETRIABLE, () => setEditing(true)),
      x: may(OPEN, quietly(cancel, 'Cancelled.')), w: () => setWhy((w) => !w), Escape: onClose,
    });
  }, [task]);

  return html`<aside class="detail" aria-label="Task" tabindex="-1" ref=${heading}>
    <header class="detail-head">
      <button type="button" class="btn quiet back" onClick=${onClose} aria-label="Close the task (Esc)"><${Icon} name="close" /></button>
      <div class="detail-title"><h2>${task ? task.name || 'unnamed' : 'Task'}</h2><button type="button" class="idcopy" title="Copy the id" onClick=${() => copy(id)}><code>${id}</code><${Icon} name="copy" size="12" /></button></div>
    </header>
    ${error && !task && html`<${Trouble} error=${error} again=${again} />`}
    ${loading && !task && html`<${Loading} />`}
    ${task && html`
      <div class="verdict"><${Status} status=${task.status} big=${true} /><span aria-live="polite" class="sr">${statusWord(task.status)}</span>
        <div class="acts">
          ${RETRIABLE.includes(task.status) && allowed('executions:retry') && html`<${Act} icon="retry" kind="primary" act=${() => retry()} done="Retried.">Retry<//><${Button} icon="edit" onClick=${() => setEditing(true)}>Edit and retry…<//>`}
          ${OPEN.includes(task.status) && allowed('executions:cancel') && html`<${Act} icon="cancel" kind="danger" act=${cancel} done="Cancelled.">Cancel<//>`}
          <${Button} icon="help" aria-expanded=${why} onClick=${() => setWhy(!why)}>Why?<//>
        </div>
      </div>
      ${why && html`<${Why} scheduleId=${task.schedule_id} atMs=${task.firing_time_unix_ms} asked=${id.endsWith('-m')} />`}
      <dl class="facts">
        <div><dt>Due</dt><dd><${Time} ms=${task.firing_time_unix_ms} exact=${true} /></dd></div>
        <div><dt>Lateness</dt><dd class=${task.late ? 'warn' : ''}>${duration(task.lateness_ms)}${task.late ? ', late' : ''}</dd></div>
        <div><dt>Took</dt><dd>${duration(task.duration_ms)}</dd></div>
        ${task.held && html`<div><dt>Held by a pause of the queue</dt><dd class="warn">${task.held.until_unix_ms ? duration(task.held.until_unix_ms - task.held.from_unix_ms) : 'still'}</dd></div>`}
        <div><dt>Attempt</dt><dd>${task.attempt}</dd></div>
        <div><dt>Owner</dt><dd>${task.owner}</dd></div>
        <div><dt>Target</dt><dd>${task.target.type}</dd></div>
        <div><dt>Fencing token</dt><dd>${number(task.fencing_token)}</dd></div>
        <div><dt>Schedule</dt><dd><a href=${href({ view: 'schedules', id: task.schedule_id })}>${task.name || task.schedule_id}</a></dd></div>
        <div><dt>Trace</dt><dd>${task.trace_url ? html`<a href=${task.trace_url} target="_blank" rel="noopener noreferrer">Open the trace <${Icon} name="link" size="12" /></a>` : html`<button type="button" class="idcopy" onClick=${() => copy(task.trace_id)} title="Copy the trace id"><code>${task.trace_id.slice(0, 16)}…</code><${Icon} name="copy" size="12" /></button>`}</dd></div>
      </dl>
      ${task.error && html`<${ErrorBox} task=${task} />`}
      ${task.result !== undefined && html`<section class="block"><h3>Result</h3><div class="codebox"><${Tree} value=${task.result} /></div></section>`}
      <${History} task=${task} />
      <${Attempts} attempts=${task.attempts} />
      <section class="block"><h3>Payload</h3><div class="codebox"><${Tree} value=${task.payload} /></div></section>
      <${Logs} key=${id} id=${id} first=${task.logs} more=${task.more_logs} running=${OPEN.includes(task.status)} />
      ${editing && html`<${EditPayload} task=${task} retry=${retry} onClose=${() => setEditing(false)} />`}`}
  </aside>`;
};

const ErrorBox = ({ task }) => {
  const print = task.error_fingerprint;
  const { value: day, again } = useLoad((signal) => get('/api/tasks/metrics', {}, { signal }), [print]);
  const alike = day?.errors_24h.find((each) => each.error_fingerprint === print);
  const looks = useRef(0);
  useEffect(() => { // the counts come some seconds after the task
    if (!day || alike || looks.current >= 5) return undefined;
    looks.current += 1;
    const later = setTimeout(again, 2000);
    return () => clearTimeout(later);
  }, [day]);
  const among = day?.more_24h ? ' among its newest 2,000 tasks' : '';
  const often = alike ? `${plural(alike.count, 'task')} with it in the last 24 hours${among}` : `in the last 24 hours${among} it is not among the most frequent errors`;
  const words = task.error.replace(/'[^']*'|"[^"]*"/g, ' ').split(/\s+/).find((word) => /^[a-z]{4,}$/i.test(word));
  return html`<section class="block errorbox"><h3>Error</h3><pre>${task.error}</pre>
    <p class="dim">Fingerprint <code>${print}</code>${day ? `: ${often}.` : ''}
    ${words && html` <button type="button" class="linkish" onClick=${() => go({ view: 'tasks', query: { q: withTerm('', 'error', words) } })}>Show alike</button>`}</p></section>`;
};

const History = ({ task }) => {
  const whole = Math.max(1, task.history.reduce((sum, step) => sum + step.duration_ms, 0));
  const chosen = zoneOf(useSig(zone));
  return html`<section class="block"><h3>History</h3>
    <ol class="history">
      ${task.history.map((step, i) => html`<li key=${i}>
        <${Shape} status=${step.to} /><div><b>${statusWord(step.to)}</b> <span class="dim">at ${clock(step.at_unix_ms, chosen)}.${String(step.at_unix_ms % 1000).padStart(3, '0')}, after ${duration(step.duration_ms)} ${statusWord(step.from)}</span>${step.reason && html`<div class="dim">${step.reason}</div>`}
        <span class="bar" aria-hidden="true"><span class=${`fill b-${step.from}`} style=${{ width: `${Math.max(1, (100 * step.duration_ms) / whole)}%` }}></span></span></div>
      </li>`)}
      ${!task.history.length && html`<li class="dim">It has not begun.</li>`}
    </ol></section>`;
};

const Attempts = ({ attempts }) =>
  attempts.length > 0 && html`<section class="block"><h3>Attempts</h3>
    ${[...attempts].reverse().map((each) => html`<article class="attempt" key=${each.number}>
      <header><${Shape} status=${each.outcome || 'in_progress'} /><b>#${each.number}</b> <span>${each.outcome ? statusWord(each.outcome) : 'running'}</span>
        ${each.http_status && html`<span class=${`tag ${each.http_status < 400 ? 'good' : 'bad'}`}>HTTP ${each.http_status}</span>`}${each.error_type && html`<span class="tag bad">${each.error_type.replace(/_/g, ' ')}</span>`}
        <span class="dim push"><${Time} ms=${each.started_unix_ms} exact=${true} plain=${true} />${each.finished_unix_ms ? `, took ${duration(each.finished_unix_ms - each.started_unix_ms)}` : ''}</span></header>
      ${each.error && html`<pre>${each.error}</pre>`}
      ${each.receipt && html`<p>Receipt</p><div class="codebox"><${Tree} value=${each.receipt} /></div>`}
      ${each.response && html`<${TargetsAnswer} answer=${each.response} />`}
      ${each.late_answer && html`<p class="note">An answer came after the attempt had ended; it had no effect.</p><div class="codebox"><${Tree} value=${each.late_answer} /></div>`}
    </article>`)}
  </section>`;

const TargetsAnswer = ({ answer }) => {
  const body = answer.body_excerpt ?? answer.body ?? answer.excerpt;
  return html`<details class="answer"><summary>The target’s answer${answer.status ? ` (${answer.status})` : ''}</summary>
    ${answer.headers && html`<table class="plain"><tbody>${Object.entries(answer.headers).map(([name, value]) => html`<tr key=${name}><th scope="row">${name}</th><td>${String(value)}</td></tr>`)}</tbody></table>`}
    ${body !== undefined && body !== null && html`<pre>${body}</pre>`}
    ${(answer.truncated || answer.body_truncated) && html`<p class="dim">The rest was not kept.</p>`}
  </details>`;
};

const Logs = ({ id, first, more, running }) => {
  const [lines, setLines] = useState(first);
  const chosen = zoneOf(useSig(zone));
  const box = useRef();
  const load = async () => {
    const all = [];
    let token;
    do {
      const page = await get(`/api/v1/executions/${enc(id)}/logs`, { limit: 100, page_token: token });
      all.push(...page.items);
      token = page.next_page_token;
    } while (token && all.length < 5000);
    setLines(all);
  };
  useEffect(() => {
    if (more) load().catch(() => {});
    if (!running) return undefined;
    const timer = setInterval(() => document.visibilityState === 'visible' && load().catch(() => {}), LOGS_EVERY_MS);
    return () => clearInterval(timer);
  }, [running]);
  useEffect(() => setLines((known) => (first.length > known.length ? first : known)), [first.length]);
  useEffect(() => {
    if (running && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines.length]);
  return html`<section class="block"><h3>Logs ${running ? html`<span class="livedot streaming">Live</span>` : ''}</h3>
    ${lines.length ? html`<div class="logs" ref=${box} tabindex="0" role="log" aria-label="Logs">${lines.map((line, i) => html`<div key=${i} class=${`log l-${line.level}`}><time>${clock(line.at_unix_ms, chosen)}.${String(line.at_unix_ms % 1000).padStart(3, '0')}</time> <b>${line.level}</b> <span>${line.message}</span></div>`)}</div>`
      : html`<p class="dim">None. The job may write some: <code>POST /api/v1/executions/${id.slice(0, 6)}…/logs</code></p>`}
  </section>`;
};

const EditPayload = ({ task, retry, onClose }) => {
  const [text, setText] = useState(JSON.stringify(task.payload, null, 2));
  const [wrong, setWrong] = useState('');
  const read = (t) => {
    try {
      JSON.parse(t);
      setWrong('');
    } catch (problem) {
      setWrong(problem.message);
    }
  };
  const send = async () => {
    if (wrong) return false;
    await retry(JSON.parse(text));
    onClose();
    return true;
  };
  return html`<${Dialog} title="Retry with another payload" onClose=${onClose}>
    <p>The same task is tried again with what you write here. Its schedule keeps its own payload.</p>
    <label for="payload" class="sr">Payload, JSON</label>
    <textarea id="payload" data-first class="code" rows="12" spellcheck="false" aria-invalid=${Boolean(wrong)} value=${text} onInput=${(e) => { setText(e.target.value); read(e.target.value); }}></textarea>
    ${wrong && html`<p class="wrong-why" role="alert">Not JSON: ${wrong}</p>`}
    <footer><${Button} onClick=${onClose}>Not now<//><${Act} kind="primary" icon="retry" aria-disabled=${Boolean(wrong)} act=${send} done="Retried with the new payload.">Retry<//></footer>
  <//>`;
};

