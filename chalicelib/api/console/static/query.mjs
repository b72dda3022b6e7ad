// The search of the task list: words with qualifiers, such as  status:failed owner:ann name:inv* late:yes

const STATES = ['pending', 'in_progress', 'completed', 'failed', 'timeout', 'cancelled', 'missed', 'skipped'];
const ALIASES = { running: 'in_progress', done: 'completed', success: 'completed', error: 'failed', queued: 'pending' };
export const QUALIFIERS = [
  ['status:', `one or several of ${STATES.join(', ')}`],
  ['name:', 'the schedule’s name; inv* for how it begins'],
  ['owner:', 'whose it is'],
  ['id:', 'an id, or how ids begin'],
  ['schedule:', 'the id of a schedule'],
  ['late:', 'yes or no'],
  ['lateness:', '>100 or <20, milliseconds'],
  ['attempt:', '>1 for what was tried again'],
  ['error:', 'a word of the error'],
];

const NUMBER = /^([<>]=?|)(\d+)$/;
const COMPARE = { '>': (a, b) => a > b, '>=': (a, b) => a >= b, '<': (a, b) => a < b, '<=': (a, b) => a <= b, '': (a, b) => a === b };

const like = (pattern) => {
  const low = pattern.toLowerCase();
  if (low.endsWith('*')) return (text) => (text || '').toLowerCase().startsWith(low.slice(0, -1));
  return (text) => (text || '').toLowerCase() === low;
};
const compared = (value, of, wrong) => {
  const found = NUMBER.exec(value);
  if (!found) return wrong(`wants a number such as >100, not “${value}”`);
  return (row) => of(row) !== null && of(row) !== undefined && COMPARE[found[1]](of(row), Number(found[2]));
};

const TERMS = {
  status: (value, wrong) => {
    const wanted = value.split(',').map((each) => ALIASES[each] || each);
    const unknown = wanted.find((each) => !STATES.includes(each));
    if (unknown !== undefined) return wrong(`knows no “${unknown}”; there are ${STATES.join(', ')}`);
    return { test: (row) => wanted.includes(row.status), server: wanted.length === 1 ? { status: wanted[0] } : {} };
  },
  name: (value) => ({ test: (row) => like(value)(row.name), server: { name: value } }),
  owner: (value) => ({ test: (row) => row.owner === value, server: { owner: value } }),
  id: (value) => ({ test: (row) => row.id.startsWith(value), server: { id: value } }),
  schedule: (value) => ({ test: (row) => row.schedule_id === value, server: { id: value } }),
  late: (value, wrong) => (['yes', 'no'].includes(value) ? { test: (row) => row.late === (value === 'yes') } : wrong('is yes or no')),
  lateness: (value, wrong) => ({ test: compared(value, (row) => row.lateness_ms, wrong) }),
  attempt: (value, wrong) => ({ test: compared(value, (row) => row.attempt, wrong) }),
  error: (value) => ({ test: (row) => (row.error || '').toLowerCase().includes(value.toLowerCase()) }),
};

const split = (text) => text.match(/(?:[^\s"]|"[^"]*")+/g) || [];

// What a search asks: `server` of the list's own filters, `test` of every row, `problems` in words. `bulk` is as much of
// it as a bulk action filters by; `exact`: that is all of it.
export const parseQuery = (text) => {
  const server = {};
  const tests = [];
  const problems = [];
  const bulk = {};
  let exact = true; // whether a filter of the service says the same
  for (const word of split(text)) {
    const at = word.indexOf(':');
    const key = at > 0 ? word.slice(0, at).toLowerCase() : '';
    const value = word.slice(at + 1).replaceAll('"', '');
    if (!key) {
      const low = word.replaceAll('"', '').toLowerCase();
      tests.push((row) => `${row.name || ''} ${row.id} ${row.owner} ${row.error || ''}`.toLowerCase().includes(low));
      exact = false;
      continue;
    }
    if (!TERMS[key]) {
      problems.push(`There is no “${key}:”. Known are ${QUALIFIERS.map(([q]) => q).join(' ')}`);
      exact = false;
      continue;
    }
    if (!value) continue;
    const found = TERMS[key](value, (why) => {
      problems.push(`${key}: ${why}`);
      return null;
    });
    if (!found?.test) {
      exact = false;
      continue;
    }
    tests.push(found.test);
    Object.assign(server, found.server);
    if (key === 'status' && found.server.status) bulk.state = found.server.status;
    else if (key === 'owner') bulk.owner = value;
    else if (key === 'schedule') bulk.schedule_id = value;
    else exact = false;
  }
  return { server, problems, bulk, exact, test: (row) => tests.every((test) => test(row)) };
};

// The search with one qualifier set, or taken out.
export const withTerm = (text, key, value) => {
  const kept = split(text).filter((word) => !word.toLowerCase().startsWith(`${key}:`));
  return [...kept, ...(value ? [`${key}:${/\s/.test(value) ? `"${value}"` : value}`] : [])].join(' ');
};
