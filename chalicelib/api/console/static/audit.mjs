// The audit: who did what, and whether its chain is whole.

import { get, post } from './api.mjs';
import { number } from './format.mjs';
import { Range } from './range.mjs';
import { amend, route } from './router.mjs';
import { now, range, rangeMs } from './state.mjs';
import { Act, Button, Field, Loading, Shape, Time, Trouble, html, useLoad, useSig, useState } from './ui.mjs';

const FILTERS = [['actor', 'Actor'], ['action', 'Action'], ['resource', 'Resource']];

export const Audit = () => {
  const at = useSig(route);
  const chosen = useSig(range);
  const [verdict, setVerdict] = useState(null);
  const [wanted, setWanted] = useState(1);
  const { actor, action, resource } = at.query;
  const { value, error, again } = useLoad(async (signal) => {
    const found = { items: [], next: undefined };
    for (let i = 0; i < wanted && found.next !== null; i += 1) {
      const page = await get('/api/v1/audit', { actor, action, resource, from_unix_ms: Math.floor(now()) - rangeMs(), limit: 100, page_token: found.next }, { signal });
      found.items.push(...page.items);
      found.next = page.next_page_token;
    }
    return found;
  }, [actor, action, resource, chosen, wanted]);
  const verify = async () => {
    setVerdict(await post('/api/v1/audit:verify'));
    return false;
  };
  return html`<section class="page" aria-label="Audit">
    <div class="page-head"><h1>Audit</h1><div class="push"><${Act} icon="policies" act=${verify}>Verify the chain<//></div></div>
    ${verdict && html`<p class=${`note ${verdict.valid ? 'good' : 'bad'}`} role="status"><${Shape} status=${verdict.valid ? 'completed' : 'failed'} /> ${verdict.valid ? `The chain is whole: ${number(verdict.entries)} entries, ${number(verdict.checkpoints)} signed checkpoints.` : `The chain is broken at entry ${verdict.first_bad_sequence}: ${verdict.reason || ''}`}</p>`}
    <div class="toolbar"><${Range} />${FILTERS.map(([key, label]) => html`<${Field} key=${key} label=${label} id=${`audit-${key}`}><input id=${`audit-${key}`} value=${at.query[key] || ''} onChange=${(e) => amend({ [key]: e.target.value.trim() })} /><//>`)}</div>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${!value && !error && html`<${Loading} />`}
    ${value && html`<div class="tablebox"><table class="plain"><thead><tr><th scope="col">#</th><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">Of what</th><th scope="col">Decision</th><th scope="col">From</th></tr></thead><tbody>
      ${value.items.map((e) => html`<tr key=${e.sequence}><td><code>${e.sequence}</code></td><td><${Time} ms=${e.at_unix_ms} plain=${true} /></td><td>${e.actor}</td><td><code>${e.action}</code></td><td><code class="break">${e.resource}</code>${e.detail && html`<div class="dim">${e.detail}</div>`}</td><td><span class="status"><${Shape} status=${e.decision === 'allow' ? (e.outcome === 'refused' ? 'skipped' : 'completed') : 'failed'} />${e.decision}${e.outcome !== 'done' ? `, ${e.outcome}` : ''}</span></td><td class="dim">${e.source_ip || '–'}</td></tr>`)}
    </tbody></table></div>${!value.items.length && html`<p class="dim">No entry in this time.</p>`}
    ${value.next && html`<${Button} onClick=${() => setWanted(wanted + 5)}>Older entries<//>`}`}
  </section>`;
};
