// A recurrence in words, for the eye. What is not simple is said to be its own expression, never wrongly.

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
const two = (n) => String(n).padStart(2, '0');
const listed = (words) => (words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words[words.length - 1]}`);
const ordinal = (n) => `${n}${n % 100 > 10 && n % 100 < 14 ? 'th' : { 1: 'st', 2: 'nd', 3: 'rd' }[n % 10] || 'th'}`;
const UNIT = { ms: 'millisecond', s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' };

const every = (n, unit) => (Number(n) === 1 ? `every ${unit}` : `every ${n} ${unit}s`);

const dayName = (text) => {
  const short = DAYS.findIndex((day) => day.slice(0, 3).toUpperCase() === text.toUpperCase());
  const at = short >= 0 ? short : /^[0-7]$/.test(text) ? Number(text) % 7 : -1;
  return at < 0 ? null : DAYS[at];
};
const monthName = (text) => {
  const short = MONTHS.findIndex((month) => month.slice(0, 3).toUpperCase() === text.toUpperCase());
  const at = short >= 0 ? short : /^\d+$/.test(text) ? Number(text) - 1 : -1;
  return MONTHS[at] || null;
};

// A field of names: lists and ranges of them; null where it is more than that.
const names = (field, name) => {
  const parts = field.split(',').map((part) => {
    const ends = part.split('-').map(name);
    if (ends.length > 2 || ends.some((end) => !end)) return null;
    return ends.length === 2 ? `${ends[0]} to ${ends[1]}` : ends[0];
  });
  return parts.includes(null) ? null : listed(parts);
};
const numbers = (field) => (/^\d+(,\d+)*$/.test(field) ? field.split(',').map(Number) : null);

const timeWords = (second, minute, hour) => {
  const [s, m, h] = [numbers(second), numbers(minute), numbers(hour)];
  // A step that does not divide its hour or day begins anew in each: it is no "every".
  const step = (field, whole = 60) => {
    const found = /^(?:\*|0)\/(\d+)$/.exec(field)?.[1];
    return found && whole % Number(found) === 0 ? found : undefined;
  };
  const zero = second === '0';
  if (zero && m && h && m.length * h.length <= 6) return `at ${listed(h.flatMap((hh) => m.map((mm) => `${two(hh)}:${two(mm)}`)))}`;
  if (zero && minute === '*' && hour === '*') return 'every minute';
  if (second === '*' && minute === '*' && hour === '*') return 'every second';
  if (step(second) && minute === '*' && hour === '*') return every(step(second), 'second');
  if (zero && step(minute) && hour === '*') return every(step(minute), 'minute');
  if (zero && m?.length === 1 && hour === '*') return m[0] === 0 ? 'every hour, on the hour' : `every hour at ${two(m[0])} past`;
  if (zero && m?.length === 1 && step(hour, 24)) return `${every(step(hour, 24), 'hour')}, at ${two(m[0])} past`;
  const between = /^(\d+)-(\d+)$/.exec(hour);
  if (zero && between && step(minute)) return `${every(step(minute), 'minute')} from ${two(between[1])}:00 to ${two(between[2])}:59`;
  if (zero && between && m?.length === 1) return `every hour at ${two(m[0])} past, from ${two(between[1])} to ${two(between[2])}`;
  if (s?.length === 1 && m?.length === 1 && h?.length === 1) return `at ${two(h[0])}:${two(m[0])}:${two(s[0])}`;
  return null;
};

const dayWords = (dom, month, dow) => {
  const said = [];
  const anyDay = ['*', '?'].includes(dom);
  const anyWeekday = ['*', '?'].includes(dow);
  if (!anyDay && !anyWeekday) return null; // either of them counts: the expression says it best
  if (!anyWeekday) {
    const nth = /^(\w+)#([1-5])$/.exec(dow);
    const lastOne = /^(\w+?)L$/.exec(dow);
    if (nth && dayName(nth[1])) said.push(`on the ${ordinal(Number(nth[2]))} ${dayName(nth[1])} of the month`);
    else if (lastOne && dayName(lastOne[1])) said.push(`on the last ${dayName(lastOne[1])} of the month`);
    else if (/^(1-5|MON-FRI)$/i.test(dow)) said.push('on working days');
    else if (names(dow, dayName)) said.push(`on ${names(dow, dayName)}`);
    else return null;
  }
  if (!anyDay) {
    const days = numbers(dom);
    if (dom === 'L') said.push('on the last day of the month');
    else if (days) said.push(`on the ${listed(days.map(ordinal))} of the month`);
    else return null;
  }
  if (!['*', '?'].includes(month)) {
    const inMonths = names(month, monthName);
    if (!inMonths) return null;
    said.push(`in ${inMonths}`);
  }
  return said.length ? said.join(' ') : '';
};

const cron = (expr) => {
  const fields = expr.replace(/^cron:\s*/i, '').trim().split(/\s+/);
  if (fields.length === 5) fields.unshift('0');
  if (fields.length !== 6) return null;
  const [second, minute, hour, dom, month, dow] = fields;
  const time = timeWords(second, minute, hour);
  const day = dayWords(dom, month, dow);
  if (time === null || day === null) return null;
  if (!day) return time.startsWith('at ') ? `every day ${time}` : time;
  return time.startsWith('at ') ? `${day} ${time}` : `${time}, ${day}`;
};

const period = (text) => {
  const found = /^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/.exec(text);
  if (!found) return null;
  const parts = ['year', 'month', 'week', 'day', 'hour', 'minute', 'second'].map((unit, i) => [found[i + 1], unit]).filter(([n]) => n);
  if (!parts.length) return null;
  if (parts.length === 1) return every(parts[0][0], parts[0][1]);
  return `every ${listed(parts.map(([n, unit]) => `${n} ${unit}${n === '1' ? '' : 's'}`))}`;
};

const RULE_UNITS = { SECONDLY: 'second', MINUTELY: 'minute', HOURLY: 'hour', DAILY: 'day', WEEKLY: 'week', MONTHLY: 'month', YEARLY: 'year' };

// The words, or '' where the expression is not simple enough for them.
export const inWords = (type, expr, zone) => {
  const text = (expr || '').trim();
  let said = null;
  if (type === 'CRON') said = cron(text);
  else if (type === 'RATE' || type === 'DELAY') {
    const found = /^(?:rate|delay):(\d+)(ms|s|m|h|d|w)$/i.exec(text);
    if (found) said = type === 'RATE' ? every(found[1], UNIT[found[2].toLowerCase()]) : `${found[1]} ${UNIT[found[2].toLowerCase()]}${found[1] === '1' ? '' : 's'} after each run has ended`;
  } else if (type === 'ISO8601') {
    const repeat = /^R(\d*)\/([^/]+)\/(P.+)$/.exec(text);
    const each = period(repeat ? repeat[3] : text);
    if (each) said = repeat ? `${each} from ${repeat[2]}${repeat[1] ? `, ${repeat[1]} times` : ''}` : each;
  } else if (type === 'AT') said = text.startsWith('at:') ? `once, at ${text.slice(3)}` : null;
  else if (type === 'RRULE') {
    const freq = /FREQ=(\w+)/.exec(text)?.[1];
    const interval = /INTERVAL=(\d+)/.exec(text)?.[1] || '1';
    const only = /^(?:rrule:|RRULE:)?FREQ=\w+(;INTERVAL=\d+)?$/i.test(text.split(/\s/).pop());
    if (RULE_UNITS[freq] && only) said = every(interval, RULE_UNITS[freq]);
  }
  if (!said) return '';
  const clockBound = /\d\d:\d\d|past|day|week|month|year|hour/.test(said.replace(/\S*Z\b/g, '')) && type !== 'AT' && type !== 'RATE' && type !== 'DELAY';
  return `${said[0].toUpperCase()}${said.slice(1)}${clockBound && zone ? `, ${zone} time` : ''}`;
};
