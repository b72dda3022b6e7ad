// Making and editing a schedule, with its coming runs beside the fields as one types.

import { create, get, id as enc, patch, post } from './api.mjs';
import { CalendarStrip } from './calendar.mjs';
import { browserZone, dateTime, instantOf, isZone, nextShift, plural, wallOf } from './format.mjs';
import { go } from './router.mjs';
import { now, toast } from './state.mjs';
import { inWords } from './words.mjs';
import { Button, Field, Icon, Loading, Pills, Trouble, html, showWrong, useEffect, useRef, useState } from './ui.mjs';

const TYPES = [
  ['CRON', 'Cron', '0 2 * * *', 'Five or six fields: minute hour day month weekday, seconds before them if need be.'],
  ['RATE', 'Rate', 'rate:5m', 'rate:30s, rate:5m, rate:1h: counted from its start, never drifting.'],
  ['ISO8601', 'Period', 'P1M', 'PT5M, P1D, P1M, or R5/2026-12-01T10:00:00Z/PT5M.'],
  ['RRULE', 'RRULE', 'FREQ=WEEKLY;BYDAY=MO,WE', 'The rules of calendars (RFC 5545).'],
  ['DELAY', 'Delay', 'delay:30s', 'So long after the end of the run before.'],
  ['AT', 'Once', 'at:', 'Once, at an instant.'],
];
const TARGETS = {
  webhook: [['url', 'URL', 'https://example.com/hook'], ['secret_ref', 'Signing key (optional)', 'secretsmanager:NAME']],
  eventbridge: [['bus', 'Bus (optional)', 'chronowatch']],
  sqs: [['queue_url', 'Queue URL', 'https://sqs…']],
  sns: [['topic_arn', 'Topic', 'arn:aws:sns:…']],
  lambda: [['function', 'Function', 'my-function']],
  stepfunctions: [['state_machine_arn', 'State machine', 'arn:aws:states:…']],
  log: [],
};
const OPTIONAL = new Set(['secret_ref', 'bus']);
const NUMBERS = ['catch_up_window_ms', 'jitter_ms', 'sla_ms', 'timeout_ms'];
// Numbers that are left empty are the service's own: its deployment may have other defaults than most.
export const BLANK = {
  name: '', type: 'CRON', expr: '0 2 * * *', timezone: '', target: { type: 'webhook', url: '' }, payload: '{}', tags: '', owner: '',
  overlap: 'allow', catch_up_window_ms: '', jitter_ms: '', sla_ms: '', timeout_ms: '', dst_gap: 'run_after', dst_overlap: 'once', max_attempts: '', exclude: '', start: '', end: '', enabled: true,
};

const ofView = (s) => ({
  ...BLANK, ...s, name: s.name || '', payload: JSON.stringify(s.payload ?? null, null, 2), tags: s.tags.join(', '), exclude: s.exclude.length ? JSON.stringify(s.exclude) : '',
  max_attempts: s.retry_policy.max_attempts, start: s.start_at_unix_ms === null ? '' : wallOf(s.start_at_unix_ms, s.timezone), end: s.end_at_unix_ms === null ? '' : wallOf(s.end_at_unix_ms, s.timezone),
});

const recurrence = (f, wrong, before) => {
  const made = { type: f.type, expr: f.expr.trim(), timezone: f.timezone, dst_gap: f.dst_gap, dst_overlap: f.dst_overlap };
  for (const [field, name] of [['start', 'start_at_unix_ms'], ['end', 'end_at_unix_ms']]) if (f[field]) made[name] = before?.[name] && f[field] === wallOf(before[name], before.timezone) && f.timezone === before.timezone ? before[name] : instantOf(f[field], f.timezone);
  if (f.exclude.trim()) {
    try {
      made.exclude = JSON.parse(f.exclude);
    } catch (problem) {
      wrong.exclude = `not JSON: ${problem.message}`;
    }
  }
  return made;
};

