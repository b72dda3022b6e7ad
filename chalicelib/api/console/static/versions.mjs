// What a schedule was, version by version, and the way back.

import { get, id as enc, patch } from './api.mjs';
import { Act, Loading, Time, Trouble, html, useLoad, useState } from './ui.mjs';

// Fields that are the course of a schedule, or its identity, and not its definition.
const COURSE = new Set(['id', 'version', 'created_at_unix_ms', 'updated_at_unix_ms', 'next_run_unix_ms', 'last_run_unix_ms', 'run_count', 'state', 'tenant', 'note', 'paused_until_unix_ms', 'description', 'enabled', 'shard_key', 'owner']);

export const differences = (before, after) =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((key) => !COURSE.has(key) && JSON.stringify(before[key]) !== JSON.stringify(after[key]))
    .map((key) => ({ key, before: before[key], after: after[key] }));

const shown = (value) => (value === undefined ? '–' : JSON.stringify(value, null, 1));

const definitionOf = (item) => item.schedule;

export const Versions = ({ id, current, onChanged }) => {
  const { value, error, loading, again } = useLoad((signal) => get(`/api/v1/schedules/${enc(id)}/versions`, {}, { signal }), [id, current.version]);
  const [at, setAt] = useState(0);
  if (error) return html`<${Trouble} error=${error} again=${again} />`;
  if (loading && !value) return html`<${Loading} />`;
  const items = value.items;
  const chosen = items[at];
  const previous = items[at + 1];
  const diff = chosen ? differences(previous ? definitionOf(previous) : {}, definitionOf(chosen)) : [];
  const revert = async () => {
    const back = {};
    for (const { key, before } of differences(definitionOf(chosen), current)) back[key] = before ?? null;
    await patch(`/api/v1/schedules/${enc(id)}`, back, current.version);
    onChanged();
    again();
  };
  return html`<div class="versions">
    <ol class="version-list">${items.map((item, i) => html`<li key=${item.version}><button type="button" class=${i === at ? 'on' : ''} aria-pressed=${i === at} onClick=${() => setAt(i)}><code>${item.version}</code><span class="dim"><${Time} ms=${item.since_unix_ms} plain=${true} /></span>${item.until_unix_ms === null ? html`<span class="tag good">in force</span>` : ''}${item.paused_until_unix_ms ? html`<span class="dim">paused until <${Time} ms=${item.paused_until_unix_ms} plain=${true} /></span>` : ''}${item.note ? html`<span class="dim">${item.note}</span>` : ''}</button></li>`)}${value.more && html`<li class="dim">There were others before.</li>`}</ol>
    <div class="version-diff">
      <h3>${previous ? 'What it changed' : 'The first version'}</h3>
      ${previous && !diff.length && html`<p class="dim">Nothing of the definition: it was paused, resumed or deleted.</p>`}
      ${previous ? diff.map(({ key, before, after }) => html`<div class="diff" key=${key}><b>${key}</b><pre class="minus">− ${shown(before)}</pre><pre class="plus">+ ${shown(after)}</pre></div>`) : html`<p class="dim">Nothing stood before it.</p>`}
      ${at > 0 && chosen && html`<${Act} kind="primary" act=${revert} done="Reverted: a new version says the same as that one.">Revert to this version<//>`}
    </div>
  </div>`;
};

