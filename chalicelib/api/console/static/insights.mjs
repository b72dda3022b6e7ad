// How punctual, how much, how well: plots over the one range of time, and the errors that recur.

import { pages } from './api.mjs';
import { clock, dayName, duration, hourMinute, number, percent, plural, quantile, zoneOf } from './format.mjs';
import { Range } from './range.mjs';
import { href } from './router.mjs';
import { now, range, rangeMs, theme, zone } from './state.mjs';
import { Loading, Trouble, html, useEffect, useLoad, useRef, useSig } from './ui.mjs';
import uPlot from './uplot.mjs';

const BUCKETS = 60;
const MOST = 5000;
const BAD = ['failed', 'timeout', 'missed'];

const aggregate = (items, fromMs, spanMs) => {
  const width = spanMs / BUCKETS;
  const made = Array.from({ length: BUCKETS }, () => ({ good: 0, bad: 0, other: 0, late: [] }));
  for (const e of items) {
    const at = Math.floor((e.firing_time_unix_ms - fromMs) / width);
    if (at < 0 || at >= BUCKETS) continue;
    const bucket = made[at];
    if (e.delivery_state === 'completed') bucket.good += 1;
    else if (BAD.includes(e.delivery_state)) bucket.bad += 1;
    else bucket.other += 1;
    if (e.lateness_ms !== null && e.lateness_ms !== undefined) bucket.late.push(e.lateness_ms);
  }
  for (const bucket of made) bucket.late.sort((a, b) => a - b);
  const x = made.map((_, i) => (fromMs + (i + 0.5) * width) / 1000);
  const line = (of) => made.map(of);
  return {
    throughput: [x, line((b) => b.good + b.bad + b.other), line((b) => b.good), line((b) => b.bad)],
    lateness: [x, line((b) => quantile(b.late, 0.5)), line((b) => quantile(b.late, 0.99)), line((b) => (b.late.length ? b.late[b.late.length - 1] : null))],
  };
};

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const Plot = ({ data, series, label, values, log }) => {
  const box = useRef();
  const chosenTheme = useSig(theme);
  const chosenZone = zoneOf(useSig(zone));
  useEffect(() => {
    const place = box.current;
    const axis = { stroke: css('--dim'), grid: { stroke: css('--line'), width: 1 }, ticks: { stroke: css('--line'), width: 1 } };
    const size = () => ({ width: Math.max(200, place.clientWidth), height: 220 });
    const plot = new uPlot({
      ...size(), tzDate: (s) => uPlot.tzDate(new Date(s * 1000), chosenZone), cursor: { y: false },
      scales: log ? { y: { distr: 3, log: 10, range: (_, min, max) => [Math.max(0.5, min || 0.5), Math.max(10, (max || 10) * 1.5)] } } : { y: { range: (_, __, max) => [0, Math.max(1, (max || 1) * 1.1)] } },
      axes: [{ ...axis, values: (_, ticks, __, ___, step) => ticks.map((s) => (step >= 86400 ? dayName(s * 1000, chosenZone) : hourMinute(s * 1000, chosenZone))) }, { ...axis, size: 60, values: (_, ticks) => ticks.map((v) => (v === null ? '' : values(v))) }],
      series: [{ label: 'time', value: (_, s) => (s === null ? '–' : clock(s * 1000, chosenZone)) }, ...series.map((s) => ({ label: s.label, stroke: css(s.colour), width: 2, points: { show: (u, i) => u.data[i].filter((v) => v !== null && v !== undefined).length < 3 }, spanGaps: true, dash: s.dash, fill: s.fill && `${css(s.colour)}22`, value: (_, v) => (v === null ? '–' : values(v)) }))],
    }, data, place);
    const watch = new ResizeObserver(() => plot.setSize(size()));
    watch.observe(place);
    return () => {
      watch.disconnect();
      plot.destroy();
    };
  }, [data, chosenTheme, chosenZone]);
  return html`<figure class="plot" role="img" aria-label=${label}><div ref=${box}></div></figure>`;
};

