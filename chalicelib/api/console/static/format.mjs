// Instants, durations and numbers as people read them. Nothing here touches the page.

export const ZONES = ['browser', 'UTC'];
const formats = new Map();

const format = (zone, options) => {
  const key = zone + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', ...options }));
  return formats.get(key);
};

export const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
export const zoneOf = (chosen) => (chosen === 'UTC' ? 'UTC' : chosen === 'browser' ? browserZone() : chosen);

export const isZone = (zone) => {
  try {
    format(zone, { hour: 'numeric' });
    return true;
  } catch {
    return false;
  }
};

const DATE = { year: 'numeric', month: 'short', day: 'numeric' };
const TIME = { hour: '2-digit', minute: '2-digit', second: '2-digit' };
export const dateTime = (ms, zone) => `${format(zone, DATE).format(ms)}, ${format(zone, TIME).format(ms)}`;
export const dateTimeMs = (ms, zone) => `${dateTime(ms, zone)}.${String(ms % 1000).padStart(3, '0')}`;
export const clock = (ms, zone) => format(zone, TIME).format(ms);
export const hourMinute = (ms, zone) => format(zone, { hour: '2-digit', minute: '2-digit' }).format(ms);
export const dayName = (ms, zone) => format(zone, { weekday: 'short', day: 'numeric', month: 'short' }).format(ms);
export const longDay = (ms, zone) => format(zone, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' }).format(ms);
export const monthName = (ms, zone) => format(zone, { month: 'short' }).format(ms);
export const weekday = (ms, zone) => format(zone, { weekday: 'short' }).format(ms);

// The calendar's day of an instant in a zone, as yyyy-mm-dd.
export const dayKey = (ms, zone) => {
  const found = Object.fromEntries(format(zone, { year: 'numeric', month: '2-digit', day: '2-digit' }).formatToParts(ms).map((p) => [p.type, p.value]));
  return `${found.year}-${found.month}-${found.day}`;
};

// Minutes that a zone is ahead of UTC at an instant.
export const offsetMinutes = (ms, zone) => {
  const parts = format(zone, { year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' }).formatToParts(ms);
  const n = Object.fromEntries(parts.map((p) => [p.type, Number(p.value)]));
  return Math.round((Date.UTC(n.year, n.month - 1, n.day, n.hour, n.minute, n.second) - Math.floor(ms / 1000) * 1000) / 60000);
};

export const offsetText = (ms, zone) => {
  const m = offsetMinutes(ms, zone);
  return `UTC${m < 0 ? '−' : '+'}${String(Math.floor(Math.abs(m) / 60)).padStart(2, '0')}:${String(Math.abs(m) % 60).padStart(2, '0')}`;
};

// The next instant at which the zone's clocks change, within 400 days; null when they never do.
export const nextShift = (fromMs, zone) => {
  const HOUR = 3600e3;
  for (let at = fromMs; at < fromMs + 400 * 24 * HOUR; at += 24 * HOUR) {
    if (offsetMinutes(at, zone) === offsetMinutes(at + 24 * HOUR, zone)) continue;
    let [low, high] = [at, at + 24 * HOUR];
    while (high - low > 60000) {
      const middle = Math.floor((low + high) / 2);
      if (offsetMinutes(low, zone) === offsetMinutes(middle, zone)) low = middle;
      else high = middle;
    }
    return Math.round(high / 60000) * 60000;
  }
  return null;
};

// The instant of a wall clock in a zone, as <input type="datetime-local"> writes it; null for what is none. Of a wall
// clock that comes twice it is the first, at which schedules run.
export const instantOf = (text, zone) => {
  const wall = Date.parse(`${text}Z`);
  if (Number.isNaN(wall)) return null;
  const found = [-86400e3, 86400e3].map((far) => wall - offsetMinutes(wall + far, zone) * 60000).filter((ms) => ms + offsetMinutes(ms, zone) * 60000 === wall);
  if (found.length) return Math.min(...found);
  const first = wall - offsetMinutes(wall, zone) * 60000;
  return wall - offsetMinutes(first, zone) * 60000;
};
// Seconds and milliseconds stand there only where they are not nought: none may be lost on the way through a form.
export const wallOf = (ms, zone) => new Date(ms + offsetMinutes(ms, zone) * 60000).toISOString().slice(0, 23).replace(/(:00)?\.000$/, '');
export const minuteOf = (ms) => Math.floor(ms / 60000) * 60000;

const UNITS = [['d', 86400e3], ['h', 3600e3], ['min', 60e3], ['s', 1e3]];
export const duration = (ms) => {
  if (ms === null || ms === undefined) return '–';
  const sign = ms < 0 ? '−' : '';
  const left = Math.abs(ms);
  if (left < 1000) return `${sign}${Math.round(left)} ms`;
  if (left < 10e3) return `${sign}${(left / 1000).toFixed(1)} s`;
  const at = UNITS.findIndex(([, size]) => left >= size);
  const [unit, size] = UNITS[at];
  const whole = Math.floor(left / size);
  const next = UNITS[at + 1];
  const rest = next ? Math.floor((left % size) / next[1]) : 0;
  return `${sign}${whole} ${unit}${next && rest ? ` ${rest} ${next[0]}` : ''}`;
};

export const ago = (ms, nowMs) => {
  const d = nowMs - ms;
  if (Math.abs(d) < 1500) return 'now';
  const whole = (ms) => (ms < 10e3 ? `${Math.max(1, Math.round(ms / 1000))} s` : duration(ms));
  return d > 0 ? `${whole(d)} ago` : `in ${whole(-d)}`;
};

export const countdown = (ms) => {
  const s = Math.max(0, Math.ceil(ms / 1000));
  const two = (n) => String(n).padStart(2, '0');
  const hours = Math.floor(s / 3600);
  return hours ? `${hours}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
};

export const number = (n) => (n === null || n === undefined ? '–' : n.toLocaleString('en'));
export const percent = (n) => (n === null || n === undefined ? '–' : `${n < 10 ? Number(n.toFixed(1)) : Math.round(n)} %`);
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
export const short = (id) => (id.length > 22 ? `${id.slice(0, 6)}…${id.slice(-13)}` : id);

export const quantile = (sorted, q) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] : null);
