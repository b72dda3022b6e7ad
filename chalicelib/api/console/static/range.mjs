// One range of time for the whole console: what is chosen here holds in every view that looks back.

import { RANGES, keep, range } from './state.mjs';
import { Pills, html, useSig } from './ui.mjs';

export const Range = () => html`<${Pills} label="Range of time" options=${RANGES.map(([name]) => [name, name])} value=${useSig(range)} onChange=${(name) => { range.value = name; keep('range', name); }} />`;
