// The ledger: each instant that was owed, against what became of it.

import { get, id as enc } from './api.mjs';
import { duration, number } from './format.mjs';
import { href } from './router.mjs';
import { now, range, rangeMs } from './state.mjs';
import { Range } from './range.mjs';
import { Button, Loading, Status, Time, Trouble, html, useLoad, useSig, useState } from './ui.mjs';

const ORDER = ['completed', 'in_progress', 'pending', 'failed', 'timeout', 'missed', 'lost', 'cancelled', 'skipped', 'paused', 'excluded'];
const PAGES_MAX = 20;

export const Ledger = ({ id }) => {
  const chosen = useSig(range);
  const [pagesWanted, setPages] = useState(10);
  const { value, error, loading, again } = useLoad(async (signal) => {
    const to = Math.floor(now());
    const found = { items: [], lost: 0, more: false };
    let token;
    for (let i = 0; i < pagesWanted; i += 1) {
      const page = await get(`/api/v1/schedules/${enc(id)}/ledger`, { from_unix_ms: to - rangeMs(), to_unix_ms: to, limit: 100, page_token: token }, { signal });
      found.items.push(...page.items);
      found.lost += page.lost;
      token = page.next_page_token;
      if (!token) return found;
    }
    return { ...found, more: true };
  }, [id, chosen, pagesWanted]);
  const counts = {};
  for (const item of value?.items || []) counts[item.outcome] = (counts[item.outcome] || 0) + 1;
  const total = value?.items.length || 0;
  const owed = value?.items.filter((item) => item.expected).length || 0;
  const kept = value?.items.filter((item) => item.expected && !['pending', 'in_progress', 'lost'].includes(item.outcome)).length || 0;
  return html`<div>
    <div class="toolbar"><${Range} /><${Button} icon="retry" onClick=${again}>Anew<//></div>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${loading && !value && html`<${Loading} />`}
    ${value && html`
      <div class="figures"><div><span class="figure">${number(owed)}</span><span>owed</span></div><div><span class="figure">${number(kept)}</span><span>answered for</span></div><div class=${value.lost ? 'bad' : 'good'}><span class="figure">${number(value.lost)}</span><span>lost</span></div></div>
      ${total > 0 && html`<div class="stack" role="img" aria-label=${ORDER.filter((o) => counts[o]).map((o) => `${counts[o]} ${o}`).join(', ')}>${ORDER.filter((o) => counts[o]).map((o) => html`<span key=${o} class=${`b-${o}`} style=${{ flexGrow: counts[o] }} title=${`${counts[o]} ${o}`}></span>`)}</div>`}
      <div class="tablebox"><table class="plain"><thead><tr><th scope="col">Instant</th><th scope="col">Owed</th><th scope="col">What became of it</th><th scope="col">Lateness</th><th scope="col">Reason</th></tr></thead>
        <tbody>${[...value.items].reverse().map((item) => html`<tr key=${item.firing_unix_ms}><td><a href=${href({ view: 'tasks', id: `${id}-${item.firing_unix_ms}` })}><${Time} ms=${item.firing_unix_ms} exact=${true} plain=${true} /></a></td><td>${item.expected ? 'owed' : html`<span class="dim">not owed</span>`}</td><td><${Status} status=${item.outcome} /></td><td>${duration(item.lateness_ms)}</td><td class="dim">${item.reason || ''}</td></tr>`)}</tbody></table></div>
      ${!total && html`<p class="dim">Nothing was owed in this time.</p>`}
      ${value.more && html`<p class="dim">The first ${number(total)} instants of this time are shown: a shorter range shows the newest. ${pagesWanted < PAGES_MAX && html`<${Button} kind="small" onClick=${() => setPages(PAGES_MAX)}>Show up to 2,000<//>`}</p>`}`}
  </div>`;
};
