// What will run in the coming hours: a line of time with hot minutes, and the runs by schedule.

import { ApiError, get, pages, post } from './api.mjs';
import { clock, dateTime, hourMinute, number, plural, zoneOf } from './format.mjs';
import { amend, href, route } from './router.mjs';
import { now, second, zone } from './state.mjs';
import { inWords } from './words.mjs';
import { Ago, Empty, Loading, Pills, Trouble, html, useEvery, useLoad, useSig } from './ui.mjs';

const SPANS = [['1h', 3600e3], ['6h', 21600e3], ['24h', 86400e3]];
const BUCKETS = 60;
const SCHEDULES_MAX = 200;
const RUNS_EACH = 1000;
const AT_ONCE = 4;

const recurrence = (s) => ({
  type: s.type, expr: s.expr, timezone: s.timezone, dst_gap: s.dst_gap, dst_overlap: s.dst_overlap,
  ...(s.exclude.length ? { exclude: s.exclude } : {}), ...(s.end_at_unix_ms ? { end_at_unix_ms: s.end_at_unix_ms } : {}),
  // What counts from an anchor goes on from its next run: a multiple of its interval away from it.
  ...(['RATE', 'ISO8601', 'RRULE'].includes(s.type) ? { start_at_unix_ms: s.next_run_unix_ms } : {}),
});

// The runs of active schedules until an instant, of each the first thousand.
const load = async (untilMs, signal) => {
  const found = await pages('/api/v1/schedules', { enabled: 'true' }, { most: SCHEDULES_MAX, signal });
  const active = found.items.filter((s) => s.next_run_unix_ms && s.next_run_unix_ms <= untilMs);
  const made = [];
  const queue = [...active];
  const work = async () => {
    for (let s = queue.shift(); s; s = queue.shift()) {
      const once = ['AT', 'DELAY'].includes(s.type);
      let runs = [s.next_run_unix_ms];
      if (!once) {
        try {
          runs = (await post('/api/v1/schedules:preview', { ...recurrence(s), after_unix_ms: s.next_run_unix_ms - 1, count: RUNS_EACH }, { signal })).runs_unix_ms;
        } catch (problem) {
          if (!(problem instanceof ApiError)) throw problem;
        }
      }
      made.push({ s, runs: runs.filter((ms) => ms <= untilMs), cut: !once && runs.length === RUNS_EACH && runs[runs.length - 1] < untilMs });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { each: made.sort((a, b) => a.runs[0] - b.runs[0]), more: found.more, paused: await get('/api/v1/schedules', { enabled: 'false', limit: 100 }, { signal }).then((page) => page.items.length) };
};

export const Upcoming = () => {
  const at = useSig(route);
  useSig(second);
  const chosen = zoneOf(useSig(zone));
  const name = at.query.span || '1h';
  const spanMs = (SPANS.find(([key]) => key === name) || SPANS[0])[1];
  const { value, error, again } = useLoad((signal) => load(now() + spanMs, signal), [name]);
  useEvery(30000, again);
  const from = now();
  const width = spanMs / BUCKETS;
  const buckets = new Array(BUCKETS).fill(0);
  for (const { runs } of value?.each || []) for (const ms of runs) if (ms >= from && ms < from + spanMs) buckets[Math.floor((ms - from) / width)] += 1;
  const most = Math.max(1, ...buckets);
  const mean = buckets.reduce((a, b) => a + b, 0) / BUCKETS;
  const total = buckets.reduce((a, b) => a + b, 0);
  const hot = (n) => n >= 10 && n > 3 * mean;
  return html`<section class="page" aria-label="Upcoming">
    <div class="page-head"><h1>Upcoming</h1><span class="dim">${value ? `${plural(total, 'run')} of ${plural(value.each.length, 'schedule')} within ${name}` : ''}</span></div>
    <div class="toolbar"><${Pills} label="How far" options=${SPANS.map(([key]) => [key, key])} value=${name} onChange=${(key) => amend({ span: key === '1h' ? '' : key })} /></div>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${!value && !error && html`<${Loading} />`}
    ${value && !value.each.length && html`<${Empty} title="Nothing is to run"><p>No active schedule has a run within ${name}.</p><//>`}
    ${value?.each.length > 0 && html`
      <figure class="heat"><figcaption class="sr">Runs by time: ${buckets.map((n, i) => (n ? `${hourMinute(from + i * width, chosen)}: ${n}` : '')).filter(Boolean).slice(0, 60).join(', ')}</figcaption>
        <div class="heat-bars" aria-hidden="true">${buckets.map((n, i) => html`<span key=${i} class=${`heat-bar${hot(n) ? ' hot' : ''}`} title=${`${clock(from + i * width, chosen)}: ${plural(n, 'run')}${hot(n) ? ', a hot time' : ''}`} style=${{ height: `${Math.max(n ? 6 : 1, (100 * n) / most)}%` }}></span>`)}</div>
        <div class="heat-axis" aria-hidden="true"><span>now</span><span>${hourMinute(from + spanMs / 4, chosen)}</span><span>${hourMinute(from + spanMs / 2, chosen)}</span><span>${hourMinute(from + (3 * spanMs) / 4, chosen)}</span><span>${hourMinute(from + spanMs, chosen)}</span></div>
      </figure>
      ${buckets.some(hot) && html`<p class="note">The times in another colour have more than three times the usual load. Jitter, or another minute, spreads it.</p>`}
      <ul class="lanes">${value.each.slice(0, 100).map(({ s, runs, cut }) => {
        const ahead = runs.filter((ms) => ms >= from);
        const first = ahead[0];
        return html`<li key=${s.id}><a class="lane-name" href=${href({ view: 'schedules', id: s.id })}><b>${s.name || s.id}</b><span class="dim">${inWords(s.type, s.expr, '') || s.expr}</span></a>
          <svg class="lane" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label=${`${plural(ahead.length, 'run')}, first ${first ? dateTime(first, chosen) : 'none'}`}>
            ${ahead.length > 250 ? html`<rect x="0" y="6" width="1000" height="8" class="lane-many" />` : ahead.map((ms) => html`<rect key=${ms} x=${((ms - from) / spanMs) * 1000 - 1.5} y="3" width="3" height="14" class="lane-run" />`)}
          </svg>
          <span class="lane-next">${first ? html`<${Ago} ms=${first} />` : html`<span class="dim">due</span>`}<span class="dim"> · ${number(ahead.length)}${cut ? '+' : ''}</span></span></li>`;
      })}</ul>
      ${value.paused > 0 && html`<p class="dim">${plural(value.paused, 'paused schedule')} not counted.${value.more ? ` Of more than ${SCHEDULES_MAX} schedules the first are shown.` : ''}</p>`}`}
  </section>`;
};
