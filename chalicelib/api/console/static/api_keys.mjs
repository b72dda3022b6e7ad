// API keys: making, rotating and revoking them. The text of a key is shown once.

import { create, id as enc, pages, remove } from './api.mjs';
import { plural } from './format.mjs';
import { now } from './state.mjs';
import { Act, Button, Dialog, Empty, Field, Loading, Pills, Shape, Time, Trouble, copy, html, useLoad, useState } from './ui.mjs';

const ROLES = [['viewer', 'Viewer: sees all, changes nothing'], ['user', 'User: their own things'], ['operator', 'Operator: every owner’s things'], ['admin', 'Administrator']];
const LIVES = [['30', '30 days'], ['90', '90 days'], ['365', 'a year'], ['', 'no end']];
const DAY_MS = 86400e3;

export const Keys = () => {
  const { value, error, again } = useLoad((signal) => pages('/api/v1/keys', {}, { most: 500, signal }), []);
  const [dialog, setDialog] = useState(null);
  const [made, setMade] = useState(null);
  const shown = (key) => {
    setDialog(null);
    setMade(key);
    again();
  };
  return html`<section class="page" aria-label="Keys">
    <div class="page-head"><h1>Keys</h1><span class="dim">${value ? plural(value.items.filter((k) => k.active).length, 'active key') : ''}</span><div class="push"><${Button} kind="primary" icon="plus" onClick=${() => setDialog({ kind: 'new' })}>New key<//></div></div>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${!value && !error && html`<${Loading} />`}
    ${value && !value.items.length && html`<${Empty} title="No key yet"><p>A key lets a program call the API: <code>Authorization: Bearer cw_…</code></p><//>`}
    ${value?.items.length > 0 && html`<div class="tablebox"><table class="plain"><thead><tr><th scope="col">Name</th><th scope="col">Begins</th><th scope="col">May</th><th scope="col">Owner</th><th scope="col">Ends</th><th scope="col">Last used</th><th scope="col"><span class="sr">What to do</span></th></tr></thead><tbody>
      ${value.items.map((k) => html`<tr key=${k.id} class=${k.active ? '' : 'gone'}><th scope="row"><${Shape} status=${k.active ? 'active' : 'cancelled'} size="11" /> ${k.name}</th><td><code>${k.prefix}…</code></td><td>${k.roles.join(', ') || k.permissions.join(', ')}</td><td>${k.owner}</td><td>${k.expires_at_unix_ms ? html`<${Time} ms=${k.expires_at_unix_ms} />` : html`<span class="dim">never</span>`}</td><td>${k.last_used_unix_ms ? html`<${Time} ms=${k.last_used_unix_ms} />` : html`<span class="dim">never</span>`}</td>
        <td class="acts">${k.active && html`<${Button} kind="small" onClick=${() => setDialog({ kind: 'rotate', key: k })}>Rotate…<//><${Button} kind="small danger" onClick=${() => setDialog({ kind: 'revoke', key: k })}>Revoke…<//>`}</td></tr>`)}
    </tbody></table></div>`}
    ${dialog?.kind === 'new' && html`<${NewKey} onClose=${() => setDialog(null)} onMade=${shown} />`}
    ${dialog?.kind === 'rotate' && html`<${Rotate} k=${dialog.key} onClose=${() => setDialog(null)} onMade=${shown} />`}
    ${dialog?.kind === 'revoke' && html`<${Dialog} title="Revoke the key" kind="danger" onClose=${() => setDialog(null)}><p><b>${dialog.key.name}</b> is refused everywhere within 30 seconds, in open streams too.</p><footer><${Button} data-first onClick=${() => setDialog(null)}>Keep it<//><${Act} kind="danger" icon="trash" act=${async () => { await remove(`/api/v1/keys/${enc(dialog.key.id)}`); setDialog(null); again(); }} done="Revoked.">Revoke<//></footer><//>`}
    ${made && html`<${Dialog} title="The new key" onClose=${() => setMade(null)}><p>This is the only time that it is shown. Keep it where secrets are kept.</p><p class="secret"><code>${made.key}</code></p><footer><${Button} icon="copy" onClick=${() => copy(made.key)}>Copy<//><${Button} kind="primary" data-first onClick=${() => setMade(null)}>I have it<//></footer><//>`}
  </section>`;
};

const NewKey = ({ onClose, onMade }) => {
  const [name, setName] = useState('');
  const [role, setRole] = useState('user');
  const [days, setDays] = useState('90');
  const [cidrs, setCidrs] = useState('');
  const [error, setError] = useState(null);
  const why = (field) => error?.errors.find((e) => e.field.startsWith(field))?.message;
  const make = async () => {
    setError(null);
    try {
      const list = cidrs.split(/[\s,]+/).filter(Boolean);
      onMade(await create('/api/v1/keys', { name: name.trim(), roles: [role], ...(days ? { expires_at_unix_ms: Math.floor(now() + Number(days) * DAY_MS) } : {}), ...(list.length ? { cidrs: list } : {}) }));
    } catch (problem) {
      setError(problem);
    }
    return false;
  };
  return html`<${Dialog} title="New key" onClose=${onClose}>
    <${Field} label="Name" id="key-name" hint="What uses it." error=${why('name')}><input id="key-name" data-first value=${name} onInput=${(e) => setName(e.target.value)} /><//>
    <${Field} label="Role" id="key-role" error=${why('roles')}><select id="key-role" value=${role} onChange=${(e) => setRole(e.target.value)}>${ROLES.map(([key, words]) => html`<option key=${key} value=${key}>${words}</option>`)}</select><//>
    <${Pills} label="Good for" options=${LIVES} value=${days} onChange=${setDays} />
    <${Field} label="Only from (optional)" id="key-cidrs" hint="Networks such as 10.0.0.0/8, separated by commas." error=${why('cidrs')}><input id="key-cidrs" value=${cidrs} onInput=${(e) => setCidrs(e.target.value)} /><//>
    ${error && !error.errors.length && html`<${Trouble} error=${error} />`}
    <footer><${Button} onClick=${onClose}>Not now<//><${Act} kind="primary" act=${make}>Make the key<//></footer><//>`;
};

const OVERLAPS = [['0', 'at once'], ['3600000', 'in an hour'], ['86400000', 'in a day'], ['604800000', 'in a week']];
const Rotate = ({ k, onClose, onMade }) => {
  const [overlap, setOverlap] = useState('86400000');
  return html`<${Dialog} title=${`Rotate ${k.name}`} onClose=${onClose}><p>A new key takes its place. When does the old one end?</p><${Pills} label="The old one ends" options=${OVERLAPS} value=${overlap} onChange=${setOverlap} />
    <footer><${Button} onClick=${onClose}>Not now<//><${Act} kind="primary" act=${async () => { onMade(await create(`/api/v1/keys/${enc(k.id)}:rotate`, { overlap_ms: Number(overlap) })); return false; }}>Rotate<//></footer><//>`;
};
