// Leases: who holds what, with which token, who waits, and how long it still lasts.

import { pages, post } from './api.mjs';
import { countdown, number, plural } from './format.mjs';
import { may, now, session } from './state.mjs';
import { Act, Button, Dialog, Empty, Loading, Tree, Trouble, html, useEffect, useEvery, useLoad, useSig, useState } from './ui.mjs';

const REFRESH_MS = 2000;

const Countdown = ({ lease }) => {
  const [, again] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => again((n) => n + 1), 250);
    return () => clearInterval(timer);
  }, []);
  const left = lease.expires_at_unix_ms - now();
  const share = Math.max(0, Math.min(1, left / lease.ttl_ms));
  return html`<span class=${`count${share < 0.2 ? ' warn' : ''}`}><svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true"><circle cx="10" cy="10" r="8" class="count-track" /><circle cx="10" cy="10" r="8" class="count-left" stroke-dasharray=${`${share * 50.3} 50.3`} transform="rotate(-90 10 10)" /></svg><span role="timer" aria-live="off">${left > 0 ? countdown(left) : 'expired'}</span></span>`;
};

export const Leases = () => {
  const { value, error, again } = useLoad((signal) => pages('/api/v1/leases', {}, { most: 1000, signal }), []);
  const [breaking, setBreaking] = useState(null);
  const [all, setAll] = useState(false);
  useSig(session);
  const admin = may('leases:break');
  useEvery(REFRESH_MS, again);
  const items = (value?.items || []).filter((lease) => all || lease.held || lease.waiters.length);
  return html`<section class="page" aria-label="Leases">
    <div class="page-head"><h1>Leases</h1><span class="dim">${value ? `${plural(value.items.filter((l) => l.held).length, 'lease')} held, ${number(value.items.length)} known` : ''}</span>
      <label class="check push"><input type="checkbox" checked=${all} onChange=${(e) => setAll(e.target.checked)} /> Free ones too</label></div>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${!value && !error && html`<${Loading} />`}
    ${value && !items.length && html`<${Empty} title="No lease is held"><p>A lease lets one holder at a time do something: <code>POST /api/v1/leases:acquire</code></p><//>`}
    ${items.length > 0 && html`<div class="tablebox"><table class="plain leases"><thead><tr><th scope="col">Name</th><th scope="col">Holder</th><th scope="col">Token</th><th scope="col">Expires</th><th scope="col">In line</th><th scope="col"><span class="sr">What to do</span></th></tr></thead><tbody>
      ${items.map((lease) => html`<tr key=${lease.name}><th scope="row"><code>${lease.name}</code></th><td>${lease.held ? lease.holder_id : html`<span class="dim">free</span>`}${Object.keys(lease.metadata).length > 0 && html`<${Tree} name="metadata" value=${lease.metadata} depth="3" />`}</td><td><code>${number(lease.fencing_token)}</code></td>
        <td>${lease.held ? html`<${Countdown} lease=${lease} />` : html`<span class="dim">–</span>`}</td>
        <td>${lease.waiters.length ? html`<ol class="waiters">${lease.waiters.slice(0, 5).map((w) => html`<li key=${w.holder_id}>${w.holder_id}</li>`)}${lease.waiters.length > 5 && html`<li class="dim">and ${lease.waiters.length - 5} more</li>`}</ol>` : html`<span class="dim">nobody</span>`}</td>
        <td>${lease.held && admin && html`<${Button} kind="small danger" onClick=${() => setBreaking(lease)}>Break…<//>`}</td></tr>`)}
    </tbody></table></div>`}
    ${breaking && html`<${Dialog} title="Break the lease" kind="danger" onClose=${() => setBreaking(null)}>
      <p><b>${breaking.holder_id}</b> loses <code>${breaking.name}</code> at once. What it still does is fenced off only where its token ${number(breaking.fencing_token)} is checked.</p>
      <footer><${Button} data-first onClick=${() => setBreaking(null)}>Leave it<//><${Act} kind="danger" act=${async () => { await post('/api/v1/leases:break', { name: breaking.name }); setBreaking(null); again(); }} done="Broken.">Break it<//></footer><//>`}
  </section>`;
};
