// Bulk actions: by filter, over all that match and not only what is loaded. The service does them as a job.

import { create, get, id as enc, post } from './api.mjs';
import { number, plural } from './format.mjs';
import { toast } from './state.mjs';
import { Button, Dialog, Field, Pills, html, useEffect, useState } from './ui.mjs';

const RETRIABLE = ['failed', 'timeout', 'missed', 'cancelled', 'skipped'];
const CANCELLABLE = ['pending', 'in_progress'];
const LATER_MS = 400;

export const BulkDialog = ({ parsed, asked, action: first, onClose }) => {
  const known = parsed.bulk;
  const [action, setAction] = useState(CANCELLABLE.includes(known.state) ? 'cancel' : first);
  const [state, setState] = useState(known.state || (CANCELLABLE.includes(known.state) ? known.state : 'failed'));
  const [count, setCount] = useState({ matched: null, error: null });
  const [job, setJob] = useState(null);
  const [busy, setBusy] = useState(false);
  const states = action === 'retry' ? RETRIABLE : CANCELLABLE;
  const filter = { ...known, state: states.includes(state) ? state : states[0] };

  useEffect(() => {
    let here = true;
    setCount({ matched: null, error: null });
    post('/api/v1/executions:bulk', { action, filter, dry_run: true }).then(
      (found) => here && setCount({ matched: found.matched, error: null }),
      (error) => here && setCount({ matched: null, error }),
    );
    return () => { here = false; };
  }, [action, filter.state]);

  const follow = async (jobId) => {
    for (;;) {
      const now = await get(`/api/v1/bulk-jobs/${enc(jobId)}`);
      setJob(now);
      if (now.state !== 'running') return now;
      await new Promise((resolve) => setTimeout(resolve, LATER_MS));
    }
  };
  const run = async () => {
    if (busy || !count.matched) return;
    setBusy(true);
    try {
      const begun = await create('/api/v1/executions:bulk', { action, filter });
      const end = await follow(begun.job_id);
      toast(`${action === 'retry' ? 'Retried' : 'Cancelled'} ${number(end.done)} of ${number(end.matched)}${end.failed ? `; ${number(end.failed)} could not be` : ''}.`);
    } catch (problem) {
      toast(problem.message, 'error');
    }
    setBusy(false);
  };

  return html`<${Dialog} title="Bulk action" onClose=${onClose}>
    <p>Acts on <b>every</b> task that matches, loaded or not. The service does it as a job that you may leave alone.</p>
    ${!parsed.exact && html`<p class="note">Of your search <code>${asked}</code> a bulk action takes one <code>status</code>, <code>owner</code> and <code>schedule</code> only. What follows ignores the rest.</p>`}
    <${Pills} label="Action" options=${[['retry', 'Retry'], ['cancel', 'Cancel']]} value=${action} onChange=${setAction} />
    <${Field} label="Tasks that are" id="bulk-state">
      <select id="bulk-state" value=${filter.state} onChange=${(e) => setState(e.target.value)}>${states.map((each) => html`<option key=${each} value=${each}>${each.replace('_', ' ')}</option>`)}</select>
    <//>
    ${Object.entries(known).filter(([key]) => key !== 'state').map(([key, value]) => html`<p class="dim">and <code>${key}</code> is <code>${value}</code></p>`)}
    <p class="bulk-count" aria-live="polite">${count.error ? html`<span class="wrong-why">${count.error.message}</span>` : count.matched === null ? 'Counting…' : html`<b>${plural(count.matched, 'task')}</b> match now.`}</p>
    ${job && html`<div class="progress-box">
      <progress max=${Math.max(1, job.matched)} value=${job.done + job.failed} aria-label="Progress"></progress>
      <span>${number(job.done)} done, ${number(job.failed)} could not be, of ${number(job.matched)}: ${job.state}</span>
      ${job.state === 'running' && html`<${Button} kind="small" onClick=${() => post(`/api/v1/bulk-jobs/${enc(job.id)}:cancel`).then(setJob, (e) => toast(e.message, 'error'))}>Stop the job<//>`}
    </div>`}
    <footer>
      <${Button} onClick=${onClose}>${job ? 'Close' : 'Not now'}<//>
      <${Button} kind=${action === 'cancel' ? 'danger' : 'primary'} aria-disabled=${busy || !count.matched} onClick=${run}>${action === 'retry' ? 'Retry' : 'Cancel'} ${count.matched ? plural(count.matched, 'task') : ''}<//>
    </footer>
  <//>`;
};
