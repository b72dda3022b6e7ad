// Signing in: by a pasted token or key, or not at all where the service asks for none.

import { ApiError, call, get, setToken, token } from './api.mjs';
import { figures, session } from './state.mjs';

const decoded = (part) => JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))));

// Whose token it is, for the eye alone: the service judges it.
const named = (text) => {
  if (!text) return '';
  if (text.startsWith('cw_')) return `key ${text.slice(0, 10)}…`;
  try {
    const claims = decoded(text.split('.')[1]);
    return claims.sub || 'token';
  } catch {
    return 'token';
  }
};

const mayAdminister = async () => {
  try {
    await get('/api/v1/keys', { limit: 1 });
    return true;
  } catch {
    return false;
  }
};

// Find out whether we are let in. Never throws.
export const begin = async () => {
  try {
    figures.value = await get('/api/tasks/metrics');
  } catch (problem) {
    if (!(problem instanceof ApiError) || problem.status !== 403) {
      const out = problem.status === 401;
      session.value = { state: out ? 'out' : 'away', subject: '', admin: false, why: out && !token() ? '' : problem.message };
      return;
    }
  }
  session.value = { state: 'in', subject: named(token()) || 'anonymous', admin: await mayAdminister(), why: '' };
};

export const signIn = async (text) => {
  const given = text.trim().replace(/^Bearer\s+/i, '');
  if (!/^[\x21-\x7e]+$/.test(given)) throw new Error('A token or key is one word of letters, digits and signs.');
  setToken(given);
  await begin();
  if (session.value.state === 'in') return;
  const { why } = session.value;
  setToken('');
  throw new Error(why || 'The service did not take it.');
};

export const signOut = async () => {
  setToken('');
  session.value = { state: 'out', subject: '', admin: false, why: '' };
};

export { call };
