// Changes as they come. One tab holds the stream, and tells the others: a browser gives a server six connections.
//
// Where there are no locks to choose that tab by, every tab asks with a cursor from time to time, and holds nothing.

import { headers, token, url } from './api.mjs';
import { announce, live, session } from './state.mjs';

const POLL_MS = 2000;
const HIDDEN_POLL_MS = 10000;
const SHORT_STREAM_MS = 1500; // a server that ends streams so soon holds none: asking again is all there is
const BACKOFF_MAX_MS = 30000;
const FULL_MS = 30000; // a server that has no place for a stream is asked with a cursor for so long
const SILENCE_MS = 35000; // the server says something every ten seconds

const listeners = new Set();
let stop = () => {};

// Hear of changes: {tasks: [...]}; {reset: true} when some are lost; {begun: true} when the stream begins, so that what
// came between a view's first look and that is looked for.
export const listen = (act) => {
  listeners.add(act);
  return () => listeners.delete(act);
};
const tell = (news) => listeners.forEach((act) => act(news));

// Tabs of one user share; those of another must not.
const channelName = () => {
  let h = 0xcbf29ce484222325n;
  const { subject, tenant } = session.peek();
  for (const c of `${url('')} ${tenant} ${subject} ${token()}`) h = BigInt.asUintN(64, (h ^ BigInt(c.charCodeAt(0))) * 0x100000001b3n);
  return `chrono-feed-${h.toString(16)}`;
};

// What a stream of events says, piece by piece (WHATWG HTML, 9.2.6).
export const parser = (onEvent) => {
  let rest = '';
  let event = { name: 'message', data: [], id: undefined };
  return (text) => {
    const lines = (rest + text.replaceAll('\r', '')).split('\n'); // a CR is never alone in what servers send
    rest = lines.pop();
    for (const line of lines) {
      if (line === '') {
        if (event.data.length || event.id) onEvent({ ...event, data: event.data.join('\n') });
        event = { name: 'message', data: [], id: undefined };
        continue;
      }
      const at = line.indexOf(':');
      const field = at < 0 ? line : line.slice(0, at);
      const value = at < 0 ? '' : line.slice(at + 1).replace(/^ /, '');
      if (field === 'event') event.name = value;
      else if (field === 'data') event.data.push(value);
      else if (field === 'id') event.id = value;
    }
  };
};

const wait = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });

const jitter = (ms) => ms * (0.7 + Math.random() * 0.6);

// One connection until it ends; the id to go on from.
const streamOnce = async (lastId, signal, pass, say) => {
  const own = new AbortController();
  signal.addEventListener('abort', () => own.abort());
  let silence = setTimeout(() => own.abort(), SILENCE_MS);
  const more = { accept: 'text/event-stream', ...(lastId ? { 'last-event-id': lastId } : {}) };
  try {
    const answer = await fetch(url('/api/tasks/subscribe'), { headers: headers(more), signal: own.signal, cache: 'no-store', credentials: 'same-origin' });
    if (!answer.ok) {
      const problem = new Error(`the stream was refused with ${answer.status}`);
      problem.status = answer.status;
      problem.afterMs = 1000 * Number(answer.headers.get('retry-after'));
      throw problem;
    }
    say('streaming');
    if (!lastId) pass({ begun: true });
    let id = lastId;
    let tasks = [];
    const read = parser((event) => {
      if (event.id) id = event.id;
      if (event.name === 'task') tasks.push(JSON.parse(event.data));
      else if (event.name === 'reset') pass({ reset: true });
    });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return id;
      clearTimeout(silence);
      silence = setTimeout(() => own.abort(), SILENCE_MS);
      read(value);
      if (tasks.length) pass({ tasks, id });
      tasks = [];
      lastId = id;
    }
  } catch (problem) {
    problem.lastId = lastId;
    throw problem;
  } finally {
    clearTimeout(silence);
    own.abort();
  }
};

