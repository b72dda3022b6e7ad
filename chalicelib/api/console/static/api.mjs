// Calls of the API, as the one who is signed in. Errors are the API's own words.

import { session, skewMs } from './state.mjs';

export const ROOT = new URL('../../', import.meta.url).href;
const TOKEN = 'chrono.token';
const TRIES = 4;

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered ${status}`);
    this.status = status;
    this.code = problem.code || '';
    this.errors = problem.errors || [];
    this.violations = problem.violations || [];
    this.traceId = problem.trace_id || '';
  }
}

export const token = () => sessionStorage.getItem(TOKEN) || '';
export const setToken = (text) => (text ? sessionStorage.setItem(TOKEN, text) : sessionStorage.removeItem(TOKEN));

export const newId = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
};

export const url = (path, query) => {
  const made = new URL(path.replace(/^\//, ''), ROOT);
  for (const [name, value] of Object.entries(query || {}))
    if (value !== undefined && value !== null && value !== '') made.searchParams.set(name, value);
  return made;
};

export const headers = (more) => {
  const made = { accept: 'application/json', ...more };
  if (token()) made.authorization = `Bearer ${token()}`;
  return made;
};

const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

let bestRoundMs = Infinity;
// Every answer has a stamp of the server's clock. The quickest answer tells best how far ours is off.
const readClock = (answer, beganMs) => {
  const stamp = answer.headers.get('x-chrono-hlc');
  if (!stamp) return;
  const round = Date.now() - beganMs;
  bestRoundMs = Math.min(bestRoundMs * 1.02 + 1, 5000);
  if (round > bestRoundMs) return;
  bestRoundMs = round;
  skewMs.value = Math.round(Number(stamp.split('.')[0].slice(0, -6)) - (beganMs + Date.now()) / 2);
};

const problemOf = async (answer) => {
  try {
    return await answer.json();
  } catch {
    return { title: `the service answered ${answer.status} ${answer.statusText}` };
  }
};

// One call; JSON or text. A read is repeated while the service is busy or away; what writes is not.
export const call = async (method, path, { query, body, signal, more, raw } = {}) => {
  const given = headers(more);
  if (body !== undefined) given['content-type'] = typeof body === 'string' ? 'application/yaml' : 'application/json';
  const options = { method, headers: given, signal, cache: 'no-store', credentials: 'same-origin' };
  if (body !== undefined) options.body = typeof body === 'string' ? body : JSON.stringify(body);
  for (let tried = 1; ; tried += 1) {
    const began = Date.now();
    let answer;
    try {
      answer = await fetch(url(path, query), options);
    } catch (problem) {
      if (signal?.aborted) throw problem;
      if (method !== 'GET' || tried >= TRIES) throw new ApiError(0, { detail: 'The service cannot be reached.' });
      await pause(300 * 2 ** tried, signal);
      continue;
    }
    readClock(answer, began);
    if (answer.ok) {
      if (raw) return answer;
      if (answer.status === 204) return null;
      return answer.headers.get('content-type')?.includes('json') ? answer.json() : answer.text();
    }
    const problem = await problemOf(answer);
    if (method === 'GET' && [429, 503].includes(answer.status) && tried < TRIES && path !== '/health') {
      await pause(1000 * Math.min(8, Number(answer.headers.get('retry-after')) || tried), signal);
      continue;
    }
    if (answer.status === 401 && session.peek().state === 'in')
      session.value = { ...session.peek(), state: 'out', admin: false, why: problem.detail || 'Your sign-in has ended.' };
    throw new ApiError(answer.status, problem);
  }
};

export const get = (path, query, options) => call('GET', path, { query, ...options });
export const post = (path, body = {}, options) => call('POST', path, { body, ...options });
// A creating call: repeated by the browser or not, it happens once.
export const create = (path, body = {}, options) => call('POST', path, { body, more: { 'idempotency-key': newId() }, ...options });
export const patch = (path, body, version) => call('PATCH', path, { body, more: version ? { 'if-match': `"${version}"` } : {} });
export const put = (path, body) => call('PUT', path, { body });
export const remove = (path) => call('DELETE', path);

// All pages of a list, up to `most` items; `each` sees every page as it comes.
export const pages = async (path, query, { most = 1000, signal, each } = {}) => {
  const items = [];
  let next;
  do {
    const page = await get(path, { limit: Math.min(100, most), ...query, page_token: next }, { signal });
    items.push(...page.items);
    each?.(page.items);
    next = page.next_page_token;
  } while (next && items.length < most);
  return { items, more: Boolean(next) };
};

export const id = (text) => encodeURIComponent(text);
