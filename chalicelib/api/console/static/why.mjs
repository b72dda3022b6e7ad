// Why an instant fired or did not, or will: the service's own reasons.

import { get, id as enc } from './api.mjs';
import { Loading, Shape, Time, Trouble, html, statusWord, useLoad } from './ui.mjs';

const WORDS = {
  not_on_grid: 'The recurrence has no run at this instant',
  excluded: 'The schedule excludes it',
  paused: 'The schedule was paused',
  before_start: 'Before the schedule’s start',
  after_end: 'After the schedule’s end',
  max_runs_reached: 'It had all its runs',
  dst_gap: 'The clocks went forward over it',
  dst_overlap: 'The clocks went back over it',
  missed_window: 'It was past its catch-up window',
  overlap_skipped: 'The run before was still going',
  policy_denied: 'A policy forbade it',
  waiting_for_limit: 'It waits for room within a limit',
  delivered: 'It was delivered',
  pending: 'It is under way',
  not_yet: 'Its time has not come',
  failed: 'All attempts failed',
  timeout: 'It took too long',
  cancelled: 'Somebody cancelled it',
  queue_paused: 'The queue is paused',
};

export const Why = ({ scheduleId, atMs, asked = false }) => {
  const { value, error, loading, again } = useLoad((signal) => get(`/api/v1/schedules/${enc(scheduleId)}:explain`, { at_unix_ms: atMs }, { signal }), [scheduleId, atMs]);
  return html`<section class="why" aria-label="Why" aria-busy=${loading}>
    <h3>Why</h3>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${loading && !value && html`<${Loading} lines="2" />`}
    ${value && html`
      <p>${value.owed ? html`A run was <b>owed</b> at this instant` : asked ? html`<b>Somebody asked for this run</b>; the schedule itself owes none at this instant` : html`<b>No run was owed</b> at this instant`}${value.outcome ? html`; it ended <b>${statusWord(value.outcome)}</b>` : ''}.</p>
      <ol class="reasons">${value.reasons.map((reason) => html`<li key=${reason.code}><${Shape} status=${value.outcome || (value.owed ? 'pending' : 'skipped')} /><div><b>${WORDS[reason.code] || reason.code.replace(/_/g, ' ')}</b> <code class="dim">${reason.code}</code><p>${reason.detail}</p></div></li>`)}</ol>
      <p class="dim">${value.version ? html`Version in force <code>${value.version}</code>. ` : ''}${value.next_run_unix_ms ? html`Next run <${Time} ms=${value.next_run_unix_ms} />` : 'No further run.'}</p>`}
  </section>`;
};
