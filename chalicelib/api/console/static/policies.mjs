// Policies as code: what they say, whom they would deny, and changing them.

import { ApiError, create, get, id as enc, pages, post, put, remove } from './api.mjs';
import { plural } from './format.mjs';
import { go, href, route } from './router.mjs';
import { may, session, toast } from './state.mjs';
import { Act, Button, Dialog, Empty, Field, Icon, Loading, Tree, Trouble, html, useLoad, useSig, useState } from './ui.mjs';

const EXAMPLE = { name: 'https-only', description: 'Webhooks go out encrypted.', mode: 'audit', match: { target: 'webhook' }, rules: [{ name: 'https', condition: { field: 'target.url', op: 'starts_with', value: 'https://' }, action: 'deny', message: 'Use https.' }] };
const form = ({ name, description, mode, match, rules, exceptions }) => ({ name, description, mode, ...(match ? { match } : {}), rules, ...(exceptions?.length ? { exceptions } : {}) });

export const Policies = () => {
  const at = useSig(route);
  return at.id ? html`<${Policy} key=${at.id} name=${at.id} />` : html`<${PolicyList} />`;
};

const PolicyList = () => {
  const { value, error, again } = useLoad((signal) => pages('/api/v1/policies', {}, { most: 500, signal }), []);
  useSig(session);
  const admin = may('policies:write');
  const [making, setMaking] = useState(false);
  return html`<section class="page" aria-label="Policies">
    <div class="page-head"><h1>Policies</h1><span class="dim">${value ? plural(value.items.length, 'policy', 'policies') : ''}</span>${admin && html`<div class="push"><${Button} kind="primary" icon="plus" onClick=${() => setMaking(true)}>New policy<//></div>`}</div>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${!value && !error && html`<${Loading} />`}
    ${value && !value.items.length && html`<${Empty} title="No policy yet"><p>A policy is a list of assertions that schedules and firings must keep to. In mode <code>audit</code> it only records.</p><//>`}
    <div class="cards">${(value?.items || []).map((p) => html`<article class="card" key=${p.name}><h3><a href=${href({ view: 'policies', id: p.name })}>${p.name}</a> <span class=${`tag ${p.mode === 'enforce' ? 'bad' : ''}`}>${p.mode}</span></h3><p>${p.description}</p><p class="dim">${plural(p.rules.length, 'rule')}: ${p.rules.map((r) => r.name).join(', ')}</p></article>`)}</div>
    ${making && html`<${PolicyEditor} first=${EXAMPLE} onClose=${() => setMaking(false)} onSaved=${(name) => go({ view: 'policies', id: name })} />`}
  </section>`;
};

const Policy = ({ name }) => {
  const { value: p, error, again } = useLoad((signal) => get(`/api/v1/policies/${enc(name)}`, {}, { signal }), [name]);
  const versions = useLoad((signal) => get(`/api/v1/policies/${enc(name)}/versions`, {}, { signal }), [name, p?.version]);
  useSig(session);
  const admin = may('policies:write');
  const [editing, setEditing] = useState(false);
  const [dry, setDry] = useState(null);
  if (error) return html`<section class="page"><${Trouble} error=${error} again=${again} /></section>`;
  if (!p) return html`<section class="page"><${Loading} /></section>`;
  return html`<section class="page" aria-label="Policy">
    <div class="page-head"><a class="btn quiet" href=${href({ view: 'policies' })} aria-label="All policies"><${Icon} name="back" /></a><h1>${p.name}</h1><span class=${`tag ${p.mode === 'enforce' ? 'bad' : ''}`}>${p.mode}</span></div>
    <p>${p.description}</p>${p.notes.map((note) => html`<p class="note">${note}</p>`)}
    ${admin && html`<div class="acts wrap"><${Button} icon="edit" onClick=${() => setEditing(true)}>Edit<//><${Act} icon="search" act=${async () => { setDry(await dryRun(name)); return false; }}>Dry run<//><${Act} icon="trash" kind="danger" act=${async () => { await remove(`/api/v1/policies/${enc(name)}`); go({ view: 'policies' }); }} done="Deleted.">Delete<//></div>`}
    ${dry && html`<div class="note"><b>${plural(dry.would_deny.length, 'denial')}</b> among ${plural(dry.schedules, 'schedule')}${dry.firings ? ` and ${plural(dry.firings, 'firing')} of the last week` : ''}.<ul>${dry.would_deny.slice(0, 20).map((d, i) => html`<li key=${i}><a href=${href({ view: 'schedules', id: d.schedule_id })}><code>${d.schedule_id}</code></a> ${d.rule}: ${d.message}</li>`)}</ul></div>`}
    <div class="cards">${p.rules.map((r) => html`<article class="card" key=${r.name}><h3>${r.name} <span class=${`tag ${r.action === 'deny' ? 'bad' : ''}`}>${r.action}</span>${r.required ? html` <span class="tag">required</span>` : ''}</h3><p>${r.message}</p><div class="codebox"><${Tree} value=${r.condition} /></div></article>`)}</div>
    <h2>Versions</h2><ul class="plainlist">${(versions.value?.items || []).map((v) => html`<li key=${v.version}><code>${v.version}</code> <span class="dim">${v.mode}, ${plural(v.rules.length, 'rule')}</span>${admin && v.version !== p.version ? html` <${Act} kind="small" act=${async () => { await put(`/api/v1/policies/${enc(name)}`, form({ ...v, name: undefined })); again(); }} done="Reverted.">Revert<//>` : ''}</li>`)}</ul>
    ${editing && html`<${PolicyEditor} first=${form(p)} name=${name} onClose=${() => setEditing(false)} onSaved=${() => { setEditing(false); again(); }} />`}
  </section>`;
};

const dryRun = async (name, body = {}) => {
  const all = { would_deny: [], schedules: 0, firings: 0 };
  let token;
  do {
    const page = await post(`/api/v1/policies/${enc(name)}:dry-run${token ? `?page_token=${encodeURIComponent(token)}` : ''}`, body);
    all.would_deny.push(...page.would_deny);
    all.schedules += page.schedules;
    all.firings += page.firings;
    token = page.next_page_token;
  } while (token && all.would_deny.length < 500);
  return all;
};

const PolicyEditor = ({ first, name, onClose, onSaved }) => {
  const [text, setText] = useState(JSON.stringify(first, null, 2));
  const [error, setError] = useState(null);
  const save = async () => {
    setError(null);
    try {
      const body = JSON.parse(text);
      if (name) {
        delete body.name;
        await put(`/api/v1/policies/${enc(name)}`, body);
      } else await create('/api/v1/policies', body);
      toast('Saved.');
      onSaved(name || body.name);
    } catch (problem) {
      setError(problem instanceof ApiError ? problem : new ApiError(0, { detail: `Not JSON: ${problem.message}` }));
    }
    return false;
  };
  return html`<${Dialog} title=${name ? `Edit ${name}` : 'New policy'} wide=${true} onClose=${onClose}><p>A rule is an assertion: its action applies where its condition does <b>not</b> hold.</p>
    <${Field} label="Policy, JSON" id="policy-text"><textarea id="policy-text" class="code" rows="18" spellcheck="false" value=${text} onInput=${(e) => setText(e.target.value)}></textarea><//>
    ${error && html`<${Trouble} error=${error} />`}<footer><${Button} onClick=${onClose}>Not now<//><${Act} kind="primary" act=${save}>Save<//></footer><//>`;
};

