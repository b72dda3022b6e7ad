// Workflows: what there is, starting a run by hand, and what becomes of it.

import { get, id as enc, newId, pages, post } from './api.mjs';
import { duration, plural } from './format.mjs';
import { InputForm } from './input_form.mjs';
import { go, href, route } from './router.mjs';
import { may, session } from './state.mjs';
import { Act, Empty, Icon, Loading, Shape, Time, Tree, Trouble, html, useEvery, useLoad, useRef, useSig } from './ui.mjs';

const REFRESH_MS = 2000;
const LOOKS = { running: 'in_progress', waiting: 'pending', cancelling: 'in_progress', compensating: 'in_progress', compensation_failed: 'failed' };
const ENDED = ['completed', 'failed', 'cancelled', 'compensation_failed'];

const State = ({ state, big }) => {
  const look = LOOKS[state] || state;
  return html`<span class=${`status s-${look}${big ? ' big' : ''}`}><${Shape} status=${look} size=${big ? 22 : 14} /><span>${state.replace('_', ' ')}</span></span>`;
};
const Head = ({ title, back, to, children }) => html`<div class="page-head"><a class="btn quiet" href=${to} aria-label=${back}><${Icon} name="back" /></a><h1 class="break">${title}</h1>${children}</div>`;

export const Workflows = () => {
  const { id: name, tab: run } = useSig(route);
  if (run) return html`<${Run} key=${run} name=${name} id=${run} />`;
  return name ? html`<${Workflow} key=${name} name=${name} />` : html`<${All} />`;
};

const All = () => {
  const { value, error, again } = useLoad((signal) => pages('/api/v1/workflows', {}, { signal }), []);
  return html`<section class="page" aria-label="Workflows">
    <div class="page-head"><h1>Workflows</h1><span class="dim">${value ? plural(value.items.length, 'workflow') : ''}</span></div>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${!value && !error && html`<${Loading} />`}
    ${value && !value.items.length && html`<${Empty} title="No workflow yet"><p>A workflow is a graph of steps. <code>POST /api/v1/workflows</code> publishes one.</p><//>`}
    <div class="cards">${(value?.items || []).map((w) => html`<article class="card" key=${w.name}><h3><a href=${href({ view: 'workflows', id: w.name })}>${w.name}</a></h3><p class="dim">Version ${w.number} of <${Time} ms=${w.updated_at_unix_ms} />, ${w.owner}</p></article>`)}</div>
  </section>`;
};

const Workflow = ({ name }) => {
  const { value: w, error, again } = useLoad((signal) => get(`/api/v1/workflows/${enc(name)}`, {}, { signal }), [name]);
  const runs = useLoad((signal) => get('/api/v1/runs', { workflow: name, limit: 20 }, { signal }), [name]);
  const runId = useRef(newId());
  useSig(session);
  useEvery(REFRESH_MS, runs.again);
  if (error) return html`<section class="page"><${Trouble} error=${error} again=${again} /></section>`;
  if (!w) return html`<section class="page"><${Loading} /></section>`;
  // An answer that is lost may be asked for again: the run has its id before it begins, and begins once.
  const start = async (input) => {
    const { run_id: run } = await post(`/api/v1/workflows/${enc(name)}:start`, { ...(input === undefined ? {} : { input }), run_id: runId.current, version: w.version });
    go({ view: 'workflows', id: name, tab: run });
  };
  const on = w.nodes.find((node) => node.type === 'trigger').on;
  return html`<section class="page" aria-label="Workflow">
    <${Head} title=${w.name} back="All workflows" to=${href({ view: 'workflows' })}><span class="tag">version ${w.number}</span> <span class="tag">${on}</span><//>
    ${w.description && html`<p class="break">${w.description}</p>`}${(w.notes || []).map((note) => html`<p class="note">${note}</p>`)}
    <div class="form-split">
      <section aria-label="Start a run"><h2>Start a run</h2>${on !== 'manual' && html`<p class="dim">It begins by its ${on}, and by hand too.</p>`}
        ${may('workflows:start') ? html`<${InputForm} key=${w.version} schema=${w.input_schema} send=${start} label="Start" />` : html`<p class="dim">You may look, and not start.</p>`}</section>
      <section aria-label="Runs"><h2>Newest runs</h2>${runs.error && html`<${Trouble} error=${runs.error} />`}
        ${runs.value && !runs.value.items.length && html`<p class="dim">None yet.</p>`}
        <ul class="plainlist">${(runs.value?.items || []).map((r) => html`<li key=${r.id}><a href=${href({ view: 'workflows', id: name, tab: r.id })}><${State} state=${r.state} /> <code class="break">${r.id}</code></a> <${Time} ms=${r.started_unix_ms} /></li>`)}</ul></section>
    </div>
  </section>`;
};

const Run = ({ name, id }) => {
  const path = `/api/v1/runs/${enc(id)}`;
  const { value: r, error, again } = useLoad((signal) => get(path, {}, { signal }), [id]);
  useSig(session);
  useEvery(REFRESH_MS, () => !(r && ENDED.includes(r.state)) && again());
  if (error) return html`<section class="page"><${Trouble} error=${error} again=${again} /></section>`;
  if (!r) return html`<section class="page"><${Loading} /></section>`;
  const decide = (node, nonce, how) => async () => {
    await post(`${path}/nodes/${enc(node)}:${how}`, { nonce });
    again();
  };
  return html`<section class="page" aria-label="Run">
    <${Head} title=${name} back="All its runs" to=${href({ view: 'workflows', id: name })}><code class="dim break">${r.id}</code><//>
    <div class="verdict"><${State} state=${r.state} big=${true} />${may('workflows:start') && !ENDED.includes(r.state) && html`<${Act} kind="danger" icon="cancel" act=${async () => { await post(`${path}:cancel`); again(); }} done="It is being cancelled.">Cancel<//>`}</div>
    ${r.error && html`<div class="errorbox"><pre>${r.error_type}: ${r.error}</pre></div>`}${r.reason && html`<p class="note break">${r.reason}</p>`}
    <dl class="facts"><div><dt>Begun</dt><dd><${Time} ms=${r.started_unix_ms} /></dd></div><div><dt>By</dt><dd>${r.started_by}</dd></div><div><dt>Took</dt><dd>${r.finished_unix_ms ? duration(r.finished_unix_ms - r.started_unix_ms) : '–'}</dd></div></dl>
    <div class="block"><h3>Steps</h3><div class="tablebox"><table class="plain"><thead><tr><th scope="col">Step</th><th scope="col">State</th><th scope="col">Why</th></tr></thead><tbody>${Object.entries(r.nodes).map(([node, n]) => html`<tr key=${node}><th scope="row" class="break">${node}</th><td><${State} state=${n.state} /></td><td class="break">${[n.error, n.reason, n.case].filter(Boolean).join('; ')}${n.approval?.nonce && may('workflows:approve') && html`<div class="acts wrap"><${Act} kind="small" act=${decide(node, n.approval.nonce, 'approve')} done="Approved.">Approve<//><${Act} kind="small danger" act=${decide(node, n.approval.nonce, 'reject')} done="Rejected.">Reject<//></div>`}</td></tr>`)}</tbody></table></div></div>
    <div class="block"><h3>Input</h3><div class="codebox"><${Tree} value=${r.input ?? null} /></div></div>
    ${r.output !== undefined && html`<div class="block"><h3>Output</h3><div class="codebox"><${Tree} value=${r.output} /></div></div>`}
  </section>`;
};
