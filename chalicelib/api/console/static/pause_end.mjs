// When a pause ends by itself: left empty, when somebody resumes.

import { instantOf, minuteOf, wallOf } from './format.mjs';
import { now } from './state.mjs';
import { Button, Field, html } from './ui.mjs';

const HOUR = 3600e3;
const DAY = 24 * HOUR;

const inMs = (ms, zone) => wallOf(minuteOf(now() + ms), zone);
// Nine o'clock of a day so many days ahead, on the wall of the zone.
const nineOn = (days, zone) => `${inMs(days * DAY, zone).slice(0, 10)}T09:00`;
const CHOICES = [
  ['1 hour', (zone) => inMs(HOUR, zone)],
  ['4 hours', (zone) => inMs(4 * HOUR, zone)],
  ['Tomorrow 09:00', (zone) => nineOn(1, zone)],
  ['In a week', (zone) => inMs(7 * DAY, zone)],
];

// What the field says: the instant, nothing, or why it is wrong. A date without its time reads as empty, and must not
// become a pause without end.
export const pauseEnd = (id, text, zone) => {
  if (document.getElementById(id)?.validity.badInput) return { wrong: 'needs both a date and a time' };
  if (!text) return { body: {} };
  const ms = instantOf(text, zone);
  return ms <= now() ? { wrong: 'must be in the future' } : { body: { until_unix_ms: ms } };
};

export const PauseEnd = ({ id, value, onChange, zone, error }) => html`<${Field} label=${`Until (${zone})`} id=${id} error=${error} hint="Left empty: until somebody resumes.">
  <input id=${id} type="datetime-local" value=${value} onInput=${(e) => onChange(e.target.value)} aria-invalid=${Boolean(error)} aria-describedby=${`${id}-hint`} />
  <div class="choices" role="group" aria-label="Common ends">${CHOICES.map(([label, of]) => html`<${Button} key=${label} kind="small" onClick=${() => onChange(of(zone))}>${label}<//>`)}</div>
<//>`;
