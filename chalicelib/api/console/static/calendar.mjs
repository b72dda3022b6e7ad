// The coming runs, on a calendar: five weeks of days, or hours where they are many. Days on which clocks change are marked.

import { clock, dayKey, dayName, duration, longDay, monthName, number, offsetMinutes, offsetText, plural, weekday } from './format.mjs';
import { html } from './ui.mjs';

const DAY_MS = 86400e3;
const WEEKS = 5;

// Whether the clocks of a zone change on the day around an instant, and by how much.
export const shiftOn = (ms, zone) => {
  const key = dayKey(ms, zone);
  let begin = ms;
  while (dayKey(begin, zone) === key) begin -= 3600e3;
  let end = ms;
  while (dayKey(end, zone) === key) end += 3600e3;
  return offsetMinutes(end, zone) - offsetMinutes(begin, zone);
};

const shiftWords = (minutes) => `clocks go ${minutes > 0 ? 'forward' : 'back'} ${duration(Math.abs(minutes) * 60000)}`;

// The days from the first run on; noon is a safe instant of each.
const days = (fromMs, zone) => {
  const found = [];
  const seen = new Set();
  for (let at = fromMs; found.length < WEEKS * 7; at += DAY_MS / 4) {
    const key = dayKey(at, zone);
    if (seen.has(key)) continue;
    seen.add(key);
    found.push({ key, ms: at });
  }
  return found;
};

// Runs that come so often that days say nothing: a line of time.
const Strip = ({ runs, zone, fromMs }) => {
  const from = Math.min(fromMs, runs[0]);
  const span = Math.max(1, runs[runs.length - 1] - from);
  const shift = runs.find((ms, i) => i && offsetMinutes(ms, zone) !== offsetMinutes(runs[i - 1], zone));
  const x = (ms) => ((ms - from) / span) * 996;
  return html`<div class="strip"><svg class="lane" viewBox="0 0 1000 40" preserveAspectRatio="none" role="img" aria-label=${`${plural(runs.length, 'run')} within ${duration(span)}`}>
      ${shift && html`<rect x=${x(shift) - 3} y="0" width="8" height="40" class="lane-dst" />`}
      ${runs.map((ms) => html`<rect key=${ms} x=${x(ms)} y="8" width=${Math.max(1.2, Math.min(4, 400 / runs.length))} height="24" class="lane-run" />`)}
    </svg><div class="strip-axis" aria-hidden="true">${[0, 0.25, 0.5, 0.75, 1].map((part) => html`<span key=${part}>${clock(from + part * span, zone)}</span>`)}</div></div>`;
};

export const CalendarStrip = ({ runs, dst, zone, fromMs, complete }) => {
  if (!runs.length) return html`<p class="dim">No run is to come.</p>`;
  const byDay = new Map();
  for (const ms of runs) {
    const key = dayKey(ms, zone);
    byDay.set(key, [...(byDay.get(key) || []), ms]);
  }
  const notes = new Map(dst.map((note) => [note.run_unix_ms, note.kind]));
  const shown = days(Math.min(fromMs, runs[0]), zone);
  const lastMs = runs[runs.length - 1];
  const most = Math.max(...[...byDay.values()].map((each) => each.length));
  const blanks = (['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'].indexOf(weekday(shown[0].ms, zone)) + 7) % 7;
  const dense = !complete && lastMs - runs[0] < 2 * DAY_MS;
  return html`<div class="calendar">
    ${dense ? html`<${Strip} runs=${runs} zone=${zone} fromMs=${fromMs} />` : html`<div class="cal-week" aria-hidden="true">${['M', 'T', 'W', 'T', 'F', 'S', 'S'].map((d, i) => html`<span key=${i}>${d}</span>`)}</div>
    <ol class="cal-days" aria-label=${`Coming runs by day, ${zone}`}>
      ${Array.from({ length: blanks }, (_, i) => html`<li key=${`b${i}`} class="cal-blank" aria-hidden="true"></li>`)}
      ${shown.map(({ key, ms }) => {
        const here = byDay.get(key) || [];
        const shift = shiftOn(ms, zone);
        const beyond = !complete && ms > lastMs + DAY_MS / 2;
        const words = [longDay(ms, zone), beyond ? 'not computed' : here.length ? plural(here.length, 'run') : 'no run', shift ? shiftWords(shift) : ''].filter(Boolean).join(', ');
        return html`<li key=${key} data-day=${key} class=${`cal-day${here.length ? ' has' : ''}${shift ? ' dst' : ''}${beyond ? ' beyond' : ''}`} title=${here.length && here.length <= 8 ? here.map((at) => clock(at, zone)).join(' ') : words}>
          <span class="sr">${words}</span>
          <span aria-hidden="true" class="cal-n">${Number(key.slice(8))}${key.endsWith('-01') || ms === shown[0].ms ? ` ${monthName(ms, zone)}` : ''}</span>
          ${here.length > 0 && html`<span aria-hidden="true" class="cal-mark" style=${{ opacity: 0.35 + (0.65 * here.length) / most }}>${here.length === 1 ? clock(here[0], zone).slice(0, 5) : `${number(here.length)}×`}</span>`}
          ${shift !== 0 && html`<span aria-hidden="true" class="cal-dst">DST ${shift > 0 ? '+' : '−'}${Math.abs(shift) / 60}h</span>`}
        </li>`;
      })}
    </ol>`}
    <ol class="nextruns" aria-label="Next runs">
      ${runs.slice(0, 12).map((ms, i) => html`<li key=${ms}>
        <b>${dayName(ms, zone)} ${clock(ms, zone)}</b> <span class="dim">${offsetText(ms, zone)}${i ? `, ${duration(ms - runs[i - 1])} later` : ''}</span>
        ${notes.has(ms) && html`<span class="tag late">${notes.get(ms) === 'gap' ? 'moved: its hour is skipped' : 'its hour comes twice'}</span>`}
      </li>`)}
    </ol>
    ${runs.length > 12 && html`<p class="dim">and ${number(runs.length - 12)} more until ${dayName(lastMs, zone)} ${clock(lastMs, zone)}</p>`}
  </div>`;
};
