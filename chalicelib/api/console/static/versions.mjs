// What a schedule was, version by version, and the way back.

import { get, id as enc, patch } from './api.mjs';
import { Act, Loading, Time, Trouble, html, useLoad, useState } from './ui.mjs';

// Fields that are the course of a schedule, or its identity, and not its definition.
const COURSE = new Set(['id', 'version', 'created_at_unix_ms', 'updated_at_unix_ms', 'next_run_unix_ms', 'last_run_unix_ms', 'run_count', 'state', 'tenant', 'note', 'description', 'enabled', 'shard_key', 'owner', 'from_unix_ms', 'made_by', 'changed_by']);

export const differences = (before, after) =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((key) => !COURSE.has(key) && JSON.stringify(before[key]) !== JSON.stringify(after[key]))
    .map((key) => ({ key, before: before[key], after: after[key] }));

const shown = (value) => (value === undefined ? '–' : JSON.stringify(value, null, 1));

const definitionOf = (item) => item.schedule || item.definition || item;

export const Versions = ({ id, current, onChanged }) => {
  const { value, error, loading, again } = useLoad((signal) => get(`/api/v1/schedules/${enc(id)}/versions`, { limit: 50 }, { signal }), [id, current.version]);
  const [at, setAt] = useState(0);
  if (error?.status === 404) return html`<p class="note">This service keeps no list of versions. The version in force is <code>${current.version}</code>, written <${Time} ms=${current.updated_at_unix_ms} />.</p>`;
  if (error) return html`<${Trouble} error=${error} again=${again} />`;
  if (loading && !value) return html`<${Loading} />`;
  const items = value.items;
  const chosen = items[at];
  const previous = items[at + 1];
  const diff = chosen ? differences(previous ? definitionOf(previous) : {}, definitionOf(chosen)) : [];
  const revert = async () => {
    const back = {};
    for (const { key, before } of differences(definitionOf(chosen), current)) if (definitionOf(chosen)[key] !== undefined || before !== undefined) back[key] = definitionOf(chosen)[key] ?? null;
    await patch(`/api/v1/schedules/${enc(id)}`, back, current.version);
    onChanged();
    again();
  };
  return html`<div class="versions">
    <ol class="version-list">${items.map((item, i) => html`<li key=${item.version}><button type="button" class=${i === at ? 'on' : ''} aria-pressed=${i === at} onClick=${() => setAt(i)}><code>${item.version}</code><span class="dim"><${Time} ms=${item.from_unix_ms ?? item.updated_at_unix_ms ?? item.at_unix_ms ?? null} plain=${true} /></span>${i === 0 ? html`<span class="tag good">in force</span>` : ''}</button></li>`)}</ol>
    <div class="version-diff">
      <h3>${previous ? 'What it changed' : 'The first version'}</h3>
      ${previous && !diff.length && html`<p class="dim">Nothing of the definition: it was paused, resumed or deleted.</p>`}
      ${previous ? diff.map(({ key, before, after }) => html`<div class="diff" key=${key}><b>${key}</b><pre class="minus">− ${shown(before)}</pre><pre class="plus">+ ${shown(after)}</pre></div>`) : html`<p class="dim">Nothing stood before it.</p>`}
      ${at > 0 && chosen && html`<${Act} kind="primary" act=${revert} done="Reverted: a new version says the same as that one.">Revert to this version<//>`}
    </div>
  </div>`;
};