// The stream for as long as we lead; it is begun anew after every end.
const lead = async (signal, pass, say, from) => {
  let id = from;
  let failures = 0;
  let fullUntil = 0;
  while (!signal.aborted) {
    const began = Date.now();
    try {
      if (began < fullUntil) {
        id = await ask(id, signal, pass, say);
        await wait(jitter(document.visibilityState === 'visible' ? POLL_MS : HIDDEN_POLL_MS), signal);
        continue;
      }
      id = (await streamOnce(id, signal, pass, say)) || id;
      failures = 0;
      if (Date.now() - began < SHORT_STREAM_MS) {
        say('polling');
        await wait(jitter(document.visibilityState === 'visible' ? POLL_MS : HIDDEN_POLL_MS), signal);
      }
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.status === 401 || problem.status === 403) {
        say('off', problem.message);
        return;
      }
      id = problem.lastId || id;
      if (problem.status === 503) fullUntil = Date.now() + FULL_MS;
      failures += 1;
      say('away', problem.message);
      await wait(Math.max(problem.afterMs || 0, jitter(Math.min(BACKOFF_MAX_MS, 500 * 2 ** failures))), signal);
    }
  }
};

// What has changed after a position, and the position to go on from. It holds no connection.
const ask = async (after, signal, pass, say) => {
  const answer = await fetch(url('/api/v1/changes', { after, types: 'execution', limit: 100 }), { headers: headers(), signal, cache: 'no-store' });
  if (answer.status === 410) {
    pass({ reset: true });
    return '';
  }
  if (!answer.ok) throw Object.assign(new Error(`refused with ${answer.status}`), { status: answer.status });
  const page = await answer.json();
  const tasks = page.items.filter((item) => !item.data.deleted).map((item) => taskOf(item.data));
  if (tasks.length) pass({ tasks, id: page.next_after });
  say('polling');
  return page.items.length === 100 ? ask(page.next_after, signal, pass, say) : page.next_after;
};

// Without locks nobody can lead, so every tab asks for itself.
const alone = async (signal, say) => {
  let after = '';
  while (!signal.aborted) {
    try {
      after = await ask(after, signal, tell, say);
    } catch (problem) {
      if (!signal.aborted) say('away', problem.message);
    }
    await wait(jitter(document.visibilityState === 'visible' ? POLL_MS : HIDDEN_POLL_MS), signal);
  }
};

const taskOf = (e) => ({
  id: e.id, status: e.delivery_state, owner: e.owner, schedule_id: e.schedule_id, firing_time_unix_ms: e.firing_time_unix_ms,
  attempt: e.attempt, late: e.late, lateness_ms: e.lateness_ms, error: e.error, trace_id: e.trace_id, trace_url: e.trace_url,
});

export const start = () => {
  stop();
  const aborter = new AbortController();
  const { signal } = aborter;
  const say = (mode, detail = '', leader = true) => {
    const was = live.peek().mode;
    if (was !== mode || live.peek().leader !== leader) live.value = { mode, detail, leader };
    if (mode === 'away' && was === 'streaming') announce('Live updates are interrupted.');
  };
  say('connecting');
  if (!navigator.locks || typeof BroadcastChannel === 'undefined') {
    alone(signal, say);
    stop = () => aborter.abort();
    return;
  }
  const name = channelName();
  const channel = new BroadcastChannel(name);
  let newest = ''; // where the stream stands: whoever leads next goes on from there
  channel.onmessage = ({ data }) => {
    newest = data.id || newest;
    if (data.mode) say(data.mode, data.detail, false);
    else if (data.hello) {
      if (live.peek().leader) channel.postMessage({ mode: live.peek().mode, detail: live.peek().detail, id: newest });
    } else tell(data);
  };
  navigator.locks
    .request(name, { signal }, () => {
      const pass = (news) => {
        newest = news.id || newest;
        channel.postMessage(news);
        tell(news);
      };
      const both = (mode, detail) => {
        say(mode, detail);
        channel.postMessage({ mode, detail });
      };
      return lead(signal, pass, both, newest);
    })
    .catch(() => {}); // aborted while in line
  channel.postMessage({ hello: true });
  stop = () => {
    aborter.abort();
    channel.close();
  };
};

export const end = () => stop();

session.subscribe((s) => {
  if (s.state !== 'in') stop();
});
