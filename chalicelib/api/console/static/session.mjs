// Signing in: a token or key is sealed in a cookie that no script can read, or the issuer is asked. A service without
// sessions gets the token with each call; then it is kept in this tab alone.

import { ApiError, call, get, post, setToken, token } from './api.mjs';
import { figures, now, session } from './state.mjs';

const SESSION = '/api/session';
const PLACE = 'chrono.place'; // where the reader was before the issuer's page
const EARLY_MS = 60000;
let refreshing = 0;

const OUT = { state: 'out', subject: '', tenant: '', admin: false, permissions: null, ways: ['token'], sealed: false, why: '' };

// What the service says of us; null where it knows no sessions.
const asked = async () => {
  try {
    return await get(SESSION);
  } catch (problem) {
    // A service that knows no sessions asks for credentials first, or knows no such path.
    if (problem instanceof ApiError && [401, 404].includes(problem.status)) return null;
    throw problem;
  }
};

const mayReadKeys = () => get('/api/v1/keys', { limit: 1 }).then(() => true, () => false);

const enter = (view) => {
  const permissions = new Set(view.permissions);
  session.value = {
    ...OUT, state: 'in', subject: view.sign_in.length ? view.subject : 'anonymous', tenant: view.tenant || '', permissions, admin: permissions.has('keys:read'), ways: view.sign_in, sealed: true,
  };
  clearTimeout(refreshing);
  if (view.sign_in.includes('issuer') && view.expires_at_unix_ms) {
    const inMs = Math.max(5000, view.expires_at_unix_ms - now() - EARLY_MS);
    // Where it cannot be refreshed the next call says so, and asks to sign in again.
    if (inMs < 2 ** 31) refreshing = setTimeout(() => post(`${SESSION}/refresh`).then(enter, () => {}), inMs);
  }
  const place = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  if (place && !location.hash) location.hash = place;
};

const withoutSessions = async () => {
  try {
    figures.value = await get('/api/tasks/metrics');
  } catch (problem) {
    if (problem.status === 401) {
      session.value = { ...OUT, why: token() ? problem.message : '' };
      return;
    }
    if (problem.status !== 403) throw problem;
  }
  session.value = { ...OUT, state: 'in', subject: token() ? 'token' : 'anonymous', admin: await mayReadKeys() };
};

// Find out whether we are let in. Never throws.
export const begin = async () => {
  try {
    const view = await asked();
    if (view === null) await withoutSessions();
    else if (view.signed_in) enter(view);
    else session.value = { ...OUT, ways: view.sign_in, sealed: true };
  } catch (problem) {
    session.value = { ...OUT, state: 'away', why: problem.message };
  }
};

export const signIn = async (text) => {
  const given = text.trim().replace(/^Bearer\s+/i, '');
  if (!/^[\x21-\x7e]+$/.test(given)) throw new Error('A token or key is one word of letters, digits and signs.');
  if (session.peek().sealed) {
    enter(await post(SESSION, { token: given }));
    return;
  }
  setToken(given);
  await begin();
  if (session.value.state === 'in') return;
  const { why } = session.value;
  setToken('');
  throw new Error(why || 'The service did not take it.');
};

// The issuer's page takes the place of ours, and leads back.
export const signInAtIssuer = () => {
  sessionStorage.setItem(PLACE, location.hash);
  return new URL(`../../api/session/begin?return_to=${encodeURIComponent('/console')}`, import.meta.url).href;
};

export const signOut = async () => {
  setToken('');
  clearTimeout(refreshing);
  const { sealed, ways } = session.peek();
  if (sealed) await call('DELETE', SESSION).catch(() => {});
  figures.value = null;
  session.value = { ...OUT, sealed, ways };
};