// The body of the call, or which fields are wrong.
export const bodyOf = (f, before) => {
  const wrong = {};
  const made = recurrence(f, wrong, before);
  made.name = f.name.trim() || null;
  made.tags = f.tags.split(',').map((tag) => tag.trim()).filter(Boolean);
  made.target = Object.fromEntries(Object.entries(f.target).filter(([key, value]) => value !== '' || !OPTIONAL.has(key)));
  try {
    made.payload = JSON.parse(f.payload || 'null');
  } catch (problem) {
    wrong.payload = `not JSON: ${problem.message}`;
  }
  for (const key of [...NUMBERS, 'max_attempts']) if (before && f[key] === '') wrong[key] = 'wants a number';
  for (const key of NUMBERS) if (f[key] !== '') made[key] = Number(f[key]);
  made.overlap = f.overlap;
  if (f.max_attempts !== '') made.retry_policy = { ...(before?.retry_policy || {}), max_attempts: Number(f.max_attempts) };
  if (before) {
    for (const [field, name] of [['start', 'start_at_unix_ms'], ['end', 'end_at_unix_ms']]) if (!f[field]) made[name] = null;
    if (!f.exclude.trim()) made.exclude = [];
    for (const key of Object.keys(made)) if (JSON.stringify(made[key]) === JSON.stringify(before[key])) delete made[key];
  } else {
    if (made.name === null) delete made.name;
    if (f.owner.trim()) made.owner = f.owner.trim();
    if (!f.enabled) made.enabled = false;
  }
  return { made, wrong };
};

