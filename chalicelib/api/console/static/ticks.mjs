// Ticks: the numbered boundaries of the calendar, as they come.

import { get, post } from './api.mjs';
import { dateTime, number, zoneOf } from './format.mjs';
import { may, session, zone } from './state.mjs';
import { Act, Loading, Shape, Trouble, html, useEvery, useLoad, useSig } from './ui.mjs';

// Timestamps are nanoseconds, more than JavaScript's numbers hold: they are read as text.
const msOf = (nanos) => (nanos === null ? null : Math.round(Number(nanos) / 1e6));
const ORDER = ['second', 'minute', 'hour', 'day'];

const newest = async (stream, signal) => {
  if (!stream.sequence) return { items: [], gaps: [] };
  return get(`/api/v1/ticks/${stream.frequency}`, { after_sequence: Math.max(0, stream.sequence - 12), limit: 12 }, { signal });
};

export const Ticks = () => {
  const { value, error, again } = useLoad(async (signal) => {
    const page = await get('/api/v1/ticks', {}, { signal });
    const streams = [...page.items].sort((a, b) => ORDER.indexOf(a.frequency) - ORDER.indexOf(b.frequency));
    const lists = await Promise.all(streams.map((stream) => newest(stream, signal)));
    return streams.map((stream, i) => ({ stream, ...lists[i] }));
  }, []);
  useSig(session);
  const admin = may('ticks:write');
  const chosen = zoneOf(useSig(zone));
  useEvery(1000, again);
  const turn = (stream) => post(`/api/v1/ticks/${stream.frequency}:${stream.enabled ? 'disable' : 'enable'}`).then(again);
  return html`<section class="page" aria-label="Ticks">
    <div class="page-head"><h1>Ticks</h1><span class="dim">Each boundary of the calendar once, numbered without a gap.</span></div>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${!value && !error && html`<${Loading} />`}
    <div class="cards">${(value || []).map(({ stream, items, gaps }) => html`<article class="card" key=${stream.frequency}>
      <h3><${Shape} status=${stream.enabled ? 'active' : 'paused'} /> Every ${stream.frequency}</h3>
      <p class="bigfact">#${number(stream.sequence)}</p>
      <p class="dim">${stream.timestamp ? html`newest ${dateTime(msOf(stream.timestamp), chosen)}` : 'none yet'}</p>
      ${stream.enabled && stream.next_timestamp ? html`<p class="dim">next ${dateTime(msOf(stream.next_timestamp), chosen)}, numbers given up to ${number(stream.reserved_sequence)}</p>` : ''}
      ${gaps?.length > 0 && html`<p class="warn">${gaps.length} gap${gaps.length > 1 ? 's' : ''}, the last after #${number(gaps[gaps.length - 1].after_sequence)}</p>`}
      <ol class="tickline" reversed>${[...items].reverse().slice(0, 6).map((tick) => html`<li key=${tick.id}><code>#${number(tick.sequence)}</code> ${dateTime(msOf(tick.timestamp), chosen)}${tick.caught_up ? html` <span class="tag late">caught up</span>` : ''}</li>`)}</ol>
      ${admin && html`<${Act} kind="small" icon=${stream.enabled ? 'pause' : 'play'} act=${() => turn(stream)} done=${stream.enabled ? 'Stopped.' : 'Started.'}>${stream.enabled ? 'Stop' : 'Start'}<//>`}
    </article>`)}</div>
  </section>`;
};

