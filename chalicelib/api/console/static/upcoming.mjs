// What will run in the coming hours: a line of time with hot minutes, and the runs by schedule.

import { get } from './api.mjs';
import { clock, dateTime, hourMinute, number, plural, zoneOf } from './format.mjs';
import { amend, href, route } from './router.mjs';
import { now, second, zone } from './state.mjs';
import { Ago, Empty, Loading, Pills, Trouble, html, useEvery, useLoad, useSig } from './ui.mjs';

const SPANS = [['1h', 3600e3], ['6h', 21600e3], ['24h', 86400e3]];
const BUCKETS = 60;
const MINUTE_MS = 60000;
const REFRESH_MS = 30000;
const LANES_MAX = 200;
const HOT_RUNS = 10;
const HOT_TIMES = 3;

export const Upcoming = () => {
  const at = useSig(route);
  useSig(second);
  const chosen = zoneOf(useSig(zone));
  const name = at.query.span || '1h';
  const spanMs = (SPANS.find(([key]) => key === name) || SPANS[0])[1];
  const { value, error, again } = useLoad((signal) => {
    const from = Math.floor(now());
    return get('/api/v1/upcoming', { from_unix_ms: from, to_unix_ms: from + spanMs - 1 }, { signal });
  }, [name]);
  useEvery(REFRESH_MS, again);
  const from = value?.from_unix_ms ?? now();
  const width = Math.max(MINUTE_MS, spanMs / BUCKETS);
  const buckets = new Array(Math.ceil(spanMs / width)).fill(0);
  for (const { at_unix_ms: ms, count } of value?.minutes || []) buckets[Math.min(buckets.length - 1, Math.max(0, Math.floor((ms - from) / width)))] += count;
  const most = Math.max(1, ...buckets);
  const total = (value?.items || []).reduce((sum, item) => sum + item.count, 0);
  const hot = (n) => n >= HOT_RUNS && n > (HOT_TIMES * total) / buckets.length;
  return html`<section class="page" aria-label="Upcoming">
    <div class="page-head"><h1>Upcoming</h1><span class="dim">${value ? `${plural(total, 'run')} of ${plural(value.items.length, 'schedule')} within ${name}` : ''}</span></div>
    <div class="toolbar"><${Pills} label="How far" options=${SPANS.map(([key]) => [key, key])} value=${name} onChange=${(key) => amend({ span: key === '1h' ? '' : key })} /></div>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${!value && !error && html`<${Loading} />`}
    ${value && !value.items.length && html`<${Empty} title="Nothing is to run"><p>No active schedule has a run within ${name}.</p><//>`}
    ${value?.items.length > 0 && html`
      <figure class="heat"><figcaption class="sr">Runs by time: ${buckets.map((n, i) => (n ? `${hourMinute(from + i * width, chosen)}: ${n}` : '')).filter(Boolean).join(', ')}</figcaption>
        <div class="heat-bars" aria-hidden="true">${buckets.map((n, i) => html`<span key=${i} class=${`heat-bar${hot(n) ? ' hot' : ''}`} title=${`${clock(from + i * width, chosen)}: ${plural(n, 'run')}${hot(n) ? ', a hot time' : ''}`} style=${{ height: `${n ? Math.max(6, (100 * n) / most) : 1}%` }}></span>`)}</div>
        <div class="heat-axis" aria-hidden="true"><span>now</span>${[0.25, 0.5, 0.75, 1].map((part) => html`<span key=${part}>${hourMinute(from + part * spanMs, chosen)}</span>`)}</div>
      </figure>
      ${buckets.some(hot) && html`<p class="note">The times in another colour have more than three times the usual load. Jitter, or another minute, spreads it.</p>`}
      <ul class="lanes">${value.items.slice(0, LANES_MAX).map((item) => {
        const ahead = item.runs_unix_ms.filter((ms) => ms >= now());
        const next = ahead[0] ?? item.runs_unix_ms[0];
        const x = (ms) => ((ms - from) / spanMs) * 1000;
        return html`<li key=${item.schedule_id}><a class="lane-name" href=${href({ view: 'schedules', id: item.schedule_id })}><b>${item.name || item.schedule_id}</b><span class="dim">${item.type}, ${item.owner}</span></a>
          <svg class="lane" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label=${`${plural(item.count, 'run')}, the first ${dateTime(item.runs_unix_ms[0], chosen)}`}>
            ${item.count > item.runs_unix_ms.length
              ? html`<rect x=${x(item.runs_unix_ms[0])} y="6" width=${1000 - x(item.runs_unix_ms[0])} height="8" class="lane-many" />`
              : item.runs_unix_ms.map((ms) => html`<rect key=${ms} x=${x(ms)} y="3" width="3" height="14" class="lane-run" />`)}
          </svg>
          <span class="lane-next">${next && html`<${Ago} ms=${next} />`}<span class="dim"> · ${number(item.count)}</span></span></li>`;
      })}</ul>
      ${(value.items.length > LANES_MAX || !value.complete) && html`<p class="dim">${value.complete ? '' : 'There is more than one answer holds: what is counted here is the soonest. '}${value.items.length > LANES_MAX ? `The first ${LANES_MAX} schedules are shown.` : ''}</p>`}`}
  </section>`;
};