const Preview = ({ f }) => {
  const [state, setState] = useState({ value: null, error: null, fromMs: now() });
  const [from, setFrom] = useState('');
  const turn = useRef(0);
  useEffect(() => {
    const mine = ++turn.current;
    const timer = setTimeout(() => {
      const wrong = {};
      const body = recurrence(f, wrong);
      if (wrong.exclude || !isZone(f.timezone)) return;
      const fromMs = from ? instantOf(from, f.timezone) : now();
      post('/api/v1/schedules:preview', { ...body, after_unix_ms: Math.round(fromMs), count: 200 }).then(
        (value) => mine === turn.current && setState({ value, error: null, fromMs }),
        (error) => mine === turn.current && setState((s) => ({ ...s, error })),
      );
    }, 200);
    return () => clearTimeout(timer);
  }, [f.type, f.expr, f.timezone, f.dst_gap, f.dst_overlap, f.start, f.end, f.exclude, from]);
  const { value, error } = state;
  const shift = isZone(f.timezone) ? nextShift(now(), f.timezone) : null;
  const words = error || !isZone(f.timezone) ? '' : inWords(f.type, f.expr, f.timezone);
  return html`<section class="preview" aria-label="Preview" aria-live="off">
    <h2>What will run</h2>
    ${words && html`<p class="words">${words}.</p>`}
    <div class="preview-from"><label for="preview-from">Seen from</label>
      <input id="preview-from" type="datetime-local" value=${from} onInput=${(e) => setFrom(e.target.value)} />
      ${from && html`<${Button} kind="small" onClick=${() => setFrom('')}>Now<//>`}
      ${shift && html`<${Button} kind="small" onClick=${() => setFrom(wallOf(shift - 36 * 3600e3, f.timezone))} title=${dateTime(shift, f.timezone)}>Next change of clocks<//>`}
    </div>
    ${!isZone(f.timezone) && html`<p class="dim">Runs are shown once the time zone is one that is known.</p>`}
    ${error ? html`<p class="wrong-why" role="alert">${error.errors.map((e) => `${e.field}: ${e.message}`).join('; ') || error.message}</p>` : ''}
    ${value && !error && html`<p class="sr" aria-live="polite">${plural(value.runs_unix_ms.length, 'run')} found.</p><${CalendarStrip} runs=${value.runs_unix_ms} dst=${value.dst} zone=${f.timezone} fromMs=${state.fromMs} complete=${value.runs_unix_ms.length < 200} />`}
    ${value && !error && value.dst.length > 0 && html`<p class="note"><${Icon} name="clock" size="14" /> ${plural(value.dst.length, 'run')} of these meet${value.dst.length === 1 ? 's' : ''} a change of clocks. What happens then is set below, under “Daylight saving”.</p>`}
  </section>`;
};

export const ScheduleForm = ({ id }) => {
  const [f, setF] = useState(id ? null : { ...BLANK, timezone: browserZone() });
  const [before, setBefore] = useState(null);
  const [error, setError] = useState(null);
  const [wrong, setWrong] = useState({});
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (id) get(`/api/v1/schedules/${enc(id)}`).then((s) => { setBefore(s); setF(ofView(s)); }, setError);
  }, [id]);
  if (error && !f) return html`<section class="page"><${Trouble} error=${error} /></section>`;
  if (!f) return html`<section class="page"><${Loading} /></section>`;
  const set = (name) => (e) => setF((old) => ({ ...old, [name]: e.target.type === 'checkbox' ? e.target.checked : e.target.value }));
  const type = TYPES.find(([key]) => key === f.type);
  const setTarget = (key) => (e) => setF((old) => ({ ...old, target: { ...old.target, [key]: e.target.value } }));
  const whyOf = (...names) => names.map((name) => wrong[name]).find(Boolean);
  const save = async (e) => {
    e.preventDefault();
    if (busy) return;
    const { made, wrong: bad } = bodyOf(f, before);
    if (!isZone(f.timezone)) bad.timezone = 'no such zone; IANA’s names such as Europe/Paris are known';
    setWrong(bad);
    setError(null);
    if (Object.keys(bad).length) {
      showWrong();
      return;
    }
    setBusy(true);
    try {
      const saved = id ? await patch(`/api/v1/schedules/${enc(id)}`, made, before.version) : await create('/api/v1/schedules', made);
      toast(id ? 'Saved.' : 'Made. Its first task appears at its instant.');
      go({ view: 'schedules', id: saved.id });
    } catch (problem) {
      setBusy(false);
      setError(problem);
      setWrong(Object.fromEntries(problem.errors?.map((each) => [each.field, each.message]) || []));
      showWrong();
    }
  };
  const text = (name, label, rest = {}) => html`<${Field} label=${label} id=${`f-${name}`} hint=${rest.hint} error=${whyOf(name)}><input id=${`f-${name}`} value=${f[name]} onInput=${set(name)} aria-invalid=${Boolean(whyOf(name))} ...${{ ...rest, hint: undefined }} /><//>`;
  const number = { type: 'number', placeholder: id ? '' : 'as the service has it' };
  const select = (name, label, options) => html`<${Field} label=${label} id=${`f-${name}`} error=${whyOf(name)}><select id=${`f-${name}`} value=${f[name]} onChange=${set(name)}>${options.map(([key, words]) => html`<option key=${key} value=${key}>${words}</option>`)}</select><//>`;
  return html`<section class="page" aria-label=${id ? 'Edit the schedule' : 'New schedule'}>
    <div class="page-head"><h1>${id ? `Edit ${before?.name || 'schedule'}` : 'New schedule'}</h1></div>
    <form class="form-split" onSubmit=${save} novalidate>
      <div class="form-fields">
        ${text('name', 'Name', { placeholder: 'nightly-invoices', autocomplete: 'off' })}
        <${Pills} label="Kind" options=${TYPES.map(([key, label]) => [key, label])} value=${f.type} onChange=${(key) => setF((old) => ({ ...old, type: key, expr: key === 'AT' ? `at:${new Date(now() + 3600e3).toISOString().slice(0, 19)}Z` : TYPES.find(([k]) => k === key)[2] }))} />
        <${Field} label="Expression" id="f-expr" hint=${type[3]} error=${whyOf('expr', 'type')}><input id="f-expr" class="code" spellcheck="false" autocomplete="off" value=${f.expr} onInput=${set('expr')} aria-describedby="f-expr-hint" /><//>
        <${Field} label="Time zone" id="f-timezone" error=${whyOf('timezone')}><input id="f-timezone" list="zones" value=${f.timezone} onInput=${set('timezone')} /><datalist id="zones">${(Intl.supportedValuesOf?.('timeZone') || []).map((each) => html`<option key=${each} value=${each} />`)}</datalist><//>
        <fieldset><legend>What it calls</legend>
          <${Field} label="Target" id="f-target" error=${whyOf('target', 'target.type')}><select id="f-target" value=${f.target.type} onChange=${(e) => setF((old) => ({ ...old, target: { type: e.target.value } }))}>${Object.keys(TARGETS).concat(f.target.type in TARGETS ? [] : [f.target.type]).map((key) => html`<option key=${key} value=${key}>${key}</option>`)}</select><//>
          ${(TARGETS[f.target.type] || []).map(([key, label, hint]) => html`<${Field} key=${key} label=${label} id=${`f-target-${key}`} error=${whyOf(`target.${key}`)}><input id=${`f-target-${key}`} value=${f.target[key] || ''} placeholder=${hint} onInput=${setTarget(key)} /><//>`)}
          <${Field} label="Payload, JSON" id="f-payload" error=${whyOf('payload')}><textarea id="f-payload" class="code" rows="4" spellcheck="false" value=${f.payload} onInput=${set('payload')}></textarea><//>
        </fieldset>
        ${text('tags', 'Tags', { hint: 'Separated by commas.', placeholder: 'billing, nightly' })}
        <details class="more"><summary>Limits, retries and overlap</summary>
          ${select('overlap', 'When the run before still goes', [['allow', 'run beside it'], ['forbid', 'skip'], ['queue', 'run after it'], ['replace', 'cancel it and run']])}
          ${text('max_attempts', 'Attempts', { ...number, min: 1, max: 100 })}
          ${text('timeout_ms', 'A run may take (ms)', { ...number, min: 1 })}
          ${text('catch_up_window_ms', 'Catch up what is at most so late (ms)', { ...number, min: 0 })}
          ${text('jitter_ms', 'Spread over (ms)', { ...number, min: 0 })}
          ${text('sla_ms', 'Late after (ms)', { ...number, min: 0 })}
        </details>
        <details class="more"><summary>Daylight saving, start, end and exclusions</summary>
          ${select('dst_gap', 'When its hour is skipped', [['run_after', 'run right after'], ['shift', 'run shifted by the gap'], ['skip', 'skip the run']])}
          ${select('dst_overlap', 'When its hour comes twice', [['once', 'run once'], ['twice', 'run twice']])}
          ${text('start', 'Not before', { type: 'datetime-local' })}
          ${text('end', 'Not after', { type: 'datetime-local' })}
          <${Field} label="Exclude, JSON" id="f-exclude" hint='Cron expressions or spans: ["* * 25 12 *", {"from_unix_ms": …, "to_unix_ms": …}]' error=${whyOf('exclude')}><textarea id="f-exclude" class="code" rows="2" spellcheck="false" value=${f.exclude} onInput=${set('exclude')}></textarea><//>
          ${!id && text('owner', 'Owner', { hint: 'Left empty: you. Only administrators may name another.' })}
        </details>
        ${!id && html`<label class="check"><input type="checkbox" checked=${f.enabled} onChange=${set('enabled')} /> Active at once</label>`}
        ${error && html`<${Trouble} error=${error} />`}
        <div class="form-acts"><button type="submit" class="btn primary" aria-busy=${busy}>${id ? 'Save' : 'Make the schedule'}</button> <${Button} onClick=${() => history.back()}>Cancel<//></div>
      </div>
      <${Preview} f=${f} />
    </form>
  </section>`;
};