export const Insights = () => {
  const chosen = useSig(range);
  const { value, error, again } = useLoad(async (signal) => {
    const to = Math.floor(now());
    const from = to - rangeMs();
    const found = await pages('/api/v1/executions', { from_unix_ms: from, to_unix_ms: to }, { most: MOST, signal });
    // Where there are more than are loaded, the plots begin where those do.
    const oldest = found.more ? found.items[found.items.length - 1].firing_time_unix_ms : from;
    return { items: found.items, more: found.more, from: oldest, to, ...aggregate(found.items, oldest, to - oldest || 1) };
  }, [chosen]);
  const items = value?.items || [];
  const late = items.map((e) => e.lateness_ms).filter((ms) => ms !== null && ms !== undefined).sort((a, b) => a - b);
  const ended = items.filter((e) => !['pending', 'in_progress'].includes(e.delivery_state));
  const bad = ended.filter((e) => BAD.includes(e.delivery_state)).length;
  const groups = new Map();
  for (const e of items) {
    if (!e.error) continue;
    const key = e.error_fingerprint;
    const known = groups.get(key) || { key, error: e.error, count: 0, schedules: new Set(), newest: e };
    known.count += 1;
    known.schedules.add(e.schedule_id);
    groups.set(key, known);
  }
  const errors = [...groups.values()].sort((a, b) => b.count - a.count).slice(0, 10);
  return html`<section class="page" aria-label="Insights">
    <div class="page-head"><h1>Insights</h1></div>
    <div class="toolbar"><${Range} /></div>
    ${error && html`<${Trouble} error=${error} again=${again} />`}
    ${!value && !error && html`<${Loading} />`}
    ${value && html`
      <div class="figures"><div><span class="figure">${number(items.length)}${value.more ? '+' : ''}</span><span>executions</span></div><div><span class="figure">${duration(quantile(late, 0.5))}</span><span>late, middle</span></div><div><span class="figure">${duration(quantile(late, 0.99))}</span><span>late, 99 of 100 below</span></div><div class=${bad ? 'bad' : 'good'}><span class="figure">${ended.length ? percent((100 * bad) / ended.length) : '–'}</span><span>failed or missed</span></div></div>
      ${value.more && html`<p class="note">There are more than ${number(MOST)} in this time: the plots show the newest.</p>`}
      <div class="cards"><article class="card wide"><h3>Lateness</h3><p class="dim">From the instant to its dispatch, logarithmic.</p><${Plot} data=${value.lateness} log=${true} values=${(v) => duration(v)} label=${`Lateness over ${chosen}: typically ${duration(quantile(late, 0.5))}, at most ${duration(late[late.length - 1])}`} series=${[{ label: 'middle', colour: '--good', fill: true }, { label: '99 of 100', colour: '--info' }, { label: 'most', colour: '--warn', dash: [4, 4] }]} /></article>
        <article class="card wide"><h3>Throughput</h3><p class="dim">Executions by their instants.</p><${Plot} data=${value.throughput} values=${(v) => number(Math.round(v * 10) / 10)} label=${`Executions over ${chosen}: ${items.length}, ${bad} of them failed or missed`} series=${[{ label: 'all', colour: '--dim' }, { label: 'completed', colour: '--good', fill: true }, { label: 'failed', colour: '--bad' }]} /></article>
        <article class="card wide"><h3>Errors that recur</h3>${errors.length ? html`<div class="tablebox"><table class="plain"><thead><tr><th scope="col">How often</th><th scope="col">Error</th><th scope="col">Schedules</th><th scope="col">Newest</th></tr></thead><tbody>${errors.map((g) => html`<tr key=${g.key}><td><b>${number(g.count)}</b></td><td><code class="break">${g.error}</code></td><td>${plural(g.schedules.size, 'schedule')}</td><td><a href=${href({ view: 'tasks', id: g.newest.id })}>open</a></td></tr>`)}</tbody></table></div>` : html`<p class="dim">None in this time.</p>`}</article></div>`}
  </section>`;
};
