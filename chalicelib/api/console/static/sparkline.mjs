// The last runs of a schedule as bars: the higher, the later. What failed has another colour and a gap below it.

import { duration, quantile } from './format.mjs';
import { Shape, html, statusWord } from './ui.mjs';

const WIDTH = 5;
const HEIGHT = 22;
const LATE_MS = 10000; // as high as it gets; the scale is logarithmic

export const barHeight = (ms) => 3 + Math.min(1, Math.log10(1 + Math.max(0, ms ?? 0)) / Math.log10(LATE_MS)) * (HEIGHT - 3);

export const sparkWords = (runs) => {
  if (!runs.length) return 'no run yet';
  const counts = {};
  for (const run of runs) counts[run.delivery_state] = (counts[run.delivery_state] || 0) + 1;
  const late = runs.map((run) => run.lateness_ms).filter((ms) => ms !== null && ms !== undefined).sort((a, b) => a - b);
  const middle = quantile(late, 0.5);
  return `last ${runs.length}: ${Object.entries(counts).map(([state, n]) => `${n} ${statusWord(state)}`).join(', ')}${middle === null ? '' : `; lateness typically ${duration(middle)}, at most ${duration(late[late.length - 1])}`}`;
};

// `runs` newest first, as the API lists them.
export const Sparkline = ({ runs, slots = 20 }) => {
  const shown = runs.slice(0, slots).reverse();
  const words = sparkWords(runs.slice(0, slots));
  return html`<span class="spark" title=${words}><span class="sr">${words}</span>
    <svg viewBox=${`0 0 ${slots * WIDTH} ${HEIGHT}`} width=${slots * WIDTH} height=${HEIGHT} aria-hidden="true">
      ${Array.from({ length: slots - shown.length }, (_, i) => html`<rect key=${`e${i}`} x=${i * WIDTH} y=${HEIGHT - 2} width="3.4" height="2" class="b-none" />`)}
      ${shown.map((run, i) => {
        const x = (slots - shown.length + i) * WIDTH;
        const bad = ['failed', 'timeout', 'missed'].includes(run.delivery_state);
        const h = bad ? HEIGHT : barHeight(run.lateness_ms);
        return html`<rect key=${run.id} x=${x} y=${HEIGHT - h} width="3.4" height=${bad ? h - 6 : h} rx="1" class=${`b-${run.delivery_state}`} />${bad && html`<rect x=${x} y=${HEIGHT - 4} width="3.4" height="4" rx="1" class=${`b-${run.delivery_state}`} />`}`;
      })}
    </svg></span>`;
};

export const LastRun = ({ runs }) => (runs.length ? html`<${Shape} status=${runs[0].delivery_state} />` : '');
